"""Which way of computing a convolution's input gradient is the fastest, shape by shape.

For the layers of resnet32 and of networks for 28×28 images: the forward convolution, TensorFlow's
own gradient for the input, and that of `networks.convolution` in blocks of several sizes; the block
that the library chooses is marked. Space-to-depth before a forward convolution of few channels is
timed as well, and is used nowhere: it was slower wherever it was tried.
"""

import statistics

import timing

# batch, side, channels, filters, kernel, stride
RESNET = [
    shape
    for filters, batch in ((128, 8), (64, 16), (32, 32))
    for shape in (
        (batch, 32, 3, filters, 3, 1),
        (batch, 32, filters, filters, 3, 1),
        (batch, 16, filters, filters, 3, 1),
        (batch, 16, filters, 2 * filters, 3, 1),
        (batch, 16, 2 * filters, 2 * filters, 3, 1),
        (batch, 8, 2 * filters, 2 * filters, 3, 1),
        (batch, 4, 2 * filters, 2 * filters, 3, 1),
    )
]
SMALL = [
    (128, 28, 1, 32, 5, 2),
    (128, 28, 1, 32, 4, 2),
    (128, 28, 1, 32, 3, 2),
    (128, 28, 1, 64, 3, 1),
    (128, 14, 32, 64, 4, 2),
    (128, 7, 64, 128, 3, 2),
    (128, 4, 128, 128, 4, 2),
    (64, 8, 64, 128, 4, 2),
    (64, 16, 64, 128, 4, 2),
    (128, 28, 64, 64, 4, 2),
]


def sides(batch, side, channels, filters, size, stride) -> dict:
    """Return name -> function that computes one convolution or gradient."""
    import tensorflow as tf

    from tf_febm.networks import convolution

    x = tf.random.stateless_normal([batch, side, side, channels], (0, 1))
    kernel = tf.random.stateless_normal([size, size, channels, filters], (0, 2))
    upstream = tf.nn.conv2d(x, kernel, stride, "SAME")

    def compiled(function, *operands):
        function = tf.function(function, autograph=False)
        return lambda: function(*operands)

    def tensorflows(upstream, kernel):
        return tf.nn.conv2d_transpose(upstream, kernel, x.shape, stride, "SAME")

    found = {
        "forward": compiled(lambda x, w: tf.nn.conv2d(x, w, stride, "SAME"), x, kernel),
        "TensorFlow's gradient": compiled(tensorflows, upstream, kernel),
    }
    chosen = convolution.block_size(channels, stride, size, filters)
    blocks = (1, 2, 4) if channels <= 4 else (stride,)
    for block in (b for b in blocks if b % stride == 0):
        prepared = convolution.gradient_kernel(kernel, stride, "SAME", (side, side), block)

        name = f"blocks of {block}" + (" (chosen)" if block == chosen else "")
        found[name] = compiled(_in_blocks(prepared), upstream, prepared.kernel)
    if stride > 1 and channels <= 4:
        found["space to depth, forward"] = compiled(*_space_to_depth(x, filters, size, stride))
    return found


def _in_blocks(prepared):
    """Return the gradient as a function of two tensors alone; any other argument costs time."""
    from tf_febm.networks import convolution

    return lambda upstream, turned: convolution.input_gradient(
        upstream, prepared._replace(kernel=turned)
    )


def _space_to_depth(x, filters: int, size: int, stride: int):
    """Return a function that convolves blocks of pixels as channels, and its operands."""
    import tensorflow as tf

    taps, outputs = -(-size // stride), -(-x.shape[1] // stride)
    before = max((outputs - 1) * stride + size - x.shape[1], 0) // 2
    after = (outputs + taps - 1) * stride - before - x.shape[1]
    channels = x.shape[3] * stride**2
    kernel = tf.random.stateless_normal([taps, taps, channels, filters], (0, 3))

    def run(x, kernel):
        x = tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]])
        return tf.nn.conv2d(tf.nn.space_to_depth(x, stride), kernel, 1, "VALID")

    return run, x, kernel


def main() -> None:
    """Time the ways in turns, for each shape."""
    given = timing.arguments(__doc__)
    timing.import_quietly(given.threads, torch_too=False)
    report = timing.Report("Convolutions and their gradients for the input")
    shapes = [(2, 8, 1, 4, 3, 2), (2, 8, 3, 4, 3, 1)] if given.quick else RESNET + SMALL
    for shape in shapes:
        batch, side, channels, filters, size, stride = shape
        outputs = -(-side // stride)
        work = 2.0 * batch * outputs**2 * channels * filters * size**2
        what = f"{batch}×{side}×{side}, {channels}→{filters}, {size}×{size}/{stride}"
        times = timing.interleaved(sides(*shape), given.rounds, seconds=0.05)
        for name, taken in times.items():
            speed = work / statistics.median(taken) / 1e9
            report.row(f"{what}: {name}", taken, extra=f"{speed:.0f} GFLOP/s")
        for name in times:
            if name.endswith("(chosen)"):
                report.ratio(f"{what}: gain", times["TensorFlow's gradient"], times[name])
    report.write(given.json)


if __name__ == "__main__":
    main()
