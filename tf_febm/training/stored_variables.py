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
        ValueError: If the checkpoint is of another model; it names the first variable that differs.
        OSError: If it cannot be read at the moment.
    """
    try:
        listed = tf.train.list_variables(path)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise OSError(f"Checkpoint {path} cannot be read at the moment: {reason}.") from None
    stored = {
        name.removesuffix(VALUE): list(shape) for name, shape in listed if name.endswith(VALUE)
    }
    stored.pop("save_counter", None)
    ours = {
        f"{group}/{i}": variable.shape.as_list()
        for group, variables in groups.items()
        for i, variable in enumerate(variables)
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
            "here."
        )


def _of_the_first(shapes: dict[str, list]) -> dict[str, list]:
    def another(name: str) -> bool:
        group = name.partition("/")[0]
        return is_own(group) and kind_and_number(group)[1] > 0

    return {name: shape for name, shape in shapes.items() if not another(name)}
