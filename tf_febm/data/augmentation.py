"""Random mirror images and shifts of 8-bit images, in one gather along each axis."""

import tensorflow as tf

from tf_febm import arguments, randomness

__all__ = ["check_moves", "flip_and_crop"]


def check_moves(sample_shape: arguments.Shape, random_flip: bool, random_crop: int) -> None:
    """Raise a ValueError unless samples of a shape can be mirrored and shifted as asked."""
    shape = tuple(sample_shape)
    if (random_flip or random_crop) and len(shape) != 3:
        raise ValueError(
            "random_flip and random_crop are for images [height, width, channels]; received "
            f"samples of shape {shape}: leave them out."
        )
    if random_crop and random_crop >= min(shape[:2]):
        raise ValueError(
            f"random_crop must be less than the sides of an image, {min(shape[:2])}; received "
            f"{random_crop}."
        )


def flip_and_crop(
    images: tf.Tensor, seed: arguments.Seed, random_flip: bool, random_crop: int
) -> tf.Tensor:
    """Mirror each image left to right or not, and shift it at random.

    A shifted image is the crop, of the size of the image, from the image continued on all sides by
    `random_crop` pixels; the crop's corner is uniform on its (2·random_crop + 1)² places. Beyond
    its edge an image is continued by its mirror image, edge pixel not repeated: black borders, as
    classifiers are trained with, would be learned by a generative model as part of the data.

    Args:
        images: [n, height, width, channels], any dtype; the shape known but for n.
        seed: Integer tensor [2].
        random_flip: Whether to mirror each image with probability 1/2.
        random_crop: Largest shift in pixels, from 0 to min(height, width) − 1.

    Returns:
        A tensor of the shape and dtype of the images. Each pixel of it is one of its own image.
    """
    height, width = images.shape[1:3]
    count = tf.shape(images)[0]
    flip_seed, row_seed, column_seed = tf.unstack(randomness.split(seed, 3))
    columns = _shifted(width, random_crop, count, column_seed)
    if random_flip:
        mirrored = randomness.uniform([count, 1], flip_seed) < 0.5
        columns = tf.where(mirrored, width - 1 - columns, columns)
    if random_crop:
        rows = _shifted(height, random_crop, count, row_seed)
        images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def _shifted(size, largest, count, seed):
    """Return int32 [count, size]: 0 … size − 1 shifted at random, mirrored at both ends."""
    shift = randomness.uniform([count, 1], seed, -largest, largest + 1, tf.int32)
    place = tf.abs(tf.range(size) + shift)
    return tf.where(place < size, place, 2 * (size - 1) - place)
