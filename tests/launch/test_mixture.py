"""launch/mixture.py as a command: its files, its accuracy, and what it refuses."""

import csv
import json
import math
import os
import sys

import pytest
from PIL import Image

from tests.launch import forks


@pytest.fixture(scope="module")
def study(project, tmp_path_factory):
    """A short run of one divergence with all figures and baselines."""
    out = tmp_path_factory.mktemp("study") / "new" / "folder"
    # A process, as a user has it: small operations are fastest in one thread, and the launcher
    # itself keeps TensorFlow quiet.
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "launch/mixture.py", "--divergence=squared_hellinger"]
    command += ["--steps=4000", "--trajectories=2", "--trajectory_steps=2000", f"--out={out}"]
    result = forks.run(command, cwd=project, env=environment)
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return out, result.stdout


def test_the_fit_is_near_the_exact_optimum(study):
    """Batches of 1000 put μ̂ and σ̂ off by about 2/√(1000·2000) ≈ 0.0014; six of that, 0.009."""
    with open(study[0] / "table.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert math.isclose(float(row["mu_star"]), 1.31750, abs_tol=1e-5)
    assert math.isclose(float(row["sigma_star"]), 1.73156, abs_tol=1e-5)
    assert abs(float(row["mu_hat"]) - 1.31750) < 0.009
    assert abs(float(row["sigma_hat"]) - 1.73156) < 0.009
    assert float(row["divergence_at_hat"]) >= float(row["divergence_at_star"]) > 0


def test_the_ratio_corrects_the_samples(study):
    (result,) = json.loads((study[0] / "summary.json").read_text())["results"]
    assert result["ratio_error"] < 0.1
    assert result["ks_plain"] > 0.09 > 0.02 > result["ks_rejection"]
    for moment in ("mean", "variance"):
        plain, weighted = (result[f"{moment}_error_{kind}"] for kind in ("plain", "weighted"))
        assert weighted < plain / 3


def test_figures_and_progress(study):
    out, printed = study
    names = {path.name for path in out.glob("*.png")}
    expected = {"figure_1_fits", "figure_2_rejection", "figure_3_log_ratio"}
    assert names == {f"{name}.png" for name in (*expected, "figure_4_trajectories")}
    for name in names:
        with Image.open(out / name) as image:
            # A figure with lines in it has many colours; an empty canvas has one.
            assert len(image.convert("RGB").getcolors(1 << 24)) > 50
    assert "steps/s" in printed and "ETA" in printed


def test_trajectories_end_together(study):
    summary = json.loads((study[0] / "summary.json").read_text())
    ways = summary["trajectories"]["squared_hellinger"]
    assert len(ways["distances"]) == 2 and not ways["failed"]
    assert max(ways["distances"]) < 0.05


def test_contrastive_divergence_finds_the_optimum_of_kl(study):
    methods = json.loads((study[0] / "summary.json").read_text())["baselines"]["methods"]
    assert methods[0]["method"] == "contrastive_divergence"
    assert methods[0]["error"] < 0.01


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--divergence=nonsense", "nonsense"),
        ("--mixture=0.5:0:1", "sum to 1"),
        ("--mixture=0.5:0", "weight:mean:variance"),
        ("--mixture=0.5:0:-1,0.5:0:1", "positive"),
        ("--steps=150", "multiple of 100"),
        ("--trajectories=0 --trajectory_steps=100", "--trajectory_steps=100 is for studies with"),
    ],
)
def test_bad_input_is_one_line(refused, tmp_path, argument, message):
    assert message in refused("mixture", *argument.split(), f"--out={tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()
