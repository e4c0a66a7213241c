"""idx and .npz files: what is read from good ones, what is said about bad ones."""

import gzip
import io
import pickle
import struct
import warnings
import zipfile

import numpy as np
import pytest
from loading import fails, write_npz

from tf_febm import data
from tf_febm.data import classes

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 28, 28), dtype=np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 10


def idx(array):
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()


def write_idx(folder, compress=False, dot="-", images=PIXELS, labels=LABELS):
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, part in (("train", slice(0, 15)), ("t10k", slice(15, 20))):
        for kind, rank, array in (("images", 3, images), ("labels", 1, labels)):
            name, content = f"{prefix}-{kind}{dot}idx{rank}-ubyte", idx(array[part])
            if compress:
                name, content = name + ".gz", gzip.compress(content)
            (folder / name).write_bytes(content)
    return folder


def keras_archive(path):
    return write_npz(
        path, x_train=PIXELS[:15], y_train=LABELS[:15], x_test=PIXELS[15:], y_test=LABELS[15:]
    )


# idx and Keras' archive


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize(
    ("compress", "dot"), [(False, "-"), (True, "-"), (False, "."), (True, ".")]
)
def test_idx(tmp_path, name, compress, dot):
    write_idx(tmp_path, compress, dot)
    for split, part in (("train", slice(0, 15)), ("test", slice(15, 20))):
        loaded = data.load(name, tmp_path, split)
        np.testing.assert_array_equal(loaded.images[..., 0], PIXELS[part])
        np.testing.assert_array_equal(loaded.labels, LABELS[part])
        assert loaded.num_classes == 10
        assert str(tmp_path) in loaded.source


def test_idx_where_torchvision_leaves_it(tmp_path):
    write_idx(tmp_path / "MNIST" / "raw")
    assert data.load("mnist", str(tmp_path)).images.shape == (15, 28, 28, 1)


def test_gz_that_was_unpacked_under_its_old_name(tmp_path):
    write_idx(tmp_path, compress=True)
    for file in tmp_path.iterdir():
        file.write_bytes(gzip.decompress(file.read_bytes()))
    assert len(data.load("mnist", tmp_path)) == 15


def test_keras_archive_by_folder_and_by_name(tmp_path):
    file = keras_archive(tmp_path / "mnist.npz")
    for where in (tmp_path, file):
        loaded = data.load("mnist", where, "test")
        np.testing.assert_array_equal(loaded.images[..., 0], PIXELS[15:])
        np.testing.assert_array_equal(loaded.labels, LABELS[15:])
        assert loaded.labels.dtype == np.int32


def damage_magic(content):
    return b"\0\0\r\3" + content[4:]


def promise_more(content):
    return content[:4] + struct.pack(">I", 1000) + content[8:]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], r"promises 11760 bytes.*\[15, 28, 28\]; received 11759"),
        (promise_more, r"promises 784000 bytes"),
        (damage_magic, r"starts with 00000803; received 00000d03"),
        (lambda _: b"", r"received an empty file"),
        (lambda content: gzip.compress(content)[:-50], r"damaged or cut-off gzip file"),
        (lambda content: gzip.compress(content)[:30] + b"x" * 40, r"damaged or cut-off gzip file"),
    ],
)
def test_damaged_idx(tmp_path, damage, message):
    file = write_idx(tmp_path) / "train-images-idx3-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    assert str(file) in fails(ValueError, message, "mnist", tmp_path)


def test_idx_images_and_labels_must_belong_together(tmp_path):
    write_idx(tmp_path / "a", labels=LABELS + 1)
    fails(ValueError, r"train-labels.*\[0, 10\); received 1 to 10", "mnist", tmp_path / "a")
    write_idx(tmp_path / "b", images=PIXELS[:18])
    fails(ValueError, r"t10k-labels.*shape \[3\].*\[5\]", "mnist", tmp_path / "b", "test")
    write_idx(tmp_path / "c")
    (tmp_path / "c" / "train-labels-idx1-ubyte").unlink()
    fails(FileNotFoundError, "both needed; received only train-images", "mnist", tmp_path / "c")


def test_mnist_archive_without_labels(tmp_path):
    write_npz(tmp_path / "mnist.npz", x_train=PIXELS)
    fails(ValueError, r"mnist.npz: no key 'y_train'; received \['x_train'\]", "mnist", tmp_path)


