"""`sample_weight` and `class_weight`: density estimation of weighted data."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from plane_models import set_back, state_of

import tf_febm

METHODS = (
    *("febm", "shift_invariant", "dual", "contrastive_divergence", "pseudo_spherical"),
    "bidirectional",
)


def plane(n=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 2)).astype("float32")


def model_of(method, sampler, classes=None, **options):
    """Return a model whose one step runs eagerly: a trace takes longer."""
    keras.utils.set_random_seed(1)
    energy, other = (
        tf_febm.networks.mlp(2, (8,), num_classes=classes, name=n) for n in ("energy", "other")
    )
    sgd = (keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    if method in ("contrastive_divergence", "pseudo_spherical"):
        options = {"initial": "noise", **options}
        pseudo = method == "pseudo_spherical"
        make = tf_febm.PseudoSpherical if pseudo else tf_febm.ContrastiveDivergence
        model = make(energy, sampler=sampler, l2_coeff=0.3, seed=0, **options)
        model.compile(sgd[0], run_eagerly=True)
    elif method == "bidirectional":
        generator = tf_febm.networks.generator_mlp(2, 2)
        model = tf_febm.BidirectionalEBM(
            energy, generator, 2, sampler=sampler, l2_coeff=0.3, penalty="data", seed=0
        )
        model.compile(*sgd, run_eagerly=True)
    else:
        make = tf_febm.DualFEBM if method == "dual" else tf_febm.FEBM
        if method == "shift_invariant":
            options["shift_invariant"] = True
        model = make(
            energy,
            other,
            sampler=sampler,
            l2_coeff=0.3,
            warmup_steps=0,
            leave_one_out=False,
            seed=0,
            **options,
        )
        model.compile(*sgd, run_eagerly=True)
    return model


def weights_after_a_step(model, x, labels=None, weights=None, sampler=None):
    """Return what a step makes of the energy's weights, and leave the model as it was."""
    if sampler is not None:
        model.sampler = sampler
    model.build((None, 2))
    state = state_of(model)
    model.train_on_batch(x, labels, sample_weight=weights)
    found = np.concatenate([w.numpy().ravel() for w in model.energy_network.weights])
    set_back(state)
    return found


@pytest.mark.parametrize("method", METHODS)
def test_a_weight_of_two_is_the_example_twice(method, fixed_sampler):
    """Same negatives in other numbers: their means are equal, so the steps must be."""
    x, weights = plane(4), np.array([2.0, 1.0, 0.0, 1.0], "float32")
    negatives = plane(4, seed=5)
    model = model_of(method, fixed_sampler(negatives))
    weighted = weights_after_a_step(model, x, weights=weights)
    repeated = weights_after_a_step(model, x[[0, 0, 1, 3]])
    plain = weights_after_a_step(model, x)
    np.testing.assert_allclose(weighted, repeated, atol=3e-7)
    assert np.abs(weighted - plain).max() > 1e-4


@pytest.mark.parametrize("method", METHODS[:-1])
def test_negatives_of_a_label_count_as_much_as_its_data(method, fixed_sampler):
    """The law of the labels of the negatives is that of the weighted data."""
    x, labels = plane(4), np.array([0, 1, 1, 0], "int32")
    weights = np.array([2.0, 1.0, 1.0, 0.0], "float32")
    negatives = plane(4, seed=5)
    model = model_of(method, fixed_sampler(negatives), classes=2)
    order = [0, 0, 1, 2]
    np.testing.assert_allclose(
        weights_after_a_step(model, x, labels, weights),
        weights_after_a_step(
            model, x[order], labels[order], sampler=fixed_sampler(negatives[order])
        ),
        atol=3e-7,
    )


def test_chains_that_start_at_the_data_have_its_weights(fixed_sampler):
    x, weights = plane(4), np.array([2.0, 1.0, 1.0, 0.0], "float32")
    negatives, order = plane(4, seed=5), [0, 0, 1, 2]
    weighted, repeated = (
        model_of("contrastive_divergence", fixed_sampler(made), initial="data")
        for made in (negatives, negatives[order])
    )
    np.testing.assert_allclose(
        weights_after_a_step(weighted, x, weights=weights),
        weights_after_a_step(repeated, x[order]),
        atol=3e-7,
    )


@pytest.mark.parametrize("kind", ["replay", "persistent"])
def test_chains_that_begin_at_weighted_data_are_drawn_by_weight(kind):
    """Chains that do not move, all fresh: the buffer holds examples as often as their weights say.

    1,024 places at weights 3 and 1: 768, to less than one for each of the examples' blocks.
    """
    x = np.repeat([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]], 1024, axis=0)[::3].astype("float32")
    weights = np.array([3.0, 1.0, 0.0], "float32")[x[:, 0].astype(int)]
    still = tf_febm.samplers.Langevin(1e-3, 0.0, num_steps=0, grad_clip=None, bounds=None)
    buffer = {
        "replay": tf_febm.ReplayBuffer(1024, 1.0),
        "persistent": tf_febm.PersistentChains(1024),
    }
    model = model_of("contrastive_divergence", still, initial="data", buffer=buffer[kind])
    model.fit(x, sample_weight=weights, batch_size=1024, verbose=0)
    kept = model.buffer.samples[:, 0].numpy()
    assert not (kept == 2.0).any()
    assert abs(np.sum(kept == 0.0) - 768) < 4 * 13.9


