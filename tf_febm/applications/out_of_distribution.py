"""Out-of-distribution scores: how unlike the training data an input is."""

import numpy as np
import tensorflow as tf

from tf_febm import arguments, compiled, energies
from tf_febm.applications.energy_of import (
    checked_images,
    checked_labels,
    energy_of,
    for_all_labels,
    in_batches,
)

__all__ = ["ood_scores"]


@arguments.checked
def ood_scores(
    model: arguments.Model,
    images: arguments.Array,
    labels: arguments.Labels | None = None,
    *,
    batch_size: int = 512,
) -> dict[str, np.ndarray]:
    """Score images, any number of them; every score is higher the less they are like the data.

    | name | score |
    |---|---|
    | energy | E(x) = −log q(x) − log Z |
    | gradient_norm | ‖∇ₓE(x)‖₂, 0 on a mode of q |
    | negative_log_density_ratio | −r(x) = −log p(x)/q(x), of models that learn r |

    Without labels, a conditional model is asked about x alone: E(x) = −log Σ_y p(y) exp(−E(x, y)),
    which is `model.marginal_energy`, and p(x)/q(x) = Σ_y q(y | x) p(x, y)/q(x, y), where q(y | x) ∝
    p(y) exp(−E(x, y)) is `model.class_log_probs` and p(y) `model.class_probabilities`.

    Not guaranteed: only the order of scores of one model means anything. A high density is not
    membership: densities of plain images can exceed those of the data (Nalisnick et al. 2019), and
    r was learned on data and samples alone, so far from both it is an extrapolation: an MNIST model
    told uniform noise from digits by its energy without error, and by r got it the wrong way round.
    Scores use the model's present weights; see `EnergyModel.averaged_weights`.

    Args:
        model: A built EnergyModel.
        images: Floating [n, …], n ≥ 1, inside the sampler's bounds.
        labels: Labels of a conditional model, integers [n] or one-hot rows, or None.
        batch_size: How many images the networks see at once, at least 1; without labels, times the
            number of classes.

    Returns:
        Name -> float32 [n].

    Raises:
        TypeError: The images are not floating.
        ValueError: Shapes or labels do not fit, or a score is not finite.

    Source: Du & Mordatch, "Implicit generation and generalization in energy-based models", 2019
    (energy); Grathwohl et al., "Your classifier is secretly an energy based model", 2020 (gradient
    norm, marginal energy); Yu et al. 2020 (density ratio).
    """
    images = checked_images(model, images)
    labels = checked_labels(model, labels, len(images))
    # A model that was scored before is not traced again.
    program = compiled.program_of(model, "ood_scores", lambda: _compiled_scores(model))

    def of_batch(_, x, own):
        scores = compiled.run_on_batches(program, (tf.constant(x), own))
        return {name: values.numpy() for name, values in scores.items()}

    results = in_batches(
        of_batch,
        images,
        labels,
        batch_size,
    )
    scores = {name: np.concatenate([r[name] for r in results]) for name in results[0]}
    for name, values in scores.items():
        broken = np.flatnonzero(~np.isfinite(values))
        if broken.size:
            raise ValueError(
                f"{name} must be finite; it is {values[broken[0]]} for image {broken[0]}, and not "
                f"finite for {broken.size} of {len(values)}."
            )
    return scores


def _compiled_scores(model):
    """Return (x, labels) -> name -> scores, [n]."""
    return tf.function(lambda x, labels: _scores(model, x, labels), autograph=False)


def _scores(model, x, labels):
    energy, gradient = energies.value_and_gradient(energy_of(model, labels), x)
    axes = list(range(1, x.shape.rank))
    scores = {
        "energy": energy,
        "gradient_norm": tf.sqrt(tf.reduce_sum(tf.square(gradient), axes)),
    }
    if callable(getattr(model, "log_density_ratio", None)):
        scores["negative_log_density_ratio"] = -_log_density_ratio(model, x, labels)
    return scores


def _log_density_ratio(model, x, labels):
    if labels is not None or not model.conditional:
        return model.log_density_ratio(x, labels)
    ratio, energy = (
        for_all_labels(model, function, x) for function in (model.log_density_ratio, model.energy)
    )
    posterior = tf.nn.log_softmax(model._present_log_prior() - energy)
    return tf.reduce_logsumexp(ratio + posterior, axis=1)
