"""Generators: shapes, what their Jacobians are made of, and what they refuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from every_network import GENERATORS

from tf_febm import entropy, networks


@pytest.mark.parametrize(
    "name, options",
    [(name, {}) for name in GENERATORS]
    + [(name, {"batch_norm": True}) for name in ("mlp", "dcgan", "resnet")],
)
def test_one_example_is_made_of_one_z(name, options):
    """In inference mode rows do not mix, and J is that of differences; so is ‖J v‖'s gradient."""
    keras.utils.set_random_seed(1)
    generator = GENERATORS[name](**options)
    z = tf.random.stateless_normal([3, 4], (0, 1))
    # Statistics that are not those of a fresh layer.
    generator(5.0 * z + 1.0, training=True)
    x = generator(z)
    assert x.shape == (3, *generator.output_shape[1:])
    np.testing.assert_allclose(generator(z[1:2]), x[1:2], rtol=1e-4, atol=1e-6)
    weights = [weight.value for weight in generator.trainable_variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(weights)
        value, vector = entropy.smallest_singular_value(generator, z, 3)
        total = tf.reduce_sum(tf.math.log(value))
    step = 1e-2 * vector
    change = tf.reshape(generator(z + step) - generator(z - step), [3, -1]) / 2e-2
    # Differences of float32 numbers near 1 over 1e-2 are good to about 1e-5, and to third order.
    np.testing.assert_allclose(tf.norm(change, axis=1), value, rtol=2e-2, atol=1e-4)
    gradients = tape.gradient(total, weights)
    assert any(float(tf.norm(g)) > 0 for g in gradients if g is not None)
    assert all(np.isfinite(g).all() for g in gradients if g is not None)


@pytest.mark.parametrize(
    "shape, filters",
    [((8, 8, 1), 6), ((28, 28, 1), 12), ((32, 32, 3), 24), ((13, 9, 2), 3)],
)
def test_dcgan_halves_down_to_seven_pixels_or_to_odd_ones(shape, filters):
    generator = networks.generator_dcgan(5, shape, 3)
    assert generator.output_shape == (None, *shape)
    first = next(layer for layer in generator.layers if isinstance(layer, keras.layers.Reshape))
    assert first.output.shape[-1] == filters


@pytest.mark.parametrize("d", [2, 5])
def test_couplings_are_one_to_one_and_onto(d):
    """Solved for z layer by layer, with the weights read off; det J is the product of scales."""
    keras.utils.set_random_seed(2)
    generator = networks.generator_coupling(d, d, (6,), "tanh", num_layers=3)
    weights = [
        w + np.random.default_rng(0).normal(0.0, 0.5, w.shape) for w in generator.get_weights()
    ]
    generator.set_weights(weights)
    z = np.random.default_rng(1).normal(size=(7, d))
    x = generator(z.astype(np.float32)).numpy().astype(float)
    log_det = np.zeros(7)
    for k in reversed(range(3)):
        hidden, log_scale, shift = (weights[6 * k + i : 6 * k + i + 2] for i in (0, 2, 4))
        moved = d - (d // 2 if k % 2 == 0 else d - d // 2)
        moved, kept = x[:, :moved], x[:, moved:]
        h = np.tanh(kept @ hidden[0] + hidden[1])
        scale = 2.0 * np.tanh(h @ log_scale[0] + log_scale[1])
        log_det += scale.sum(axis=1)
        x = np.concatenate([kept, (moved - h @ shift[0] - shift[1]) * np.exp(-scale)], axis=1)
    np.testing.assert_allclose(x, z, atol=1e-4)
    found = entropy.log_volume(generator, tf.constant(z, tf.float32))
    np.testing.assert_allclose(found, log_det, atol=1e-4)


def test_outputs_stay_inside_the_activation():
    for activation, low in (("sigmoid", 0.0), ("tanh", -1.0)):
        generator = networks.generator_mlp(2, 3, (4,), output_activation=activation)
        x = generator(100.0 * tf.random.stateless_normal([50, 2], (1, 2))).numpy()
        assert low <= x.min() < low + 0.2 and 0.8 < x.max() <= 1.0


def test_bad_arguments():
    for call, message in (
        (lambda: networks.generator_mlp(0, 2), "latent_dim"),
        (lambda: networks.generator_mlp(2, (2, 0)), "output_shape"),
        (lambda: networks.generator_dcgan(2, (8, 8)), "output_shape"),
        (lambda: networks.generator_resnet(2, (8, 8, 1), 0), "num_filters"),
        (lambda: networks.generator_coupling(3, 2), "latent_dim=3 for shape"),
        (lambda: networks.generator_coupling(1, 1), "latent_dim"),
        (lambda: networks.generator_monotone(3, 2), "latent_dim=3 for shape"),
        (lambda: networks.generator_monotone(2, 2, 0), "num_layers"),
        (lambda: networks.generator_monotone(2, 2, 1, 0), "num_steps"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
