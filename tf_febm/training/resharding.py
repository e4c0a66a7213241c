"""Replay buffers of a run that goes on with another number of replicas."""

import numpy as np

from tf_febm.renamed import earlier_names

__all__ = ["reshard"]


def reshard(parts: list[list[np.ndarray]], count: int, capacity: int) -> list[list[np.ndarray]]:
    """Deal the chains of some buffers to another number of them.

    The chains, from the newest on, go to the new buffers in turn, so that each gets as many, as old
    and from all of the former ones. What does not fit is the oldest.

    Args:
        parts: The variables of each buffer, as `ReplayBuffer.parts` has them: [labels,] samples,
            written.
        count: How many buffers to fill.
        capacity: Of each of them.

    Returns:
        As `parts`; chains are in order of age from slot 0 on, and the rest is zero.
    """
    rows = []
    for number, (*_, samples, written) in enumerate(parts):
        size = min(int(written), len(samples))
        for age in range(size):
            rows.append((age, number, (int(written) - 1 - age) % len(samples)))
    rows.sort()
    shards = []
    for i in range(count):
        # The oldest first, as if they had just been written.
        own = rows[i::count][:capacity][::-1]
        arrays = []
        for place in range(len(parts[0]) - 1):
            like = parts[0][place]
            array = np.zeros((capacity, *like.shape[1:]), like.dtype)
            for slot, (_, number, row) in enumerate(own):
                array[slot] = parts[number][place][row]
            arrays.append(array)
        shards.append([*arrays, np.asarray(len(own), np.int64)])
    return shards


__getattr__ = earlier_names(
    __name__,
    {
        "deal": "tf_febm.training.resharding:reshard",
    },
)
