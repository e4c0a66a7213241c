"""Chains distributed to another number of replay buffers."""

import numpy as np
import pytest

from tf_febm.training.resharding import reshard


def part(values, capacity, written=None):
    """Return the variables of a buffer that holds values written in order, oldest first."""
    samples, labels = np.zeros((capacity, 1), np.uint8), np.zeros(capacity, np.int32)
    written = len(values) if written is None else written
    for age, value in enumerate(reversed(values)):
        slot = (written - 1 - age) % capacity
        samples[slot], labels[slot] = value, 10 * value
    return [labels, samples, np.asarray(written, np.int64)]


def contents(array):
    return array[:, 0].tolist()


def test_two_become_one():
    """Newest first, in turn: 4, 14, 3, 13, 2; the oldest, 12, 1 and 11, have no room."""
    ((labels, samples, written),) = reshard(
        [part([1, 2, 3, 4], 4), part([11, 12, 13, 14], 4)], 1, 5
    )
    assert contents(samples) == [2, 13, 3, 14, 4] and written == 5
    assert labels.tolist() == [20, 130, 30, 140, 40] and labels.dtype == np.int32


def test_one_becomes_two_and_a_ring_is_followed_round():
    """Five were written to four slots: 5 took the place of 1."""
    first, second = reshard([part([2, 3, 4, 5], 4, written=5)], 2, 4)
    assert contents(first[1]) == [3, 5, 0, 0] and first[2] == 2
    assert contents(second[1]) == [2, 4, 0, 0] and second[2] == 2


@pytest.mark.parametrize("count", [1, 3])
def test_empty_buffers_stay_empty(count):
    for labels, samples, written in reshard([part([], 4), part([], 4)], count, 4):
        assert written == 0 and not samples.any() and not labels.any()


@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1), (3, 2), (2, 3)])
def test_nothing_is_lost_while_there_is_room(before, after):
    parts = [part(list(range(1 + 5 * i, 6 + 5 * i)), 8) for i in range(before)]
    shards = reshard(parts, after, 40)
    found = sorted(v for _, samples, n in shards for v in contents(samples)[: int(n)])
    assert found == list(range(1, 1 + 5 * before))
    sizes = [int(written) for *_, written in shards]
    assert max(sizes) - min(sizes) <= 1
