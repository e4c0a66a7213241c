"""Verdicts on figures of samples that are known to be good or bad, and what they stand beside."""

import math

import numpy as np
import pytest

from tf_febm import data, evaluation
from tf_febm.evaluation.simple_images import gaussian_images, noise_images


@pytest.fixture(scope="module")
def verdict_of(digits, classifier):
    train, held_out = digits

    def judge(samples):
        quality = evaluation.sample_quality(samples, train, held_out, classifier)
        return evaluation.verdict(quality.as_dict())

    return judge


def test_of_classified_images(digits, verdict_of):
    train, _ = digits
    rows = np.random.default_rng(5).integers(len(train.images), size=500)
    assert verdict_of(train.images[rows]).kind == "good"
    noise = verdict_of(noise_images((8, 8, 1), 500, seed=3))
    assert noise.kind == "poor" and "noise" in noise.sentence
    gaussian = verdict_of(gaussian_images(train.images, 500, seed=3))
    assert "Gaussian fit" in gaussian.sentence and gaussian.kind in ("poor", "fair")
    some = verdict_of(train.images[train.labels < 5])
    assert some.kind != "good" and "Hardly any of class 5, 6, 7, 8, 9" in some.sentence
    blurred = verdict_of((0.7 * train.images[rows] + 30).astype(np.uint8))
    assert blurred.kind == "fair" and blurred.sentence.startswith("Beats a Gaussian fit")


def test_of_pixels(digits):
    train, held_out = (split.images for split in digits)
    generator = np.random.default_rng(0)
    smooth = train.repeat(4, axis=1).repeat(4, axis=2)
    unseen = held_out.repeat(4, axis=1).repeat(4, axis=2)

    def judge(samples):
        quality = evaluation.pixel_quality(samples, smooth, unseen).as_dict()
        assert len(evaluation.readings(quality)) == 4
        return evaluation.verdict(quality)

    shape = (300, *smooth.shape[1:])
    cases = {
        "noise": generator.random(shape, np.float32),
        "alike": smooth[:1].repeat(300, axis=0),
        "flat": generator.random((300, 1, 1, 1), np.float32) * np.ones(shape, np.float32),
        "afar": 255 - smooth[:300],
    }
    for word, samples in cases.items():
        found = judge(samples)
        assert found.kind == "poor" and word in found.sentence, found
    # Real images are nearer to others than what took no training, and that is not nearer than it.
    helped = judge(smooth[:300])
    assert helped.kind == "fair" and helped.sentence.startswith("Training helped")
    drawn = judge(gaussian_images(smooth, 300, seed=9))
    assert drawn.kind == "open" and "cannot be told" in drawn.sentence, drawn
    grainy = np.clip(gaussian_images(smooth, 300) + 0.05 * generator.normal(size=shape), 0.0, 1.0)
    worse = judge(grainy.astype(np.float32))
    assert worse.kind == "poor" and worse.sentence.startswith("Training has not helped"), worse


def test_few_held_out_images_read_like_many(digits):
    """Distances have no bias: of 20 real images they are about 0, and not above a sample's."""
    train, held_out = (split.images for split in digits)
    found = [
        evaluation.pixel_quality(train[:500], train, held_out[start : start + 20])
        for start in range(0, 300, 20)
    ]
    real = np.array([row.held_out_coarse_sample_distance for row in found])
    assert abs(real.mean()) < 4 * real.std(ddof=1) / np.sqrt(len(real)) + 0.005
    few = {**found[0].as_dict(), "edge_gain": 0.01, "edge_gain_standard_error": 0.02}
    few["simple_edge_sample_distance"] = 0.4
    told = evaluation.verdict(few)
    assert told.kind == "open" and "20 held-out images are few" in told.sentence
    # Few or not: what can have been gained, 0.01 and twice the error, is small beside the way.
    few["simple_edge_sample_distance"] = 1.0
    told = evaluation.verdict(few)
    assert told.kind == "poor" and "at most 5.0% of the way" in told.sentence
    earlier = {"roughness": 1.0, "held_out_roughness": 1.0, "spread": 1.0, "held_out_spread": 1.0}
    assert "earlier version" in evaluation.verdict(earlier).sentence


