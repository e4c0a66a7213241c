"""Compiled functions that are traced once for batches of any size."""

from collections.abc import Callable, Hashable
from typing import Any

import tensorflow as tf

__all__ = ["program_of", "run_on_batches"]


def program_of(owner: Any, key: Hashable, make: Callable[[], Callable]) -> Callable:
    """Return a compiled function that belongs to an object, made at the first call with a key.

    A model forgets its functions when settings change that they hold as constants.

    Args:
        owner: What the function is of, such as a model: the function lives as long as it.
        key: All that the function takes as given and that may be another at the next call; to be
            kept with the function, and compared.
        make: Makes the function.
    """
    notice_changes = getattr(owner, "_notice_changes", None)
    if notice_changes is not None:
        notice_changes()
    try:
        # Past Keras, which would track the functions as parts of the model.
        programs = vars(owner).setdefault("_programs", {})
        if key not in programs:
            programs[key] = make()
        return programs[key]
    except TypeError:
        # An owner without attributes, or a key that cannot be one.
        return make()


def run_on_batches(function: Any, batches: tuple, *others: Any) -> Any:
    """Call a `tf.function` as function(*batches, *others), traced for batches of any size.

    Args:
        function: A `tf.function` without an input signature.
        batches: Tensors [n, …], or None in the place of one, for whose n no new trace is made.
        others: Further arguments: tensors, and Python values that shape the graph.
    """
    # Where there is a trace for any n, it serves for each n.
    specs = [b if b is None else tf.TensorSpec([None, *b.shape[1:]], b.dtype) for b in batches]
    function.get_concrete_function(
        *specs, *(tf.TensorSpec.from_tensor(o) if tf.is_tensor(o) else o for o in others)
    )
    return function(*batches, *others)
