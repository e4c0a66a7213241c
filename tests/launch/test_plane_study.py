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
    assert "| febm_js |" in (out / "study.md").read_text()
    with Image.open(out / "8gaussians.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50

    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0 and "steps/s" not in again.stdout


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
