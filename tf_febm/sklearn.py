"""Anomaly detection by an energy, as an estimator of scikit-learn.

detector = EnergyDetector(contamination=0.05).fit(x)
scores = detector.score_samples(x)  # higher is more usual
"""

import random
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from tf_febm import arguments, data, recipes, training
from tf_febm.calibration import Calibration
from tf_febm.training import chosen_weights

__all__ = ["EnergyDetector"]

# Rows whose energies are computed at once: always as many, filled up, since products of matrices of
# another size are rounded otherwise, and the score of a row would depend on the rows beside it.
CHUNK = 1024
# Standardised values beyond these have energies that are as good as infinite.
FAR = 1e6
METHODS = ("noise_contrastive", "febm", "dual")
# How often rows that are held out are looked at.
CHECKS = 30


# `fit` checks what scikit-learn sets, as it has estimators do.
_SETTINGS = (
    *("contamination", "method", "divergence", "steps", "batch_size", "validation_fraction"),
    *("settings", "random_state", "verbose"),
)


@arguments.checking(dict.fromkeys(_SETTINGS))
class EnergyDetector(OutlierMixin, BaseEstimator):
    """Detect anomalies in tables by an energy that is trained on the usual rows.

    An energy is fitted to the standardised columns. By default it begins as the Gaussian of their
    covariance, as `sklearn.covariance.EllipticEnvelope`, and is trained by telling the rows from
    that Gaussian (`tf_febm.NoiseContrastive`) for as long as rows that are held out gain by it. So
    it is ahead where the usual rows have several modes or bent shapes, and much the same as the
    Gaussian where they have one hill. Columns may have any units; missing values and texts are for
    steps before it in a pipeline. A column with one value throughout is left out.

    Args:
        contamination: Share of the training rows that `predict` calls anomalies, in (0, 0.5].
        method: How the energy is trained: "noise_contrastive", or "febm" or "dual", which take
            Langevin chains and the recipe "vectors".
        divergence: A name of `tf_febm.divergences.names()`.
        steps: Most steps of training, each on `batch_size` rows; the recipe's own number if None.
        batch_size: Rows of a step, at least 2; all if there are fewer.
        validation_fraction: Share of the rows, in [0, 1), that say when to stop and are not trained
            on, for a method that is relative to a Gaussian; none below 20 rows.
        settings: Further settings of the recipe, field of `recipes.Recipe` -> value, such as
            {"width": 256, "learning_rate": 5e-4}.
        random_state: An int for equal results of equal calls, a `RandomState`, or None.
        verbose: 0 for silence, 1 for Keras' progress bar.

    Attributes:
        model_: The trained model, whose unit is the standard deviation of each column that varies.
        gain_: By how many nats a held-out row is likelier than under the Gaussian; None without
            such rows.
        recipe_: The `recipes.Recipe` that it was built and trained by.
        calibration_: What `calibrate` kept, a `calibration.Calibration`.
        offset_: `decision_function` is `score_samples` less this.
        mean_: Of the columns.
        scale_: Their standard deviations; 0 of one that does not vary.
        n_features_in_: How many columns there are.
        feature_names_in_: Their names, if X was a data frame whose columns all have names.
    """

    def __init__(
        self,
        contamination: float = 0.05,
        *,
        method: str = "noise_contrastive",
        divergence: str = "js",
        steps: int | None = None,
        batch_size: int = 64,
        validation_fraction: float = 0.2,
        settings: Mapping[str, Any] | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.contamination = contamination
        self.method = method
        self.divergence = divergence
        self.steps = steps
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.settings = settings
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: arguments.Data, y: arguments.Tensor | None = None) -> "EnergyDetector":
        """Train the energy on rows, nearly all of which are usual.

        Args:
            X: Finite numbers [n, d], n ≥ 2: an array or a data frame.
            y: Not used; there for scikit-learn.

        Returns:
            The detector.

        Raises:
            ValueError: X or a setting is not accepted, no column varies, or training diverged.

        Warns:
            UserWarning: A column does not vary.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        # Of another fit.
        self.__dict__.pop("calibration_", None)
        contamination = arguments.number("contamination", self.contamination, above=True)
        if contamination > 0.5:
            raise ValueError(f"contamination must lie in (0, 0.5]; received {contamination}.")
        recipe = self._recipe(len(X))
        with np.errstate(over="ignore", invalid="ignore"):
            self.mean_, self.scale_ = X.mean(axis=0), X.std(axis=0)
        # Rounding of the mean is no variation.
        self.scale_[self.scale_ <= 1e-12 * np.abs(X).max(axis=0)] = 0.0
        self._check_columns()
        self.recipe_ = recipe
        z = self._standardised(X)
        rows = data.VectorData("table", z)
        # Keras draws the seeds of initial weights from Python's own generator.
        before = random.getstate()
        random.seed(recipe.seed)
        try:
            self.model_ = recipe.build(rows)
        finally:
            random.setstate(before)
        self._train(z, recipe)
        scores = self._scores(X)
        if not np.isfinite(scores).all():
            raise ValueError(
                f"Training diverged: {np.sum(~np.isfinite(scores))} of {len(scores)} scores are "
                "not finite. A smaller learning_rate in settings helps."
            )
        self.offset_ = float(np.percentile(scores, 100.0 * contamination))
        return self

    def score_samples(self, X: arguments.Data) -> np.ndarray:
        """Return minus the energies of rows: log densities up to a constant, higher is more usual.

        Args:
            X: Finite numbers [n, d].

        Returns:
            float64 [n].
        """
        check_is_fitted(self)
        return self._scores(validate_data(self, X, dtype=np.float64, reset=False))

    def decision_function(self, X: arguments.Data) -> np.ndarray:
        """Return the scores of rows less `offset_`: below 0 for anomalies.

        Args:
            X: Finite numbers [n, d].

        Returns:
            float64 [n].
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: arguments.Data) -> np.ndarray:
        """Return −1 for anomalies and 1 for usual rows.

        Args:
            X: Finite numbers [n, d].

        Returns:
            int [n].
        """
        return np.where(self.decision_function(X) < 0.0, -1, 1)

    def calibrate(self, X: arguments.Data) -> "EnergyDetector":
        """Keep the energies of rows that were not trained on, for `p_value`.

        Args:
            X: Finite numbers [n, d], usual rows that `fit` has not seen.

        Returns:
            The detector.
        """
        scores = self.score_samples(X)
        self.calibration_ = Calibration(-scores)
        return self

    def p_value(self, X: arguments.Data) -> np.ndarray:
        """Return the conformal p-value of rows: P(p ≤ α) ≤ α for rows like those of `calibrate`.

        Args:
            X: Finite numbers [n, d].

        Returns:
            float64 [n], in (0, 1]; see `calibration.Calibration`.
        """
        check_is_fitted(self, "calibration_")
        return self.calibration_.p_value(-self.score_samples(X)).numpy()

    def _train(self, z: np.ndarray, recipe: recipes.Recipe) -> None:
        """Train the model, and stop it by rows that are held out."""
        fraction = arguments.number("validation_fraction", self.validation_fraction)
        if fraction >= 1.0:
            raise ValueError(f"validation_fraction must lie in [0, 1); received {fraction}.")
        seen, aside = chosen_weights.rows_aside(len(z), recipe.seed, fraction)
        stops = self.model_.reference is not None and len(aside) > 0
        gain = training.HeldOutGain(z[aside], restore_best_weights=True) if stops else None
        rows = data.VectorData("table", z[seen] if stops else z)
        checks = min(CHECKS, recipe.steps) if stops else 1
        self.model_.fit(
            recipe.stream(rows),
            steps_per_epoch=recipe.steps // checks,
            epochs=checks,
            verbose=self.verbose,
            callbacks=[] if gain is None else [gain],
        )
        self.gain_ = None if gain is None else gain.best_gain

    def _recipe(self, num_rows: int) -> recipes.Recipe:
        """Return the recipe of a fit, or refuse what is no setting."""
        arguments.choice("method", self.method, METHODS)
        base = recipes.for_dataset("csv", self.method)
        steps = base.steps if self.steps is None else self.steps
        changes = {
            "divergence": self.divergence,
            "steps": arguments.whole_number("steps", steps, 1),
            "batch_size": min(
                arguments.whole_number("batch_size", self.batch_size, 2), max(2, num_rows)
            ),
            # Given with it, or it would be constant.
            "learning_rate": base.learning_rate,
            "final_learning_rate": base.final_learning_rate,
            "seed": int(check_random_state(self.random_state).randint(2**31 - 1)),
        }
        try:
            return base.replace(**{**changes, **(self.settings or {})})
        except TypeError as error:
            raise ValueError(f"settings: {error}") from None

    def _check_columns(self) -> None:
        """Refuse columns without an end and tables without variation; tell of constant columns."""
        if not np.isfinite(self.scale_).all():
            k = int(np.argmin(np.isfinite(self.scale_)))
            raise ValueError(f"{self._name(k)} of X is too large to square: scale it down.")
        constant = np.flatnonzero(self.scale_ == 0.0)
        if len(constant) == len(self.scale_):
            raise ValueError("X must have a column that varies; received equal rows alone.")
        if len(constant):
            shown = ", ".join(self._name(k) for k in constant[:5])
            more = ", …" if len(constant) > 5 else ""
            warnings.warn(f"{shown}{more} of X: one value throughout, and left out.", stacklevel=4)

    def _name(self, k: int) -> str:
        names = getattr(self, "feature_names_in_", None)
        return f"column {k + 1}" if names is None else repr(str(names[k]))

    def _standardised(self, X: np.ndarray) -> np.ndarray:
        """Return what networks see, float32: standardised before digits are lost."""
        vary = self.scale_ > 0.0
        with np.errstate(over="ignore"):
            z = (X[:, vary] - self.mean_[vary]) / self.scale_[vary]
        return np.clip(z, -FAR, FAR).astype(np.float32)

    def _scores(self, X: np.ndarray) -> np.ndarray:
        z = self._standardised(X)
        padded = np.pad(z, ((0, -len(z) % CHUNK), (0, 0)))
        with self.model_.best_weights():
            parts = [
                self.model_.energy(padded[start : start + CHUNK]).numpy()
                for start in range(0, len(padded), CHUNK)
            ]
        return -np.concatenate(parts)[: len(z)].astype(np.float64)
