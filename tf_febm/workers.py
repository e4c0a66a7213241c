"""Several processes that train one model: the chief, and decisions that all share.

A worker that goes on where another stops leaves both waiting, or their states different. So what
depends on one machine, its files and signals above all, is settled together. Every function here
that talks to the others has to be called by all of them; with a single process none does anything.
"""

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_febm import arguments
from tf_febm.renamed import earlier_names

__all__ = [
    "LOST",
    "OtherWorkerError",
    "any_worker",
    "barrier",
    "check_same",
    "from_first",
    "is_chief",
    "lost",
    "spans_workers",
    "run_on_all",
    "worker_count",
    "worker_number",
    "worker_values",
]

# Whole numbers up to 2^24 are exact in float32, in which the workers talk.
_EXACT = 1 << 24


# What TensorFlow raises when another process is gone.
LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


class OtherWorkerError(OSError):
    """Another worker cannot go on, so this one cannot either."""


@arguments.checked
def lost(error: Exception) -> OtherWorkerError:
    """Return the error for people of one that TensorFlow raised, one of `LOST`."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    # Not the traceback of where the graph was made, in which this file stands.
    said = [line for line in lines if not line.lstrip().startswith("File ")]
    reason = next((line for line in said if "worker" in line or "Connection" in line), lines[0])
    return OtherWorkerError(
        f"Another worker was lost, so this one stops ({reason.strip()[:200]}). Start all of them "
        "again: they go on from the last checkpoint."
    )


@arguments.checked
def spans_workers(strategy: arguments.Strategy | None = None) -> bool:
    """Whether a strategy, the present one if None, runs in more than one process."""
    strategy = tf.distribute.get_strategy() if strategy is None else strategy
    resolver = strategy.cluster_resolver
    return (
        isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        and resolver is not None
        and len(resolver.cluster_spec().as_dict().get("worker", ())) > 1
    )


@arguments.checked
def is_chief(strategy: arguments.Strategy | None = None) -> bool:
    """Whether this process is the one that writes: the first worker, or the only process."""
    return worker_number(strategy) == 0


@arguments.checked
def worker_number(strategy: arguments.Strategy | None = None) -> int:
    """Return the number of this process among the workers, from 0."""
    strategy = tf.distribute.get_strategy() if strategy is None else strategy
    return strategy.cluster_resolver.task_id if spans_workers(strategy) else 0


@arguments.checked
def worker_count(strategy: arguments.Strategy | None) -> int:
    """Return the number of processes that a strategy runs in."""
    if not spans_workers(strategy):
        return 1
    return len(strategy.cluster_resolver.cluster_spec().as_dict()["worker"])


@arguments.checked
def worker_values(strategy: arguments.Strategy | None, values: list[float]) -> np.ndarray:
    """Return the numbers of every worker.

    Args:
        strategy: As `parallel.make_strategy` returned it.
        values: Of this worker; as many on each.

    Returns:
        Float32 [workers, len(values)].

    Raises:
        OtherWorkerError: Another worker is gone.
    """
    own = np.asarray(values, np.float32)
    if not spans_workers(strategy):
        return own[None]
    rows = np.zeros((worker_count(strategy), len(own)), np.float32)
    rows[worker_number(strategy)] = own
    try:
        return _sum_function(strategy)(tf.constant(rows)).numpy()
    except LOST as error:
        raise lost(error) from error


@functools.cache
def _sum_function(strategy):
    """Return the compiled sum over workers: run eagerly, TensorFlow warns on the console."""
    # A worker's replicas all hold what it says: one of them says it.
    local_replicas = len(strategy.extended.worker_devices)

    def once(rows):
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        first = tf.equal(number % local_replicas, 0)
        # Not a product: NaN is among the things that have to be told.
        return tf.where(first, rows, tf.zeros_like(rows))

    @tf.function(autograph=False)
    def add(rows):
        return strategy.reduce("SUM", strategy.run(once, (rows,)), axis=None)

    return add


@arguments.checked
def any_worker(strategy: arguments.Strategy | None, value: bool) -> bool:
    """Return whether a value is true on any worker."""
    return bool(worker_values(strategy, [float(value)]).any())


@arguments.checked
def barrier(strategy: arguments.Strategy | None, last: bool = False) -> None:
    """Wait until every worker is here.

    Args:
        strategy: As `parallel.make_strategy` returned it.
        last: Whether nobody has anything to do afterwards. The first that is through may then be
            gone before its answer has reached the others, which for them is no error.

    Raises:
        OtherWorkerError: Another worker is gone, unless this is the last time.
    """
    try:
        worker_values(strategy, [1.0])
    except OtherWorkerError:
        if not last:
            raise


@arguments.checked
def from_first(strategy: arguments.Strategy | None, number: int) -> int:
    """Return the first worker's number, whatever the others have.

    Args:
        strategy: As `parallel.make_strategy` returned it.
        number: A whole number, 0 to 2^48 − 1.
    """
    high, low = worker_values(strategy, [number // _EXACT, number % _EXACT])[0]
    return int(high) * _EXACT + int(low)


@arguments.checked
def run_on_all(strategy: arguments.Strategy | None, action: Callable) -> Any:
    """Do something on every worker, and fail on all if it fails on one.

    Args:
        strategy: As `parallel.make_strategy` returned it.
        action: () -> anything. It must not talk to the other workers itself.

    Returns:
        What the action returned here.

    Raises:
        OtherWorkerError: It failed on others only. Where it failed, its own error is raised.
    """
    result, error = None, None
    try:
        result = action()
    except Exception as caught:
        if not spans_workers(strategy):
            raise
        error = caught
    failed = np.flatnonzero(worker_values(strategy, [float(error is not None)])[:, 0])
    if error is not None:
        raise error
    if len(failed):
        names = ", ".join(map(str, failed))
        raise OtherWorkerError(f"Worker {names} cannot go on, and says why; so this one stops.")
    return result


@arguments.checked
def check_same(strategy: arguments.Strategy | None, what: str, text: str) -> None:
    """Raise an error on all workers unless each has the same text.

    Args:
        strategy: As `parallel.make_strategy` returned it.
        what: What the text is, for the message.
        text: Anything.

    Raises:
        ValueError: It differs; the message names the workers that differ from the first.
    """
    digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint16)
    rows = worker_values(strategy, [float(part) for part in digest])
    differing = np.flatnonzero((rows != rows[0]).any(axis=1))
    if len(differing):
        names = ", ".join(map(str, differing))
        raise ValueError(f"{what} must be the same on all workers; worker {names} has others.")


__getattr__ = earlier_names(__name__, {"together": "tf_febm.workers:run_on_all"})
