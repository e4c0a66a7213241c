"""Steps that take long: what they cost is said before, progress goes by the clock, one is left."""

import threading
import time

import keras
import numpy as np
import pytest

import tf_febm
from tf_febm import recipes, training
from tf_febm.training import estimate, keeping, progress, runs

pytestmark = pytest.mark.usefixtures("blank_charts")
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1)).astype(np.uint8)
SMALL = recipes.get("digits").replace(
    steps=4, batch_size=4, width=4, num_steps=1, log_interval=2, save_interval=100, final_steps=1,
    sample_interval=100, num_samples=4, buffer_capacity=8,
)  # fmt: skip


class LeavesInStep(keras.callbacks.Callback):
    """Asks from another thread, in the middle of a step, to give it up."""

    def __init__(self, stop, number):
        super().__init__()
        self.stop, self.number, self.left = stop, number, None

    def on_train_batch_end(self, batch, logs=None):
        if training.steps_taken(self.model) == self.number:
            thread = threading.Thread(target=self._leave)
            thread.start()
            thread.join()
            raise KeyboardInterrupt

    def _leave(self):
        self.left = self.stop.keeper.leave()


def state_of(model):
    return [v.numpy() for group in model.state_variables().values() for v in group]


def left_at(number, folder, patch):
    """Return what giving up a step of a run returns."""
    stop = training.GracefulStop()
    # Before the callback that keeps the state after a step: the step has been taken then.
    leaves, fit = LeavesInStep(stop, number), tf_febm.FEBM.fit
    patch.setattr(
        tf_febm.FEBM,
        "fit",
        lambda self, *args, callbacks, **more: fit(
            self, *args, callbacks=[leaves, *callbacks], **more
        ),
    )
    with pytest.raises(KeyboardInterrupt):
        training.run(SMALL, IMAGES, folder, stop=stop)
    return leaves.left


@pytest.mark.parametrize(("number", "expected"), [(1, 0), (3, None)])
def test_the_first_step_of_a_process_is_compiled_and_may_be_given_up(
    number, expected, tmp_path, monkeypatch
):
    """Short ones after it are not."""
    monkeypatch.setattr(keeping.StateKeeper, "LONG", 60.0)
    assert left_at(number, tmp_path / "run", monkeypatch) == expected


def test_a_step_given_up_is_taken_again_to_the_same_end(tmp_path, monkeypatch):
    monkeypatch.setattr(keeping.StateKeeper, "LONG", 0.0)
    whole = training.run(SMALL, IMAGES, tmp_path / "whole").model
    with monkeypatch.context() as patch:
        assert left_at(3, tmp_path / "left", patch) == 2
    assert training.Checkpoints(tmp_path / "left" / "checkpoints", whole).steps == [2]
    again = training.run(SMALL, IMAGES, tmp_path / "left").model
    for ours, theirs in zip(state_of(again), state_of(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_short_steps_are_not_given_up(tmp_path):
    stop = training.GracefulStop()
    assert stop.leave() is None
    training.run(SMALL, IMAGES, tmp_path / "run", stop=stop)
    assert stop.leave() is None


def test_what_a_step_costs(monkeypatch):
    data = tf_febm.data.as_data(IMAGES)
    model = SMALL.build(data)
    assert estimate.step_seconds(SMALL, model, data) is None
    monkeypatch.setattr(estimate, "gradient_seconds", lambda model, x, labels: 0.2 * len(x))
    recipe = SMALL.replace(batch_size=8, num_steps=10)
    # 10 gradients of the chain and 3.5 for each of two networks, of 0.2 s for an example.
    assert estimate.step_seconds(recipe, model, data) == pytest.approx(17 * 1.6)


def test_a_gradient_of_a_conditional_model():
    labels = np.arange(20) % 3
    data = tf_febm.data.as_data(IMAGES, labels)
    recipe = SMALL.replace(conditional=True)
    model = recipe.build(data)
    assert estimate.gradient_seconds(model, data.examples(4), labels[:4]) > 0.0
    assert estimate.step_seconds(recipe, model, data) is None


def test_a_run_of_more_than_it_may_take_is_refused_before_anything_is_written(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(runs, "step_seconds", lambda recipe, model, data: 3600.0)
    lines = []
    with pytest.raises(runs.TooLongError, match=r"about 4\.0 hours .* the limit is 2\.0 hours"):
        training.run(SMALL, IMAGES, tmp_path / "run", max_seconds=7200.0, report=lines.append)
    assert not (tmp_path / "run").exists()
    assert lines[-1] == "A step takes about 60 minutes here: 4 steps, about 4.0 hours in all."
    training.run(SMALL, IMAGES, tmp_path / "run", max_seconds=5 * 3600.0)


def test_progress_comes_by_the_clock_within_a_step(monkeypatch):
    monkeypatch.setattr(progress, "LONGEST", 0.3)
    lines = []
    shown = training.Progress(10, lines.append, expected_seconds=100.0)
    shown.first_step = shown._taken = 2
    with shown.ticking():
        shown.on_train_batch_begin(0)
        time.sleep(1.2)
    assert len(lines) >= 2
    assert all("2/10  1.7 minutes a step  ETA 13:20" in line for line in lines)
    assert "into step 3, of 1.7 minutes as a rule" in lines[-1]
    count = len(lines)
    time.sleep(0.8)
    assert len(lines) == count


def test_counting_tells_what_is_left():
    lines = []
    with progress.counting(10, "samples", lines.append, longest=0.4) as count:
        time.sleep(0.5)
        count(5)
        time.sleep(0.5)
    assert lines[0].startswith("0/10 samples  ") and lines[0].endswith("ETA after the first")
    assert lines[1].startswith("5/10 samples  ") and "ETA 0:0" in lines[1]
