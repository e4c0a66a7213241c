"""Where the time of a compiled function goes, by kind of operation, from TensorFlow's profiler."""

import collections
import glob
import os
import tempfile

__all__ = ["operation_times"]


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