# .npz


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        ([1, 2, 3], ("1", "2", "3")),
        ([0, 7, 1_000_000], ("0", "7", "1000000")),
        # Sorted as numbers, not as their digits.
        (np.array([2, 10, 100], np.uint8), ("2", "10", "100")),
        (np.array([5, 2**40, 2**63 + 1], np.uint64), ("5", f"{2**40}", f"{2**63 + 1}")),
        (["cat", "dog", "eel"], ("cat", "dog", "eel")),
        (np.array(["cat", "dog", "größe"], np.str_), ("cat", "dog", "größe")),
        (np.array(["a", "b", "c"]).astype(np.bytes_), ("a", "b", "c")),
        ([False, True, True], ("False", "True")),
    ],
)
@pytest.mark.parametrize("vectors", [False, True])
def test_npz_ids_of_classes_are_numbered(tmp_path, ids, names, vectors):
    """Whatever the ids are, there are as many classes as ids that occur, in their order."""
    ids = np.asarray(ids)
    order = np.random.default_rng(0).permutation(np.arange(20) % 3)
    x = RNG.normal(size=(20, 2)) if vectors else PIXELS
    file = write_npz(tmp_path / "any.npz", x=x, y=ids[order].reshape(20, 1))
    train, test = data.load("npz", file), data.load("npz", file, "test")
    assert train.class_names == test.class_names == names
    assert train.num_classes == test.num_classes == len(names)
    labels = np.empty(20, object)
    held_out = np.arange(20) % 10 == 9
    labels[~held_out], labels[held_out] = train.labels, test.labels
    texts = [i.decode() if isinstance(i, bytes) else str(i) for i in ids[order].tolist()]
    assert [names[k] for k in labels] == texts


def test_class_indices():
    labels, names = data.class_indices([30, 10, 30, 20])
    assert labels.tolist() == [2, 0, 2, 1] and names == ("10", "20", "30")
    with pytest.raises(ValueError, match="labels: labels must be integers .*received float64"):
        data.class_indices([0.5, 1.0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_npz_floats_are_rounded_to_8_bits(tmp_path, dtype):
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    file = write_npz(tmp_path / "any.npz", x=(grey / 255).astype(dtype))
    # float16 has 11 bits: an 8-bit grey value in [0, 1] survives it.
    np.testing.assert_array_equal(data.load("npz", file).images[..., 0], grey)


def test_npz_colour(tmp_path):
    colour = RNG.integers(0, 256, (3, 4, 6, 3), dtype=np.uint8)
    file = write_npz(tmp_path / "any.npz", images=colour)
    np.testing.assert_array_equal(data.load("npz", file).images, colour)


NAN, INFINITE = np.zeros((2, 4, 4)), np.zeros((2, 4, 4))
NAN[0, 0, 0], INFINITE[1, 1, 1] = np.nan, np.inf


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            NAN,
            r"key 'x': received float64 \[2, 4, 4\] with values from nan to nan; accepted: uint8",
        ),
        (INFINITE, r"values from 0.0 to inf"),
        (np.full((2, 4, 4), 1.5), r"values from 1.5 to 1.5"),
        (np.full((2, 4, 4), -0.1), r"values from -0.1 to -0.1"),
        (np.zeros((2, 4, 4), np.int64), r"received int64 \[2, 4, 4\]; accepted: uint8"),
        (np.zeros((2, 4, 4), bool), r"received bool"),
        # Rows of numbers are vectors, and these are all alike.
        (np.zeros((2, 4), np.uint8), r"columns must vary; constant"),
        (np.zeros((2, 4, 4, 3, 1), np.uint8), r"received uint8 \[2, 4, 4, 3, 1\]"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"received uint8 \[2, 3, 8, 8\].*1 to 4 channels"),
        (np.zeros((0, 4, 4), np.uint8), r"received uint8 \[0, 4, 4\]"),
        (np.array([["a", 1], ["b", 2]], dtype=object), r"key 'x': cannot be read .*allow_pickle"),
    ],
)
def test_npz_images_that_are_refused(tmp_path, array, message):
    file = write_npz(tmp_path / "any.npz", x=array)
    assert str(file) in fails(ValueError, message, "npz", file)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:7], r"key 'y': labels must be integers of shape \[20\].*received uint8 \[7\]"),
        (LABELS.astype(np.float32), r"received float32 \[20\]"),
        (np.eye(20, dtype=np.int64), r"received int64 \[20, 20\]"),
        (LABELS.astype(np.int64) - 1, r"received -1 to 8"),
        (np.array(3), r"received int64 \[\]"),
    ],
)
def test_npz_labels_that_are_refused(tmp_path, labels, message):
    file = write_npz(tmp_path / "any.npz", x=PIXELS, y=labels)
    assert str(file) in fails(ValueError, message, "npz", file)


