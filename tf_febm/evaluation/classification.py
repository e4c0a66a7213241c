"""Figures of classifiers: accuracy, calibration, and the accuracy that attacks leave."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments, compiled, randomness
from tf_febm.data.pixels import from_levels
from tf_febm.evaluation.attacks import projected_gradient_attack
from tf_febm.evaluation.classifier import checked_labels

__all__ = [
    "AttackedAccuracy",
    "ClassificationFigures",
    "classification_figures",
    "expected_calibration_error",
    "model_classification",
    "refine_by_chains",
]

# Radii of attacks: of pixels in [0, 1], and in standard deviations of columns.
IMAGE_RADII, VECTOR_RADII = (2.0 / 255.0, 8.0 / 255.0), (0.1, 0.3)
# Steps of the chains that refine attacked examples.
REFINING = 2


class AttackedAccuracy(NamedTuple):
    """What an attack leaves of the accuracy, over the first examples.

    Attributes:
        epsilon: Radius of the attack; 0 for none.
        accuracy: Share that is still classified rightly.
        refined_accuracy: The same after the examples were refined, None without refinement. The
            attack does not know of it: one that does may leave less.
    """

    epsilon: float
    accuracy: float
    refined_accuracy: float | None


class ClassificationFigures(NamedTuple):
    """The figures of a classifier.

    Attributes:
        num_examples: How many examples they are of.
        accuracy: Share of examples whose likeliest class is theirs.
        log_loss: Mean −log p(y | x), in nats.
        calibration_error: See `expected_calibration_error`.
        attacks: An AttackedAccuracy for each radius, the first without attack.
    """

    num_examples: int
    accuracy: float
    log_loss: float
    calibration_error: float
    attacks: tuple[AttackedAccuracy, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name, ready for JSON."""
        return {**self._asdict(), "attacks": [attack._asdict() for attack in self.attacks]}


@arguments.checked
def expected_calibration_error(
    log_probs: arguments.Array, labels: arguments.Labels, num_bins: int = 15
) -> float:
    """Return how far confidences are from accuracies on average.

        Σ_b (n_b/n) |accuracy of b − mean confidence of b|

    over bins b of equal width of the confidence, the probability of the likeliest class. Above 0 on
    average even for a classifier that is calibrated, by about √(2/(π n_b)) times deviations of at
    most ½ in each bin.

    Args:
        log_probs: log p(y | x), real [n, classes].
        labels: Integers [n].
        num_bins: At least 1.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: Shapes do not fit.

    Source: Guo et al., "On calibration of modern neural networks", 2017.
    """
    num_bins = arguments.whole_number("num_bins", num_bins, 1)
    log_probs, labels = np.asarray(log_probs, np.float64), np.asarray(labels)
    if log_probs.ndim != 2 or labels.shape != log_probs.shape[:1] or not len(labels):
        raise ValueError(
            "log_probs must be [n, classes] and labels [n], n ≥ 1; received shapes "
            f"{log_probs.shape} and {labels.shape}."
        )
    labels = checked_labels(labels, *log_probs.shape)
    confidence = np.exp(log_probs.max(axis=1))
    right = log_probs.argmax(axis=1) == labels
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(labels))


