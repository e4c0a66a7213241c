"""(roofline) What this machine can do at most: products in float32 and bfloat16, bytes a second.

A step of a chain can take no less time than its multiplications at the rate of a large product of
matrices, nor than its bytes at the rate of memory. Beside them the convolutions that networks here
are made of, and an activation, which does little with many bytes.
"""

import statistics

import timing

# batch, side, channels: 3×3, stride 1, as many filters.
CONVOLUTIONS = [(32, 32, 32), (16, 32, 64), (8, 32, 128), (64, 8, 128)]
DTYPES = ("float32", "bfloat16")


def products(size: int) -> dict:
    """Return name -> function that multiplies two large matrices, in TensorFlow and PyTorch."""
    import tensorflow as tf
    import torch

    found = {}
    for dtype in DTYPES:
        a = tf.cast(tf.random.stateless_normal((size, size), (0, 1)), dtype)
        multiply = tf.function(tf.matmul, autograph=False)
        b = torch.randn(size, size).to(getattr(torch, dtype))
        found[f"product in TensorFlow, {dtype}"] = lambda a=a, multiply=multiply: multiply(a, a)
        found[f"product in PyTorch, {dtype}"] = lambda b=b: b @ b
    return found


def convolutions(batch: int, side: int, channels: int) -> dict:
    """Return dtype -> function that convolves images with as many filters, 3×3."""
    import tensorflow as tf

    found = {}
    for dtype in DTYPES:
        x = tf.cast(tf.random.stateless_normal([batch, side, side, channels], (0, 1)), dtype)
        kernel = tf.cast(tf.random.stateless_normal([3, 3, channels, channels], (0, 2)), dtype)
        run = tf.function(lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"), autograph=False)
        found[dtype] = lambda run=run, x=x, kernel=kernel: run(x, kernel)
    return found


def passes(elements: int) -> dict:
    """Return name -> (function that goes over an array larger than any cache, bytes it moves)."""
    import tensorflow as tf

    from tf_febm.networks import activations

    x = tf.ones([elements], tf.float32)
    double = tf.function(lambda x: x + x, autograph=False)
    swish = tf.function(activations.swish, autograph=False)
    cast = tf.function(lambda x: tf.cast(x, tf.bfloat16), autograph=False)
    return {
        "x + x": (lambda: double(x), 8 * elements),
        "swish, forward": (lambda: swish(x), 8 * elements),
        "float32 to bfloat16": (lambda: cast(x), 6 * elements),
    }


def main() -> None:
    """Time the sides in turns."""
    given = timing.arguments(__doc__)
    timing.import_quietly(given.threads)
    report = timing.Report("(roofline) what this machine can do at most")
    size = 256 if given.quick else 2048
    times = timing.interleaved(products(size), given.rounds, seconds=0.2)
    fastest = {}
    for name, taken in times.items():
        speed = 2.0 * size**3 / statistics.median(taken) / 1e9
        report.row(name, taken, extra=f"{speed:.0f} GFLOP/s")
        dtype = name.rpartition(" ")[2]
        fastest[dtype] = min(fastest.get(dtype, taken), taken, key=statistics.median)
    report.ratio("products: float32 / bfloat16", fastest["float32"], fastest["bfloat16"])
    shapes = [(2, 8, 8)] if given.quick else CONVOLUTIONS
    for batch, side, channels in shapes:
        work = 2.0 * batch * side**2 * 9 * channels**2
        times = timing.interleaved(convolutions(batch, side, channels), given.rounds, seconds=0.2)
        name = f"3×3, {channels} channels, {side}×{side} pixels, batch {batch}"
        for dtype, taken in times.items():
            speed = work / statistics.median(taken) / 1e9
            report.row(f"{name}, {dtype}", taken, extra=f"{speed:.0f} GFLOP/s")
        report.ratio(f"{name}: float32 / bfloat16", times["float32"], times["bfloat16"])
    found = passes(1 << (12 if given.quick else 27))
    times = timing.interleaved(
        {name: run for name, (run, _) in found.items()}, given.rounds, seconds=0.2
    )
    for name, taken in times.items():
        speed = found[name][1] / statistics.median(taken) / 1e9
        report.row(name, taken, extra=f"{speed:.0f} GB/s")
    report.write(given.json)


if __name__ == "__main__":
    main()
