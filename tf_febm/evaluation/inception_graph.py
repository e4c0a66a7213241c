"""The Inception network of the published FID and Inception scores, from a local file."""

import hashlib
from pathlib import Path

import tensorflow as tf

from tf_febm.evaluation.feature_network import PhotographNetwork, one_line

__all__ = ["InceptionGraph"]

INPUT = "ExpandDims:0"
FEATURES = "pool_3:0"
LOGITS = "softmax/logits/MatMul"

# Bytes, features and classes of the file of 2015-12-05, for which no official checksum is known.
# They tell it from other graphs with these tensor names, not from a copy altered on purpose.
PUBLISHED = (95_673_916, 2048, 1008)


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
        ValueError: It is no frozen graph with the tensors above, or the batch size is below 1.

    Source: Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016; used
    for scores by Salimans et al., 2016, and Heusel et al., 2017.
    """

    def __init__(self, path, batch_size: int = 50):
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
        return path.read_bytes()
    except OSError as error:
        raise type(error)(
            f"The Inception graph {path} can not be read ({error.strerror}); accepted is "
            "classify_image_graph_def.pb, from the archive inception-2015-12-05.tgz of "
            "download.tensorflow.org."
        ) from None


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
    # Shapes recorded for a batch of one would contradict those of larger ones.
    for node in graph_def.node:
        node.attr.pop("_output_shapes", None)
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
    if None in (features.shape[-1], logits.shape[-1]):
        raise ValueError(
            f"{path}: {FEATURES} must have a known width; received shape {pool.shape}."
        )
    return tf.compat.v1.Session(graph=graph), pixels, outputs
