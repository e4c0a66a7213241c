"""Steps that a loss scale skips: no problem at first, problem without end, and data in step."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from traced_models import Traced, state_of

import tf_febm
from tf_febm import training
from tf_febm.training import numerical_checks

X = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
LIMITS = numerical_checks.Limits()
MARK = 100.0


@keras.saving.register_keras_serializable(package="tests")
class Overflowing(keras.layers.Layer):
    """The identity; its gradient is infinite while `broken` is 1, or if a mark is in the data."""

    def build(self, shape):
        self.broken = self.add_weight(shape=(), initializer="zeros", trainable=False, name="broken")

    def call(self, x, data):
        marked = tf.cast(tf.reduce_any(data > 0.5 * MARK), tf.float32)
        broken = tf.maximum(tf.convert_to_tensor(self.broken), marked)

        @tf.custom_gradient
        def identity(x):
            return tf.identity(x), lambda upstream: tf.where(broken > 0.0, np.inf, upstream)

        return identity(x)


def network(name):
    inputs = keras.Input((2,))
    x = keras.layers.Dense(4, activation="tanh", name=f"{name}_dense")(inputs)
    outputs = Overflowing(name=f"{name}_overflowing")(keras.layers.Dense(1)(x), inputs)
    return keras.Model(inputs, outputs, name=name)


def wrapped(initial_scale=2.0**15):
    return keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(1e-3), initial_scale=initial_scale
    )


def febm(**settings):
    keras.utils.set_random_seed(0)
    # One step from noise: the gradient by x is infinite too, while the layer is broken.
    model = tf_febm.FEBM(
        network("energy"), network("variational"), seed=1, warmup_steps=0,
        sampler=Still(), **settings,
    )  # fmt: skip
    model.compile(wrapped(), wrapped())
    return model


class Still:
    """Chains that stay where they begin."""

    def __call__(self, energy_fn, initial_state, seed):
        return tf.identity(initial_state)


def break_(model, broken=True, networks=slice(None)):
    for part in model.networks[networks]:
        part.get_layer(f"{part.name}_overflowing").broken.assign(float(broken))


def test_scale_figures():
    model = febm()
    assert numerical_checks.scale_figures(model) == {"loss_scale": 2.0**15}
    model.variational_optimizer.dynamic_scale.assign(2.0**-20)
    assert numerical_checks.scale_figures(model) == {"loss_scale": 2.0**-20}
    model.compile(keras.optimizers.Adam(), keras.optimizers.Adam())
    assert numerical_checks.scale_figures(model) == {}


@pytest.mark.parametrize(
    ("scale", "problem"),
    [(2.0**15, False), (2.0**-14, False), (2.0**-15, True), (0.0, True), (np.inf, True),
     (np.nan, True)],
)  # fmt: skip
def test_the_limit(scale, problem):
    found = numerical_checks.examine({"loss_scale": scale}, [], {}, LIMITS)
    assert (found is not None) == problem
    assert found is None or found.quantity == "loss_scale"


def lasting():
    return febm(average_decay=0.9, buffer=tf_febm.samplers.PersistentChains(64))


@pytest.fixture(scope="module")
def traced():
    return Traced(lasting())


@pytest.mark.parametrize("broken", [0, 1])
def test_the_guard_reports_skipping_without_end(tmp_path, traced, broken):
    """Of either player. From 8, three halvings to 1 and fifteen to 2^-15: a step of the 18th."""
    model, lines = traced.fresh(), []
    for optimizer in (model.optimizer, model.variational_optimizer):
        optimizer.dynamic_scale.assign(8.0)
    guard = training.DivergenceGuard(
        training.Checkpoints(tmp_path, model), max_rollbacks=1, report=lines.append
    )
    break_(model, networks=slice(broken, broken + 1))
    with pytest.raises(training.DivergedError, match="no step is taken any more: the loss scale"):
        model.fit(X, batch_size=32, epochs=40, verbose=0, callbacks=[guard])
    assert "Going back to step 0" in lines[0]
    steps = [int(line.split()[1].rstrip(":")) for line in lines]
    # Two steps an epoch: after nine of them, and of the second attempt as many.
    assert steps == [18 if broken else 0]


def test_a_warm_up_of_the_scale_is_no_trouble(tmp_path, traced):
    """Twelve steps of the first two epochs are skipped."""
    model, lines = traced.fresh(), []
    guard = training.DivergenceGuard(
        training.Checkpoints(tmp_path, model), max_rollbacks=0, report=lines.append
    )
    skip = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: break_(model),
        on_train_batch_begin=lambda batch, logs: skipped.append(batch),
        on_train_batch_end=lambda batch, logs: len(skipped) == 12 and break_(model, False),
    )
    skipped = []
    model.fit(X, batch_size=8, epochs=4, verbose=0, callbacks=[skip, guard])
    assert int(model.optimizer.iterations) == 32 - 12
    assert numerical_checks.scale_figures(model) == {"loss_scale": 2.0**3}


def test_broken_slots_are_noticed(tmp_path):
    model = febm()
    guard = training.DivergenceGuard(training.Checkpoints(tmp_path, model), max_rollbacks=0)
    model.variational_optimizer.inner_optimizer._velocities[0].assign(np.full((2, 4), np.nan))
    guard.set_model(model)
    guard.on_train_begin()
    message = "the variational optimizer holds numbers that are not finite"
    with pytest.raises(training.DivergedError, match=message):
        guard.on_epoch_end(0, {})


class Run:
    """Runs in a folder whose steps are skipped where a list of batches says."""

    def __init__(self, path, model):
        self.path, self.model = path, model

    def __call__(self, steps, skipped=()):
        model = self.model
        folder = training.RunFolder(self.path)
        if not folder.path.exists():
            folder.prepare({}, ())
        checkpoints = training.Checkpoints(folder.checkpoints, model)
        checkpoints.restore()

        # All batches differ from one another, which the state in the end tells.
        batches = X[np.random.default_rng(1).integers(0, len(X), (100, 8))]
        batches[list(skipped)] += MARK

        def stream(number):
            return tf.data.Dataset.from_tensor_slices(batches[number:])

        self.done = training.train(
            model, stream, folder, checkpoints, total_steps=steps, log_interval=4,
            sample_interval=100, save_interval=4,
        )  # fmt: skip
        return model, checkpoints


def test_a_run_goes_on_over_skipped_steps(tmp_path, traced):
    """Its steps are those taken; checkpoints know how many batches the data is ahead of them."""
    model, checkpoints = Run(tmp_path / "run", traced.fresh())(10)
    assert checkpoints.skipped == 0
    run = Run(tmp_path / "skips", traced.fresh())
    model, checkpoints = run(10, skipped=(1, 2, 6))
    assert run.done and training.steps_taken(model) == 10
    assert checkpoints.skipped == 3
    assert numerical_checks.scale_figures(model) == {"loss_scale": 2.0**12}


def test_a_run_that_skipped_continues_bit_for_bit(tmp_path, traced):
    whole, _ = Run(tmp_path / "whole", traced.fresh())(16, skipped=(1, 2, 9))
    expected = state_of(whole)
    Run(tmp_path / "parts", traced.fresh())(6, skipped=(1, 2, 9))
    # What goes on is built and traced anew, as in a process of its own.
    model, checkpoints = Run(tmp_path / "parts", lasting())(16, skipped=(1, 2, 9))
    assert checkpoints.skipped == 3
    for name, value in state_of(model).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_a_run_ends_when_no_step_is_taken_any_more(tmp_path, traced):
    with pytest.raises(training.DivergedError, match="no step is taken any more"):
        Run(tmp_path / "run", traced.fresh())(10, skipped=range(4, 100))


@pytest.fixture
def half():
    keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize(
    "kind", [pytest.param("febm", marks=pytest.mark.thorough), "bidirectional"]
)
def test_a_real_training_in_float16_is_left_alone(tmp_path, half, kind):
    """Scales of 2^26 overflow, 2^15 overflows in the bounds of a generator: steps are skipped."""
    keras.utils.set_random_seed(0)
    energy = tf_febm.networks.mlp(2, (16,), "swish", name="energy")
    sampler = tf_febm.samplers.Langevin.from_epsilon(0.01, 3)
    if kind == "bidirectional":
        generator = tf_febm.networks.generator_mlp(2, 2, (16,))
        model = tf_febm.BidirectionalEBM(energy, generator, 2, sampler=sampler, seed=1)
        model.compile()
    else:
        other = tf_febm.networks.mlp(2, (16,), "swish", name="other")
        model = tf_febm.FEBM(energy, other, sampler=sampler, seed=1)
        model.compile(wrapped(2.0**26), wrapped(2.0**26))
    lines, norms, scales = [], [], []
    guard = training.DivergenceGuard(
        training.Checkpoints(tmp_path, model), reference=X, max_rollbacks=0, report=lines.append
    )
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: norms.append(logs["energy_gradient_norm"])
    )
    scales.append({"bidirectional": 2.0**15, "febm": 2.0**26}[kind])
    model.fit(X, batch_size=4, epochs=8, verbose=0, callbacks=[note, guard])
    scales.append(numerical_checks.scale_figures(model)["loss_scale"])
    assert scales[1] < scales[0] and lines == []
    # Of 128 steps not many more are lost than halvings of the scale.
    assert 128 - 20 <= training.steps_taken(model) <= 128
    assert np.isfinite(norms).all() and min(norms) > 0.0
