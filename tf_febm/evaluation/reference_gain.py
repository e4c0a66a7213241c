"""Nats of held-out data that an energy gained over its Gaussian reference."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments, compiled, randomness

__all__ = ["ReferenceGain", "gain_over_reference"]

# Numbers in the examples of one evaluation of the network.
_NUMBERS = 1_000_000


class ReferenceGain(NamedTuple):
    """Mean log density ratio of a model and its reference, with what it hangs on.

    Attributes:
        gain: mean log q(x)/N(x; μ, Σ), in nats an example. Above 0 the model is the better density.
        standard_error: Of the gain: from the spread over the examples, and from that over the
            samples of the reference.
        effective_sample_size: (Σw)²/Σw² of the weights e^(−f) of the samples of the reference, from
            1 to their number. Below some 50 the gain is too large, and its error too small.
        log_partition: log E_N[e^(−f)], so that log q = −f − log_partition + log N.
    """

    gain: float
    standard_error: float
    effective_sample_size: float
    log_partition: float

    def as_dict(self) -> dict[str, float]:
        """Convert to a dict of numbers."""
        return self._asdict()


@arguments.checked
def gain_over_reference(
    model: arguments.Model,
    x: arguments.Array,
    *,
    num_samples: int = 20_000,
    seed: arguments.Seed = 0,
) -> ReferenceGain:
    """Estimate how much likelier data are under a model than under its Gaussian reference.

    With q(x) ∝ N(x; μ, Σ) e^(−f(x)) it is

        E_p[log q(x)/N(x; μ, Σ)] = −E_p[f(x)] − log E_N[e^(−f(x))]

    whose second expectation is a mean over samples of the reference: importance sampling, which
    takes no chains. Equal seeds draw equal samples, so that differences between two states of one
    model are more exact than either figure. Of x that training has not seen, it is what to stop
    training by: 0 before the first step, and falling once the model learns its training data by
    heart; see `training.HeldOutGain`.

    Not guaranteed: where q is far from the reference few samples carry all weight, and the gain is
    too large, as `effective_sample_size` tells. `annealed_log_partition(model, model.reference)`
    takes chains, and reaches further.

    Args:
        model: A built, unconditional model with a `reference`.
        x: Examples, real [n, …], n ≥ 2, in the units of the data.
        num_samples: Samples of the reference, at least 2.
        seed: An int or a pair of ints.

    Returns:
        A ReferenceGain.

    Raises:
        ValueError: The model has no reference, or is conditional, or an argument is out of range.
    """
    if getattr(model, "reference", None) is None:
        raise ValueError(
            "The model must have a reference, which it gained over; received one with "
            "reference=None. See networks.GaussianReference."
        )
    if model.conditional:
        raise ValueError("The model must be unconditional: a conditional one has a q per label.")
    count = arguments.whole_number("num_samples", num_samples, 2)
    x = np.asarray(x, np.float32)
    if x.ndim < 2 or len(x) < 2 or x.shape[1:] != tuple(model.sample_shape):
        raise ValueError(
            f"x must be at least 2 examples of shape {tuple(model.sample_shape)}; received shape "
            f"{x.shape}."
        )
    drawn = model.reference.sample(count, randomness.sampling_seed(seed))
    data, reference = _relative(model, x), _relative(model, drawn.numpy())
    top = -reference.min()
    weights = np.exp(-reference - top)
    mean = weights.mean()
    log_partition = top + np.log(mean)
    error = data.var(ddof=1) / len(data) + weights.var(ddof=1) / mean**2 / count
    return ReferenceGain(
        float(-data.mean() - log_partition),
        float(np.sqrt(error)),
        float(weights.sum() ** 2 / np.square(weights).sum()),
        float(log_partition),
    )


def _relative(model, x: np.ndarray) -> np.ndarray:
    """Return f = E − ½‖z‖², float64 [n]."""

    def make():
        @tf.function(autograph=False, reduce_retracing=True)
        def relative(x):
            return model.energy(x) - model.reference.energy(x)

        return relative

    relative = compiled.program_of(model, ("relative energy",), make)
    size = max(1, _NUMBERS // x[0].size)
    parts = [tf.constant(x[i : i + size]) for i in range(0, len(x), size)]
    return np.concatenate([relative(part) for part in parts]).astype(np.float64)
