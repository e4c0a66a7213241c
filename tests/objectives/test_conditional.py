"""Tests of the surrogate for conditional laws: exact enumeration on a finite space."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import divergences, objectives

STATES, CONDITIONS = 3, 2


def _problem():
    """Return p(y | c), energies with a coupling to c, and H far from its optimum, in float64."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(STATES), CONDITIONS)
    coupling = rng.normal(size=(CONDITIONS, STATES))
    ratios = rng.normal(scale=0.5, size=(CONDITIONS, STATES))
    theta = rng.normal(scale=0.7, size=STATES)
    return map(tf.constant, (p, coupling, ratios, theta))


@pytest.mark.parametrize("name", ["kl", "reverse_kl", "js", "pearson_chi2"])
def test_surrogate_has_the_gradient_of_the_bound(name):
    """Over all pairs of samples, its expected gradient is that of E_c[E_p f' − E_q F]."""
    p, coupling, h, theta = _problem()
    divergence = divergences.get(name)

    with tf.GradientTape() as tape:
        tape.watch(theta)
        q = tf.nn.softmax(-(theta[None] + coupling), axis=1)
        ratio = h + theta[None]
        bound = tf.reduce_mean(
            tf.reduce_sum(p * divergence.derivative(ratio) - q * divergence.conjugate(ratio), 1)
        )
    exact = tape.gradient(bound, theta)

    expected = np.zeros(STATES)
    for c in range(CONDITIONS):
        for y, *pair in itertools.product(range(STATES), repeat=3):
            probability = float(p[c, y] * q[c, pair[0]] * q[c, pair[1]])
            with tf.GradientTape() as tape:
                tape.watch(theta)
                surrogate = objectives.conditional_energy_surrogate(
                    divergence,
                    tf.gather(h[c] + theta, [y]),
                    tf.gather(h[c] + theta, pair),
                    tf.gather(theta, pair),
                    2,
                )
            found = tf.convert_to_tensor(tape.gradient(surrogate, theta))
            expected += probability * found.numpy() / CONDITIONS
    np.testing.assert_allclose(expected, exact, rtol=1e-10, atol=1e-12)


def test_weights_count_a_condition_more_often():
    """A weight of 2 is the condition twice."""
    r = tf.constant([0.1, -0.3, 0.4, 0.2])
    e = tf.Variable([0.5, 0.1, -0.2, 0.3])
    d = tf.constant([0.2, -0.1])

    def gradient(data, ratios, energies, **weights):
        with tf.GradientTape() as tape:
            surrogate = objectives.conditional_energy_surrogate(
                "js", data, ratios, energies() + 0.0, 2, **weights
            )
        return surrogate, tf.convert_to_tensor(tape.gradient(surrogate, e))

    weighted = gradient(
        d, r, lambda: e, weights_data=[4 / 3, 2 / 3], weights_model=[4 / 3, 4 / 3, 2 / 3, 2 / 3]
    )
    order = [0, 1, 0, 1, 2, 3]
    twice = gradient(tf.gather(d, [0, 0, 1]), tf.gather(r, order), lambda: tf.gather(e, order))
    for one, other in zip(weighted, twice, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_arguments_that_do_not_go_together_are_refused():
    """One sample of a condition has no covariance; lengths are multiples."""
    r = tf.zeros([3])
    with pytest.raises(ValueError, match="samples_per_condition"):
        objectives.conditional_energy_surrogate("js", r, r, r, 1)
    with pytest.raises(ValueError, match="multiple of samples_per_condition=2"):
        objectives.conditional_energy_surrogate("js", r, r, r, 2)
