"""Small models of points in the plane, one of each method, and their weights."""

import keras
import numpy as np

import tf_febm

OF_ENERGY_ALONE = {
    "contrastive_divergence": tf_febm.ContrastiveDivergence,
    "pseudo_spherical": tf_febm.PseudoSpherical,
    "score_matching": tf_febm.ScoreMatching,
    "energy_discrepancy": tf_febm.EnergyDiscrepancy,
}
METHODS = (
    "febm",
    "dual",
    "bidirectional",
    "noise_contrastive",
    "recovery",
    "multiscale",
    *OF_ENERGY_ALONE,
)


def plane(n=32, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 2)).astype("float32")


def model_of(
    method, classes=None, optimizer=lambda: keras.optimizers.SGD(0.05), eager=True, **options
):
    """Return a compiled model, whose few steps run eagerly: a trace takes longer than they do.

    Compiled steps are held against the same closed forms in each method's own tests.
    """
    keras.utils.set_random_seed(1)
    sampler = tf_febm.samplers.Langevin(0.05, 0.3, num_steps=2, grad_clip=None, bounds=None)
    options = {"sampler": sampler, "seed": 0, **options}
    energy, other = (
        tf_febm.networks.mlp(2, (8,), num_classes=classes, name=n) for n in ("energy", "other")
    )
    if method in OF_ENERGY_ALONE:
        model = OF_ENERGY_ALONE[method](energy, **options)
        model.compile(optimizer(), run_eagerly=eager)
    elif method == "noise_contrastive":
        noise = tf_febm.networks.GaussianReference.from_moments(np.zeros(2, "f4"), np.ones(2, "f4"))
        model = tf_febm.NoiseContrastive(energy, noise, **options)
        model.compile(optimizer(), run_eagerly=eager)
    elif method == "recovery":
        energy, other = (
            tf_febm.networks.mlp(size, (8,), num_classes=2 + (classes or 0)) for size in (2, 4)
        )
        model = tf_febm.Recovery(energy, other, levels=2, num_classes=classes, **options)
        model.compile(optimizer(), optimizer(), run_eagerly=eager)
    elif method == "multiscale":
        reference = tf_febm.networks.GaussianReference.from_moments([0.0, 0.1], [1.0, 1.2])
        energy = tf_febm.networks.mlp(2, (8,), num_classes=2 + (classes or 0))
        model = tf_febm.MultiscaleScoreMatching(
            energy, reference, levels=2, num_classes=classes, **options
        )
        model.compile(optimizer(), run_eagerly=eager)
    elif method == "bidirectional":
        generator = tf_febm.networks.generator_mlp(2, 2)
        model = tf_febm.BidirectionalEBM(energy, generator, 2, **options)
        model.compile(optimizer(), optimizer(), run_eagerly=eager)
    else:
        make = tf_febm.DualFEBM if method == "dual" else tf_febm.FEBM
        model = make(energy, other, **options)
        model.compile(optimizer(), optimizer(), run_eagerly=eager)
    return model


def weights_of(model):
    return [w.copy() for net in model.networks for w in net.get_weights()]


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def state_of(model):
    """Return all that training changes, to be given to `set_back`."""
    return [(v, v.numpy()) for variables in model.state_variables().values() for v in variables]


def set_back(state):
    """Make a model what it was, with its traces kept: cheaper than a second one built alike."""
    for variable, value in state:
        variable.assign(value)
