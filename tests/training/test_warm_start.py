"""A run that begins with the weights of another run: training.run(init_from=…)."""

import json
import shutil

import keras
import numpy as np
import pytest
from tensorflow_probability import distributions as tfd

from tf_febm import models, networks, recipes, samplers, training
from tf_febm.training.warm_start import warm_start

pytestmark = pytest.mark.usefixtures("blank_charts")
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), np.uint8)
SMALL = recipes.get("digits").replace(
    steps=4, batch_size=8, num_steps=1, width=4, log_interval=2, sample_interval=4, save_interval=2,
    num_samples=4, final_steps=1, network="mlp", buffer_capacity=16, average_decay=0.9,
)  # fmt: skip
DUAL = SMALL.replace(method="dual", warmup_steps=0)
STOP = training.GracefulStop()
STOP.request()


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A finished run of f-EBM."""
    folder = tmp_path_factory.mktemp("runs") / "febm"
    return training.run(SMALL, IMAGES, folder)


def begun(recipe, folder, first, **more):
    """Return a run that stopped before its first step, or as more says, and what it said."""
    lines = []
    settings = {"stop": STOP, **more}
    found = training.run(
        recipe, IMAGES, folder, init_from=first.folder.path, report=lines.append, **settings
    )
    return found, "\n".join(lines)


def same(one, other):
    return all(
        np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True)
    )


def test_energy_and_variational_function_are_those_of_the_run(first, tmp_path, monkeypatch):
    monkeypatch.setattr(training.runs, "train", lambda *_, **__: False)
    found, said = begun(SMALL.replace(divergence="kl", seed=1), tmp_path / "run", first)
    stored = first.folder.load_model()
    # The best weights, which are the averaged ones.
    assert same(found.model.energy_network, stored.energy_network)
    assert not same(found.model.energy_network, first.model.energy_network)
    assert same(found.model.variational_network, stored.variational_network)
    with found.model.averaged_weights():
        assert same(found.model.energy_network, stored.energy_network)
    assert "Begins with energy and variational of" in said
    assert int(found.model.buffer.size) == 0
    start = json.loads(found.folder.options.read_text())["start"]
    assert start["init_from"] == str(first.folder.path) and start["method"] == "febm"
    assert (start["steps"], start["taken"]) == (4, ["energy", "variational"])
    assert len(start["model_sha256"]) == 64 and not start["init_chains"]


def test_the_dual_form_keeps_its_own_log_ratio(first, tmp_path, monkeypatch):
    monkeypatch.setattr(training.runs, "train", lambda *_, **__: False)
    recipe = DUAL.replace(seed=1)
    found, said = begun(recipe, tmp_path / "run", first, init_chains=True)
    stored = first.folder.load_model()
    assert same(found.model.energy_network, stored.energy_network)
    assert not same(found.model.variational_network, stored.variational_network)
    assert "Its variational network is left: here it is the log ratio itself" in said
    mine, theirs = found.model.buffer.state(), first.model.buffer.state()
    np.testing.assert_array_equal(mine["samples"], theirs["samples"])
    assert mine["written"] == theirs["written"] > 0


def test_an_interrupted_run_goes_on_without_the_other(first, tmp_path, monkeypatch):
    shutil.copytree(first.folder.path, tmp_path / "from")
    settings = {"init_from": tmp_path / "from"}
    stop, recipe = training.GracefulStop(), SMALL.replace(method="contrastive_divergence")

    def interrupt(line):
        if "2/4" in line:
            stop.request()

    part = training.run(recipe, IMAGES, tmp_path / "run", stop=stop, report=interrupt, **settings)
    assert 0 < part.step < 4
    options = json.loads(part.folder.options.read_text())["start"]
    with pytest.raises(ValueError, match=r"init_from='.*from' \(now None\)"):
        training.run(recipe, IMAGES, tmp_path / "run")
    shutil.rmtree(tmp_path / "from")
    monkeypatch.setattr(training.runs, "train", lambda *_, **__: False)
    again = training.run(recipe, IMAGES, tmp_path / "run", **settings)
    # Of the checkpoint, not of the other run.
    assert again.step == part.step and same(again.model.energy_network, part.model.energy_network)
    assert json.loads(again.folder.options.read_text())["start"] == options
    assert options["taken"] == ["energy"]


@pytest.mark.parametrize(
    ("recipe", "settings", "message"),
    [
        (SMALL, {"resume_step": 2}, "init_from=.* and resume_step=2 exclude each other"),
        (SMALL.replace(width=5), {}, r"same energy network; .*array 0 is \(16, 4\) there"),
        (SMALL.replace(chains="persistent"), {"init_chains": True}, "keeps them in ReplayBuffer"),
        (SMALL, {"same_folder": True}, "is the folder of this run itself"),
    ],
)
def test_what_is_refused_before_anything_is_written(first, tmp_path, recipe, settings, message):
    settings = dict(settings)
    folder = first.folder.path if settings.pop("same_folder", False) else tmp_path / "run"
    with pytest.raises(ValueError, match=message):
        begun(recipe, folder, first, **settings)
    assert not (tmp_path / "run").exists()


def test_runs_that_cannot_be_taken(first, tmp_path):
    with pytest.raises(ValueError, match="init_chains=True needs init_from"):
        training.run(SMALL, IMAGES, tmp_path / "run", init_chains=True)
    with pytest.raises(FileNotFoundError, match="holds no run"):
        training.run(SMALL, IMAGES, tmp_path / "run", init_from=tmp_path / "none")
    shutil.copytree(first.folder.path, tmp_path / "other")
    other = tmp_path / "other" / "model.keras"
    whole = other.read_bytes()
    other.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OSError, match="is damaged"):
        training.run(SMALL, IMAGES, tmp_path / "run", init_from=tmp_path / "other")
    other.unlink()
    with pytest.raises(FileNotFoundError, match="must be a finished run; this one is at step 4"):
        training.run(SMALL, IMAGES, tmp_path / "run", init_from=tmp_path / "other")
    assert not (tmp_path / "run").exists()


def test_log_z_and_slow_copies(first):
    """Networks that other methods wrap, and copies that follow the energy."""
    options = {"sampler": samplers.Langevin(num_steps=1), "seed": 0}
    energy = keras.models.clone_model(first.model.energy_network)
    slow = models.FEBM(
        energy,
        keras.models.clone_model(first.model.variational_network),
        slow_energy_decay=0.9,
        **options,
    )
    slow.build((None, 4, 4, 1))
    found = warm_start(slow, first.folder.path)
    assert found["taken"] == ["energy"] and "slow average" in found["left"]["variational"]
    assert same(slow.slow_energy_network, slow.energy_network)
    # The same shapes, and another function.
    other = models.ContrastiveDivergence(
        networks.mlp((4, 4, 1), (4, 4), activation="relu"), **options
    )
    before = other.get_weights()
    with pytest.raises(ValueError, match="makes other values of the same weights"):
        warm_start(other, first.folder.path)
    for mine, earlier in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, earlier)
    # log Z is of that method alone.
    contrastive = models.NoiseContrastive(
        keras.models.clone_model(first.model.energy_network),
        tfd.Independent(tfd.Uniform(np.zeros((4, 4, 1), np.float32), 1.0), 3),
        sampler=samplers.Langevin(num_steps=1),
    )
    contrastive.build((None, 4, 4, 1))
    assert warm_start(contrastive, first.folder.path)["taken"] == ["energy"]
    stored = first.folder.load_model()
    assert same(contrastive.energy_network.network, stored.energy_network)
    referred = models.ContrastiveDivergence(
        keras.models.clone_model(first.model.energy_network),
        reference=networks.GaussianReference().adapt(IMAGES / np.float32(255)),
    )
    referred.build((None, 4, 4, 1))
    with pytest.raises(ValueError, match="relative to the same Gaussian|bounds="):
        warm_start(referred, first.folder.path)