def test_pixel_figures_by_hand():
    stripes = np.zeros((2, 4, 4, 1), np.float32)
    stripes[1, :, ::2] = 1.0
    found = evaluation.pixel_quality(stripes, stripes, stripes)
    # Rows are equal; half of the images differ by 1 from column to column. Pixels of even columns
    # are 0 in one and 1 in the other, of variance 1/4.
    assert found.roughness == pytest.approx((0.0 + 0.5) / 2)
    assert found.spread == pytest.approx(0.25 / 2)
    # Cells are columns: half of them at 0 and 1, of deviation ½, or equal. ‖x₁ − x₂‖ is √½·2 in
    # units of √d deviations, x₁ and x₂ being the samples and the training images: of the means
    # across, with equal pairs, half.
    apart = np.sqrt(0.5) * 2.0
    assert found.coarse_sample_distance == pytest.approx(2 * apart / 2 - 2 * apart)
    with pytest.raises(ValueError, match="samples must be at least two images; received 1"):
        evaluation.pixel_quality(stripes[:1], stripes, stripes)


def test_gaussian_images_have_the_moments_of_the_data(digits):
    images = evaluation.to_unit_interval(digits[0].images)[:, 2:6, 2:6]
    middle = 0.4 + 0.2 * images
    drawn = gaussian_images(middle, 40_000)
    flat = [x.reshape(len(x), -1) for x in (middle, drawn)]
    np.testing.assert_allclose(flat[1].mean(0), flat[0].mean(0), atol=0.002)
    np.testing.assert_allclose(np.cov(flat[1].T), np.cov(flat[0].T), atol=3e-4)


def test_of_log_likelihoods():
    figures = {"held_out_log_likelihood": -1.0, "gaussian_log_likelihood": -4.1}
    good = evaluation.verdict(figures)
    assert good == ("good", "Beats a Gaussian fit by 3.10 nats a held-out row.")
    worse = evaluation.verdict(figures | {"gaussian_log_likelihood": 0.0})
    assert worse.kind == "poor" and "method=noise_contrastive" in worse.sentence
    assert worse.sentence.startswith("Worse than a Gaussian fit by 1.00 nats a held-out row. ")
    unsure = figures | {"gaussian_log_likelihood": -1.3, "log_z_standard_error": 0.2}
    assert evaluation.verdict(unsure).kind == "fair"
    assert evaluation.verdict(figures | {"effective_sample_size": 2.0}).kind == "open"
    assert evaluation.verdict(figures | {"held_out_log_likelihood": math.nan}).kind == "poor"


def test_of_points_in_the_plane():
    density = data.toy_datasets.get("8gaussians")
    points = data.load("8gaussians", split="test").vectors[:2000]

    def energy(x):
        return -density.log_prob(x)

    figures = evaluation.plane_quality(energy, points, density, points).as_dict()
    best = evaluation.verdict(figures)
    assert best.kind == "good" and "8 of 8 modes" in best.sentence
    assert figures["gaussian_log_likelihood"] == pytest.approx(gaussian_log_likelihood(points))
    lazy = evaluation.verdict(figures | {"modes_covered": 0, "share_near_modes": 0.0})
    assert lazy.kind == "fair" and "0 of 8 modes" in lazy.sentence
    wide = evaluation.verdict(figures | {"held_out_log_likelihood": -3.0})
    assert wide.kind == "poor" and wide.sentence.startswith("Worse than a Gaussian fit")


def gaussian_log_likelihood(x):
    from scipy import stats

    law = stats.multivariate_normal(x.mean(0), np.cov(x.T, bias=True))
    return law.logpdf(x).mean()


def test_of_stacked_digits():
    figures = {
        "modes_found": 990,
        "modes": 1000,
        "expected_modes_of_uniform": 1000.0,
        "mean_confidence": 0.97,
        "held_out_confidence": 0.99,
        "kl_to_uniform": 0.1,
    }
    assert evaluation.verdict(figures).kind == "good"
    assert evaluation.verdict(figures | {"modes_found": 300}).kind == "fair"
    assert evaluation.verdict(figures | {"mean_confidence": 0.5}).kind == "poor"


def test_of_nothing_known():
    assert "no labels" in evaluation.verdict({"skipped": "no labels"}).sentence
    assert evaluation.verdict({"count": 3}).kind == "open"
    assert evaluation.readings({"count": 3}) == []
    # Version 0.1 knew no Gaussian.
    earlier = {"frechet_ratio": 9.0, "frechet_ratio_resampled": 1.6, "class_shares": [0.5, 0.5]}
    assert evaluation.verdict(earlier | {"frechet_ratio_resampled_std": 0.3}).kind == "open"


def test_every_kind_has_readings_on_a_scale(digits, classifier):
    train, held_out = digits
    quality = evaluation.sample_quality(held_out.images, train, held_out, classifier).as_dict()
    ratio, confidence = evaluation.readings(quality)
    assert (ratio.value, ratio.best) == (
        quality["frechet_ratio"],
        quality["frechet_ratio_resampled"],
    )
    assert ratio.simple == quality["frechet_ratio_gaussian"] > ratio.best
    assert confidence.best == quality["held_out_confidence"] and confidence.simple is None
