"""Checks of the parts that a model is made of: networks, reference, sampler."""

import re
from collections.abc import Callable

import keras

from tf_febm import arguments
from tf_febm.networks import GaussianReference
from tf_febm.samplers import Preconditioned

__all__ = ["check_network", "checked_reference", "classes_of", "in_white", "known_shape"]


def checked_reference(reference: arguments.Reference) -> GaussianReference | None:
    """Return a reference or None, or raise an error if it cannot be used."""
    if reference is not None and not isinstance(reference, GaussianReference):
        raise TypeError(
            f"reference must be a networks.GaussianReference or None; received {reference!r}."
        )
    if reference is not None and not reference.adapted:
        raise ValueError("The reference has no fit yet: call reference.adapt(data) first.")
    return reference


def check_network(
    name: str, network: arguments.Network, energy: arguments.Tensor | None = None
) -> keras.layers.Layer:
    """Return a network, or raise an error if it is no Keras layer or has a part of the energy's.

    Two optimizers would move what is shared, and a file of Keras would hold it twice. A network
    that Keras has named gets the name of its part, which `summary` and errors show.
    """
    if not isinstance(network, keras.layers.Layer):
        raise TypeError(f"{name} must be a Keras model or layer; received {network!r}.")
    if energy is not None:
        known = {id(layer) for layer in energy._flatten_layers()}
        for layer in network._flatten_layers():
            if id(layer) in known and (layer.variables or not layer.built):
                raise ValueError(
                    f"energy and {name} must be networks of their own; they share the layer "
                    f"{layer.name}."
                )
    if re.fullmatch(rf"{_automatic(type(network))}(_\d+)?", network.name):
        network.name = name
    return network


def _automatic(kind: type) -> str:
    """Return what Keras calls the first layer of a class that is given no name."""
    words = re.sub(r"\W+", "", kind.__name__)
    words = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", words)
    return re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()


def classes_of(network: arguments.Network) -> int | None:
    """Return the width of a functional network's second input, if it has one."""
    shape = getattr(network, "input_shape", None)
    if shape and isinstance(shape[0], (tuple, list)) and len(shape) == 2:
        return shape[1][-1]
    return None


def in_white(sampler: arguments.Sampler, reference: arguments.Reference) -> Callable:
    """Return a sampler whose chains move in a reference's coordinates; as it is without one.

    Raises:
        ValueError: It has bounds, or is preconditioned by another reference.
    """
    if reference is None:
        return sampler
    if isinstance(sampler, Preconditioned):
        if sampler.reference is reference:
            return sampler
        if sampler.reference.get_config() != reference.get_config():
            raise ValueError("The sampler is preconditioned by another reference.")
        return Preconditioned(sampler.sampler, reference, sampler.spread)
    bounds = getattr(sampler, "bounds", None)
    if bounds is not None:
        raise ValueError(
            "Chains of a model with a reference move in z, where the bounds of x are no box: "
            f"give a sampler with bounds=None; received bounds={bounds}."
        )
    return Preconditioned(sampler, reference)


def known_shape(network: arguments.Network) -> tuple | None:
    """Return the shape of a network's examples, (None, …), if it tells all of it."""
    shape = getattr(network, "input_shape", None)
    if shape and isinstance(shape[0], (tuple, list)):
        shape = shape[0]
    return tuple(shape) if shape and None not in shape[1:] else None
