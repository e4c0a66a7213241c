"""Draw where the time of a Langevin step goes: docs/profile.png."""

import argparse
import collections
import glob
import os
import tempfile
from pathlib import Path

import timing

GROUPS = {
    "convolution, forward": ("Conv2D", "FusedConv2D"),
    "convolution, gradient": ("Conv2DBackpropInput", "DepthToSpace"),
    "activations": ("Sigmoid", "Swish", "LeakyRelu", "LeakyReluGrad", "Relu", "ReluGrad"),
    "sums and products of maps": ("Mul", "Sub", "AddV2", "AddN", "BiasAdd"),
    "pooling": ("AvgPool", "AvgPoolGrad"),
    "noise": ("StatelessRandomNormalV2",),
}


def operation_times(run, calls: int = 3) -> dict[str, float]:
    """Return the milliseconds per call that each type of operation takes, the longest first.

    Times of all threads are added up, so that they may exceed the time on the clock. An operation
    that shares its work out to other threads counts on its own thread alone, for as long as it
    waits for them.

    Args:
        run: Function without arguments.
        calls: How often to call it while the profiler runs, after one call without.
    """
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    run()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(calls):
            run()
        tf.profiler.experimental.stop()
        (path,) = glob.glob(os.path.join(folder, "**", "*.xplane.pb"), recursive=True)
        space = xplane_pb2.XSpace()
        with open(path, "rb") as file:
            space.ParseFromString(file.read())
    totals = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                metadata = plane.event_metadata[event.metadata_id]
                # Operations are written "name:Type"; a C++ scope holds "::", a loop its body.
                name, _, kind = metadata.name.rpartition(":")
                if name and not name.endswith(":") and kind.isidentifier():
                    if "input_gradient" in name and "Conv2D" in kind:
                        # A forward operation, in `networks.convolution`, that computes a gradient.
                        kind = "Conv2DBackpropInput"
                    totals[kind] += event.duration_ps / 1e9 / calls
    loops = ("While", "StatelessWhile", "PartitionedCall", "StatefulPartitionedCall")
    return {k: v for k, v in totals.most_common() if k not in loops}


def grouped(times: dict[str, float]) -> dict[str, float]:
    """Return the times of operations in groups, in the order of GROUPS, and all else."""
    found = dict.fromkeys([*GROUPS, "all else"], 0.0)
    for kind, milliseconds in times.items():
        kind = kind.removeprefix("_").removeprefix("Mkl").removeprefix("Native")
        group = next((g for g, kinds in GROUPS.items() if kind in kinds), "all else")
        found[group] += milliseconds
    return found


def steps(quick: bool) -> dict:
    """Return name -> (network, batch) of the steps that are drawn."""
    import residual
    import small_images

    own = small_images.build()
    made = {
        "28×28, layers of Keras": (small_images.of_keras(own), (128, 28, 28, 1)),
        "28×28, this library's": (own, (128, 28, 28, 1)),
    }
    for filters in () if quick else (32, 64, 128):
        shape = (residual.BATCHES[filters], 32, 32, 3)
        made[f"resnet32, {filters} filters"] = (residual.build(filters), shape)
    return made


def draw(found: dict[str, dict[str, float]], path: str) -> None:
    """Draw the shares of groups of operations, one bar for each of several steps.

    Args:
        found: Name of the step -> group -> milliseconds.
        path: Where to write the picture.
    """
    import numpy as np

    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    totals = np.array([sum(times.values()) for times in found.values()])
    names = [
        f"{name}\n{total:.1f} ms of operations a step"
        for name, total in zip(found, totals, strict=True)
    ]
    drawn = charts.figure(9.0, 1.8 + 0.7 * len(found))
    axes = drawn.add_subplot()
    charts.style(axes, x_label="share of the time in operations")
    left = np.zeros(len(found))
    for group in [*GROUPS, "all else"]:
        widths = np.array([times[group] for times in found.values()]) / totals
        axes.barh(names, widths, left=left, label=group)
        left += widths
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    evaluation.save_png(path, charts.pixels(drawn))


def main() -> None:
    """Profile chains of ten steps and draw shares of the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    docs = Path(__file__).resolve().parents[1] / "docs"
    parser.add_argument("--out", default=str(docs / "profile.png"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    timing.import_quietly(given.threads, torch_too=False)
    import tensorflow as tf

    import tf_febm

    sampler, count = tf_febm.samplers.Langevin(num_steps=10), 10
    found = {}
    for name, (network, shape) in steps(given.quick).items():

        @tf.function(autograph=False)
        def run(x, network=network):
            with tf_febm.networks.cached_weights(network):
                return sampler(network, x, seed=(1, 2))

        x = tf.random.stateless_uniform(shape, (0, 1))
        times = grouped(operation_times(lambda x=x, run=run: run(x)))
        found[name] = {group: milliseconds / count for group, milliseconds in times.items()}
        print(name, {group: round(ms, 3) for group, ms in found[name].items()}, flush=True)
    draw(found, given.out)


if __name__ == "__main__":
    main()
