"""Data that are not in memory: their order, where it goes on, and how much of them is held."""

import itertools
import tracemalloc

import numpy as np
import pytest

from tf_febm import data, recipes
from tf_febm.data.rows import block_edges


class Source:
    """Images whose pixels say the row number, as labels do; notes what is read."""

    def __init__(self, count, buffer, edges=None):
        rows = np.arange(count)
        self.images = np.broadcast_to(rows.reshape(-1, 1, 1, 1), (count, 2, 2, 1)).astype(np.uint8)
        self.labels = rows.astype(np.int32)
        self.read = []
        self.rows = data.Rows(edges or block_edges(count, buffer), self._read, buffer)
        kept = slice(0, min(count, 5))
        self.data = data.ImageData(
            "numbered", self.images[kept], self.labels[kept], count, rows=self.rows
        )

    def _read(self, start, stop):
        self.read.append((start, stop))
        return data.Block(self.images[start:stop], self.labels[start:stop])

    def labels_of(self, batch_size, steps, **options):
        dataset = data.stream(self.data, batch_size, conditional=True, **options)
        return np.concatenate([labels.numpy() for _, labels in dataset.take(steps)])


@pytest.mark.parametrize(("count", "buffer", "batch_size"), [(40, 8, 5), (11, 4, 3), (3, 9, 8)])
def test_every_epoch_has_each_row_once_and_another_order(count, buffer, batch_size):
    epochs = Source(count, buffer).labels_of(batch_size, 4 * count)[: 4 * count].reshape(4, count)
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_batches_are_the_same_from_wherever_they_start_and_however_they_are_shared():
    source = Source(23, 8)
    options = {"seed": 3, "conditional": True, "noise_stddev": 0.1, "random_flip": True}

    def batches(steps, **others):
        dataset = data.stream(source.data, 6, **options, **others)
        return [[part.numpy() for part in pair] for pair in dataset.take(steps)]

    whole = batches(12)
    for start in (1, 9):
        for one, other in zip(whole[start:], batches(3, start_step=start), strict=False):
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[1], other[1])
    shares = [batches(2, shard=(k, 3)) for k in range(3)]
    joined = np.concatenate([share[1][0] for share in shares])
    np.testing.assert_array_equal(joined, whole[1][0])
    assert not np.array_equal(source.labels_of(6, 3, seed=4), source.labels_of(6, 3, seed=3))


def test_no_more_than_buffers_are_read_wherever_a_run_goes_on():
    source = Source(4000, 80)
    source.labels_of(8, 1, start_step=10**9 + 7)
    # That in use, and those that are read ahead.
    assert len(source.read) <= 5 * 8 and max(b - a for a, b in source.read) == 10
    source.read.clear()
    sample = source.rows.sample()
    assert len(sample.labels) == 4000  # All, where all are few.


def test_what_leaves_a_buffer_is_its_rows_permuted():
    """By the numbers that the order is made of; blocks are of different sizes."""
    source = Source(11, 5, edges=(0, 3, 4, 7, 11))
    for offset in (0, 2, 8):
        window = next(source.rows.windows(3, offset))
        order = np.argsort(
            np.random.Philox(np.random.SeedSequence((3, 1, 0, 0))).random_raw(4), kind="stable"
        )
        group = [list(range(*source.rows.edges[k : k + 2])) for k in order]
        sizes = np.cumsum([len(block) for block in group])
        ends = [k for k in range(4) if sizes[k] >= 5][:1][0] + 1
        buffers = [sum(group[:ends], []), sum(group[ends:], [])]
        number = int(offset >= len(buffers[0]))
        held = buffers[number]
        rows = np.argsort(
            np.random.Philox(np.random.SeedSequence((3, 1, 0, number + 1))).random_raw(len(held)),
            kind="stable",
        )
        expected = np.array(held)[rows][max(0, offset - number * len(buffers[0])) :]
        np.testing.assert_array_equal(window.labels, expected)
        np.testing.assert_array_equal(window.examples[:, 0, 0, 0], expected)


