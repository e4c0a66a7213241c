"""Conformal p-values of energies: their rate of false alarms, thresholds, saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm.calibration import Calibration, discoveries

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def digits():
    return tf_febm.data.load("digits")


@pytest.fixture(scope="module")
def images(digits):
    """Energies of 600 digits by a network of convolutions, which has learned nothing."""
    keras.utils.set_random_seed(3)
    network = tf_febm.networks.conv((8, 8, 1), 4, 8, name="energy")
    model = tf_febm.ContrastiveDivergence(network)
    return model, tf_febm.data.dequantise(digits.images[:600])


@pytest.fixture(scope="module")
def vectors():
    """Energies of 400 points, and of four classes, by a conditional perceptron."""
    keras.utils.set_random_seed(4)
    network = tf_febm.networks.mlp((2,), (16,), "swish", num_classes=4, name="energy")
    model = tf_febm.ContrastiveDivergence(network, sampler=tf_febm.samplers.Langevin(bounds=None))
    x = RNG.standard_normal((400, 2)).astype(np.float32)
    return model, x, RNG.choice(4, 400, p=[0.4, 0.3, 0.2, 0.1]).astype(np.int32)


def false_alarms(energies, classes, alpha, splits=200):
    """Return the share of p ≤ alpha in each of many random halves, the other half calibrating.

    Random halves of fixed energies are exchangeable, whatever the energies are.
    """
    found = []
    for _ in range(splits):
        order = RNG.permutation(len(energies))
        one, other = np.split(order, 2)
        if classes is None:
            calibration, own = Calibration(energies[one]), None
        else:
            groups = [energies[one][classes[one] == k] for k in range(4)]
            calibration, own = Calibration(groups), classes[other]
        found.append(np.mean(calibration.p_value(energies[other], own) <= alpha))
    return np.array(found)


@pytest.mark.parametrize("alpha", [0.02, 0.1, 0.35])
@pytest.mark.parametrize("what", ["images", "vectors"])
def test_false_alarms_are_as_rare_as_alpha(images, vectors, what, alpha):
    if what == "images":
        (model, x), labels = images, None
    else:
        model, x, labels = vectors
    energies, half = model.energy(x, labels).numpy(), len(x) // 2
    found = false_alarms(energies, labels, alpha)
    # Three standard deviations of the mean of 200 shares; without ties and classes the share is
    # expected to be the highest multiple of 1/(n + 1) that alpha reaches.
    error = 3.0 * found.std() / np.sqrt(len(found))
    assert error < 0.35 * alpha
    assert found.mean() <= alpha + error
    if labels is None:
        assert len(set(energies)) == len(energies)
        assert abs(found.mean() - np.floor(alpha * (half + 1)) / (half + 1)) < error
    else:
        # At least one example of each class is there; of few, low values do not occur.
        assert found.mean() > 0.6 * alpha - error


def test_p_values_by_hand():
    calibration = Calibration([3.0, 1.0, 2.0, 2.0])
    found = calibration.p_value(np.array([0.0, 1.0, 2.0, 2.5, 3.0, 9.0, np.nan], np.float32))
    np.testing.assert_allclose(found, [1.0, 1.0, 0.8, 0.4, 0.4, 0.2, 0.2])
    # p ≤ 0.4 where the energy is above the second highest of the four.
    assert calibration.threshold(0.4) == 2.0 and calibration.threshold(0.39) == 3.0
    by_class = Calibration([[1.0, 2.0], [5.0, 6.0, 7.0]])
    np.testing.assert_allclose(by_class.p_value([5.5, 5.5], [0, 1]), [1 / 3, 3 / 4])
    np.testing.assert_array_equal(by_class.threshold(0.5), [2.0, 6.0])


@pytest.mark.parametrize("n", [19, 99, 320])
def test_the_threshold_is_where_p_reaches_alpha(n):
    energies = RNG.standard_normal(n).astype(np.float32)
    calibration = Calibration(energies)
    for alpha in (0.05, 0.1, 0.29, 0.5):
        at = calibration.threshold(alpha)
        above = np.nextafter(at, np.float32(np.inf))
        assert calibration.p_value([above])[0] <= alpha < calibration.p_value([at])[0]
    with pytest.raises(ValueError, match=rf"alpha must lie in \[1/\(n \+ 1\), 1\), n = {n}"):
        calibration.threshold(0.9 / (n + 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda one, two: Calibration({"a": 1.0}), "energies must be a sequence"),
        (lambda one, two: Calibration(["a"]), r"energies must be numbers \[n\]"),
        (lambda one, two: Calibration([[1.0], 2.0]), r"energies of class 1 must be numbers"),
        (lambda one, two: Calibration([1j]), "energies must be numbers"),
        (lambda one, two: one.p_value("a"), "energy must be an array of numbers"),
        (lambda one, two: one.p_value(np.zeros((2, 2))), r"energy must have shape \[m\]"),
        (lambda one, two: two.p_value([1.0, 2.0]), "classes must be given"),
        (lambda one, two: two.p_value([1.0, 2.0], [0]), "classes must be integers, as many"),
        (lambda one, two: two.p_value([1.0, 2.0], [0.5, 1.0]), "classes must be integers"),
        (lambda one, two: two.p_value([1.0, 2.0], [0, 5]), "classes must lie in 0 … 1"),
        (lambda one, two: two.p_value([1.0, 2.0], [-1, 0]), "classes must lie in 0 … 1"),
        (lambda one, two: one.drift([np.nan, 1.0]), "energies must be numbers; received NaN"),
        (lambda one, two: discoveries("a", 0.1), "p_values must be an array of numbers"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(Calibration([1.0, 2.0]), Calibration([[1.0, 2.0], [3.0]]))


def test_discoveries_are_those_of_benjamini_and_hochberg():
    """Their own example: of fifteen p-values the four lowest at a level of 0.05."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    assert discoveries(p, 0.05).tolist() == [True] * 4 + [False] * 11
    assert discoveries([], 0.05).tolist() == []
    # The share of false ones stays below the level, with p-values of one calibration for all:
    # 150 usual examples and 50 with energies higher by 3.
    shares = []
    for _ in range(200):
        calibration = Calibration(RNG.standard_normal(500))
        p = calibration.p_value(np.r_[RNG.standard_normal(150), RNG.standard_normal(50) + 3.0])
        found = discoveries(p, 0.1)
        shares.append(found[:150].sum() / max(found.sum(), 1))
        assert found[150:].sum() > 10
    assert np.mean(shares) < 0.1 + 3.0 * np.std(shares) / np.sqrt(200)


