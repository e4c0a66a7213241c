"""Bad values for each kind of argument, and good ones of other types."""

import math
import pathlib

import numpy as np
import tensorflow as tf
from hypothesis import strategies as st

__all__ = ["BAD", "GOOD", "bad"]

NO_NUMBERS = ("", "3", "0.5", "nan", b"3", 1j, [], [1], (2,), {}, {1: 2}, object(), len)
NO_OBJECTS = (3, 0.5, "x", "no such", b"x", True, [], [1], {}, object(), np.zeros(3))

x = np.zeros((4, 4, 4, 1), np.float32)
NO_ARRAYS = ("", "abc", b"abc", object(), {"x": 1}, {"image": x}, len, 1j, ["a", "b"], [[1.0],
    [1.0, 2.0]],
             np.array(["a", "b"]), np.array([1j, 2j]), np.array([None, 1.0]),
                 np.array([object()] * 2),
             np.datetime64("2020-01-01"), np.array(["2020-01-01"] * 2, "M8[D]"))  # fmt: skip
NO_LABELS = (3, -1, 0.5, "a", ["a", "b"], object(), {}, len, 1j, np.zeros(5, np.float32),
             np.full((4, 3), np.nan, np.float32), np.full((4, 3), 7.0, np.float32), [[0.2, 0.2,
                 0.2]] * 4,
             np.array([0, 1, 2, 2**31 - 2]), np.array([-1, 0, 1, 2]), np.array([0, 1]),
                 np.zeros((4, 3, 1)),
             np.array([1j] * 4), np.array([None] * 4), np.array([True] * 4), [0, 1, 2, 99],
                 2**31 - 2)  # fmt: skip

BAD: dict[str, tuple] = {
    "switch": ("False", "True", "yes", "", 0, 1, 2, 1.0, -1, math.nan, b"1", [], [True], {},
        object(), 1j,
               np.array([True, False]), np.zeros(2), np.str_("True")),
    "count": (*NO_NUMBERS, True, False, 1.5, -1.0, math.nan, math.inf, -math.inf, np.float32(1.5),
        10**30,
              -(10**30), -1, np.array([1, 2]), "10", np.bool_(True), 1e30),
    "number": (*NO_NUMBERS, True, False, math.nan, math.inf, -math.inf, np.float64("nan"), 10**400,
               np.array([0.1, 0.2]), np.complex64(1), np.bool_(True)),
    "probability": (*NO_NUMBERS, True, math.nan, math.inf, -0.1, 1.5, -1, 2, 1e300,
        np.array([0.1])),
    "bounds": ("01", "ab", b"01", 1, 0.5, True, (), (1,), (1.0, 0.0), (0.0, 0.0), (0.0, math.nan),
               (0.0, math.inf), (-math.inf, 1.0), (0, 1, 2), ("0", "1"), (True, False), (False,
                   True), {0: 1, 1: 2},
               object(), (None, 1.0), (0j, 1j), np.zeros(2), np.zeros((2, 2)), {0.0, 1.0}),
    "seed": ("1", "", b"1", 1.5, True, math.nan, (1,), (1, 2, 3), (1.0, 2.0), ("a", "b"), [], {},
        object(), 1j, len,
             np.zeros(2), np.zeros((2, 2), np.int32), (True, False), (None, 1)),
    "whole seed": ("1", "", b"1", 1.5, True, math.nan, (1,), (1, 2, 3), [], {}, object(), 1j, -1,
        len),
    "array": NO_ARRAYS,
    "samples": (*NO_ARRAYS, 3, 0.5, True, x[0], x[..., 0], x[:, :3], np.zeros((4, 16, 1),
        np.float32),
                np.zeros((4, 64), np.float32), np.zeros((4, 5, 5, 1), np.float32),
                x.astype(np.int32), x.astype(np.complex64), x.astype(bool)),
    "labels": NO_LABELS,
    "text": (3, 0.5, True, b"x", [], ["a"], {}, object(), 1j, len),
    "choice": (3, 0.5, True, b"x", [], ["a"], {}, object(), 1j, len, "", "no such", "a\nb",
        "../x", np.zeros(2)),
    "path": (3, 0.5, True, [], ["a"], {}, object(), 1j, len, "a\0b", pathlib.Path("a\0b"),
        np.zeros(2)),
    "function": (3, 0.5, "f", "", b"f", True, [], {}, object(), np.zeros(2)),
    "object": NO_OBJECTS,
    "shape": ("", "ab", 0, -1, 1.5, True, (), (0,), (-1, 2), (1.5, 2), ("4", "4"), object(), {},
        (None, 4), 1j,
              (True, True), math.nan, (4, 10**30), len),
    "names": (3, 0.5, True, object(), 1j, len, [1, 2, 3], (None,), "abc", b"abc", [b"a", b"b",
        b"c"]),
    "mapping": (3, 0.5, "x", True, [], [1], object(), len, 1j),
    "units": ("", "ab", -1, 0, 1.5, True, (0,), (-1, 2), (1.5, 2), ("4", "4"), object(), {},
        (None, 4), 1j,
              math.nan, (4, 10**30), len),
    "scores": (*NO_ARRAYS, 0.5, np.zeros((2, 2))),
    "table": (*NO_ARRAYS, 0.5, np.zeros(8)[0]),
    "callbacks": (3, 0.5, "x", b"x", True, [1], {1: 2}, object(), np.zeros(3)),
}  # fmt: skip
# Of training, where no number may be none, and no batch may be empty.
BAD["activation"] = tuple(value for value in BAD["choice"] if value is not len)
BAD["class numbers"] = BAD["labels"]
BAD["trained samples"] = (*BAD["samples"], np.full(x.shape, np.nan, np.float32), x[:0], 7.0 + x)
BAD["trained table"] = (*BAD["table"], np.full((8, 2), np.nan, np.float32), np.full((8, 2),
    np.inf, np.float32),
                        np.zeros((0, 2), np.float32), np.zeros((8, 3), np.float32))  # fmt: skip


