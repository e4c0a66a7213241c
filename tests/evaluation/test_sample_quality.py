"""Quality figures on "samples" whose quality is known beforehand."""

import dataclasses
import json

import numpy as np
import pytest

from tf_febm import evaluation


@pytest.fixture(scope="module")
def quality_of(digits, classifier):
    train, held_out = digits

    def measure(samples):
        return evaluation.sample_quality(samples, train, held_out, classifier)

    return measure


def dequantised(images, seed=0):
    return (images + np.random.default_rng(seed).random(images.shape, dtype=np.float32)) / 256


def test_real_data(digits, classifier, quality_of):
    """Training images drawn anew are what a perfect model would produce."""
    train, held_out = digits
    rows = np.random.default_rng(5).integers(len(train.images), size=1000)
    quality = quality_of(dequantised(train.images[rows]))
    spread = abs(quality.frechet_ratio - quality.frechet_ratio_resampled)
    assert spread < 4 * quality.frechet_ratio_resampled_std
    assert 1 < quality.frechet_ratio_resampled < 2.5
    assert 0.05 < quality.min_class_share <= 0.1 <= quality.max_class_share < 0.15
    assert quality.mean_confidence > 0.97
    assert quality.held_out_confidence > 0.95
    assert quality.held_out_accuracy >= 0.97
    assert (quality.num_samples, quality.num_train, quality.num_held_out) == (1000, 1437, 360)
    assert quality.feature_network == classifier.feature_network
    assert quality.reference == "test"


def test_figures_follow_their_definitions(digits, classifier, quality_of):
    train, held_out = digits
    samples = dequantised(train.images[:300])
    quality = quality_of(samples)
    features, probabilities = classifier.features_and_probabilities(samples)
    held_out_features = classifier.features(held_out.images)
    distance = evaluation.frechet_distance(features, held_out_features)
    distance_train = evaluation.frechet_distance(
        classifier.features(train.images), held_out_features
    )
    assert quality.frechet_to_held_out == pytest.approx(distance, rel=1e-9)
    assert quality.frechet_train_to_held_out == pytest.approx(distance_train, rel=1e-9)
    assert quality.frechet_ratio == pytest.approx(distance / distance_train, rel=1e-9)
    shares = [np.mean(probabilities.argmax(axis=1) == k) for k in range(10)]
    assert quality.class_shares == pytest.approx(shares)
    assert quality.min_class_share == pytest.approx(min(shares))
    assert quality.max_class_share == pytest.approx(max(shares))
    assert quality.mean_confidence == pytest.approx(probabilities.max(axis=1).mean(), rel=1e-5)


def test_whole_training_split_has_ratio_one(digits, quality_of):
    train, _ = digits
    assert quality_of(train.images).frechet_ratio == pytest.approx(1, rel=1e-9)
    # Dequantisation noise is far below what the features notice.
    assert quality_of(dequantised(train.images)).frechet_ratio == pytest.approx(1, abs=0.01)


def test_half_of_the_held_out_images(digits, quality_of):
    _, held_out = digits
    quality = quality_of(evaluation.to_unit_interval(held_out.images[::2]))
    assert quality.frechet_ratio < quality.frechet_ratio_resampled


def test_uniform_noise(quality_of):
    noise = np.random.default_rng(0).random((300, 8, 8, 1), dtype=np.float32)
    quality = quality_of(noise)
    assert quality.frechet_ratio > 20
    assert quality.mean_confidence < 0.9


def test_single_class(digits, quality_of):
    train, _ = digits
    quality = quality_of(dequantised(train.images[train.labels == 3]))
    assert quality.max_class_share > 0.97
    assert quality.class_shares[3] == quality.max_class_share
    assert quality.frechet_ratio > 20
    assert quality.mean_confidence > 0.97


def test_missing_class(digits, quality_of):
    train, _ = digits
    quality = quality_of(dequantised(train.images[train.labels != 8]))
    assert quality.class_shares[8] < 0.01
    assert quality.frechet_ratio > quality.frechet_ratio_resampled + 3 * (
        quality.frechet_ratio_resampled_std
    )


def test_ratio_grows_with_noise(digits, quality_of):
    train, _ = digits
    generator = np.random.default_rng(1)
    clean = dequantised(train.images)
    noise = generator.normal(size=clean.shape).astype(np.float32)
    ratios = [quality_of(np.clip(clean + s * noise, 0, 1)).frechet_ratio for s in (0.1, 0.2, 0.4)]
    assert ratios == sorted(ratios)
    assert ratios[1] > 2.5


def test_as_dict_survives_json(digits, quality_of):
    train, _ = digits
    quality = quality_of(train.images[:200])
    back = json.loads(json.dumps(quality.as_dict(), allow_nan=False))
    assert evaluation.SampleQuality(**back) == quality
    assert "fid" not in " ".join(back).lower().split("_")


def test_equal_inputs_give_equal_figures(digits, quality_of):
    train, _ = digits
    assert quality_of(train.images[:200]) == quality_of(train.images[:200])


def test_few_samples_warn(digits, quality_of):
    train, _ = digits
    with pytest.warns(UserWarning, match="64 rows for 64 features"):
        quality_of(train.images[:64])


def test_arguments_are_validated(digits, classifier):
    train, held_out = digits
    measure = evaluation.sample_quality
    with pytest.raises(ValueError, match=r"samples .*received shape \(1, 8, 8, 1\)"):
        measure(train.images[:1], train, held_out, classifier)
    with pytest.raises(ValueError, match=r"samples .*received shape \(9, 8, 8\)"):
        measure(train.images[:9, ..., 0], train, held_out, classifier)
    with pytest.raises(ValueError, match=r"samples .*in \[0, 1\]; received values from 3"):
        measure(np.full((9, 8, 8, 1), 3.0), train, held_out, classifier)
    with pytest.raises(ValueError, match="train and classifier .*received 7 and 10"):
        other = dataclasses.replace(train, num_classes=7)
        measure(train.images, other, held_out, classifier)
    with pytest.raises(ValueError, match=r"one label for each image; .*shape \(\)"):
        measure(train.images, train, dataclasses.replace(held_out, labels=None), classifier)
    with pytest.raises(ValueError, match=r"one label for each image; .*shape \(360, 1\)"):
        column = dataclasses.replace(held_out, labels=held_out.labels[:, None])
        measure(train.images, train, column, classifier)
    with pytest.raises(ValueError, match="must be different images"):
        measure(train.images[:200], held_out, held_out, classifier)


def test_earlier_names_of_figures(digits, quality_of):
    quality = quality_of(digits[0].images[:300])
    with pytest.deprecated_call(match="is now frechet_to_held_out"):
        assert quality.frechet_distance == quality.frechet_to_held_out
    with pytest.deprecated_call(match="is now frechet_train_to_held_out"):
        assert quality.frechet_distance_train == quality.frechet_train_to_held_out
    assert "frechet_distance" not in quality.as_dict(), "the name is that of another figure"
