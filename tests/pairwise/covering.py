"""Covering arrays: few cases in which every two values of different axes meet.

A case gives each axis one of its values. Rules say which two values cannot go together. Whether
two values can, may depend on a third axis: a pair is *possible* if some whole case has it.
"""

import itertools
import random

__all__ = ["blame", "covering_array", "is_legal", "pairs_of", "possible_pairs"]

# Cases tried for each one that is taken: more take longer and come to fewer cases in the end.
CANDIDATES = 15


def pairs_of(case: dict) -> set:
    """Return the pairs of a case, each as ((axis, value), (axis, value)) in the order of `case`."""
    return set(itertools.combinations(case.items(), 2))


def is_legal(case: dict, rules) -> bool:
    """Return whether no rule forbids a case, which may be a part of one.

    Args:
        case: axis -> value.
        rules: Pairs (axis, values), (axis, values) of which no two values go together.
    """
    return not any(
        case.get(one) in values and case.get(other) in others
        for (one, values), (other, others) in rules
    )


def is_possible(part: dict, axes: dict, rules) -> bool:
    """Return whether some legal case contains a part."""
    if not is_legal(part, rules):
        return False
    # Any value will do of an axis that no rule names.
    for axis in {axis for rule in rules for axis, _ in rule} - part.keys():
        return any(is_possible({**part, axis: value}, axes, rules) for value in axes[axis])
    return True


def possible_pairs(axes: dict, rules) -> set:
    """Return all pairs of values, of two axes each, that some legal case has."""
    items = [(axis, value) for axis, values in axes.items() for value in values]
    return {
        pair
        for pair in itertools.combinations(items, 2)
        if pair[0][0] != pair[1][0] and is_possible(dict(pair), axes, rules)
    }


def covering_array(axes: dict, rules=(), seed: int = 0, first=()) -> list[dict]:
    """Return legal cases that have every possible pair, the same ones for the same arguments.

    Greedy: the next case begins with a pair that is still missing and takes, axis by axis, the
    value that adds most of the missing pairs; the best of some tries is kept.

    Args:
        axes: axis -> values, at least two axes. Values to prefer come first.
        rules: See `is_legal`.
        seed: Of the order in which axes are filled.
        first: Legal cases to begin with; what they have is not missing.
    """
    rng = random.Random(seed)
    missing, cases = possible_pairs(axes, rules), list(first)
    missing -= set().union(*map(pairs_of, cases))
    while missing:
        pair = min(missing, key=str)
        candidates = [_candidate(pair, missing, axes, rules, rng) for _ in range(CANDIDATES)]
        best = max(candidates, key=lambda case: len(pairs_of(case) & missing))
        cases.append(best)
        missing -= pairs_of(best)
    return cases


def _candidate(pair, missing: set, axes: dict, rules, rng) -> dict:
    """Return a legal case with a pair, and with many of those that are missing."""
    case, place = dict(pair), {axis: i for i, axis in enumerate(axes)}
    ruled = {axis for rule in rules for axis, _ in rule}
    for axis in rng.sample([axis for axis in axes if axis not in case], len(axes) - 2):
        before = [item for item in case.items() if place[item[0]] < place[axis]]
        after = [item for item in case.items() if place[item[0]] > place[axis]]
        gains = {}
        for value in axes[axis]:
            if axis not in ruled or is_possible({**case, axis: value}, axes, rules):
                item = (axis, value)
                gains[value] = sum((other, item) in missing for other in before)
                gains[value] += sum((item, other) in missing for other in after)
        # The first of equals, which is why an axis begins with what costs least.
        case[axis] = max(gains, key=gains.get)
    return {axis: case[axis] for axis in axes}


def blame(failed: list[dict], passed: list[dict]) -> list[tuple]:
    """Return what the failed cases have and no other: (items, number of failed cases), most first.

    Single values come before pairs, and a pair is left out if one of its values is there by itself.
    A cause is among them if it is one value, or two that meet; others are there by chance, the more
    so the fewer cases failed.
    """
    innocent = {item for case in passed for item in case.items()}
    guilty = {item for case in failed for item in case.items()} - innocent
    found = [((item,), sum(item in case.items() for case in failed)) for item in guilty]
    met = set().union(*map(pairs_of, passed))
    pairs = set().union(*map(pairs_of, failed)) - met
    found += [
        (pair, sum(pair in pairs_of(case) for case in failed))
        for pair in pairs
        if not guilty.intersection(pair)
    ]
    return sorted(found, key=lambda entry: (len(entry[0]) > 1, -entry[1], str(entry[0])))
