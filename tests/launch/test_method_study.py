"""launch/method_study.py: a short study from end to end, and one that has been done."""

import csv
import json
import subprocess
import sys

import pytest
from PIL import Image

FAST = [
    f"--train=--{flag}"
    for flag in ("batch_size=8", "num_steps=1", "num_filters=8", "num_samples=20", "final_steps=1")
]


@pytest.mark.slow
def test_a_short_study(project, tmp_path):
    script = str(project / "launch" / "method_study.py")
    command = [
        sys.executable, script, "--seeds=1", "--steps=3", f"--logdir={tmp_path}", *FAST,
        "--methods=febm_js,contrastive_divergence",
    ]  # fmt: skip
    first = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert first.returncode == 0, first.stderr
    out = tmp_path / "method_study"
    rows = list(csv.DictReader((out / "study.csv").open()))
    # In the order of the study, not of the command line.
    assert [row["method"] for row in rows] == ["contrastive_divergence", "febm_js"]
    for row in rows:
        run = json.loads((tmp_path / f"study_{row['method']}_0" / "summary.json").read_text())
        assert float(row["frechet_ratio"]) == run["quality"]["frechet_ratio"]
    summary = json.loads((out / "study.json").read_text())
    assert summary["febm_js"]["mean"] == float(rows[1]["frechet_ratio"])
    with Image.open(out / "study.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50

    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0 and "steps/s" not in again.stdout


@pytest.mark.slow
def test_a_study_in_which_all_runs_fail(project, tmp_path):
    script = str(project / "launch" / "method_study.py")
    result = subprocess.run(
        [
            sys.executable,
            script,
            "--dataset=nonsense",
            "--seeds=1",
            f"--logdir={tmp_path}",
            "--methods=febm_js",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert "nonsense" in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "method_study").exists()


def test_unknown_methods(project, tmp_path):
    script = str(project / "launch" / "method_study.py")
    result = subprocess.run(
        [sys.executable, script, "--methods=febm_js,gan", f"--logdir={tmp_path}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert "gan" in result.stderr and "febm_squared_hellinger" in result.stderr
