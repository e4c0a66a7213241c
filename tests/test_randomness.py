"""Seeds: what they may be, and streams that do not meet."""

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import randomness


def test_seeds_of_sampling_stay_different_and_apart_from_those_of_training():
    """A training step has (s, k), s being the model's seed, not negative."""
    given = [*range(1000), 2**31 - 1, 2**31, 2**40, 2**62 - 1, (5, 7), (7, 5), (2**31 - 1, 0)]
    seeds = [tuple(randomness.sampling_seed(seed).numpy().tolist()) for seed in given]
    assert len(set(seeds)) == len(seeds)
    assert all(first < 0 for first, _ in seeds)


def test_ints_and_their_pairs_are_one():
    for seed, pair in ((3, (0, 3)), (2**31 + 4, (1, 4))):
        for function in (randomness.as_seed, randomness.sampling_seed):
            np.testing.assert_array_equal(function(seed), function(pair))
            np.testing.assert_array_equal(function(seed), function(tf.constant(pair)))


def test_the_number_of_seeds_may_be_a_tensor():
    split = tf.function(lambda n: randomness.split((1, 2), n), autograph=False)
    np.testing.assert_array_equal(split(tf.constant(5)), randomness.split((1, 2), 5))


@pytest.mark.parametrize("bad", [True, 1.5, (1,), (1.0, 2.0), "a", None])
def test_what_is_no_seed(bad):
    for function in (randomness.as_seed, randomness.sampling_seed):
        with pytest.raises(ValueError, match="A seed is an int or a pair of ints"):
            function(bad)
