"""TFRecord files: written and read, by TensorFlow as well; damage; what may be in them."""

import numpy as np
import pytest
import tensorflow as tf

from tests.data.loading import fails
from tf_febm import data, recipes
from tf_febm.untrusted_files import tfrecords

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (25, 4, 3, 3), dtype=np.uint8)
LABELS = (np.arange(25) % 3).astype(np.int32)
IMAGES = data.ImageData("a", PIXELS, LABELS, 3, class_names=("cat", "dog", "a horse"))
VECTORS = data.VectorData(
    "a", RNG.normal(size=(25, 2)).astype(np.float32), columns=("width", "height")
)


@pytest.mark.parametrize("buffer", [None, 1, 10, 1000])
def test_what_is_written_is_read(tmp_path, buffer):
    files = data.write_records(tmp_path, IMAGES, per_file=10)
    assert [file.name for file in files] == [
        f"train-{k:05}-of-00003.tfrecord" for k in range(3)
    ]  # fmt: skip
    data.write_records(tmp_path, data.ImageData("a", PIXELS[:4], LABELS[:4], 3,
        class_names=IMAGES.class_names), "test")  # fmt: skip
    train, test = data.Source("records", tmp_path, shuffle_buffer=buffer).load()
    np.testing.assert_array_equal(train.images, PIXELS)
    np.testing.assert_array_equal(train.labels, LABELS)
    np.testing.assert_array_equal(test.images, PIXELS[:4])
    assert train.class_names == IMAGES.class_names and train.total == 25
    assert (train.rows is None) == (buffer is None)
    if buffer:
        x = np.concatenate([x for x, _ in data.stream(train, 5, conditional=True).take(5)])
        levels = np.floor(256 * x).astype(np.uint8)
        assert sorted(map(bytes, levels)) == sorted(map(bytes, PIXELS))
        small = data.load("records", tmp_path, image_size=2, shuffle_buffer=buffer)
        assert next(iter(data.stream(small, 3))).shape == (3, 2, 2, 3)


def test_vectors_and_every_tenth_of_them(tmp_path):
    data.write_records(tmp_path, VECTORS)
    train, test = data.Source("records", tmp_path, shuffle_buffer=4).load()
    held_out = np.arange(25) % 10 == 9
    np.testing.assert_array_equal(train.vectors, VECTORS.vectors[~held_out])
    np.testing.assert_array_equal(test.vectors, VECTORS.vectors[held_out])
    assert train.columns == ("width", "height")
    assert recipes.for_dataset("records", data_dir=tmp_path).name == "vectors"
    # What is not in memory is written all the same, and of one step at a time.
    data.write_records(tmp_path / "again", train)
    again = data.load("records", tmp_path / "again")
    assert len(again) == 21 and again.columns == train.columns


def test_tensorflow_reads_them(tmp_path):
    """The files are what the page says, to a program that has never heard of this library."""
    (file,) = data.write_records(tmp_path, IMAGES)
    layout = {
        "image": tf.io.FixedLenFeature((), tf.string),
        "shape": tf.io.FixedLenFeature((3,), tf.int64),
        "label": tf.io.FixedLenFeature((), tf.int64),
    }
    for k, record in enumerate(tf.data.TFRecordDataset(str(file))):
        example = tf.io.parse_single_example(record, layout)
        pixels = tf.reshape(tf.io.decode_raw(example["image"], tf.uint8), example["shape"])
        np.testing.assert_array_equal(pixels, PIXELS[k])
        assert example["label"] == LABELS[k]
    assert (tmp_path / "labels.txt").read_text() == "cat\ndog\na horse\n"


def test_examples_as_protobuf_writes_them():
    values = {"a": [-5, 0, 2**62], "b": [], "c": [1.5, -2.0]}
    example = tf.train.Example()
    example.features.feature["a"].int64_list.value.extend(values["a"])
    example.features.feature["b"].int64_list.value.extend(values["b"])
    example.features.feature["c"].float_list.value.extend(values["c"])
    example.features.feature["d"].bytes_list.value.append(b"\0x")
    found = tfrecords.parse_example(example.SerializeToString())
    assert {k: found[k].tolist() for k in values} == values and found["d"] == b"\0x"


def test_the_checksum_is_the_published_one():
    # RFC 3720, B.4: 32 zeros, and the ascending bytes; unmasked.
    rows = np.array([np.zeros(32), np.arange(32)], np.uint8)
    crc = (tfrecords._checksums(rows) - np.uint32(0xA282EAD8)).astype(np.uint64)
    unmasked = ((crc >> np.uint64(17)) | (crc << np.uint64(15))) & np.uint64(0xFFFFFFFF)
    assert unmasked.tolist() == [0x8A9136AA, 0x46DD794E]


