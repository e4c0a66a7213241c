"""The f-divergence as three functions of the log density ratio, and a table of those by name."""

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments

__all__ = ["Divergence", "Elementwise", "get", "is_known", "names", "register", "register_family"]

# What each divergence is made of: r -> value, for float32 or float64 tensors.
Elementwise = Callable[[tf.Tensor], tf.Tensor]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
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

    def generator(self, log_ratio: arguments.Numbers) -> tf.Tensor:
        """Return f(eʳ), whose mean under q is the divergence.

        Args:
            log_ratio: r, a floating tensor of any shape.

        Returns:
            A tensor of the same shape and dtype; ±inf where it exceeds the dtype's range.
        """
        return _evaluate(self._generator, log_ratio, tf.float64)

    def derivative(self, log_ratio: arguments.Numbers) -> tf.Tensor:
        """Return f'(eʳ), the optimal critic of the variational bound, as `generator` does f(eʳ)."""
        return _evaluate(self._derivative, log_ratio)

    def conjugate(self, log_ratio: arguments.Numbers) -> tf.Tensor:
        """Return F(r) = f*(f'(eʳ)) = eʳ f'(eʳ) − f(eʳ), as `generator` does f(eʳ)."""
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
    def unclipped(self) -> "Divergence":
        """What `clipped` was called on; the divergence itself, if it is not clipped."""
        return self._unclipped

    def get_config(self) -> dict:
        """Return its name and its limit; functions are not saved."""
        return {"name": self.name, "log_ratio_clip": self.log_ratio_clip}

    @classmethod
    def from_config(cls, config: dict) -> "Divergence":
        """Return the registered divergence that the result of `get_config` names.

        Raises:
            ValueError: There is none of that name: `register` it first.
        """
        return get(config["name"], config["log_ratio_clip"])

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


_REGISTRY: dict[str, Divergence] = {}
_ALIASES: dict[str, str] = {}
# What stands before the colon of a name -> (what stands behind it) -> the divergence.
_FAMILIES: dict[str, Callable[[str], Divergence]] = {}


def _canonical(name: str) -> str:
    """Fold case and separators, so that `Jensen-Shannon` and `jensen_shannon` are one name."""
    return name.strip().lower().replace("-", "_").replace("–", "_").replace(" ", "_")


@arguments.checked
def register(divergence: Divergence, aliases: tuple[str, ...] = ()) -> Divergence:
    """Make a divergence known to `get`, under its own name and further spellings.

    Args:
        divergence: What to register.
        aliases: Other names for it. Case, spaces and hyphens do not matter.

    Returns:
        The divergence itself.

    Raises:
        ValueError: One of the names is taken.
    """
    if not isinstance(divergence, Divergence):
        raise TypeError(f"register takes a Divergence; received {divergence!r}.")
    spellings = [_canonical(spelling) for spelling in (divergence.name, *aliases)]
    for spelling in spellings:
        if spelling in _ALIASES or spelling.partition(":")[0] in _FAMILIES:
            raise ValueError(f"The divergence name {spelling!r} is taken.")
    _REGISTRY[divergence.name] = divergence
    _ALIASES.update(dict.fromkeys(spellings, divergence.name))
    return divergence


def register_family(family: str, member: Callable[[str], Divergence]) -> None:
    """Make divergences known to `get` as "family:<text>", which `member` makes of the text."""
    _FAMILIES[family] = member


def names() -> tuple[str, ...]:
    """Return the registered names; besides them, `get` knows every "alpha:<number>"."""
    return tuple(_REGISTRY)


@arguments.checked
def get(identifier: Any, log_ratio_clip: float | None = None) -> Divergence:
    """Return a divergence by name.

    Args:
        identifier: A name from `names()`, one of its other spellings ("Jensen-Shannon",
            "pearson_x2", …), "alpha:<number>" for the α-divergence (α = 0 and α = 1 resolve to
            their limits, reverse KL and KL), or a `Divergence`, which is returned as it is.
        log_ratio_clip: If given, every exponential is clipped; see `Divergence.clipped`.

    Returns:
        The divergence.

    Raises:
        ValueError: The name is unknown or α is not a finite number.
        TypeError: `identifier` is neither a string nor a `Divergence`.
    """
    if isinstance(identifier, Divergence):
        divergence = identifier
    elif isinstance(identifier, str):
        divergence = _from_name(identifier)
    else:
        raise TypeError(f"A divergence is a name or a Divergence; received {identifier!r}.")
    return divergence if log_ratio_clip is None else divergence.clipped(log_ratio_clip)


@arguments.checked
def is_known(divergence: Divergence) -> bool:
    """Tell whether `get` finds this very divergence under its name, as saving a model requires."""
    try:
        return get(divergence.name) is divergence.unclipped
    except ValueError:
        return False


def _from_name(identifier: str) -> Divergence:
    family, colon, member = identifier.strip().lower().partition(":")
    if colon and family in _FAMILIES:
        return _FAMILIES[family](member)
    name = _ALIASES.get(_canonical(identifier))
    if name is None:
        raise ValueError(
            f"Unknown divergence {identifier!r}; known are {', '.join(names())} and "
            "alpha:<number>. One of your own is known after divergences.register."
        )
    return _REGISTRY[name]
