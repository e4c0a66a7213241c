import dataclasses

import numpy as np
import pytest

from tf_febm.data import ImageData

IMAGES = np.arange(4 * 3 * 5 * 2, dtype=np.uint8).reshape(4, 3, 5, 2)
LABELS = np.array([0, 2, 1, 0], np.int32)


def test_holds_what_it_was_given():
    data = ImageData("x", IMAGES, LABELS, 3, "here")
    assert data.image_shape == (3, 5, 2)
    assert len(data) == 4
    assert (data.name, data.num_classes, data.source) == ("x", 3, "here")
    np.testing.assert_array_equal(data.images, IMAGES)
    np.testing.assert_array_equal(data.labels, LABELS)


def test_labels_are_optional():
    data = ImageData("x", IMAGES)
    assert data.labels is None
    assert data.num_classes is None


def test_cannot_be_changed_and_leaves_the_callers_array_alone():
    mine = IMAGES.copy()
    data = ImageData("x", mine, LABELS, 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.name = "y"
    with pytest.raises(ValueError, match="read-only"):
        data.images[0] = 0
    mine[0] = 7
    assert mine.flags.writeable


def test_repr_is_one_short_line():
    text = repr(ImageData("x", IMAGES, source="here"))
    assert "uint8 [4, 3, 5, 2]" in text
    assert len(text) < 120


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"name": 3}, TypeError, r"name must be a string; received 3"),
        ({"name": ""}, ValueError, r"name must not be empty"),
        ({"source": None}, TypeError, r"source must be a string; received None"),
        ({"images": [[1]]}, TypeError, r"images must be a numpy array; received list"),
        ({"images": IMAGES.astype(np.float32)}, ValueError, r"received float32 \[4, 3, 5, 2\]"),
        ({"images": IMAGES[..., 0]}, ValueError, r"received uint8 \[4, 3, 5\]"),
        ({"images": IMAGES[:0]}, ValueError, r"received uint8 \[0, 3, 5, 2\]"),
        # Channels first.
        (
            {"images": np.zeros((4, 3, 8, 8), np.uint8)},
            ValueError,
            r"1 to 4 channels.*\[4, 3, 8, 8",
        ),
        ({"labels": None}, ValueError, r"given together; received labels=None, num_classes=3"),
        ({"num_classes": None}, ValueError, r"given together.*an array, num_classes=None"),
        ({"num_classes": 2.0}, ValueError, r"num_classes must be a whole number .*received 2.0"),
        ({"num_classes": True}, ValueError, r"received True"),
        ({"num_classes": 0}, ValueError, r"whole number ≥ 1; received 0"),
        ({"labels": [0, 1, 2, 0]}, TypeError, r"labels must be a numpy array; received list"),
        ({"labels": LABELS[:3]}, ValueError, r"int32 \[4\].*received int32 \[3\]"),
        ({"labels": LABELS.astype(np.int64)}, ValueError, r"received int64 \[4\]"),
        ({"labels": LABELS - 1}, ValueError, r"\[0, 3\); received values from -1 to 1"),
        ({"num_classes": 2}, ValueError, r"\[0, 2\); received values from 0 to 2"),
    ],
)
def test_refuses(fields, kind, message):
    good = {"name": "x", "images": IMAGES, "labels": LABELS, "num_classes": 3, "source": "here"}
    with pytest.raises(kind, match=message):
        ImageData(**(good | fields))
