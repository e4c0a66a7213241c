"""One Gaussian fitted to a mixture of Gaussians by any divergence: Section 6.1 of the paper."""

import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy import stats

from tf_febm import applications, arguments, divergences, objectives, randomness
from tf_febm.analysis.mixture_rules import FINE, PLAIN, RULES, build, place, stream

__all__ = [
    "Fit",
    "gradient_deviations",
    "grid",
    "kolmogorov_smirnov",
    "log_ratios",
    "trajectories",
    "use_ratio",
]

# Where the learning rates of the library's rule end, as a share of where they begin.
FINAL_FRACTION = 0.03


class Fit(keras.callbacks.Callback):
    """Train a model, and remember its way in the (mean, scale) plane."""

    def __init__(
        self,
        model: arguments.Model,
        target: arguments.Distribution,
        options: dict,
        *,
        steps: int | None = None,
        report: Any = None,
        name: Any = "",
    ):
        super().__init__()
        self.layer = model.energy_network.get_layer("gaussian")
        self.path = [self._parameters()]
        self.steps = options["steps"] if steps is None else steps
        self.rule = options["rule"]
        self.chunk = model.steps_per_execution
        self.report, self.name = report, name
        self.started = self.last_report = time.perf_counter()
        model.fit(
            stream(target, options["batch_size"], options["seed"], self.rule not in PLAIN),
            epochs=self.steps // self.chunk,
            steps_per_epoch=self.chunk,
            verbose=0,
            callbacks=[self, keras.callbacks.TerminateOnNaN()],
        )
        self.seconds = time.perf_counter() - self.started
        with model.best_weights():
            self.mean, self.scale = self._parameters()
        if not np.isfinite([self.mean, self.scale]).all():
            raise ValueError(f"{name}: training met a number that is not finite.")

    def _parameters(self) -> tuple[float, float]:
        return float(self.layer.mean.numpy()[0]), float(self.layer.scale.numpy()[0])

    def on_epoch_begin(self, epoch: int, logs: arguments.Logs | None = None) -> None:
        """Let the learning rates fall by a cosine, or leave them as the paper does."""
        if self.rule in PLAIN:
            return
        cosine = 0.5 * (1.0 + np.cos(np.pi * epoch * self.chunk / self.steps))
        rate = RULES[self.rule] * (FINAL_FRACTION + (1.0 - FINAL_FRACTION) * cosine)
        for name in ("optimizer", "variational_optimizer"):
            if hasattr(self.model, name):
                getattr(self.model, name).learning_rate = rate

    def on_epoch_end(self, epoch: int, logs: arguments.Logs | None = None) -> None:
        """Note where the parameters are; report every two seconds."""
        self.path.append(self._parameters())
        now, done = time.perf_counter(), (epoch + 1) * self.chunk
        if self.report and (now - self.last_report > 2.0 or done == self.steps):
            self.last_report = now
            rate = done / (now - self.started)
            self.report(
                f"{self.name}  step {done}/{self.steps}  mean {self.path[-1][0]:.4f}  "
                f"scale {self.path[-1][1]:.4f}  {rate:.0f} steps/s  "
                f"ETA {(self.steps - done) / rate:.0f} s"
            )


