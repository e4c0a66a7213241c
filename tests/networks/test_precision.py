"""Every constructor under every dtype policy: float32 energies, with the digits of float32.

The truth is NumPy's in float64 for networks of vectors, and for images the same network under the
policy float64, whose values tests/networks/test_published.py and others compare with other code.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from every_network import (
    CONDITIONAL,
    GENERATORS,
    NETWORKS,
    build,
    energies_and_scores,
    inputs_of,
    stirred,
    with_breadth,
)

from tf_febm import networks

MIXED = {"mixed_bfloat16": 2.0**-8, "mixed_float16": 2.0**-11}
ROUNDING = {"float32": 2.0**-24, "float64": 2.0**-53, **MIXED}
VECTORS = ["fourier_mlp", "mlp", "quadratic", "confined", "standardised", "both"]


@pytest.fixture
def set_policy(keras_settings):
    return keras_settings.set_dtype_policy


def norms(x):
    return np.linalg.norm(x.reshape(len(x), -1), axis=1)


@pytest.mark.parametrize("name", with_breadth(NETWORKS))
def test_energies_and_scores(name, set_policy):
    """With cached weights and without: as far from the truth as rounding puts them.

    A network rounds some dozens of times one after the other. Scores are those of a loss scaled by
    2¹⁰; of their errors the median over examples counts, for where rounding crosses the kink of a
    leaky_relu the score of that example jumps.
    """
    conditional = name in CONDITIONAL
    keras.utils.set_random_seed(0)
    set_policy("float64")
    exact = stirred(build(name, conditional))
    inputs = inputs_of(name, 6, conditional)
    truth = energies_and_scores(exact, inputs)
    for policy, rounding in ROUNDING.items():
        set_policy(policy)
        network = build(name, conditional)
        network.set_weights(exact.get_weights())
        outside = energies_and_scores(network, inputs)
        with networks.cached_weights(network):
            inside = energies_and_scores(network, inputs)
        expected = "float64" if policy == "float64" else "float32"
        errors = []
        for energies, scores in (outside, inside):
            assert energies.dtype == expected and scores.dtype == "float32", policy
            error = np.abs(energies - truth[0]).max() / np.abs(truth[0]).max()
            assert error <= 30 * rounding, policy
            errors.append(np.median(norms(scores - truth[1]) / norms(truth[1])))
            assert errors[-1] <= 30 * max(rounding, 2.0**-24), policy
        # Neither way is the worse one.
        assert errors[1] <= 2 * errors[0] + 4 * max(rounding, 2.0**-24), policy


def perceptron(x, weights, activation):
    """Return the energies of a perceptron, float64 [n]."""
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = activation(x @ kernel + bias)
    return (x @ weights[-2] + weights[-1])[:, 0]


def swish(x):
    return x / (1.0 + np.exp(-x))


def by_hand(name, x, weights):
    """Return the energies of a network of vectors, float64 [n]."""
    if name == "quadratic":
        return 0.5 * np.sum(np.square((x - weights[0]) / np.exp(weights[1])), axis=1)
    if name == "fourier_mlp":
        frequencies, *weights = weights
        angles = x @ frequencies
        return perceptron(np.hstack([x, np.sin(angles), np.cos(angles)]), weights, swish)
    if name == "mlp":
        return perceptron(x, weights, swish)
    if name == "confined":
        return perceptron(x, weights, np.tanh) + 0.15 * np.sum(np.square(x), axis=1)
    z = (x - np.array([0.5, -0.2])) / np.array([0.9, 1.1])
    if name == "standardised":
        return perceptron(z, weights, np.tanh)
    return by_hand("quadratic", z, weights) + 0.15 * np.sum(np.square(z), axis=1)


@pytest.mark.parametrize("policy", ROUNDING)
@pytest.mark.parametrize("name", VECTORS)
def test_vectors_by_hand(name, policy, set_policy):
    """What has no hidden layer has no 16 bits: it is as good as in float32."""
    set_policy(policy)
    keras.utils.set_random_seed(0)
    network = stirred(build(name))
    x = inputs_of(name, 2000).numpy()
    weights = [w.astype(np.float64) for w in network.get_weights()]
    truth = by_hand(name, x.astype(np.float64), weights)
    rounding = ROUNDING[policy]
    if name in ("quadratic", "both"):
        rounding = min(rounding, 2.0**-24)
    found = network(x).numpy()[:, 0]
    assert np.abs(found - truth).max() <= 30 * rounding * np.abs(truth).max()
    # 2,000 inputs have 2,000 energies, but for the few that fall on one float32 by chance.
    assert len(np.unique(found)) > 1980


@pytest.mark.parametrize("policy", ["float32", *MIXED])
def test_inputs_that_are_nearly_equal(policy, set_policy):
    """2,000 points over a thousandth of a unit: 16 bits hold one or two of them."""
    set_policy(policy)
    x = np.linspace(1.0, 1.001, 2000, dtype=np.float32)[:, np.newaxis]
    truth = 0.5 * np.square(x.astype(np.float64))
    quadratic = networks.quadratic(1)
    layers = {
        "quadratic": (quadratic, truth),
        "well": (networks.QuadraticConfinement(1.0), truth),
        "confined": (networks.with_confinement(quadratic, 1.0), 2.0 * truth),
        "standardised": (networks.standardised(quadratic, [0.0], [1.0]), truth),
        "features": (networks.FourierFeatures(1, 1.0), None),
        "standardise": (networks.Standardise([0.5], [2.0]), (x.astype(np.float64) - 0.5) / 2.0),
    }
    for name, (layer, expected) in layers.items():
        found = layer(x).numpy()
        assert found.dtype == np.float32, name
        if expected is None:
            angles = x.astype(np.float64) * np.random.default_rng(0).normal()
            expected = np.hstack([x, np.sin(angles), np.cos(angles)])
        np.testing.assert_allclose(found, expected, rtol=4e-7, err_msg=name)
        assert len(np.unique(found[:, 0])) > 1950, name


@pytest.mark.parametrize("policy", ["float32", *MIXED])
@pytest.mark.parametrize("inner", ["quadratic", "mlp"])
def test_standardising_raw_units(inner, policy, set_policy):
    """A mean of 100 deviations: in bfloat16 x itself has steps of half a deviation."""
    set_policy(policy)
    keras.utils.set_random_seed(0)
    network = networks.quadratic(1) if inner == "quadratic" else networks.mlp(1, (32,), "swish")
    outer = networks.standardised(network, [1000.0], [10.0])
    x = np.random.default_rng(0).normal(1000.0, 10.0, (2000, 1)).astype(np.float32)
    z = (x.astype(np.float64) - 1000.0) / 10.0
    if inner == "quadratic":
        truth, rounding = 0.5 * np.square(z[:, 0]), 2.0**-24
    else:
        weights = [w.astype(np.float64) for w in outer.get_weights()]
        truth, rounding = perceptron(z, weights, swish), ROUNDING[policy]
    found = outer(x).numpy()[:, 0]
    assert found.dtype == np.float32
    assert np.abs(found - truth).max() <= 10 * rounding * np.abs(truth).max()
    # Distinct inputs have distinct energies; where the perceptron is flat some may meet.
    assert len(np.unique(found)) > 0.9 * len(np.unique(x))


@pytest.mark.parametrize("policy", [None, *MIXED])
def test_a_policy_of_the_layer_alone(policy):
    """Layers of full precision keep it under a policy of their own, and through a file."""
    x = np.linspace(1.0, 1.001, 2000, dtype=np.float32)[:, np.newaxis]
    for layer in (
        networks.QuadraticEnergy(dtype=policy),
        networks.QuadraticConfinement(1.0, dtype=policy),
        networks.Standardise([0.0], [1.0], dtype=policy),
        networks.FourierFeatures(2, 1.0, dtype=policy),
        networks.MonotoneSum(2, seed=0, dtype=policy),
        networks.TriangularProduct(dtype=policy),
    ):
        for one in (layer, type(layer).from_config(layer.get_config())):
            found = one(x).numpy()
            assert found.dtype == np.float32 and len(np.unique(found)) > 1950, layer


def test_standardise_takes_float64_as_it_is():
    x = 1.6e9 + np.array([[-100.0], [-99.5], [0.0], [100.0]])
    z = networks.Standardise([1.6e9], [100.0])(tf.constant(x))
    assert z.dtype == tf.float32
    np.testing.assert_allclose(z, [[-1.0], [-0.995], [0.0], [1.0]], rtol=1e-6)


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
def test_weights_of_16_bits_are_refused(policy, set_policy):
    set_policy(policy)
    mean = ([0.0], [1.0])
    layers = {
        "QuadraticEnergy": networks.QuadraticEnergy,
        "QuadraticConfinement": lambda: networks.QuadraticConfinement(1.0),
        "Standardise": lambda: networks.Standardise(*mean),
        "SelfAttention": lambda: networks.SelfAttention(3),
    }
    constructors = {name: pair[0] for name, pair in NETWORKS.items()}
    for name, make in {**constructors, **GENERATORS, **layers}.items():
        with pytest.raises(ValueError, match=f"received the dtype policy '{policy}'"):
            pytest.fail(f"{name} was built: {make()}")
    set_policy("float32")
    inner = networks.mlp(1)
    set_policy(policy)
    for wrap in (
        lambda: networks.with_confinement(inner, 1.0),
        lambda: networks.standardised(inner, *mean),
    ):
        with pytest.raises(ValueError, match=f"Use 'mixed_{policy}'"):
            wrap()


@pytest.mark.parametrize("wrap", ["confined", "standardised"])
@pytest.mark.parametrize("policy", MIXED)
def test_networks_of_others_are_taken_to_float32_and_warned_of(policy, wrap, set_policy):
    set_policy(policy)
    other = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)], name="other")
    arguments = (1.0,) if wrap == "confined" else ([0.0], [1.0])
    with pytest.warns(UserWarning, match=f"energies of other are {policy.split('_')[1]}"):
        network = getattr(networks, wrap)(other, *arguments)
    x = np.random.default_rng(0).normal(size=(5, 1)).astype(np.float32)
    assert network.output.dtype == "float32" and network(x).dtype == tf.float32


def linear(name):
    """Return a generator with no activation of its output, where it has the choice."""
    return GENERATORS[name](**({} if name == "published_bounds" else {"output_activation": None}))


@pytest.mark.parametrize("name", GENERATORS)
def test_generators(name, set_policy):
    """Data are float32 and not rounded; maps without hidden layers are as good as in float32."""
    set_policy("float64")
    keras.utils.set_random_seed(0)
    exact = stirred(linear(name))
    z = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
    truth = exact(z).numpy()
    assert truth.dtype == np.float64
    for policy in MIXED:
        set_policy(policy)
        mixed = linear(name)
        mixed.set_weights(exact.get_weights())
        found = mixed(z).numpy()
        assert found.dtype == np.float32, policy
        rounding = 2.0**-24 if name == "monotone" else ROUNDING[policy]
        assert np.linalg.norm(found - truth) <= 30 * rounding * np.linalg.norm(truth), policy
        columns = found.reshape(2000, -1).T
        assert min(len(np.unique(column)) for column in columns) > 1900, policy
        # z in the hundredth of a unit that 8 bits cannot tell apart.
        near = mixed(1.0 + z / 1000.0).numpy().reshape(2000, -1)
        least = 1990 if name in ("monotone", "coupling") else 20
        assert len(np.unique(near, axis=0)) > least, policy


def test_monotone_steps_by_hand_under_a_mixed_policy(set_policy):
    set_policy("mixed_bfloat16")
    layer = networks.MonotoneSum(5, seed=0)
    x = np.random.default_rng(0).normal(size=(2000, 3)).astype(np.float32)
    found = layer(x).numpy()
    a, b, h, s, c = (np.asarray(w, np.float64) for w in layer.get_weights())
    steps = np.log1p(np.exp(h)) * np.tanh(np.exp(s) * (x[..., np.newaxis].astype(np.float64) - c))
    np.testing.assert_allclose(found, np.exp(a) * x + b + steps.sum(-1), rtol=1e-5, atol=1e-6)


def test_sums_over_positions_do_not_overflow(set_policy):
    """The features of a residual network are sums over all positions, too many for float16."""
    set_policy("mixed_float16")
    keras.utils.set_random_seed(0)
    network = networks.resnet32(2, image_shape=(64, 64, 1))
    x = np.full((1, 64, 64, 1), 8e3, np.float32)
    assert np.isfinite(network(x)).all()
    last = keras.Model(network.input, network.get_layer("final_output").output)
    assert np.max(last(x).numpy().astype(np.float64).sum(axis=(1, 2))) > 65504.0


@pytest.mark.parametrize("policy", MIXED)
def test_scores_of_attention_are_in_float32(policy):
    """Two positions whose scores differ by one in some thousands: softmax by hand.

    In 16 bits both scores are the same number, or infinite, and the weights a half each.
    """
    layer = networks.SelfAttention(1, dtype=policy)
    layer.build((None, 1, 2, 1))
    # A kernel of one entry is normalised to its sign: q = x + 256, k = x + 256, v = x.
    for part in (layer.query, layer.key, layer.value):
        part.kernel.assign(tf.ones_like(part.kernel))
        part.vector.assign(tf.ones_like(part.vector))
    layer.query.bias.assign([255.0])
    layer.key.bias.assign([256.0])
    layer.gamma.assign([1.0])
    x = np.array([1.0, 0.0], np.float32).reshape(1, 1, 2, 1)
    found = layer(x).numpy().astype(np.float64).reshape(2)
    query, key = np.array([256.0, 255.0]), np.array([257.0, 256.0])
    if policy == "mixed_bfloat16":
        # 257 has nine bits; what is rounded before the product is not at issue.
        key = np.array([256.0, 256.0])
    scores = np.outer(query, key)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, [1.0, 0.0] + shares @ [1.0, 0.0], rtol=1e-2, atol=1e-2)
    assert np.isfinite(found).all()
