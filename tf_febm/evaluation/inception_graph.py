"""The Inception network of the published FID and Inception scores, from a local file."""

import hashlib
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_febm import arguments, untrusted_files
from tf_febm.evaluation.feature_network import PhotographNetwork, one_line

__all__ = ["InceptionGraph"]

INPUT = "ExpandDims:0"
FEATURES = "pool_3:0"
LOGITS = "softmax/logits/MatMul"

# Bytes, features and classes of the file of 2015-12-05, for which no official checksum is known.
# They tell it from other graphs with these tensor names, not from a copy altered on purpose.
PUBLISHED = (95_673_916, 2048, 1008)

# All that the published graph consists of, and what its like may: functions of their inputs alone.
OPERATIONS = frozenset(
    (
        *("Add", "AddV2", "AvgPool", "BatchNormWithGlobalNormalization", "BiasAdd", "Cast"),
        *("CheckNumerics", "Concat", "ConcatV2", "Const", "Conv2D", "DecodeJpeg", "ExpandDims"),
        *("FusedBatchNorm", "FusedBatchNormV3", "Identity", "MatMul", "Maximum", "MaxPool", "Mul"),
        *("NoOp", "Pad", "Placeholder", "RealDiv", "Relu", "Relu6", "Reshape", "ResizeBilinear"),
        *("Rsqrt", "Softmax", "Squeeze", "Sub"),
    )
)
# Elements of one tensor of one image; the largest of the published network has 1.4 million.
LARGEST = 1 << 25


@arguments.checked
class InceptionGraph(PhotographNetwork):
    """Compute the features of the published scores: the frozen graph of 2015-12-05.

    Its file, `classify_image_graph_def.pb`, is in the archive
    http://download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz (89 MB); nothing
    is downloaded here. As in the original code, images enter at `ExpandDims:0` as 8-bit values,
    the graph itself resizes them to 299×299, features are `pool_3:0`, and class probabilities are
    the softmax of the features times the weights of `softmax/logits/MatMul`, *without* the biases
    that the graph adds after it.

    Only the published file makes figures that may be called FID and Inception score: `published`
    tells whether the length of the file and the widths of both tensors are its. Another frozen
    graph with the same tensor names works too; its `feature_network` is "frozen-graph:" with a
    hash, and `fingerprint` is the SHA-256 of the file.

    The graph runs in a TensorFlow 1 session: it holds `BatchNormWithGlobalNormalization`, an
    operation that current functions refuse and sessions still run in graphs of its age.

    Args:
        path: The file.
        batch_size: Images in one forward pass, at least 1.

    Raises:
        OSError: There is no such file, or it can not be read.
        ValueError: It is no frozen graph with the tensors above, or has operations that the
            published one does not have, or the batch size is below 1.

    Source: Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016; used
    for scores by Salimans et al., 2016, and Heusel et al., 2017.
    """

    def __init__(self, path: arguments.Path, batch_size: int = 50):
        contents = _read(Path(path))
        session, pixels, outputs = _prepared(contents, path)
        widths = [int(output.shape[-1]) for output in outputs]
        self.published = (len(contents), *widths) == PUBLISHED
        fingerprint = hashlib.sha256(contents).hexdigest()
        name = "inception-2015-12-05" if self.published else f"frozen-graph:{fingerprint[:12]}"
        super().__init__(
            lambda images: session.run(outputs, {pixels: images}), name, fingerprint, batch_size
        )


def _read(path: Path) -> bytes:
    try:
        return untrusted_files.read_bytes(path)
    except (untrusted_files.RefusedError, OSError) as error:
        kind, reason = OSError, str(error)
        if isinstance(error, OSError):
            kind, reason = type(error), error.strerror
        raise kind(
            f"The Inception graph {path} can not be read ({reason}); "
            "accepted is classify_image_graph_def.pb, from the archive inception-2015-12-05.tgz of "
            "download.tensorflow.org."
        ) from None


def _check(graph_def, path) -> None:
    """Raise a ValueError if a graph has other operations than the published one, or huge tensors.

    TensorFlow runs whatever a graph asks for, and some operations write files.
    """
    if graph_def.library.function:
        raise ValueError(f"{path}: a graph with functions of its own is not run.")
    for node in graph_def.node:
        if node.op not in OPERATIONS:
            raise ValueError(
                f"{path}: the operation {node.op[:60]} of {node.name[:60]!r} is not run; accepted "
                f"are those of classify_image_graph_def.pb: {', '.join(sorted(OPERATIONS))}."
            )
        for name, value in node.attr.items():
            if value.WhichOneof("value") in ("func", "placeholder") or value.list.func:
                raise ValueError(f"{path}: {node.name[:60]!r} calls a function, {name}.")
            if value.WhichOneof("value") == "tensor":
                _check_tensor(value.tensor, node.name, path)


def _check_tensor(tensor, name: str, path) -> None:
    """Raise a ValueError if a constant is larger than what stands in the file for it."""
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    elements = int(np.prod(sizes, dtype=object))
    if min(sizes, default=1) < 0 or elements > LARGEST:
        raise ValueError(
            f"{path}: the constant {name[:60]!r} has the shape {sizes[:8]}; accepted are up to "
            f"{LARGEST:,} elements."
        )


def _check_outputs(graph, path) -> None:
    """Raise a ValueError if an operation makes far larger tensors than the published network."""
    for operation in graph.get_operations():
        for output in operation.outputs:
            known = [size for size in (output.shape.as_list() if output.shape.rank else []) if size]
            if int(np.prod(known, dtype=object)) > LARGEST:
                raise ValueError(
                    f"{path}: {operation.name[:60]!r} makes {known} numbers of an image; accepted "
                    f"are up to {LARGEST:,}."
                )


def _prepared(contents: bytes, path):
    """Return (session, input tensor, [features [n, d], probabilities [n, classes]])."""
    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(contents)
    except Exception as error:
        # protobuf's DecodeError has moved between modules; nothing else is raised there.
        raise ValueError(
            f"{path} ({len(contents):,} bytes) is no frozen TensorFlow graph ({one_line(error)}); "
            f"classify_image_graph_def.pb has {PUBLISHED[0]:,} bytes."
        ) from None
    _check(graph_def, path)
    # Shapes recorded for a batch of one would contradict those of larger ones; nor is anything else
    # needed that is addressed to other programs.
    for node in graph_def.node:
        node.device = ""
        for name in [name for name in node.attr if name.startswith("_")]:
            node.attr.pop(name)
    graph = tf.Graph()
    try:
        with graph.as_default():
            pixels = tf.compat.v1.placeholder(tf.float32, (None, None, None, 3))
            pool, product = tf.graph_util.import_graph_def(
                graph_def,
                input_map={INPUT: pixels},
                return_elements=[FEATURES, LOGITS],
                name="",
            )
            features = tf.squeeze(pool, [1, 2])
            logits = tf.matmul(features, product.inputs[1])
            outputs = [features, tf.nn.softmax(logits)]
    except (ValueError, TypeError, IndexError, tf.errors.OpError) as error:
        raise ValueError(
            f"{path} does not hold the tensors {INPUT}, {FEATURES} and {LOGITS} of "
            f"classify_image_graph_def.pb ({one_line(error)})."
        ) from None
    _check_outputs(graph, path)
    if None in (features.shape[-1], logits.shape[-1]):
        raise ValueError(
            f"{path}: {FEATURES} must have a known width; received shape {pool.shape}."
        )
    return tf.compat.v1.Session(graph=graph), pixels, outputs
