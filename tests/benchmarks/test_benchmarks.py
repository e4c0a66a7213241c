"""The benchmarks run and report in small sizes; what they find is not tested."""

import importlib.util
import json
import runpy
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


@pytest.mark.slow
def test_one_entry_point(project, tmp_path):
    def run(*options):
        command = [sys.executable, "benchmarks/run.py", *options, f"--out={tmp_path}"]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)

    # One that needs no peer.
    result = run("--only=kernels", "--quick", "--threads=1")
    assert result.returncode == 0, result.stderr
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert list(results["comparisons"]) == ["kernels"]
    assert results["machine"]["cores"] > 0
    page = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    for content in results["comparisons"].values():
        assert content["ratios"]
        assert f"## {content['title']}" in page
    refused = run("--only=z")
    assert refused.returncode == 2
    assert "received z" in refused.stderr


def test_what_a_long_run_says(load):
    """Memory that grows by 0.5 MB per 1,000 steps, after a start at which it grows by much more."""
    module = load("long_run")
    rows = []
    for minute in range(1, 41):
        steps = 500 * minute
        noise = 0.1 * (-1) ** minute
        # Three times the work for a step in the last ten minutes.
        cpu = 2.0 * minute + 4.0 * max(minute - 30, 0)
        grown = 0.5 * steps / 1000 if minute > 10 else 100.0 * minute
        rows.append((60.0 * minute, steps, 600.0 + grown + noise, cpu, 1))
    counted, memory, processor, traces = module.summary(rows, 660.0)
    assert counted.startswith("20000 steps, 40.0 minutes, the first 11.0 left out")
    assert "+0.50" in memory and "MORE" not in memory
    assert "4.000 s per 1,000 steps in the first third, 12.000 s in the last (+200.0%)" in processor
    assert traces.endswith(": 1")
    assert "MORE than 1" in module.summary([(s, n, 10 * m, c, t) for s, n, m, c, t in rows], 660)[1]
    assert "too few" in module.summary(rows[:4], 0.0)[0]


def test_the_error_of_a_slope(load):
    """By the textbook's formula, on ten points."""
    rng = np.random.default_rng(0)
    x, y = np.arange(10.0), 3.0 * np.arange(10.0) + rng.standard_normal(10)
    found, error = load("long_run").slope(x, y)
    (expected, _), covariance = np.polyfit(x, y, 1, cov="unscaled")
    residuals = y - np.polyval(np.polyfit(x, y, 1), x)
    assert found == pytest.approx(expected)
    assert error == pytest.approx(np.sqrt(covariance[0, 0] * residuals @ residuals / 8))


@pytest.mark.slow
def test_a_short_long_run(project, tmp_path):
    command = [
        sys.executable, "benchmarks/long_run.py", "--minutes=0.1", "--every=0.5", "--warmup=0.05",
        f"--logdir={tmp_path}", "--batch_size=8", "--num_steps=2", "--num_filters=8",
    ]  # fmt: skip
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Stopped at step" in result.stdout
    head, *rows = (tmp_path / "long_run.csv").read_text().splitlines()
    assert head == "seconds,steps,resident_mb,cpu_seconds,traces"
    _, steps, memory, cpu, traces = map(float, rows[-1].split(","))
    assert traces == 1 and steps >= 0 and memory > 100 and cpu > 1


@pytest.mark.slow
def test_a_killed_run_of_every_method_resumes_exactly(project, tmp_path):
    """Real processes; the script asserts that checkpoints and samples are equal bit for bit.

    f-EBM goes through the storm of `launch/test_train.py`, and the dual form has the same state;
    `make resume` has all four.
    """
    compare = runpy.run_path(str(project / "benchmarks" / "resume.py"))["compare"]
    flags = ["--batch_size=8", "--num_filters=8", "--num_samples=20", "--final_steps=2"]
    for method in ("contrastive_divergence", "bidirectional"):
        # Enough steps to be in the midst of them when the kill comes.
        found = compare(tmp_path, method, 400, [*flags, *OWN.get(method, ["--num_steps=2"])])
        assert found["resumed_at"] == 200 < found["killed_at"] < 400 and found["numbers"] > 1000


# Beyond 32 latent dimensions iterations start where the last ones ended, which is state too.
OWN = {
    "bidirectional": [
        "--latent_dim=6", "--entropy=smallest_singular_value", "--generator_batch_norm",
    ]
}  # fmt: skip
