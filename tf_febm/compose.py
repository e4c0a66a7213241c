"""Models made of trained models: products, mixtures, negations, temperatures of densities.

Du, Li and Mordatch, "Compositional visual generation with energy based models", 2020.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tf_febm import arguments
from tf_febm.models import ContrastiveDivergence, EnergyModel, NoiseConditionalModel
from tf_febm.networks.composed import ComposedEnergy

__all__ = ["mixture", "negation", "product", "temper"]


@arguments.checked
def product(
    *models: EnergyModel,
    weights: Sequence[float] | None = None,
    labels: Sequence[int | None] | None = None,
    sampler: Callable | None = None,
    seed: int | None = None,
) -> ContrastiveDivergence:
    """Return the model of what is likely under all models: q ∝ Π q_k^w_k, E = Σ w_k E_k.

    A weight below 0 asks for what is unlikely under that model; see `negation`. The networks are
    the models' own, not copies: what trains one changes the other. Until it is trained the result
    is as good as its parts are where they meet, and chains have to find that place.

    Args:
        *models: Built models of one shape of example, at least one.
        weights: A finite number for each, not 0; 1 for all if None.
        labels: For each conditional model the class to take, or None for the label that the result
            then asks for; None for models without labels. None for None of all.
        sampler: That of the result; the first model's if None.
        seed: Of its random numbers.

    Returns:
        A model as any other: it has energies, scores, samples, is saved and exported. Energies of
        trained models have no zero, and neither has the product.

    Raises:
        TypeError: Something is no model, or one of levels of noise.
        ValueError: Shapes, bounds or numbers of classes do not fit, or an argument is out of its
            range.
    """
    return _composed(models, "sum", weights, labels, sampler, seed)


@arguments.checked
def mixture(
    *models: EnergyModel,
    weights: Sequence[float] | None = None,
    log_partitions: Sequence[float] | None = None,
    labels: Sequence[int | None] | None = None,
    sampler: Callable | None = None,
    seed: int | None = None,
) -> ContrastiveDivergence:
    """Return the model of what is likely under some model: q = Σ w_k q_k.

    E(x) = −log Σ w_k exp(−E_k(x) − log Z_k). Energies of trained models have no zero: where not
    all log Z_k are known the shares of the parts are w_k Z_k, whatever these are.

    Args:
        *models: As of `product`.
        weights: A positive number for each; equal ones if None.
        log_partitions: log Z_k of each. None: what the models know, by `fit_log_partition` or as
            `NoiseContrastive` learns it, if all do and it is one number of each, not one for
            every class that can be asked for; else 0.
        labels: As of `product`.
        sampler: The same.
        seed: The same.

    Returns:
        A model; see `product`.

    Raises:
        TypeError: Something is no model.
        ValueError: As of `product`.
    """
    count = len(models)
    weights = [1.0 / max(count, 1)] * count if weights is None else weights
    _check_count("weights", weights, count)
    for weight in weights:
        arguments.number("weights", weight, above=True)
    if log_partitions is not None:
        _check_count("log_partitions", log_partitions, count)
        for z in log_partitions:
            arguments.number("log_partitions", z, minimum=-np.inf)
    return _composed(models, "mixture", weights, labels, sampler, seed, log_partitions)


@arguments.checked
def negation(
    model: EnergyModel,
    label: int | None = None,
    *,
    sampler: Callable | None = None,
    seed: int | None = None,
) -> ContrastiveDivergence:
    """Return the model of what is unlikely under a model: q ∝ 1/q_model, E = −E_model.

    By itself it is no density unless examples have bounds; in `product(other, negation(model))`, or
    with a negative weight there, it takes away what the model likes.

    Args:
        model: A built model.
        label: The class to take, of a conditional model; see `product`.
        sampler: As of `product`.
        seed: The same.

    Returns:
        A model; see `product`.
    """
    return product(model, weights=[-1.0], labels=[label], sampler=sampler, seed=seed)


@arguments.checked
def temper(
    model: EnergyModel,
    temperature: float,
    label: int | None = None,
    *,
    sampler: Callable | None = None,
    seed: int | None = None,
) -> ContrastiveDivergence:
    """Return a model at a temperature: q ∝ q_model^(1/T), E = E_model/T.

    Args:
        model: A built model.
        temperature: T, positive: below 1 samples are more alike, above 1 less.
        label: The class to take, of a conditional model; see `product`.
        sampler: As of `product`. A step size that suited T = 1 may not suit others.
        seed: The same.

    Returns:
        A model; see `product`.
    """
    temperature = arguments.number("temperature", temperature, above=True)
    weights = [1.0 / temperature]
    return product(model, weights=weights, labels=[label], sampler=sampler, seed=seed)


def _known(models, labels) -> list[float]:
    """Return log Z of each model at its label if all know it, else zeros."""
    found = []
    for model, label in zip(models, labels, strict=True):
        log_z = model._known_log_z() if model.has_log_partition else None
        if np.ndim(log_z):
            log_z = None if label is None else log_z[label]
        found.append(log_z)
    return [0.0] * len(models) if None in found else [float(log_z) for log_z in found]


def _composed(
    models, rule, weights, labels, sampler, seed, log_partitions=None
) -> ContrastiveDivergence:
    for model in models:
        if not isinstance(model, EnergyModel):
            raise TypeError(f"models must be models of tf_febm; received {model!r}.")
        if isinstance(model, NoiseConditionalModel):
            raise TypeError(
                f"models must have one energy each; received {model.name}, a "
                f"{type(model).__name__}, whose network has one for each level of noise."
            )
        if model.sample_shape is None:
            raise ValueError(f"{model.name} has no shape yet: fit it or call model.build first.")
    if not models:
        raise ValueError("models must be one at least; received none.")
    shapes = {model.sample_shape for model in models}
    if len(shapes) > 1:
        raise ValueError(f"models must be of one shape of example; received {sorted(shapes)}.")
    bounds = {model.bounds for model in models}
    if sampler is None and len(bounds) > 1:
        raise ValueError(
            f"models must have the same bounds; received {bounds}: give a sampler with the bounds "
            "of the result."
        )
    count = len(models)
    weights = [1.0] * count if weights is None else list(weights)
    _check_count("weights", weights, count)
    for weight in weights:
        if not arguments.number("weights", weight, minimum=-np.inf):
            raise ValueError("weights must not be 0: leave that model out.")
    labels = [None] * count if labels is None else list(labels)
    _check_count("labels", labels, count)
    classes = [model.num_classes for model in models]
    for k, (own, label) in enumerate(zip(classes, labels, strict=True)):
        if label is not None and own is None:
            raise ValueError(f"labels[{k}] must be None: {models[k].name} takes no labels.")
        if label is not None:
            labels[k] = arguments.whole_number(f"labels[{k}]", label, 0, own)
    asked = {n for n, label in zip(classes, labels, strict=True) if n is not None and label is None}
    if len(asked) > 1:
        raise ValueError(
            f"models that are given no label must have the same classes; received {sorted(asked)} "
            "of them: give labels."
        )
    if rule == "mixture" and log_partitions is None:
        log_partitions = _known(models, labels)
    energy = ComposedEnergy(
        [model.energy_network for model in models],
        rule,
        weights,
        [model.reference for model in models],
        classes,
        labels,
        log_partitions,
        name="energy",
    )
    result = ContrastiveDivergence(
        energy,
        sampler=models[0].sampler if sampler is None else sampler,
        num_classes=asked.pop() if asked else None,
        seed=seed,
    )
    result.build((None, *models[0].sample_shape))
    return result


def _check_count(name: str, values, count: int) -> None:
    if len(values) != count:
        raise ValueError(f"{name} must be {count}, one for each model; received {len(values)}.")
