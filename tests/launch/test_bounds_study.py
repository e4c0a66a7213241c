"""launch/bounds_study.py: a short study from end to end, and what is refused."""

import csv
import json
import subprocess
import sys

import pytest
from PIL import Image

FAST = [f"--train=--{flag}" for flag in ("batch_size=8", "num_filters=8")]


@pytest.mark.slow
def test_a_short_study(project, tmp_path):
    script = str(project / "launch" / "bounds_study.py")
    command = [sys.executable, script, "--steps=4", "--checks=3", "--cells=60", *FAST]
    result = subprocess.run(
        [*command, f"--out={tmp_path}"], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    rows = list(csv.DictReader((tmp_path / "bounds.csv").open()))
    assert [(row["run"], row["step"]) for row in rows] == [
        (run, step) for run in ("certified", "published", "folding") for step in ("0", "1", "4")
    ]
    for row in rows:
        numbers = {name: float(value) for name, value in row.items() if name != "run"}
        weight = 1e-3 if row["run"] == "published" else 1.0
        expected = numbers["lower"] + weight * numbers["penalty"]
        assert numbers["upper"] == pytest.approx(expected, rel=1e-6)
        # Couplings are one to one whatever their weights.
        if row["run"] != "folding":
            assert numbers["lower"] < numbers["likelihood"] + 0.01
    summary = json.loads((tmp_path / "bounds.json").read_text())
    assert summary["certified"]["checks"] == 3
    assert summary["published"]["last"]["penalty"] == pytest.approx(float(rows[5]["penalty"]))
    for name in ("bounds.png", "densities.png"):
        with Image.open(tmp_path / name) as image:
            assert len(image.convert("RGB").getcolors(1 << 24)) > 50


@pytest.mark.slow
def test_data_without_a_density(project, tmp_path):
    script = str(project / "launch" / "bounds_study.py")
    result = subprocess.run(
        [sys.executable, script, "--dataset=digits", f"--out={tmp_path / 'out'}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 1
    assert "--dataset must be one of 25gaussians" in result.stderr
    assert not (tmp_path / "out").exists()
