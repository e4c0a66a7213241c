"""Mixed precision: what agrees with float32, to what accuracy, and what stays in float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import networks

SHAPE = (8, 8, 1)
# Half a unit in the last place of 8 and of 11 bits.
ROUNDING = {"mixed_bfloat16": 2.0**-8, "mixed_float16": 2.0**-11}


@pytest.fixture(params=ROUNDING)
def policy(request):
    """Return the name of a policy, with the global one restored afterwards."""
    before = keras.config.dtype_policy()
    yield request.param
    keras.config.set_dtype_policy(before)


def make_network(kind, name=None):
    if kind == "conv":
        return networks.conv(SHAPE, 8, 16, num_classes=3, name=name)
    return networks.get(kind)(num_filters=8, image_shape=SHAPE, name=name)


@pytest.mark.parametrize("kind", ["conv", "mnist_net", "resnet32"])
def test_energies_and_gradients_agree(policy, kind):
    """To some dozens of roundings: a network is ten to twenty products, each of them rounded.

    Errors are measured against the size of the whole vector. The features of mnist_net shrink from
    layer to layer to where float16 has no more than a few bits, so it may err by twice as much.
    Where nothing is rounded the errors are far smaller, so both ends are looked at.
    """
    roundings = 60 if kind == "mnist_net" else 30
    keras.utils.set_random_seed(0)
    exact = make_network(kind)
    weights = [w + 0.1 * np.random.default_rng(1).normal(size=w.shape) for w in exact.get_weights()]
    keras.config.set_dtype_policy(policy)
    mixed = make_network(kind)
    x = tf.random.stateless_uniform([16, *SHAPE], (0, 1))
    labels = tf.one_hot(tf.range(16) % 3, 3)
    results = []
    for network in (exact, mixed):
        network.set_weights(weights)

        def energy(x, network=network):
            return network((x, labels) if kind == "conv" else x)

        model = tf_febm.ContrastiveDivergence(network)
        with networks.cached_weights(network):
            values = model.energy(x, labels if kind == "conv" else None)
            scores = model.score(x, labels if kind == "conv" else None)
        variables = [variable.value for variable in network.trainable_variables]
        with tf.GradientTape() as tape:
            # As a scaled loss.
            total = 2.0**12 * tf.reduce_mean(tf.square(energy(x)))
        gradients = tape.gradient(total, variables)
        assert {t.dtype for t in (values, scores, *gradients)} == {tf.float32}
        flat = tf.concat([tf.reshape(g, [-1]) for g in gradients], axis=0)
        results.append((values - tf.reduce_mean(values), scores, flat))
    for mine, truth in zip(*reversed(results), strict=True):
        error = np.linalg.norm(mine - truth) / np.linalg.norm(truth)
        assert 0.01 * ROUNDING[policy] < error < roundings * ROUNDING[policy]


@pytest.mark.parametrize(
    ("policy", "method"),
    [("mixed_bfloat16", "febm"), ("mixed_float16", "contrastive_divergence")],
    indirect=["policy"],
)
def test_training(policy, method, tmp_path):
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(0)
    energy, variational = (networks.mlp(SHAPE, (16,), "swish", name=n) for n in ("e", "h"))
    settings = {
        "sampler": tf_febm.samplers.Langevin(num_steps=3),
        "buffer": tf_febm.samplers.PersistentChains(64),
        "l2_coeff": 0.1,
        "seed": 1,
    }
    if method == "febm":
        model = tf_febm.FEBM(energy, variational, warmup_steps=0, **settings)
    else:
        model = tf_febm.ContrastiveDivergence(energy, initial="noise", **settings)
    # In float16 a compiled step has a loss scale that changes within it.
    model.compile(run_eagerly=policy == "mixed_bfloat16")
    x = np.random.default_rng(0).random((32, *SHAPE), dtype=np.float32)
    before = [weight.copy() for weight in energy.get_weights()]
    logs = model.fit(x, batch_size=16, verbose=0).history
    assert np.isfinite(list(logs.values())).all()
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, energy.get_weights(), strict=True))
    assert {w.dtype for w in energy.weights} == {"float32"}
    samples = model.sample(4, seed=1)
    assert samples.dtype == model.buffer.samples.dtype == tf.float32
    assert model.energy(x).dtype == model.score(x).dtype == tf.float32
    # The state is rounded to no shorter format.
    assert np.abs(samples - tf.cast(tf.cast(samples, tf.bfloat16), tf.float32)).max() > 0
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.energy(x), model.energy(x))
    again.run_eagerly = True
    again.fit(x[:16], batch_size=16, verbose=0)


def test_losses_are_scaled_and_bad_steps_left_out():
    """Both players of an f-EBM in float16: the reported gradient is that of the loss itself."""
    norms, steps = [], []
    before = keras.config.dtype_policy()
    x = np.random.default_rng(0).random((16, *SHAPE), dtype=np.float32)
    try:
        for policy in ("float32", "mixed_float16"):
            keras.config.set_dtype_policy(policy)
            keras.utils.set_random_seed(0)
            players = (networks.mlp(SHAPE, (16,), "swish", name=n) for n in ("e", "h"))
            sampler = tf_febm.samplers.Langevin(num_steps=0)
            model = tf_febm.FEBM(*players, sampler=sampler, seed=1, warmup_steps=0)
            model.compile(run_eagerly=True)
            logs = model.train_on_batch(x, return_dict=True)
            names = ("energy_gradient_norm", "variational_gradient_norm")
            norms.append([float(logs[name]) for name in names])
            steps.append(model)
        np.testing.assert_allclose(*norms, rtol=0.01)
        model = steps[1]
        for optimizer in (model.optimizer, model.variational_optimizer):
            # Far above what float16 holds.
            optimizer.dynamic_scale.assign(2.0**40)
        weights = model.get_weights()
        model.train_on_batch(x)
        for mine, old in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(mine, old)
        for optimizer in (model.optimizer, model.variational_optimizer):
            assert float(optimizer.dynamic_scale.numpy()) == 2.0**39
    finally:
        keras.config.set_dtype_policy(before)


@pytest.fixture
def half():
    """Set mixed_float16, and the policy that was there before afterwards."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(before)


