"""Partition functions on a grid against closed forms and other quadrature."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tf_febm import evaluation

tfd = tfp.distributions


def quadratic(mean, scale):
    return lambda x: 0.5 * tf.reduce_sum(tf.square((x - mean) / scale), axis=1)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_a_gaussian_in_closed_form(dimension):
    mean, scale = np.linspace(-1, 1, dimension), np.linspace(0.5, 1.0, dimension)
    found = evaluation.log_partition_on_grid(
        quadratic(mean, scale), mean - 8.0, mean + 8.0, [64, 40, 32][dimension - 1]
    )
    expected = np.log(scale).sum() + 0.5 * dimension * math.log(2 * math.pi)
    # A spacing of at most one standard deviation; the rest is float32 energies.
    assert found.log_z == pytest.approx(expected, abs=1e-4)
    assert found.edge_share < 1e-6


def test_a_rough_energy_against_adaptive_quadrature():
    def energy(x):
        return tf.sin(3.0 * x[:, 0]) + 0.1 * x[:, 0] ** 4

    found = evaluation.log_partition_on_grid(energy, -5.0, 5.0, 400)
    exact, _ = scipy.integrate.quad(lambda x: math.exp(-math.sin(3 * x) - 0.1 * x**4), -5, 5)
    assert found.log_z == pytest.approx(math.log(exact), abs=1e-5)


def test_the_error_tells_of_a_grid_that_is_too_coarse():
    energy = quadratic(np.zeros(1), np.array([0.05]))
    exact = math.log(0.05) + 0.5 * math.log(2 * math.pi)
    fine = evaluation.log_partition_on_grid(energy, -2.0, 2.0, 200)
    coarse = evaluation.log_partition_on_grid(energy, -2.0, 2.0, 20)
    assert fine.error < 1e-3 and abs(fine.log_z - exact) < 1e-5
    assert coarse.error > 0.1 and abs(coarse.log_z - exact) > 0.1


def test_edge_share_tells_of_a_box_that_is_too_small():
    found = evaluation.log_partition_on_grid(lambda x: 0.0 * x[:, 0], [0.0, 0.0], [1.0, 1.0], 100)
    # A flat density: the inner 90 % of both axes hold 0.81 of it.
    assert found.edge_share == pytest.approx(0.19, abs=1e-9)
    assert found.log_z == pytest.approx(0.0, abs=1e-9)


def test_divergence_of_two_gaussians_in_closed_form():
    p = tfd.MultivariateNormalTriL(np.array([0.3, -0.2]), np.array([[0.7, 0.0], [0.2, 0.5]]))
    found = evaluation.divergence_on_grid(
        p.log_prob, quadratic(np.zeros(2), np.array([1.0, 0.8])), [-7.0] * 2, [7.0] * 2, 100
    )
    q = tfd.MultivariateNormalTriL(np.zeros(2), np.diag([1.0, 0.8]))
    assert found.kl == pytest.approx(float(tfd.kl_divergence(p, q)), abs=1e-5)
    assert found.data_mass == pytest.approx(1.0, abs=1e-9)


def test_a_density_with_holes_and_an_infinite_energy_where_it_is_not():
    """p uniform on [0, 1], q on [0, 2]: KL(p‖q) = log 2, with energies of +∞ outside."""

    def log_p(x):
        return np.where((x[:, 0] >= 0) & (x[:, 0] < 1), 0.0, -np.inf)

    def energy(x):
        return tf.where((x[:, 0] >= 0) & (x[:, 0] < 2), 0.0, np.inf)

    found = evaluation.divergence_on_grid(log_p, energy, [-4.0], [4.0], 160)
    assert found.kl == pytest.approx(math.log(2.0), abs=1e-9)


def test_refuses():
    flat = quadratic(np.zeros(1), np.ones(1))
    run = evaluation.log_partition_on_grid
    for low, high in ((1.0, 0.0), ([0.0] * 4, [1.0] * 4), ([0.0], [1.0, 2.0]), (0.0, np.inf)):
        with pytest.raises(ValueError, match="low and high must be finite corners"):
            run(flat, low, high, 10)
    with pytest.raises(ValueError, match="num_points must be a whole number ≥ 4; received 2"):
        run(flat, 0.0, 1.0, 2)
    with pytest.raises(ValueError, match="at most 50000000 cells"):
        run(flat, [0.0] * 3, [1.0] * 3, 1000)
    with pytest.raises(ValueError, match=r"NaN or −∞; received one at \["):
        run(lambda x: np.nan * x[:, 0], 0.0, 1.0, 10)
    with pytest.raises(ValueError, match="one value per example"):
        run(lambda x: x @ tf.ones([1, 2]), 0.0, 1.0, 10)
    with pytest.raises(ValueError, match="p must have mass in the box"):
        evaluation.divergence_on_grid(lambda x: np.full(len(x), -np.inf), flat, [0.0], [1.0], 10)


class TestModes:
    MODES = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])

    def test_counts_by_hand(self):
        samples = np.concatenate(
            [np.repeat(self.MODES[:1], 97, 0), [[1.3, 0.0], [1.5, 0.0], [0.0, 0.9]]]
        )
        found = evaluation.mode_coverage(samples, self.MODES, 0.1)
        # The fourth lies five standard deviations away; one sample in 100 is enough.
        assert (found.covered, found.total) == (3, 3)
        assert found.share_near == pytest.approx(0.99)
        np.testing.assert_allclose(found.shares, [0.97, 0.01, 0.01])
        strict = evaluation.mode_coverage(samples, self.MODES, 0.1, min_share=0.02)
        assert strict.covered == 1

    def test_the_truth_covers_all_of_its_modes(self):
        from tf_febm.data import toy_datasets

        toy = toy_datasets.get("25gaussians")
        found = evaluation.mode_coverage(toy.sample(1000, seed=1), toy.modes, toy.mode_scale)
        assert found.covered == 25
        # e^-8 = 3.4e-4 of a Gaussian in the plane lies further out: 0.3 of 1,000 samples.
        assert found.share_near >= 0.995

    def test_refuses(self):
        good = np.zeros((3, 2))
        for samples, modes in ((good, np.zeros((2, 3))), (good[:0], good), (good[0], good)):
            with pytest.raises(ValueError, match="samples and modes must be"):
                evaluation.mode_coverage(samples, modes, 0.1)
        with pytest.raises(ValueError, match="samples must be finite"):
            evaluation.mode_coverage(good * np.nan, good, 0.1)
        with pytest.raises(ValueError, match="scale must be a finite number > 0"):
            evaluation.mode_coverage(good, good, 0.0)
        with pytest.raises(ValueError, match="min_share must lie in"):
            evaluation.mode_coverage(good, good, 0.1, min_share=1.5)


def test_plane_quality_of_the_true_energy_and_of_a_shifted_one():
    from tf_febm.data import toy_datasets

    toy = toy_datasets.get("25gaussians")
    held_out = toy.sample(2000, seed=1)

    def energy(x):
        return tf.constant(-toy.log_prob(np.asarray(x)) + 3.0, tf.float32)

    found = evaluation.plane_quality(energy, toy.sample(2000, seed=2), toy, held_out).as_dict()
    assert found["kl"] == pytest.approx(0.0, abs=1e-4)
    assert found["log_z"] == pytest.approx(-3.0, abs=1e-4)
    assert found["held_out_log_likelihood"] == pytest.approx(found["true_log_likelihood"], abs=1e-3)
    assert (found["modes_covered"], found["modes"]) == (25, 25)
    wide = evaluation.plane_quality(lambda x: 0.5 * energy(x), held_out, toy, held_out)
    # Of one Gaussian in the plane, twice the variance: log 2 + ½ − 1.
    assert wide.kl == pytest.approx(math.log(2.0) - 0.5, abs=1e-3)
