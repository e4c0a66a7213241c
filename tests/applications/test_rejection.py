"""Rejection sampling against laws in closed form; proposals are exact samples of q = N(0, I).

Kolmogorov–Smirnov tests must reach p = 0.001: under the right law one seed in a thousand would not,
and the seeds are fixed. Shares are allowed four of their binomial standard errors.
"""

import math

import numpy as np
import pytest
import tensorflow as tf
from recorder import Recorder
from scipy import integrate, stats

import tf_febm
from tf_febm.applications import rejection_filter, rejection_sample

MIXTURE = ((0.4, 0.6), (-1.0, 0.6), (0.4, 0.6))


def mixture_cdf(x):
    return sum(w * stats.norm.cdf(x, m, s) for w, m, s in zip(*MIXTURE, strict=True))


def mixture_ratio(x):
    p = sum(w * stats.norm.pdf(x, m, s) for w, m, s in zip(*MIXTURE, strict=True))
    return p / stats.norm.pdf(x)


MIXTURE_BOUND = math.log(mixture_ratio(np.linspace(-8, 8, 400_001)).max())


def gaussian_bound(mean, scale, dimension=1):
    """log max p/q of N(mean, scale²) to N(0, 1), scale < 1, at x = mean/(1 − scale²)."""
    return dimension * (-math.log(scale) + 0.5 * mean**2 / (1 - scale**2))


def agree(samples, cdf):
    return stats.kstest(np.asarray(samples).ravel(), cdf).pvalue > 1e-3


def within(share, expected, count):
    return abs(share - expected) <= 4 * math.sqrt(expected * (1 - expected) / count)


class TestLaw:
    def test_mixture(self, exact):
        result = rejection_sample(exact((1,), *MIXTURE), 5000, seed=1, log_bound=MIXTURE_BOUND)
        assert result.samples.shape == (5000, 1) and result.samples.dtype == np.float32
        assert result.labels is None and result.log_bound == MIXTURE_BOUND
        assert agree(result.samples, mixture_cdf)
        assert not agree(result.samples, stats.norm.cdf)
        assert within(result.acceptance_rate, math.exp(-MIXTURE_BOUND), result.num_proposed)
        # float32 ratios may exceed the exact bound by their rounding.
        assert result.excess_mass < 1e-6

    def test_three_dimensions(self, exact):
        mean, scale = 0.3, 0.8
        bound = gaussian_bound(mean, scale, 3)
        model = exact((3,), (1.0,), (mean,), (scale,))
        result = rejection_sample(model, 3000, seed=1, log_bound=bound)
        standardised = (result.samples - mean) / scale
        for coordinate in standardised.T:
            assert agree(coordinate, stats.norm.cdf)
        # The coordinates are independent as well.
        assert agree(np.sum(standardised**2, axis=1), stats.chi2(3).cdf)
        assert within(result.acceptance_rate, math.exp(-bound), result.num_proposed)

    def test_images(self, exact):
        mean, scale = 0.03, 0.98
        bound = gaussian_bound(mean, scale, 64)
        model = exact((8, 8, 1), (1.0,), (mean,), (scale,))
        result = rejection_sample(model, 2000, seed=1, log_bound=bound)
        assert result.samples.shape == (2000, 8, 8, 1)
        brightness = result.samples.mean((1, 2, 3), dtype=np.float64)
        assert agree(brightness, stats.norm(mean, scale / 8).cdf)
        assert not agree(brightness, stats.norm(0.0, 1 / 8).cdf)
        norms = np.sum(((result.samples - mean) / scale) ** 2, axis=(1, 2, 3))
        assert agree(norms, stats.chi2(64).cdf)
        assert within(result.acceptance_rate, math.exp(-bound), result.num_proposed)

    def test_a_bound_below_the_largest_ratio(self, exact):
        """The accepted follow q·min(p/q, b), normalised, and the result says what was cut off."""
        bound = 1.3
        assert math.log(bound) < MIXTURE_BOUND - 0.1
        x = np.linspace(-8, 8, 40_001)
        capped = stats.norm.pdf(x) * np.minimum(mixture_ratio(x), bound)
        cumulated = integrate.cumulative_trapezoid(capped, x, initial=0.0)
        above = mixture_ratio(x) > bound
        exceeded = np.trapezoid(stats.norm.pdf(x) * above, x)
        model = exact((1,), *MIXTURE)
        result = rejection_sample(model, 5000, seed=1, log_bound=math.log(bound))
        assert agree(result.samples, lambda v: np.interp(v, x, cumulated / cumulated[-1]))
        assert not agree(result.samples, mixture_cdf)
        assert within(result.exceeded, exceeded, result.num_proposed)
        assert within(result.acceptance_rate, cumulated[-1] / bound, result.num_proposed)
        # A quotient of two means, of (p/q − b)₊ and p/q: its error by the delta method.
        ratio, excess = mixture_ratio(x), 1 - cumulated[-1]
        spread = (np.maximum(ratio - bound, 0) - excess * ratio) ** 2
        variance = np.trapezoid(stats.norm.pdf(x) * spread, x)
        error = 4 * math.sqrt(variance / result.num_proposed)
        assert result.excess_mass == pytest.approx(excess, abs=error)
        assert error < 0.2 * excess

    def test_a_constant_ratio_accepts_everything(self, exact):
        result = rejection_sample(exact((2,), offset=3.0), 100, seed=1, num_pilot=50)
        assert result.acceptance_rate == 1.0 and result.num_proposed == 100
        assert result.log_bound == pytest.approx(3.0, abs=1e-6)
        assert agree(result.samples, stats.norm.cdf)

    @pytest.mark.parametrize("offset", [500.0, -500.0])
    def test_a_constant_in_the_ratio_changes_nothing_but_the_bound(self, exact, offset):
        """exp(±500) leaves float32; r + 500 is off by 3e-5, which may flip one sample in 1e5."""
        plain, shifted = (
            rejection_sample(exact((1,), *MIXTURE, offset=c), 500, seed=1, num_pilot=500)
            for c in (0.0, offset)
        )
        np.testing.assert_array_equal(shifted.samples, plain.samples)
        assert shifted.log_bound - plain.log_bound == pytest.approx(offset, abs=1e-3)
        assert shifted.excess_mass == pytest.approx(plain.excess_mass, abs=1e-3)


