"""What a SavedModel says of inputs that are none: one error, or NaN for the bad rows alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from served_models import SHAPE, nets, settings

import tf_febm

N = 5


@pytest.fixture(scope="module", params=["error", "nan"])
def served(request, tmp_path_factory):
    """A conditional and an unconditional model, exported and loaded: how -> {name: (model, …)}."""
    found = {}
    for classes in (None, 3):
        keras.utils.set_random_seed(5)
        model = tf_febm.FEBM(*nets(classes), **settings())
        path = tmp_path_factory.mktemp("served") / "model"
        tf_febm.export(model, path, bad_values=request.param)
        found[classes] = (model, tf.saved_model.load(str(path)).signatures)
    return request.param, found


def arguments(model, x, labels=None):
    given = {"x": tf.constant(x)}
    if model.conditional:
        given["labels"] = tf.zeros([len(x)], tf.int32) if labels is None else tf.constant(labels)
    return given


ENDPOINTS = ("energy", "serving_default", "score", "log_density_ratio")


@pytest.mark.parametrize(
    "shape", [(N, 16), (N, 2, 8, 1), (N, 5, 5, 1), (16,), (N, 4, 4, 2), (4, 4, 1)]
)
def test_another_shape_is_an_error_of_one_line(served, shape):
    _, found = served
    for model, signatures in found.values():
        for name in ENDPOINTS:
            with pytest.raises(tf.errors.InvalidArgumentError) as error:
                signatures[name](**arguments(model, np.full(shape, 0.5, np.float32)))
            assert r"x must have shape (\'n\', 4, 4, 1); received" in str(error.value)
            assert "[" + " ".join(map(str, shape)) + "]" in str(error.value)


def test_signatures_tell_the_shape(served):
    _, found = served
    for _, signatures in found.values():
        for name in ENDPOINTS:
            spec = signatures[name].structured_input_signature[1]["x"]
            assert spec.shape.as_list() == [None, *SHAPE]


BAD = {"NaN": np.nan, "infinity": np.inf, "8-bit levels": 255.0, "below": -0.1}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_bad_values(served, value):
    how, found = served
    x = np.random.default_rng(0).random((N, *SHAPE), dtype=np.float32)
    broken = x.copy()
    broken[2, 1, 1, 0] = value
    for model, signatures in found.values():
        for name in ENDPOINTS:
            good = next(iter(signatures[name](**arguments(model, x)).values())).numpy()
            assert np.isfinite(good).all()
            if how == "error":
                with pytest.raises(
                    tf.errors.InvalidArgumentError, match=r"x must be finite and lie in \[0, 1\]"
                ):
                    signatures[name](**arguments(model, broken))
                continue
            rows = next(iter(signatures[name](**arguments(model, broken)).values())).numpy()
            assert np.isnan(rows[2]).all()
            keep = np.arange(N) != 2
            np.testing.assert_allclose(rows[keep], good[keep], rtol=1e-5, atol=1e-6)


def test_labels_that_there_are_not(served):
    how, found = served
    model, signatures = found[3]
    x = np.full((N, *SHAPE), 0.5, np.float32)
    bad = np.array([0, 1, 3, 2, -1], np.int32)
    for name in ENDPOINTS:
        if how == "error":
            with pytest.raises(tf.errors.InvalidArgumentError, match="labels must lie in 0 … 2"):
                signatures[name](**arguments(model, x, bad))
        else:
            rows = next(iter(signatures[name](**arguments(model, x, bad)).values())).numpy()
            broken = np.isnan(rows.reshape(N, -1)).all(axis=1)
            assert broken.tolist() == [False, False, True, False, True]
        with pytest.raises(tf.errors.InvalidArgumentError, match="labels must be one for each row"):
            signatures[name](**arguments(model, x, np.zeros(3, np.int32)))


def test_the_slack_of_the_bounds_is_that_of_training(served):
    how, found = served
    model, signatures = found[None]
    x = np.full((1, *SHAPE), 1.0005, np.float32)
    assert np.isfinite(signatures["energy"](x=tf.constant(x))["energy"].numpy()).all()


def test_what_is_refused(tmp_path):
    model = tf_febm.FEBM(*nets(), **settings())
    with pytest.raises(ValueError, match="bad_values must be 'error' or 'nan'; received 'zero'"):
        tf_febm.export(model, tmp_path / "a", bad_values="zero")
    with pytest.raises(ValueError, match="bad_values='nan' is for saved_model, not for tflite"):
        tf_febm.export(model, tmp_path / "a", "tflite", bad_values="nan")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["error", "nan"])
def test_levels_are_refused_by_an_energy_relative_to_a_gaussian(how, tmp_path):
    """There are no bounds then: the range of the images that the reference is of tells."""
    x = np.random.default_rng(0).random((40, 4, 4, 1)).astype("f4")
    reference = tf_febm.networks.GaussianReference().adapt(x)
    network = tf_febm.networks.strided((4, 4, 1), 4, 8, whiten=reference)
    model = tf_febm.ContrastiveDivergence(network, reference=reference)
    tf_febm.export(model, tmp_path / "m", bad_values=how)
    energy = tf.saved_model.load(str(tmp_path / "m")).signatures["energy"]
    rows = np.stack([x[0], 255.0 * x[1], x[2] - 0.3])
    if how == "error":
        with pytest.raises(tf.errors.InvalidArgumentError, match="finite and lie in"):
            energy(x=tf.constant(rows))
    else:
        assert np.isnan(energy(x=tf.constant(rows))["energy"]).tolist() == [False, True, False]
    np.testing.assert_allclose(
        energy(x=tf.constant(rows[::2]))["energy"], model.energy(rows[::2]), rtol=1e-5
    )
