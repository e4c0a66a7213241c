"""training.run: a whole run from a Keras program, by a recipe."""

import json

import numpy as np
import pytest

from tf_febm import data, evaluation, recipes, training
from tf_febm.training import chain_dtype

pytestmark = pytest.mark.usefixtures("blank_charts")
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 4, 4, 1), np.uint8)
VECTORS = RNG.normal(size=(40, 3)).astype(np.float32)
SMALL = recipes.get("digits").replace(
    steps=4, batch_size=8, num_steps=2, width=4, log_interval=2, sample_interval=4,
    save_interval=2, num_samples=10, final_steps=1, network="mlp",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of six steps in one go, whose chains a probe puts in bfloat16."""
    folder, lines = tmp_path_factory.mktemp("runs") / "whole", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain_dtype, "has_bfloat16", lambda: True)
        patch.setattr(chain_dtype, "times_as_fast", lambda model, count: 1.46)
        recipe = SMALL.replace(steps=6, chain_dtype="auto")
        made = training.run(recipe, IMAGES, folder, report=lines.append)
    assert "Chains in bfloat16: 1.46 times as fast here." in lines
    return made


def test_what_it_leaves(whole):
    assert whole.done and whole.step == 6 and whole.summary["steps"] == 6
    options = json.loads(whole.folder.options.read_text())
    # What was chosen, not that it was to be.
    assert recipes.Recipe(**options["recipe"]) == SMALL.replace(steps=6, chain_dtype="bfloat16")
    assert whole.model.sampler.dtype == whole.folder.load_model().sampler.dtype == "bfloat16"
    assert {"tf_febm", "keras", "tensorflow"} <= options["versions"].keys()
    for path in (whole.folder.model, whole.folder.metrics, whole.folder.path / "report.html"):
        assert path.is_file()
    # No network knows these images: statistics of their pixels.
    assert whole.summary["quality"]["roughness"] > 0
    assert options["data"]["num_examples"] > 0
    assert (whole.folder.samples / "data.png").is_file()


def test_it_goes_on_bit_for_bit(whole, tmp_path, monkeypatch):
    """With what the probe found at its beginning, whatever it would find now."""
    monkeypatch.setattr(chain_dtype, "has_bfloat16", lambda: True)
    monkeypatch.setattr(chain_dtype, "times_as_fast", lambda model, count: 1.3)
    recipe, folder, lines = SMALL.replace(steps=6, chain_dtype="auto"), tmp_path / "run", []
    stop = training.GracefulStop()

    def interrupt(line):
        if "2/6" in line:
            stop.request()

    first = training.run(recipe, IMAGES, folder, report=interrupt, stop=stop)
    assert not first.done and first.summary is None and 2 <= first.step < 6
    monkeypatch.setattr(chain_dtype, "times_as_fast", lambda model, count: 1.29)
    again = training.run(recipe, IMAGES, folder, report=lines.append)
    assert "Chains in bfloat16: as the run began." in lines
    assert f"Continuing from step {first.step} of 6." in lines and again.done
    for name, variables in whole.model.state_variables().items():
        for mine, other in zip(again.model.state_variables()[name], variables, strict=True):
            np.testing.assert_array_equal(np.asarray(mine), np.asarray(other), err_msg=name)


@pytest.mark.parametrize(
    ("there", "ratio", "line"),
    [
        (True, 1.29, "Chains in float32: bfloat16 would be 1.29 times as fast here, and 1.3 is"),
        (False, 9.0, "Chains in float32: this processor has no instructions for bfloat16."),
    ],
)
def test_chains_stay_in_float32(monkeypatch, tmp_path, there, ratio, line):
    monkeypatch.setattr(chain_dtype, "has_bfloat16", lambda: there)
    monkeypatch.setattr(chain_dtype, "times_as_fast", lambda model, count: ratio)
    recipe = SMALL.replace(chain_dtype="auto")
    model, lines = recipe.build(IMAGES), []
    settled = chain_dtype.settle(recipe, model, None, None, lines.append)
    assert settled == SMALL.replace(chain_dtype="float32") and model.sampler.dtype == "float32"
    assert lines[0].startswith(line)


def test_every_tenth_example_is_held_out():
    train, held_out = data.hold_out(data.as_data(VECTORS))
    np.testing.assert_array_equal(held_out.vectors, VECTORS[::10])
    np.testing.assert_array_equal(train.vectors, np.delete(VECTORS, np.s_[::10], axis=0))
    with pytest.raises(ValueError, match="two examples or more; received 1"):
        data.hold_out(data.as_data(VECTORS[:1]))


def test_the_hash_is_that_of_the_training_data(whole, tmp_path):
    stored = json.loads(whole.folder.options.read_text())["data"]["hash"]
    train, held_out = data.hold_out(data.as_data(IMAGES))
    changed = train.images.copy()
    changed[0, 0, 0, 0] ^= 1
    # It is written before the first step.
    stop = training.GracefulStop()
    stop.request()
    for images, same in ((train.images, True), (changed, False)):
        folder = tmp_path / str(same)
        training.run(SMALL, images, folder, held_out=held_out, stop=stop)
        found = json.loads((folder / "options.json").read_text())["data"]["hash"]
        assert (found == stored) == same


@pytest.mark.parametrize(
    ("recipe", "arguments", "message"),
    [
        (SMALL, {"overwrite": True, "resume_step": 2}, "exclude each other"),
        (SMALL.replace(best_metric="fid"), {}, "best_metric must be one of loss, bound"),
        (SMALL, {"chosen": {"latent_dim": 4}}, "latent_dim=4 is for method=bidirectional"),
        (SMALL.replace(conditional=True), {}, "conditional=True needs labels; an array"),
        (SMALL.replace(random_crop=4), {}, "random_crop must be below 4"),
    ],
)
def test_what_is_refused_before_anything_is_written(tmp_path, recipe, arguments, message):
    with pytest.raises(ValueError, match=message):
        training.run(recipe, IMAGES, tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_another_recipe_in_its_folder_is_refused(whole):
    before = whole.folder.options.read_bytes()
    # With another reference its energy would be another one at once.
    other = SMALL.changed({"divergence": "kl", "reference": "diagonal", "data_noise": 0.1})
    message = r"divergence='js' \(now 'kl'\), .*reference=None \(now 'diagonal'\), data_noise=0"
    with pytest.raises(ValueError, match=message):
        training.run(other, IMAGES, whole.folder.path)
    assert whole.folder.options.read_bytes() == before


def test_a_plan_writes_nothing(tmp_path):
    lines = []
    plan = training.run(SMALL, IMAGES, tmp_path / "run", dry_run=True, report=lines.append)
    assert plan.step == 0 and not plan.done and not (tmp_path / "run").exists()
    (told,) = (line for line in lines if "febm (js) on 36 images (4, 4, 1)" in line)
    assert "latent_dim" not in told


def test_runs_of_arrays_are_not_restored_by_name(whole):
    with pytest.raises(ValueError, match="was trained on arrays, which are not stored"):
        recipes.restore(whole.folder)


class TestOptionsOfVersion01:
    """It stored what the command line said."""

    FLAGS = {
        "method": "febm", "divergence": "js", "dataset": "digits", "data_dir": None,
        "cclass": False,
        "steps": 3, "batch_size": 8, "lr": 1e-3, "lr_final": 1e-4, "num_steps": 2, "step_lr": 10.0,
        "proj_norm": 0.01, "proj_norm_type": "li", "noise_scale": 10.0, "replay_batch": True,
        "pcd": False, "buffer_size": 100, "network": "mlp", "num_filters": 4, "average_decay": 0.0,
        "epsilon": 0.0, "latent_dim": None, "penalty": None, "exp": "a", "logdir": "runs",
        "preset": "digits", "class_names": None, "seed": 0,
    }  # fmt: skip

    def test_they_are_read_in_names_and_units_of_today(self, tmp_path):
        folder = training.RunFolder(tmp_path)
        folder.options.write_text(json.dumps({"flags": self.FLAGS, "versions": {}}))
        options = folder.read_options()
        expected = {
            "learning_rate": 1e-3, "final_learning_rate": 1e-4, "step_size": 10.0,
            "grad_clip": 0.01, "noise_scale": 0.05, "chains": "replay", "buffer_capacity": 100,
            "width": 4, "average_decay": None, "epsilon": None, "conditional": False,
        }  # fmt: skip
        assert expected.items() <= options["recipe"].items()
        assert options["data"]["name"] == "digits"
        # The data are there, the model can be built; a checkpoint is not.
        with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
            recipes.restore(folder)

    def test_such_a_run_goes_on(self, tmp_path, monkeypatch):
        # How good three steps are is not the point: the classifier that tells stays untrained.
        monkeypatch.setattr(evaluation.classifier, "_fit", lambda *_: None)
        folder = training.RunFolder(tmp_path)
        folder.options.write_text(json.dumps({"flags": self.FLAGS, "versions": {}}))
        recipe = SMALL.replace(steps=3, buffer_capacity=100, average_decay=None)
        assert training.run(recipe, data.Source("digits"), tmp_path).step == 3
        folder.options.write_text(json.dumps({"flags": self.FLAGS, "versions": {}}))
        with pytest.raises(ValueError, match=r"batch_size=8 \(now 16\)"):
            training.run(recipe.replace(batch_size=16), data.Source("digits"), tmp_path)
