"""Cached weights: what layers derive from their weights alone, once per chain."""

import contextlib
import contextvars
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments
from tf_febm.renamed import earlier_names

__all__ = ["CachedWeightsLayer", "cached_weights", "layers_of", "products_in"]

# What the enclosing `cached_weights` blocks hold: id of a layer -> `_Held`.
# A context variable, because the replicas of a distribution strategy are traced in threads.
_CACHE: contextvars.ContextVar[dict] = contextvars.ContextVar("tf_febm_cached_weights")
# The dtype of the enclosing `products_in` block, and the graph in which it was entered.
_PRODUCTS: contextvars.ContextVar[tuple] = contextvars.ContextVar("tf_febm_products_in")

# Methods of layers from before version 0.2, which still count for one version.
_EARLIER_METHODS = {
    "prepare": "compute_weights",
    "prepare_for_chain": "compute_weights_for_chain",
}


class CachedWeightsLayer(keras.layers.Layer):
    """A layer whose `call` needs tensors that depend on its weights and not on its input.

    A subclass computes them in `compute_weights` and takes them from `cached_weights()` in `call`.
    Inside a `cached_weights` block they are computed once, by `compute_weights_for_chain`.
    """

    # Whether `call` multiplies in the dtype of its weights, whatever that of its input: inside a
    # `products_in` block such a layer is given weights of 16 bits.
    multiplies_in_dtype_of_weights = False

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for earlier, present in _EARLIER_METHODS.items():
            if earlier in vars(cls):
                warnings.warn(
                    f"{cls.__name__}.{earlier} is now {present}; the earlier name goes with the "
                    "next version.",
                    DeprecationWarning,
                    stacklevel=2,
                )
                setattr(cls, present, vars(cls)[earlier])

    def compute_weights(self) -> Any:
        """Return the tensors that `call` needs, any structure, computed from the weights."""
        raise NotImplementedError

    def compute_weights_for_chain(self) -> Any:
        """Return what `compute_weights` does, and what pays off over many calls besides."""
        return self.compute_weights()

    def cached_weights(self) -> Any:
        """Return what the enclosing `cached_weights` block holds, else `compute_weights`'s."""
        held = _CACHE.get({}).get(id(self))
        # Another tf.function, traced inside the block, may outlive it, and must not keep tensors
        # of the block as constants, nor multiply as the block does.
        if held is None or held.graph is not _graph():
            return self.compute_weights()
        dtype, graph = _PRODUCTS.get(("float32", None))
        short = self.multiplies_in_dtype_of_weights and self.compute_dtype == "float32"
        return held.cast(dtype) if short and graph is held.graph else held.tensors

    prepared_weights = cached_weights


class _Held:
    """What a layer derived from its weights at the head of a block.

    Args:
        graph: The graph of the block; None if it runs eagerly.
        tensors: Any structure of tensors, and of what is none.
    """

    def __init__(self, graph, tensors: Any):
        self.graph, self.tensors = graph, tensors
        self._cast = {"float32": tensors}

    def cast(self, dtype: str) -> Any:
        """Return the tensors, those of float32 in another dtype; cast once, outside of loops."""
        if dtype not in self._cast:
            with contextlib.nullcontext() if self.graph is None else self.graph.as_default():
                self._cast[dtype] = tf.nest.map_structure(
                    lambda t: tf.cast(t, dtype) if tf.is_tensor(t) and t.dtype == tf.float32 else t,
                    self.tensors,
                )
        return self._cast[dtype]


@contextlib.contextmanager
def products_in(dtype: str) -> Iterator[None]:
    """Multiply by cached weights in a dtype, for the length of a `with` block.

    Inside, layers that hold weights of an enclosing `cached_weights` block, and compute in float32,
    round both factors of their products to the dtype, and then the sums, which are taken in
    float32; so is the bias of a `Conv2D`, which is part of its sums. All else stays in float32:
    other biases, activations, sums of maps, layers without such weights, and what a network
    computes outside of the block or in a tf.function of its own.

    Args:
        dtype: "float32" or "bfloat16".

    Yields:
        Nothing.
    """
    token = _PRODUCTS.set((dtype, _graph()))
    try:
        yield
    finally:
        _PRODUCTS.reset(token)


@contextlib.contextmanager
@arguments.checked
def cached_weights(*networks: Any) -> Any:
    """Compute once, for the length of a `with` block, what layers derive from weights alone.

        with networks.cached_weights(network):
            samples = sampler(network, x0, seed)

    A Langevin chain evaluates a network many times with the same weights. TensorFlow computes anew
    at every turn what is computed in the body of a loop, and captures what was computed before it.
    Values and input gradients are those of the same calls outside the block, up to rounding: the
    library's convolutions compute the gradient for their input with a kernel made for it (see
    `convolution.gradient_kernel`).

    Inside the block weights must not change, for the change would not be seen. Weights get their
    gradient through a tape only if the tape was recording when the block was entered. Networks
    without a `CachedWeightsLayer` are left as they are, and so is any call from within another
    tf.function that is traced inside the block.

    Args:
        *networks: Keras models or layers, built.

    Yields:
        Nothing.
    """
    graph = _graph()
    tensors = {
        id(layer): _Held(graph, layer.compute_weights_for_chain())
        for network in networks
        for layer in layers_of(network, CachedWeightsLayer)
    }
    token = _CACHE.set({**_CACHE.get({}), **tensors})
    try:
        yield
    finally:
        _CACHE.reset(token)


def layers_of(network: arguments.Network, kind: type[keras.layers.Layer]) -> list:
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


__getattr__ = earlier_names(
    __name__,
    {"PreparedLayer": f"{__name__}:CachedWeightsLayer", "prepared": f"{__name__}:cached_weights"},
)