def steep(first, second):
    """Return a model of E(x) = first·second·(x₁ − x₂), computed in float16 in two products."""
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(1, use_bias=False)(inputs)
    network = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(hidden))
    kernels = ([[first], [-first]], [[second]])
    network.set_weights([np.array(kernel, "float32") for kernel in kernels])
    sampler = tf_febm.samplers.Langevin(1e-3, 0.0, num_steps=3, grad_clip=None, bounds=None)
    return tf_febm.ContrastiveDivergence(network, sampler=sampler)


# All factors are exact in float16. 1024 times the first two slopes is beyond its largest number,
# 65,504; the last is below its smallest, 6e-8, where a plain tape finds zero.
@pytest.mark.parametrize(
    ("first", "second"),
    [(30_000.0, 2.0), (512.0, 1.0), (1.0, 1.0), (2.0**-10, 2.0**-10), (2.0**-15, 2.0**-15)],
)
def test_scores_are_exact_from_the_steepest_to_the_flattest(half, first, second):
    model, slope = steep(first, second), first * second
    x = tf.zeros([4, 2])
    np.testing.assert_array_equal(model.score(x), np.tile([-slope, slope], (4, 1)))
    # Three steps of 0.001 along the score, to a rounding of float32 each.
    moved = model.sampler(model._energy_given(None), x, 0)
    np.testing.assert_allclose(moved, np.tile([-3e-3 * slope, 3e-3 * slope], (4, 1)), rtol=1e-6)


