"""What differs where the data are vectors: networks in their units, and quality figures."""

import tf_febm
from tf_febm import data, evaluation

# Held-out vectors whose energies are watched, and which pictures of the plane show.
PROBE = 1000

# The networks that take vectors.
NETWORKS = ("mlp", "fourier_mlp")


def network(options: dict, train_data, num_classes, name: str):
    """Return a perceptron that takes the vectors in their own units.

    The energy has a quadratic well; the standardisation by the training split is part of both
    networks, so that the model takes and returns raw units.
    """
    if options["network"] not in NETWORKS:
        raise ValueError(
            f"--network={options['network']} is for images; vectors take {' or '.join(NETWORKS)}."
        )
    if options["use_attention"]:
        raise ValueError("--use_attention is for the resnets, not for vectors.")
    build = tf_febm.networks.get(options["network"])
    settings = {"num_classes": num_classes, "name": name}
    if options["network"] == "fourier_mlp":
        settings["frequency"] = options["frequency"]
    units = (options["num_filters"],) * 2
    inner = build(train_data.sample_shape, units, activation="swish", **settings)
    if name == "energy":
        inner = tf_febm.networks.confined(inner, options["confinement"])
    return tf_febm.networks.standardised(inner, train_data.mean, train_data.scale)


def quality(model, samples, train_data, held_out) -> dict:
    """Return the figures of a model of vectors: against the true density where it is known."""
    if train_data.name in data.testbeds.names():
        bed = data.testbeds.get(train_data.name)
        figures = evaluation.plane_quality(model.energy, samples, bed, held_out.vectors)
        return figures.as_dict()
    return {"skipped": f"the density of {train_data.name} is not known"}
