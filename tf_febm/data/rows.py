"""Examples that stay where they are: blocks read when they are due, shuffled through a buffer."""

import contextvars
import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from tf_febm import arguments

__all__ = ["Block", "Rows", "block_edges", "joined"]

# What of a split is held in memory all the same, for what needs examples at hand: the fit of a
# reference, classifiers, figures. Runs of rows, evenly spread.
SAMPLED, SAMPLED_BYTES, _RUNS = 10_000, 128 << 20, 16
# What the random numbers are for; as `pixels.ORDER`, which needs TensorFlow.
_ORDER = 1
# Blocks that a buffer holds together, where the files let them be of any size.
_BLOCKS = 8


class Block(NamedTuple):
    """Consecutive examples.

    Attributes:
        examples: uint8 `[n, height, width, channels]` or float32 `[n, d]`.
        labels: int32 `[n]`, or None.
    """

    examples: np.ndarray
    labels: np.ndarray | None


@arguments.checked
@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Name the examples of a split that are not in memory.

    The order of an epoch is a function of (seed, epoch) alone: its blocks are permuted; as many of
    them as have `buffer` rows or more together are read into the buffer, and all rows in it are
    permuted before the first leaves. Every epoch has each row once. A row moves at most one buffer
    away from the rows of its block, so files whose rows are sorted want a large one; blocks of
    files with `buffer` rows or more are all permuted, as they are in memory.

    Args:
        edges: Row numbers at which blocks begin, 0 first, and the number of all rows, last.
        read: (start, stop) of a part of one block to the `Block`. Called from other threads.
        buffer: Rows that are shuffled together, at least 1.

    Raises:
        ValueError: The edges do not ascend from 0, or the buffer holds nothing.
    """

    edges: tuple[int, ...]
    read: Callable[[int, int], Block]
    buffer: int
    # Limits that hold where the files were named hold where they are read.
    _context: contextvars.Context = dataclasses.field(
        default_factory=contextvars.copy_context, init=False, repr=False
    )

    def __post_init__(self):
        arguments.whole_number("buffer", self.buffer, 1)
        edges = tuple(arguments.whole_number("edges", edge) for edge in self.edges)
        if len(edges) < 2 or edges[0] != 0 or (np.diff(edges) <= 0).any():
            raise ValueError(
                f"edges must ascend from 0 to the number of rows; received {self.edges!r:.100}."
            )
        object.__setattr__(self, "edges", edges)

    def __len__(self) -> int:
        return self.edges[-1]

    def block(self, start: int, stop: int) -> Block:
        """Return rows of one block."""
        return self._context.copy().run(self.read, start, stop)

    def mapped(self, function: Callable[[np.ndarray], np.ndarray]) -> "Rows":
        """Return the same rows with a function of examples `[n, …]` applied to every block."""

        def read(start, stop):
            block = self.block(start, stop)
            return block._replace(examples=function(block.examples))

        return dataclasses.replace(self, read=read)

    def blocks(self) -> Iterator[Block]:
        """Yield all blocks in the order of the files."""
        for start, stop in zip(self.edges[:-1], self.edges[1:], strict=True):
            yield self.block(start, stop)

    def sample(self) -> Block:
        """Return a bounded number of rows, the same ones always: runs spread over all blocks."""
        count = len(self.edges) - 1
        first = self.block(0, 1)
        most = min(SAMPLED, max(1, SAMPLED_BYTES // max(first.examples.nbytes, 1)), len(self))
        some = np.unique(np.linspace(0, count - 1, min(_RUNS, count)).astype(int)).tolist()
        chosen = range(count) if most == len(self) else some
        each = -(-most // len(some))
        begins = ((self.edges[k], self.edges[k + 1]) for k in chosen)
        if most == len(self):
            return joined([self.block(start, stop) for start, stop in begins])
        return joined([self.block(start, min(stop, start + each)) for start, stop in begins])

    def windows(self, seed: int, position: int) -> Iterator[Block]:
        """Yield what leaves the buffer, without end, from a position of the row of epochs on.

        Nothing before the buffer that holds the position is read.
        """
        epoch, offset = divmod(position, len(self))
        while True:
            order = _permutation(len(self.edges) - 1, (seed, _ORDER, epoch, 0))
            begin = 0
            for number, group in enumerate(self._groups(order), 1):
                size = sum(self.edges[k + 1] - self.edges[k] for k in group)
                if begin + size > offset:
                    rows = _permutation(size, (seed, _ORDER, epoch, number))
                    # Nothing here holds on to it while it is used.
                    yield self._permuted(group, rows[max(0, offset - begin) :], size)
                begin += size
            epoch, offset = epoch + 1, 0

    def _permuted(self, group: list[int], rows: np.ndarray, size: int) -> Block:
        """Return rows of some blocks taken as one; a block at a time is in memory besides."""
        place, begin = np.full(size, -1), 0
        place[rows] = np.arange(len(rows))
        examples = labels = None
        for k in group:
            part = self.block(self.edges[k], self.edges[k + 1])
            to = place[begin : begin + len(part.examples)]
            begin, kept = begin + len(to), to >= 0
            if examples is None:
                examples = np.empty((len(rows), *part.examples.shape[1:]), part.examples.dtype)
                labels = None if part.labels is None else np.empty(len(rows), part.labels.dtype)
            examples[to[kept]] = part.examples[kept]
            if labels is not None:
                labels[to[kept]] = part.labels[kept]
        return Block(examples, labels)

    def _groups(self, order) -> Iterator[list[int]]:
        """Yield the blocks that are in the buffer together."""
        group, size = [], 0
        for k in order.tolist():
            group.append(k)
            size += self.edges[k + 1] - self.edges[k]
            if size >= self.buffer:
                yield group
                group, size = [], 0
        if group:
            yield group


def block_edges(count: int, buffer: int) -> tuple[int, ...]:
    """Return edges of blocks, for `Rows`, of which a buffer holds eight."""
    size = max(1, arguments.whole_number("shuffle_buffer", buffer, 1) // _BLOCKS)
    return (*range(0, count, size), count)


def joined(parts: list[Block]) -> Block:
    """Return several blocks as one."""
    if len(parts) == 1:
        return parts[0]
    labels = None if parts[0].labels is None else np.concatenate([part.labels for part in parts])
    return Block(np.concatenate([part.examples for part in parts]), labels)


def _permutation(count: int, key: tuple[int, ...]) -> np.ndarray:
    # By the raw numbers of a generator, which NumPy promises to keep; of `permutation` it does not.
    # Ties of 64 bits are as good as none.
    return np.argsort(
        np.random.Philox(np.random.SeedSequence(key)).random_raw(count), kind="stable"
    )
