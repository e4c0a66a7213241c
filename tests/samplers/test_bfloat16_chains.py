"""Chains whose networks multiply in bfloat16: how far off, what stays in float32, where it ends."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import energies, networks, samplers
from tf_febm.networks.cached_weights import products_in
from tf_febm.training import chain_dtype

# bfloat16 has 8 bits of mantissa, the leading one included: to the nearest is off by half a unit.
ROUNDING = 2.0**-8
SHAPE = (8, 8, 1)


def normal(shape, seed):
    return tf.random.stateless_normal(shape, (seed, 0))


LAYERS = {
    "Dense": lambda: (networks.Dense(7), (6,)),
    "SpectralDense": lambda: (networks.SpectralDense(7), (6,)),
    "Conv2D": lambda: (networks.Conv2D(5, 3, padding="same"), (6, 6, 3)),
    "Conv2D of one channel": lambda: (networks.Conv2D(5, 3, 2, padding="same"), (8, 8, 1)),
    "Conv2D as a matrix": lambda: (networks.Conv2D(5, 4, padding="same"), (4, 4, 3)),
    "SpectralConv2D": lambda: (networks.SpectralConv2D(5, use_bias=True), (6, 6, 3)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_products_are_off_by_three_roundings(kind):
    """Each factor once, and the sum: |error| ≤ (2u + u²) Σ|x||w| + u|y|, and that of float32.

    So for the values and, as products of the upstream by the kernel, for gradients.
    """
    keras.utils.set_random_seed(0)
    layer, shape = LAYERS[kind]()
    layer.build((None, *shape))
    if layer.bias is not None:
        # What is of no use here: it would be rounded, too, where it is inside the product.
        layer.bias.assign(tf.zeros_like(layer.bias))
    x = normal((4, *shape), 1)
    found = []
    for dtype in ("float32", "bfloat16"):
        with networks.cached_weights(layer), products_in(dtype), tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        upstream = normal(y.shape, 2)
        found.append((y, tape.gradient(y, x, upstream)))
    (y, dx), (short_y, short_dx) = found
    assert short_y.dtype == short_dx.dtype == tf.float32
    kernel = tf.abs(layer.normalised().kernel if hasattr(layer, "normalised") else layer.kernel)
    with tf.GradientTape() as tape:
        size = tf.abs(x)
        tape.watch(size)
        if kernel.shape.rank == 2:
            sums = tf.matmul(size, kernel)
        else:
            sums = tf.nn.conv2d(size, kernel, np.ravel(layer.strides)[0], "SAME")
    sums_back = tape.gradient(sums, size, tf.abs(upstream))
    u = ROUNDING
    for exact, short, total in ((y, short_y, sums), (dx, short_dx, sums_back)):
        error = np.abs(short - exact)
        bound = (1 + u) * (2 * u + u**2) * np.asarray(total) + u * np.abs(exact)
        assert np.all(error <= bound + 1e-5)
        assert error.max() > 0.01 * u * np.abs(exact).max()


@pytest.mark.parametrize("kind", ["conv", "resnet32", "strided", "mlp"])
def test_energies_agree(kind):
    """Within the dozens of roundings of a mixed policy, as tests/models/test_mixed_precision.py."""
    keras.utils.set_random_seed(0)
    size = {"input_shape" if kind == "mlp" else "image_shape": SHAPE}
    network = networks.get(kind)(**size)
    for i, weight in enumerate(network.trainable_variables):
        weight.assign_add(0.1 * normal(weight.shape, i))
    x = tf.random.stateless_uniform([16, *SHAPE], (0, 1))
    results = []
    for dtype in ("float32", "bfloat16"):
        with networks.cached_weights(network), products_in(dtype):
            energy, gradient = energies.value_and_gradient(network, x)
        assert energy.dtype == gradient.dtype == tf.float32
        results.append((energy - tf.reduce_mean(energy), gradient))
    for truth, short in zip(*results, strict=True):
        error = np.linalg.norm(short - truth) / np.linalg.norm(truth)
        assert 0.01 * ROUNDING < error < 30 * ROUNDING


@pytest.fixture(scope="module")
def gaussian():
    """Return a network for E(x) = ½‖Wx‖², and W; its entries are numbers of bfloat16."""
    matrix = np.array([[1.0, 0.5], [-0.25, 2.0]], np.float32)
    x = keras.Input((2,))
    h = networks.Dense(2, use_bias=False)(x)
    energy = 0.5 * keras.ops.sum(keras.ops.square(h), axis=1, keepdims=True)
    network = keras.Model(x, energy)
    network.set_weights([matrix])
    return network, matrix


COUNT = 20_000
KERNELS = {
    "Eq. 5": (samplers.Langevin.from_epsilon(0.2, 60, dtype="bfloat16"), 0.2),
    "MALA": (samplers.MALA(0.2, 40, dtype="bfloat16"), 0.0),
    "HMC": (samplers.HMC(0.4, 3, 20, dtype="bfloat16"), 0.0),
}


@pytest.mark.parametrize("kind", KERNELS)
def test_the_law_of_a_gaussian_is_right(gaussian, kind):
    """(Λ − εΛ²/4)⁻¹ with Λ = WWᵀ for Eq. 5, Λ⁻¹ for others, within four standard errors.

    Rounding moves x by 2⁻⁹ of itself on average, to either side: no more than 2⁻⁸ in the mean.
    """
    network, matrix = gaussian
    sampler, epsilon = KERNELS[kind]
    precision = matrix @ matrix.T
    law = np.linalg.inv(precision - epsilon * precision @ precision / 4)
    start = normal((COUNT, 2), 3) @ np.linalg.cholesky(law).T.astype(np.float32)
    x = tf.function(lambda x: sampler(network, x, seed=5), autograph=False)(start).numpy()
    assert np.abs(x - start).mean() > 0.1
    found = x.T @ x / COUNT
    spread = np.sqrt((law**2 + np.outer(np.diag(law), np.diag(law))) / COUNT)
    scale = np.sqrt(np.outer(np.diag(law), np.diag(law)))
    assert (np.abs(found - law) < 4 * spread + ROUNDING * scale).all()


def test_states_and_what_is_recorded_stay_in_float32(gaussian):
    network, _ = gaussian
    start = normal((50, 2), 1)
    for sampler, _ in KERNELS.values():
        assert "dtype='bfloat16'" in repr(sampler)
        result = sampler(network, start, 1, num_steps=2, return_diagnostics=True)
        values = [v for v in result if v is not None]
        assert {value.dtype for value in values} == {tf.float32}
        rounded = tf.cast(tf.cast(result.samples, tf.bfloat16), tf.float32)
        assert np.abs(result.samples - rounded).max() > 0
        plain = sampler.with_dtype("float32")
        assert plain.dtype == "float32" and sampler.dtype == "bfloat16"
        assert np.abs(result.samples - plain(network, start, 1, num_steps=2)).max() > 0
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'bfloat16'; received"):
        samplers.Langevin(dtype="float16")


def test_weights_are_cast_once_outside_of_the_loop():
    network = networks.conv(SHAPE, 4, 8)
    sampler = samplers.Langevin(num_steps=3, dtype="bfloat16")

    @tf.function(autograph=False)
    def run(x):
        with networks.cached_weights(network):
            return sampler(network, x, seed=1)

    graph = run.get_concrete_function(tf.TensorSpec((2, *SHAPE))).graph
    casts = [op for op in graph.get_operations() if op.type == "Cast"]
    cast = {tuple(op.outputs[0].shape) for op in casts if op.outputs[0].dtype == tf.bfloat16}
    kernels = {tuple(w.shape) for w in network.weights if len(w.shape) > 1}
    # The last product is in float32.
    assert kernels - cast == {(8, 1)}
    (loop,) = (op for op in graph.get_operations() if op.type.endswith("While"))
    body = graph._get_function(loop.get_attr("body").name).graph.get_operations()
    inside = {tuple(op.outputs[0].shape) for op in body if op.type == "Cast"}
    assert inside and not inside & kernels


def test_it_ends_with_the_chain(gaussian):
    """What is traced inside a chain and used outside, and functions of no known network."""
    network, _ = gaussian
    x = normal((9, 2), 1)
    exact = network(x)
    energy = tf.function(network, autograph=False)
    short = samplers.Langevin(num_steps=2, dtype="bfloat16")
    chain = tf.function(lambda energy, x: short(energy, x, 1), autograph=False)
    with networks.cached_weights(network):
        np.testing.assert_allclose(chain(energy, x), short.with_dtype("float32")(network, x, 1))
    np.testing.assert_array_equal(energy(x), exact)
    np.testing.assert_array_equal(network(x), exact)
    unknown = short(lambda x: network(x), x, 1)
    np.testing.assert_array_equal(unknown, short.with_dtype("float32")(network, x, 1))


def test_a_model_trains_its_weights_in_float32():
    """Chains of no step leave a step of training as it is; other numbers take no new trace."""
    logs = []
    for dtype in ("float32", "bfloat16"):
        keras.utils.set_random_seed(0)
        sampler = samplers.Langevin(num_steps=0, dtype=dtype)
        network = networks.mlp(SHAPE, (8,), "swish")
        model = tf_febm.ContrastiveDivergence(network, sampler=sampler, seed=1)
        model.compile(run_eagerly=True)
        x = np.random.default_rng(0).random((8, *SHAPE), dtype=np.float32)
        logs.append([*model.train_on_batch(x, return_dict=True).values(), *model.get_weights()])
    for mine, other in zip(*logs, strict=True):
        np.testing.assert_array_equal(mine, other)
    samples = [model.sample(4, seed=1, num_steps=n) for n in (2, 3)]
    assert model._compiled_chain.experimental_get_tracing_count() == 1
    model.sampler = sampler.with_dtype("float32")
    assert 0 < np.abs(model.sample(4, seed=1, num_steps=2) - samples[0]).max() < 0.05


def test_a_probe_tells_what_is_faster():
    network = networks.mlp(3, (8,))
    reference = networks.GaussianReference.from_moments([0.0] * 3, [1.0] * 3)
    sampler = samplers.Langevin.from_epsilon(0.1, 2)
    model = tf_febm.ContrastiveDivergence(network, sampler=sampler, reference=reference, seed=1)
    model.build((None, 3))
    state = np.asarray(model.seed_generator.state)
    present = model.sampler
    assert present.dtype == "float32" and present.with_dtype("bfloat16").dtype == "bfloat16"
    assert 0.01 < chain_dtype.times_as_fast(model, 8) < 100.0
    assert model.sampler is present
    np.testing.assert_array_equal(model.seed_generator.state, state)
    assert isinstance(chain_dtype.has_bfloat16(), bool)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("model name: x\nflags : fpu avx512_bf16 avx2\n", True),
        ("flags : fpu avx512f\nbugs : avx512_bf16\n", False),
        ("Features : fp asimd bf16\n", True),
        (None, False),
    ],
)
def test_processors_with_instructions(tmp_path, monkeypatch, text, there):
    monkeypatch.setattr(chain_dtype, "_CPUINFO", tmp_path / "cpuinfo")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert chain_dtype.has_bfloat16() == there
