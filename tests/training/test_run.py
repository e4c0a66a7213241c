"""A run in its folder: what it leaves, and that it goes on exactly where it stopped."""

import csv
import json
import os
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from traced_models import Traced, advance, assert_equal_states, state_of

from tf_febm import data, training
from tf_febm.training import recorders


@pytest.fixture(scope="module")
def image_data(images):
    return data.ImageData("toy", (255 * images).astype(np.uint8), None, None, "made up")


@pytest.fixture(scope="module")
def traced(make):
    return Traced(make(average_decay=0.9))


@pytest.fixture(scope="module")
def run_in(traced, image_data):
    """Return a function that trains a fresh model, or the given one, in a folder.

    Nothing is drawn but where a test asks for it: a picture takes longer than ten steps.
    """

    def train(path, steps, model=None, **settings):
        model = traced.fresh() if model is None else model
        folder = training.RunFolder(path)
        if not folder.options.exists():
            folder.prepare({}, ())
            folder.write_options({"recipe": {}, "data": {}, "versions": {}})
        checkpoints = training.Checkpoints(folder.checkpoints, model)
        checkpoints.restore(settings.pop("resume_step", None))
        data_seed = settings.pop("data_seed", 3)
        lines = []
        options = {"log_interval": 5, "sample_interval": 1000, "save_interval": 5, **settings}
        done = training.train(
            model,
            lambda step: data.stream(image_data, 8, seed=data_seed, start_step=step),
            folder,
            checkpoints,
            total_steps=steps,
            report=lines.append,
            **options,
        )
        return model, folder, done, lines

    return train


@pytest.fixture
def run(run_in, tmp_path):
    """Return `run_in` for folders of a name."""
    return lambda name, *arguments, **settings: run_in(tmp_path / name, *arguments, **settings)


@pytest.fixture(scope="module")
def ten(run_in, tmp_path_factory):
    """A run of ten steps, to copy from."""
    return run_in(tmp_path_factory.mktemp("runs") / "ten", 10)[1].path


def steps_in(folder):
    return [int(row["step"]) for row in recorders.read_metrics(folder.metrics)]


