"""The energy alone, or a log ratio, as one file of another run time: ONNX or LiteRT."""

import contextlib
import io
import logging
import re
import tempfile
import warnings
from pathlib import Path

import tensorflow as tf

from tf_febm import arguments
from tf_febm.serving.endpoints import Endpoints

__all__ = ["write_onnx", "write_tflite"]

# Of 2022; run times of that year and later read it.
OPSET = 17


def write_onnx(model: arguments.Exported, path: Path) -> None:
    """Write an ONNX file with the inputs x and, if conditional, labels, and the output energy."""
    try:
        import onnx
        import tf2onnx
    except ImportError as error:
        raise ImportError(
            f"format='onnx' needs the packages tf2onnx and onnx ({error}): "
            "pip install tf_febm[onnx]"
        ) from None
    function = _energy(model)
    try:
        with _quietly():
            proto, _ = tf2onnx.convert.from_function(
                function, function.input_signature, opset=OPSET
            )
            # The converter passes on operations that it does not know, under TensorFlow's name.
            onnx.checker.check_model(proto)
    except Exception as error:
        raise ValueError(f"ONNX cannot express this energy: {_reason(error)}") from error
    Path(path).write_bytes(proto.SerializeToString())


def write_tflite(model: arguments.Exported, path: Path) -> None:
    """Write a LiteRT (TensorFlow Lite) file with the signature `serving_default`."""
    if not hasattr(tf, "lite"):
        raise ImportError(f"format='tflite' needs tf.lite; TensorFlow {tf.__version__} has none.")
    function = _energy(model)
    try:
        with _quietly(), tempfile.TemporaryDirectory() as folder:
            module = tf.Module()
            module.weights, module.energy = function.endpoints.weights, function
            tf.saved_model.save(module, folder, signatures=function.get_concrete_function())
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
            content = converter.convert()
    except Exception as error:
        raise ValueError(f"LiteRT cannot express this energy: {_reason(error)}") from error
    Path(path).write_bytes(content)


def _energy(model):
    """Return the energy as a `tf.function` of x, or of x and labels, without assertions."""
    endpoints = Endpoints(model)
    inputs = [endpoints.sample_spec]
    if model.conditional:
        inputs.append(tf.TensorSpec([None], tf.int32, name="labels"))

    def energy(x, labels=None):
        return getattr(endpoints, endpoints.first)(x, labels)

    function = tf.function(energy, input_signature=inputs, autograph=False)
    function.endpoints = endpoints
    return function


@contextlib.contextmanager
def _quietly():
    """Keep the converters' progress from the console; errors pass."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _reason(error: Exception) -> str:
    """Return what a converter found, in one line."""
    unknown = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", str(error))))
    if unknown:
        return f"it has no operation for {', '.join(unknown)}."
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else f"{type(error).__name__}."
