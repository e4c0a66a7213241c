"""What random numbers are after a seed is the same with kernels kept as with all dropped."""

import kept_kernels
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow.python.data.util import random_seed as of_datasets
from tensorflow.python.eager import context
from tensorflow.python.framework import random_seed


@pytest.fixture
def dropped(monkeypatch):
    """Count how often kernels are dropped, whatever earlier tests have left."""
    for place, name in (
        (random_seed, "get_seed"),
        (of_datasets, "random_seed"),
        (context.Context, "_set_global_seed"),
    ):
        monkeypatch.setattr(place, name, getattr(place, name))
    kept_kernels.keep()
    tf.random.set_seed(0)
    count, drop = [], context.pywrap_tfe.TFE_ContextClearCaches
    monkeypatch.setattr(
        context.pywrap_tfe,
        "TFE_ContextClearCaches",
        lambda handle: (count.append(1), drop(handle)),
    )
    return count


def numbers(draw, seed):
    tf.random.set_seed(seed)
    return np.asarray(draw())


@pytest.mark.parametrize(
    "draw",
    [
        lambda: tf.random.uniform([3]),
        lambda: tf.random.uniform([3], seed=5),
        lambda: tfp.distributions.Normal(0.0, 1.0).sample(3, seed=5),
        tf.function(lambda: tf.random.normal([3])),
        tf.function(lambda: tf.random.normal([3], seed=5)),
    ],
    ids=["eager", "seed of its own", "tfp", "function", "function with a seed"],
)
def test_what_has_a_state_begins_again(dropped, draw):
    first = numbers(draw, 3)
    # Its kernel has moved on, and is not told apart by its seeds.
    assert (np.asarray(draw()) != first).any()
    for _ in range(2):
        np.testing.assert_array_equal(numbers(draw, 3), first)
    assert len(dropped) >= 2


def test_kernels_stay_where_none_has_a_state(dropped):
    def draw():
        data = tf.data.Dataset.range(20).shuffle(20).map(lambda i: tf.random.uniform([]))
        order = list(tf.data.Dataset.range(20).shuffle(20).as_numpy_iterator())
        return [*data.as_numpy_iterator(), *order, tf.random.stateless_uniform([], [1, 2])]

    first = numbers(draw, 3)
    np.testing.assert_array_equal(numbers(draw, 3), first)
    assert (numbers(draw, 4) != first).any()
    assert not dropped
