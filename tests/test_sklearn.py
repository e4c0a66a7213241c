"""The estimator of scikit-learn: its contract, and what it finds."""

import pickle
import random
import warnings

import numpy as np
import pytest
import tensorflow as tf
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from tf_febm.sklearn import EnergyDetector

# As small as can be: contracts do not ask what is learnt.
SMALL = {"steps": 2, "batch_size": 8, "settings": {"width": 8}}


@pytest.fixture(scope="module")
def rows():
    """Two hills with nothing between them, in units far apart and beside a large number."""
    generator = np.random.default_rng(0)
    side = generator.choice([-1.0, 1.0], (400, 1))
    z = 3.0 * side * [1.0, 1.0] + 0.5 * generator.standard_normal((400, 2))
    return z * [1.0, 1e-4] + [0.0, 1.6e9 * 1e-4]


@pytest.fixture(scope="module")
def fitted(rows):
    return EnergyDetector(0.1, steps=300, settings={"width": 32}, random_state=3).fit(rows)


@pytest.mark.parametrize("method", ["febm", "dual"])
def test_other_methods_take_chains(eagerly, rows, method):
    settings = {"num_steps": 1, "width": 8, "buffer_capacity": 64}
    detector = EnergyDetector(method=method, steps=2, settings=settings, random_state=0).fit(rows)
    assert detector.recipe_.method == method and abs(detector.gain_) < 0.5
    assert np.isfinite(detector.score_samples(rows)).all()


@pytest.fixture
def eagerly():
    """Nothing is traced for a handful of steps."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def test_p_values(fitted, rows):
    generator = np.random.default_rng(8)
    detector = clone(fitted)
    detector.__dict__.update(vars(fitted))
    side = generator.choice([-1.0, 1.0], (1500, 1))
    z = 3.0 * side * [1.0, 1.0] + 0.5 * generator.standard_normal((1500, 2))
    new = z * [1.0, 1e-4] + [0.0, 1.6e9 * 1e-4]
    with pytest.raises(NotFittedError):
        detector.p_value(new)
    p = detector.calibrate(new[:500]).p_value(new[500:])
    # Of one calibration: α is wrong by its own draw as well, three deviations of both.
    for alpha in (0.05, 0.2):
        error = 3.0 * np.sqrt(alpha * (1.0 - alpha) * (1 / 500 + 1 / 1000))
        assert abs(np.mean(p <= alpha) - alpha) < error
    assert (detector.p_value(rows.mean(axis=0, keepdims=True)) < 0.05).all()


def test_what_lies_between_the_hills_is_odd(fitted, rows):
    between = rows.mean(axis=0) + [0.3, 0.3e-4] * np.random.default_rng(1).standard_normal((50, 2))
    scores = fitted.score_samples(np.concatenate([rows, between]))
    assert roc_auc_score(np.arange(450) < 400, scores) > 0.95
    assert (fitted.predict(between) == -1).mean() > 0.9
    # Two hills of deviation 0.5 at ±3√2 on a line against the Gaussian of variance 18.25 on it:
    # log(√18.25/0.5) − log 2 = 1.45 nats; 80 held-out rows are 0.1 about it.
    assert 1.2 < fitted.gain_ < 1.75
    assert (fitted.predict(rows) == -1).mean() == pytest.approx(0.1, abs=0.005)
    np.testing.assert_array_equal(fitted.decision_function(rows) < 0, fitted.predict(rows) == -1)
    far = fitted.score_samples([[1e9, 0.0], [0.0, 1e300]])
    assert np.isfinite(far).all() and (far < scores.min()).all()


def test_a_copy_by_pickle_scores_alike(fitted, rows):
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.score_samples(rows[:5]), fitted.score_samples(rows[:5]))


def test_in_a_pipeline_and_cloned(eagerly, rows):
    chain = make_pipeline(StandardScaler(), EnergyDetector(random_state=1, **SMALL))
    random.seed(5)
    expected = random.Random(5).random()
    scores = chain.fit(rows).score_samples(rows[:9])
    assert random.random() == expected, "the caller's random numbers go on"
    again = clone(chain).fit(rows).score_samples(rows[:9])
    np.testing.assert_array_equal(again, scores)
    other = clone(chain).set_params(energydetector__random_state=2).fit(rows)
    assert (other.score_samples(rows[:9]) != scores).any()


def test_columns_that_do_not_vary(eagerly, rows):
    constant = np.insert(rows, 1, 7.7, axis=1)
    with pytest.warns(UserWarning, match="column 2 of X: one value throughout, and left out"):
        detector = EnergyDetector(random_state=0, **SMALL).fit(constant)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".* of X")
        plain = EnergyDetector(random_state=0, **SMALL).fit(rows)
    np.testing.assert_array_equal(
        detector.score_samples(constant[:5]), plain.score_samples(rows[:5])
    )
    with pytest.raises(ValueError, match="a column that varies; received equal rows"):
        EnergyDetector(**SMALL).fit(np.ones((5, 2)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"contamination": 0.6}, r"contamination must lie in \(0, 0.5\]; received 0.6"),
        ({"contamination": 0}, "contamination must"),
        ({"steps": 0}, "steps must"),
        ({"batch_size": 1}, "batch_size must"),
        ({"divergence": "jss"}, "jss"),
        ({"method": "bidirectional"}, "method must be 'noise_contrastive', 'febm' or 'dual'"),
        ({"validation_fraction": 1.0}, r"validation_fraction must lie in \[0, 1\)"),
        ({"validation_fraction": -0.1}, "validation_fraction must"),
        ({"settings": {"wide": 3}}, "A recipe has no wide; its settings are"),
    ],
)
def test_bad_settings(settings, message, rows):
    with pytest.raises(ValueError, match=message):
        EnergyDetector(**settings).fit(rows)


def test_the_score_of_a_row_is_its_own(eagerly):
    for check in (
        estimator_checks.check_methods_subset_invariance,
        estimator_checks.check_methods_sample_order_invariance,
    ):
        check("EnergyDetector", EnergyDetector(**SMALL))


@pytest.mark.thorough
def test_the_whole_contract(eagerly):
    """Nothing fails; skipped is what needs pandas or a setting of the environment."""
    results = estimator_checks.check_estimator(EnergyDetector(**SMALL), on_skip=None, on_fail=None)
    assert len(results) > 40
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert not failed
