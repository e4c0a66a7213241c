"""Out-of-distribution scores against closed forms, for every kind of model."""

import numpy as np
import pytest
from scipy.special import logsumexp

from tf_febm.applications import ood_scores

# Sums of a few float32 numbers about 10.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def test_names_and_values_of_a_model_with_a_ratio(exact, samples_of_q):
    model = exact((3,), means=(1.0,), scales=(0.5,))
    x = samples_of_q((3,), 50)
    scores = ood_scores(model, x)
    assert list(scores) == ["energy", "gradient_norm", "negative_log_density_ratio"]
    np.testing.assert_allclose(scores["energy"], 0.5 * np.sum(x**2, axis=1), **CLOSE)
    np.testing.assert_allclose(scores["gradient_norm"], np.linalg.norm(x, axis=1), **CLOSE)
    # log p/q of N(1, 0.25 I) and N(0, I).
    ratio = np.sum(0.5 * x**2 - 0.5 * ((x - 1) / 0.5) ** 2 - np.log(0.5), axis=1)
    np.testing.assert_allclose(scores["negative_log_density_ratio"], -ratio, **CLOSE)
    assert all(values.shape == (50,) for values in scores.values())


def test_a_model_without_a_ratio_has_no_such_score(gaussian, samples_of_q):
    scores = ood_scores(gaussian((2, 2, 1)), samples_of_q((2, 2, 1), 5))
    assert list(scores) == ["energy", "gradient_norm"]


def test_labels_given(exact, samples_of_q):
    model = exact((1,), (0.2, 0.8), (-1.0, 2.0), (0.7, 0.5), conditional=True)
    x, labels = samples_of_q((1,), 40), np.arange(40) % 2
    scores = ood_scores(model, x, labels)
    np.testing.assert_allclose(
        scores["negative_log_density_ratio"], -model.log_density_ratio(x, labels), **CLOSE
    )
    one_hot = ood_scores(model, x, np.eye(2, dtype=np.float32)[labels])
    np.testing.assert_allclose(
        one_hot["negative_log_density_ratio"], scores["negative_log_density_ratio"], **CLOSE
    )


def test_labels_are_summed_out(exact, gaussian, samples_of_q):
    means = np.array([[-1.0, 0.5], [2.0, 0.0], [0.0, 3.0]])
    x = samples_of_q((2,), 30)
    scores = ood_scores(gaussian((2,), means=means), x, batch_size=7)
    differences = x[:, None] - means
    energies = 0.5 * np.sum(differences**2, axis=2)
    # Before training all classes are equally likely.
    np.testing.assert_allclose(scores["energy"], np.log(3) - logsumexp(-energies, axis=1), **CLOSE)
    # The gradient of −log Σ exp(−E_y) is the mean of ∇E_y under the label's posterior.
    posterior = np.exp(-energies - logsumexp(-energies, axis=1, keepdims=True))
    gradient = np.sum(posterior[..., None] * differences, axis=1)
    np.testing.assert_allclose(scores["gradient_norm"], np.linalg.norm(gradient, axis=1), **CLOSE)


def test_labels_are_summed_out_by_how_often_training_saw_them(exact, samples_of_q):
    """−log Σ_y p(y) e^(−E(x, y)) by enumeration, with a p(y) that changes after a first call."""
    model = exact((1,), (0.2, 0.8), (-1.0, 2.0), (0.7, 0.5), conditional=True)
    model.build((None, 1))
    x = samples_of_q((1,), 20)
    name = "negative_log_density_ratio"
    energies = np.stack([model.energy(x, [y] * 20) for y in range(2)], axis=1)
    ratios = np.stack([model.log_density_ratio(x, [y] * 20) for y in range(2)], axis=1)
    for counts in ((5.0, 5.0), (1.0, 9.0), (10.0, 0.0)):
        model.class_counts.sums.assign(counts)
        with np.errstate(divide="ignore"):
            joint = np.log(np.array(counts) / 10.0) - energies
        marginal = logsumexp(joint, axis=1)
        scores = ood_scores(model, x)
        np.testing.assert_allclose(scores["energy"], -marginal, **CLOSE)
        np.testing.assert_allclose(scores["energy"], model.marginal_energy(x), **CLOSE)
        ratio = logsumexp(ratios + joint - marginal[:, None], axis=1)
        np.testing.assert_allclose(scores[name], -ratio, rtol=1e-4, atol=1e-4)


def test_the_ratio_of_the_images_alone(exact, samples_of_q):
    """p(x) is the mixture itself, whatever its classes, and q(x) = N(0, 1)."""
    mixture = ((0.2, 0.8), (-1.0, 2.0), (0.7, 0.5))
    x = samples_of_q((1,), 60)
    conditional = ood_scores(exact((1,), *mixture, conditional=True), x)
    alone = ood_scores(exact((1,), *mixture), x)
    name = "negative_log_density_ratio"
    np.testing.assert_allclose(conditional[name], alone[name], rtol=1e-4, atol=1e-4)


def test_strangers_score_higher(exact, samples_of_q):
    model = exact((3,), means=(0.0,), scales=(0.5,))
    near, far = samples_of_q((3,), 100), 10 + samples_of_q((3,), 100)
    for name, values in ood_scores(model, np.concatenate([near, far])).items():
        assert values[100:].min() > values[:100].max(), name


def test_batches_do_not_matter_and_are_compiled_once(gaussian, samples_of_q):
    model = gaussian((4,))
    x = samples_of_q((4,), 1000)
    whole = ood_scores(model, x, batch_size=1000)
    before = model.energy_network.traces
    parts = ood_scores(model, x, batch_size=17)
    # 59 batches: one program for 17 images, one for any number.
    assert model.energy_network.traces - before <= 2
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name], values, **CLOSE)


def test_float64_and_float16_images_are_taken(gaussian, samples_of_q):
    x = samples_of_q((4,), 10).astype(np.float16)
    model = gaussian((4,))
    np.testing.assert_allclose(
        ood_scores(model, x)["energy"], ood_scores(model, x.astype(float))["energy"], **CLOSE
    )


def test_it_refuses(gaussian, samples_of_q):
    model, x = gaussian((4,)), samples_of_q((4,), 10)
    with pytest.raises(TypeError, match="images must be floating.*received uint8"):
        ood_scores(model, x.astype(np.uint8))
    with pytest.raises(ValueError, match=r"images must have shape \('n', 4\).*received \(10, 3\)"):
        ood_scores(model, x[:, :3])
    with pytest.raises(ValueError, match="n ≥ 1"):
        ood_scores(model, x[:0])
    with pytest.raises(ValueError, match="energy network takes none"):
        ood_scores(model, x, np.zeros(10, int))
    with pytest.raises(ValueError, match=r"labels must be one per sample, shape \[10\]"):
        ood_scores(gaussian((4,), means=np.zeros((2, 4))), x, np.zeros(9, int))
    x[3], x[7] = np.nan, np.inf
    with pytest.raises(
        ValueError, match="energy must be finite; it is nan for image 3.*for 2 of 10"
    ):
        ood_scores(model, x)
