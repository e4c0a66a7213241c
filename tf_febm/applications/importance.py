"""Self-normalised importance weights from the learned density ratio."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments, randomness

__all__ = ["ImportanceWeights", "importance_weights", "log_ratios"]


@arguments.checking({"values": None})
class ImportanceWeights(NamedTuple):
    """Weights that turn samples of the model into estimates under the data's law.

    Attributes:
        weights: w_i = exp(r_i) / Σ_j exp(r_j), float64 [n], ≥ 0, of sum 1.
        effective_sample_size: 1 / Σ w_i², a float from 1 to n. It tells of the samples at hand
            only: where they miss a part of p altogether, it is large and the estimates are wrong.
        log_normaliser: log((1/n) Σ exp(r_i)), a float. It estimates log E_q[exp(r)], which is 0 if
            r = log p/q; far from 0, r is off, if only by a constant, which the weights ignore.
    """

    weights: np.ndarray
    effective_sample_size: float
    log_normaliser: float

    def expectation(self, values: arguments.Tensor) -> np.ndarray:
        """Estimate E_p[v] by Σ w_i v_i.

        Consistent as n grows, but biased by O(1/n) because the weights are normalised by their own
        sum. Its variance is finite only if E_q[(p/q)² v²] is.

        Args:
            values: Real numbers [n, …], v at each of the samples, in their order.

        Returns:
            Float64 […]; a scalar for values [n].

        Raises:
            ValueError: There is not one value for each weight, or they are not real.
        """
        values = np.asarray(values)
        if values.shape[:1] != self.weights.shape or values.dtype.kind not in "fiub":
            raise ValueError(
                f"values must be real numbers, shape [{self.weights.size}, …]; received shape "
                f"{values.shape}, dtype {values.dtype}."
            )
        return np.tensordot(self.weights, values.astype(np.float64), axes=1)

    def resample(self, count: int, seed: arguments.Seed) -> np.ndarray:
        """Draw indices of samples so that each comes count·w_i times on average.

        Systematic resampling: one uniform number places `count` equally spaced points on the
        cumulated weights, so that index i comes ⌊count·w_i⌋ or ⌈count·w_i⌉ times. samples[indices]
        then follow p as far as the weighted samples do; they are not independent, and they repeat
        where count·w_i > 1.

        Args:
            count: How many, at least 1.
            seed: An int or a pair of ints.

        Returns:
            Int64 [count], ascending.

        Raises:
            ValueError: The count or the seed is none.

        Source: Kitagawa, "Monte Carlo filter and smoother for non-Gaussian nonlinear state space
        models", 1996.
        """
        count = arguments.whole_number("count", count, 1)
        offset = randomness.uniform([], randomness.sampling_seed(seed), dtype=tf.float64).numpy()
        cumulated = np.cumsum(self.weights)
        # Scaled, so that the last sum is 1 exactly; a point that rounding took to 1 comes back.
        points = np.minimum((offset + np.arange(count)) / count, np.nextafter(1.0, 0.0))
        return np.searchsorted(cumulated / cumulated[-1], points, side="right")


@arguments.checking({"model": None, "samples": arguments.NUMBERS})
def importance_weights(
    model: arguments.Model,
    samples: arguments.Tensor,
    labels: arguments.Labels | None = None,
    *,
    batch_size: int = 512,
) -> ImportanceWeights:
    """Weight samples of a model by its learned density ratio.

    w_i = exp(r(x_i)) / Σ_j exp(r(x_j)),  r = model.log_density_ratio ≈ log p/q

    Weighted by them, samples of q stand for the data's law p. Not guaranteed: the weights are as
    good as r is, and r as the samples are like those that it was learned against: for an f-EBM
    trained with a replay buffer these are `model.sample(…, initial="buffer")`. What q does not
    reach, no weight brings back.

    Args:
        model: A model with `log_density_ratio`, such as FEBM.
        samples: Samples of the model, floating [n, …], n ≥ 1.
        labels: Their labels, [n] or one-hot rows, for a conditional model. The ratio is then that
            of the joint laws of x and label.
        batch_size: How many samples the networks see at once, at least 1.

    Returns:
        The ImportanceWeights, in the order of the samples.

    Raises:
        TypeError: The model has no log density ratio.
        ValueError: Shapes or labels do not fit, or a ratio is not finite.

    Source: self-normalised importance sampling, Owen, "Monte Carlo theory, methods and examples",
    2013, Section 9.2; the ratio is that of Yu et al. 2020.
    """
    values = log_ratios(model, samples, labels, batch_size)
    # Relative to the largest no exponential overflows and at least one is 1.
    largest = values.max()
    relative = np.exp(values - largest)
    weights = relative / relative.sum()
    return ImportanceWeights(
        weights,
        # Rounding may take the quotient past its limits.
        float(np.clip(1.0 / np.sum(weights**2), 1.0, weights.size)),
        float(largest + np.log(relative.mean())),
    )


def log_ratios(
    model: arguments.Model,
    samples: arguments.Tensor,
    labels: arguments.Labels | None = None,
    batch_size: int = 512,
) -> np.ndarray:
    """Evaluate a model's log density ratio on any number of samples, batch by batch.

    Args:
        model: A model with `log_density_ratio`.
        samples: Floating [n, …], n ≥ 1.
        labels: Their labels, for a conditional model.
        batch_size: How many samples the networks see at once, at least 1.

    Returns:
        Float64 [n], finite.

    Raises:
        TypeError: The model has no log density ratio.
        ValueError: Shapes or labels do not fit, or a ratio is not finite.
    """
    check_has_ratio(model)
    batch_size = arguments.whole_number("batch_size", batch_size, 1)
    samples = np.asarray(samples)
    if samples.ndim < 1 or not len(samples):
        raise ValueError(f"samples must have shape [n, …], n ≥ 1; received {samples.shape}.")
    shape = getattr(model, "sample_shape", None)
    if shape is not None and samples.shape[1:] != tuple(shape):
        raise ValueError(f"samples must have shape {('n', *shape)}; received {samples.shape}.")
    if samples.dtype.kind not in "fV":  # V is bfloat16.
        raise TypeError(f"samples must be floating; received dtype {samples.dtype}.")
    labels = check_labels(labels, len(samples))
    parts = []
    for start in range(0, len(samples), batch_size):
        batch = slice(start, start + batch_size)
        x = samples[batch]
        values = model.log_density_ratio(x, None if labels is None else labels[batch])
        values = np.asarray(values).astype(np.float64)
        if values.shape != (len(x),):
            raise ValueError(
                f"log_density_ratio must return one value per sample, shape ({len(x)},); received "
                f"shape {values.shape}."
            )
        broken = int(np.sum(~np.isfinite(values)))
        if broken:
            raise ValueError(
                f"log_density_ratio must be finite; {broken} of the {len(x)} values from sample "
                f"{start} on are NaN or infinite."
            )
        parts.append(values)
    return np.concatenate(parts)


def check_has_ratio(model) -> None:
    """Raise a TypeError if a model has no log density ratio."""
    if not callable(getattr(model, "log_density_ratio", None)):
        raise TypeError(
            f"{type(model).__name__} has no log_density_ratio: give a model that learns one, such "
            "as FEBM."
        )


def check_labels(labels, count: int) -> np.ndarray | None:
    """Return labels as an array, or raise a ValueError if they are not one per sample."""
    if labels is None:
        return None
    labels = np.asarray(labels)
    if labels.shape[:1] != (count,):
        raise ValueError(
            f"labels must be one per sample, shape [{count}] or [{count}, num_classes]; received "
            f"shape {labels.shape}."
        )
    return labels
