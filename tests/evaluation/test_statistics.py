"""The cache of features: found again by content, and never trusted blindly."""

import numpy as np
import pytest

from tf_febm import evaluation


class Pixels:
    """A feature network whose features are the first pixels; it counts its calls."""

    published = False

    def __init__(self, feature_network="pixels", fingerprint="0", width=3):
        self.feature_network, self.fingerprint, self.width = feature_network, fingerprint, width
        self.calls = 0

    def features(self, images):
        self.calls += 1
        flat = evaluation.to_unit_interval(images).reshape(len(images), -1)
        return flat[:, : self.width]

    def features_and_probabilities(self, images):
        return self.features(images), None


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (20, 2, 2, 1), dtype=np.uint8)


def assert_equal(one, other):
    np.testing.assert_array_equal(one.features, other.features)
    np.testing.assert_array_equal(one.gaussian.mean, other.gaussian.mean)
    np.testing.assert_array_equal(one.gaussian.factor, other.gaussian.factor)


def test_moments_are_float64_and_right(images):
    network = Pixels()
    found = evaluation.feature_statistics(images, network)
    features = network.features(images).astype(np.float64)
    assert found.features.dtype == np.float32 and found.gaussian.mean.dtype == np.float64
    np.testing.assert_allclose(found.gaussian.mean, features.mean(axis=0), rtol=1e-12)
    covariance = found.gaussian.factor.T @ found.gaussian.factor
    np.testing.assert_allclose(covariance, np.cov(features, rowvar=False), rtol=1e-10)


def test_the_second_time_nothing_is_computed(images, tmp_path):
    network = Pixels()
    folder = tmp_path / "made" / "here"
    first = evaluation.feature_statistics(images, network, folder)
    second = evaluation.feature_statistics(images.copy(), Pixels(), folder)
    assert_equal(first, second)
    evaluation.feature_statistics(images, network, folder)
    assert network.calls == 1
    (file,) = folder.iterdir()
    assert file.name.startswith("pixels-") and file.suffix == ".npz"


def test_whatever_matters_makes_another_file(images, tmp_path):
    changed = images.copy()
    changed[-1, -1, -1, -1] ^= 1
    cases = [
        (images, Pixels()),
        (changed, Pixels()),
        (images.reshape(20, 1, 4, 1), Pixels()),
        (evaluation.to_unit_interval(images), Pixels()),
        (images, Pixels("other pixels")),
        (images, Pixels(fingerprint="1")),
    ]
    for count, (shown, network) in enumerate(cases, start=1):
        evaluation.feature_statistics(shown, network, tmp_path)
        assert network.calls == 1 and len(list(tmp_path.iterdir())) == count


def rewritten(path, **changes):
    with np.load(path) as arrays:
        arrays = {**arrays, **changes}
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})


def flip_a_bit(path):
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b"no archive at all"),
        flip_a_bit,
        lambda path: rewritten(path, mean=None),
        lambda path: rewritten(path, features=np.zeros((19, 3), np.float32)),
        lambda path: rewritten(path, features=np.float32(1)),
        lambda path: rewritten(path, factor=np.full((3, 3), np.nan)),
        lambda path: rewritten(path, mean=np.zeros(3, np.float32)),
    ],
)
def test_damage_is_reported_and_repaired(images, tmp_path, damage):
    first = evaluation.feature_statistics(images, Pixels(), tmp_path)
    (file,) = tmp_path.iterdir()
    damage(file)
    with pytest.warns(UserWarning, match=f"{file.name} are damaged .* computing them anew"):
        again = evaluation.feature_statistics(images, Pixels(), tmp_path)
    assert_equal(first, again)
    network = Pixels()
    evaluation.feature_statistics(images, network, tmp_path)
    assert network.calls == 0


def test_a_folder_that_cannot_be_written(images, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(OSError, match="file"):
        evaluation.feature_statistics(images, Pixels(), blocked)


def test_features_that_are_not_finite_are_refused(images, tmp_path):
    network = Pixels()
    network.features = lambda images: np.full((len(images), 2), np.inf, np.float32)
    with pytest.raises(ValueError, match="features of images must be finite; received 40"):
        evaluation.feature_statistics(images, network, tmp_path)
    assert list(tmp_path.iterdir()) == []
