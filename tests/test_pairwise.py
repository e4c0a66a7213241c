"""Every two features meet in some case, which trains, saves and comes back as it should.

The cases are those of a covering array over `pairwise.features.AXES`; what is checked of each is
in `pairwise.checking`. Two processes run them, as logical devices must be set before TensorFlow
starts. To look into a case that fails:

    cd tests && python -m pairwise.program narrow 'model=dual policy=mixed_float16 …'
"""

import itertools
import json
import random
import sys

import pytest
from pairwise.covering import blame, covering_array, is_legal, pairs_of, possible_pairs
from pairwise.features import ALL, AXES, CASES, MOST_CASES, REMEMBERED, RULES, text_of

from tests.launch import forks

PROCESSES = 2 if ALL else 1


@pytest.fixture(scope="module")
def failures(project, tmp_path_factory):
    """Return the number of a case -> its failures, name -> message."""
    folder = tmp_path_factory.mktemp("pairwise")
    paths = [folder / f"{part}.jsonl" for part in range(PROCESSES)]
    running = []
    for part, path in enumerate(paths):
        command = [sys.executable, project / "tests" / "pairwise" / "program.py", "run"]
        command += [part, PROCESSES, path]
        with open(f"{path}.log", "w") as log:
            running.append(forks.Process(command, cwd=project / "tests", stdout=log, stderr=log))
    try:
        codes = [process.wait(timeout=1200) for process in running]
    finally:
        for process in running:
            process.kill()
    for code, path in zip(codes, paths, strict=True):
        assert code == 0, (path.parent / f"{path.name}.log").read_text()[-3000:]
    entries = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    return {entry["number"]: entry["failures"] for entry in entries}


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: str(number))
def test_features_go_together(failures, number):
    found = [f"{name}: {message}" for name, message in failures[number].items()]
    assert not found, "\n".join([text_of(CASES[number]), *found])


@pytest.mark.slow
def test_no_two_features_fail(failures):
    """If some do, name the values, and pairs of values, that occur in failing cases only."""
    lines = []
    kinds = {i: {*map(kind_of, found.items())} for i, found in failures.items()}
    for kind in sorted(set().union(*kinds.values())):
        failed = [case for i, case in enumerate(CASES) if kind in kinds[i]]
        # A case that did not train has not come to the other checks.
        passed = [
            case
            for i, case in enumerate(CASES)
            if kind not in kinds[i] and "trains" not in failures[i]
        ]
        lines.append(f"{kind}: {len(failed)} of {len(CASES)} cases fail, and only those have")
        lines += suspects(failed, passed)
    assert not lines, "\n".join(lines)


def kind_of(failure):
    """Return what tells failures apart: the check, and the error if it is none of the checks'."""
    name, message = failure
    return name if message.startswith("AssertionError") else f"{name}, {message[:60]}"


def suspects(failed, passed):
    """Return a line for each value or pair to blame, without those that explain fewer cases."""
    found = blame(failed, passed)
    found = [entry for entry in found if entry[1] == max(count for _, count in found)]
    # That one case has many pairs of its own says nothing.
    if len(failed) == 1:
        return [f"    {text_of(failed[0])} (a single case: see `narrow`)"]
    return [
        f"    {' with '.join(f'{axis}={value}' for axis, value in items)} ({count} cases)"
        for items, count in found
    ]


# --- the generator ------------------------------------------------------------------------------


def every_case(axes, rules):
    """Return all legal cases, one by one."""
    for values in itertools.product(*axes.values()):
        case = dict(zip(axes, values, strict=True))
        if is_legal(case, rules):
            yield case


def pairs_by_brute_force(axes, rules):
    return {pair for case in every_case(axes, rules) for pair in pairs_of(case)}


def random_table(seed):
    """Return axes and rules, some of which rule out pairs through a third axis."""
    rng = random.Random(seed)
    axes = {name: tuple(range(rng.randint(2, 4))) for name in "abcde"}
    rules = []
    for _ in range(rng.randint(0, 5)):
        pair = rng.sample([*axes], 2)
        rules.append(tuple((axis, {*rng.sample(axes[axis], 1)}) for axis in pair))
    # What rules leave no case at all is of no interest.
    return (axes, rules) if any(True for _ in every_case(axes, rules)) else random_table(seed + 1)


@pytest.mark.parametrize("seed", range(12))
def test_every_possible_pair_occurs(seed):
    axes, rules = random_table(1000 * seed)
    cases = covering_array(axes, rules)
    assert all(is_legal(case, rules) and case.keys() == axes.keys() for case in cases)
    expected = pairs_by_brute_force(axes, rules)
    assert set().union(*map(pairs_of, cases)) == expected == possible_pairs(axes, rules)
    assert len(cases) <= len(expected)
    assert cases == covering_array(axes, rules)


def test_every_possible_pair_of_features_occurs():
    """All legal cases of the axes that rules name tell which of their pairs are possible.

    An axis without a rule goes with everything.
    """
    ruled = {axis: AXES[axis] for axis in AXES if any(axis in dict(rule) for rule in RULES)}
    free = [axis for axis in AXES if axis not in ruled]
    expected = pairs_by_brute_force(ruled, RULES)
    possible = {item for pair in expected for item in pair}
    assert possible == {(axis, value) for axis, values in ruled.items() for value in values}
    for one, other in itertools.combinations(AXES, 2):
        if one in free or other in free:
            expected |= {((one, a), (other, b)) for a in AXES[one] for b in AXES[other]}
    found = set().union(*map(pairs_of, CASES))
    assert all(is_legal(case, RULES) for case in CASES)
    assert found == expected
    assert len(CASES) <= MOST_CASES
    for features in REMEMBERED:
        assert any(features.items() <= case.items() for case in CASES), features


def test_a_failing_pair_is_named():
    """Two values that fail only where they meet come first among the suspects."""
    cause = {("policy", "mixed_float16"), ("model", "bidirectional")}
    failed = [case for case in CASES if cause <= {*case.items()}]
    passed = [case for case in CASES if not cause <= {*case.items()}]
    found = {frozenset(items) for items, _ in blame(failed, passed)}
    assert cause in found
    if len(failed) > 1:
        assert "model=bidirectional with policy=mixed_float16" in "\n".join(
            suspects(failed, passed)
        )
    failed = [case for case in CASES if case["policy"] == "mixed_float16"]
    passed = [case for case in CASES if case["policy"] != "mixed_float16"]
    assert blame(failed, passed)[0] == ((("policy", "mixed_float16"),), len(failed))