def test_one_steep_example_does_not_cost_the_others_their_digits(half):
    """E = a(x)², whose gradient is 2 a x: steep at the first point, flat at the second."""
    inputs = keras.Input((1,))
    squared = keras.layers.Dense(1)(keras.layers.Activation(keras.ops.square)(inputs))
    network = keras.Model(inputs, squared)
    network.set_weights([np.array([[1.0]], "float32"), np.zeros(1, "float32")])
    model = tf_febm.ContrastiveDivergence(network)
    score = model.score(tf.constant([[100.0], [2.0**-22]]))
    np.testing.assert_array_equal(score[:, 0], [-200.0, -(2.0**-21)])


class _Steps(keras.callbacks.Callback):
    """Keep the logs of every step by itself."""

    def on_train_begin(self, logs=None):
        self.logs = []

    def on_train_batch_begin(self, batch, logs=None):
        self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        self.logs.append(dict(logs))


@pytest.mark.parametrize(
    "method",
    [
        *("febm", "bidirectional"),
        # As f-EBM, with its second player or without.
        pytest.param("dual", marks=pytest.mark.thorough),
        pytest.param("contrastive_divergence", marks=pytest.mark.thorough),
    ],
)
def test_steps_that_are_skipped_leave_the_logs_finite(half, method):
    """From a loss scale of 2³⁰ it takes a dozen skipped steps to where gradients are finite."""
    keras.utils.set_random_seed(0)
    sampler = tf_febm.samplers.Langevin(0.05, 0.3, num_steps=2, grad_clip=None, bounds=None)
    settings = {"sampler": sampler, "seed": 0, "average_decay": 0.9}
    energy, other = (networks.mlp(2, (16,), "swish", name=n) for n in ("energy", "other"))
    if method == "contrastive_divergence":
        model = tf_febm.ContrastiveDivergence(energy, **settings)
    elif method == "bidirectional":
        model = tf_febm.BidirectionalEBM(energy, networks.generator_mlp(2, 2), 2, **settings)
    else:
        make = tf_febm.FEBM if method == "febm" else tf_febm.DualFEBM
        model = make(energy, other, warmup_steps=0, **settings)
    count = len(model._players())
    scaled = [
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-3), initial_scale=2.0**30)
        for _ in range(count)
    ]
    model.compile(*scaled)
    x = np.random.default_rng(0).normal(size=(384, 2)).astype("float32")
    steps = _Steps()
    model.fit(x, batch_size=16, verbose=0, callbacks=[steps])
    taken = int(model.optimizer.iterations)
    assert 0 < taken < 24
    assert int(model.average.updates) == taken
    for logs in steps.logs:
        assert np.isfinite(list(logs.values())).all(), logs
    # A skipped step has no norm; one that is taken has.
    norms = [logs["energy_gradient_norm"] for logs in steps.logs]
    assert sum(norm > 0.0 for norm in norms) == taken


def test_norms_are_of_the_loss_also_where_the_scale_changes(half):
    """With a scale that doubles at every step the norms are those of a fixed one, to rounding."""
    found = []
    for growth in (1, 2000):
        keras.utils.set_random_seed(0)
        network = networks.mlp(2, (16,), "swish")
        sampler = tf_febm.samplers.Langevin(0.05, 0.3, num_steps=0, grad_clip=None, bounds=None)
        model = tf_febm.ContrastiveDivergence(network, sampler=sampler, initial="noise", seed=0)
        inner = keras.optimizers.SGD(0.0)
        model.compile(
            keras.optimizers.LossScaleOptimizer(
                inner, initial_scale=64.0, dynamic_growth_steps=growth
            ),
            run_eagerly=True,
        )
        x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
        steps = _Steps()
        model.fit(x, batch_size=16, shuffle=False, verbose=0, callbacks=[steps])
        found.append([logs["energy_gradient_norm"] for logs in steps.logs])
    np.testing.assert_allclose(*found, rtol=2.0**-9)
