"""CelebA's lists: attributes as classes, and the split of every picture."""

import numpy as np
import pytest

from tests.data.loading import fails, flat, save, values
from tf_febm import data

NAMES = ("Bald", "Male", "Smiling")
# Bits of Bald, Male, Smiling of pictures 1 … 6.
BITS = ("000", "011", "101", "110", "111", "001")
PARTS = (0, 0, 1, 2, 0, 2)


def write(folder, kind="txt", attributes="", partition="", parts=PARTS):
    """Write pictures of levels 10, 20, … and their lists."""
    for k in range(1, 7):
        save(folder / "img_align_celeba" / f"{k:06d}.jpg", flat(10 * k, (10, 8, 3)))
    bits = [["1" if b == "1" else "-1" for b in row] for row in BITS]
    if kind == "csv":
        lines = [",".join(("image_id", *NAMES))]
        lines += [",".join((f"{k:06d}.jpg", *row)) for k, row in enumerate(bits, 1)]
        split = ["image_id,partition", *(f"{k:06d}.jpg,{p}" for k, p in enumerate(parts, 1))]
    else:
        # As it is distributed: aligned by spaces.
        lines = ["6", " ".join(NAMES)]
        lines += [
            f"{k:06d}.jpg {' '.join(f'{b:>2}' for b in row)}" for k, row in enumerate(bits, 1)
        ]
        split = [f"{k:06d}.jpg {p}" for k, p in enumerate(parts, 1)]
    for stem, place, text in (
        ("list_attr_celeba", attributes, lines),
        ("list_eval_partition", partition, split),
    ):
        (folder / place).mkdir(exist_ok=True)
        (folder / place / f"{stem}.{kind}").write_text("\n".join(text) + "\n")
    return folder


@pytest.mark.parametrize(
    ("kind", "attributes", "partition"), [("txt", "Anno", "Eval"), ("csv", "", "")]
)
def test_one_attribute_and_the_official_split(tmp_path, kind, attributes, partition):
    write(tmp_path, kind, attributes, partition)
    source = data.Source("celeba", tmp_path, image_size=8, label_attribute="Smiling")
    train, test = source.load()
    assert train.class_names == ("not Smiling", "Smiling") == test.class_names
    np.testing.assert_allclose(values(train), [10, 20, 50], atol=1)
    assert train.labels.tolist() == [0, 1, 1]
    np.testing.assert_allclose(values(test), [40, 60], atol=1)
    assert test.labels.tolist() == [0, 1]
    assert f"by list_eval_partition.{kind}" in train.source
    assert source.as_dict()["label_attribute"] == "Smiling"


@pytest.mark.filterwarnings("ignore:.*no examples of")
def test_several_attributes_are_their_combinations(tmp_path):
    write(tmp_path)
    folder = tmp_path / "img_align_celeba"
    # From the folder of the pictures the lists are above.
    loaded = data.load("celeba", folder, image_size=8, label_attribute="Smiling, Bald")
    assert loaded.class_names == (
        "not Smiling+not Bald", "not Smiling+Bald", "Smiling+not Bald", "Smiling+Bald"
    )  # fmt: skip
    assert loaded.labels.tolist() == [0, 2, 3]


def test_without_the_attribute_there_are_no_labels(tmp_path):
    write(tmp_path)
    assert data.load("celeba", tmp_path).labels is None


def test_what_is_missing_or_wrong_is_named(tmp_path):
    write(tmp_path)
    given = {"label_attribute": "Smiling"}

    def refused(kind, message, **others):
        return fails(kind, message, "celeba", tmp_path, **(given | others))

    refused(ValueError, "of .*Bald, Male, Smiling; received 'smiling'", label_attribute="smiling")
    refused(ValueError, "received 'Male,Male'", label_attribute="Male,Male")
    file = tmp_path / "list_attr_celeba.txt"
    good = file.read_text()
    file.write_text(good.replace("000002.jpg -1  1  1", "000002.jpg -1  1  7"))
    refused(ValueError, "list_attr_celeba.txt, line 4: .*3 numbers, 1 or -1")
    file.write_text(good.replace("000002.jpg", "000009.jpg"))
    refused(ValueError, "no line for '000002.jpg'")
    file.write_bytes(b"\xff\xfe")
    refused(ValueError, "not a readable list of CelebA")
    file.unlink()
    refused(FileNotFoundError, "needs list_attr_celeba.txt beside img_align_celeba/")
    partition = tmp_path / "list_eval_partition.txt"
    partition.write_text("000001.jpg 0\n000002.jpg 3\n")
    refused(ValueError, "list_eval_partition.txt, line 2: .*0, 1 or 2; received '000002.jpg 3'")
    partition.write_text("000001.jpg 0\n")
    refused(ValueError, "names no picture here for split='test'", split="test")
    with pytest.raises(ValueError, match="label_attribute is for CelebA"):
        data.load("folder", tmp_path, label_attribute="Smiling")
    with pytest.raises(ValueError, match="label_attribute needs the files of celeba in data_dir"):
        data.load("celeba", label_attribute="Smiling")
