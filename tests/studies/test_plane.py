"""The study of methods on points in the plane, from end to end in small."""

import csv
import json

import pytest
from PIL import Image

from studies import plane
from tf_febm import data

FAST = [f"--set={s}" for s in ("batch_size=8", "width=8", "num_samples=20", "steps=3")]
METHODS = ["febm_js", "no_entropy"]


def test_a_short_study(study, tmp_path):
    line = [f"--logdir={tmp_path}", "--seeds=1", "--datasets=8gaussians", *FAST]
    line.append(f"--methods={','.join(METHODS)}")
    code, _, errors = study("plane", *line)
    assert code == 0, errors
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
    code, output, _ = study("plane", *line)
    assert code == 0 and "steps/s" not in output


def test_failed_runs_are_counted_and_not_averaged(tmp_path):
    good = {
        "kl": 2.0,
        "held_out_gap": 1.0,
        "modes_covered": 8,
        "share_near_modes": 0.5,
        "seconds": 3.0,
    }
    found = [good, plane.figures(None), {**good, "kl": 4.0}]
    rows = [
        {"dataset": "moons", "method": "no_entropy", "seed": i, **figures}
        for i, figures in enumerate(found)
    ]
    plane.write(rows, ["no_entropy"], tmp_path)
    assert "| no_entropy | 2 of 3 | 3 ± 1.4 | 1 ± 0 |" in (tmp_path / "study.md").read_text()


def test_an_unknown_method(study, tmp_path):
    code, _, errors = study("plane", "--methods=gan", f"--logdir={tmp_path}")
    assert code == 1 and "gan" in errors and "febm_js" in errors and "Traceback" not in errors


def test_the_last_picture_of_a_run_that_failed(tmp_path):
    assert plane.last_picture("no_penalty", tmp_path) == {}
    for step in (900, 1000):
        (tmp_path / f"step_{step:07}.png").touch()
    expected = {"no penalty, failed; step 1000": tmp_path / "step_0001000.png"}
    assert plane.last_picture("no_penalty", tmp_path) == expected
    (tmp_path / "final.png").touch()
    assert plane.last_picture("no_penalty", tmp_path) == {"no penalty": tmp_path / "final.png"}


def test_its_data_are_in_the_plane():
    assert set(plane.DATASETS) <= set(data.names())
