"""One form for the output of any energy function: a vector, one value per example."""

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from tf_febm import arguments

__all__ = [
    "HalfPrecisionEnergy",
    "RecoveryEnergy",
    "RelativeEnergy",
    "TemperedEnergy",
    "WhiteEnergy",
    "in_white",
    "per_example",
    "value_and_gradient",
]


def per_example(values: arguments.Tensor, batch: arguments.Data, what: str = "energy") -> tf.Tensor:
    """Return `values` as a vector with one entry per example.

    Args:
        values: What a network or function returned: [n] or [n, 1].
        batch: The tensor of n examples that it was given; only its static size is looked at.
        what: The name of the function, for the message.

    Returns:
        A tensor of shape [n].

    Raises:
        ValueError: The shape is any other one. Nothing is broadcast or averaged silently.
    """
    values = tf.convert_to_tensor(values)
    if values.shape.rank == 2 and values.shape[1] == 1:
        values = tf.squeeze(values, axis=1)
    if values.shape.rank != 1 or not values.shape[:1].is_compatible_with(batch.shape[:1]):
        raise ValueError(
            f"{what} must return one value per example, shape [n] or [n, 1], for a batch of shape "
            f"{batch.shape}; received shape {values.shape}."
        )
    return values


def value_and_gradient(energy_fn: arguments.Function, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Evaluate an energy and its gradient for x, recording nothing for parameters.

    Args:
        energy_fn: x -> E(x), [n] or [n, 1].
        x: Floating tensor [n, …].

    Returns:
        E(x), [n], and ∇ₓE(x), of the shape of x.

    Raises:
        ValueError: The energy does not depend on x differentiably.
    """
    if isinstance(energy_fn, _WITH_GRADIENTS):
        return energy_fn.value_and_gradient(x)
    return _value_and_gradient(energy_fn, x)


class HalfPrecisionEnergy:
    """An energy whose network computes in float16, and whose gradient for x keeps its digits.

    What is below 6e-8 in float16 becomes zero, so the gradient passes through the network 1024
    times as large. Where an example's is then beyond the largest number, 65504, it is computed
    once more as it is. So it is finite wherever a plain tape's is.

    Args:
        energy_fn: x -> E(x), [n] or [n, 1].
    """

    SCALE = 1024.0

    def __init__(self, energy_fn: arguments.Function):
        self._energy_fn = energy_fn

    def __call__(self, x: arguments.Tensor) -> tf.Tensor:
        """Return E(x)."""
        return self._energy_fn(x)

    def value_and_gradient(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return E(x), [n], and ∇ₓE(x), of the shape of x."""
        energy, gradient = _value_and_gradient(self._energy_fn, x, self.SCALE)
        axes = list(range(1, x.shape.rank))
        fine = tf.reduce_all(tf.math.is_finite(gradient), axes, keepdims=True)

        def as_it_is():
            return tf.where(fine, gradient, _value_and_gradient(self._energy_fn, x)[1])

        return energy, tf.cond(tf.reduce_all(fine), lambda: gradient, as_it_is)


class RelativeEnergy:
    """An energy relative to a Gaussian reference: E(x) = f(x) + ½‖z(x)‖².

    Args:
        energy_fn: f, x -> [n] or [n, 1].
        reference: `networks.GaussianReference`.
    """

    def __init__(self, energy_fn: arguments.Function, reference: arguments.Reference):
        self.energy_fn, self.reference = energy_fn, reference

    def __call__(self, x: arguments.Tensor) -> tf.Tensor:
        """Return E(x), [n]."""
        relative = per_example(self.energy_fn(x), x)
        return relative + tf.cast(self.reference.energy(x), relative.dtype)

    def value_and_gradient(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return E(x), [n], and ∇ₓE(x), of the shape of x."""
        relative, gradient = value_and_gradient(self.energy_fn, x)
        own, own_gradient = _value_and_gradient(self.reference.energy, x)
        return relative + tf.cast(own, relative.dtype), gradient + own_gradient


class WhiteEnergy:
    """An energy as a function of z, where x = μ + A z: z -> E(x(z)).

    Its gradient is Aᵀ ∇ₓE, without differentiating the linear map.

    Args:
        energy_fn: x -> E(x), or f(x) with `quadratic`.
        reference: `networks.GaussianReference`.
        quadratic: Whether to add ½‖z‖².
    """

    def __init__(
        self, energy_fn: arguments.Function, reference: arguments.Reference, quadratic: bool
    ):
        self.energy_fn, self.reference, self.quadratic = energy_fn, reference, quadratic

    def __call__(self, z: arguments.Tensor) -> tf.Tensor:
        """Return E(x(z)), [n]."""
        energy = per_example(self.energy_fn(self.reference.color(z)), z)
        if self.quadratic:
            energy += tf.cast(self.reference.energy_of_white(z), energy.dtype)
        return energy

    def value_and_gradient(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return E(x(z)), [n], and its gradient for z."""
        energy, gradient = value_and_gradient(self.energy_fn, self.reference.color(z))
        gradient = self.reference.gradient(gradient)
        if not self.quadratic:
            return energy, gradient
        return energy + tf.cast(self.reference.energy_of_white(z), energy.dtype), gradient + z


class RecoveryEnergy:
    """The energy of x given a noisier version of it, as a function of w where x = P(m + d w).

        w -> f(P(m + d w)) + ½‖w‖²

    The law of m + d w, w ~ N(0, I), is that of x given the noisier one where f is zero, in
    coordinates in which its components are independent; P takes them to x. All coordinates of w
    have one scale, however much noise there is.

    Args:
        energy_fn: x -> f(x), [n] or [n, 1].
        mean: m, floating [n, …].
        deviation: d, positive, of a shape that broadcasts to it.
        compose: P, an affine map of [n, …] to itself; None leaves what it is given.
        transposed: The transpose of its linear part: from gradients for x to those for m + d w.
    """

    def __init__(
        self,
        energy_fn: arguments.Function,
        mean: arguments.Numbers,
        deviation: arguments.Tensor,
        compose: arguments.Function | None = None,
        transposed: arguments.Function | None = None,
    ):
        self.energy_fn, self.mean, self.deviation = energy_fn, mean, deviation
        self._compose, self._transposed = compose, transposed

    def place(self, w: arguments.Tensor) -> tf.Tensor:
        """Return x = P(m + d w), of w [n, …] or, of several moments, [steps, n, …]."""
        found = self.mean + self.deviation * w
        if self._compose is None:
            return found
        # What composes takes [n, …].
        several = w.shape.rank > self.mean.shape.rank
        return tf.map_fn(self._compose, found) if several else self._compose(found)

    def __call__(self, w: arguments.Tensor) -> tf.Tensor:
        """Return the energy of w, [n]."""
        energy = per_example(self.energy_fn(self.place(w)), w)
        return energy + tf.cast(self._quadratic(w), energy.dtype)

    def value_and_gradient(self, w: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the energy of w, [n], and its gradient for w."""
        energy, gradient = value_and_gradient(self.energy_fn, self.place(w))
        if self._transposed is not None:
            gradient = self._transposed(gradient)
        return energy + tf.cast(self._quadratic(w), energy.dtype), self.deviation * gradient + w

    @staticmethod
    def _quadratic(w) -> tf.Tensor:
        return 0.5 * tf.reduce_sum(tf.square(w), axis=list(range(1, w.shape.rank)))


class TemperedEnergy:
    """The energies β E of replicas at inverse temperatures β, in units in which all have one scale.

        y -> β E(y/√β)

    Near the bottom of a well E is a quadratic form, of which this is the same for every β: what is
    a step of fitting length for one replica is so for all.

    Args:
        energy_fn: x -> E(x), [n] or [n, 1].
        inverse_temperatures: β of each of the replicas, positive numbers.
    """

    def __init__(self, energy_fn: arguments.Function, inverse_temperatures: Sequence):
        self._energy_fn, self.inverse_temperatures = energy_fn, tuple(inverse_temperatures)

    def place(self, y: tf.Tensor) -> list[tf.Tensor]:
        """Return x of each replica, from y [replicas · n, …]."""
        parts = tf.split(y, len(self.inverse_temperatures))
        return [
            part if beta == 1.0 else part / beta**0.5
            for part, beta in zip(parts, self.inverse_temperatures, strict=True)
        ]

    def scaled(self, parts: Iterable[tf.Tensor]) -> tf.Tensor:
        """Return y from x of each replica."""
        pairs = zip(parts, self.inverse_temperatures, strict=True)
        return tf.concat([part * beta**0.5 for part, beta in pairs], axis=0)

    def __call__(self, y: tf.Tensor) -> tf.Tensor:
        """Return β E(x), [replicas · n]."""
        found = [per_example(self._energy_fn(part), part) for part in self.place(y)]
        return self._tempered(found)

    def value_and_gradient(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return β E(x), [replicas · n], and its gradient for y."""
        # One call for each replica: what an energy knows of its n rows, such as labels, holds.
        found = [value_and_gradient(self._energy_fn, part) for part in self.place(y)]
        return self._tempered(e for e, _ in found), self.scaled(g for _, g in found)

    def _tempered(self, found) -> tf.Tensor:
        pairs = zip(found, self.inverse_temperatures, strict=True)
        return tf.concat([energy * beta for energy, beta in pairs], axis=0)


_WITH_GRADIENTS = (
    *(HalfPrecisionEnergy, RecoveryEnergy, RelativeEnergy, TemperedEnergy, WhiteEnergy),
)


def in_white(
    energy_fn: arguments.Function, reference: arguments.Reference, law: Any = None
) -> WhiteEnergy:
    """Return an energy as a function of a reference's white coordinates.

    Args:
        energy_fn: x -> E(x), [n] or [n, 1].
        reference: `networks.GaussianReference`.
        law: In whose white coordinates, if not in the reference's own: that of x given a part of it
            under the reference. Energies are then the same but for a constant.
    """
    law = reference if law is None else law
    if isinstance(energy_fn, RelativeEnergy) and energy_fn.reference is reference:
        return WhiteEnergy(energy_fn.energy_fn, law, quadratic=True)
    return WhiteEnergy(energy_fn, law, quadratic=False)


def _value_and_gradient(energy_fn, x, scale: float = 1.0) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        energy = per_example(energy_fn(x), x)
        scaled = energy if scale == 1.0 else scale * energy
    gradient = tape.gradient(scaled, x)
    if gradient is None:
        raise ValueError("The energy has no gradient with respect to x; is it differentiable?")
    return energy, gradient if scale == 1.0 else gradient / scale
