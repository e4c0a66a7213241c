"""The classifier whose features the quality figures use."""

import keras
import numpy as np
import pytest

from tf_febm import evaluation

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(6)
BRIEF = {"num_steps": 2, "batch_size": 4, "filters": 2}


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


class TestCache:
    @pytest.fixture(autouse=True)
    def trained(self, monkeypatch):
        """Count trainings, and leave the weights as they are at first, which differ by seed."""
        calls = []
        monkeypatch.setattr(evaluation.classifier, "_fit", lambda *_: calls.append(1))
        return calls

    @staticmethod
    def train(folder, images=IMAGES, labels=LABELS, **changes):
        settings = {"num_classes": 6} | BRIEF | changes
        return evaluation.train_classifier(images, labels, cache_dir=folder, **settings)

    def test_the_second_time_nothing_is_trained(self, tmp_path, trained):
        folder = tmp_path / "made" / "here"
        first = self.train(folder)
        plain = evaluation.train_classifier(IMAGES, LABELS, 6, **BRIEF)
        assert len(trained) == 2
        # By another name, and as floats that mean the same.
        again = self.train(folder, evaluation.to_unit_interval(IMAGES), name="other")
        assert len(trained) == 2 and len(list(folder.iterdir())) == 1
        assert again.fingerprint == first.fingerprint == plain.fingerprint
        np.testing.assert_array_equal(again.features(IMAGES), first.features(IMAGES))
        assert again.feature_network == first.feature_network.replace("images", "other")

    def test_whatever_matters_makes_another_file(self, tmp_path, monkeypatch):
        first = self.train(tmp_path)
        for number, changes in enumerate(
            [
                {"images": IMAGES[::-1]},
                {"labels": LABELS[::-1]},
                {"num_classes": 7},
                {"seed": 1},
                {"num_steps": 1},
                {"batch_size": 3},
                {"learning_rate": 1e-3},
                {"filters": 1},
            ],
            start=2,
        ):
            other = self.train(tmp_path, **changes)
            assert len(list(tmp_path.iterdir())) == number
            assert (other.fingerprint != first.fingerprint) == bool(
                changes.keys() & {"seed", "filters", "num_classes"}
            )
        monkeypatch.setattr(evaluation.classifier, "RECIPE", 0)
        self.train(tmp_path)
        assert len(list(tmp_path.iterdir())) == number + 1

    @pytest.mark.parametrize("damage", ["cut", "not finite", "others"])
    def test_damage_is_reported_and_repaired(self, tmp_path, trained, damage):
        first = self.train(tmp_path)
        (file,) = tmp_path.iterdir()
        with np.load(file) as stored:
            weights = dict(stored)
        if damage == "cut":
            file.write_bytes(file.read_bytes()[:-100])
        elif damage == "not finite":
            np.savez(file, **weights | {"0": weights["0"] * np.nan})
        else:
            np.savez(file, **weights | {"0": weights["0"][..., :1]})
        with pytest.warns(UserWarning, match=f"{file.name} are damaged .* computing them anew"):
            again = self.train(tmp_path)
        assert again.fingerprint == first.fingerprint
        self.train(tmp_path)
        assert len(trained) == 2


@pytest.mark.parametrize("shape", [(2, 2, 1), (12, 5, 3), (28, 28, 1)])
def test_other_sizes(shape, monkeypatch):
    monkeypatch.setattr(evaluation.classifier, "_fit", lambda *_: None)
    images = np.random.default_rng(0).random((10, *shape), dtype=np.float32)
    classifier = evaluation.train_classifier(images, np.arange(10) % 3, 3, filters=4)
    assert classifier.features(images).shape == (10, 64)
    assert classifier.probabilities(images).shape == (10, 3)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"images": IMAGES[..., 0]}, ValueError, r"received shape \(6, 8, 8\)"),
        ({"images": IMAGES * 0.0 + 2}, ValueError, r"in \[0, 1\]; received values from 2.0 to 2"),
        ({"images": IMAGES[:, :1]}, ValueError, r"at least 2×2; received shape \(6, 1, 8, 1\)"),
        ({"labels": LABELS[:4]}, ValueError, r"shape \[6\].*received shape \(4,\)"),
        ({"labels": LABELS[:, None]}, ValueError, r"received shape \(6, 1\)"),
        ({"labels": LABELS * 1.0}, TypeError, "integers; received dtype float64"),
        ({"labels": LABELS + 5}, ValueError, r"in \[0, 10\); received values from 5 to 10"),
        ({"num_classes": 1}, ValueError, "num_classes must be a whole number ≥ 2; received 1"),
        ({"seed": -1}, ValueError, "seed must be a whole number ≥ 0; received -1"),
        ({"num_steps": 0}, ValueError, "num_steps must be a whole number ≥ 1; received 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be a whole number ≥ 1; received 0"),
        ({"filters": 0}, ValueError, "filters must be a whole number ≥ 1; received 0"),
        (
            {"learning_rate": 0.0},
            ValueError,
            "learning_rate must be a finite number > 0; received 0.0",
        ),
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
    with pytest.raises(ValueError, match="batch_size must be a whole number ≥ 1; received 0"):
        evaluation.Classifier(classifier.model, "classifier:right", batch_size=0)