def _counts(value):
    return [value, np.int32(value), np.int64(value), np.uint32(value)]


def _numbers(value):
    whole = [int(value)] if float(value).is_integer() else []
    return [value, np.float64(value), float(value), *whole]


def _arrays(value):
    value = np.asarray(value)
    return [value, tf.constant(value), value.astype(np.float64), np.asfortranarray(value)]


GOOD = {
    "switch": lambda value: [value, np.bool_(value), not value],
    "count": _counts,
    "number": _numbers,
    "probability": _numbers,
    "bounds": lambda value: [value, tuple(value), list(value), np.asarray(value, np.float32)],
    "seed": lambda value: [0, 1, np.int64(5), (1, 2), [1, 2], np.array([1, 2]), tf.constant([1,
        2]), 2**40],
    "whole seed": lambda value: [0, 1, np.int64(5), 2**20],
    "samples": _arrays,
    "labels": lambda value: [value, np.asarray(value, np.int64), np.asarray(value, np.uint8),
        list(map(int, value)),
                             np.eye(3, dtype=np.float32)[np.asarray(value)], tf.constant(value)],
    "path": lambda value: [str(value), pathlib.Path(value)],
    "function": lambda value: [value],
    "choice": lambda value: [value],
    "object": lambda value: [value],
}  # fmt: skip


def bad(kind: str, optional: bool) -> st.SearchStrategy:
    """Return the bad values of a kind; None is one where the argument has to be given."""
    values = [st.sampled_from(BAD[kind])]
    if kind in ("switch", "text", "path", "function", "bounds", "samples", "choice", "object"):
        values.append(st.integers().filter(lambda n: kind != "object" or n))
    if kind in ("number", "probability", "count", "seed", "whole seed", "switch"):
        values.append(st.text(max_size=4))
    if kind in ("count", "whole seed"):
        values.append(st.floats().filter(lambda f: not f.is_integer()))
    if kind == "probability":
        values.append(st.floats().filter(lambda f: not 0.0 <= f <= 1.0))
    return st.one_of(*values, *([] if optional else [st.none()]))
