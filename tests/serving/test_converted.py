"""ONNX and LiteRT files give the model's own energies, or an error that says why not."""

import builtins

import keras
import numpy as np
import pytest
import tensorflow as tf
from served_models import MODELS, examples_for

import tf_febm


@keras.saving.register_keras_serializable(package="tests")
class SingularValues(keras.layers.Layer):
    """An operation that neither format has."""

    def call(self, x):
        matrix = x[:, None, :] * x[:, :, None] + tf.eye(x.shape[1])
        return tf.reduce_sum(tf.linalg.svd(matrix, compute_uv=False), -1, keepdims=True)


@pytest.fixture
def inexpressible():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3), SingularValues()])
    sampler = tf_febm.samplers.Langevin(num_steps=2, bounds=None)
    return tf_febm.ContrastiveDivergence(network, sampler=sampler)


# Every network that a row of the table has, once.
NAMES = ["febm", "febm_of_labels", "spectral", "vectors"]


@pytest.mark.parametrize("name", NAMES)
def test_onnx(name, tmp_path):
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = MODELS[name]()
    tf_febm.export(model, tmp_path / "m.onnx", "onnx")
    session = runtime.InferenceSession(str(tmp_path / "m.onnx"))
    x, labels = examples_for(model)
    for count in (1, len(x)):
        feed, part = {"x": x[:count]}, None
        if labels is not None:
            feed["labels"] = part = labels[:count]
        (energy,) = session.run(["energy"], feed)
        np.testing.assert_allclose(energy, model.energy(x[:count], part), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated.*")
@pytest.mark.parametrize("name", NAMES)
def test_tflite(name, tmp_path):
    if not hasattr(tf, "lite"):
        pytest.skip("this TensorFlow has no LiteRT")
    model = MODELS[name]()
    tf_febm.export(model, tmp_path / "m.tflite", "tflite")
    run = tf.lite.Interpreter(str(tmp_path / "m.tflite")).get_signature_runner()
    x, labels = examples_for(model)
    for count in (1, len(x)):
        feed, part = {"x": x[:count]}, None
        if labels is not None:
            feed["labels"] = part = labels[:count]
        energy = run(**feed)["energy"]
        np.testing.assert_allclose(energy, model.energy(x[:count], part), atol=1e-5)


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_an_operation_that_the_format_lacks(inexpressible, format, tmp_path):
    if format == "onnx":
        pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    with pytest.raises(ValueError, match=r"cannot express this energy: .*Svd"):
        tf_febm.export(inexpressible, tmp_path / "m", format)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "tf2onnx":
            raise ModuleNotFoundError("No module named 'tf2onnx'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="needs the packages tf2onnx and onnx"):
        tf_febm.export(MODELS["febm"](), tmp_path / "m.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_steps_are_for_chains(tmp_path):
    with pytest.raises(ValueError, match="endpoint sample, which tflite does not have"):
        tf_febm.export(MODELS["febm"](), tmp_path / "m", "tflite", num_steps=3)