def test_every_way_in_gives_the_same_weights(fixed_sampler):
    x, weights = plane(8), np.arange(1.0, 9.0, dtype="float32")
    ways = {
        "fit": lambda m: m.fit(x, sample_weight=weights, batch_size=8, shuffle=False, verbose=0),
        "dataset": lambda m: m.fit(
            tf.data.Dataset.from_tensor_slices((x, np.zeros((8, 0)), weights)).batch(8), verbose=0
        ),
        "column": lambda m: m.train_on_batch(x, sample_weight=weights[:, None]),
        "train_on_batch": lambda m: m.train_on_batch(x, sample_weight=weights),
    }
    model = model_of("contrastive_divergence", fixed_sampler(plane(8, 5)))
    model.build((None, 2))
    found, state = [], state_of(model)
    for way in ways.values():
        set_back(state)
        way(model)
        found.append(model.energy_network.get_weights())
    for other in found[1:]:
        for first, second in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(first, second)


def test_class_weight_is_sample_weight_by_label(fixed_sampler):
    x, labels = plane(8), np.arange(8, dtype="int32") % 2
    sampler = fixed_sampler(plane(8, 5))
    by_class, by_sample, plain = (
        model_of("contrastive_divergence", sampler, classes=2) for _ in range(3)
    )
    by_class.fit(x, labels, class_weight={0: 1.0, 1: 3.0}, batch_size=8, shuffle=False, verbose=0)
    weights = np.where(labels == 1, 3.0, 1.0)
    by_sample.fit(x, labels, sample_weight=weights, batch_size=8, shuffle=False, verbose=0)
    plain.fit(x, labels, batch_size=8, shuffle=False, verbose=0)
    kernels = [m.energy_network.get_weights()[0] for m in (by_class, by_sample, plain)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[0] - kernels[2]).max() > 1e-5


def test_evaluation_and_validation_are_weighted(fixed_sampler):
    x = plane(8)
    weights = np.array([1.0] + [0.0] * 7, "float32")
    model = model_of("contrastive_divergence", fixed_sampler(x))
    model.build((None, 2))
    first = float(model.energy(x)[0])
    logs = model.evaluate(x, sample_weight=weights, batch_size=8, return_dict=True, verbose=0)
    assert logs["energy_data"] == pytest.approx(first, abs=1e-6)
    logs = model.test_on_batch(x, sample_weight=weights, return_dict=True)
    assert logs["energy_data"] == pytest.approx(first, abs=1e-6)
    model.optimizer.learning_rate = 0.0
    history = model.fit(
        x, batch_size=8, validation_data=(x, None, weights), verbose=0, shuffle=False
    )
    assert history.history["val_energy_data"][0] == pytest.approx(first, abs=1e-6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones((8, 2)), "one weight per example"),
        (np.array([-1.0] + [1.0] * 7), "negative or not finite"),
        (np.array([np.nan] + [1.0] * 7), "negative or not finite"),
        (np.zeros(8), "all sample_weight are 0"),
    ],
)
def test_bad_weights_are_refused_in_one_line(weights, message, fixed_sampler):
    model = model_of("febm", fixed_sampler(plane(8)))
    with pytest.raises(ValueError, match=message) as raised:
        model.fit(plane(8), sample_weight=weights.astype("float32"), batch_size=8, verbose=0)
    assert "\n" not in str(raised.value)


def test_class_weight_without_labels_is_refused(fixed_sampler):
    model = model_of("febm", fixed_sampler(plane(8)))
    with pytest.raises(ValueError, match="class_weight needs labels"):
        model.fit(plane(8), class_weight={0: 1.0}, verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    # That a step takes weights exactly is above, for every method.
    [pytest.param("febm", marks=pytest.mark.thorough), "contrastive_divergence"],
)
def test_the_weighted_mixture_is_learned(method):
    """Weights 1 and 3 on the halves of two Gaussians: the mean is 3/4·(1) + 1/4·(−1) = 1/2.

    A Gaussian energy has the moments of the weighted data as its maximum likelihood estimate, and
    as its minimum of the divergence up to misfit for f-EBM with KL: mean 1/2, variance 1 − 1/4 +
    0.04 = 0.79. The chains' law follows the energy to some per cent, hence the tolerance.
    """
    rng = np.random.default_rng(0)
    side = np.repeat([-1.0, 1.0], 500)
    x = (side + 0.2 * rng.normal(size=1000))[:, None].astype("float32")
    weights = np.where(side > 0, 3.0, 1.0).astype("float32")
    sampler = tf_febm.samplers.Langevin(
        0.05, np.sqrt(0.1), num_steps=60, grad_clip=None, bounds=None
    )
    keras.utils.set_random_seed(1)
    energy = tf_febm.networks.quadratic(1)
    if method == "febm":
        variational = tf_febm.networks.mlp(1, (32,), "tanh")
        model = tf_febm.FEBM(
            energy, variational, "kl", sampler=sampler, l2_coeff=0.0, shift_invariant=True, seed=0
        )
        model.compile(keras.optimizers.Adam(0.04), keras.optimizers.Adam(0.04))
    else:
        model = tf_febm.ContrastiveDivergence(
            energy, sampler=sampler, initial="noise", l2_coeff=0.0, seed=0
        )
        model.compile(keras.optimizers.Adam(0.04))
    model.fit(x, sample_weight=weights, batch_size=250, epochs=40, verbose=0)
    gaussian = energy.get_layer("gaussian")
    assert float(gaussian.mean[0]) == pytest.approx(0.5, abs=0.1)
    assert float(gaussian.scale[0]) == pytest.approx(np.sqrt(0.79), rel=0.12)
