"""launch/evaluate.py on checkpoints of the original code, and what of a run becomes pretrained."""

import json
from functools import partial

import numpy as np
import original_code
import pytest
import tensorflow as tf

from tf_febm import data, pretrained, recipes, samplers


@pytest.fixture
def refuse(refused):
    return partial(refused, "evaluate")


@pytest.fixture(scope="module")
def variables():
    return original_code.variables("mnist_net", 2)


@pytest.fixture
def checkpoint(tmp_path, variables):
    """The energy alone, as somebody may have it."""
    return original_code.write(tmp_path / "model_300", context_energy=variables)


@pytest.fixture
def images(tmp_path):
    """Images of the size of MNIST's, without labels."""
    x = np.random.default_rng(0).integers(0, 256, (40, 28, 28, 1), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=x)
    return ["--dataset=npz", f"--data_dir={tmp_path / 'images.npz'}"]


def test_samples_of_a_checkpoint(call, checkpoint, images, variables, tmp_path):
    few = ["--num_samples=10", "--final_steps=3", "--noise_scale=0", "--seed=5"]
    code, output, errors = call("evaluate", f"--original={checkpoint}", *images, *few)
    assert code == 0, errors
    out = tmp_path / "model_300" / "evaluation"
    found = json.loads((out / "evaluation.json").read_text())
    assert (found["step"], found["nearest"]["num_real"]) == (300, 36)
    assert (out / "samples.png").is_file() and (out / "neighbours_pixels.png").is_file()
    # The folder of results has the name of the checkpoint, which is found all the same.
    # Chains go down the energy of the original, by its own words, with its step and bound.
    run = recipes.restore_original(checkpoint, "npz", tmp_path / "images.npz")
    x = np.float32(0.5) + 0.1 * np.random.default_rng(1).normal(size=(2, 28, 28, 1))
    x = tf.constant(np.clip(x, 0.0, 1.0), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        energy = original_code.energy(variables, "mnist_net", x)
    np.testing.assert_allclose(run.model.energy(x), energy[:, 0], rtol=1e-4)
    step = 10.0 * tf.clip_by_value(tape.gradient(energy, x), -0.01, 0.01)
    still = recipes.change_sampler(run.model.sampler, noise_scale=0.0)
    assert isinstance(still, samplers.Langevin) and run.model.sampler.noise_scale == 0.005
    moved = still(run.model.energy, x, (0, 0), num_steps=1)
    np.testing.assert_allclose(moved, tf.clip_by_value(x - step, 0.0, 1.0), atol=1e-4)


def test_what_goes_with_a_checkpoint(refuse, checkpoint, images, tmp_path):
    own = f"--original={checkpoint}"
    assert "--dataset= must name the images" in refuse(own)
    for flag in ("--run=a", "--exp=a", "--resume_iter=3", "--curve"):
        assert f"{flag} is for runs of this library, not --original" in refuse(own, *images, flag)
    assert "odd=0.1 is for runs on vectors, not images" in refuse(own, *images, "--odd=0.1")
    gone = tmp_path / "model_600"
    assert f"There is no checkpoint {gone}" in refuse(f"--original={gone}", *images)
    assert "--cclass=True is not what the run has" in refuse(own, *images, "--cclass")
    assert "image_size is for images, not for moons" in refuse(own, "--dataset=moons")
    assert not (tmp_path / "model_300").exists()


def test_a_run_becomes_pretrained(run_folder, tmp_path):
    run = recipes.restore(run_folder)
    place = pretrained.write(
        run, tmp_path, num_chains=5, num_steps=7, measure=lambda model: {"of": len(model.networks)}
    )
    assert pretrained.names(tmp_path) == (place.stem,)
    about = pretrained.describe(place.stem, tmp_path)
    assert (about.recipe, about.steps, about.figures) == (run.recipe, 6, {"of": 2})
    assert about.data["hash"] == run.folder.read_options()["data"]["hash"]
    model = pretrained.load(place.stem, tmp_path)
    x = np.asarray(data.dequantise(run.train.images[:4], seed=0))
    with run.model.best_weights():
        expected = run.model.energy(x).numpy(), run.model.log_density_ratio(x).numpy()
    assert np.abs(expected[0] - run.model.energy(x).numpy()).max() > 0
    for context in (model.best_weights, model.averaged_weights):
        np.testing.assert_array_equal(model.energy(x), expected[0])
        np.testing.assert_array_equal(model.log_density_ratio(x), expected[1])
        with context():
            np.testing.assert_array_equal(model.energy(x), expected[0])
    np.testing.assert_array_equal(model.buffer.newest(9), run.model.buffer.newest(5)[::-1])
    assert model.sample(3).shape == (3, 8, 8, 1) and model.sampler.num_steps == 7
    # And it trains on.
    model.fit(run.recipe.stream(run.train), steps_per_epoch=2, verbose=0)
    assert int(model.optimizer.iterations) == 2


def test_what_does_not_become_pretrained(run_folder, tmp_path):
    run = recipes.restore(run_folder)
    vectors = run._replace(train=data.VectorData("rows", np.eye(3, dtype=np.float32)))
    with pytest.raises(ValueError, match="unconditional, of images and without a reference"):
        pretrained.write(vectors, tmp_path)
    with pytest.raises(ValueError, match="num_steps must be a whole number"):
        pretrained.write(run, tmp_path, num_steps=0)
