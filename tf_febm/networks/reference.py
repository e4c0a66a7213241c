"""Gaussian reference measures N(μ, Σ) of energies, fitted to data."""

import base64
import functools
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tf_febm import arguments, randomness
from tf_febm.networks import reference_fit
from tf_febm.networks.reference_fit import checked_examples, factors_of, units_of

__all__ = ["COVARIANCES", "GaussianReference"]

COVARIANCES = ("auto", "diagonal", "low_rank", "full", "spectral")
# In units of the standard deviation of the data.
NOISE = 0.04
# Vectors up to so many coordinates have a full covariance by default.
MAX_FULL = 512


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class GaussianReference:
    """A Gaussian N(μ, Σ) that an energy is relative to: q(x) ∝ N(x; μ, Σ) e^(−f(x)).

    A linear map takes it to the standard normal, x = μ + A z with A Aᵀ = Σ, so that

        E(x) = f(x) + ½‖z‖²,    z = A⁻¹(x − μ).

    With f = 0 samples are the Gaussian fit to the data. Chains move in z, in which all directions
    have one scale: in the raw pixels of images they are far too small for coarse structure and far
    too large for fine detail. Give it to a model as `reference`.

        reference = networks.GaussianReference().adapt(images)

    Σ is, by `covariance`:

    - "diagonal": the variance of each coordinate;
    - "full": the covariance, for vectors;
    - "low_rank": D + W Wᵀ by factor analysis, D diagonal and W of `rank` columns;
    - "spectral": for images, S (D + W Wᵀ) Sᵀ with S = B diag(s), B the discrete cosine transform of
      each colour component, the components being the principal ones of the colours of pixels, and s
      the standard deviations of its coefficients; W are the `rank` principal components of the
      coefficients in these units, D what they leave of each one's variance;
    - "auto": spectral for images, full for vectors of up to 512 coordinates, else low_rank.

    Args:
        covariance: One of these.
        noise: Standard deviation of the white noise that the data get before they are fitted, in
            units of the standard deviation of the data (of each coordinate, for vectors), at least
            0. It bounds how narrow a direction may be, and so how far a step in z can be from
            harmless: directions without variance need it.
        rank: Columns of W, at least 1 for "low_rank" and 0 for "spectral"; no other covariance has
            them. None: 16 for "low_rank", an eighth of the number of examples but at most 512 for
            "spectral". With none of them samples of images have the colours and the grain of the
            data, with many also what is where in images of one kind.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(self, covariance: str = "auto", noise: float = NOISE, rank: int | None = None):
        if covariance not in COVARIANCES:
            raise ValueError(
                f"covariance must be one of {', '.join(COVARIANCES)}; received {covariance!r}."
            )
        self.covariance = covariance
        self.noise = arguments.number("noise", noise)
        fewest = int(covariance == "low_rank")
        self.rank = None if rank is None else arguments.whole_number("rank", rank, fewest)
        # Float64 arrays by name, once it is fitted.
        self._fit: dict[str, np.ndarray] = {}

    # --- fitting --------------------------------------------------------------------------------

    def adapt(self, data: arguments.Data) -> "GaussianReference":
        """Fit μ and Σ to data, and return this reference.

        Args:
            data: Floating [n, …], n ≥ 2: an array, a tensor, or a `tf.data.Dataset` of batches of
                x, or of tuples that begin with x. At most 40 million numbers are looked at: evenly
                spread examples of an array, the first ones of a dataset.

        Raises:
            TypeError: The data are not floating.
            ValueError: They are too few, not finite, constant, or do not go with the covariance;
                or there is a fit already, which models and samplers may hold.
        """
        if self._fit:
            raise ValueError(
                "The reference is fitted, and models or samplers may hold it: make another one."
            )
        x = reference_fit.examples_of(data)
        kind = self.covariance
        if kind == "auto":
            kind = "spectral" if x.ndim == 4 else "full" if x[0].size <= MAX_FULL else "low_rank"
        if kind == "spectral" and x.ndim != 4:
            raise ValueError(
                "covariance='spectral' is for images [n, height, width, channels]; received data "
                f"of shape {x.shape}."
            )
        spread = x.std()
        if not spread > 0.0:
            raise ValueError("The data are constant: there is nothing to fit a Gaussian to.")
        self.covariance = kind
        fit = {"spectral": self._spectral, "diagonal": self._diagonal}.get(kind, self._of_vectors)
        self._fit = {"mean": x.mean(axis=0), "range": np.array([x.min(), x.max()])}
        self._fit |= fit(x, spread)
        return self

    def _spectral(self, x: np.ndarray, spread: float) -> dict:
        return reference_fit.spectral_fit(x, self.noise * spread, self.rank)

    def _diagonal(self, x: np.ndarray, spread: float) -> dict:
        return {"scale": np.sqrt(x.var(axis=0) + (self.noise * units_of(x, spread)) ** 2)}

    def _of_vectors(self, x: np.ndarray, spread: float) -> dict:
        """Fit all covariances or some factors, in units of each coordinate's deviation."""
        units = units_of(x, spread)
        z = ((x - x.mean(axis=0)) / units).reshape(len(x), -1)
        if self.covariance == "full":
            correlation = z.T @ z / len(z) + self.noise**2 * np.eye(z.shape[1])
            variances, basis = np.linalg.eigh(correlation)
            if variances[0] <= 0.0:
                raise ValueError(
                    "The covariance is singular: coordinates depend on each other. Give a noise "
                    f"above 0, such as 0.01; received noise={self.noise}."
                )
            scale = np.sqrt(variances).reshape(x.shape[1:])
            return {"units": units, "basis": basis, "scale": scale}
        from sklearn.decomposition import FactorAnalysis  # Slow to import.

        rank = min(16 if self.rank is None else self.rank, z.shape[1] - 1, len(z) - 1)
        with warnings.catch_warnings():
            # Any number of iterations gives a covariance; more of them one that is likelier.
            warnings.simplefilter("ignore")
            found = FactorAnalysis(rank, max_iter=200, random_state=0).fit(z)
        own = np.sqrt(found.noise_variance_ + self.noise**2)
        scale = units * own.reshape(x.shape[1:])
        return {"scale": scale, **factors_of(found.components_ / own)}

    @classmethod
    def from_moments(cls, mean: arguments.Numbers, scale: arguments.Numbers) -> "GaussianReference":
        """Return the diagonal reference with a mean and standard deviations, both [d]."""
        from tf_febm.networks.units import checked_units

        made = cls("diagonal", noise=0.0)
        made._fit = dict(zip(("mean", "scale"), checked_units(mean, scale), strict=True))
        return made

    # --- use ------------------------------------------------------------------------------------

    @property
    def adapted(self) -> bool:
        """Whether there is a fit."""
        return bool(self._fit)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one example.

        Raises:
            ValueError: There is no fit yet.
        """
        return self._array("mean").shape

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The least and the greatest number of the data; None for `from_moments` and old files."""
        found = self._fit.get("range")
        return None if found is None else (float(found[0]), float(found[1]))

    def whiten(self, x: arguments.Array) -> Any:
        """Return z = A⁻¹(x − μ), [n, …], of x in raw units."""
        z = self.principal(x)
        z = z / self._constant("scale", z)
        return self._with_factors(z, lambda gains: 1.0 / gains)

    def principal(self, x: arguments.Array) -> Any:
        """Return y = Bᵀ((x − μ)/u), [n, …]: the coordinates in which Σ without factors is diagonal.

        B is orthonormal, and u are the standard deviations of coordinates for covariance="full",
        else 1. White noise of x/u is white noise of y.
        """
        x = checked_examples("x", x, self.sample_shape)
        centred = x - self._constant("mean", x)
        if self.covariance == "full":
            centred = centred / self._constant("units", x)
        return self._components(centred)

    def from_principal(self, y: arguments.Array) -> Any:
        """Return x = μ + u B y, [n, …]."""
        y = checked_examples("y", y, self.sample_shape)
        return self._constant("mean", y) + self._composed(y)

    @property
    def units(self) -> np.ndarray:
        """Scales u of `principal`, float64, of a shape that broadcasts to an example's."""
        return self._array("units") if self.covariance == "full" else np.ones(())

    @property
    def variances(self) -> np.ndarray:
        """The variances of y of `principal`, float64, of the shape of an example.

        Raises:
            ValueError: There is no fit, or there are factors: see `without_factors`.
        """
        if "factors" in self._fit:
            raise ValueError(
                f"A covariance with shared factors is not diagonal; received {self!r}: take "
                "reference.without_factors(), or rank=0."
            )
        return np.square(self._array("scale"))

    def with_noise(self, stddev: float) -> "GaussianReference":
        """Return the reference of what this one is of with more white noise: N(μ, Σ + σ²U²).

        Args:
            stddev: σ, at least 0, in the units u of `principal`.

        Raises:
            ValueError: It is below 0, there is no fit, or there are factors.
        """
        stddev = arguments.number("stddev", stddev)
        made = type(self)(self.covariance, self.noise, self.rank)
        made._fit = {**self._fit, "scale": np.sqrt(self.variances + stddev**2)}
        return made

    def color(self, z: arguments.Array) -> Any:
        """Return x = μ + A z, [n, …], of white z."""
        z = checked_examples("z", z, self.sample_shape)
        scaled = self._with_factors(z, lambda gains: gains) * self._constant("scale", z)
        return self.from_principal(scaled)

    def gradient(self, gradient: arguments.Array) -> Any:
        """Return Aᵀ g, the gradient for z of what has the gradient g for x, [n, …]."""
        gradient = checked_examples("gradient", gradient, self.sample_shape)
        if self.covariance == "full":
            gradient = gradient * self._constant("units", gradient)
        scaled = self._components(gradient) * self._constant("scale", gradient)
        return self._with_factors(scaled, lambda gains: gains)

    def zca(self, x: arguments.Array) -> Any:
        """Return Σ^(−½) (x − μ), [n, …], images themselves, for a spectral covariance.

        The symmetric root is that of a Σ without factors; see `without_factors`.
        """
        x = checked_examples("x", x, self.sample_shape)
        whitened = self._components(x - self._constant("mean", x)) / self._constant("scale", x)
        return self._composed(whitened)

    def without_factors(self) -> "GaussianReference":
        """Return the reference with the same variances of coefficients, and nothing shared."""
        # Low rank without its factors is diagonal.
        kind, rank = self.covariance, 0 if "factors" in self._fit else self.rank
        kind, rank = ("diagonal", None) if kind == "low_rank" else (kind, rank)
        made = type(self)(kind, self.noise, rank)
        made._fit = {"scale": self._array("scale"), **self._fit}
        if "factors" in made._fit:
            shared = np.zeros(made._fit["scale"].size)
            kept = made._fit.pop("kept", np.arange(shared.size)).astype(int)
            gains = made._fit.pop("gains")
            shared[kept] = np.square(made._fit.pop("factors")) @ (gains**2 - 1.0)
            shape = made._fit["scale"].shape
            made._fit["scale"] = made._fit["scale"] * np.sqrt(1.0 + shared).reshape(shape)
        return made

    def energy(self, x: arguments.Array) -> Any:
        """Return ½‖z‖², [n], of x [n, …] in raw units, in the dtype of x."""
        return self.energy_of_white(self.whiten(x))

    @staticmethod
    def energy_of_white(z: arguments.Array) -> Any:
        """Return ½‖z‖², [n], of z [n, …]."""
        return 0.5 * ops.sum(ops.square(z), axis=tuple(range(1, len(z.shape))))

    def log_prob(self, x: arguments.Array) -> Any:
        """Return log N(x; μ, Σ), [n], of x [n, …] in raw units."""
        return -self.energy(x) - self.log_normaliser

    @property
    def log_normaliser(self) -> float:
        """The log of ∫ exp(−½‖z(x)‖²) dx: ½ d log 2π + log |det A|."""
        scale = np.log(self._array("scale")).sum()
        for more in ("units", "gains"):
            if more in self._fit:
                scale += np.log(self._fit[more]).sum()
        return float(0.5 * self._array("mean").size * np.log(2.0 * np.pi) + scale)

    def sample(self, num_samples: int, seed: arguments.Seed) -> tf.Tensor:
        """Draw from N(μ, Σ), float32 [num_samples, …], by an integer seed tensor [2]."""
        if not tf.is_tensor(num_samples):
            arguments.whole_number("num_samples", num_samples)
        shape = tf.concat([[num_samples], self.sample_shape], axis=0)
        return self.color(
            tf.ensure_shape(randomness.normal(shape, seed), (None, *self.sample_shape))
        )

    # --- linear algebra -------------------------------------------------------------------------

    def _array(self, name: str) -> np.ndarray:
        if not self._fit:
            raise ValueError("The reference has no fit yet: call reference.adapt(data) first.")
        return self._fit[name]

    @functools.cached_property
    def _across(self) -> np.ndarray:
        """The transform along a row of pixels: rotation of the colours and cosines."""
        return np.kron(self._array("columns").T, self._array("colours"))

    def _constant(self, name: str, like):
        return _as(self._array(name), like)

    def _components(self, v) -> Any:
        """Return Bᵀ v, B the orthonormal basis of the covariance."""
        if self.covariance == "full":
            return self._along(v, self._array("basis"))
        return self._cosines(v, 1) if self.covariance == "spectral" else v

    def _composed(self, v) -> Any:
        """Return B v, in the units of the data."""
        if self.covariance == "full":
            return self._along(v, self._array("basis").T) * self._constant("units", v)
        return self._cosines(v, -1) if self.covariance == "spectral" else v

    def _along(self, v, matrix: np.ndarray) -> Any:
        """Return v M for the flattened examples v."""
        flat = ops.reshape(v, (-1, len(matrix)))
        return ops.reshape(ops.matmul(flat, _as(matrix, v)), (-1, *self.sample_shape))

    def _cosines(self, images, direction: int) -> Any:
        """Return the cosine transform of the colour components, or with direction −1 its inverse.

        Columns and colours are one matrix, whose product moves nothing in memory: it is some times
        faster than one product for each.
        """
        rows, across = self._array("rows"), self._across
        if direction < 0:
            rows, across = rows.T, across.T
        height, width, channels = self.sample_shape
        found = ops.matmul(ops.reshape(images, (-1, width * channels)), _as(across, images))
        found = ops.matmul(_as(rows, images), ops.reshape(found, (-1, height, width * channels)))
        return ops.reshape(found, (-1, *self.sample_shape))

    def _with_factors(self, z, gain) -> Any:
        """Return (I + V diag(g − 1) Vᵀ) z, with g a function of the gains √(1 + λ); z without."""
        if "factors" not in self._fit:
            return z
        size, factors = self._array("mean").size, self._array("factors")
        flat = ops.reshape(z, (-1, size))
        kept = self._fit.get("kept")
        part = flat if kept is None else ops.take(flat, kept.astype("int32"), axis=1)
        inside = ops.matmul(part, _as(factors * (gain(self._array("gains")) - 1.0), z))
        change = ops.matmul(inside, _as(factors.T, z))
        if kept is not None:
            # Back to their places; the others take the zero at the end.
            places = np.full(size, len(kept), "int32")
            places[kept.astype(int)] = np.arange(len(kept))
            change = ops.take(ops.pad(change, [[0, 0], [0, 1]]), places, axis=1)
        return ops.reshape(flat + change, (-1, *self.sample_shape))

    # --- saving ---------------------------------------------------------------------------------

    def get_config(self) -> dict:
        """Return the constructor's arguments and the fit, which is part of what it is."""
        fit = {
            name: {
                "shape": list(array.shape),
                "float64": base64.b64encode(array.tobytes()).decode(),
            }
            for name, array in self._fit.items()
        }
        kept = ("covariance", "noise", "rank")
        return {name: getattr(self, name) for name in kept} | {"fit": fit}

    @classmethod
    def from_config(cls, config: dict) -> "GaussianReference":
        """Make a reference from the result of `get_config`."""
        fit = config.get("fit", {})
        made = cls(**{name: value for name, value in config.items() if name != "fit"})
        made._fit = {
            name: np.frombuffer(base64.b64decode(stored["float64"])).reshape(stored["shape"]).copy()
            for name, stored in fit.items()
        }
        return made

    def __repr__(self) -> str:
        fit = f", fitted to {self.sample_shape}" if self._fit else ""
        return f"GaussianReference({self.covariance!r}, noise={self.noise}, rank={self.rank}{fit})"


def _as(array: np.ndarray, like) -> Any:
    """Return a constant in the dtype of a tensor."""
    return ops.convert_to_tensor(array, dtype=like.dtype)