class TestPilot:
    def test_the_bound_is_the_largest_ratio_of_the_pilot(self, exact):
        propose = Recorder((1,))
        model = exact((1,), *MIXTURE)
        result = rejection_sample(model, 20, seed=1, propose=propose, num_pilot=25, batch_size=10)
        assert [len(x) for x in propose.drawn[:3]] == [10, 10, 5]
        pilot = np.concatenate(propose.drawn[:3])
        expected = math.log(mixture_ratio(pilot).max())
        assert result.log_bound == pytest.approx(expected, abs=1e-5)
        assert len(set(propose.seeds)) == len(propose.seeds)
        # They were used for nothing else.
        later = np.concatenate(propose.drawn[3:])
        assert result.num_proposed == len(later)
        assert np.isin(result.samples, later).all() and not np.isin(result.samples, pilot).any()

    def test_a_given_bound_needs_no_pilot(self, exact):
        propose = Recorder((1,))
        result = rejection_sample(exact((1,)), 7, seed=1, propose=propose, log_bound=0.0)
        assert [len(x) for x in propose.drawn] == [7] and result.num_proposed == 7

    def test_proposals_above_the_bound_of_a_short_pilot_are_counted(self, exact):
        propose = Recorder((1,))
        model = exact((1,), *MIXTURE)
        result = rejection_sample(model, 2000, seed=5, propose=propose, num_pilot=3)
        later = np.concatenate(propose.drawn[1:])
        log_ratios = np.log(mixture_ratio(later[:, 0]))
        above = log_ratios > result.log_bound + 1e-5
        assert above.any()
        assert result.exceeded == pytest.approx(above.mean(), abs=1e-3)
        excess = np.maximum(np.exp(log_ratios) - math.exp(result.log_bound), 0)
        expected = excess.sum() / np.exp(log_ratios).sum()
        assert result.excess_mass == pytest.approx(expected, rel=1e-3)
        # Each of them was accepted, up to the number asked for.
        found = np.isin(later[:, 0], result.samples[:, 0])
        last = np.flatnonzero(found)[-1]
        assert found[: last + 1][above[: last + 1]].all()


