"""Batches and models of Section 6.1, by the paper's rule and by this library's."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tf_febm import arguments, data, divergences, models, networks, optimizers, randomness, samplers
from tf_febm.analysis.ground_truth import gaussian_mixture
from tf_febm.analysis.mixture_tails import TEMPERATURE, TailsFEBM, with_quadratic_part

__all__ = [
    "CHUNK",
    "FINE",
    "PLAIN",
    "RULES",
    "DeviationEnergy",
    "ExactGaussian",
    "build",
    "place",
    "published_divergence",
    "stream",
]

# Name -> learning rate. "library": one rule for all divergences, see docs/concepts/known_target.md:
# bounded gradients for the variational function, clipped norms for both players, averaged iterates,
# stratified batches. "paper": Algorithm 1 by plain gradient descent, each divergence by its own
# bound, with the rate that the paper names; "published" has that of its code, which takes 30,000
# steps. "tails": for the targets that "library" misses, see `mixture_tails`.
RULES = {"library": 0.01, "tails": 0.01, "paper": 0.01, "published": 0.001}
CLIP_NORM, AVERAGE_DECAY = 0.3, 0.9995
PLAIN = ("paper", "published")
# Rule -> the bound that the variational function ascends. The gradients of Jensen-Shannon are
# bounded. Those of squared Hellinger are not, but E_p[e^-r] = E_q[e^r] = 1 are their second moments
# at the optimum, for any p and q, and they are larger in tails, where √pq is more than either.
VARIATIONAL_DIVERGENCE = {"library": "js", "tails": "squared_hellinger"}
# Steps between two looks at the parameters, which run in one compiled loop: of a fit, and of the
# ways that Figure 4 draws.
CHUNK, FINE = 100, 10
# Where the published loop cuts the exponents of two divergences, from above.
_PUBLISHED_LIMITS = {"kl": 3.0, "pearson_chi2": 6.0}


@keras.saving.register_keras_serializable(package="tf_febm")
class DeviationEnergy(keras.layers.Layer):
    """Compute ½ ((x − μ)/σ)² with the weights μ and σ themselves, as the published loop does.

    `networks.QuadraticEnergy` has log σ, which is another metric to gradient descent.
    """

    def build(self, input_shape: arguments.Shape) -> None:
        """Create μ = 0 and σ = 1 for inputs [n, d]."""
        self.mean = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="mean")
        self.deviation = self.add_weight(
            shape=input_shape[-1:], initializer="ones", name="deviation"
        )

    @property
    def scale(self) -> Any:
        """The current |σ|, [d]."""
        return ops.abs(self.deviation)

    def call(self, x: arguments.Tensor) -> Any:
        """Return the energies, [n, 1], of x, [n, d]."""
        standardised = (x - self.mean) / self.deviation
        return 0.5 * ops.sum(ops.square(standardised), axis=-1, keepdims=True)


def place(layer: arguments.Network, mean: float, scale: float) -> None:
    """Set the Gaussian of an energy of either kind."""
    layer.mean.assign([mean])
    if isinstance(layer, DeviationEnergy):
        layer.deviation.assign([scale])
    else:
        layer.log_scale.assign([math.log(scale)])


class ExactGaussian:
    """Draw from the Gaussian of a quadratic energy exactly, in place of a Markov chain.

    The n samples are stratified, unless told otherwise: one in each of n intervals of equal
    probability, in their order. One chosen at random follows the Gaussian, and means over the batch
    are right on average, with far less noise than of independent samples. Do not use its first few
    alone. At another temperature they are those of q^(1/temperature), normalised.
    """

    def __init__(self, layer: arguments.Network, stratified: bool = True, temperature: float = 1.0):
        self.layer, self.stratified = layer, stratified
        self.widening = math.sqrt(temperature)

    def __call__(
        self, energy_fn: arguments.Function, initial_state: arguments.Tensor, seed: arguments.Seed
    ) -> tf.Tensor:
        """Return samples of the shape of `initial_state`, [n, 1]."""
        if not self.stratified:
            noise = randomness.normal(tf.shape(initial_state), seed)
            return self.layer.mean + self.widening * self.layer.scale * noise
        count = tf.shape(initial_state)[0]
        index = tf.range(count)
        place = randomness.uniform([count], seed, minval=2.0**-24)
        below = tf.cast(index, tf.float32) + place
        above = tf.cast(count - 1 - index, tf.float32) + (1.0 - place)
        size = tf.cast(count, tf.float32)
        noise = normal_at(below / size, above / size)[:, None]
        return self.layer.mean + self.widening * self.layer.scale * noise


def normal_at(below, above) -> tf.Tensor:
    """Return, as float32, where the normal distribution has these shares below and above.

    One of the two would do; but a share near 1 says little about its distance from 1.
    """
    tail = tf.cast(tf.minimum(below, above), tf.float32)
    lower = tf.math.ndtri(tf.maximum(tail, 1e-12))
    return tf.where(below < above, lower, -lower)


def stream(
    target: arguments.Distribution, batch_size: int, seed: int, stratified: bool = True
) -> tf.data.Dataset:
    """Return an endless dataset of batches [batch_size, 1] of a mixture of Gaussians.

    Stratified as in `ExactGaussian`: one uniform number in each of n intervals chooses the
    component, and its place inside the component's share chooses the sample. The numbers of a
    batch that come from each component are thus within one of what is expected, as in the
    published code; they are so too where samples are not stratified within the components.
    """
    weights = tf.cast(target.mixture_distribution.probs_parameter(), tf.float64)
    ends = tf.cumsum(weights)
    components = target.components_distribution
    means, scales = (tf.cast(v, tf.float32) for v in (components.mean(), components.stddev()))

    @tf.autograph.experimental.do_not_convert
    def block(index):
        # Many batches at once: a call costs more than its numbers.
        shape = [CHUNK, batch_size]
        place = randomness.uniform(shape, tf.stack([index, seed]), dtype=tf.float64)
        place = (tf.range(batch_size, dtype=tf.float64) + place) / batch_size
        chosen = tf.minimum(tf.searchsorted(ends, tf.reshape(place, [-1]), "right"), len(ends) - 1)
        chosen = tf.reshape(chosen, shape)
        if stratified:
            above = (tf.gather(ends, chosen) - place) / tf.gather(weights, chosen)
            noise = normal_at(1.0 - above, above)
        else:
            noise = randomness.normal(shape, tf.stack([index, seed + 2**30]))
        samples = tf.gather(scales, chosen) * noise + tf.gather(means, chosen)
        return samples[:, :, None]

    indices = tf.data.Dataset.range(2**31 - 1, output_type=tf.int32)
    return data.without_tuning(indices.map(block).unbatch().prefetch(CHUNK))


def build(method: str, divergence: str, options: dict, chunk: int = CHUNK) -> models.EnergyModel:
    """Return a compiled model that starts from the standard normal distribution.

    Args:
        method: "febm", "dual" or "contrastive_divergence".
        divergence: Its name.
        options: "seed", "mixture", "sampler" ("exact" or "langevin") and "rule", one of `RULES`.
        chunk: Steps of one call of the compiled loop.
    """
    keras.utils.set_random_seed(options["seed"])
    by_paper = options["rule"] in PLAIN
    energy = _deviation_energy() if by_paper else networks.quadratic(1)
    settings = {"seed": options["seed"], "l2_coeff": 0.0, **_sampling(energy, options)}
    if not by_paper:
        settings["average_decay"] = AVERAGE_DECAY

    def optimizer():
        rate = RULES[options["rule"]]
        if by_paper:
            return keras.optimizers.SGD(rate)
        return optimizers.FusedAdam(rate, global_clipnorm=CLIP_NORM)

    if method == "contrastive_divergence":
        model = models.ContrastiveDivergence(energy, **settings)
        model.compile(optimizer(), steps_per_execution=chunk)
        return model
    variational = networks.mlp(1, (64, 64), "tanh")
    players: dict = {"simultaneous": not by_paper}
    if by_paper:
        _initialise_as_published(variational, options["seed"])
        players["leave_one_out"] = False
    else:
        if method == "febm":
            players["variational_divergence"] = VARIATIONAL_DIVERGENCE[options["rule"]]
        if options["sampler"] == "exact":
            # Stratified samples are not independent: their plain mean is the better centre.
            players["leave_one_out"] = False
    kind = models.DualFEBM if method == "dual" else models.FEBM
    if options["rule"] == "tails" and method == "febm":
        kind, variational = TailsFEBM, with_quadratic_part(variational)
    chosen = published_divergence(divergence) if by_paper else divergences.get(divergence)
    model = kind(energy, variational, chosen, **settings, **players)
    model.compile(optimizer(), optimizer(), steps_per_execution=chunk)
    return model


def published_divergence(name: Any) -> divergences.Divergence:
    """Return a divergence with the bounds that the published loop of Section 6.1 puts on it.

    It replaces eˣ by exp(min(x, 3)) in the conjugate of KL, and by exp(min(x, 6)) in both functions
    of Pearson's χ², x being the whole exponent; the others are as they are.
    """
    found = divergences.get(name)
    limit = _PUBLISHED_LIMITS.get(found.name)
    if limit is None:
        return found

    def exp(x):
        return tf.exp(tf.minimum(x, limit))

    functions = {
        "kl": (found.derivative, exp),
        "pearson_chi2": (lambda r: 2.0 * exp(r) - 2.0, lambda r: exp(2.0 * r) - 1.0),
    }
    derivative, conjugate = functions[found.name]
    return divergences.Divergence(
        found.name,
        generator=found.generator,
        derivative=derivative,
        conjugate=conjugate,
        with_exponential=lambda r, _: (derivative(r), conjugate(r)),
    )


def _deviation_energy() -> keras.Model:
    inputs = keras.Input((1,), name="x")
    return keras.Model(inputs, DeviationEnergy(name="gaussian")(inputs))


def _sampling(energy, options: dict) -> dict:
    """Return the sampler, and the buffer if it needs one."""
    if options["sampler"] == "exact":
        layer = energy.get_layer("gaussian")
        temperature = TEMPERATURE if options["rule"] == "tails" else 1.0
        return {"sampler": ExactGaussian(layer, options["rule"] not in PLAIN, temperature)}
    # Unclipped, with a small step: q itself is the law in the limit. The variance of the chains
    # exceeds that of q by the factor 1/(1 − epsilon/4σ²), so narrow targets need smaller steps.
    variance = float(gaussian_mixture(*options["mixture"]).variance())
    epsilon = min(0.1, 0.03 * variance)
    return {
        "sampler": samplers.Langevin.from_epsilon(epsilon, num_steps=20),
        "buffer": samplers.ReplayBuffer(10_000, restart_probability=0.0),
    }


def _initialise_as_published(network, seed: int) -> None:
    """Draw all weights and biases from ±1/√(inputs), as PyTorch does and the published loop has."""
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if layer.weights:
            bound = layer.kernel.shape[0] ** -0.5
            for weight in layer.weights:
                weight.assign(rng.uniform(-bound, bound, weight.shape))
