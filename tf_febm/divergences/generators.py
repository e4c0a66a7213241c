"""Divergences from any generator, by automatic differentiation."""

from collections.abc import Callable

import tensorflow as tf

from tf_febm import arguments
from tf_febm.divergences.base import Divergence, Elementwise

__all__ = ["from_generator"]


@arguments.checked
def from_generator(
    generator: Callable[[tf.Tensor], tf.Tensor],
    name: str,
    *,
    derivative: Elementwise | None = None,
    conjugate: Elementwise | None = None,
) -> Divergence:
    """Make a divergence from any generator f by automatic differentiation.

    f is evaluated in float64 at u = eʳ. Written in u, it cannot express what is small beside f(u):
    the conjugate eʳ f'(eʳ) − f(eʳ) carries an absolute error of about 1e-16·|f(eʳ)|. For
    generators that grow linearly, such as (u − 1)²/(u + 1), it is therefore good to 1e-5 for
    r ≤ 20 only, its first derivative for r ≤ 10; give closed forms to reach further.

    Args:
        generator: f(u) for u > 0, elementwise, in TensorFlow operations; any float64 shape.
        name: Its name in messages and saved models. `register` makes it known to `get`.
        derivative: Optionally r -> f'(eʳ) in closed form.
        conjugate: Optionally r -> f*(f'(eʳ)) in closed form.

    Returns:
        The divergence.

    Raises:
        ValueError: f(1) ≠ 0, f is not strictly convex, its derivative is not finite, on a grid
            of u from e⁻⁵ to e⁵, or a closed form disagrees with f there.
    """
    if not callable(generator):
        raise TypeError(f"generator must be a function of u; received {generator!r}.")

    def value_and_slope(u):
        with tf.GradientTape() as tape:
            tape.watch(u)
            value = generator(u)
        return value, tape.gradient(value, u)

    def automatic_derivative(r):
        r64 = tf.cast(r, tf.float64)
        return tf.cast(value_and_slope(tf.exp(r64))[1], r.dtype)

    @tf.custom_gradient
    def automatic_conjugate(r):
        r64 = tf.cast(r, tf.float64)
        u = tf.exp(r64)
        value, slope = value_and_slope(u)

        def gradient(upstream):
            # dF/dr = u·d f'(eʳ)/dr; differentiating u f' − f would subtract f' from itself.
            with tf.GradientTape() as tape:
                tape.watch(r64)
                slope = value_and_slope(tf.exp(r64))[1]
            return upstream * tf.cast(u * tape.gradient(slope, r64), r.dtype)

        return tf.cast(u * slope - value, r.dtype), gradient

    def with_exponential(r, exp):
        u = tf.cast(exp(r), tf.float64)
        value, slope = value_and_slope(u)
        return tf.cast(slope, r.dtype), tf.cast(u * slope - value, r.dtype)

    divergence = Divergence(
        name,
        generator=lambda r: generator(tf.exp(r)),
        derivative=derivative or automatic_derivative,
        conjugate=conjugate or automatic_conjugate,
        with_exponential=with_exponential,
    )
    _check_generator(name, value_and_slope, divergence)
    return divergence


def _check_generator(name, value_and_slope, divergence: Divergence) -> None:
    """Raise unless f is a generator, judged on a grid of 201 points."""
    r = tf.linspace(tf.constant(-5.0, tf.float64), 5.0, 201)
    try:
        at_one = float(value_and_slope(tf.ones([], tf.float64))[0])
        value, slope = value_and_slope(tf.exp(r))
    except Exception as error:
        raise ValueError(
            f"The generator {name!r} cannot be evaluated on a float64 tensor: {error}"
        ) from error
    if slope is None or value.shape != r.shape:
        raise ValueError(f"The generator {name!r} must map u elementwise, differentiably.")
    if not abs(at_one) < 1e-9:
        raise ValueError(f"The generator {name!r} must satisfy f(1) = 0; f(1) is {at_one:.6g}.")
    if not bool(tf.reduce_all(tf.math.is_finite(value) & tf.math.is_finite(slope))):
        raise ValueError(f"The generator {name!r} or its derivative is not finite for some u > 0.")
    rise, rounding = slope[1:] - slope[:-1], 1e-13 * tf.abs(slope[1:])
    if not bool(tf.reduce_all(rise > rounding)):
        first = float(tf.exp(r)[int(tf.argmax(rise <= rounding))])
        raise ValueError(f"The generator {name!r} is not strictly convex near u = {first:.3g}.")
    for which, closed, automatic in (
        ("derivative", divergence.derivative(r), slope),
        ("conjugate", divergence.conjugate(r), tf.exp(r) * slope - value),
    ):
        if not bool(tf.reduce_all(tf.abs(closed - automatic) <= 1e-6 * (1.0 + tf.abs(automatic)))):
            raise ValueError(f"The {which} given for {name!r} disagrees with its generator.")
