"""launch/export.py as its users run it, on a tiny run of the digits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm


@pytest.fixture
def run_folder(make, images, tmp_path):
    """Return a folder with the model of a run; what it has learned does not matter."""
    model = make()
    model.build((None, *images.shape[1:]))
    folder = tf_febm.training.RunFolder(tmp_path / "run")
    folder.prepare({}, ())
    model.save(folder.model)
    return folder


@pytest.fixture
def export(capfd):
    """Run the launcher in this process, with flags of its own, as absl would parse them."""
    import export as launcher
    from absl import flags

    def run(*arguments):
        values = flags.FlagValues()
        launcher.define(values)
        values(["export.py", *map(str, arguments)])
        code = launcher.console.exit_code(lambda: launcher.run(values), debug=False)
        return code, *capfd.readouterr()

    return run


def test_into_the_folder_of_the_run(export, run_folder, images):
    code, out, _ = export(f"--run={run_folder.path}")
    assert code == 0 and out.splitlines()[-1] == f"Done: {run_folder.path / 'saved_model'}."
    energy = tf.saved_model.load(str(run_folder.path / "saved_model")).signatures["energy"]
    model = keras.models.load_model(run_folder.model)
    found = energy(x=tf.constant(images))["energy"]
    np.testing.assert_allclose(found, model.energy(images), atol=1e-5)
    # A second time nothing is replaced.
    code, _, error = export(f"--run={run_folder.path}")
    assert code == 1 and "saved_model exists; remove it or give another --out" in error
    # --overwrite of a new training removes what belongs to the old one.
    run_folder.clear()
    assert [p.name for p in run_folder.path.iterdir()] == []


def test_another_place_and_format(export, run_folder, tmp_path):
    out = tmp_path / "below" / "e.tflite"
    code, *_ = export(f"--run={run_folder.path}", f"--out={out}", "--format=tflite")
    assert code == 0 and out.stat().st_size > 0
    code, _, error = export(
        f"--run={run_folder.path}", f"--out={out}2", "--format=tflite", "--num_steps=3"
    )
    assert code == 1 and "--num_steps=3 is for --format=saved_model, not tflite" in error


@pytest.mark.parametrize("arguments, message", [
    ([], "--run= must name the folder"),
    (["--run=nowhere"], "There is no nowhere/model.keras: a run writes its model when"),
])  # fmt: skip
def test_errors_are_one_line(export, arguments, message):
    code, out, error = export(*arguments)
    assert code == 1 and error.startswith("error: " + message) and len(error.splitlines()) == 1