class TestDrawing:
    @pytest.mark.parametrize("count", [1, 9, 10, 11, 137])
    def test_exactly_as_many_as_asked_for(self, exact, count):
        model = exact((1,), *MIXTURE)
        result = rejection_sample(model, count, seed=1, num_pilot=20, batch_size=10)
        assert result.samples.shape == (count, 1)
        assert len(np.unique(result.samples)) == count

    def test_batches_are_bounded_and_no_larger_than_needed(self, exact):
        propose = Recorder((1,))
        rejection_sample(
            exact((1,), *MIXTURE), 100, seed=1, propose=propose, batch_size=32, log_bound=3.0
        )
        sizes = [len(x) for x in propose.drawn]
        assert max(sizes) == 32
        # exp(3) ≈ 20 proposals for each, and a few batches to come to an end.
        assert 32 * 40 < sum(sizes) < 32 * 100
        assert len(set(propose.seeds)) == len(sizes)
        assert all(0 <= word < 2**31 for seed in propose.seeds for word in seed)

    def test_same_seed_same_samples(self, exact):
        def run(seed, model):
            return rejection_sample(model, 30, seed=seed, num_pilot=50).samples

        first, second = exact((1,), *MIXTURE), exact((1,), *MIXTURE)
        np.testing.assert_array_equal(run((1, 2), first), run((1, 2), second))
        assert not np.isin(run((1, 2), first), run((1, 3), first)).any()
        # Without a seed the model's own state advances, and repeats in another run.
        a, b = run(None, first), run(None, first)
        assert not np.isin(a, b).any()
        np.testing.assert_array_equal(a, run(None, second))
        np.testing.assert_array_equal(b, run(None, second))

    def test_decisions_do_not_depend_on_the_random_numbers_of_the_proposals(self, exact):
        """Proposals made of the very seed that they are given must not match the decisions."""

        def uniform(count, seed):
            return tf.random.stateless_uniform([count, 1], seed, dtype=tf.float64)

        model = exact((1,))
        result = rejection_sample(model, 2000, seed=1, propose=uniform, log_bound=math.log(2))
        assert agree(result.samples, stats.uniform.cdf)

    def test_chains_start_in_a_buffer_that_holds_samples(self, exact):
        """A sampler that stays where it starts shows where that is."""

        def stay(energy_fn, initial_state, seed):
            return initial_state

        model = exact((2,), sampler=stay, buffer=tf_febm.ReplayBuffer(50))
        fresh = rejection_sample(model, 40, seed=1, num_pilot=10)
        assert agree(fresh.samples, stats.norm.cdf)
        stored = 7 + np.arange(100, dtype=np.float32).reshape(50, 2)
        model.buffer.write(tf.constant(stored))
        result = rejection_sample(model, 40, seed=1, log_bound=0.0)
        assert np.isin(result.samples, stored).all()
        result = rejection_sample(model, 40, seed=1, log_bound=0.0, initial="noise")
        assert agree(result.samples, stats.norm.cdf)

    def test_steps_of_the_chains(self, exact):
        sampler = tf_febm.samplers.Langevin(num_steps=0, bounds=None, grad_clip=None)
        model = exact((1,), sampler=sampler)
        samples = rejection_sample(model, 5, seed=1, log_bound=0.0).samples
        moved = rejection_sample(model, 5, seed=1, log_bound=0.0, num_steps=1).samples
        # One step of size 10 takes x to −9x, up to the small noise.
        np.testing.assert_allclose(moved, -9 * samples, atol=0.3)


class TestLabels:
    """p(y) = (0.25, 0.75) and p(x|y) = N(±0.5, 0.7²); q is uniform over y and N(0, 1) over x."""

    @pytest.fixture
    def model(self, exact):
        return exact((1,), (0.25, 0.75), (-0.5, 0.5), (0.7, 0.7), conditional=True)

    BOUND = gaussian_bound(0.5, 0.7) + math.log(2 * 0.75)

    def check(self, result):
        assert result.labels.shape == (len(result.samples),)
        for y, mean in ((0, -0.5), (1, 0.5)):
            assert agree(result.samples[result.labels == y], stats.norm(mean, 0.7).cdf)

    def test_without_labels_pairs_follow_the_joint_law(self, model):
        result = rejection_sample(model, 4000, seed=1, log_bound=self.BOUND)
        self.check(result)
        assert within(result.labels.mean(), 0.75, 4000)
        assert within(result.acceptance_rate, math.exp(-self.BOUND), result.num_proposed)

    def test_labels_come_back_in_their_order(self, model):
        labels = np.random.default_rng(0).integers(0, 2, 3000)
        result = rejection_sample(model, 3000, labels, seed=1, log_bound=self.BOUND)
        np.testing.assert_array_equal(result.labels, labels)
        self.check(result)
        rows = rejection_sample(model, 40, np.eye(2)[labels[:40]], seed=1, log_bound=self.BOUND)
        np.testing.assert_array_equal(rows.labels, np.eye(2)[labels[:40]])

    def test_chains_of_given_labels_start_afresh(self, exact):
        """A buffer keeps the labels of its own chains."""
        settings = {"conditional": True, "buffer": tf_febm.ReplayBuffer(10)}
        model = exact((1,), (0.5, 0.5), (0.0, 0.0), (1.0, 1.0), **settings)
        model.buffer.write(tf.ones((10, 1)), tf.zeros([10], tf.int32))
        result = rejection_sample(model, 6, [0, 1] * 3, seed=1, log_bound=0.0)
        assert result.labels.tolist() == [0, 1] * 3
        assert rejection_sample(model, 6, seed=1, log_bound=0.0).labels.tolist() == [0] * 6

    def test_the_pilot_covers_all_labels(self, model):
        """Sorted labels, more of them than proposals in the pilot."""
        labels = np.repeat([0, 1], 300)
        result = rejection_sample(model, 600, labels, seed=1, num_pilot=200)
        # The bound of class 0 alone lies log 3 ≈ 1.1 lower.
        assert self.BOUND - 0.2 < result.log_bound <= self.BOUND + 1e-5

    def test_proposals_with_labels(self, model):
        propose = Recorder((1,), lambda count, seed: np.arange(count) % 2)
        result = rejection_sample(model, 4000, seed=1, propose=propose, log_bound=self.BOUND)
        self.check(result)
        # Labels of the samples, not of their neighbours.
        pairs = {(v, i % 2) for x in propose.drawn for i, v in enumerate(x[:, 0].tolist())}
        assert pairs.issuperset(
            zip(result.samples[:, 0].tolist(), result.labels.tolist(), strict=True)
        )

    def test_filter(self, model, samples_of_q):
        x, y = samples_of_q((1,), 12_000), np.repeat([0, 1], 6000)
        result = rejection_filter(model, x, y, seed=1, log_bound=self.BOUND)
        self.check(result)
        pairs = set(zip(x[:, 0].tolist(), y.tolist(), strict=True))
        assert pairs.issuperset(
            zip(result.samples[:, 0].tolist(), result.labels.tolist(), strict=True)
        )
        assert within(result.labels.mean(), 0.75, len(result.labels))