def test_npz_truncated(tmp_path):
    file = write_npz(tmp_path / "any.npz", x=PIXELS)
    file.write_bytes(file.read_bytes()[:-200])
    assert str(file) in fails(ValueError, "not a readable .npz archive", "npz", file)


def test_npz_with_a_damaged_member(tmp_path):
    file = write_npz(tmp_path / "any.npz", x=PIXELS)
    content = bytearray(file.read_bytes())
    content[2000:2100] = bytes(100)
    file.write_bytes(content)
    assert str(file) in fails(ValueError, "key 'x': cannot be read", "npz", file)


def test_npz_with_a_member_that_is_no_array(tmp_path):
    file = tmp_path / "any.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x", "hello")
    fails(ValueError, "key 'x': expected an array; received bytes", "npz", file)


def _npy(dtype, shape, content=b""):
    file = io.BytesIO()
    about = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue() + content


def test_npz_of_items_without_contents(tmp_path):
    """A hundred bytes could hold a billion of them, each of which takes memory as a label."""
    file = tmp_path / "any.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x_train.npy", _npy("|u1", PIXELS.shape, PIXELS.tobytes()))
        archive.writestr("x_test.npy", _npy("<U0", (10**9, *PIXELS.shape[1:])))
        archive.writestr("y_train.npy", _npy("|u1", (len(PIXELS),), bytes(len(PIXELS))))
        archive.writestr("y_test.npy", _npy("<U0", (10**9,)))
    assert str(file) in fails(ValueError, "items without contents", "npz", file)


def test_npz_with_a_name_that_stands_twice(tmp_path):
    file = tmp_path / "any.npz"
    content = _npy("|u1", PIXELS.shape, PIXELS.tobytes())
    for names in (("x.npy", "x"), ("x.npy", "x.npy")):
        with zipfile.ZipFile(file, "w") as archive:
            for name in names:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    archive.writestr(name, content)
        assert str(file) in fails(ValueError, "several arrays of the name 'x'", "npz", file)


def test_labels_of_many_examples_are_numbered_some_at_a_time(monkeypatch):
    monkeypatch.setattr(classes, "_AT_ONCE", 3)
    wide = np.array([7, 2**63, 2, 2, 7, 11, 2], np.uint64)
    parts, names = classes.numbered([wide, np.array([2, -0, 11, 30], np.int64)], "labels")
    assert names == ("0", "2", "7", "11", "30", str(2**63))
    assert [part.tolist() for part in parts] == [[2, 5, 1, 1, 2, 3, 1], [1, 0, 3, 4]]
    assert {part.dtype for part in parts} == {np.dtype(np.int32)}


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps([1])])
def test_npz_that_is_something_else(tmp_path, content):
    file = tmp_path / "any.npz"
    file.write_bytes(content)
    fails(ValueError, "not a readable .npz archive", "npz", file)


def test_npz_that_is_an_npy(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, PIXELS)
    (tmp_path / "any.npz").write_bytes(buffer.getvalue())
    fails(ValueError, "received a single array", "npz", tmp_path)


def test_npz_folder_must_leave_no_choice(tmp_path):
    fails(FileNotFoundError, f"nothing usable.*{tmp_path}.*exactly one", "npz", tmp_path)
    for name in ("a.npz", "b.npz"):
        write_npz(tmp_path / name, x=PIXELS)
    fails(FileNotFoundError, "exactly one", "npz", tmp_path)


def test_too_few_to_hold_any_out(tmp_path):
    file = write_npz(tmp_path / "any.npz", x=PIXELS[:9])
    assert len(data.load("npz", file)) == 9
    fails(ValueError, "any.npz: split='test' .*received only 9", "npz", file, "test")
