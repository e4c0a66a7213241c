"""Arrays as the library holds them."""

import numpy as np
import pytest

from tf_febm import data


def test_images_and_vectors():
    images = np.zeros((3, 4, 5), np.uint8)
    assert data.as_data(images).images.shape == (3, 4, 5, 1)
    found = data.as_data(np.zeros((3, 2)), labels=np.array([2, 0, 1]))
    assert found.vectors.dtype == np.float32 and found.num_classes == 3
    assert data.as_data(found) is found


@pytest.mark.parametrize(
    ("x", "labels", "error", "message"),
    [
        ([[1.0, 2.0]], None, TypeError, "an ImageData, a VectorData or an array; received list"),
        (np.zeros((3, 4, 4, 1)), None, ValueError, r"received float64 \[3, 4, 4, 1\]"),
        (np.zeros((3, 2), int), None, ValueError, r"received int64 \[3, 2\]"),
        (np.zeros((3, 2)), np.zeros(3), ValueError, "labels must be integers"),
        (data.as_data(np.zeros((3, 2))), [1, 2, 3], ValueError, "labels are part of VectorData"),
    ],
)
def test_what_is_refused(x, labels, error, message):
    with pytest.raises(error, match=message):
        data.as_data(x, labels)
