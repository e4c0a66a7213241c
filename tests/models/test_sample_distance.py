"""The distance of samples from data, against NumPy and the closed form of two Gaussians."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm

from tf_febm.models.sample_distance import sample_distance

RNG = np.random.default_rng(3)


def by_hand(x, y, v, w):
    """Return the estimate by its definition, in float64."""

    def mean(first, second, weights):
        distances = np.sqrt(((first[:, None] - second[None]) ** 2).sum(axis=-1))
        return (weights * distances).sum() / weights.sum()

    within = [
        mean(part, part, np.outer(u, u) * (1.0 - np.eye(len(u)))) for part, u in ((x, v), (y, w))
    ]
    return 2.0 * mean(x, y, np.outer(v, w)) - sum(within)


@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_estimate_by_its_definition(weighted):
    x, y = RNG.normal(3.0, 2.0, (40, 2, 3, 1)), RNG.normal(2.0, 1.0, (30, 2, 3, 1))
    v, w = RNG.uniform(0.0, 2.0, 40), RNG.uniform(0.0, 2.0, 30)
    found = sample_distance(x, y, *((v, w) if weighted else ()))
    ones = np.ones(40), np.ones(30)
    flat = x.reshape(40, -1), y.reshape(30, -1)
    expected = by_hand(*flat, *((v, w) if weighted else ones))
    assert found.value.numpy() == pytest.approx(expected, abs=1e-5) and found.counted == 1.0
    # Columns of vectors in the deviations of the data; one that is constant stays as it is.
    x, y = flat
    x[:, 0], scale = 5.0, np.r_[1.0, x[:, 1:].std(axis=0)]
    found = sample_distance(x, y, *((v, w) if weighted else ()))
    expected = by_hand(x / scale, y / scale, *((v, w) if weighted else ones))
    assert found.value.numpy() == pytest.approx(expected, rel=1e-4)


def test_it_has_the_expectation_of_the_closed_form():
    """N(0, 1) and N(1, 1), whose difference is N(1, 2): a folded normal law."""
    between = 2 / math.sqrt(math.pi) * math.exp(-0.25) + 1.0 - 2.0 * norm.cdf(-math.sqrt(0.5))
    compiled = tf.function(sample_distance, autograph=False)
    for away, expected in ((1.0, 2.0 * between - 4.0 / math.sqrt(math.pi)), (0.0, 0.0)):
        found = []
        for _ in range(400):
            # As images, which are not scaled.
            x, y = RNG.normal(size=(2, 20, 1, 1)).astype("f4")
            found.append(compiled(tf.constant(x), tf.constant(y + away)).value)
        assert abs(np.mean(found) - expected) < 4.0 * np.std(found) / 20.0


def test_one_example_tells_nothing():
    assert sample_distance(np.ones((1, 2)), np.zeros((4, 2))).counted == 0.0


def test_of_many_examples_the_first_count():
    """All distances of 60,000 to as many would take 14 GB."""
    many = np.random.default_rng(5).standard_normal((2, 60_000, 1)).astype(np.float32)
    found = sample_distance(*many).value
    assert float(found) == pytest.approx(float(sample_distance(*many[:, :1024]).value), abs=1e-6)
