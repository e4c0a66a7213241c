"""What layers derive from their weights alone: once per chain instead of once per call."""

import contextlib
import contextvars

import keras
import tensorflow as tf

__all__ = ["PreparedLayer", "layers_of", "prepared"]

# What the enclosing `prepared` blocks hold: id of a layer -> (graph, tensors that belong to it).
# A context variable, because the replicas of a distribution strategy are traced in threads.
_HELD: contextvars.ContextVar[dict] = contextvars.ContextVar("tf_febm_prepared")


class PreparedLayer(keras.layers.Layer):
    """A layer whose `call` needs tensors that depend on its weights and not on its input.

    A subclass computes them in `prepare` and takes them from `prepared_weights()` in `call`.
    Inside a `prepared` block they are computed once, by `prepare_for_chain`.
    """

    def prepare(self):
        """Return the tensors that `call` needs, any structure, computed from the weights."""
        raise NotImplementedError

    def prepare_for_chain(self):
        """Return what `prepare` does, with anything that pays off over many calls besides."""
        return self.prepare()

    def prepared_weights(self):
        """Return the result of `prepare`: of the enclosing `prepared` block, if there is one."""
        graph, tensors = _HELD.get({}).get(id(self), (None, None))
        # Another tf.function, traced inside the block, may outlive it, and must not keep tensors
        # of the block as constants.
        return self.prepare() if tensors is None or graph is not _graph() else tensors


@contextlib.contextmanager
def prepared(*networks):
    """Compute once, for the length of a `with` block, what layers derive from weights alone.

        with networks.prepared(network):
            samples = sampler(network, x0, seed)

    A Langevin chain evaluates a network many times with the same weights. TensorFlow computes anew
    at every turn what is computed in the body of a loop, and captures what was computed before it.
    Values and input gradients are those of the same calls outside the block, up to rounding: the
    library's convolutions compute the gradient for their input with a kernel made for it (see
    `convolution.gradient_kernel`). For resnet32 with 128 filters, normalising all kernels takes
    4 ms on one CPU core: a tenth of a step on one image, and hardly anything of a step on a batch.

    Inside the block weights must not change, for the change would not be seen. Weights get their
    gradient through a tape only if the tape was recording when the block was entered. Networks
    without a `PreparedLayer` are left as they are, and so is any call from within another
    tf.function that is traced inside the block.

    Args:
        *networks: Keras models or layers, built.

    Yields:
        Nothing.
    """
    graph = _graph()
    tensors = {
        id(layer): (graph, layer.prepare_for_chain())
        for network in networks
        for layer in layers_of(network, PreparedLayer)
    }
    token = _HELD.set({**_HELD.get({}), **tensors})
    try:
        yield
    finally:
        _HELD.reset(token)


def layers_of(network, kind: type[keras.layers.Layer]) -> list:
    """Return a network's built layers of a class, at any depth, each once.

    Args:
        network: A Keras model or layer, itself included in the search.
        kind: The class.
    """
    return [layer for layer in network._flatten_layers() if isinstance(layer, kind) and layer.built]


def _graph():
    """Return the graph of the function that is being traced; None when running eagerly."""
    if tf.executing_eagerly():
        return None
    graph = tf.compat.v1.get_default_graph()
    # The bodies of loops and the branches of conditions belong to the function around them.
    while getattr(graph, "is_control_flow_graph", False):
        graph = graph.outer_graph
    return graph
