"""The samples of the fits of Section 6.1, and the distance that their table reports."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tf_febm import analysis, networks
from tf_febm.analysis import mixture_fit, mixture_rules

MIXTURE = ([0.2, 0.5, 0.3], [-3.0, 0.0, 4.0], [0.3, 1.0, 0.8])


def mixture_cdf(x):
    columns = zip(*MIXTURE, strict=True)
    return sum(w * stats.norm.cdf(x, mean, variance**0.5) for w, mean, variance in columns)


@pytest.mark.parametrize("batch_size", [7, 1000])
def test_the_stream_follows_the_mixture(batch_size):
    """Stratified samples are closer to their law than independent ones, never further."""
    data = mixture_rules.stream(analysis.gaussian_mixture(*MIXTURE), batch_size, seed=3)
    batches = np.stack([batch.numpy() for batch in data.take(20_000 // batch_size)])
    assert batches.shape[1:] == (batch_size, 1)
    assert stats.kstest(batches.ravel(), mixture_cdf).pvalue > 1e-3
    independent = np.sqrt(float(analysis.gaussian_mixture(*MIXTURE).variance()) / batch_size)
    assert batches.mean(axis=1).std() < 0.5 * independent


def test_exact_samples_follow_the_gaussian():
    energy = networks.quadratic(1, mean=1.5, scale=0.7)
    sampler = mixture_rules.ExactGaussian(energy.get_layer("gaussian"))
    draws = np.stack([sampler(None, tf.zeros([999, 1]), (5, i)).numpy() for i in range(30)])
    law = stats.norm(1.5, 0.7)
    assert stats.kstest(draws.ravel(), law.cdf).pvalue > 1e-3
    # One sample in each of n intervals of equal probability.
    strata = np.sort(law.cdf(draws[:, :, 0].astype(float)), axis=1) * 999
    assert np.abs(strata - np.arange(999) - 0.5).max() < 0.5 + 1e-3
    assert np.abs(draws[0] - draws[1]).max() > 0.0


def test_kolmogorov_smirnov():
    target = analysis.gaussian_mixture(*MIXTURE)
    samples = np.random.default_rng(0).normal(size=500)
    expected = stats.kstest(samples, mixture_cdf).statistic
    assert mixture_fit.kolmogorov_smirnov(samples, target) == pytest.approx(expected, abs=1e-9)


def test_a_rough_ratio_costs_the_rejection_alone():
    """A ratio with one rare peak rejects all else; the rest of the row is still worth having."""
    model = mixture_rules.build("febm", "js", {"seed": 0, "sampler": "exact", "rule": "library"})
    # Of the proposals 1 in 741 lies above 3; there is room for 200 to a sample.
    model.log_density_ratio = lambda x, labels=None: 30.0 * tf.cast(x[:, 0] > 3.0, tf.float32)
    fit = SimpleNamespace(mean=0.0, scale=1.0)
    used = mixture_fit.use_ratio(model, fit, analysis.gaussian_mixture(*MIXTURE), seed=0, count=500)
    figures = used["figures"]
    assert "samples after" in figures["rejection_failed"] and "ks_rejection" not in figures
    assert used["accepted"].size == 0 and figures["effective_sample_size"] > 1
