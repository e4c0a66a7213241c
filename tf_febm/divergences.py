"""f-divergences, as functions of the log density ratio.

An f-divergence D_f(p‖q) = E_q[f(p/q)] has a strictly convex generator f with f(1) = 0. Training an
energy-based model needs two functions of the log ratio r = log p/q (Yu et al., ICML 2020):

    derivative(r) = f'(eʳ)            conjugate(r) = f*(f'(eʳ)) = eʳ f'(eʳ) − f(eʳ)

Each is written in log space, from `expm1` and `log1p`, never from eʳ itself: for |r| ≤ 50 values
and first derivatives are exact to 1e-5 relative in float32, also where they vanish. Where the true
value exceeds the dtype's range the result is ±inf, never NaN.
"""

import functools
import math
from collections.abc import Callable

import tensorflow as tf

__all__ = ["Divergence", "from_generator", "get", "names", "register"]

LOG_2 = math.log(2.0)

# What each divergence is made of: r -> value, for float32 or float64 tensors.
Elementwise = Callable[[tf.Tensor], tf.Tensor]


class Divergence:
    """Hold the three functions of one f-divergence.

    Use `get` to obtain one by name and `from_generator` to make one from any generator.

    Args:
        name: Its name in messages, options and saved models.
        generator: r -> f(eʳ). Evaluated in float64, because it cancels to second order at r = 0.
        derivative: r -> f'(eʳ).
        conjugate: r -> f*(f'(eʳ)).
        with_exponential: (r, exp) -> (f'(eʳ), f*(f'(eʳ))) in the textbook form with every
            exponential taken by `exp`; the source of `clipped`.
        log_ratio_clip: The limit that `clipped` put on the exponents, or None.
        unclipped: The divergence that `clipped` was called on, or None.
    """

    def __init__(
        self,
        name: str,
        *,
        generator: Elementwise,
        derivative: Elementwise,
        conjugate: Elementwise,
        with_exponential: Callable[[tf.Tensor, Elementwise], tuple[tf.Tensor, tf.Tensor]],
        log_ratio_clip: float | None = None,
        unclipped: "Divergence | None" = None,
    ):
        if not isinstance(name, str) or not name.strip():
            raise TypeError(f"A divergence needs a name; received {name!r}.")
        self.name = name
        self._unclipped = self if unclipped is None else unclipped
        self.log_ratio_clip = log_ratio_clip
        self._generator = generator
        self._derivative = derivative
        self._conjugate = conjugate
        self._with_exponential = with_exponential

    def generator(self, log_ratio) -> tf.Tensor:
        """Return f(eʳ), whose mean under q is the divergence.

        Args:
            log_ratio: r, a floating tensor of any shape.

        Returns:
            A tensor of the same shape and dtype; +inf where it exceeds the dtype's range.
        """
        return _evaluate(self._generator, log_ratio, tf.float64)

    def derivative(self, log_ratio) -> tf.Tensor:
        """Return f'(eʳ), the optimal critic of the variational bound.

        Args:
            log_ratio: r, a floating tensor of any shape.

        Returns:
            A tensor of the same shape and dtype; ±inf where it exceeds the dtype's range.
        """
        return _evaluate(self._derivative, log_ratio)

    def conjugate(self, log_ratio) -> tf.Tensor:
        """Return F(r) = f*(f'(eʳ)) = eʳ f'(eʳ) − f(eʳ).

        Args:
            log_ratio: r, a floating tensor of any shape.

        Returns:
            A tensor of the same shape and dtype; ±inf where it exceeds the dtype's range.
        """
        return _evaluate(self._conjugate, log_ratio)

    def clipped(self, limit: float) -> "Divergence":
        """Return this divergence with every exponential eˣ replaced by exp(clip(x, ±limit)).

        This is what the published image code does with limit 5. It is *not* the same function of a
        clipped log ratio, and wrong outside the limit: for Jensen–Shannon at r = 10 the derivative
        becomes 5.69 where the true value is 0.693. It exists to repeat the published runs.
        """
        limit = float(limit)
        if not 0.0 < limit < math.inf:
            raise ValueError(f"log_ratio_clip must be a positive finite number; received {limit}.")

        def exp(x):
            return tf.exp(tf.clip_by_value(x, -limit, limit))

        return Divergence(
            self.name,
            generator=self._generator,
            derivative=lambda r: self._with_exponential(r, exp)[0],
            conjugate=lambda r: self._with_exponential(r, exp)[1],
            with_exponential=self._with_exponential,
            log_ratio_clip=limit,
            unclipped=self._unclipped,
        )

    @property
    def is_known(self) -> bool:
        """Whether `get` finds this very divergence under its name, as saving a model requires."""
        try:
            return get(self.name) is self._unclipped
        except ValueError:
            return False

    def __repr__(self):
        clip = "" if self.log_ratio_clip is None else f", log_ratio_clip={self.log_ratio_clip}"
        return f"Divergence({self.name!r}{clip})"


def _evaluate(function: Elementwise, log_ratio, dtype: tf.DType | None = None) -> tf.Tensor:
    """Apply `function` at sufficient precision and return the dtype that came in."""
    r = tf.convert_to_tensor(log_ratio)
    if not r.dtype.is_floating:
        raise TypeError(f"log_ratio must be a floating tensor; received dtype {r.dtype.name}.")
    if dtype is None:
        dtype = tf.float32 if r.dtype.size < 4 else r.dtype
    return tf.cast(function(tf.cast(r, dtype)), r.dtype)


@tf.custom_gradient
def _centred_softplus(x: tf.Tensor):
    """Return log((1 + eˣ)/2) without cancellation at 0 or overflow at large x.

    Its derivative is the sigmoid; TensorFlow would take a dozen operations to find it.
    """
    small = tf.math.log1p(0.5 * tf.math.expm1(tf.minimum(x, 1.0)))
    value = tf.where(x > 1.0, tf.math.softplus(x) - LOG_2, small)
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
            f"Unknown divergence {identifier!r}; known are {', '.join(names())} and alpha:<number>."
        )
    return _REGISTRY[name]


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
        ValueError: If f(1) ≠ 0, f is not strictly convex, its derivative is not finite, on a grid
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
