"""What is exported for machines without TensorFlow does there what it does here."""

import gzip
import importlib
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

# Scripts, whose names others may have as well.
MODULES = ("export", "programs", "run")


@pytest.fixture(scope="module")
def exported(project, tmp_path_factory):
    """Return the folder of small programs, the module that wrote them, and that which runs them."""
    folder = tmp_path_factory.mktemp("programs")
    others = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    sys.path.insert(0, str(project / "benchmarks" / "gpu"))
    try:
        module, _, runner = (importlib.import_module(name) for name in MODULES)
    finally:
        sys.path.pop(0)
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(others)
    for name in ("small_step", "small_chain"):
        module.write(name, module.PROGRAMS[name], folder, None, 2 if name == "small_chain" else 10)
    return folder, module, runner


@pytest.fixture(scope="module")
def with_jax():
    """Return a Python that has JAX: that of JAX_PYTHON, or this one."""
    python = os.environ.get("JAX_PYTHON", sys.executable)
    found = subprocess.run([python, "-c", "import jax"], capture_output=True, check=False)
    if found.returncode:
        pytest.skip("JAX is not installed: make gpu-check installs it and runs this file")
    return python


def test_the_state_begins_as_the_model_does(exported):
    """Zeros, copies and stored arrays together are the values of all variables."""
    folder, module, runner = exported
    place = folder / "small_step"
    made = object.__new__(runner.Executable)
    made.manifest = json.loads((place / "manifest.json").read_text())
    values = made._initial(place)
    model, _ = module.model_of(module.PROGRAMS["small_step"], None)
    module.round_weights(model)
    known = {
        f"{group}/{i}": v.numpy()
        for group, variables in model.state_variables().items()
        for i, v in enumerate(variables)
    }
    named = [part["name"] for part in made.manifest["state"]]
    # All that a step without weights of examples changes goes along, and the means of metrics.
    assert {name for name in named if not name.startswith("captured/")} == known.keys() - {
        "mean_weight/0"
    }
    for name, value in zip(named, values, strict=True):
        if name in known:
            np.testing.assert_array_equal(value, known[name])
            assert value.dtype == known[name].dtype
    with gzip.open(place / "program.mlir.gz") as file:
        assert file.read(4) == b"ML\xefR"


def test_batches_are_images_in_the_unit_interval(exported):
    """Every image once before any comes again; mirrored as a recipe says."""
    _, _, runner = exported
    images = np.arange(12, dtype=np.uint8).reshape(6, 1, 2, 1) * 20
    recipe = {"batch_size": 3, "random_flip": True, "data_noise": 0.0}
    stream = runner.batches(images, recipe, np.random.default_rng(0))
    x = np.concatenate([next(stream), next(stream)])
    assert x.dtype == np.float32
    levels = np.floor(256 * x).astype(int)
    assert sorted(levels.sum(axis=(1, 2, 3))) == sorted(images.astype(int).sum(axis=(1, 2, 3)))
    mirrored = levels[:, 0, 0, 0] > levels[:, 0, 1, 0]
    assert 0 < mirrored.sum() < 6


def test_ten_steps_are_those_of_tensorflow(exported, with_jax, project, tmp_path):
    """Checked and trained by JAX, and back in a run's folder."""
    folder, *_ = exported
    here = project / "benchmarks" / "gpu"
    arrays = tmp_path / "images.npz"
    rng = np.random.default_rng(0)
    np.savez(arrays, images=rng.integers(0, 256, (40, 8, 8, 1), np.uint8))
    # Float32 sums in another order, over ten steps of three chain steps: 3.3e-6 when written.
    command = [with_jax, here / "run.py", folder, "--time=0.1", "--tolerance=1e-4"]
    command += [
        "--train=small_step",
        f"--images={arrays}",
        "--seconds=1",
        f"--out={tmp_path / 'o'}",
    ]
    subprocess.run(command, check=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})
    report = json.loads((tmp_path / "o" / "report.json").read_text())
    assert report["programs"]["small_step"]["difference"] < 1e-4
    assert report["programs"]["small_chain"]["difference"] < 1e-6
    steps = report["trained"]["steps"]
    assert steps > 10

    command = [sys.executable, here / "import_run.py", tmp_path / "o", tmp_path / "run"]
    subprocess.run(command, check=True)
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert int(model.optimizer.iterations) == steps
    assert (tmp_path / "run" / "checkpoints" / f"step-{steps}.json").exists()


def test_unknown_programs_are_named(exported, capsys, monkeypatch, tmp_path):
    _, module, _ = exported
    monkeypatch.setattr(sys, "argv", ["export.py", str(tmp_path), "--only=digitz"])
    assert module.main() == 1
    assert "no program digitz" in capsys.readouterr().err
