"""Annealed importance sampling against closed forms, and against the grid."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tf_febm
from tf_febm import evaluation, networks, samplers

tfd = tfp.distributions


def gaussian_base(dimension, scale=1.0):
    return tfd.MultivariateNormalDiag(tf.zeros(dimension), tf.fill([dimension], float(scale)))


class TestAGaussianIn50Dimensions:
    """Rotated, with standard deviations from 0.3 to 2 and a shifted mean; log Z in closed form."""

    D = 50

    @pytest.fixture(scope="class")
    def found(self):
        rng = np.random.default_rng(0)
        rotation = np.linalg.qr(rng.normal(size=(self.D, self.D)))[0]
        scales = np.geomspace(0.3, 2.0, self.D)
        whiten = tf.constant((rotation / scales).T, tf.float32)
        mean = tf.constant(rng.normal(size=self.D), tf.float32)

        def energy(x):
            return 0.5 * tf.reduce_sum(tf.square((x - mean) @ tf.transpose(whiten)), axis=1)

        exact = np.log(scales).sum() + 0.5 * self.D * math.log(2 * math.pi)
        found = evaluation.annealed_log_partition(
            energy, gaussian_base(self.D, 1.5), num_chains=1000, num_temperatures=1500, seed=1
        )
        return found, exact, energy

    def test_log_z(self, found):
        found, exact, _ = found
        # 200 chains of 800 temperatures would be within 0.05 too, but by chance: their standard
        # error is 0.09.
        assert found.standard_error < 0.03
        assert abs(found.log_z - exact) < 0.05
        # The spread that it states is the one it has: an error beyond 4 of them has p < 1e-4.
        assert abs(found.log_z - exact) < 4 * found.standard_error
        assert 0.4 < found.acceptance < 0.99
        assert 500 < found.effective_sample_size <= 1000

    def test_weighted_ends_are_samples(self, found):
        found, _, energy = found
        weights = np.exp(found.log_weights - found.log_weights.max())
        mean_energy = np.average(energy(tf.constant(found.samples)), weights=weights)
        # E is half a chi-squared variable: mean d/2 = 25, deviation √(d/2) = 5.
        assert abs(mean_energy - self.D / 2) < 4 * 5 / math.sqrt(found.effective_sample_size)


def test_separate_narrow_modes_against_the_grid():
    """Four wells of unequal depth and width 0.05: the base is 30 times as wide."""
    modes = tf.constant([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    depth = tf.constant([0.0, 1.0, 2.0, -1.0])

    def energy(x):
        squares = tf.reduce_sum(tf.square(x[:, None] - modes), axis=2)
        return -tf.reduce_logsumexp(depth - squares / (2 * 0.05**2), axis=1)

    grid = evaluation.log_partition_on_grid(energy, [-2.0] * 2, [2.0] * 2, 200)
    exact = math.log(2 * math.pi * 0.05**2) + float(tf.reduce_logsumexp(depth))
    assert grid.log_z == pytest.approx(exact, abs=1e-4)
    found = evaluation.annealed_log_partition(
        energy, gaussian_base(2, 1.5), num_chains=4000, num_temperatures=200, seed=2
    )
    # Narrow modes do not mix, so weights differ by their depths, whatever the number of
    # temperatures: a tenth of the chains count.
    assert abs(found.log_z - grid.log_z) < 4 * found.standard_error
    assert found.standard_error < 0.07


def test_a_network_against_the_grid():
    """The demand is 0.05 nats."""
    keras.utils.set_random_seed(3)
    network = networks.with_confinement(networks.mlp(2, (32, 32), "swish"), 1.0)
    for weight in network.trainable_variables:
        weight.assign(1.5 * weight)
    grid = evaluation.log_partition_on_grid(network, [-8.0] * 2, [8.0] * 2, 200)
    assert grid.edge_share < 1e-5 and grid.error < 1e-3
    found = evaluation.annealed_log_partition(
        network, gaussian_base(2, 1.5), num_chains=500, num_temperatures=100, seed=0
    )
    assert abs(found.log_z - grid.log_z) < min(0.05, 4 * found.standard_error)


def test_one_temperature_is_plain_importance_sampling():
    """With T = 1 weights are e^(−E)/b at samples of b, whatever the transition does."""

    def run(seed):
        return evaluation.annealed_log_partition(
            lambda x: 0.5 * tf.reduce_sum(tf.square(x / 0.7), axis=1),
            gaussian_base(1),
            num_chains=4000,
            num_temperatures=1,
            num_leapfrog_steps=1,
            seed=seed,
        )

    found = run(4)
    assert abs(found.log_z - math.log(0.7 * math.sqrt(2 * math.pi))) < 4 * found.standard_error
    # ESS/n → 1/E_b[(q/b)²] = √(2·0.49 − 0.49²)/0.49 for a unit base: a Gaussian integral.
    ratio = 0.7 * math.sqrt(2 - 0.49)
    assert found.effective_sample_size / 4000 == pytest.approx(ratio, rel=0.05)
    # Equal seeds give equal results, and other seeds others.
    again, other = run(4), run(5)
    np.testing.assert_array_equal(found.log_weights, again.log_weights)
    assert found.log_z != other.log_z


def test_log_likelihood_in_closed_form():
    x = np.random.default_rng(0).normal(size=(1000, 3))
    found = evaluation.held_out_log_likelihood(
        lambda x: 0.5 * tf.reduce_sum(tf.square(x), axis=1) + 7.0,
        x,
        log_z=1.5 * math.log(2 * math.pi) - 7.0,
        batch_size=300,
    )
    log_density = -0.5 * np.square(x).sum(axis=1) - 1.5 * math.log(2 * math.pi)
    assert found.mean == pytest.approx(log_density.mean(), abs=1e-4)
    assert found.standard_error == pytest.approx(
        log_density.std(ddof=1) / math.sqrt(1000), rel=1e-3
    )


def test_refuses():
    run, base = evaluation.annealed_log_partition, gaussian_base(2)

    def energy(x):
        return tf.reduce_sum(tf.square(x), axis=1)

    for name in ("num_temperatures", "num_leapfrog_steps", "num_chains"):
        with pytest.raises(ValueError, match=f"{name} must be a whole number"):
            run(energy, base, **{name: 0})
    with pytest.raises(ValueError, match="base must have samples of the shape of x"):
        run(energy, tfd.Normal(0.0, 1.0))
    with pytest.raises(ValueError, match="did not reach the energy .* energies are not finite"):
        run(lambda x: np.inf * energy(x), base, num_leapfrog_steps=1)
    with pytest.raises(ValueError, match="at least 2 examples"):
        evaluation.held_out_log_likelihood(energy, np.zeros((1, 2)), 0.0)


class Quadratic(keras.layers.Layer):
    """E = 2|x − 0.9|²."""

    def call(self, x):
        return 2.0 * tf.reduce_sum(tf.square(x - 0.9), axis=1, keepdims=True)


class TestOnABox:
    """Of e^(−2(x − 0.9)²) in each coordinate, on [0, 1] by the midpoint rule and on all of R."""

    MIDPOINTS = (np.arange(100_000) + 0.5) / 100_000
    EXACT = math.log(np.exp(-2 * (MIDPOINTS - 0.9) ** 2).mean())
    SETTINGS = {"num_chains": 400, "num_temperatures": 30, "seed": 1}

    @staticmethod
    def model(dimension, bounds=(0.0, 1.0)):
        sampler = samplers.Langevin(num_steps=1, bounds=bounds)
        model = tf_febm.ContrastiveDivergence(Quadratic(), sampler=sampler, seed=0)
        model.build((None, dimension))
        return model

    @pytest.mark.parametrize(("form", "dimension"), [("model", 1), ("method", 2), ("function", 2)])
    def test_the_base_is_uniform(self, form, dimension):
        model = self.model(dimension)
        arguments = {"model": {}, "method": {}}.get(
            form, {"bounds": (0.0, 1.0), "data": np.zeros((2, dimension))}
        )
        energy = {"model": model, "method": model.energy}.get(form, lambda x: model.energy(x))
        found = evaluation.annealed_log_partition(energy, **arguments, **self.SETTINGS)
        assert abs(found.log_z - dimension * self.EXACT) < 4 * found.standard_error < 0.06
        # No chain has left, and none hangs on a wall.
        assert found.samples.min() > 0.0 and found.samples.max() < 1.0

    @pytest.mark.parametrize("low_dimension", [pytest.param(1, marks=pytest.mark.thorough), 2])
    def test_a_curved_density_that_the_walls_cut(self, low_dimension):
        """e^(3 cos 4Σx) on (−1, 1)^d, against the midpoint rule."""
        axis = -1 + (np.arange(1000) + 0.5) / 500
        total = axis if low_dimension == 1 else axis[:, None] + axis
        exact = math.log(np.exp(3 * np.cos(4 * total)).mean()) + low_dimension * math.log(2)
        found = evaluation.annealed_log_partition(
            lambda x: -3 * tf.cos(4 * tf.reduce_sum(x, axis=1)),
            data=np.zeros((2, low_dimension)),
            bounds=(-1.0, 1.0),
            **{**self.SETTINGS, "num_temperatures": 100},
        )
        assert abs(found.log_z - exact) < 4 * found.standard_error < 0.2

    def test_without_bounds_it_is_a_gaussian_fitted_to_data(self):
        rng = np.random.default_rng(0)
        data = 0.9 + 0.5 * rng.standard_normal((500, 2))
        found = evaluation.annealed_log_partition(
            self.model(2, None), data=data, **{**self.SETTINGS, "num_temperatures": 100}
        )
        assert abs(found.log_z - math.log(math.pi / 2)) < 4 * found.standard_error < 0.1

    @pytest.mark.parametrize(
        ("bounds", "base", "message"),
        [
            ((0.0, 1.0), gaussian_base(2), "must lie inside the model's bounds .* samples do not"),
            (
                (0.0, 1.0),
                tfd.Independent(tfd.Uniform([0.0, 0.0], [0.5, 1.0]), 1),
                "density in all of the model's bounds",
            ),
            (
                None,
                tfd.Independent(tfd.Uniform([-9.0, -9.0], [9.0, 9.0]), 1),
                "must have a density everywhere",
            ),
            (None, None, "give data"),
        ],
    )
    def test_bases_that_cannot_be_right(self, bounds, base, message):
        with pytest.raises(ValueError, match=message):
            evaluation.annealed_log_partition(self.model(2, bounds), base)

    def test_bases_that_can(self):
        """Of a Gaussian on all of the plane tests further up tell."""
        base = tfd.Independent(tfd.Uniform([0.0, 0.0], [1.0, 1.0]), 1)
        evaluation.annealed_log_partition(
            self.model(2).energy, base, num_chains=2, num_temperatures=1, num_leapfrog_steps=1
        )

    def test_refuses(self):
        run = evaluation.annealed_log_partition
        with pytest.raises(ValueError, match=r"model has the bounds \(0.0, 1.0\); received"):
            run(self.model(2), bounds=(-1.0, 1.0))
        with pytest.raises(ValueError, match="shape of x is not known"):
            run(lambda x: x[:, 0], bounds=(-1.0, 1.0))
        with pytest.raises(ValueError, match=r"data must have shape \('n', 2\)"):
            run(self.model(2), data=np.zeros((5, 3)))
        for bad in (np.zeros(5), np.zeros((1, 2)), np.array([["a", "b"]] * 2)):
            with pytest.raises(ValueError, match="data must be real"):
                run(lambda x: x[:, 0], data=bad)
        with pytest.raises(ValueError, match="data must be finite"):
            run(lambda x: x[:, 0], data=np.full((3, 1), np.nan))
