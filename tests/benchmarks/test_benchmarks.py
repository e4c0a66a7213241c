"""The benchmarks run and report in small sizes; what they find is not tested."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest


@pytest.fixture
def load(project, monkeypatch):
    """Return a function that imports a module of the benchmarks."""
    monkeypatch.syspath_prepend(str(project / "benchmarks"))

    def imported(name):
        spec = importlib.util.spec_from_file_location(name, project / "benchmarks" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return imported


def test_sides_take_turns(load):
    calls = []
    sides = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = load("timing").interleaved(sides, rounds=4, seconds=0.0)
    # Two calls each to warm up and to see how long one takes.
    assert "".join(calls) == "aabb" + "ab" * 4
    assert {name: len(taken) for name, taken in times.items()} == {"a": 4, "b": 4}


def test_ratios_are_of_medians_and_spread_of_rounds(load):
    report = load("timing").Report("title")
    report.row("a", [0.001, 0.003, 0.002])
    report.ratio("a / b", [1.0, 2.0, 9.0], [1.0, 4.0, 3.0], "≥ 1")
    (row,), (ratio,) = report.content["rows"], report.content["ratios"]
    assert (row["median"], row["low"], row["high"]) == pytest.approx((2.0, 1.5, 2.5))
    assert ratio["value"] == pytest.approx(2 / 3)
    assert (ratio["low"], ratio["high"]) == pytest.approx((0.75, 2.0))
    assert load("run").met(ratio) == "**no**"
    assert load("run").met({**ratio, "demand": "≤ 1.1"}) == "yes"


def test_sides_that_differ_are_found_out(load):
    timing = load("timing")
    report = timing.Report("title")
    timing.check_agreement(report, "Energies", np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="do not do the same work"):
        timing.check_agreement(report, "Energies", np.ones(3), np.array([1.0, 1.0, 1.1]))
    with pytest.raises(ValueError, match="shapes"):
        timing.check_agreement(report, "Energies", np.ones(3), np.ones([3, 1]))


def test_times_to_a_quality(load):
    """That of the other side's best, whenever it was there."""
    timing = load("timing")
    report = timing.Report("title")
    rows = {
        "torchebm": [(100.0, 9e3), (200.0, 5e3), (300.0, 6e3)],
        "published": [(100.0, 9e3), (300.0, 8e3)],
        "celeba": [(30.0, 9e3), (60.0, 7e3)],
        "celeba_multiscale": [(10.0, 9e3), (20.0, 5e3)],
    }
    rows = {
        way: [{"seconds": seconds, "frechet": frechet} for seconds, frechet in some]
        for way, some in rows.items()
    }
    load("quality").compare(report, {"rows": rows})
    found = {r["name"]: (r["value"], r["demand"]) for r in report.content["ratios"]}
    assert found == {
        "torchebm / celeba_multiscale: time to that distance": (10.0, "≥ 5"),
        "published / celeba: time to that distance": (5.0, "≥ 10"),
        "published / celeba_multiscale: time to that distance": (15.0, "≥ 10"),
    }
    assert "celeba does not come to that." in report.content["notes"]


@pytest.mark.slow
def test_one_entry_point(project, tmp_path):
    def run(*options):
        command = [sys.executable, "benchmarks/run.py", *options, f"--out={tmp_path}"]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)

    # One that needs no peer.
    result = run("--only=kernels,chains", "--quick", "--threads=1", "--rounds=2")
    assert result.returncode == 0, result.stderr
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert list(results["comparisons"]) == ["kernels", "chains"]
    assert results["machine"]["cores"] > 0
    page = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    for content in results["comparisons"].values():
        assert content["ratios"]
        assert f"## {content['title']}" in page
    refused = run("--only=z")
    assert refused.returncode == 2
    assert "received z" in refused.stderr
