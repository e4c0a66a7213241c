"""The divergences that are known by name."""

import functools
import math

import tensorflow as tf

from tf_febm.divergences.divergence import Divergence

__all__ = ["get", "is_known", "names", "register"]

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


_REGISTRY: dict[str, Divergence] = {}
_ALIASES: dict[str, str] = {}


def _canonical(name: str) -> str:
    """Fold case and separators, so that `Jensen-Shannon` and `jensen_shannon` are one name."""
    return name.strip().lower().replace("-", "_").replace("–", "_").replace(" ", "_")


def register(divergence: Divergence, aliases: tuple[str, ...] = ()) -> Divergence:
    """Make a divergence known to `get`, under its own name and further spellings.

    Args:
        divergence: What to register.
        aliases: Other names for it. Case, spaces and hyphens do not matter.

    Returns:
        The divergence itself.

    Raises:
        ValueError: If one of the names is taken.
    """
    if not isinstance(divergence, Divergence):
        raise TypeError(f"register takes a Divergence; received {divergence!r}.")
    spellings = [_canonical(spelling) for spelling in (divergence.name, *aliases)]
    for spelling in spellings:
        if spelling in _ALIASES or spelling.startswith("alpha:"):
            raise ValueError(f"The divergence name {spelling!r} is taken.")
    _REGISTRY[divergence.name] = divergence
    _ALIASES.update(dict.fromkeys(spellings, divergence.name))
    return divergence


def names() -> tuple[str, ...]:
    """Return the registered names; besides them, `get` knows every "alpha:<number>"."""
    return tuple(_REGISTRY)


def get(identifier, log_ratio_clip: float | None = None) -> Divergence:
    """Return a divergence by name.

    Args:
        identifier: A name from `names()`, one of its other spellings ("Jensen-Shannon",
            "pearson_x2", …), "alpha:<number>" for the α-divergence (α = 0 and α = 1 resolve to
            their limits, reverse KL and KL), or a `Divergence`, which is returned as it is.
        log_ratio_clip: If given, every exponential is clipped; see `Divergence.clipped`.

    Returns:
        The divergence.

    Raises:
        ValueError: If the name is unknown or α is not a finite number.
        TypeError: If `identifier` is neither a string nor a `Divergence`.
    """
    if isinstance(identifier, Divergence):
        divergence = identifier
    elif isinstance(identifier, str):
        divergence = _from_name(identifier)
    else:
        raise TypeError(f"A divergence is a name or a Divergence; received {identifier!r}.")
    return divergence if log_ratio_clip is None else divergence.clipped(log_ratio_clip)


def is_known(divergence: Divergence) -> bool:
    """Tell whether `get` finds this very divergence under its name, as saving a model requires."""
    try:
        return get(divergence.name) is divergence.unclipped
    except ValueError:
        return False


def _from_name(identifier: str) -> Divergence:
    spelling = identifier.strip().lower()
    if spelling.startswith("alpha:"):
        try:
            order = float(spelling.removeprefix("alpha:"))
        except ValueError:
            order = math.nan
        limits = {0.0: "reverse_kl", 1.0: "kl"}
        if order in limits:
            return _REGISTRY[limits[order]]
        if not abs(order) <= 1e3 or min(abs(order), abs(order - 1.0)) < 1e-9:
            raise ValueError(
                "alpha:<number> needs a number from -1000 to 1000 that is 0, 1 or at least 1e-9 "
                f"away from them; received {identifier!r}."
            )
        return _alpha(order)
    name = _ALIASES.get(_canonical(identifier))
    if name is None:
        raise ValueError(
            f"Unknown divergence {identifier!r}; known are {', '.join(names())} and "
            "alpha:<number>. One of your own is known after divergences.register."
        )
    return _REGISTRY[name]


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
