"""What the drill of hours says of its rows, and a run of seconds."""

import importlib.util
import sys

import numpy as np
import pytest

from tests.launch import forks


@pytest.fixture
def long_run(project):
    """Return the module of the drill."""
    path = project / "drills" / "long_run.py"
    spec = importlib.util.spec_from_file_location("long_run", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_a_long_run_says(long_run):
    """Memory that grows by 5 kB per 1,000 steps, after a start at which it grows by much more."""
    module = long_run
    rows = []
    for minute in range(1, 41):
        steps = 500 * minute
        noise = 1e-3 * (-1) ** minute
        # Three times the work for a step in the last ten minutes.
        cpu = 2.0 * minute + 4.0 * max(minute - 30, 0)
        grown = 0.005 * steps / 1000 if minute > 10 else 100.0 * minute
        kept = 600.0 + grown + noise
        rows.append((60.0 * minute, steps, 2 * kept, kept, cpu, 1))
    counted, memory, processor, traces = module.summary(rows, 660.0)
    assert counted.startswith("20000 steps, 40.0 minutes, the first 11.0 left out")
    assert "; +0.0050" in memory and "(+0.0100" in memory and "MORE" not in memory
    assert "4.000 s per 1,000 steps in the first third, 12.000 s in the last (+200.0%)" in processor
    assert traces.endswith(": 1")
    assert (
        "MORE than 0.01"
        in module.summary([(s, n, m, 3 * k, c, t) for s, n, m, k, c, t in rows], 660)[1]
    )
    assert "too few" in module.summary(rows[:4], 0.0)[0]


def test_the_error_of_a_slope(long_run):
    """By the textbook's formula, on ten points."""
    rng = np.random.default_rng(0)
    x, y = np.arange(10.0), 3.0 * np.arange(10.0) + rng.standard_normal(10)
    rows = [(1.0 + k, 1000.0 * k, 0.0, memory, k, 1) for k, memory in zip(x, y, strict=True)]
    _, said, *_ = long_run.summary(rows, 0.0)
    (slope, _), covariance = np.polyfit(x, y, 1, cov="unscaled")
    residuals = y - np.polyval(np.polyfit(x, y, 1), x)
    error = np.sqrt(covariance[0, 0] * residuals @ residuals / 8)
    assert f"{slope:+.4f} ± {error:.4f} MB" in said


@pytest.mark.slow
def test_a_short_long_run(project, tmp_path):
    command = [
        sys.executable, "drills/long_run.py", "--minutes=0.03", "--every=0.5", "--warmup=0.01",
        f"--logdir={tmp_path}", "--batch_size=8", "--num_steps=2", "--num_filters=8",
    ]  # fmt: skip
    result = forks.run(command, cwd=project)
    assert result.returncode == 0, result.stderr
    assert "Stopped at step" in result.stdout
    head, *rows = (tmp_path / "long_run.csv").read_text().splitlines()
    assert head == "seconds,steps,resident_mb,kept_mb,cpu_seconds,traces"
    _, steps, memory, _, cpu, traces = map(float, rows[-1].split(","))
    assert traces == 1 and steps >= 0 and memory > 100 and cpu > 0