def test_what_a_run_leaves(run, image_data):
    watched = (data.dequantise(image_data.images[:4], seed=0), None)
    model, folder, done, lines = run(
        "a", 12, sample_interval=5, watched=watched, settings={"width": 3, "network": None}
    )
    assert done
    summary = training.finish(
        model, folder, num_samples=300, num_steps=4, seed=1, measure=lambda s: {"count": len(s)}
    )
    with open(folder.metrics, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [5, 10, 12]
    assert {"bound", "energy_gap", "steps_per_second"} <= set(rows[0])
    assert {path.name for path in folder.samples.glob("step_*")} == {
        "step_0000005.png",
        "step_0000010.png",
    }
    with np.load(folder.samples / "final.npz") as arrays:
        samples = arrays["samples"]
    assert samples.dtype == np.float32 and samples.shape == (300, 4, 4, 1)
    assert samples.min() >= 0 and samples.max() <= 1
    assert folder.read_summary() == summary
    assert summary["chains"] is None, "it took less than a minute"
    assert summary["steps"] == 12 and summary["quality"] == {"count": 300}
    assert summary["metrics"].keys() >= {"bound", "energy_gap"}
    loaded = keras.models.load_model(folder.model)
    with model.averaged_weights():
        np.testing.assert_array_equal(loaded.sample(3, seed=1), model.sample(3, seed=1))
    assert training.Checkpoints(folder.checkpoints, model).steps == [5, 10, 12]
    assert any("12/12" in line and "ETA" in line for line in lines)
    assert not [p for p in folder.path.rglob("*") if ".tmp" in p.name]
    # To TensorBoard: scalars, grids and histograms.
    (events,) = folder.tensorboard.glob("events*")
    tags = {
        value.tag
        for raw in tf.data.TFRecordDataset(str(events))
        for value in tf.compat.v1.Event.FromString(raw.numpy()).summary.value
    }
    assert {"samples", "energy/data", "energy/samples", "training/bound"} <= tags
    assert {"mean_energy/gap", "log_ratio/std", "gradient_norm/variational"} <= tags
    assert "_hparams_/session_start_info" in tags


@pytest.mark.parametrize("stop_at", [7, pytest.param(10, marks=pytest.mark.thorough)])
def test_a_continued_run_equals_an_unbroken_one_bit_for_bit(run, make, stop_at):
    """Weights, optimizer slots, average, buffer and random state; also off the log interval."""
    whole = state_of(run("whole", 20)[0])
    run("parts", stop_at)
    # Once by a model that is built and traced anew, as in a process of its own.
    another = make(average_decay=0.9) if stop_at == 7 else None
    parts, folder, done, lines = run("parts", 20, model=another)
    assert done and not any("5/20" in line.split() for line in lines)
    assert_equal_states(whole, state_of(parts))
    assert steps_in(folder) == sorted({5, stop_at, 10, 15, 20})


def test_an_older_checkpoint_can_be_chosen(run):
    run("a", 10)
    model, folder, _, lines = run("a", 15, resume_step=5)
    assert not any(" 5/15 " in line for line in lines)
    chosen = state_of(model)
    assert_equal_states(state_of(run("whole", 15)[0]), chosen)
    assert steps_in(folder) == [5, 10, 15]


def test_an_abandoned_branch_is_replaced(run, tmp_path):
    """Resumed from 5 with other data, the run's own step 10 takes the place of the old one."""
    run("a", 15)
    before = (tmp_path / "a" / "checkpoints" / "step-10.data-00000-of-00001").read_bytes()
    model, folder, *_ = run("a", 10, resume_step=5, data_seed=4)
    checkpoints = training.Checkpoints(folder.checkpoints, model)
    assert checkpoints.steps == [5, 10]
    assert (folder.checkpoints / "step-10.data-00000-of-00001").read_bytes() != before
    state = state_of(model)
    advance(model)
    checkpoints.restore()
    assert_equal_states(state_of(model), state)


def test_a_finished_run_is_left_alone(run):
    first = state_of(run("a", 10)[0])
    again, _, done, _ = run("a", 10)
    assert done
    assert_equal_states(first, state_of(again))


def test_a_request_to_stop_leaves_a_checkpoint(run):
    class Late(training.GracefulStop):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == 7:
                self.request()
            super().on_train_batch_end(batch, logs)

    model, folder, done, _ = run("a", 20, stop=Late())
    assert not done
    assert int(model.optimizer.iterations) == 7
    assert training.Checkpoints(folder.checkpoints, model).steps[-1] == 7


def test_divergence_is_reported_and_never_saved(run, traced, tmp_path):
    model = traced.fresh()
    model.variational_network.layers[-1].bias.assign([np.nan])
    with pytest.raises(
        training.DivergedError, match="before step 5: bound.* not finite.*no checkpoint"
    ):
        run("b", 10, model=model)
    assert training.Checkpoints(tmp_path / "b" / "checkpoints", model).steps == []


def test_intervals_need_not_fit(run):
    """Checkpoints come with the first row after each multiple of 7."""
    model, folder, *_ = run("a", 21, save_interval=7)
    assert training.Checkpoints(folder.checkpoints, model).steps == [10, 15, 21]


@pytest.mark.parametrize(
    ("start", "stop", "interval", "pieces"),
    [
        (0, 100, 50, [(50, 2)]),
        (0, 120, 50, [(50, 2), (20, 1)]),
        (30, 120, 50, [(20, 1), (50, 1), (20, 1)]),
        (30, 40, 50, [(10, 1)]),
        (40, 50, 50, [(10, 1)]),
        (100, 100, 50, []),
        (120, 100, 50, []),
    ],
)
def test_steps_in_epochs(start, stop, interval, pieces):
    assert training.steps_in_epochs(start, stop, interval) == pieces
    assert sum(a * b for a, b in pieces) == max(stop - start, 0)


def test_a_damaged_metrics_table_loses_only_its_damaged_rows(run_in, ten, tmp_path):
    whole = "step,seconds,bound\n5,1.0\n10,2.0,0.1\n"
    for number, (damage, kept) in enumerate([("", []), ("step,sec", []), (whole, [10])]):
        path = shutil.copytree(ten, tmp_path / str(number))
        (path / "metrics.csv").write_text(damage)
        model, folder, *_ = run_in(path, 15)
        assert steps_in(folder) == [*kept, 15], damage
    summary = training.finish(model, folder, num_samples=2, num_steps=1, seed=0)
    assert summary["steps"] == 15 and "bound" in summary["metrics"]


def test_a_row_that_was_cut_short_is_dropped(run_in, ten, tmp_path):
    """It would read as a whole one with another number."""
    folder = training.RunFolder(shutil.copytree(ten, tmp_path / "a"))
    table = folder.metrics.read_bytes()
    folder.metrics.write_bytes(table[:-5])
    assert steps_in(folder) == [5]
    run_in(folder.path, 15)
    assert steps_in(folder) == [5, 15]
    assert folder.metrics.read_bytes().startswith(table.splitlines(keepends=True)[0])


def test_any_flipped_bit_of_the_head_is_noticed(ten, tmp_path):
    """One in the word for the checksums made a table without them of it."""
    written = training.RunFolder(ten).metrics
    table, path = written.read_bytes(), tmp_path / "metrics.csv"
    assert len(recorders.read_metrics(written)) == 2
    for place in range(table.index(b"\n")):
        for bit in range(8):
            changed = bytearray(table)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            assert not recorders.read_metrics(path)


def test_rows_are_added_in_time_that_does_not_grow(run, monkeypatch):
    """The table is written anew at the beginning of a training alone."""
    whole = []
    original = recorders.write_table
    monkeypatch.setattr(
        recorders, "write_table", lambda path, *table: whole.append(path) or original(path, *table)
    )
    _, folder, *_ = run("a", 40)
    # One for the first row, which brings the names of the columns.
    assert len(whole) == 1 and len(recorders.read_metrics(folder.metrics)) == 8


def test_files_are_whole_or_absent(tmp_path):
    from tf_febm import files

    path = tmp_path / "a.json"
    files.write_json(path, {"a": [1.0, float("nan")], "b": (float("inf"),)})
    assert json.loads(path.read_text()) == {"a": [1.0, None], "b": [None]}

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write_atomically(path, fail)
    assert json.loads(path.read_text())["a"][0] == 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_weights_of_a_checkpoint_without_restoring_it(run):
    model, folder, _, _ = run("a", 12)
    checkpoints = training.Checkpoints(folder.checkpoints, model)
    before = state_of(model)
    weights, averages = (checkpoints.energy_weights(5, averaged=a) for a in (False, True))
    assert_equal_states(state_of(model), before)
    checkpoints.restore(5)
    for expected, received in zip(model.energy_network.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(expected, received)
    with model.averaged_weights():
        for expected, received in zip(model.energy_network.get_weights(), averages, strict=True):
            np.testing.assert_array_equal(expected, received)
    assert not np.array_equal(weights[0], averages[0])
    with pytest.raises(ValueError, match="no checkpoint of step 7"):
        checkpoints.energy_weights(7)


def test_averages_of_a_checkpoint_without_any(make, tmp_path):
    model = make()
    model.build((None, 4, 4, 1))
    checkpoints = training.Checkpoints(tmp_path, model)
    step = checkpoints.save()
    with pytest.raises(ValueError, match="keeps no average"):
        checkpoints.energy_weights(step, averaged=True)
    os.truncate(tmp_path / f"step-{step}.data-00000-of-00001", 100)
    with pytest.raises(OSError, match="cannot be read"):
        checkpoints.energy_weights(step)


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_around_a_checkpoint_loses_no_row_and_no_picture(run, monkeypatch, moment):
    pictures = {"sample_interval": 5}
    *_, whole, _, _ = run("whole", 15, **pictures)
    save = training.Checkpoints.save

    def killed(checkpoints, metrics=None):
        step = training.steps_taken(checkpoints._model)
        if step == 10 and moment == "before":
            raise Killed
        save(checkpoints, metrics)
        if step == 10:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(training.Checkpoints, "save", killed)
        with pytest.raises(Killed):
            run("parts", 15, **pictures)
    *_, parts, _, _ = run("parts", 15, **pictures)
    timing = ("seconds", "steps_per_second")
    tables = [
        [{k: v for k, v in row.items() if k not in timing} for row in recorders.read_metrics(path)]
        for path in (whole.metrics, parts.metrics)
    ]
    assert tables[0] == tables[1] and [row["step"] for row in tables[0]] == ["5", "10", "15"]
    drawn = [
        {path.name: path.read_bytes() for path in folder.samples.glob("*.png")}
        for folder in (whole, parts)
    ]
    assert drawn[0] == drawn[1] and len(drawn[0]) == 3


def test_a_table_that_was_removed_meanwhile_begins_again(run_in, traced, tmp_path, monkeypatch):
    record = recorders.MetricsTable.record

    def removed(table, step, logs):
        if step == 10:
            table.path.unlink()
        record(table, step, logs)

    monkeypatch.setattr(recorders.MetricsTable, "record", removed)
    _, folder, *_ = run_in(tmp_path / "a", 15)
    assert steps_in(folder) == [10, 15]
    assert folder.metrics.read_text().startswith("step,seconds,")
    # A run that goes on keeps them.
    run_in(tmp_path / "a", 20)
    assert steps_in(folder) == [10, 15, 20]


def test_a_changed_digit_of_the_metrics_is_noticed(run_in, ten, tmp_path):
    folder = training.RunFolder(shutil.copytree(ten, tmp_path / "a"))
    table = folder.metrics.read_text()
    row = table.splitlines()[1]
    changed = table.replace(row, row.replace("5,", "4,", 1))
    assert steps_in(folder) == [5, 10]
    folder.metrics.write_text(changed)
    assert steps_in(folder) == [10]
    with pytest.warns(UserWarning, match="1 rows are not what was written.*metrics.damaged.csv"):
        run_in(folder.path, 15)
    assert steps_in(folder) == [10, 15]
    assert (folder.path / "metrics.damaged.csv").read_text() == changed
