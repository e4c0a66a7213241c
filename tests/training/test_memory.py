"""What a training keeps of its intervals: nothing that grows with them."""

import ctypes
import gc
import sys

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import training
from tf_febm.training import numerical_checks as checks


class _Heap(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    ]


def in_use() -> int:
    """Return the bytes that malloc has given away, and those of Python's small objects, roughly."""
    gc.collect()
    heap = ctypes.CDLL(None).mallinfo2
    heap.restype = _Heap
    found = heap()
    return found.uordblks + found.hblkhd + 40 * sys.getallocatedblocks()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc 2.33")
def test_a_training_keeps_nothing_of_its_intervals(make, images, tmp_path):
    """TensorFlow kept 575 bytes of each metric, Keras and the guard its value; 8,300 in all."""
    found = {}

    class Watch(training.GracefulStop):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            if epoch in (20, 120):
                found[epoch] = in_use()

    model = make()
    model.build((None, *images.shape[1:]))
    folder = training.RunFolder(tmp_path)
    folder.path.mkdir(exist_ok=True)
    checkpoints = training.Checkpoints(folder.checkpoints, model)
    stream = tf.data.Dataset.from_tensors(images[:8]).repeat()
    training.train(
        model, lambda step: stream, folder, checkpoints, total_steps=122, log_interval=1,
        sample_interval=10**6, save_interval=10**6, stop=Watch(),
        guard=training.DivergenceGuard(checkpoints),
    )  # fmt: skip
    assert (found[120] - found[20]) / 100 < 2000


def test_figures_of_the_last_intervals():
    past = checks.Past(3)
    assert not past and list(past) == []
    rows = [{"step": 1, "a": 1.0}, {"step": 2, "a": np.nan, "b": 2.0}]
    rows += [{"step": 3}, {"step": 4, "b": 4.0}]
    for count, row in enumerate(rows, 1):
        past.append(row)
        np.testing.assert_equal(list(past), rows[:count][-3:])
        np.testing.assert_equal(list(reversed(past)), rows[:count][-3:][::-1])
    np.testing.assert_equal((past[-1], past[0]), (rows[3], rows[1]))
    assert type(past[0]["step"]) is int
    with pytest.raises(IndexError):
        past[3]