def test_a_buffer_is_in_memory_once():
    """Its blocks go to their places one by one: not beside one another, joined and permuted."""
    shape, count = (64, 64, 3), 2000

    def read(start, stop):
        return data.Block(np.zeros((stop - start, *shape), np.uint8), None)

    windows = data.Rows(block_edges(count, 1000), read, 1000).windows(0, 0)
    tracemalloc.start()
    for _ in range(2):
        size = next(windows).examples.nbytes
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 1000 * 64 * 64 * 3
    # An eighth is a block, of which one and what is taken of it are there as well.
    assert peak < 1.5 * size


def test_the_sample_of_many_is_bounded_and_spread(monkeypatch):
    monkeypatch.setattr("tf_febm.data.rows.SAMPLED", 100)
    source = Source(4000, 800)
    sample = source.rows.sample()
    assert 100 <= len(sample.labels) < 120 and sum(b - a for a, b in source.read) < 130
    assert sample.labels.min() == 0 and sample.labels.max() >= 3900
    np.testing.assert_array_equal(sample.labels, source.rows.sample().labels)


def test_one_buffer_for_all_is_a_uniform_permutation():
    # As for data in memory: chi-square with 5 degrees of freedom is below 20.5 with probability
    # 0.999. Blocks of one row, and one of all.
    for edges in ((0, 1, 2, 3), (0, 3)):
        orders = Source(3, 3, edges).labels_of(300, 12, seed=1).reshape(-1, 3)
        counts = [np.all(orders == order, 1).sum() for order in itertools.permutations(range(3))]
        assert sum(counts) == 1200
        assert sum((c - 200) ** 2 / 200 for c in counts) < 20.5


def test_sorted_rows_are_mixed_as_far_as_the_buffer_goes():
    # Blocks of 100 rows with ranks 0 … 999; a buffer of eight of ten blocks: the mean of a batch of
    # 100 deviates from 499.5 by 29 at random, and by 289 where a batch were a block.
    source = Source(1000, 800)
    means = source.labels_of(100, 30, seed=2).reshape(30, 100).mean(axis=1)
    assert np.sqrt(np.mean((means - 499.5) ** 2)) < 120


def test_what_cannot_be_read_in_mid_training_is_named():
    source = Source(40, 8)
    broken = source.rows.mapped(lambda x: (_ for _ in ()).throw(ValueError("file.x: is damaged")))
    images = data.ImageData("numbered", source.images[:5], rows=broken)
    with pytest.raises(Exception, match=r"file\.x: is damaged"):
        next(iter(data.stream(images, 4)))


def test_rows_are_checked_and_cannot_be_held_out():
    with pytest.raises(ValueError, match="buffer must be a whole number"):
        data.Rows((0, 4), lambda start, stop: None, 0)
    with pytest.raises(ValueError, match="edges must ascend from 0 .*received"):
        data.Rows((0, 4, 4), lambda start, stop: None, 1)
    with pytest.raises(TypeError, match="rows must be a Rows or None; received 3"):
        data.ImageData("a", np.zeros((1, 2, 2, 1), np.uint8), rows=3)
    with pytest.raises(ValueError, match="not in memory.*give held_out"):
        data.hold_out(Source(40, 8).data)


def test_a_model_is_built_on_the_sample_and_trained_on_all():
    source = Source(60, 16)
    images = data.ImageData("numbered", source.images[:5], rows=source.rows)
    recipe = recipes.get("digits").changed(
        {
            "reference": "diagonal", "network": "mlp", "width": 4, "batch_size": 30, "num_steps": 1,
            "step_size": None, "epsilon": 0.01, "grad_clip": None, "data_noise": 0.0,
            "buffer_capacity": 60,
        }
    )  # fmt: skip
    model = recipe.build(images)
    # That of the first five levels, which are alike in all pixels, of centres (k + ½)/256.
    mean = model.reference.color(np.zeros((1, 2, 2, 1), np.float32))
    np.testing.assert_allclose(mean, np.full((1, 2, 2, 1), 2.5 / 256), rtol=1e-3)
    taken = recipe.stream(images).take(2)
    levels = np.concatenate([np.floor(256 * x.numpy())[:, 0, 0, 0] for x in taken])
    assert sorted(levels) == list(range(60))
    model.fit(recipe.stream(images), steps_per_epoch=1, verbose=0)
