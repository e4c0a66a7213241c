"""Pickles that are made to do harm: none of them makes an object of NumPy's, or takes long."""

import pickle
import struct

import numpy as np
import pytest

from tf_febm.untrusted_files import read_pickle


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


DTYPE = b"cnumpy\ndtype\n(" + text("%s") + b"K\0K\x01tR(K\x03" + text("|") + b"NNN"
DTYPE += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85C\x01btR"


def typed(name):
    return DTYPE.replace(text("%s"), text(name))


def array(name="u1", shape=b"K\x08\x85", content=b"A" * 8):
    return ARRAY + b"(K\x01" + shape + typed(name) + b"\x89C" + bytes([8]) + content + b"tb"


def doubled(count, kind):
    """Return pairs of pairs: 2^count leaves in a few bytes."""
    made = b"K\0\x85q\0"
    for k in range(count):
        pair = b"h" + bytes([k]) + b"h" + bytes([k])
        made += b"0" + (pair + b"\x86" if kind == "tuple" else b"](" + pair + b"e")
        made += b"q" + bytes([k + 1])
    return made


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">i4", "i8", "f8", ">f4"])
@pytest.mark.parametrize("protocol", range(5))
def test_arrays_of_numbers(dtype, protocol):
    values = np.arange(12).astype(dtype).reshape(3, 4)
    content = {b"a": values, b"f": np.asfortranarray(values), "list": [1, 2], b"t": (True, None)}
    found = read_pickle(pickle.dumps(content, protocol))
    np.testing.assert_array_equal(found[b"a"], values)
    np.testing.assert_array_equal(found[b"f"], values)
    assert found["list"] == [1, 2] and found[b"t"] == (True, None)
    assert np.array_equal(read_pickle(b"\x80\x03" + array() + b"."), [65] * 8)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        # Bytes as pointers.
        (array("O8", b"K\x01\x85"), "array of 'O8'"),
        (array("V8", b"K\x01\x85"), "array of 'V8'"),
        (array("c8", b"K\x01\x85"), "array of 'c8'"),
        # Memory that nobody has written to.
        (b"cnumpy\nndarray\nK\x0aK\x0a\x86" + text("u1") + b"\x86R", "refused to call"),
        (array(shape=b"K\x09\x85"), "of another size"),
        (array(shape=b"J\xff\xff\xff\xff\x85"), "without a shape"),
        # What would take for ever, or all memory, or the stack of C.
        (b"}" + b"K\x01" + doubled(60, "tuple") + b"s", "deep in one another"),
        (doubled(60, "list"), "deep in one another"),
        (b"}K\0\x85K\0s", "a key that is no string"),
        (b"K\0" + b"\x85" * 1_000_000, "deep in one another"),
        (b"]q\0h\0a", "deep in one another"),
        (b"\x8a\x10" + b"\x7f" * 16, "more than 64 bits"),
        (
            text("a" * 1000) + b"q\0" + (
                b"c_codecs\nencode\nh\0X\x06\0\0\0latin1\x86R0" * 40
            ),
            "repeats a text",
        ),
        (b"cos\nsystem\nX\x01\0\0\0a\x85R", "refused to load os.system"),
        (b"cnumpy\ndtype\n)\x81", "refused the operation NEWOBJ"),
    ],
)  # fmt: skip
def test_programs_that_are_refused(program, message):
    with pytest.raises(pickle.UnpicklingError, match=message):
        read_pickle(b"\x80\x03" + program + b".")


@pytest.mark.parametrize(
    "program", [b".", b"0.", b"h\x05.", b"t.", b"(K\x01", b"]r\xff\xff\xff\x7f"]
)
def test_programs_that_are_damaged(program):
    with pytest.raises(ValueError):
        read_pickle(b"\x80\x02" + program)
