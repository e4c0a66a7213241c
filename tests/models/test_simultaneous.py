"""Simultaneous updates, and a variational function that ascends another bound."""

import keras
import numpy as np

import tf_febm


def theta_after_a_step(make, sampler, images, simultaneous, variational_rate):
    settings = {"sampler": sampler, "buffer": None, "warmup_steps": 0, "compile": False}
    model = make("kl", simultaneous=simultaneous, variational_divergence="js", **settings)
    sgd = keras.optimizers.SGD
    model.compile(sgd(0.05), sgd(variational_rate), run_eagerly=True)
    model.train_on_batch(images)
    return model.energy_network.get_weights()


def test_theta_descends_by_the_values_from_before_the_step(make, fixed_sampler, images):
    sampler = fixed_sampler(images[8:16][:, ::-1].copy())
    simultaneous, still, alternating = (
        theta_after_a_step(make, sampler, images[:8], *case)
        for case in ((True, 0.5), (False, 0.0), (False, 0.5))
    )
    for weights, expected in zip(simultaneous, still, strict=True):
        np.testing.assert_allclose(weights, expected, rtol=1e-6, atol=1e-7)
    pairs = zip(simultaneous, alternating, strict=True)
    assert max(np.abs(a - b).max() for a, b in pairs) > 1e-5


def test_both_come_back_from_the_config(make):
    model = make("kl", simultaneous=True, variational_divergence="js", compile=False)
    again = tf_febm.FEBM.from_config(model.get_config())
    assert again.simultaneous is True
    assert (again.divergence.name, again.variational_divergence.name) == ("kl", "js")
