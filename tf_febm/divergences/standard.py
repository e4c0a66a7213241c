"""Divergences in closed form.

To add one: `register` its three functions of r; a test asks for its truth.
"""

import functools
import math

import tensorflow as tf

from tf_febm.divergences.base import Divergence, get, register, register_family

# It registers, and exports nothing.
__all__: list[str] = []

LOG_2 = math.log(2.0)


@tf.custom_gradient
def _centred_softplus(x: tf.Tensor):
    """Return log((1 + eˣ)/2) without cancellation at 0 or overflow at large x.

    For x > 0 that is x + log((1 + e⁻ˣ)/2). Its derivative is the sigmoid, which TensorFlow would
    take a dozen operations to find.
    """
    value = tf.nn.relu(x) + tf.math.log1p(0.5 * tf.math.expm1(-tf.abs(x)))
    return value, lambda upstream: upstream * tf.sigmoid(x)


@functools.cache
def _alpha(order: float) -> Divergence:
    """Return f(u) = (u^α − 1 − α(u − 1)) / (α(α − 1)) for α other than 0 and 1."""
    a, b = order, order - 1.0

    def generator(r):
        # For large r one factor eʳ is taken out, so that two infinities never meet.
        large, other = tf.maximum(r, 1.0), tf.minimum(r, 1.0)
        factored = tf.exp(large) * (tf.exp(b * large) - a) + b
        plain = tf.math.expm1(a * other) - a * tf.math.expm1(other)
        return tf.where(r > 1.0, factored, plain) / (a * b)

    return Divergence(
        "alpha:" + repr(order).removesuffix(".0"),
        generator=generator,
        derivative=lambda r: tf.math.expm1(b * r) / b,
        conjugate=lambda r: tf.math.expm1(a * r) / a,
        with_exponential=lambda r, exp: ((exp(b * r) - 1.0) / b, (exp(a * r) - 1.0) / a),
    )


def _alpha_of(order: str) -> Divergence:
    """Return the α-divergence of an order that is written out; KL and reverse KL at its limits."""
    try:
        number = float(order)
    except ValueError:
        number = math.nan
    limits = {0.0: "reverse_kl", 1.0: "kl"}
    if number in limits:
        return get(limits[number])
    if not abs(number) <= 1e3 or min(abs(number), abs(number - 1.0)) < 1e-9:
        raise ValueError(
            "alpha:<number> needs a number from -1000 to 1000 that is 0, 1 or at least 1e-9 away "
            f"from them; received {f'alpha:{order}'!r}."
        )
    return _alpha(number)


register_family("alpha", _alpha_of)
register(
    Divergence(
        "kl",
        generator=lambda r: r * tf.exp(r),
        derivative=lambda r: 1.0 + r,
        conjugate=tf.exp,
        with_exponential=lambda r, exp: (1.0 + r, exp(r)),
    ),
    aliases=("kullback_leibler", "forward_kl"),
)
register(
    Divergence(
        "reverse_kl",
        generator=lambda r: -r,
        derivative=lambda r: -tf.exp(-r),
        conjugate=lambda r: r - 1.0,
        with_exponential=lambda r, exp: (-exp(-r), r - 1.0),
    ),
    aliases=("rkl", "reverse_kullback_leibler"),
)
register(
    Divergence(
        "js",
        generator=lambda r: -tf.exp(r) * _centred_softplus(-r) - _centred_softplus(r),
        derivative=lambda r: -_centred_softplus(-r),
        conjugate=_centred_softplus,
        with_exponential=lambda r, exp: (
            LOG_2 + r - tf.math.log(1.0 + exp(r)),
            tf.math.log(1.0 + exp(r)) - LOG_2,
        ),
    ),
    aliases=("jensen_shannon",),
)
register(
    Divergence(
        "squared_hellinger",
        generator=lambda r: tf.square(tf.math.expm1(0.5 * r)),
        derivative=lambda r: -tf.math.expm1(-0.5 * r),
        conjugate=lambda r: tf.math.expm1(0.5 * r),
        with_exponential=lambda r, exp: (1.0 - exp(-0.5 * r), exp(0.5 * r) - 1.0),
    ),
    aliases=("hellinger", "sh"),
)
register(
    Divergence(
        "pearson_chi2",
        generator=lambda r: tf.square(tf.math.expm1(r)),
        derivative=lambda r: 2.0 * tf.math.expm1(r),
        conjugate=lambda r: tf.math.expm1(2.0 * r),
        with_exponential=lambda r, exp: (2.0 * (exp(r) - 1.0), exp(2.0 * r) - 1.0),
    ),
    aliases=("pearson_x2", "pearson", "pearson_χ2"),
)
register(
    Divergence(
        "neyman_chi2",
        generator=lambda r: -tf.math.expm1(r) * tf.math.expm1(-r),
        derivative=lambda r: -tf.math.expm1(-2.0 * r),
        conjugate=lambda r: -2.0 * tf.math.expm1(-r),
        with_exponential=lambda r, exp: (1.0 - exp(-2.0 * r), 2.0 - 2.0 * exp(-r)),
    ),
    aliases=("neyman_x2", "neyman", "neyman_χ2"),
)
