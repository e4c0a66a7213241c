"""Convolutions with precomputed operands for their input gradients, or as products of matrices."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments

__all__ = ["Weights", "block_size", "convolve", "gradient_kernel", "input_gradient"]

# Elements of a convolution's matrix: 8 MB in float32. Beyond the cache the product waits for it.
LARGEST = 1 << 21


class Axis(NamedTuple):
    """How one side of an image is convolved, and how its gradient is put together in blocks.

    Output o sees pixel s·o + t − p with tap t < k. Pixel i = B·q + r − l, the r-th of block q, is
    therefore seen by o = b·q + u with tap t = r + p − l − s·u, where B = s·b: the gradient is a
    convolution over u of stride b, with B phases r side by side as channels.

    Attributes:
        size: Pixels n.
        kernel: Taps k.
        stride: s.
        before: p, the zeros before the first pixel.
        outputs: Their number.
        block: B, a multiple of s.
        lead: l, the places in the first block before the first pixel: 0 or p. With p blocks lie as
            the outputs see them, which for k a multiple of s takes no more taps than there are.
    """

    size: int
    kernel: int
    stride: int
    before: int
    outputs: int
    block: int
    lead: int = 0

    @property
    def step(self) -> int:
        """Return b, how many outputs further the next block looks."""
        return self.block // self.stride

    @property
    def offsets(self) -> range:
        """The u of all taps."""
        shift = self.before - self.lead
        first = -((self.kernel - 1 - shift) // self.stride)
        return range(first, (self.block - 1 + shift) // self.stride + 1)

    @property
    def paddings(self) -> list[int]:
        """Zeros to put before and after the outputs, so that there is one window per block."""
        blocks = -(-(self.size + self.lead) // self.block)
        after = self.step * (blocks - 1) + self.offsets[-1] - (self.outputs - 1)
        return [-self.offsets[0], max(after, 0)]

    def taps(self, pixels: int, outputs) -> np.ndarray:
        """Return the tap that joins (output, pixel); k where there is none."""
        first = self.before - self.lead
        t = np.arange(pixels) + first - self.stride * np.asarray(outputs)[:, None]
        return np.where((t >= 0) & (t < self.kernel), t, self.kernel)


class GradientKernel(NamedTuple):
    """What the gradient of a convolution for its input needs, computed from its kernel.

    Attributes:
        kernel: [u, u', out, B²·in].
        rows: How the height is convolved.
        columns: How the width is.
    """

    kernel: tf.Tensor
    rows: Axis
    columns: Axis

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.rows.size, self.columns.size


class ConvolutionMatrix(NamedTuple):
    """A convolution as a linear map from all pixels to all outputs.

    Attributes:
        matrix: [height·width·in, height'·width'·out].
        turned: Its transpose: a product with it is faster than one that transposes.
        size: (height, width) of the images.
        outputs: (height', width', out).
    """

    matrix: tf.Tensor
    turned: tf.Tensor
    size: tuple[int, int]
    outputs: tuple[int, int, int]


class Weights(NamedTuple):
    """A kernel and, inside a chain, what makes it faster.

    Attributes:
        kernel: [height, width, in, out].
        precomputed: A `GradientKernel`, a `ConvolutionMatrix`, or None for TensorFlow's own ways.
    """

    kernel: tf.Tensor
    precomputed: GradientKernel | ConvolutionMatrix | None = None

    def for_chain(self, stride: int, padding: str, size: arguments.Whole) -> "Weights":
        """Return these with what is faster; the arguments are those of `gradient_kernel`."""
        matrix = convolution_matrix(self.kernel, stride, padding, size)
        if matrix is not None:
            return Weights(self.kernel, matrix)
        return Weights(self.kernel, gradient_kernel(self.kernel, stride, padding, size))


def block_size(channels: int, stride: int, kernel_size: int = 3, filters: int = 1) -> int | None:
    """Return the block B in which the gradient is fastest, or None if TensorFlow's own is.

    Found with benchmarks/kernels.py. A convolution computes 8 or 16 channels at once; where an
    image has fewer, blocks of pixels take the place of the rest. With many channels a stride-1
    gradient is the forward convolution with the kernel turned round, B = 1. Blocks for a stride of
    2 multiply by zeros unless the stride divides the kernel; then they are slower than TensorFlow's
    own gradient by a fifth, but for wide layers, where that one takes 2 to 11 times as long.

    Args:
        channels: Of the image.
        stride: Of the convolution.
        kernel_size: Side of its kernel.
        filters: Channels of its output.
    """
    widest = 4 if channels == 1 else 2
    if channels <= 4 and widest % stride == 0:
        return widest
    wide = kernel_size % stride == 0 and channels * kernel_size**2 >= 1024 and filters >= 96
    return stride if stride == 1 or wide else None


def gradient_kernel(
    kernel: arguments.Tensor,
    stride: int,
    padding: str,
    size: arguments.Whole,
    block: arguments.Tensor | None = None,
) -> GradientKernel | None:
    """Return what `convolve` takes to compute its input gradient as a convolution.

    Args:
        kernel: [height, width, in, out].
        stride: Of both directions.
        padding: "SAME" or "VALID".
        size: (height, width) of the images; None where unknown.
        block: B, a multiple of the stride; `block_size` chooses if None.

    Returns:
        A `GradientKernel`, or None where TensorFlow's own gradient is to be used: where the size is
        unknown or `block_size` says so, and on GPUs, which have kernels of their own for it.
    """
    if block is None:
        block = block_size(kernel.shape[2], stride, kernel.shape[0], kernel.shape[3])
    if block is None or None in size or tf.config.list_physical_devices("GPU"):
        return None
    rows, columns = axes = _axes(kernel, stride, padding, size, block, lead=True)
    # [u, r, u', r', in, out] → [u, u', out, r, r', in]
    phases = _gathered(kernel, [axis.taps(block, axis.offsets) for axis in axes])
    phases = tf.transpose(phases, [0, 2, 5, 1, 3, 4])
    shape = [*phases.shape[:3], block * block * kernel.shape[2]]
    return GradientKernel(tf.reshape(phases, shape), rows, columns)


def convolution_matrix(kernel, stride: int, padding: str, size) -> ConvolutionMatrix | None:
    """Return a convolution as a matrix, where that is the faster way.

    The matrix has a place for every pair of a pixel and an output: no more multiplications than a
    convolution of an image with no more pixels than the kernel has taps, and nearer to the
    processor's limit. (4×4 pixels to 2×2, 128 channels: 14 % less time forward, 25 % less back.)

    Args:
        kernel: [height, width, in, out].
        stride: Of both directions.
        padding: "SAME" or "VALID".
        size: (height, width) of the images; None where unknown.

    Returns:
        A `ConvolutionMatrix`, or None: where the image is larger than the kernel or of unknown
        size, the matrix would not fit the cache, or there is a GPU.
    """
    height, width, channels, filters = kernel.shape
    if None in size or math.prod(size) > height * width:
        return None
    axes = _axes(kernel, stride, padding, size, stride, lead=False)
    outputs = (*(axis.outputs for axis in axes), filters)
    rows, columns = math.prod(size) * channels, math.prod(outputs)
    if not columns or rows * columns > LARGEST or tf.config.list_physical_devices("GPU"):
        return None
    # [row', row, column', column, in, out] → [row, column, in, row', column', out]
    pairs = _gathered(kernel, [axis.taps(axis.size, range(axis.outputs)) for axis in axes])
    matrix = tf.reshape(tf.transpose(pairs, [1, 3, 4, 0, 2, 5]), [rows, columns])
    return ConvolutionMatrix(matrix, tf.transpose(matrix), tuple(size), outputs)


def input_gradient(upstream: arguments.Tensor, gradient: GradientKernel) -> tf.Tensor:
    """Return the gradient for the images of a convolution.

    Args:
        upstream: The gradient for its outputs, [n, height', width', out].
        gradient: `gradient_kernel` of its kernel.

    Returns:
        [n, height, width, in].
    """
    rows, columns = gradient.rows, gradient.columns
    paddings = [[0, 0], rows.paddings, columns.paddings, [0, 0]]
    # The name tells a profile which convolutions these are.
    with tf.name_scope("input_gradient"):
        blocks = tf.nn.conv2d(upstream, gradient.kernel, rows.step, paddings)
        if rows.block > 1:
            blocks = tf.nn.depth_to_space(blocks, rows.block)
        if tuple(blocks.shape[1:3]) == gradient.size:
            return blocks
        top, left = rows.lead, columns.lead
        return blocks[:, top : top + rows.size, left : left + columns.size]


def multiply(x, convolution: ConvolutionMatrix) -> tf.Tensor:
    """Convolve images [n, height, width, in] to [n, height', width', out] by a matrix.

    All gradients, and second ones, are right.
    """

    @tf.custom_gradient
    def product(x, matrix, turned):
        def backward(upstream):
            return tf.matmul(upstream, turned), tf.matmul(x, upstream, transpose_a=True), None

        return tf.matmul(x, matrix), backward

    flat = tf.reshape(x, [-1, convolution.matrix.shape[0]])
    y = product(flat, convolution.matrix, convolution.turned)
    return tf.reshape(y, [-1, *convolution.outputs])


def convolve(
    x: arguments.Tensor,
    kernel: arguments.Tensor,
    precomputed: GradientKernel | ConvolutionMatrix | None,
    stride: int,
    padding: str,
    bias: arguments.Tensor | None = None,
) -> tf.Tensor:
    """Convolve images, as `tf.nn.conv2d` does, and add a bias.

    A kernel of another dtype than the images multiplies in its own; what comes out is of theirs.
    Values and gradients are TensorFlow's; with `precomputed`, the gradient for x, and with a matrix
    the values too, are computed another way, and equal TensorFlow's up to rounding. All other
    gradients, and second ones, are right as well.

    Args:
        x: Images [n, height, width, in].
        kernel: [height, width, in, out].
        precomputed: `gradient_kernel` or `convolution_matrix` of the same kernel; None, or one for
            images of another size, leaves all to TensorFlow.
        stride: Of both directions.
        padding: "SAME" or "VALID".
        bias: [out], or None.

    Returns:
        [n, height', width', out].
    """
    if kernel.dtype != x.dtype:
        short = None if bias is None else tf.cast(bias, kernel.dtype)
        given = tf.cast(x, kernel.dtype), kernel, precomputed, stride, padding, short
        return tf.cast(convolve(*given), x.dtype)

    def values(x, kernel, bias):
        y = tf.nn.conv2d(x, kernel, stride, padding)
        return y if bias is None else tf.nn.bias_add(y, bias)

    if precomputed is None or tuple(x.shape[1:3]) != precomputed.size:
        return values(x, kernel, bias)
    if isinstance(precomputed, ConvolutionMatrix):
        y = multiply(x, precomputed)
        return y if bias is None else tf.nn.bias_add(y, bias)

    @tf.custom_gradient
    def convolution(x, kernel, turned, *bias):
        def backward(upstream):
            for_input = input_gradient(upstream, precomputed._replace(kernel=turned))
            # In a compiled chain nobody asks for these, and nothing is left of them.
            for_kernel = tf.raw_ops.Conv2DBackpropFilter(
                input=x,
                filter_sizes=tf.constant(kernel.shape.as_list()),
                out_backprop=upstream,
                strides=[1, stride, stride, 1],
                padding=padding,
            )
            return for_input, for_kernel, None, *(tf.reduce_sum(upstream, [0, 1, 2]) for _ in bias)

        # The bias inside, where TensorFlow fuses it with the convolution.
        return values(x, kernel, *(bias or (None,))), backward

    # An operand of its own, so that second derivatives find their way back to the kernel.
    return convolution(x, kernel, precomputed.kernel, *(() if bias is None else (bias,)))


def _axes(kernel, stride: int, padding: str, size, block: int, lead: bool) -> list[Axis]:
    """Return how both sides are convolved, with blocks that may begin before the first pixel."""
    axes = []
    for n, k in zip(size, kernel.shape[:2], strict=True):
        outputs = (n - k) // stride + 1 if padding == "VALID" else math.ceil(n / stride)
        before = 0 if padding == "VALID" else max((outputs - 1) * stride + k - n, 0) // 2
        whole = Axis(n, k, stride, before, max(outputs, 0), block)
        led = whole._replace(lead=before)
        axes.append(led if lead and len(led.offsets) < len(whole.offsets) else whole)
    return axes


def _gathered(kernel, taps: list[np.ndarray]) -> tf.Tensor:
    """Return a kernel's taps, [*rows, *columns, in, out], zero where the index is past the last."""
    padded = tf.pad(kernel, [[0, 1], [0, 1], [0, 0], [0, 0]])
    return tf.gather(tf.gather(padded, taps[1], axis=1), taps[0], axis=0)
