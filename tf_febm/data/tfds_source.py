"""TensorFlow Datasets: a prepared local copy first, the network second, never a silent wait."""

import os
import threading
from typing import Any

import numpy as np

from tf_febm import untrusted_files
from tf_febm.data.files import Remote, Split, reason
from tf_febm.data.images import resize_array

__all__ = ["REACHABLE_WITHIN_SECONDS", "is_reachable", "make_builder", "prepare", "read"]

# Upper limit of the check before a download. TFDS itself retries for minutes without a word.
REACHABLE_WITHIN_SECONDS = 5.0
_BATCH = 256


def read(name: str, remote: Remote, layouts: str, split: str, image_size: int | None) -> Split:
    """Read a split through TensorFlow Datasets.

    A copy that TFDS prepared earlier (under TFDS_DATA_DIR or ~/tensorflow_datasets) is used without
    network. Otherwise the host of the data is asked first, for at most 5 seconds.
    """
    builder = make_builder(remote.builder)
    if not builder.data_path.exists():
        prepare(builder, name, remote.builder, remote.url, f"give data_dir ({layouts}), or ")
    try:
        # TensorFlow would wait for a pipe, and nothing ends that.
        for file in builder.data_path.iterdir():
            if not file.is_dir():
                untrusted_files.regular_size(file)
        images, labels = _collect(builder, split, image_size, remote)
    except Exception as error:
        raise ValueError(
            f"{name}: the copy of TensorFlow Datasets in {builder.data_path} cannot be read "
            f"({reason(error)}); delete it to prepare it anew."
        ) from error
    source = f"tensorflow_datasets {remote.builder} in {builder.data_path}, {split}"
    return Split(images, labels, remote.num_classes, source)


def make_builder(builder_name: str, data_dir: str | os.PathLike | None = None) -> Any:
    """Return the TFDS builder of that name; nothing is downloaded yet.

    Args:
        builder_name: Its name there.
        data_dir: Where prepared copies are; None for the place that TFDS has for them.
    """
    # Slow to import, and needed by nobody who has the files.
    import tensorflow_datasets as tfds

    return tfds.builder(builder_name, data_dir=data_dir)


def is_reachable(url: str, seconds: float = REACHABLE_WITHIN_SECONDS) -> bool:
    """Say whether a host answers at all, within `seconds`."""
    # The client that TFDS downloads with, so that proxies and certificates count the same.
    import requests

    answers = []

    def ask():
        try:
            answers.append(requests.head(url, timeout=seconds))
        except requests.RequestException:
            return

    # In a thread because looking a name up knows no time limit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answers)


def prepare(builder: Any, name: str, fetched: str, url: str, otherwise: str = "") -> None:
    """Let TensorFlow Datasets download what it has not.

    Args:
        builder: Of TensorFlow Datasets, without a prepared copy.
        name: What begins an error message.
        fetched: What TensorFlow Datasets calls the data.
        url: The host of the data, which is asked first.
        otherwise: What else can be done, with ", or " at its end.

    Raises:
        ConnectionError: The host does not answer.
        OSError: The download failed.
    """
    ways = f"{otherwise}let TensorFlow Datasets fetch {fetched!r} on a machine with network"
    if not is_reachable(url):
        raise ConnectionError(
            f"{name}: no prepared copy in {builder.data_path} and {url} does not answer; {ways}."
        )
    try:
        builder.download_and_prepare()
    except Exception as error:
        # By name: TFDS has moved the class between modules.
        if type(error).__name__ == "NonMatchingChecksumError":
            raise OSError(
                f"{name}: {url} sent something else than the data, most often a page about "
                f"its download quota; {ways}, or try again tomorrow."
            ) from error
        raise OSError(
            f"{name}: TensorFlow Datasets could not prepare {fetched!r} ({reason(error)}); {ways}."
        ) from error


def _collect(builder, split, image_size, remote):
    # Files are not shuffled, so that the order of the images is the same in every run.
    examples = builder.as_dataset(split=split, shuffle_files=False)
    wanted = ["image"] if remote.num_classes is None else ["image", "label"]
    batches = examples.map(lambda example: {key: example[key] for key in wanted}).batch(_BATCH)
    images, labels = [], []
    for batch in batches.as_numpy_iterator():
        images.append(
            batch["image"]
            if image_size is None
            else resize_array(batch["image"], image_size, remote.share)
        )
        labels.append(batch.get("label"))
    return (
        np.concatenate(images),
        None if remote.num_classes is None else np.concatenate(labels).astype(np.int32),
    )
