"""Without `data_dir`: a prepared copy, then the network, then one clear line."""

import http.server
import socket
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import data
from tf_febm.data import tfds_source

RNG = np.random.default_rng(0)
REMOTE = ("mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "celeba")


class NonMatchingChecksumError(Exception):
    """Of the same name as the one of TensorFlow Datasets."""


class Builder:
    """Behave like a builder of TensorFlow Datasets, as far as we use one."""

    def __init__(self, path, examples, error=None):
        self.data_path, self.examples, self.error = path, examples, error
        self.downloads = 0

    def download_and_prepare(self):
        self.downloads += 1
        if self.error:
            raise self.error
        self.data_path.mkdir()

    def as_dataset(self, split, shuffle_files):
        assert self.data_path.exists()
        assert not shuffle_files
        return tf.data.Dataset.from_tensor_slices(self.examples[split])


def examples(shape, labels):
    def some(count):
        images = RNG.integers(0, 256, (count, *shape), dtype=np.uint8)
        return {"image": images} | ({"label": np.arange(count) % 10} if labels else {})

    # Enough for more than one internal batch.
    return {"train": some(300), "test": some(12)}


@pytest.fixture
def tfds(monkeypatch, tmp_path):
    """Replace TensorFlow Datasets and the network; returns a function that sets them up."""
    seen = {"asked": []}

    def set_up(shape=(28, 28, 1), labels=True, prepared=False, reachable=True, error=None):
        path = tmp_path / "copy"
        if prepared:
            path.mkdir()
        seen["builder"] = Builder(path, examples(shape, labels), error)

        def make_builder(name):
            seen["name"] = name
            return seen["builder"]

        def is_reachable(url):
            seen["asked"].append(url)
            return reachable

        monkeypatch.setattr(tfds_source, "make_builder", make_builder)
        monkeypatch.setattr(tfds_source, "is_reachable", is_reachable)
        return seen

    return set_up


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_prepared_copy_needs_no_network(tfds, name, split):
    seen = tfds(prepared=True, reachable=False)
    loaded = data.load(name, split=split)
    assert seen["name"] == name
    assert seen["asked"] == []
    assert seen["builder"].downloads == 0
    np.testing.assert_array_equal(loaded.images, seen["builder"].examples[split]["image"])
    np.testing.assert_array_equal(loaded.labels, seen["builder"].examples[split]["label"])
    assert loaded.num_classes == 10
    assert loaded.source.startswith(f"tensorflow_datasets {name} in ")


@pytest.mark.parametrize(
    ("name", "builder", "classes"), [("cifar100", "cifar100", 100), ("svhn", "svhn_cropped", 10)]
)
def test_names_and_classes_of_tensorflow_datasets(tfds, name, builder, classes):
    seen = tfds((32, 32, 3), prepared=True)
    assert data.load(name).num_classes == classes
    assert seen["name"] == builder


def test_faces_are_cropped_and_have_no_labels(tfds):
    seen = tfds((218, 178, 3), labels=False, prepared=True)
    loaded = data.load("celeba", split="test")
    assert seen["name"] == "celeb_a"
    assert loaded.images.shape == (12, 32, 32, 3)
    assert loaded.labels is None
    large = data.load("celeba", split="test", image_size=64)
    # The centred 128 × 128 of 218 × 178.
    pixels = seen["builder"].examples["test"]["image"][:, 45:173, 25:153]
    expected = pixels.reshape(12, 64, 2, 64, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(large.images, expected, atol=0.5)


def test_downloads_when_there_is_network(tfds):
    seen = tfds(reachable=True)
    assert len(data.load("mnist")) == 300
    assert seen["builder"].downloads == 1
    assert len(seen["asked"]) == 1


@pytest.mark.parametrize("name", REMOTE)
def test_without_network_both_ways_are_named(tfds, name):
    seen = tfds(reachable=False)
    with pytest.raises(ConnectionError, match="does not answer") as caught:
        data.load(name)
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert "data_dir" in message
    assert "TensorFlow Datasets" in message
    assert "\n" not in message
    assert seen["builder"].downloads == 0


def test_a_quota_page_is_one_line(tfds):
    error = NonMatchingChecksumError("Artifact https://x,\nhas wrong checksum:\n* Expected: …")
    tfds(error=error)
    with pytest.raises(OSError, match="download quota") as caught:
        data.load("celeba")
    assert "data_dir" in str(caught.value)
    assert "img_align_celeba/" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_other_failures_are_one_line(tfds):
    tfds(error=RuntimeError("disk\nfull"))
    with pytest.raises(OSError, match=r"could not prepare 'cifar10' \(RuntimeError: disk full\)"):
        data.load("cifar10")


def test_damaged_copy_is_one_line(tfds):
    seen = tfds(prepared=True)
    del seen["builder"].examples["train"]["label"]
    with pytest.raises(ValueError, match="cannot be read .*delete it") as caught:
        data.load("mnist")
    assert str(seen["builder"].data_path) in str(caught.value)


def test_reads_a_copy_that_tensorflow_datasets_itself_prepared(tmp_path, monkeypatch):
    import tensorflow_datasets

    images = RNG.integers(0, 256, (15, 28, 28, 1), dtype=np.uint8)
    rows = {"image": images, "label": np.arange(15) % 10}
    tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
        name="mnist",
        version="3.0.1",
        features=tensorflow_datasets.features.FeaturesDict(
            {
                "image": tensorflow_datasets.features.Image(shape=(28, 28, 1)),
                "label": tensorflow_datasets.features.ClassLabel(num_classes=10),
            }
        ),
        split_datasets={"train": tf.data.Dataset.from_tensor_slices(rows)},
        data_dir=tmp_path,
    )
    monkeypatch.setattr(
        tfds_source,
        "make_builder",
        lambda name: tensorflow_datasets.builder(name, data_dir=tmp_path),
    )
    monkeypatch.setattr(tfds_source, "is_reachable", lambda url: pytest.fail("asked the network"))
    loaded = data.load("mnist")
    # TensorFlow Datasets writes in an order of its own.
    pairs = {(image.tobytes(), label) for image, label in zip(images, rows["label"], strict=True)}
    read = zip(loaded.images, loaded.labels, strict=True)
    assert {(image.tobytes(), label) for image, label in read} == pairs
    np.testing.assert_array_equal(loaded.images, data.load("mnist").images)


# The check itself, on the loopback interface


@pytest.fixture
def no_proxy(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.mark.usefixtures("no_proxy")
def test_a_server_that_answers_is_reachable():
    # It answers 501 to HEAD, which is an answer.
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        assert tfds_source.is_reachable(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.usefixtures("no_proxy")
def test_a_closed_port_is_not_reachable():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert not tfds_source.is_reachable(f"http://127.0.0.1:{port}")


@pytest.mark.usefixtures("no_proxy")
def test_silence_is_not_waited_out():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert not tfds_source.is_reachable(url, seconds=0.3)
        assert time.monotonic() - begin < 2.0


def test_the_wait_is_at_most_five_seconds():
    assert tfds_source.REACHABLE_WITHIN_SECONDS <= 5.0
