"""What several processes settle together, with the single one of a test; see also tests/launch."""

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import workers

ALONE = tf.distribute.get_strategy()


def test_alone_nothing_is_asked():
    assert workers.worker_count(ALONE) == 1 and workers.worker_number(ALONE) == 0
    assert workers.is_chief(ALONE) and not workers.spans_workers(ALONE)
    np.testing.assert_array_equal(workers.worker_values(ALONE, [1.5, -2.0]), [[1.5, -2.0]])
    assert workers.any_worker(ALONE, True) and not workers.any_worker(ALONE, False)
    workers.check_same(ALONE, "Flags", "a")


@pytest.mark.parametrize("number", [0, 1, 2**24 - 1, 2**24, 2**24 + 1, 2**48 - 1])
def test_whole_numbers_arrive_exactly(number):
    """They travel as two float32 numbers, which are exact up to 2^24 each."""
    assert workers.from_first(ALONE, number) == number


def test_an_error_is_ones_own():
    def fail():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        workers.run_on_all(ALONE, fail)
    assert workers.run_on_all(ALONE, lambda: 7) == 7


class Others:
    """Stand-ins for what other workers say; the strategy itself is left out."""

    def __init__(self, monkeypatch, *rows):
        self.rows = rows
        monkeypatch.setattr(workers, "spans_workers", lambda strategy=None: True)
        monkeypatch.setattr(workers, "worker_values", self.values)

    def values(self, strategy, own):
        mine = np.asarray(own, np.float32)
        return np.stack(
            [mine, *(np.broadcast_to(np.float32(row), mine.shape) for row in self.rows)]
        )


def test_others_that_cannot_go_on_are_named(monkeypatch):
    Others(monkeypatch, 0.0, 1.0, 1.0)
    with pytest.raises(workers.OtherWorkerError, match="Worker 2, 3 cannot go on"):
        workers.run_on_all(ALONE, lambda: 7)


def test_ones_own_error_comes_first(monkeypatch):
    Others(monkeypatch, 1.0)

    def fail():
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        workers.run_on_all(ALONE, fail)


def test_texts_that_differ_are_noticed(monkeypatch):
    Others(monkeypatch, 1.0)
    with pytest.raises(ValueError, match="Flags must be the same on all workers; worker 1"):
        workers.check_same(ALONE, "Flags", "a")


def test_numbers_are_added_by_one_replica_of_each_worker():
    """Two replicas of one process count as one worker, NaN of it included."""
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("needs two logical CPUs, asked for before TensorFlow started")
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    rows = workers._sum_function(strategy)(tf.constant([[1.0, np.nan], [0.0, 3.0]]))
    np.testing.assert_array_equal(rows.numpy(), [[1.0, np.nan], [0.0, 3.0]])


def test_whoever_leaves_last_needs_no_answer(monkeypatch):
    """The first that is through ends its process, maybe before the others have its answer."""

    def gone(strategy, own):
        raise workers.lost(tf.errors.UnavailableError(None, None, "Socket closed"))

    monkeypatch.setattr(workers, "worker_values", gone)
    workers.barrier(ALONE, last=True)
    with pytest.raises(workers.OtherWorkerError, match="Socket closed"):
        workers.barrier(ALONE)


def test_a_lost_worker_is_explained_by_what_happened_to_it():
    """Not by the place in the source where the graph was made, which TensorFlow tells as well."""
    message = """Collective ops is aborted by:
Detected at node 'x' defined at (most recent call last):
  File "/x/tf_febm/workers.py", line 174, in run_on_all
Connection reset by peer: /job:worker/task:1"""
    said = str(workers.lost(tf.errors.UnavailableError(None, None, message)))
    assert "(Connection reset by peer" in said and "workers.py" not in said
    assert "UnavailableError" in str(workers.lost(tf.errors.UnavailableError(None, None, "")))
