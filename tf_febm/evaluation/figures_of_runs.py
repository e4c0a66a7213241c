"""Quality figures of a run's samples, chosen by the kind of its data."""

import math

import numpy as np
import tensorflow as tf

from tf_febm import arguments, data, randomness
from tf_febm.evaluation.choosing import CLASSIFIED
from tf_febm.evaluation.classifier import train_classifier
from tf_febm.evaluation.pixel_quality import ENOUGH, pixel_quality
from tf_febm.evaluation.plane_quality import plane_quality
from tf_febm.evaluation.quality import sample_quality
from tf_febm.evaluation.stacked import expected_of_uniform, stacked_modes
from tf_febm.partition import (
    annealed_log_partition,
    held_out_log_likelihood,
    log_partition_on_grid,
)
from tf_febm.samplers import denoising_step

__all__ = ["run_figures"]

# How much wider in variance than the data the Gaussian is at which annealing starts.
WIDENING = 2.0


@arguments.checking({"train": arguments.DATASETS, "held_out": arguments.DATASETS})
def run_figures(
    model: arguments.Model,
    samples: np.ndarray,
    train: arguments.Data,
    held_out: arguments.Data,
    noise_removed: float = 0.0,
) -> dict:
    """Measure samples of a trained model by what is known of its data.

    Small labelled images have a classifier, whose features and classes tell quality and modes;
    other images have statistics of their pixels, beside those of samples of the model's reference
    alone, which is what training began with. Vectors have a held-out log-likelihood, against
    the truth where the density is known.

    Args:
        model: The model, with the weights that drew the samples.
        samples: Float32 [n, …], in [0, 1] for images, in their own units for vectors.
        train: `ImageData` or `VectorData` that it was trained on.
        held_out: The same of the held-out examples.
        noise_removed: Standard deviation of the noise that was taken off the samples.

    Returns:
        Figures by name, or "skipped" with the reason why there are none.
    """
    if isinstance(train, data.VectorData):
        return _of_vectors(model, samples, train, held_out)
    if train.name == "stacked_mnist":
        return _of_stacked_digits(samples, train, held_out)
    if train.name not in CLASSIFIED:
        simple = _of_the_reference(model, len(samples), noise_removed)
        return pixel_quality(samples, train.images, held_out.images, simple).as_dict()
    classifier = train_classifier(train.images, train.labels, train.num_classes, name=train.name)
    return sample_quality(samples, train, held_out, classifier).as_dict()


def _of_the_reference(model, count: int, noise_removed: float) -> np.ndarray | None:
    """Return samples of the reference alone as those of the model are shown; None without one."""
    reference = model.reference
    if reference is None:
        return None
    # Equal calls give equal figures.
    drawn = reference.sample(min(max(count, 2), ENOUGH), randomness.sampling_seed(0))
    if noise_removed:
        drawn = denoising_step(reference.energy, drawn, noise_removed)
    return np.clip(np.asarray(drawn), 0.0, 1.0)


def _of_stacked_digits(samples, train, held_out) -> dict:
    """Return the modes of stacked digits that samples show, beside those of held-out images."""
    digits = train.num_classes // 100
    classifier = train_classifier(train.images[..., :1], train.labels // 100, digits, name="mnist")
    found, real = stacked_modes(samples, classifier), stacked_modes(held_out.images, classifier)
    expected_found, expected_kl = expected_of_uniform(found.num_samples, found.total)
    first = classifier.probabilities(held_out.images[..., :1])
    confidence = [
        classifier.probabilities(samples[..., c : c + 1]).max(axis=1).mean() for c in range(3)
    ]
    return {
        "modes_found": found.found,
        "modes": found.total,
        "kl_to_uniform": found.kl,
        "num_samples": found.num_samples,
        "expected_modes_of_uniform": expected_found,
        "expected_kl_of_uniform": expected_kl,
        "held_out_modes": real.found,
        "held_out_kl": real.kl,
        "num_held_out": real.num_samples,
        "mean_confidence": float(np.mean(confidence)),
        "held_out_confidence": float(first.max(axis=1).mean()),
        "classifier_accuracy": float((first.argmax(axis=1) == held_out.labels // 100).mean()),
    }


def _of_vectors(model, samples, train, held_out) -> dict:
    if train.name in data.toy_datasets.names():
        density = data.toy_datasets.get(train.name)
        return plane_quality(model.energy, samples, density, held_out.vectors).as_dict()
    if model.conditional:
        return {"skipped": "the likelihood of a conditional model needs a log Z for each label"}
    return _likelihood(model, train, held_out)


def _likelihood(model, train, held_out) -> dict:
    """Return log Z and the held-out log-likelihood, beside that of a Gaussian fit to the data.

    All in raw units. log Z comes from a grid up to three dimensions, else from annealed importance
    sampling. It starts at the model's reference, and in the coordinates in which that is a standard
    Gaussian; without one at the Gaussian of the data, widened, in those of its own.
    """
    from tensorflow_probability import distributions as tfd  # Slow to import.

    mean, scale = (tf.constant(v, tf.float32) for v in (train.mean, train.scale))
    dimension = len(train.mean)
    z = (train.vectors - train.mean) / train.scale
    covariance = np.cov(z, rowvar=False).reshape(dimension, dimension) + 1e-6 * np.eye(dimension)

    def energy(z):
        return model.energy(mean + scale * z)

    if dimension <= 3:
        edge = np.full(dimension, 6.0)
        cells = (2000, 500, 120)[dimension - 1]
        grid = log_partition_on_grid(energy, -edge, edge, cells)
        figures = {"log_z_error": grid.error, "edge_share": grid.edge_share}
        log_z = grid.log_z
    else:
        reference, shape = model.reference, (dimension,)
        wide = np.linalg.cholesky(WIDENING * covariance)

        def white(u):
            if reference is None:
                return energy(tf.linalg.matvec(tf.constant(wide, tf.float32), u))
            return model.energy(reference.color(u))

        base = tfd.MultivariateNormalDiag(tf.zeros(shape), tf.ones(shape))
        found = annealed_log_partition(white, base, seed=0)
        figures = {
            "log_z_standard_error": found.standard_error,
            "effective_sample_size": found.effective_sample_size,
        }
        log_z = found.log_z
        if reference is None:
            log_z += float(np.log(np.diag(wide)).sum())
    if dimension <= 3 or model.reference is None:
        log_z += float(np.log(train.scale).sum())
    else:
        log_z += model.reference.log_normaliser - 0.5 * dimension * math.log(2 * math.pi)
    held = held_out_log_likelihood(model.energy, held_out.vectors, log_z)
    fit = tfd.MultivariateNormalTriL(np.zeros(dimension), np.linalg.cholesky(covariance))
    rest = (held_out.vectors - train.mean) / train.scale
    gaussian = fit.log_prob(rest).numpy().mean() - np.log(train.scale).sum()
    return {
        "log_z": log_z,
        **figures,
        "held_out_log_likelihood": held.mean,
        "held_out_standard_error": held.standard_error,
        "gaussian_log_likelihood": float(gaussian),
    }
