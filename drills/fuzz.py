"""Bad arguments by the thousand to everything public: `make fuzz`, or with `--cases=2000`.

Each case is one call with one argument replaced, by a bad value for its kind, or by a good one in
another type. A bad one must be refused by a ValueError, TypeError or OSError of ours that names the
argument, before TensorFlow, NumPy or Keras say something of their own; a good one must pass.
"""

import argparse
import os
import random
import re
import sys
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import tensorflow as tf
from hypothesis import strategies as st

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from drills import fuzz_values
from drills.fuzz_calls import Calls

OUTCOMES = (
    "refused in our words",
    "in somebody else's words",
    "of another type",
    "raw graph error",
    "bad value taken",
    "good value taken",
    "good value refused",
)
FAULTS = (*OUTCOMES[1:5], OUTCOMES[6])
# What Keras calls otherwise, and what a message may say instead.
SAID = {"y": ("y", "labels"), "name": ("name", "recipe")}
LONGEST_MESSAGE = 2000
# Cases of an argument, at least.
FEWEST = 8
OURS = f"{os.sep}tf_febm{os.sep}"


def outcome(call: Callable, argument: str, good: bool, value=None) -> tuple[str, str]:
    """Make a call and return what came of it: one of `OUTCOMES`, and the error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except Exception as error:
        if good:
            return OUTCOMES[6], f"{type(error).__name__}: {error}"
        return judged(error, argument)
    return OUTCOMES[5 if good else 4], ""


def judged(error: Exception, argument: str) -> tuple[str, str]:
    """Return how an error is worded, and the error in short."""
    message = str(error)
    short = f"{type(error).__name__}: {' '.join(message.split())[:240]}"
    if (
        isinstance(error, tf.errors.OpError)
        or re.search("{{(function_)?node", message)
        or "Graph execution" in message
    ):
        return OUTCOMES[3], short
    if not isinstance(error, (ValueError, TypeError, OSError)):
        return OUTCOMES[2], short
    raised = traceback.extract_tb(error.__traceback__)[-1].filename
    named = any(re.search(rf"\b{name}\b", message) for name in SAID.get(argument, (argument,)))
    if OURS not in raised or not named or len(message) > LONGEST_MESSAGE:
        return OUTCOMES[1], f"{short} @{Path(raised).name}"
    return OUTCOMES[0], short


def cases(calls: Calls) -> list[tuple[str, str, str]]:
    """Return (callable, argument, kind) of everything that is called."""
    return [
        (name, argument, kind)
        for name in calls.names
        for argument, kind in calls.kinds(name).items()
        if kind in fuzz_values.BAD
    ]


def run(number: int, calls: Calls, only: str = "", percent_good: int = 15) -> Iterator[tuple]:
    """Make about so many cases; yield (callable, argument, value, outcome, error).

    Each argument has its share of them; where there are few, some arguments have none.
    """
    table = [case for case in cases(calls) if only in f"{case[0]}({case[1]})"]
    each = max(FEWEST, -(-number // len(table)))
    chosen = random.Random(0).sample(table, min(len(table), -(-number // each)))
    for name, argument, kind in chosen:
        yield from _of_argument(calls, name, argument, kind, each, percent_good)


def _of_argument(calls, name: str, argument: str, kind: str, number: int, percent_good: int):
    found: list[tuple] = []

    @hypothesis.seed(zlib.crc32(f"{name}({argument})".encode()))
    @hypothesis.settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.data())
    def one(draws):
        good = draws.draw(st.integers(1, 100)) > 100 - percent_good and kind in fuzz_values.GOOD
        present = calls.present(name, argument) if good and calls.quick(name) else None
        optional = calls.optional(name, argument)
        if good := present is not None:
            value = draws.draw(st.sampled_from(fuzz_values.GOOD[kind](present)))
        else:
            value = draws.draw(fuzz_values.bad(kind, optional))
        result = outcome(lambda: calls.call(name, argument, value), argument, good)
        found.append((name, argument, shown(value), *result))

    one()
    return found


def shown(value) -> str:
    """Return a value in short."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} {tuple(value.shape)} {value.dtype}"
    return repr(value)[:60]


def table_of(found: list[tuple]) -> str:
    """Return the counts as lines of text."""
    counts = Counter(row[3] for row in found)
    lines = [f"{'cases':30}{len(found):>8,}"]
    return "\n".join([*lines, *(f"{name:30}{counts[name]:>8,}" for name in OUTCOMES)])


def main() -> int:
    """Run what the command line asks for; print the counts and the faults."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--only", default="", help="Calls whose 'name(argument)' has this in it.")
    parser.add_argument("--show", type=int, default=40, help="Kinds of faults to list.")
    options = parser.parse_args()
    began = time.monotonic()
    with Calls() as calls:
        found = list(run(options.cases, calls, options.only))
        number = len(cases(calls))
    print(table_of(found))
    print(f"{number} arguments of {len(calls.names)} callables, {time.monotonic() - began:.0f} s")
    faults: dict[tuple, list] = {}
    for name, argument, value, result, error in found:
        if result in FAULTS:
            faults.setdefault((result, name, argument), []).append((value, error))
    for (result, name, argument), rows in sorted(faults.items())[: options.show]:
        print(f"{result}: {name}({argument}=…) {len(rows)} times")
        for value, error in {row[1][:60]: row for row in rows}.values():
            print(f"    {value}: {error}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