class TestFilter:
    def test_law_and_rate(self, exact, samples_of_q):
        x = samples_of_q((1,), 10_000)
        model = exact((1,), *MIXTURE)
        result = rejection_filter(model, tf.constant(x), seed=1, log_bound=MIXTURE_BOUND)
        assert agree(result.samples, mixture_cdf)
        assert within(result.acceptance_rate, math.exp(-MIXTURE_BOUND), 10_000)
        assert result.num_proposed == 10_000
        assert len(result.samples) == round(result.acceptance_rate * 10_000)

    def test_the_order_stays(self, exact):
        x = np.random.default_rng(0).permutation(np.linspace(-3, 3, 500, dtype=np.float32))
        result = rejection_filter(exact((1,), *MIXTURE), x[:, None], seed=1, batch_size=64)
        np.testing.assert_array_equal(result.samples[:, 0], x[np.isin(x, result.samples)])

    def test_the_bound_is_the_largest_ratio(self, exact, samples_of_q):
        x = samples_of_q((1,), 100)
        result = rejection_filter(exact((1,), *MIXTURE), x, seed=1)
        ratios = mixture_ratio(x[:, 0])
        assert result.log_bound == pytest.approx(math.log(ratios.max()), abs=1e-5)
        assert result.exceeded == 0.0 and result.excess_mass == 0.0
        assert x[ratios.argmax()] in result.samples

    def test_nothing_accepted(self, exact, samples_of_q):
        model = exact((2,), (0.5, 0.5), (0.0, 0.0), (1.0, 1.0), conditional=True)
        result = rejection_filter(model, samples_of_q((2,), 50), [0] * 50, seed=1, log_bound=900.0)
        assert result.samples.shape == (0, 2) and result.labels.shape == (0,)
        assert result.acceptance_rate == 0.0 and result.excess_mass == 0.0

    def test_ratios_far_above_the_bound(self, exact, samples_of_q):
        """exp(2000) is out of range in float64 too."""
        result = rejection_filter(
            exact((1,), offset=1000.0), samples_of_q((1,), 50), seed=1, log_bound=-1000.0
        )
        assert result.acceptance_rate == result.exceeded == 1.0
        assert result.excess_mass == pytest.approx(1.0)

    def test_seeds(self, exact, samples_of_q):
        x = samples_of_q((1,), 200)
        model = exact((1,), *MIXTURE)
        kept = [rejection_filter(model, x, seed=s).samples.tolist() for s in (1, 1, 2, None, None)]
        assert kept[0] == kept[1]
        assert all(kept[i] != kept[j] for i, j in ((1, 2), (2, 3), (3, 4)))

    def test_batches_change_nothing(self, exact, samples_of_q, monkeypatch):
        x = samples_of_q((1,), 25)
        model = exact((1,), *MIXTURE)
        whole = rejection_filter(model, x, seed=1)
        sizes, ratio = [], model.log_density_ratio
        monkeypatch.setattr(
            model, "log_density_ratio", lambda x, y=None: sizes.append(len(x)) or ratio(x, y)
        )
        parts = rejection_filter(model, x, seed=1, batch_size=10)
        assert sizes == [10, 10, 5]
        np.testing.assert_array_equal(parts.samples, whole.samples)