def grid(
    target: arguments.Distribution, points: int = 2001
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points over the target's mass, its density there, and where its central 99 % lies."""
    samples = target.sample(200_000, seed=[0, 0]).numpy()
    low, high = samples.min(), samples.max()
    margin = 0.05 * (high - low)
    x = np.linspace(low - margin, high + margin, points)
    density = target.prob(x).numpy()
    cumulated = np.cumsum(density) / density.sum()
    return x, density, (cumulated > 0.005) & (cumulated < 0.995)


def log_ratios(
    model: arguments.Model, fit: Any, target: arguments.Distribution, x: arguments.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Return the learned and the true log p/q at points [n], q being the learned Gaussian."""
    log_q = -0.5 * ((x - fit.mean) / fit.scale) ** 2 - np.log(fit.scale * np.sqrt(2 * np.pi))
    with model.best_weights():
        learned = model.log_density_ratio(tf.constant(x[:, None], tf.float32)).numpy()
    return learned, target.log_prob(x).numpy() - log_q


def use_ratio(
    model: arguments.Model, fit: Any, target: arguments.Distribution, seed: int, count: int
) -> dict:
    """Correct samples of the learned Gaussian by the learned ratio, and measure what is gained.

    A ratio that is still too rough for rejection sampling says so in "rejection_failed"; the fit
    and the weights are worth having without it.
    """

    def propose(number, seed):
        noise = randomness.normal([number, 1], seed)
        return fit.mean + fit.scale * noise

    plain = propose(count, randomness.as_seed(seed + 1)).numpy()
    # Ten times as many, so that what is left of the error is not mere chance.
    proposed = propose(10 * count, randomness.as_seed(seed + 2)).numpy()
    accepted = np.zeros([0])
    figures: dict = {"ks_plain": kolmogorov_smirnov(plain[:, 0], target)}
    with model.best_weights():
        try:
            rejection = applications.rejection_sample(
                model,
                count,
                seed=seed,
                propose=propose,
                batch_size=20_000,
                max_proposals=200 * count,
            )
        except RuntimeError as error:
            figures["rejection_failed"] = str(error)
        else:
            accepted = np.asarray(rejection.samples)[:, 0]
            figures["ks_rejection"] = kolmogorov_smirnov(accepted, target)
            figures["acceptance_rate"] = float(rejection.acceptance_rate)
        weights = applications.importance_weights(model, proposed, batch_size=20_000)
    mean, variance = float(target.mean()), float(target.variance())
    weighted_mean = float(weights.expectation(proposed[:, 0]))
    weighted_variance = float(weights.expectation((proposed[:, 0] - weighted_mean) ** 2))
    figures |= {
        "mean_error_plain": abs(float(proposed.mean(dtype=np.float64)) - mean),
        "mean_error_weighted": abs(weighted_mean - mean),
        "variance_error_plain": abs(float(proposed.var(dtype=np.float64)) - variance),
        "variance_error_weighted": abs(weighted_variance - variance),
        "effective_sample_size": float(weights.effective_sample_size),
    }
    return {"plain": plain[:, 0], "accepted": accepted, "figures": figures}


def kolmogorov_smirnov(samples: np.ndarray, target: arguments.Distribution) -> float:
    """Return the largest distance between an empirical and a true distribution function."""

    def cdf(x):
        return target.cdf(x).numpy()

    return float(stats.ks_1samp(samples.astype(np.float64), cdf, method="asymp").statistic)


def trajectories(
    target: arguments.Distribution,
    divergence: str,
    options: dict,
    count: int,
    steps: int,
    report: Any,
    chunk: int = FINE,
) -> list:
    """Train from random starts; return a Fit for each that met no number that is not finite.

    Means begin within 1.5 standard deviations of the target's, scales within a factor of two of its
    own.
    """
    rng = np.random.default_rng(options["seed"])
    spread, centre = float(target.stddev()), float(target.mean())
    model = build("febm", divergence, options, chunk)
    layer = model.energy_network.get_layer("gaussian")
    variables = [variable for group in model.state_variables().values() for variable in group]
    initial = [variable.numpy() for variable in variables]
    fits = []
    for i in range(count):
        # One model, put back to its beginning: building it takes longer than training it.
        for variable, value in zip(variables, initial, strict=True):
            variable.assign(value)
        mean = centre + spread * rng.uniform(-1.5, 1.5)
        place(layer, mean, spread * np.exp(rng.uniform(-0.7, 0.5)))
        name = f"{divergence}, trajectory {i + 1}/{count}"
        try:
            fits.append(Fit(model, target, options, steps=steps, report=report, name=name))
        except ValueError as error:
            report(f"warning: {error}")
    return fits


def gradient_deviations(
    target: arguments.Distribution,
    divergence: str,
    point: arguments.Tensor,
    options: dict,
    batches: Any = 1000,
) -> dict:
    """Compare the gradients of Theorems 1 and 3 at one point, on the same batches.

    Both variational functions are at their optimum, the true log ratio, so that only the estimators
    differ.

    Returns:
        For each theorem the mean and standard deviation over batches of the gradient for
        (mean, log scale), as lists.
    """
    d = divergences.get(divergence)
    size, seed = options["batch_size"], options["seed"]
    mean, log_scale = tf.Variable(point[0]), tf.Variable(float(np.log(point[1])))

    def energy(x):
        return 0.5 * tf.square((x - mean) * tf.exp(-log_scale))

    def log_ratio(x):
        log_q = -energy(x) - log_scale - 0.5 * np.log(2 * np.pi)
        return tf.cast(target.log_prob(tf.cast(x, tf.float64)), tf.float32) - log_q

    @tf.function(autograph=False)
    def gradients(index):
        x = tf.cast(target.sample([size], seed=tf.stack([index, seed])), tf.float32)
        y = mean + tf.exp(log_scale) * randomness.normal([size], tf.stack([index, seed + 1]))
        x, y = tf.stop_gradient(x), tf.stop_gradient(y)
        data, model = tf.stop_gradient(log_ratio(x)), tf.stop_gradient(log_ratio(y))
        with tf.GradientTape(persistent=True) as tape:
            e_data, e_model = energy(x), energy(y)
            # Values of r, with the slope of E alone: the variational function is a constant.
            r_data = data + e_data - tf.stop_gradient(e_data)
            r_model = model + e_model - tf.stop_gradient(e_model)
            primal = objectives.energy_surrogate(d, r_data, r_model, e_model)
            dual = objectives.dual_surrogate(d, model, e_model)
        parameters = (mean, log_scale)
        return tf.stack(tape.gradient(dual, parameters)), tf.stack(
            tape.gradient(primal, parameters)
        )

    dual, primal = (
        np.stack(rows)
        for rows in zip(*(gradients(tf.constant(i)) for i in range(batches)), strict=True)
    )
    return {
        name: {"mean": values.mean(0).tolist(), "deviation": values.std(0).tolist()}
        for name, values in (("theorem_1", dual), ("theorem_3", primal))
    }
