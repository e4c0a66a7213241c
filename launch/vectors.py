"""What differs where the data are vectors: networks in their units, and quality figures."""

import numpy as np
import run_options
import tensorflow as tf
from tensorflow_probability import distributions as tfd

import tf_febm
from tf_febm import data, evaluation

# Held-out vectors whose energies are watched, and which pictures of the plane show.
PROBE = 1000

# Where fresh chains start, in standard deviations of the data: wide, to find wells beyond it.
SPREAD = 1.5

# How much wider in variance than the data the Gaussian is at which annealing starts.
WIDENING = 2.0

# The networks that take vectors.
NETWORKS = ("mlp", "fourier_mlp", "published_bounds")


# What the flags about tables say to `tf_febm.data.load`.
_ANSWERS = {"auto": None, "yes": True, "no": False, "drop": True, "keep": False}


def answers(options: dict) -> dict:
    """Return the arguments of `tf_febm.data.load` about names and index of a table."""
    # Runs of earlier versions have no such options.
    return {
        "header": _ANSWERS[options.get("table_header", "auto")],
        "index_column": _ANSWERS[options.get("table_index", "auto")],
    }


def check(options: dict) -> None:
    """Raise a ValueError that names a flag which is for images."""
    for name in ("random_flip", "random_crop", "use_attention"):
        if options[name]:
            raise ValueError(
                f"--{name}={options[name]}{run_options.origin(options, name)} is for images, not "
                "for vectors."
            )
    if options["network"] not in NETWORKS:
        origin = run_options.origin(options, "network")
        raise ValueError(
            f"--network={options['network']}{origin} is for images; vectors take "
            f"{' or '.join(NETWORKS)}."
        )


def network(options: dict, train_data, num_classes, name: str):
    """Return a perceptron that takes the vectors in their own units.

    The energy has a quadratic well; the standardisation by the training split is part of both
    networks, so that the model takes and returns raw units.
    """
    build = tf_febm.networks.get(options["network"])
    settings = {"num_classes": num_classes, "name": name}
    if options["network"] == "fourier_mlp":
        settings["frequency"] = options["frequency"]
    units = (options["num_filters"],) * 2
    inner = build(train_data.sample_shape, units, activation="swish", **settings)
    if name == "energy":
        inner = tf_febm.networks.with_confinement(inner, options["confinement"])
    return tf_febm.networks.standardised(inner, train_data.mean, train_data.scale)


def quality(model, samples, train_data, held_out) -> dict:
    """Return the figures of a model of vectors: against the true density where it is known."""
    if train_data.name in data.testbeds.names():
        bed = data.testbeds.get(train_data.name)
        figures = evaluation.plane_quality(model.energy, samples, bed, held_out.vectors)
        return figures.as_dict()
    if model.conditional:
        return {"skipped": "the likelihood of a conditional model needs a log Z for each label"}
    return likelihood(model, train_data, held_out)


def likelihood(model, train_data, held_out) -> dict:
    """Return log Z and the held-out log-likelihood, beside that of a Gaussian fit to the data.

    All in raw units. log Z comes from a grid up to three dimensions, else from annealed importance
    sampling that starts at the Gaussian, widened.
    """
    mean, scale = (tf.constant(v, tf.float32) for v in (train_data.mean, train_data.scale))
    dimension = len(train_data.mean)
    z = (train_data.vectors - train_data.mean) / train_data.scale
    covariance = np.cov(z, rowvar=False).reshape(dimension, dimension)
    covariance += 1e-6 * np.eye(dimension)

    def energy(z):
        return model.energy(mean + scale * z)

    if dimension <= 3:
        edge = np.full(dimension, 6.0)
        cells = (2000, 500, 120)[dimension - 1]
        found = evaluation.log_partition_on_grid(energy, -edge, edge, cells)
        figures = {"log_z_error": found.error, "edge_share": found.edge_share}
    else:
        wide = np.linalg.cholesky(WIDENING * covariance).astype(np.float32)
        base = tfd.MultivariateNormalTriL(tf.zeros(dimension), wide)
        found = evaluation.annealed_log_partition(energy, base, seed=0)
        figures = {
            "log_z_standard_error": found.standard_error,
            "effective_sample_size": found.effective_sample_size,
        }
    log_z = found.log_z + float(np.log(train_data.scale).sum())
    held = evaluation.held_out_log_likelihood(model.energy, held_out.vectors, log_z)
    fit = tfd.MultivariateNormalTriL(np.zeros(dimension), np.linalg.cholesky(covariance))
    rest = (held_out.vectors - train_data.mean) / train_data.scale
    gaussian = fit.log_prob(rest).numpy().mean() - np.log(train_data.scale).sum()
    return {
        "log_z": log_z,
        **figures,
        "held_out_log_likelihood": held.mean,
        "held_out_standard_error": held.standard_error,
        "gaussian_log_likelihood": float(gaussian),
    }
