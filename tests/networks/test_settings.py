"""Networks under Keras' global keras_settings of the image format, the dtype and epsilon."""

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

IMAGES = [name for name in NETWORKS if len(NETWORKS[name][1]) == 3]


def assert_same(mine, theirs):
    """To rounding: sums may be in another order."""
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize("name", with_breadth(IMAGES))
def test_channels_stay_last(name, keras_settings, tmp_path):
    """Built, called, differentiated, saved and loaded under either format: one network."""
    conditional = name in CONDITIONAL
    inputs = inputs_of(name, 3, conditional)
    keras.utils.set_random_seed(0)
    last = stirred(build(name, conditional))
    expected = energies_and_scores(last, inputs)
    last.save(tmp_path / "last.keras")
    keras_settings.set_image_data_format("channels_first")
    first = build(name, conditional)
    assert [w.shape for w in first.weights] == [w.shape for w in last.weights]
    first.set_weights(last.get_weights())
    assert_same(energies_and_scores(first, inputs), expected)
    assert_same(energies_and_scores(last, inputs), expected)
    assert_same(
        energies_and_scores(keras.models.load_model(tmp_path / "last.keras"), inputs), expected
    )
    with networks.cached_weights(first):
        assert_same(energies_and_scores(first, inputs), expected)
    first.save(tmp_path / "first.keras")
    keras_settings.set_image_data_format("channels_last")
    assert_same(
        energies_and_scores(keras.models.load_model(tmp_path / "first.keras"), inputs), expected
    )


@pytest.mark.parametrize(
    ("kind", "shape"), [("conv", (9, 12, 2)), ("mnist_net", (8, 16, 3)), ("resnet32", (9, 12, 2))]
)
def test_images_that_are_not_square(kind, shape, keras_settings):
    x = tf.constant(np.random.default_rng(0).random((2, *shape)), tf.float32)
    keras.utils.set_random_seed(0)
    last = stirred(networks.build(kind, shape, 4))
    expected = energies_and_scores(last, x)
    keras_settings.set_image_data_format("channels_first")
    first = networks.build(kind, shape, 4)
    first.set_weights(last.get_weights())
    assert_same(energies_and_scores(first, x), expected)


@pytest.mark.parametrize(
    ("name", "batch_norm"),
    # Without it there is less to go wrong.
    [
        ("mlp", True),
        ("dcgan", True),
        ("resnet", True),
        pytest.param("resnet", False, marks=pytest.mark.thorough),
        ("published_bounds", True),
    ],
)
def test_generators(name, batch_norm, keras_settings, tmp_path):
    z = tf.random.stateless_normal([3, 4], (0, 1))
    keras.utils.set_random_seed(0)
    last = GENERATORS[name](batch_norm=batch_norm)
    last.set_weights([np.abs(w) + 0.1 for w in last.get_weights()])
    last.save(tmp_path / "last.keras")

    def images_and_gradients(generator):
        with tf.GradientTape() as tape:
            tape.watch(z)
            x = generator(z)
            total = tf.reduce_sum(tf.square(x))
        return x.numpy(), tape.gradient(total, z).numpy()

    expected = images_and_gradients(last)
    keras_settings.set_image_data_format("channels_first")
    first = GENERATORS[name](batch_norm=batch_norm)
    assert first.output_shape == last.output_shape
    first.set_weights(last.get_weights())
    for generator in (first, last, keras.models.load_model(tmp_path / "last.keras")):
        assert_same(images_and_gradients(generator), expected)


def test_the_layer_alone(keras_settings):
    """`networks.Conv2D` is channels last; who asks for channels first gets Keras' own."""
    keras_settings.set_image_data_format("channels_first")
    x = np.random.default_rng(0).random((2, 5, 6, 3)).astype(np.float32)
    for layer in (networks.Conv2D(4, 3), networks.Conv2D(4, 3, 1, "valid", None)):
        found = layer(x)
        np.testing.assert_allclose(
            found, tf.nn.conv2d(x, layer.kernel, 1, "VALID"), rtol=1e-5, atol=1e-6
        )
        assert type(layer).from_config(layer.get_config()).data_format == "channels_last"
    other = networks.Conv2D(4, 3, data_format="channels_first")
    assert other.compute_output_shape((2, 3, 5, 6)) == (2, 4, 3, 4)


