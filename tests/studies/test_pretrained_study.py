"""The study that makes a pretrained model, on a tiny run of the digits."""

import pytest

from tf_febm import data, pretrained, recipes, training
from tf_febm.applications import denoising


@pytest.mark.thorough
def test_it_measures_what_it_has_written(study, tmp_path, monkeypatch):
    monkeypatch.setattr(denoising, "_CALIBRATION", 8)
    small = {"steps": 4, "batch_size": 8, "num_steps": 2, "width": 8, "final_steps": 1}
    recipe = recipes.get("digits").replace(**small, num_samples=10)
    training.run(recipe, data.Source("digits"), tmp_path / "run")
    few = ["--chains=20", "--steps=2", "--num_samples=40"]
    code, _, errors = study("pretrained", f"--run={tmp_path / 'run'}", f"--out={tmp_path}", *few)
    assert code == 0, errors
    found = pretrained.describe("digits", tmp_path)
    assert (found.recipe, found.num_steps) == (recipe, 2)
    assert found.figures.keys() == {
        "samples_from_buffer", "samples_from_noise", "denoising", "energy"
    }  # fmt: skip
    assert found.figures["samples_from_noise"]["num_samples"] == 40
    assert set(found.figures["energy"]) == {"inverted", "noisy", "uniform noise"}
