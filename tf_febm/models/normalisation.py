"""The part of a model that knows its log partition function: densities in place of energies."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, energies, randomness
from tf_febm.models.calibrated import Calibrated
from tf_febm.models.chains import Batch
from tf_febm.models.labels import class_numbers
from tf_febm.networks import GaussianReference
from tf_febm.partition.annealing import Annealer
from tf_febm.partition.bases import Domain, chosen_base
from tf_febm.partition.bracket import bracketed
from tf_febm.partition.grid import log_partition_where_mass_is

__all__ = ["LogPartition", "LogProb", "Normalised"]

METHODS = ("grid", "annealing", "learned")
# Examples of a reference that say where the box of a grid begins.
SPREAD = 1000
# How much wider in deviation than the data the Gaussian is at which annealing starts.
WIDENING = math.sqrt(2.0)


class LogPartition(NamedTuple):
    """What is known of log Z.

    Attributes:
        log_z: The estimate, float64 []; [num_classes] of a conditional model.
        lower: Lower end of the interval.
        upper: Upper end.
        method: "grid", "annealing" or "learned".
    """

    log_z: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    method: str


class LogProb(NamedTuple):
    """Log densities and their intervals.

    Attributes:
        log_prob: −E(x) − log Z, float32 [n].
        lower: With the upper end of log Z; None where no interval is known.
        upper: With the lower end of log Z.
    """

    log_prob: tf.Tensor
    lower: tf.Tensor | None
    upper: tf.Tensor | None


@arguments.checking({"data": arguments.ANY_ARRAY | arguments.NONE, "samples": None})
class Normalised(Calibrated):
    """The part of a model that makes a density of its energy.

    Expects of it what `Calibrated` does, and `reference`, `bounds`, `sample_shape`.
    """

    # What the model gives, for readers and type checkers.
    built: Any
    bounds: Any
    reference: GaussianReference | None
    sample_shape: tuple[int, ...] | None
    energy_network: keras.layers.Layer
    _evaluate: Callable[..., tf.Tensor]
    _differentiable: Callable[..., Callable]

    log_partition: LogPartition | None = None
    _normalised_at: int | None = None

    def fit_log_partition(
        self,
        data: arguments.Data | None = None,
        *,
        method: str = "auto",
        samples: Any = None,
        num_chains: int = 256,
        num_temperatures: int = 500,
        num_leapfrog_steps: int = 3,
        confidence: float = 0.95,
        seed: arguments.Seed = 0,
    ) -> LogPartition:
        """Estimate log Z = log ∫ e^(−E(x)) dx, and keep it for `log_prob`.

        It is saved with the model and exported, and holds for the weights of now: after further
        training, and inside or outside of `averaged_weights()`, fit it again. x is in raw units,
        and E the whole energy, that of a reference included.

        By which method:

            grid        vectors of one or two numbers: the midpoint rule on a box that follows the
                        mass; the interval is twice the error that halving the grid shows
            annealing   any x: `evaluation.bracketed_log_partition`, from the uniform density on the
                        bounds, or else from the reference or a Gaussian fitted to `data`, in whose
                        white coordinates chains move
            learned     a `NoiseContrastive`: the constant that it learned; the interval is that of
                        importance sampling from its noise, and contains the constant

        Args:
            data: Examples as those that were trained on, real [n, …]: where the mass is. Needed for
                "grid" and "annealing" by a model that has neither bounds nor a reference.
            method: One of these, or "auto": "grid" where it can be, else "annealing".
            samples: Exact samples of q for the way back of "annealing", [m, …], of a conditional
                model a sequence of such, one for each class; or None. Without them the upper end of
                the interval is one only if the way there reached all modes.
            num_chains: Chains of "annealing", at least 2; "learned" takes 40 times as many samples.
            num_temperatures: Steps of "annealing", at least 1. The more, the narrower the interval.
            num_leapfrog_steps: Gradients of each, at least 1.
            confidence: Of the interval, in (0, 1); of each class's by itself.
            seed: An int or a pair of ints; equal seeds give equal results.

        Returns:
            A LogPartition; of a conditional model with log Z_y for each class y.

        Raises:
            ValueError: The model is not built, an argument is out of its range, or the method is
                not for this model.
        """
        arguments.choice("method", method, ("auto", *METHODS))
        if not self.built or self.sample_shape is None:
            raise ValueError("The model has no weights yet: fit it or call model.build first.")
        plane = len(self.sample_shape) == 1 and self.sample_shape[0] <= 2
        if method == "auto":
            method = "grid" if plane else "annealing"
        if method == "grid" and not plane:
            raise ValueError(
                "method='grid' is for vectors of one or two numbers; the model has examples of "
                f"shape {self.sample_shape}: give method='annealing'."
            )
        confidence = arguments.number("confidence", confidence, above=True)
        if confidence >= 1.0:
            raise ValueError(f"confidence must lie in (0, 1); received {confidence}.")
        if samples is not None and method != "annealing":
            raise ValueError(f"samples are for method='annealing', not for {method!r}.")
        if method == "learned":
            count = 40 * arguments.whole_number("num_chains", num_chains, 2)
            found = self._learned(count, confidence, randomness.sampling_seed(seed))
        elif method == "grid":
            found = self._by_grid(data)
        else:
            settings = (num_chains, num_temperatures, num_leapfrog_steps, confidence)
            found = self._by_annealing(data, samples, settings, randomness.sampling_seed(seed))
        rows = np.array(found, np.float64)
        columns = rows.T if self.num_classes is not None else rows[0]
        log_z, lower, upper = map(np.asarray, columns)
        self.log_partition = LogPartition(log_z, lower, upper, method)
        self._normalised_at = self._digest()
        return self.log_partition

    def log_prob(
        self,
        x: arguments.Array,
        labels: arguments.Labels | None = None,
        return_interval: bool = False,
    ) -> Any:
        """Return the log density of examples, −E(x) − log Z, in raw units.

        Of a conditional model it is log q(x | y) = −E(x, y) − log Z_y.

        Args:
            x: As `energy` takes it.
            labels: Integers [n] or one-hot rows, of a conditional model.
            return_interval: Whether to return the interval that log Z leaves as well. It is the
                same shift for all x: differences of log densities are exact.

        Returns:
            Float32 [n], or a LogProb of three of them.

        Raises:
            ValueError: As `energy`; or `fit_log_partition` was not called, or the weights have
                changed since.
        """
        self._require_log_partition()
        found = self._log_prob_of(self.energy(x, labels), labels)
        return found if return_interval else found.log_prob

    @property
    def has_log_partition(self) -> bool:
        """Whether log Z is known for the weights that the model has now."""
        return self._is_normalised

    def _known_log_z(self) -> Any:
        """Return log Z, a number or [num_classes], where `has_log_partition`."""
        assert self.log_partition is not None
        return self.log_partition.log_z

    @property
    def _is_normalised(self) -> bool:
        return self.log_partition is not None and self._normalised_at == self._digest()

    def _require_log_partition(self) -> None:
        if self.log_partition is None:
            raise ValueError("log Z is not known: call model.fit_log_partition(data) first.")
        if not self._is_normalised:
            raise ValueError(
                "The weights have changed since log Z was estimated: call "
                "model.fit_log_partition(data) again."
            )

    def _log_prob_of(self, energy, labels) -> LogProb:
        """Return what is known of the log densities of examples with these energies, [n]."""
        known = self.log_partition
        ends = (known.log_z, known.upper, known.lower)
        if self.num_classes is not None:
            ends = tuple(tf.gather(end, class_numbers(labels)) for end in ends)
        whole = tf.cast(energy, tf.float64)
        return LogProb(*(tf.cast(-whole - end, tf.float32) for end in ends))

    # --- methods --------------------------------------------------------------------------------

    def _of_classes(self, label) -> Callable:
        """Return x -> E(x), of the class that a variable names in a conditional model."""

        def energy(x):
            labels = None if self.num_classes is None else tf.fill(tf.shape(x)[:1], label)
            return self._evaluate(self.energy_network, Batch(x, labels))

        return self._differentiable(energy)

    def _reference_of(self, data) -> GaussianReference:
        """Return a Gaussian where the mass is: the model's own, or one fitted to data."""
        if self.reference is not None:
            return self.reference
        if data is None:
            raise ValueError(
                "A model without bounds and reference does not say where its mass is: give data, "
                "as model.fit_log_partition(data)."
            )
        data = np.asarray(data)
        if data.shape[1:] != tuple(self.sample_shape or ()):
            raise ValueError(f"data must be {('n', *self.sample_shape)}; received {data.shape}.")
        return GaussianReference().adapt(data.astype(np.float64))

    def _by_grid(self, data) -> list[tuple]:
        if self.bounds is not None:
            low, high = (np.full(self.sample_shape, end) for end in self.bounds)
        else:
            seed = randomness.as_seed(0)
            places = self._reference_of(data).sample(SPREAD, seed).numpy()
            low, high = places.min(axis=0), places.max(axis=0)
        label, found = tf.Variable(0, trainable=False), []
        energy = tf.function(self._of_classes(label), autograph=False, reduce_retracing=True)
        for k in range(self.num_classes or 1):
            label.assign(k)
            part = log_partition_where_mass_is(energy, low.copy(), high.copy(), self.bounds)
            found.append((part.log_z, part.log_z - 2 * part.error, part.log_z + 2 * part.error))
        return found

    def _by_annealing(self, data, samples, settings, seed) -> list[tuple]:
        num_chains, num_temperatures, num_leapfrog_steps, confidence = settings
        arguments.whole_number("num_chains", num_chains, 2)
        arguments.whole_number("num_temperatures", num_temperatures, 1)
        arguments.whole_number("num_leapfrog_steps", num_leapfrog_steps, 1)
        classes = self.num_classes or 1
        given = [samples] if self.num_classes is None else samples or [None] * classes
        if len(given) != classes:
            raise ValueError(
                f"samples must be {classes}, one for each class; received {len(given)}."
            )
        label, shift, white = tf.Variable(0, trainable=False), 0.0, None
        energy, bounds = self._of_classes(label), self.bounds
        if bounds is None:
            white = self._reference_of(data)
            energy = energies.in_white(energy, white)
            width = 1.0 if white is self.reference else WIDENING
            base = _normal(self.sample_shape, width)
            # dx = |det A| dz.
            size = math.prod(self.sample_shape)
            shift = white.log_normaliser - 0.5 * size * math.log(2.0 * math.pi)
        else:
            base = chosen_base(None, None, Domain(True, bounds, self.sample_shape), seed)
        annealer, found = Annealer(energy, base, bounds, num_leapfrog_steps), []
        for k, own in enumerate(given):
            label.assign(k)
            if own is not None:
                arguments.ARRAY.check("samples", own)
                own = tf.cast(own, tf.float32)
                if own.shape[1:] != self.sample_shape or not own.shape[0]:
                    raise ValueError(
                        f"samples must be {('m', *self.sample_shape)}, m ≥ 1; received {own.shape}."
                    )
                own = own if white is None else white.whiten(own)
            part = bracketed(
                annealer, num_chains, num_temperatures, confidence, tf.random.fold_in(seed, k), own
            )
            found.append(tuple(v + shift for v in (part.log_z, part.lower, part.upper)))
        return found

    def _learned(self, count: int, confidence: float, seed) -> list[tuple]:
        raise ValueError(
            f"method='learned' is for a NoiseContrastive, which learns log Z; a "
            f"{type(self).__name__} does not: give method='annealing'."
        )

    # --- files ----------------------------------------------------------------------------------

    def _log_partition_state(self) -> dict:
        """Return what files keep: name -> array."""
        known = self.log_partition
        if known is None:
            return {}
        return {
            "log_partition": np.array([known.log_z, known.lower, known.upper]),
            "log_partition_method": np.array(METHODS.index(known.method)),
            "log_partition_digest": np.array(self._normalised_at, np.int64),
        }

    def _load_log_partition(self, store) -> None:
        """Take over what `_log_partition_state` returned, or nothing."""
        self.log_partition = self._normalised_at = None
        if "log_partition_digest" in set(store.keys()):
            method = METHODS[int(store["log_partition_method"][()])]
            log_z, lower, upper = map(np.asarray, store["log_partition"][()])
            self.log_partition = LogPartition(log_z, lower, upper, method)
            self._normalised_at = int(store["log_partition_digest"][()])


def _normal(shape, scale: float) -> Any:
    from tensorflow_probability import distributions  # Slow to import.

    independent = distributions.Normal(tf.zeros(shape), tf.fill(shape, scale))
    return distributions.Independent(independent, len(shape))