@pytest.mark.parametrize("name", with_breadth(NETWORKS))
def test_floatx(name, keras_settings):
    """With floatx float64 alone x, weights and energies are float64, and no digit is lost between.

    The gradient is that of central differences, which float32 would spoil: of a step of 1e-5
    and rounding 1e-16, good to 1e-9 of the energies' curvature.
    """
    keras_settings.set_floatx("float64")
    keras_settings.set_dtype_policy("float64")
    keras.utils.set_random_seed(0)
    network = stirred(build(name))
    assert {w.dtype for w in network.weights} == {"float64"}
    rng = np.random.default_rng(0)
    x = tf.constant(rng.random((2, *NETWORKS[name][1])))
    direction = rng.normal(size=x.shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        energies = network(x)
    assert energies.dtype == tf.float64
    slopes = np.sum(tape.gradient(energies, x) * direction, axis=tuple(range(1, x.shape.rank)))
    step = 1e-5
    ends = [network(x + sign * step * direction).numpy()[:, 0] for sign in (1, -1)]
    np.testing.assert_allclose((ends[0] - ends[1]) / (2 * step), slopes, rtol=1e-5, atol=1e-8)
    with networks.cached_weights(network):
        np.testing.assert_allclose(network(x), energies, rtol=1e-12)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_policy_decides_and_not_floatx(policy, keras_settings):
    """Data in float64 do not make float64 energies, and do not fail."""
    keras_settings.set_floatx("float64")
    keras_settings.set_dtype_policy(policy)
    x = np.random.default_rng(0).normal(size=(4, 2))
    for name in ("mlp", "quadratic", "both", "fourier_mlp"):
        assert build(name)(x).dtype == tf.float32


@pytest.mark.parametrize("name", ["conv", "residual", "both", "published_bounds of points"])
def test_epsilon_changes_nothing(name, keras_settings):
    inputs, found = inputs_of(name, 2), []
    for epsilon in (1e-7, 0.1):
        keras_settings.set_epsilon(epsilon)
        keras.utils.set_random_seed(0)
        found.append(stirred(build(name))(inputs))
    np.testing.assert_array_equal(*found)


class TestFiles:
    """What is saved under one policy is the same network under any other."""

    POLICIES = ("float32", "mixed_bfloat16", "float64")

    @pytest.mark.parametrize("name", ["fourier_mlp", "residual", "both"])
    def test_networks(self, name, keras_settings, tmp_path):
        conditional = name in CONDITIONAL
        inputs = inputs_of(name, 3, conditional)
        for number, policy in enumerate(self.POLICIES):
            keras_settings.set_dtype_policy(policy)
            network = stirred(build(name, conditional))
            expected = network(inputs).numpy()
            network.save(tmp_path / f"{policy}.keras")
            keras_settings.set_dtype_policy(self.POLICIES[number - 1])
            again = keras.models.load_model(tmp_path / f"{policy}.keras")
            np.testing.assert_array_equal(again(inputs), expected, err_msg=policy)
            with networks.cached_weights(again):
                assert again(inputs).dtype == expected.dtype

    @pytest.mark.parametrize("name", ["mlp", "dcgan", "monotone"])
    def test_generators(self, name, keras_settings, tmp_path):
        z = tf.random.stateless_normal([3, 4], (0, 1))
        for number, policy in enumerate(self.POLICIES):
            keras_settings.set_dtype_policy(policy)
            generator = GENERATORS[name]()
            expected = generator(z).numpy()
            assert expected.dtype == ("float64" if policy == "float64" else "float32")
            generator.save(tmp_path / f"{policy}.keras")
            keras_settings.set_dtype_policy(self.POLICIES[number - 1])
            again = keras.models.load_model(tmp_path / f"{policy}.keras")
            np.testing.assert_array_equal(again(z), expected, err_msg=policy)


@pytest.mark.parametrize("own", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("globally", ["float32", "mixed_bfloat16"])
def test_attention_with_a_policy_of_its_own(own, globally, keras_settings):
    """All of it computes under that policy, in training with dropout too."""
    keras_settings.set_dtype_policy(globally)
    keras.utils.set_random_seed(0)
    layer = networks.SelfAttention(4, dropout=0.5, dtype=own)
    x = tf.random.stateless_normal([2, 4, 4, 3], (0, 1))
    for training in (False, True):
        assert layer(x, training=training).dtype == layer.compute_dtype


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: networks.mlp(3, (2, 10**9)), r"mlp: .*hidden_units=\(2, 1000000000\)"),
        (lambda: networks.strided((8, 8, 1), 10**7), "strided: .*num_filters=10000000"),
        (lambda: networks.generator_mlp(10**9, (3,)), "generator_mlp: .*latent_dim=1000000000"),
    ],
)
def test_what_does_not_fit_into_memory_is_named(make, named, monkeypatch):
    """By the call that the user wrote; TensorFlow's error is of some operation deep inside."""

    def refuse(shape, *args, **kwargs):
        if np.prod(shape, dtype=float) > 1e9:
            raise tf.errors.ResourceExhaustedError(
                None, None, f"OOM: a tensor with shape{[*shape]}"
            )
        return tf.zeros(shape)

    # Machines differ in what they can hold, and in what they promise.
    for name in ("uniform", "normal", "truncated_normal"):
        monkeypatch.setattr(f"keras.src.random.{name}", refuse)
        monkeypatch.setattr(f"keras.src.initializers.random_initializers.random.{name}", refuse)
    with pytest.raises(ValueError, match=named):
        make()
