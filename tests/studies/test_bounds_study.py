"""The study of bounds: a short one from end to end, and what is refused."""

import csv
import functools
import json

import pytest
from PIL import Image

from tf_febm.networks import generators

FAST = ["--set=batch_size=8", "--set=width=8"]


@pytest.fixture
def few_couplings(monkeypatch):
    """Make generators of two couplings instead of eight: one to one as well, and sooner traced."""
    made = functools.partial(generators.generator_coupling, num_layers=2)
    monkeypatch.setattr(generators, "generator_coupling", made)


def test_a_short_study(study, tmp_path, few_couplings):
    line = ["--steps=4", "--checks=3", "--cells=60", "--latents=31", *FAST, f"--out={tmp_path}"]
    code, _, errors = study("bounds", *line)
    assert code == 0, errors
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


def test_data_without_a_density(study, tmp_path):
    code, _, errors = study("bounds", "--dataset=digits", f"--out={tmp_path / 'out'}")
    assert code == 1 and "--dataset must be one of 25gaussians" in errors
    assert not (tmp_path / "out").exists()
