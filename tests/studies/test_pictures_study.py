"""The study of pictures on a tiny run of the digits, and what it refuses."""

import json
import types

import numpy as np
import pytest
from PIL import Image

from tf_febm import data, recipes, samplers, training

TINY = {
    "steps": 3, "batch_size": 100, "width": 2, "buffer_capacity": 500, "num_samples": 40,
    "final_steps": 1, "log_interval": 1, "sample_interval": 3, "save_interval": 3,
    "random_flip": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Train a little; return the run and its folder."""
    folder = tmp_path_factory.mktemp("pictures") / "run"
    recipe = recipes.get("celeba").replace(**TINY, data_noise=0.3)
    return training.run(recipe, data.Source("digits"), folder), folder


def test_the_reference_stands_beside_what_was_trained(study, made):
    run, folder = made
    assert run.summary["sampling"]["noise_removed"] == 0.3
    code, output, errors = study("pictures", f"--run={folder}", "--num_samples=200")
    assert code == 0, errors
    found = json.loads((folder / "pictures" / "pictures.json").read_text())
    rows = found["rows"]
    assert (found["step"], found["num_samples"]) == (3, 200) and "held_out" in output
    # Three steps change nothing that one sees: the rows of the model are those of the reference.
    for name in ("reference", "reference_denoised"):
        other = rows[name.replace("reference", "trained")]
        assert abs(np.log(rows[name]["frechet_distance"] / other["frechet_distance"])) < 0.5
    # Noise of a third of the range stands out, real digits do not.
    assert rows["reference"]["frechet_distance"] > rows["held_out"]["frechet_distance"]
    assert Image.open(folder / "pictures" / "trained_denoised.png").size[0] > 80


def test_samples_of_a_run_are_without_the_noise_of_its_data(made):
    run, folder = made
    with np.load(folder / "samples" / "final.npz") as arrays:
        kept = arrays["samples"]
    with run.model.best_weights():
        noisy = run.model.sample(40, seed=(0, 0), initial="buffer", num_steps=1)
        energy = run.model._energy_given(None)
        expected = samplers.denoising_step(energy, noisy, 0.3)
    np.testing.assert_allclose(kept, np.clip(expected, 0.0, 1.0), atol=1e-4)
    assert np.abs(kept - np.clip(noisy, 0.0, 1.0)).mean() > 0.05


def test_other_runs_are_refused(study, made, monkeypatch):
    assert "--run= must name" in study("pictures")[2]
    plain = types.SimpleNamespace(
        model=types.SimpleNamespace(reference=None), train=None, recipe=recipes.get("digits")
    )
    monkeypatch.setattr(recipes, "restore", lambda *arguments: plain)
    code, _, errors = study("pictures", f"--run={made[1]}")
    assert code == 1 and "the recipe has reference=None" in errors
