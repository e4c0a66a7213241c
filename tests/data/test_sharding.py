"""Shards of a stream: together they are the stream."""

import numpy as np
import pytest

from tf_febm import data


@pytest.fixture
def source():
    images = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), dtype=np.uint8)
    return data.ImageData("some", images, np.arange(10, dtype=np.int32), 10)


def test_shards_together_are_the_stream_to_the_bit(source):
    count = 3
    options = {
        "seed": 4, "start_step": 2, "conditional": True, "noise_stddev": 0.1,
        "random_flip": True, "random_crop": 1,
    }  # fmt: skip
    whole = list(data.stream(source, 6, **options).take(5).as_numpy_iterator())
    shards = [
        list(data.stream(source, 6, shard=(i, count), **options).take(5).as_numpy_iterator())
        for i in range(count)
    ]
    for step, (x, labels) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([s[step][0] for s in shards]), x)
        np.testing.assert_array_equal(np.concatenate([s[step][1] for s in shards]), labels)


def test_form_of_a_shard(source):
    dataset = data.stream(source, 6, shard=(1, 3))
    assert dataset.element_spec.shape == (2, 4, 4, 3)


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        ((0, 4), "batch_size must be a multiple of the number of shards; received 6 and 4"),
        ((2, 2), "shard index must be a whole number ≥ 0 and < 2; received 2"),
        ((-1, 2), "shard index must be a whole number ≥ 0 and < 2; received -1"),
        ((0, 0), "shard count must be a whole number ≥ 1 and < 7; received 0"),
        ((0, 12), "shard count must be a whole number ≥ 1 and < 7; received 12"),
        ((0.0, 2), "shard index must be a whole number .*received 0.0"),
        (3, r"shard must be \(index, count\); received 3"),
        ((1, 2, 3), r"shard must be \(index, count\); received \(1, 2, 3\)"),
    ],
)
def test_refuses(source, shard, message):
    with pytest.raises(ValueError, match=message):
        data.stream(source, 6, shard=shard)