@arguments.checking({"x": arguments.ANY_ARRAY, "labels": arguments.LABELS, "scale": None})
def classification_figures(
    log_probs_fn: Callable,
    x: arguments.Array,
    labels: arguments.Labels,
    *,
    epsilons: Sequence[float] = (),
    num_attacked: int = 100,
    num_steps: int = 10,
    bounds: tuple[float, float] | None = None,
    scale: Any = None,
    refine: Callable | None = None,
    batch_size: int = 256,
    seed: arguments.Seed = 0,
) -> ClassificationFigures:
    """Measure a classifier on labelled examples, and under attack.

    Args:
        log_probs_fn: x, float32 [n, …] -> log p(y | x), [n, classes], such as
            `model.class_log_probs`.
        x: Examples that it was not trained on, real [n, …].
        labels: Integers [n].
        epsilons: Radii of `projected_gradient_attack`, positive; none for no attack.
        num_attacked: How many of the examples, the first ones, are attacked, at least 1.
        num_steps: See `projected_gradient_attack`, as for the next two.
        bounds: The same.
        scale: The same.
        refine: (x, seed) -> x, what is done to attacked examples before they are classified once
            more, such as `refine_by_chains` of a model; or None.
        batch_size: Examples at a time, at least 1.
        seed: An int or a pair of ints.

    Returns:
        A ClassificationFigures.

    Raises:
        ValueError: An argument is out of its range.
    """
    size = arguments.whole_number("batch_size", batch_size, 1)
    count = arguments.whole_number("num_attacked", num_attacked, 1)
    radii = [arguments.number("epsilons", epsilon, above=True) for epsilon in epsilons]
    x, labels = np.asarray(x, np.float32), np.asarray(labels)
    program = tf.function(log_probs_fn, autograph=False)

    def classified(examples) -> np.ndarray:
        parts = (examples[start : start + size] for start in range(0, len(examples), size))
        found = (compiled.run_on_batches(program, (tf.constant(part),)) for part in parts)
        return np.concatenate([part.numpy() for part in found])

    def share_right(examples) -> float:
        return float(np.mean(classified(examples).argmax(axis=1) == labels[: len(examples)]))

    log_probs = classified(x)
    error = expected_calibration_error(log_probs, labels)
    seeds = tf.unstack(randomness.split(randomness.sampling_seed(seed), 2 * len(radii) + 2))

    @tf.function(autograph=False)
    def attack(part, own, epsilon_seed, epsilon):
        # The radius is a tensor, for which nothing is traced anew: it scales the unit one.
        unit = epsilon * (1.0 if scale is None else tf.cast(scale, tf.float32))
        return projected_gradient_attack(
            log_probs_fn, part, own, 1.0, num_steps=num_steps, bounds=bounds, scale=unit,
            seed=epsilon_seed,
        )  # fmt: skip

    attacked, own, found = x[:count], labels[:count].astype(np.int32), []
    for k, radius in enumerate([0.0, *radii]):
        moved = attacked
        if radius:
            given = seeds[2 * k], tf.constant(radius, tf.float32)
            pairs = (
                tuple(tf.constant(part[start : start + size]) for part in (attacked, own))
                for start in range(0, len(attacked), size)
            )
            parts = [compiled.run_on_batches(attack, pair, *given).numpy() for pair in pairs]
            moved = np.concatenate(parts)
        again = None if refine is None else share_right(np.asarray(refine(moved, seeds[2 * k + 1])))
        found.append(AttackedAccuracy(radius, share_right(moved), again))
    return ClassificationFigures(
        len(x),
        float(np.mean(log_probs.argmax(axis=1) == labels)),
        float(-np.mean(log_probs[np.arange(len(x)), labels])),
        error,
        tuple(found),
    )


@arguments.checking({"x": arguments.ANY_ARRAY})
def refine_by_chains(
    model: arguments.Model,
    x: arguments.Array,
    seed: arguments.Seed = 0,
    *,
    num_steps: int | None = None,
) -> tf.Tensor:
    """Move examples by a model's chains, whatever their class: towards what is likely.

    The sampler runs on the marginal energy −log Σ_y p(y) e^(−E(x, y)), from x on. A few steps take
    away small changes that no energy likes; many forget x.

    Args:
        model: A conditional model.
        x: Floating [n, …], inside the sampler's bounds.
        seed: An int, a pair of ints, or an integer tensor [2].
        num_steps: Steps of the chains, at least 0; the sampler's own number if None.

    Returns:
        Float32, of the shape of x.

    Raises:
        ValueError: The model is not conditional.

    Source: Grathwohl et al., "Your classifier is secretly an energy based model", 2020; Hill et
    al., "Stochastic security", 2021, for what long chains do.
    """
    num_steps = arguments.optional(arguments.whole_number, "num_steps", num_steps)
    options = {} if num_steps is None else {"num_steps": num_steps}
    energy = model._marginal_given()

    def made():
        return tf.function(lambda x, s: model.sampler(energy, x, s, **options), autograph=False)

    run = compiled.program_of(model, ("refine_by_chains", num_steps), made)
    return compiled.run_on_batches(run, (tf.cast(x, tf.float32),), randomness.sampling_seed(seed))


@arguments.checking({"data": arguments.DATASETS})
def model_classification(
    model: arguments.Model,
    data: arguments.Data,
    *,
    num_examples: int = 1000,
    num_attacked: int = 100,
    seed: int = 0,
) -> ClassificationFigures:
    """Measure a conditional model as a classifier of a data set, by `class_log_probs`.

    Attacks have the radii 2/255 and 8/255 for images, and 0.1 and 0.3 standard deviations of each
    column for vectors; `refine_by_chains` of two steps is tried against them.

    Args:
        model: A conditional model.
        data: `ImageData` or `VectorData` of examples that it was not trained on, with labels.
        num_examples: Of how many of them, drawn at random.
        num_attacked: How many of these are attacked.
        seed: Of all that is random.

    Returns:
        A ClassificationFigures.

    Raises:
        ValueError: The model is not conditional, or there are no labels.
    """
    if data.labels is None:
        raise ValueError("data must have labels; received none.")
    count = arguments.whole_number("num_examples", num_examples, 1)
    chosen = np.random.default_rng(seed).permutation(len(data.labels))[:count]
    images = hasattr(data, "images")
    x = from_levels(data.images[chosen]) if images else data.vectors[chosen]
    with model.best_weights():
        return classification_figures(
            model.class_log_probs,
            x,
            data.labels[chosen],
            epsilons=IMAGE_RADII if images else VECTOR_RADII,
            num_attacked=num_attacked,
            bounds=model.bounds,
            scale=None if images else data.scale,
            refine=lambda x, s: refine_by_chains(model, x, s, num_steps=REFINING),
            seed=seed,
        )