def test_drift():
    """Without drift p < 0.05 in a twentieth of trials; with one of a standard deviation always."""
    trials = RNG.standard_normal((400, 380))
    found = [Calibration(row[:300]).drift(row[300:]) for row in trials]
    # Three standard deviations of the share of 400 trials.
    assert abs(np.mean(np.array(found) < 0.05) - 0.05) < 3.0 * np.sqrt(0.05 * 0.95 / 400)
    calibration = Calibration(trials[0, :300])
    assert all(calibration.drift(row[:80] + 1.0) < 1e-4 for row in trials[1:20])
    with pytest.raises(ValueError, match=r"energies must be numbers \[n\], n ≥ 2"):
        calibration.drift([1.0])


def test_a_model_keeps_it(images, tmp_path):
    model, x = images
    with pytest.raises(ValueError, match="not calibrated: call calibrate"):
        model.p_value(x[:3])
    model.calibrate(x[:300], batch_size=77)
    expected = Calibration(model.energy(x[:300]).numpy()).p_value(model.energy(x[300:]))
    found = model.p_value(x[300:])
    assert found.dtype == "float64"
    # Energies of other batches may be rounded otherwise: by one rank.
    np.testing.assert_allclose(found, expected, atol=1.01 / 301)
    np.testing.assert_array_equal(
        found <= 0.1, model.energy(x[300:]).numpy() > model.threshold(0.1)
    )
    model.compile()
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.p_value(x[300:]), found)
    # Weights of another training do not go with it.
    weights = loaded.energy_network.weights[0]
    weights.assign(weights + 0.1)
    with pytest.raises(ValueError, match="weights have changed since"):
        loaded.p_value(x[:3])
    with pytest.raises(ValueError, match="weights have changed since"):
        loaded.threshold(0.1)
    loaded.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(loaded.p_value(x[300:]), found)


def test_it_is_exported(images, tmp_path):
    model, x = images
    model.calibrate(x[:300])
    tf_febm.export(model, tmp_path / "served", bad_values="nan")
    served = tf.saved_model.load(str(tmp_path / "served")).signatures["p_value"]
    given = np.concatenate([x[300:310], x[:1] + 9.0, x[:1] * np.nan])
    found = served(x=tf.constant(given))["p_value"].numpy()
    np.testing.assert_allclose(found[:10], model.p_value(x[300:310]), atol=1.01 / 301)
    assert found.dtype == np.float64 and np.isnan(found[10:]).all()
    # One of other weights is not.
    weights = model.energy_network.weights[0]
    weights.assign(weights + 0.1)
    tf_febm.export(model, tmp_path / "stale")
    weights.assign(weights - 0.1)
    assert "p_value" not in tf.saved_model.load(str(tmp_path / "stale")).signatures


def test_each_class_has_its_own(vectors):
    model, x, labels = vectors
    model.calibrate(x[:200], labels[:200])
    rows = np.eye(4, dtype=np.float32)[labels[200:]]
    found = model.p_value(x[200:], rows)
    np.testing.assert_array_equal(found, model.p_value(x[200:], labels[200:]))
    for k in range(4):
        of_class = model.energy(x[:200], labels[:200]).numpy()[labels[:200] == k]
        mine = labels[200:] == k
        expected = Calibration(of_class).p_value(model.energy(x[200:], labels[200:]).numpy()[mine])
        np.testing.assert_array_equal(found[mine], expected)
    assert model.threshold(0.2).shape == (4,)
    with pytest.raises(ValueError, match="energies of class 1 must be numbers"):
        model.calibrate(x[:10], np.zeros(10, np.int32))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Calibration([]), r"energies must be numbers \[n\], n ≥ 1"),
        (lambda: Calibration([1.0, np.nan]), "energies must be finite"),
        (lambda: Calibration([[1.0], []]), "energies of class 1 must be numbers"),
        (lambda: Calibration([1.0]).threshold(1.5), "alpha must lie in"),
        (lambda: discoveries([0.1], 1.0), r"level must lie in \(0, 1\)"),
        (lambda: discoveries([0.0], 0.1), "p_values must be numbers"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
