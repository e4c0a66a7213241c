"""Dictionaries of arrays in pickles, read without running, or constructing, anything.

A pickle is a program for a machine with a stack. The one here knows the operations that make
numbers, strings, lists, tuples and dictionaries; what NumPy would be called for is written down,
and becomes an array of numbers by `numpy.frombuffer`, once all of it has been checked. Every
operation takes a time and a memory in proportion to its own bytes.
"""

import io
import math
import pickle
import pickletools
from typing import Any

import numpy as np

from tf_febm import arguments

__all__ = ["read_pickle"]

# Operations of a file: a batch of CIFAR has some ten thousand, in each of two lists.
_MOST_OPERATIONS = 3_000_000
# Containers inside one another: an array in a dictionary has four levels.
_DEEPEST = 8
_ARRAY = "array"
_DTYPE = "dtype"
# What arrays are made of, in both spellings of NumPy's private module, and how Python 3 writes
# bytes into pickles of protocol 2 and below.
_KNOWN = {
    "numpy ndarray": _ARRAY,
    "numpy dtype": _DTYPE,
    "numpy.core.multiarray _reconstruct": "reconstruct",
    "numpy._core.multiarray _reconstruct": "reconstruct",
    "_codecs encode": "encode",
}
# Operations whose argument is the value.
_AS_THEY_ARE = (
    *("FLOAT", "BINFLOAT", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)
# Of the downsampled ImageNet, a mean of floats stands beside the pixels.
_NUMBERS = (*(f"{sign}{size}" for sign in "ui" for size in (1, 2, 4, 8)), "f4", "f8")


class _Name:
    """What a pickle would import, which is not."""

    def __init__(self, what: str):
        self.what = what


class _Made:
    """What NumPy would make: its kind, its arguments and the state that was given to it."""

    def __init__(self, kind: str, given: tuple):
        self.kind, self.given, self.state = kind, given, ()
        self.depth = 1


class _List(list):
    depth = 1


class _Tuple(tuple):
    depth = 1


class _Dict(dict):
    depth = 1


@arguments.checked
def read_pickle(content: bytes) -> Any:
    """Return what a pickle holds: numbers, strings, bytes, lists, tuples, dictionaries, arrays.

    Eight-bit strings of Python 2 are bytes. Arrays are of numbers, at the top level or as
    values of a dictionary there.

    Args:
        content: The pickle.

    Raises:
        UnpicklingError: It asks for anything else, or is too deep or too long.
        ValueError: It is no pickle, or is cut short.
    """
    found = _Machine().run(content)
    if isinstance(found, dict):
        return {key: _plain(value) for key, value in found.items()}
    return _plain(found)


class _Machine:
    """The stack, its marks and the memory of a pickle."""

    def __init__(self):
        self.stack: list = []
        self.marks: list[int] = []
        self.memory: dict[int, Any] = {}
        self.encoded = self.most = 0

    def run(self, content: bytes) -> Any:
        self.most = len(content)
        count = 0
        try:
            for operation, argument, _ in pickletools.genops(io.BytesIO(content)):
                count += 1
                if count > _MOST_OPERATIONS:
                    raise pickle.UnpicklingError(f"it has more than {_MOST_OPERATIONS} operations.")
                if operation.name == "STOP":
                    return self.pop()
                self.step(operation.name, argument)
        except (IndexError, KeyError, RecursionError, OverflowError) as error:
            raise ValueError(f"it is damaged: {type(error).__name__}") from None
        raise ValueError("it is cut short")

    def step(self, name: str, argument) -> None:
        if name in ("PROTO", "FRAME"):
            return
        if name in ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"):
            if not isinstance(argument, bool) and abs(argument) >= 2**64:
                raise pickle.UnpicklingError("it holds a number of more than 64 bits.")
            self.stack.append(argument)
        elif name in _AS_THEY_ARE:
            self.stack.append(argument)
        elif name in ("STRING", "BINSTRING", "SHORT_BINSTRING"):
            self.stack.append(argument.encode("latin1"))
        elif name in ("NONE", "NEWTRUE", "NEWFALSE"):
            self.stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name == "POP":
            self.pop()
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memory[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memory[len(self.memory)] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memory[argument])
        elif name == "GLOBAL":
            self.stack.append(_known(argument))
        elif name == "STACK_GLOBAL":
            attribute, module = self.pop(), self.pop()
            self.stack.append(_known(f"{module} {attribute}"))
        elif name == "REDUCE":
            arguments, function = self.pop(), self.pop()
            made = _called(function, arguments)
            if isinstance(made, bytes):
                # A text is written once, and could be encoded ten thousand times.
                self.encoded += len(made)
                if self.encoded > self.most:
                    raise pickle.UnpicklingError("it repeats a text.")
            self.stack.append(made)
        elif name == "BUILD":
            state = self.pop()
            made = self.stack[-1]
            if not isinstance(made, _Made) or not isinstance(state, tuple):
                raise pickle.UnpicklingError("it gives a state to what has none.")
            made.state = state
            _deepen(made, state)
        else:
            self._of_containers(name)

    def _of_containers(self, name: str) -> None:
        if name in ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE"):
            made = {"EMPTY_LIST": _List, "EMPTY_DICT": _Dict, "EMPTY_TUPLE": _Tuple}[name]()
            self.stack.append(made)
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            items = [self.pop() for _ in range(int(name[-1]))][::-1]
            self.stack.append(_filled(_Tuple(items), items))
        elif name in ("TUPLE", "LIST"):
            items = self.pop_to_mark()
            self.stack.append(_filled(_Tuple(items) if name == "TUPLE" else _List(items), items))
        elif name == "DICT":
            items = self.pop_to_mark()
            self.stack.append(_Dict())
            self.set_items(items)
        elif name in ("APPEND", "APPENDS"):
            items = [self.pop()] if name == "APPEND" else self.pop_to_mark()
            target = self.stack[-1]
            if not isinstance(target, _List):
                raise pickle.UnpicklingError("it appends to what is no list.")
            target.extend(items)
            _filled(target, items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [self.pop(), self.pop()][::-1] if name == "SETITEM" else self.pop_to_mark()
            self.set_items(items)
        else:
            raise pickle.UnpicklingError(f"refused the operation {name}.")

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ValueError("it is damaged: it takes what is not there")
        return self.stack.pop()

    def pop_to_mark(self) -> list:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def set_items(self, items: list) -> None:
        target = self.stack[-1]
        if not isinstance(target, _Dict) or len(items) % 2:
            raise pickle.UnpicklingError("it sets items of what is no dictionary.")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # The hash of anything deep may take for ever.
            if not isinstance(key, (str, bytes, int)):
                raise pickle.UnpicklingError("it has a key that is no string and no whole number.")
            target[key] = value
        _filled(target, items)


def _filled(container, items: list):
    for item in items:
        _deepen(container, item)
    return container


def _deepen(container, item) -> None:
    """Keep count of how deep things lie in one another."""
    depth = getattr(item, "depth", 0) + 1
    if depth > container.depth:
        container.depth = depth
    if depth > _DEEPEST or item is container:
        raise pickle.UnpicklingError(
            f"its containers lie more than {_DEEPEST} deep in one another."
        )


def _known(name: str) -> _Name:
    if name not in _KNOWN:
        raise pickle.UnpicklingError(f"refused to load {name.replace(' ', '.')[:100]}.")
    return _Name(_KNOWN[name])


def _called(function, arguments):
    """Return what a call of one of the known functions stands for."""
    if not isinstance(function, _Name) or not isinstance(arguments, tuple):
        raise pickle.UnpicklingError("it calls what cannot be called.")
    if function.what == "encode" and len(arguments) == 2 and isinstance(arguments[0], (str, bytes)):
        text = arguments[0]
        return text.encode("latin1") if isinstance(text, str) else text
    if function.what == "reconstruct" and arguments and isinstance(arguments[0], _Name):
        return _Made(_ARRAY, arguments)
    if function.what == _DTYPE and arguments and isinstance(arguments[0], (str, bytes)):
        return _Made(_DTYPE, arguments)
    raise pickle.UnpicklingError(f"refused to call {function.what} like this.")


def _plain(value):
    """Return an array for what stands for one, and plain containers for ours."""
    for ours, plain in ((_List, list), (_Tuple, tuple), (_Dict, dict)):
        if isinstance(value, ours):
            return plain(value)
    if not isinstance(value, _Made):
        return value
    if value.kind != _ARRAY or len(value.state) != 5:
        raise pickle.UnpicklingError("it holds an array without contents.")
    _, shape, made, fortran, content = value.state
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise pickle.UnpicklingError("it holds an array without a shape.")
    dtype = _dtype(made)
    if not isinstance(content, bytes) or len(content) != math.prod(shape) * dtype.itemsize:
        raise pickle.UnpicklingError(f"it holds an array {list(shape)[:8]} of another size.")
    if len(shape) > _DEEPEST:
        raise pickle.UnpicklingError(f"it holds an array of {len(shape)} axes.")
    array = np.frombuffer(content, dtype)
    return array.reshape(shape, order="F" if fortran is True or fortran == 1 else "C")


def _dtype(made) -> np.dtype:
    """Return the type of numbers that a pickled one says."""
    if not isinstance(made, _Made) or made.kind != _DTYPE:
        raise pickle.UnpicklingError("it holds an array without a type.")
    name = made.given[0]
    name = (name.decode("latin1") if isinstance(name, bytes) else name).lstrip("|<>=")
    order = made.state[1] if len(made.state) > 1 else "="
    order = order.decode("latin1") if isinstance(order, bytes) else order
    if name not in _NUMBERS or order not in ("|", "<", ">", "="):
        raise pickle.UnpicklingError(
            f"it holds an array of {name[:20]!r}; accepted are numbers, {', '.join(_NUMBERS)}."
        )
    return np.dtype(order + name) if order != "|" else np.dtype(name)
