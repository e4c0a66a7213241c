"""Distance of samples and data, number by number: it falls as a model learns."""

import tensorflow as tf

from tf_febm import arguments
from tf_febm.models.updates import Counted

__all__ = ["sample_distance"]

# Examples, and samples, that are looked at: of 20,000 the distances would take gigabytes.
MOST = 1024


def sample_distance(
    data: arguments.Data,
    samples: arguments.Tensor,
    weights: arguments.Tensor | None = None,
    sample_weights: arguments.Tensor | None = None,
) -> Counted:
    """Estimate the energy distance 2 E‖x − y‖ − E‖x − x′‖ − E‖y − y′‖ of two laws, without bias.

    x, x′ are independent examples and y, y′ independent samples, ‖·‖ is the Euclidean norm. The
    distance is 0 where both have one law, and positive elsewhere; its estimate may be negative.
    Vectors [n, d] are divided by the deviation of each column of these data, where that is not 0.

    Images are compared pixel by pixel: it tells brightness, colours and coarse shapes apart, and
    hardly sharp images from blurred ones. How they look `training.QualityMetrics` measures, in the
    features of a network.

    The name is from statistics: the energy of the model has no part in it. Of more than 1,024
    examples, or samples, the first so many count: time and memory grow with their square.

    Args:
        data: Floating [n, …].
        samples: Floating [m, …], of the same shape behind the first axis.
        weights: What each example counts for, at least 0, [n]; None for equal ones.
        sample_weights: Likewise of the samples, [m].

    Returns:
        The distance, a float32 scalar; it does not count where data or samples are fewer than two.

    Source: Székely & Rizzo 2013, Energy statistics: a class of statistics based on distances.
    """
    data, samples, weights, sample_weights = (
        None if part is None else part[:MOST] for part in (data, samples, weights, sample_weights)
    )
    x, y = tf.cast(data, tf.float32), tf.cast(samples, tf.float32)
    centre = tf.reduce_mean(x, axis=0)
    x, y = x - centre, y - centre
    if x.shape.rank == 2:
        deviation = tf.math.reduce_std(x, axis=0)
        scale = tf.where(deviation > 0.0, deviation, 1.0)
        x, y = x / scale, y / scale
    x, y = (tf.reshape(part, [tf.shape(part)[0], -1]) for part in (x, y))
    v, w = (
        tf.ones([tf.shape(part)[0]]) if given is None else tf.cast(given, tf.float32)
        for part, given in ((x, weights), (y, sample_weights))
    )
    across = _mean(_norms(x, y), v[:, None] * w)
    within = [
        _mean(_norms(part, part), tf.linalg.set_diag(u[:, None] * u, tf.zeros_like(u)))
        for part, u in ((x, v), (y, w))
    ]
    least = tf.minimum(tf.shape(x)[0], tf.shape(y)[0])
    return Counted(2.0 * across - sum(within), tf.cast(least >= 2, tf.float32))


def _norms(x, y) -> tf.Tensor:
    """Return ‖xᵢ − yⱼ‖, [n, m]."""
    squares = [tf.reduce_sum(tf.square(part), axis=1) for part in (x, y)]
    products = tf.matmul(x, y, transpose_b=True)
    return tf.sqrt(tf.maximum(squares[0][:, None] + squares[1] - 2.0 * products, 0.0))


def _mean(values, weights) -> tf.Tensor:
    return tf.math.divide_no_nan(tf.reduce_sum(weights * values), tf.reduce_sum(weights))
