"""Options and results of a run never disagree; each part of it tells its own."""

import json

import numpy as np
import pytest

from tf_febm import data, recipes, training

pytestmark = pytest.mark.usefixtures("blank_charts")
SMALL = recipes.get("digits").replace(
    steps=4, batch_size=4, width=4, num_steps=1, log_interval=2, save_interval=2, final_steps=1,
    sample_interval=100, num_samples=4, buffer_capacity=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1)).astype(np.uint8)


def contents(folder):
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def trained(recipe, images, folder, **more):
    lines = []
    found = training.run(recipe, images, folder, report=lines.append, **more)
    return found, "\n".join(lines)


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    trained(SMALL, images, folder)
    return folder


@pytest.mark.parametrize("changes", [{}, {"steps": 2, "learning_rate": 0.1}, {"num_samples": 6}])
def test_of_a_finished_run_nothing_is_touched(finished, images, changes):
    before = contents(finished)
    found, said = trained(SMALL.replace(**changes), images, finished)
    assert contents(finished) == before
    assert f"Nothing to train: the run has 4 steps, and {changes.get('steps', 4)}" in said
    assert found.done and found.step == 4 and found.summary["steps"] == 4


def test_each_part_of_a_run_keeps_its_own_options(images, tmp_path):
    folder = tmp_path / "run"
    trained(SMALL, images, folder)
    later = SMALL.replace(steps=8, learning_rate=0.01)
    found, _ = trained(later, images, folder)
    segments = json.loads((folder / "options.json").read_text())["segments"]
    rates = [(part["from"], part["recipe"]["learning_rate"]) for part in segments]
    assert rates == [(0, SMALL.learning_rate), (4, 0.01)]
    assert found.summary["segments"] == segments
    # Back before that: what was trained with the other rate is gone, and so is its part.
    third = SMALL.replace(steps=8, learning_rate=0.02)
    trained(third, images, folder, resume_step=4)
    segments = json.loads((folder / "options.json").read_text())["segments"]
    rates = [(part["from"], part["recipe"]["learning_rate"]) for part in segments]
    assert rates == [(0, SMALL.learning_rate), (4, 0.02)]
    report = (folder / "report.html").read_text()
    assert "learning_rate" in report and "from step 4" in report


def test_the_same_options_again_make_no_part(images, tmp_path):
    folder = tmp_path / "run"
    stop = training.GracefulStop()
    stop.request()
    trained(SMALL, images, folder, stop=stop)
    trained(SMALL, images, folder)
    assert len(json.loads((folder / "options.json").read_text())["segments"]) == 1


def test_a_checkpoint_is_restored_with_the_options_it_was_trained_with(images, tmp_path):
    # Of a file, for which no classifier is trained: that takes longer than both runs.
    np.savez(tmp_path / "images.npz", x=images)
    folder, source = tmp_path / "run", data.Source("npz", tmp_path / "images.npz")
    recipe = SMALL.replace(keep_checkpoints=5)
    trained(recipe, source, folder)
    trained(recipe.replace(steps=6, num_steps=3), source, folder)
    assert recipes.restore(folder).recipe.num_steps == 3
    assert recipes.restore(folder, step=2).recipe.num_steps == 1


def test_a_run_that_lacks_its_results_gets_them_and_keeps_its_options(images, tmp_path):
    folder = tmp_path / "run"
    trained(SMALL, images, folder)
    (folder / "model.keras").unlink()
    options = (folder / "options.json").read_bytes()
    found, said = trained(SMALL.replace(learning_rate=0.1), images, folder)
    assert "Nothing to train" in said and found.summary["steps"] == 4
    assert (folder / "model.keras").is_file() and (folder / "options.json").read_bytes() == options
    assert found.summary["segments"][-1]["recipe"]["learning_rate"] == SMALL.learning_rate
