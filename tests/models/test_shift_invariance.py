"""A constant added to the energy: left alone if asked, and run away with if not."""

import keras
import numpy as np
import pytest

import tf_febm


def last_bias(network):
    return float(network.get_weights()[-1][0])


@pytest.mark.parametrize("name", ["kl", "js", "reverse_kl"])
def test_the_last_bias_stays_where_it_is(make, fixed_sampler, images, name):
    """The output's bias is the constant; with no l2 term only the bound moves it."""
    settings = {"sampler": fixed_sampler(images[8:16]), "buffer": None, "l2_coeff": 0.0}
    moved = {}
    for shift_invariant in (False, True):
        model = make(name, shift_invariant=shift_invariant, compile=False, **settings)
        model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.0), run_eagerly=True)
        before = last_bias(model.energy_network), model.energy_network.get_weights()[0]
        model.train_on_batch(images[:8])
        moved[shift_invariant] = abs(last_bias(model.energy_network) - before[0])
        assert np.abs(model.energy_network.get_weights()[0] - before[1]).max() > 1e-6
    # Float32 sums of sixteen terms below 1.
    assert moved[True] < 1e-6 < 1e-4 < moved[False]


def test_it_comes_back_from_the_config(make):
    model = make("kl", shift_invariant=True, compile=False)
    assert tf_febm.FEBM.from_config(model.get_config()).shift_invariant is True
    assert make("kl", compile=False).shift_invariant is False


def test_a_slow_variational_function_lets_the_log_ratio_run_away(make, fixed_sampler, images):
    """With KL and H held still, θ raises the mean log ratio step by step; not if asked."""
    settings = {"sampler": fixed_sampler(images[8:16]), "buffer": None, "l2_coeff": 0.0}
    means = {}
    for shift_invariant in (False, True):
        model = make("kl", shift_invariant=shift_invariant, compile=False, **settings)
        model.compile(keras.optimizers.SGD(0.02), keras.optimizers.SGD(0.0), run_eagerly=True)
        both = np.concatenate([images[:8], images[8:16]])
        ways = []
        for _ in range(6):
            model.train_on_batch(images[:8])
            ways.append(float(np.mean(model.log_density_ratio(both))))
        means[shift_invariant] = ways[-1] - ways[0]
    assert abs(means[True]) < 0.5 * abs(means[False])
