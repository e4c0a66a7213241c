"""Small networks with every kind of layer among them, for tests of what holds for all of them.

What every name of the catalogue promises is in test_catalogue.py. The residual networks are one
builder and a table of plans; here it builds a plan of one block and attention, which has every
layer of theirs in a fifth of the time.
"""

from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import networks
from tf_febm.networks import resnets

CLASSES = 3
# A block that halves the image and doubles its channels, and attention in the place of the next.
PLAN = resnets.Plan(((2, "optim 2"),), attention="res_2")
# Of the block three kernels, of attention three, and the first.
RESIDUAL_KERNELS = 7


def _image(kind, *, side=8, filters=4, **settings):
    def build(**labels):
        shape = (side, side, 1)
        return networks.get(kind)(num_filters=filters, image_shape=shape, **settings, **labels)

    return build, (side, side, 1)


def residual(num_classes=None, filters=4):
    """Return a residual energy network of 8×8 images that is as small as they get."""
    with mock.patch.dict(resnets.PLANS, residual=PLAN):
        return resnets._resnet("residual", filters, num_classes, True, (8, 8, 1), "residual")


# Name: a function that takes num_classes, if the network knows labels, and the shape of x.
NETWORKS = {
    "conv": (lambda **k: networks.conv((8, 8, 1), 4, 6, **k), (8, 8, 1)),
    "fourier_mlp": (lambda **k: networks.fourier_mlp(2, (16, 8), num_features=5, **k), (2,)),
    "mlp": (lambda **k: networks.mlp(2, (16, 8), "swish", **k), (2,)),
    "mlp of images": (lambda **k: networks.mlp((4, 4, 1), (8,), "swish", **k), (4, 4, 1)),
    "mnist_net": _image("mnist_net"),
    "residual": (residual, (8, 8, 1)),
    "published_bounds": (lambda: networks.published_bounds((8, 8, 1), 4), (8, 8, 1)),
    "published_bounds of points": (lambda: networks.published_bounds(2, 8), (2,)),
    "quadratic": (lambda: networks.quadratic(2, 0.3, 1.7), (2,)),
    "confined": (lambda **k: networks.with_confinement(networks.mlp(2, (16,), **k), 0.3), (2,)),
    "confined images": (
        lambda **k: networks.with_confinement(networks.conv((8, 8, 1), 4, 6, **k), 0.3),
        (8, 8, 1),
    ),
    "standardised": (
        lambda **k: networks.standardised(networks.mlp(2, (16,), **k), [0.5, -0.2], [0.9, 1.1]),
        (2,),
    ),
    "both": (
        lambda: networks.standardised(
            networks.with_confinement(networks.quadratic(2), 0.3), [0.5, -0.2], [0.9, 1.1]
        ),
        (2,),
    ),
}
_NO_LABELS = ("quadratic", "both", "published_bounds", "published_bounds of points")
CONDITIONAL = [name for name in NETWORKS if name not in _NO_LABELS]
GENERATORS = {
    "mlp": lambda **k: networks.generator_mlp(4, (3, 2, 1), (8, 8), **k),
    "coupling": lambda **k: networks.generator_coupling(4, (2, 2, 1), (8, 8), num_layers=3, **k),
    "monotone": lambda **k: networks.generator_monotone(4, (2, 2, 1), 2, 3, **k),
    "dcgan": lambda **k: networks.generator_dcgan(4, (8, 8, 1), 3, **k),
    "resnet": lambda **k: networks.generator_resnet(4, (8, 8, 1), 1, **k),
    "published_bounds": lambda **k: networks.generator_published_bounds(4, (8, 8, 1), 3, **k),
}


# Made of the layers of another one here, or of that one and a wrapper.
LIKE_OTHERS = ("mlp of images", "mnist_net", "confined images", "published_bounds of points")


def with_breadth(names):
    """Return the names for `parametrize`, of which those like others are for a thorough run."""
    return [
        pytest.param(name, marks=pytest.mark.thorough) if name in LIKE_OTHERS else name
        for name in names
    ]


def inputs_of(name, count, conditional=False, seed=0):
    """Return x, or (x, one_hot), float32."""
    shape = NETWORKS[name][1]
    rng = np.random.default_rng(seed)
    x = rng.random((count, *shape)) if len(shape) > 1 else rng.normal(size=(count, *shape))
    x = tf.constant(x, tf.float32)
    return (x, tf.one_hot(np.arange(count) % CLASSES, CLASSES)) if conditional else x


def build(name, conditional=False):
    """Return a network under the present settings."""
    return NETWORKS[name][0](**({"num_classes": CLASSES} if conditional else {}))


def stirred(network, seed=1, scale=0.3):
    """Give weights that no initialiser gives: gains, biases and labels that all matter."""
    rng = np.random.default_rng(seed)
    network.set_weights([w + scale * rng.normal(size=w.shape) for w in network.get_weights()])
    return network


def energies_and_scores(network, inputs):
    """Return energies and their gradient for x, as NumPy arrays.

    The gradient goes back multiplied by 2¹⁰, as a scaled loss would have it in float16.
    """
    x, *labels = inputs if isinstance(inputs, tuple) else (inputs,)
    with tf.GradientTape() as tape:
        tape.watch(x)
        energies = network((x, *labels) if labels else x)
        scaled = energies * 2.0**10
    return energies.numpy(), tape.gradient(scaled, x).numpy() / 2.0**10
