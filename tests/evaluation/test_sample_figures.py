"""The front: figures are those of the parts, and carry the right names."""

import json

import numpy as np
import pytest
from scipy.linalg import sqrtm

from tf_febm import evaluation

# Subsets and clusterings enough for what these tests ask.
BRIEF = {"num_subsets": 10, "prd_runs": 1}


class Projection:
    """A feature network that projects pixels; classes by softmax if asked for."""

    def __init__(self, width=4, classes=None, published=False):
        self.feature_network, self.fingerprint = f"projection-{width}", str(width)
        self.published, self.classes = published, classes
        self.matrix = np.random.default_rng(0).normal(size=(12, width))

    def features(self, images):
        return self.features_and_probabilities(images)[0]

    def features_and_probabilities(self, images):
        flat = evaluation.to_unit_interval(images).reshape(len(images), -1).astype(np.float64)
        features = flat @ self.matrix
        if self.classes is None:
            return features, None
        exponentials = np.exp(5 * features[:, : self.classes])
        return features, exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.fixture
def sets():
    generator = np.random.default_rng(1)
    real = generator.integers(0, 256, (80, 2, 2, 3), dtype=np.uint8)
    return generator.beta(2, 3, (50, 2, 2, 3)), real


def reference_distance(a, b):
    (mean_a, cov_a), (mean_b, cov_b) = ((x.mean(axis=0), np.cov(x, rowvar=False)) for x in (a, b))
    root = sqrtm(cov_a @ cov_b)
    return np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a + cov_b) - 2 * np.trace(root).real


def test_figures_are_those_of_their_parts(sets, tmp_path):
    samples, real = sets
    network = Projection(classes=3)
    for _ in range(2):  # computed, then with the statistics from the cache
        figures = evaluation.evaluate_samples(
            samples, real, network, cache_dir=tmp_path, num_splits=5, num_subsets=7, seed=3,
            prd_clusters=6, prd_runs=2, reference="train",
        )  # fmt: skip
        a, probabilities = network.features_and_probabilities(samples)
        b = network.features(real)
        assert figures.frechet_distance == pytest.approx(reference_distance(a, b), rel=1e-6)
        kernel = evaluation.kernel_distance(a, b, num_subsets=7, seed=3)
        assert figures.kernel_distance == pytest.approx(kernel.mean, rel=1e-5)
        assert figures.kernel_distance_std == pytest.approx(kernel.std, rel=1e-4)
        score = evaluation.inception_score(probabilities, 5)
        assert (figures.class_score, figures.class_score_std) == (score.mean, score.std)
        assert (figures.precision, figures.recall) == evaluation.precision_and_recall(b, a, 3)
        assert (figures.density, figures.coverage) == evaluation.density_and_coverage(b, a, 5)
        scores = evaluation.distribution_scores(b, a, num_clusters=6, num_runs=2, seed=3)
        assert figures.prd_f8 == pytest.approx(scores.f8, abs=1e-6)
        assert figures.prd_f1_8 == pytest.approx(scores.f1_8, abs=1e-6)
    assert (figures.prd_clusters, figures.prd_runs, figures.prd_rows) == (6, 2, 50)
    assert figures.reference == "train"
    assert (figures.num_samples, figures.num_real) == (50, 80)
    assert (figures.class_score_splits, figures.kernel_subsets) == (5, 7)
    assert figures.kernel_subset_size == 50
    assert len(list(tmp_path.iterdir())) == 1


def test_only_the_published_network_makes_a_fid(sets):
    plain = evaluation.evaluate_samples(*sets, Projection(), **BRIEF).as_dict()
    assert plain["published_names"] == {}
    assert plain["feature_network"] == "projection-4"
    assert "FID" not in json.dumps(plain) and "nception" not in json.dumps(plain)
    assert plain["reference"] is None
    assert plain["class_score"] is None and plain["class_score_splits"] is None
    published = evaluation.evaluate_samples(*sets, Projection(classes=2, published=True), **BRIEF)
    assert published.published_names == {
        "frechet_distance": "FID",
        "kernel_distance": "KID",
        "class_score": "Inception score",
    }
    assert published.class_score > 1


def test_few_images_are_warned_about(sets):
    samples, real = sets
    with pytest.warns(UserWarning) as warned:
        evaluation.evaluate_samples(samples, real[:10], Projection(width=11), **BRIEF)
    (message,) = (str(w.message) for w in warned)
    assert message.startswith("real has 10 rows for 11 features")


def test_digits_are_nearer_to_digits_than_noise(digits, classifier):
    train, held_out = digits
    noise = np.random.default_rng(0).random(held_out.images.shape)
    good, bad = (
        evaluation.evaluate_samples(samples, train.images, classifier, **BRIEF)
        for samples in (held_out.images, noise)
    )
    assert good.frechet_distance < bad.frechet_distance / 20
    assert good.kernel_distance < bad.kernel_distance / 20
    assert good.prd_f8 > 0.9 and good.prd_f1_8 > 0.9 and bad.prd_f8 < 0.5 and bad.prd_f1_8 < 0.5
    assert good.precision > 0.8 and good.recall > 0.8 and good.coverage > 0.5
    # Noise looks much the same to the classifier everywhere, and like few of the digits.
    assert bad.coverage < 0.1 and bad.class_score < 5 < good.class_score


def test_arguments_are_validated(sets):
    samples, real = sets
    with pytest.raises(ValueError, match=r"\(50, 2, 2, 1\) and \(80, 2, 2, 3\)"):
        evaluation.evaluate_samples(samples[..., :1], real, Projection())
    with pytest.raises(ValueError, match="samples must have more than k = 3 rows; received 3"):
        evaluation.evaluate_samples(samples[:3], real, Projection(width=1))
