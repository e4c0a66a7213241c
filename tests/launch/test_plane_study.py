"""launch/plane_study.py: a short study from end to end."""

import csv
import json
import subprocess
import sys

import pytest
from PIL import Image

FAST = [
    f"--train=--{flag}" for flag in ("batch_size=8", "num_filters=8", "num_samples=20", "steps=3")
]
METHODS = ["febm_js", "no_entropy"]


@pytest.mark.slow
def test_a_short_study(project, tmp_path):
    command = [sys.executable, str(project / "launch" / "plane_study.py"), f"--logdir={tmp_path}"]
    command += ["--seeds=1", "--beds=8gaussians", f"--methods={','.join(METHODS)}", *FAST]
    first = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert first.returncode == 0, first.stderr
    out = tmp_path / "plane_study"
    rows = list(csv.DictReader((out / "study.csv").open()))
    assert [row["method"] for row in rows] == METHODS
    for row in rows:
        run = json.loads(
            (tmp_path / f"plane_8gaussians_{row['method']}_0/summary.json").read_text()
        )
        quality = run["quality"]
        assert float(row["kl"]) == quality["kl"]
        gap = quality["true_log_likelihood"] - quality["held_out_log_likelihood"]
        assert float(row["held_out_gap"]) == pytest.approx(gap)
    summary = json.loads((out / "study.json").read_text())
    assert summary["8gaussians"]["febm_js"]["kl"]["mean"] == float(rows[0]["kl"])
    assert "| febm_js | 1 of 1 |" in (out / "study.md").read_text()
    with Image.open(out / "8gaussians.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50

    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0 and "steps/s" not in again.stdout


COUNTED = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import plane_study
good = {"kl": 2.0, "held_out_gap": 1.0, "modes_covered": 8, "share_near_modes": 0.5, "seconds": 3.0}
found = [good, plane_study.figures(None), {**good, "kl": 4.0}]
rows = [{"bed": "moons", "method": "no_entropy", "seed": i, **f} for i, f in enumerate(found)]
plane_study.write(rows, ["no_entropy"], pathlib.Path(sys.argv[2]))
"""


def test_failed_runs_are_counted_and_not_averaged(project, tmp_path):
    # In a process of its own: the launchers of studies have flags of the same names.
    command = [sys.executable, "-c", COUNTED, str(project / "launch"), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "| no_entropy | 2 of 3 | 3 ± 1.4 | 1 ± 0 |" in (tmp_path / "study.md").read_text()


def test_an_unknown_method(project, tmp_path):
    script = str(project / "launch" / "plane_study.py")
    result = subprocess.run(
        [sys.executable, script, "--methods=gan", f"--logdir={tmp_path}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert "gan" in result.stderr and "febm_js" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_last_picture_of_a_run_that_failed(project, tmp_path):
    code = (
        "import pathlib, sys; sys.path.insert(0, sys.argv[1]); import plane_study; "
        "print(plane_study.last_picture('no_penalty', pathlib.Path(sys.argv[2])))"
    )

    def found():
        command = [sys.executable, "-c", code, str(project / "launch"), str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120).stdout.strip()

    assert found() == "{}"
    for step in (900, 1000):
        (tmp_path / f"step_{step:07}.png").touch()
    assert "'no penalty, failed; step 1000'" in found() and "step_0001000.png" in found()
    (tmp_path / "final.png").touch()
    assert "{'no penalty': " in found() and "final.png" in found()
