"""Score matching: exact, sliced and denoising, without chains."""

import functools
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tf_febm import arguments, energies, randomness
from tf_febm.models.chainless import (
    ChainlessModel,
    along_rows,
    mean_of_each,
    positive,
    repeated,
    size_of,
)
from tf_febm.networks import GaussianReference

__all__ = ["ScoreMatching"]

KINDS = ("denoising", "sliced", "exact")
# A second derivative each of this many coordinates is what the exact trace may take.
MOST_EXACT = 64


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class ScoreMatching(ChainlessModel):
    """Train an energy by its score −∇E alone: a baseline without chains.

    θ descends the mean over the data of

        exact      ½‖∇E(x)‖² − tr ∇²E(x)
        sliced     ½‖∇E(x)‖² − vᵀ∇²E(x) v, with random signs v: the exact one in expectation
        denoising  ½‖σ ∇E(x + σξ) − ξ‖², ξ ~ N(0, I)

    The first two are E_p‖∇E + ∇log p‖²/2 up to a constant, which needs a p that falls to 0
    smoothly where it ends: no images in [0, 1], and no steps. The third matches the score of the
    data with the noise, p ∗ N(0, σ²I), whatever p is; its minimum is that energy, not that of p.

    Not guaranteed: what no score tells. How much mass well separated modes have is hardly seen, as
    the score is the same for any shares; and where there are no data the energy is anything.

    Derivatives and noise are in the coordinates in which the sampler moves: z of a reference or of
    a `samplers.Preconditioned`, else x. The sampler is for `sample` alone. Second derivatives need
    smooth activations, such as swish; in float16 a loss scale has to fall for them, so that
    the first dozen steps may be skipped.

    Metrics, as means over an epoch: `loss` (the objective, the l2 term and the network's own
    losses), `objective`, `energy_data` and `energy_gradient_norm` (global L2).

    Args:
        energy: Network for E, from x, or (x, one_hot), to [n, 1] or [n].
        kind: "denoising", "sliced" or "exact", the last for up to 64 numbers in an example.
        noise_stddev: σ of denoising, above 0, in units of the chains.
        num_projections: Vectors v of sliced for each example, at least 1.
        sampler: As for `EnergyModel`.
        l2_coeff: Weight, at least 0, of mean E² over the data in the loss.
        class_weight_coeff: Weight, at least 0, of −mean log p(y|x) over the data, for a conditional
            model; see `FEBM`.

    All other arguments are those of `EnergyModel` but the buffer.

    Raises:
        ValueError: An argument is out of its range, or examples are too large for "exact".

    Source: Hyvärinen 2005; Vincent 2011 (denoising); Song et al. 2019 (sliced, its form of less
    variance).
    """

    SETTINGS = {
        **ChainlessModel.SETTINGS,
        "kind": functools.partial(arguments.choice, choices=KINDS),
        "noise_stddev": positive,
        "num_projections": lambda name, value: arguments.whole_number(name, value, 1),
    }

    def __init__(
        self,
        energy: keras.layers.Layer,
        kind: str = "denoising",
        *,
        noise_stddev: float = 0.1,
        num_projections: int = 1,
        sampler: Callable | None = None,
        l2_coeff: float = 0.0,
        class_weight_coeff: float = 0.0,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        reference: GaussianReference | None = None,
        average_decay: float | None = None,
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(
            energy,
            sampler=sampler,
            num_classes=num_classes,
            class_names=class_names,
            reference=reference,
            average_decay=average_decay,
            seed=seed,
            name=name,
        )
        self.kind, self.noise_stddev, self.num_projections = kind, noise_stddev, num_projections
        self.l2_coeff, self.class_weight_coeff = l2_coeff, class_weight_coeff
        self._check_settings()
        self._build_if_known()

    def _check_settings(self) -> None:
        super()._check_settings()
        if self.sample_shape is not None:
            self._check_size()

    def _build_networks(self) -> None:
        self._check_size()
        super()._build_networks()

    def _check_size(self) -> None:
        size = size_of(self.sample_shape)
        if self.kind == "exact" and size > MOST_EXACT:
            raise ValueError(
                f"kind='exact' takes a second derivative for each of at most {MOST_EXACT} numbers "
                f"of an example; received examples of {size}: give kind='sliced'."
            )

    def _objective(self, energy_fn: Callable, z, labels, seed) -> tf.Tensor:
        if self.kind == "denoising":
            noise = randomness.normal(tf.shape(z), seed)
            noisy = z + self.noise_stddev * noise
            gradient = energies.value_and_gradient(energy_fn(labels), noisy)[1]
            missing = self.noise_stddev * gradient - noise
            return 0.5 * tf.reduce_sum(tf.square(missing), along_rows(z))
        shape = z.shape[1:].as_list()
        if self.kind == "exact":
            count, scale = size_of(shape), size_of(shape)
            units = tf.reshape(tf.eye(count), [count, *shape])
            vectors = tf.tile(units, [tf.shape(z)[0], *(1 for _ in shape)])
        else:
            count, scale = self.num_projections, 1
            vectors = tf.concat([[tf.shape(z)[0] * count], shape], axis=0)
            vectors = tf.sign(randomness.uniform(vectors, seed) - 0.5)
        given = energy_fn(repeated(labels, count))
        squares, curvature = _squares_and_curvature(given, repeated(z, count), vectors)
        return mean_of_each(0.5 * squares - scale * curvature, count)


def _squares_and_curvature(energy_fn, z, vectors) -> tuple[tf.Tensor, tf.Tensor]:
    """Return ‖∇E(z)‖² and vᵀ∇²E(z) v, [n] each."""
    axes = along_rows(z)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(z)
        gradient = energies.value_and_gradient(energy_fn, z)[1]
        slope = tf.reduce_sum(vectors * gradient, axes)
    # An energy without curvature has no second derivative.
    second = tape.gradient(slope, z, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return tf.reduce_sum(tf.square(gradient), axes), tf.reduce_sum(vectors * second, axes)
