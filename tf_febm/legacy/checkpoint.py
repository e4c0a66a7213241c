"""One scope of a TensorFlow-1 checkpoint, with errors in one line."""

import re
from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["ScopeReader"]

_SLOT = re.compile(r"(.+)/Adam(_\d+)?")

# What TensorFlow raises about files that are damaged or absent depends on where it notices.
_READ_ERRORS = (tf.errors.OpError, RuntimeError, ValueError, LookupError, OSError)


class ScopeReader:
    """Read the variables under one scope of a checkpoint.

    What the original's optimizer, Adam, keeps for a variable of the same shape, `variable/Adam`,
    `variable/Adam_1` and so on, is left out.

    Args:
        checkpoint: The path without `.index` and `.data-…`.
        scope: The first part of the variables' names.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It cannot be read, or has no such scope.
    """

    def __init__(self, checkpoint: Any, scope: str):
        self.checkpoint, self.scope = str(checkpoint), scope
        if not tf.io.gfile.exists(f"{self.checkpoint}.index"):
            raise FileNotFoundError(
                f"There is no checkpoint {self.checkpoint}: expected the path of its .index file, "
                "without that ending."
            )
        try:
            # `tf.train.load_checkpoint` takes a folder of this name, if there is one, for whatever
            # checkpoint its own list names as the newest.
            self._reader = tf.compat.v1.train.NewCheckpointReader(self.checkpoint)
            shapes = self._reader.get_variable_to_shape_map()
            self._dtypes = self._reader.get_variable_to_dtype_map()
        except _READ_ERRORS as error:
            raise self._unreadable(error) from None
        own = {name for name in shapes if not self._is_slot(name, shapes)}
        start = f"{scope}/"
        # Shapes by the names that are left without the scope.
        self.shapes: dict[str, tuple[int, ...]] = {
            name.removeprefix(start): tuple(shapes[name]) for name in own if name.startswith(start)
        }
        if not self.shapes:
            found = sorted({name.partition("/")[0] for name in own if "/" in name})
            raise ValueError(
                f"{self.checkpoint} has no scope {scope!r}; found {', '.join(found) or 'none'}."
            )

    @staticmethod
    def _is_slot(name: str, shapes: dict) -> bool:
        match = _SLOT.fullmatch(name)
        return bool(match) and shapes.get(match[1]) == shapes[name]

    def value_fault(self, name: str) -> str:
        """Return what is wrong with a variable's values, or nothing."""
        dtype = self._dtypes[f"{self.scope}/{name}"]
        if dtype != tf.float32:
            return f"{name} is {dtype.name} and not float32"
        broken = np.count_nonzero(~np.isfinite(self.read(name)))
        return f"{name} has {broken} NaN or infinite" if broken else ""

    def read(self, name: str) -> np.ndarray:
        """Return a variable as an array, by its name without the scope."""
        try:
            return self._reader.get_tensor(f"{self.scope}/{name}")
        except _READ_ERRORS as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error) -> ValueError:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return ValueError(f"{self.checkpoint} cannot be read; is it complete? {reason}")
