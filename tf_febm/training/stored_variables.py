"""The variables in TensorFlow's own file of a checkpoint: their names, and whose they are.

A variable is stored as <group>/<number>, the groups being those of a model's `state_variables`.
"""

import re

import tensorflow as tf

__all__ = ["UNREADABLE", "VALUE", "compare", "is_own", "kind_and_number"]

# What TensorFlow puts behind the name of a variable.
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
# What it raises, in one place or another, where it cannot read a file.
UNREADABLE = (tf.errors.OpError, RuntimeError, AssertionError, IndexError, OSError)
# Groups of variables that each replica has for itself.
_OWN = re.compile(r"(buffer|directions)(?:_(\d+))?")
# Groups that checkpoints of earlier versions do not have; what the model has stays.
_LATER = ("mean_weight", "class_counts")
_OF_A_BUFFER = " Give the buffer the capacity and the storage of the run that wrote it."


def is_own(group: str) -> bool:
    """Whether a group of the model's state is one replica's alone."""
    return _OWN.fullmatch(group) is not None


def kind_and_number(group: str) -> tuple[str, int]:
    """Return what a group that is one replica's alone is, and the number of the replica."""
    kind, number = _OWN.fullmatch(group).groups()
    return kind, int(number or 0)


def compare(path: str, groups: dict[str, list[tf.Variable]], whole: bool = True) -> None:
    """Compare the variables of a checkpoint with those of a model.

    Of what replicas have for themselves the first stands for all: their number may differ.

    Args:
        path: Prefix of TensorFlow's files.
        groups: The model's `state_variables`.
        whole: Whether the model must have all that is stored; a later worker has not the first's
            buffer.

    Raises:
        ValueError: The checkpoint is of another model; it names the first variable that differs.
        OSError: It cannot be read at the moment.
    """
    try:
        reader = tf.train.load_checkpoint(path)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise OSError(f"Checkpoint {path} cannot be read at the moment: {reason}.") from None
    dtypes = reader.get_variable_to_dtype_map()
    stored = {
        name.removesuffix(VALUE): _form(shape, dtypes[name])
        for name, shape in reader.get_variable_to_shape_map().items()
        if name.endswith(VALUE)
    }
    stored.pop("save_counter", None)
    ours = {
        f"{group}/{i}": _form(variable.shape.as_list(), variable.dtype)
        for group, variables in groups.items()
        for i, variable in enumerate(variables)
        if group not in _LATER or f"{group}/{i}" in stored
    }
    stored, ours = _of_the_first(stored), _of_the_first(ours)
    if not whole:
        stored = {name: shape for name, shape in stored.items() if name in ours}
    differing = sorted(
        name for name in stored.keys() | ours.keys() if stored.get(name) != ours.get(name)
    )
    if differing:
        first = differing[0]
        raise ValueError(
            f"Checkpoint {path} is of another model: {len(differing)} of {len(ours)} variables "
            f"differ, first {first} with shape {stored.get(first)} there and {ours.get(first)} "
            "here." + (_OF_A_BUFFER if first.startswith("buffer") else "")
        )


def _form(shape: list, dtype) -> str:
    return f"{list(shape)} {tf.as_dtype(dtype).base_dtype.name}"


def _of_the_first(shapes: dict[str, str]) -> dict[str, str]:
    def another(name: str) -> bool:
        group = name.partition("/")[0]
        return is_own(group) and kind_and_number(group)[1] > 0

    return {name: shape for name, shape in shapes.items() if not another(name)}