def test_no_damage_goes_unnoticed(tmp_path):
    """Every bit of a file, and every length of one."""
    data.write_records(tmp_path, PIXELS[:3])
    (file,) = tmp_path.glob("*.tfrecord")
    good = file.read_bytes()

    def read():
        places = tfrecords.record_places(file)
        return tfrecords.read_records(file, places)

    assert len(read()) == 3
    for k in range(0, 8 * len(good), 7):
        damaged = bytearray(good)
        damaged[k // 8] ^= 1 << k % 8
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged|cut short"):
            read()
    ends = [0, *(int(p) + int(n) + 4 for p, n in [*_places(good, file)])]
    for length in range(len(good)):
        if length not in ends:
            file.write_bytes(good[:length])
            with pytest.raises(ValueError, match="cut short"):
                read()


def _places(good, file):
    file.write_bytes(good)
    return tfrecords.record_places(file)


def _written(folder, *examples):
    with tf.io.TFRecordWriter(str(folder / "train-0.tfrecord")) as writer:
        for entries in examples:
            features = {}
            for name, value in entries.items():
                feature = tf.train.Feature()
                if isinstance(value, bytes):
                    feature.bytes_list.value.append(value)
                elif isinstance(value[0], float):
                    feature.float_list.value.extend(value)
                else:
                    feature.int64_list.value.extend(value)
                features[name] = feature
            record = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(record.SerializeToString())


GOOD = {"image": bytes(4), "shape": [2, 2, 1]}


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([{"image": bytes(4)}], "its 'shape'.*received 'image'"),
        ([{"image": bytes(5), "shape": [2, 2, 1]}], "its 'shape'"),
        ([{"image": bytes(4), "shape": [-2, -2, 1]}], "its 'shape'"),
        ([{"image": bytes(4), "shape": [2**40, 2**40, 1]}], "its 'shape'"),
        ([{"x": [1.0]}], "an example has .*received 'x'"),
        ([GOOD | {"label": [1]}], "need labels.txt"),
        ([GOOD, {"image": bytes(2), "shape": [2, 1, 1]}], r"one shape, \(2, 2, 1\)"),
        ([{"vector": [1.0, float("nan")]}], "must be finite"),
    ],
)
def test_files_of_others_that_are_not_so(tmp_path, examples, message):
    _written(tmp_path, *examples)
    assert str(tmp_path) in fails(ValueError, message, "records", tmp_path)


def test_labels_that_do_not_fit_their_names(tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\n")
    _written(tmp_path, GOOD | {"label": [2]})
    fails(ValueError, r"labels must be in \[0, 2\); received 2 to 2", "records", tmp_path)
    _written(tmp_path, GOOD)
    fails(ValueError, "must have one label", "records", tmp_path)
    (tmp_path / "train-0.tfrecord").write_bytes(b"<html>quota</html>" * 9)
    fails(ValueError, "no whole record at byte 0: .*no TFRecord", "records", tmp_path)


def test_lists_of_names_that_are_damaged_are_named(tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\na\n")
    _written(tmp_path, GOOD | {"label": [1]})
    fails(ValueError, "labels.txt: .*different names.*received 3, 2 of", "records", tmp_path)
    (tmp_path / "columns.txt").write_text("a\n")
    _written(tmp_path, {"vector": [1.0, 2.0]})
    (tmp_path / "labels.txt").unlink()
    fails(ValueError, "columns.txt: .*2 different names.*received 1", "records", tmp_path)


@pytest.mark.parametrize("length", [0, 3, 64, 65, 127, 128, 4097])
def test_checksums_of_short_and_of_long_records(length):
    """Long ones are summed in pieces, without which a record of megabytes takes minutes."""
    rows = RNG.integers(0, 256, (3, length), dtype=np.uint8)
    expected = []
    for row in rows.tolist():
        # RFC 3720, bit by bit.
        crc = 0xFFFFFFFF
        for byte in row:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        crc ^= 0xFFFFFFFF
        expected.append(((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)
    assert tfrecords._checksums(rows).tolist() == expected


def test_a_record_of_megabytes_is_read_by_few_steps(tmp_path, monkeypatch):
    _written(tmp_path, {"image": bytes(1 << 21), "shape": [1 << 11, 1 << 10, 1]})
    steps = []
    summed = tfrecords._summed
    monkeypatch.setattr(
        tfrecords, "_summed", lambda crc, rows: steps.append(rows.shape[1]) or summed(crc, rows)
    )
    assert data.load("records", tmp_path).images.shape == (1, 1 << 11, 1 << 10, 1)
    assert sum(steps) < 1 << 14


def test_the_writer_overwrites_nothing_and_says_what_is_missing(tmp_path):
    data.write_records(tmp_path, PIXELS, per_file=10)
    with pytest.raises(ValueError, match="is there already"):
        data.write_records(tmp_path, PIXELS)
    with pytest.raises(ValueError, match="split must be one of train, test"):
        data.write_records(tmp_path, PIXELS, "valid")
    (tmp_path / "train-00001-of-00003.tfrecord").unlink()
    fails(ValueError, "is one of 3 files; received 2", "records", tmp_path)
    with pytest.raises(ValueError, match="shuffle_buffer is for data that need not be in memory"):
        data.load("digits", shuffle_buffer=3)
