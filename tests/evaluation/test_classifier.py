"""The classifier whose features the quality figures use."""

import keras
import numpy as np
import pytest

from tf_febm import evaluation


def briefly_trained(digits, seed=0, **kwargs):
    train, _ = digits
    kwargs = {"num_steps": 5, "filters": 4, "name": "digits"} | kwargs
    images = evaluation.to_unit_interval(train.images)
    return evaluation.train_classifier(images, train.labels, 10, seed, **kwargs)


def test_accuracy_on_held_out_digits(digits, classifier):
    _, held_out = digits
    probabilities = classifier.probabilities(held_out.images)
    assert np.mean(probabilities.argmax(axis=1) == held_out.labels) >= 0.97


def test_outputs(digits, classifier):
    _, held_out = digits
    features, probabilities = classifier.features_and_probabilities(held_out.images)
    assert features.shape == (360, 64)
    assert probabilities.shape == (360, 10)
    assert features.dtype == probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(classifier.features(held_out.images), features)
    np.testing.assert_array_equal(classifier.probabilities(held_out.images), probabilities)
    assert classifier.image_shape == (8, 8, 1)
    assert classifier.num_classes == 10
    assert classifier.feature_network.startswith("classifier:digits-8x8x1-")


def test_features_are_penultimate(digits, classifier):
    """One affine layer and a softmax lead from the features to the probabilities."""
    _, held_out = digits
    features, probabilities = classifier.features_and_probabilities(held_out.images[:50])
    kernel, bias = (v.numpy() for v in classifier.model.trainable_variables[-2:])
    logits = features @ kernel + bias
    logits -= logits.max(axis=1, keepdims=True)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_batches_do_not_change_the_result(digits, classifier):
    _, held_out = digits
    in_small_batches = evaluation.Classifier(classifier.model, "same", batch_size=7)
    np.testing.assert_allclose(
        in_small_batches.features(held_out.images),
        classifier.features(held_out.images),
        rtol=1e-4,
        atol=1e-4,
    )


def test_bytes_and_floats_mean_the_same(digits, classifier):
    _, held_out = digits
    floats = (held_out.images.astype(np.float32) + 0.5) / 256
    np.testing.assert_array_equal(classifier.features(held_out.images), classifier.features(floats))


def test_seed_alone_decides(digits):
    _, held_out = digits
    keras.utils.set_random_seed(1)
    first = briefly_trained(digits).features(held_out.images)
    keras.utils.set_random_seed(2)
    second = briefly_trained(digits).features(held_out.images)
    np.testing.assert_array_equal(first, second)
    other = briefly_trained(digits, seed=1).features(held_out.images)
    assert np.abs(other - first).max() > 0.01


def test_global_mixed_precision_does_not_reach_it(digits):
    _, held_out = digits
    expected = briefly_trained(digits).features(held_out.images)
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        features = briefly_trained(digits).features(held_out.images)
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    np.testing.assert_array_equal(features, expected)


@pytest.mark.parametrize("shape", [(28, 28, 1), (2, 2, 1), (12, 5, 3)])
def test_other_sizes(shape):
    images = np.random.default_rng(0).random((10, *shape), dtype=np.float32)
    classifier = evaluation.train_classifier(
        images, np.arange(10) % 3, 3, num_steps=2, batch_size=16, filters=4
    )
    assert classifier.features(images).shape == (10, 64)
    assert classifier.probabilities(images).shape == (10, 3)


IMAGES = np.zeros((6, 8, 8, 1), np.float32)
LABELS = np.arange(6)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"images": IMAGES[..., 0]}, ValueError, r"received shape \(6, 8, 8\)"),
        ({"images": IMAGES + 2}, ValueError, r"in \[0, 1\]; received values from 2.0 to 2.0"),
        ({"images": IMAGES[:, :1]}, ValueError, r"at least 2×2; received shape \(6, 1, 8, 1\)"),
        ({"labels": LABELS[:4]}, ValueError, r"shape \[6\].*received shape \(4,\)"),
        ({"labels": LABELS[:, None]}, ValueError, r"received shape \(6, 1\)"),
        ({"labels": LABELS * 1.0}, TypeError, "integers; received dtype float64"),
        ({"labels": LABELS + 5}, ValueError, r"in \[0, 10\); received values from 5 to 10"),
        ({"num_classes": 1}, ValueError, "num_classes must be at least 2; received 1"),
        ({"seed": -1}, ValueError, "seed must be an integer ≥ 0; received -1"),
        ({"num_steps": 0}, ValueError, "num_steps must be at least 1; received 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1; received 0"),
        ({"filters": 0}, ValueError, "filters must be at least 1; received 0"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be positive; received 0.0"),
    ],
)
def test_training_arguments_are_validated(changes, error, message):
    arguments = {"images": IMAGES, "labels": LABELS, "num_classes": 10} | changes
    with pytest.raises(error, match=message):
        evaluation.train_classifier(**arguments)


def test_images_of_another_shape_are_refused(classifier):
    with pytest.raises(ValueError, match=r"\[n, 8, 8, 1\] .*received shape \(6, 9, 8, 1\)"):
        classifier.features(np.zeros((6, 9, 8, 1)))
    with pytest.raises(ValueError, match=r"n ≥ 1; received shape \(0, 8, 8, 1\)"):
        classifier.features(np.zeros((0, 8, 8, 1)))


def test_a_model_without_features_is_refused(classifier):
    model = keras.Model(classifier.model.inputs, classifier.model.outputs[1])
    with pytest.raises(ValueError, match="features, logits"):
        evaluation.Classifier(model, "classifier:wrong")
    with pytest.raises(ValueError, match="batch_size must be at least 1; received 0"):
        evaluation.Classifier(classifier.model, "classifier:right", batch_size=0)
