"""Facts in JSON with a checksum of their own, read by a schema.

A record is an object of names and values, one of which, `checksum`, is the SHA-256 of the others in
one spelling. Earlier versions wrote none; what has none is read by its schema alone.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tf_febm import arguments
from tf_febm.files import as_json, write_json
from tf_febm.untrusted_files.opening import read_bytes

__all__ = [
    "CHECKSUM",
    "DamagedError",
    "Field",
    "listing",
    "mapping",
    "number",
    "plain_name",
    "read_record",
    "text",
    "whole",
    "write_record",
]

CHECKSUM = "checksum"
# Bytes of a record, and containers inside one another; those of a run of weeks have some thousand.
_LARGEST, _DEEPEST = 16 << 20, 24
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[{]|[\]}]")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")


class DamagedError(OSError):
    """A file is not what was written."""


class Field(NamedTuple):
    """An entry of a record.

    Attributes:
        check: Raises a ValueError for a value that it cannot have.
        needed: Whether it must be there.
    """

    check: Callable[[Any], None]
    needed: bool = True


Schema = Mapping[str, Field]


@arguments.checked
def write_record(path: arguments.Path, facts: dict) -> None:
    """Write facts as indented JSON with their checksum, atomically.

    Args:
        path: Where the file shall be.
        facts: Name -> value; numbers that JSON lacks become null.
    """
    facts = json.loads(as_json({k: v for k, v in facts.items() if k != CHECKSUM}))
    write_json(path, {**facts, CHECKSUM: _checksum(facts)})


@arguments.checked
def read_record(
    path: arguments.Path, schema: Schema | None = None, what: str | None = None
) -> dict:
    """Return the facts of a record, without the checksum.

    Args:
        path: A regular file.
        schema: Name -> what the value must be; names that are not in it are damage too. None takes
            any.
        what: What it is called in messages; the name of the file if None.

    Raises:
        DamagedError: It is not what was written; the message begins with `what`.
        FileNotFoundError: It is not there.
        OSError: It cannot be read at the moment.
    """
    what = Path(path).name if what is None else what
    try:
        content = read_bytes(path, _LARGEST)
        facts = _parsed(content)
        spelled = as_json(facts).encode() + b"\n"
        stored = facts.pop(CHECKSUM, None)
        # To the letter: a bit that only says the same otherwise has changed all the same.
        if stored is not None and (stored != _checksum(facts) or content != spelled):
            raise ValueError("it has changed since it was written: its checksum differs")
        if schema is not None:
            _check(facts, schema)
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise DamagedError(f"{what} is damaged ({reason})") from None
    return facts


def _parsed(content: bytes) -> dict:
    text = content.decode("utf-8")
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > _DEEPEST:
            raise ValueError(f"its values lie more than {_DEEPEST} deep in one another")
    facts = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse)
    if not isinstance(facts, dict):
        raise ValueError("it is no object of names and values")
    return facts


def _object(pairs: list[tuple[str, Any]]) -> dict:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in it")
    return found


def _refuse(constant: str):
    raise ValueError(f"{constant} is no number of JSON")


def _checksum(facts: dict) -> str:
    spelled = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(spelled.encode()).hexdigest()


def _check(facts: dict, schema: Schema) -> None:
    unknown = sorted(facts.keys() - schema.keys())
    missing = sorted(name for name, field in schema.items() if field.needed and name not in facts)
    if unknown or missing:
        what = f"{unknown[0]!r} is unknown" if unknown else f"{missing[0]!r} is missing"
        raise ValueError(what)
    for name, value in facts.items():
        try:
            schema[name].check(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def whole(value: Any) -> None:
    """Check a whole number from 0 to 2^63 - 1."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("no whole number")


def number(value: Any) -> None:
    """Check a finite number."""
    if type(value) not in (int, float) or not abs(value) < 1e308:
        raise ValueError("no finite number")


def text(value: Any) -> None:
    """Check a string."""
    if not isinstance(value, str):
        raise ValueError("no text")


def plain_name(value: Any) -> None:
    """Check the name of a file, which leads to no other folder."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{str(value)[:40]!r} is no plain name of a file")


def mapping(check: Callable[[Any], None] | None = None) -> Callable[[Any], None]:
    """Return a check of names and values, each of which passes another check."""

    def check_all(value) -> None:
        if not isinstance(value, dict):
            raise ValueError("no names and values")
        for entry in value.values() if check is not None else ():
            check(entry)

    return check_all


def listing(check: Callable[[Any], None], length: int | None = None) -> Callable[[Any], None]:
    """Return a check of a list, each entry of which passes another check."""

    def check_all(value) -> None:
        if not isinstance(value, list) or length not in (None, len(value)):
            raise ValueError("no list" if length is None else f"no list of {length}")
        for entry in value:
            check(entry)

    return check_all
