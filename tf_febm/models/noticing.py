"""Changes of a model that its compiled functions hold as constants, and their detection."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments
from tf_febm.models import updates

__all__ = ["NoticeChanges", "Noticing"]


class NoticeChanges(keras.callbacks.Callback):
    """Let what a callback assigns to the model take effect from the next epoch on."""

    def on_epoch_begin(self, epoch: int, logs: arguments.Logs | None = None) -> None:
        """Look at the settings."""
        self.model._notice_changes()


class Noticing(keras.Model):
    """The part of a model that keeps what is compiled and what is assigned in step."""

    # The arguments that steps depend on and that may be assigned, each with its check,
    # (name, value) -> value.
    SETTINGS: dict[str, Callable[[str, Any], Any]] = {}

    # For type checkers, which do not know Keras.
    built: Any
    # What compiled functions held when the model was last looked at.
    _held: Any = None
    # Whether the weights that steps are given have a mean of 1 over all data, as `fit` gives those
    # of arrays; else they are divided by the mean of what training has seen.
    _weights_are_relative = False
    # The ids of the weights that their optimizer has not moved yet; see `updates.mark_unmoved`.
    _fresh: frozenset[int] = frozenset()
    # The ids of the weights that were trainable when the model was compiled or last looked at.
    _trained: list[int] | None = None

    def _check_settings(self) -> None:
        """Raise a ValueError if an argument that may be assigned is out of its range."""
        for name, check in self.SETTINGS.items():
            setattr(self, name, check(name, getattr(self, name)))

    def _settings(self) -> dict:
        """Return the arguments that steps depend on and that may be assigned, by name."""
        return {name: getattr(self, name) for name in self.SETTINGS}

    def _forget_compiled(self) -> None:
        """Have all compiled functions traced anew: they hold constants that have changed."""
        self.__dict__.pop("_programs", None)
        self._compiled_chain = tf.function(self._chain, autograph=False, reduce_retracing=True)
        if self.train_function is not None:
            # Not None: a running `fit` calls it.
            self.make_train_function(force=True)
        self.test_function = None

    def _notice_changes(self) -> None:
        """Trace anew if what compiled functions hold as constants has changed since the last call.

        That is: settings of the model, of its sampler, buffer and optimizers, and which layers are
        frozen. Other settings of layers, such as their regularisers, are Keras' own: it asks for
        `compile` after them.
        """
        self._check_settings()
        trained = self._trained_ids()
        parts = [_description(part) for part in (self.sampler, self.buffer)]
        if self._held is None or parts != list(self._held[1:3]):
            _check_parts(self.sampler, self.buffer)
        optimizers = [_optimizer_description(optimizer) for _, optimizer in self._players()]
        held = (
            repr(self._settings()), *parts, trained, self._weights_are_relative, optimizers
        )  # fmt: skip
        if self._held is not None and optimizers != self._held[-1]:
            self._build_optimizers()
        self._notice_unfrozen()
        if self._held is not None and held != self._held:
            self._forget_compiled()
        self._held = held

    def _trained_ids(self) -> list[int]:
        return [id(v) for network in self.networks for v in network.trainable_variables]

    def _notice_unfrozen(self) -> None:
        """Note which weights an optimizer has not moved because their layers were frozen."""
        trained = self._trained_ids()
        unfrozen = frozenset(trained) - frozenset(self._trained or trained)
        if unfrozen:
            updates.mark_unmoved(self._players(), unfrozen)
        if unfrozen or self._held is None:
            self._fresh |= updates.marked(self._players())
        self._trained = trained


def _description(part) -> str:
    """Return what tells settings of a sampler or buffer apart."""
    get_config = getattr(part, "get_config", None)
    if get_config is not None:
        return f"{type(part).__name__} {get_config()}"
    plain = (bool, int, float, str, tuple, type(None))
    attributes = getattr(part, "__dict__", {})
    settings = {name: value for name, value in attributes.items() if isinstance(value, plain)}
    return f"{type(part).__name__} {id(part)} {settings}"


def _optimizer_description(optimizer) -> str | None:
    """Return what tells an optimizer and its settings apart, but for what its variables hold."""
    if optimizer is None:
        return None
    plain = (bool, int, float, str, type(None))
    settings = {
        name: value
        for name, value in vars(optimizer).items()
        if isinstance(value, plain) and name != "built" and not name.startswith("_")
    }
    inner = _optimizer_description(getattr(optimizer, "inner_optimizer", None))
    return f"{id(optimizer)} {settings} {inner}"


def _check_parts(sampler, buffer) -> None:
    """Raise a ValueError if what was assigned to a sampler or buffer cannot be."""
    for part in (sampler, buffer):
        if type(part).__module__.startswith("tf_febm.") and hasattr(type(part), "from_config"):
            # Constructors check their arguments.
            type(part).from_config(part.get_config())
    bounds = getattr(sampler, "bounds", None)
    if buffer is not None and buffer.built and bounds != buffer.bounds:
        raise ValueError(
            f"The replay buffer holds samples with bounds {buffer.bounds}; the sampler has bounds "
            f"{bounds}: make another buffer for them, and assign it to the model."
        )
