"""A run in its folder: what it leaves, and that it goes on exactly where it stopped."""

import csv
import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_febm import data, training
from tf_febm.training import recorders


@pytest.fixture
def image_data(images):
    return data.ImageData("toy", (255 * images).astype(np.uint8), None, None, "made up")


@pytest.fixture
def run(make, image_data, tmp_path):
    """Return a function that trains a fresh model in the folder of a name."""

    def train(name, steps, **settings):
        model = make(average_decay=0.9)
        folder = training.RunFolder(tmp_path / name)
        if not folder.options.exists():
            folder.prepare({}, ())
            folder.write_options({"recipe": {}, "data": {}, "versions": {}})
        checkpoints = training.Checkpoints(folder.checkpoints, model)
        checkpoints.restore(settings.pop("resume_step", None))
        data_seed = settings.pop("data_seed", 3)
        lines = []
        options = {"log_interval": 5, "sample_interval": 5, "save_interval": 5, **settings}
        done = training.train(
            model,
            lambda step: data.stream(image_data, 8, seed=data_seed, start_step=step),
            folder,
            checkpoints,
            total_steps=steps,
            probe=(data.dequantise(image_data.images[:4], seed=0), None),
            report=lines.append,
            **options,
        )
        return model, folder, done, lines

    return train


def everything(model):
    return {
        f"{group}/{i}": variable.numpy()
        for group, variables in model.state_variables().items()
        for i, variable in enumerate(variables)
    }


def assert_equal_state(one, other):
    one, other = everything(one), everything(other)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_what_a_run_leaves(run):
    model, folder, done, lines = run("a", 12)
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
    assert json.loads(folder.summary.read_text()) == summary
    assert summary["steps"] == 12 and summary["quality"] == {"count": 300}
    assert summary["metrics"].keys() >= {"bound", "energy_gap"}
    loaded = keras.models.load_model(folder.model)
    with model.averaged_weights():
        np.testing.assert_array_equal(loaded.sample(3, seed=1), model.sample(3, seed=1))
    assert training.Checkpoints(folder.checkpoints, model).steps == [5, 10, 12]
    assert any("12/12" in line and "ETA" in line for line in lines)
    assert not [p for p in folder.path.rglob("*") if ".tmp" in p.name]


def test_tensorboard_has_scalars_grids_and_histograms(run):
    _, folder, _, _ = run("a", 5)
    (events,) = folder.tensorboard.glob("events*")
    tags = {
        value.tag
        for raw in tf.data.TFRecordDataset(str(events))
        for value in tf.compat.v1.Event.FromString(raw.numpy()).summary.value
    }
    assert {"bound", "samples", "energy/data", "energy/samples"} <= tags


@pytest.mark.parametrize("stop_at", [7, 10])
def test_a_continued_run_equals_an_unbroken_one_bit_for_bit(run, stop_at):
    """Weights, optimizer slots, average, buffer and random state; also off the log interval."""
    whole, *_ = run("whole", 20)
    run("parts", stop_at)
    parts, folder, done, lines = run("parts", 20)
    assert done and not any("5/20" in line.split() for line in lines)
    assert_equal_state(whole, parts)
    with open(folder.metrics, newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == sorted({5, stop_at, 10, 15, 20})


def test_an_older_checkpoint_can_be_chosen(run):
    run("a", 10)
    model, folder, _, lines = run("a", 15, resume_step=5)
    assert not any(" 5/15 " in line for line in lines)
    whole, *_ = run("whole", 15)
    assert_equal_state(whole, model)
    with open(folder.metrics, newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [5, 10, 15]


def test_an_abandoned_branch_is_replaced(run, tmp_path):
    """Resumed from 5 with other data, the run's own step 10 takes the place of the old one."""
    run("a", 15)
    before = (tmp_path / "a" / "checkpoints" / "step-10.data-00000-of-00001").read_bytes()
    model, folder, *_ = run("a", 10, resume_step=5, data_seed=4)
    checkpoints = training.Checkpoints(folder.checkpoints, model)
    assert checkpoints.steps == [5, 10]
    assert (folder.checkpoints / "step-10.data-00000-of-00001").read_bytes() != before
    state = everything(model)
    checkpoints.restore()
    for name, value in everything(model).items():
        np.testing.assert_array_equal(value, state[name])


def test_a_finished_run_is_left_alone(run):
    first, *_ = run("a", 10)
    again, _, done, _ = run("a", 10)
    assert done
    assert_equal_state(first, again)


def test_a_request_to_stop_leaves_a_checkpoint(run, monkeypatch):
    stop = training.GracefulStop()

    class Late(training.GracefulStop):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == 7:
                self.request()
            super().on_train_batch_end(batch, logs)

    stop = Late()
    model, folder, done, _ = run("a", 20, stop=stop)
    assert not done
    assert int(model.optimizer.iterations) == 7
    assert training.Checkpoints(folder.checkpoints, model).steps[-1] == 7


def test_divergence_is_reported_and_never_saved(run, make, image_data, tmp_path):
    model = make()
    folder = training.RunFolder(tmp_path / "b")
    folder.prepare({}, ())

    def poisoned(step):
        if step >= 0:
            model.variational_network.layers[-1].bias.assign([np.nan])
        return data.stream(image_data, 8, start_step=step)

    checkpoints = training.Checkpoints(folder.checkpoints, model)
    with pytest.raises(
        training.DivergedError, match="before step 5: bound.* not finite.*no checkpoint"
    ):
        training.train(
            model,
            poisoned,
            folder,
            checkpoints,
            total_steps=10,
            log_interval=5,
            sample_interval=5,
            save_interval=5,
        )
    assert training.Checkpoints(folder.checkpoints, model).steps == []


def test_intervals_need_not_fit(run):
    """Checkpoints come with the first row after each multiple of 7."""
    model, folder, *_ = run("a", 21, save_interval=7)
    assert training.Checkpoints(folder.checkpoints, model).steps == [10, 15, 21]


class TestCheckpoints:
    @pytest.fixture
    def saved(self, make, images, tmp_path):
        model = make()
        model.fit(images, batch_size=16, verbose=0)
        checkpoints = training.Checkpoints(tmp_path, model)
        checkpoints.save()
        return model, checkpoints

    def test_the_oldest_go(self, make, images, tmp_path):
        model = make()
        checkpoints = training.Checkpoints(tmp_path, model, max_to_keep=2)
        for _ in range(4):
            model.fit(images, batch_size=32, verbose=0)
            checkpoints.save()
        assert checkpoints.steps == [6, 8]

    def test_a_missing_step_is_named(self, saved):
        with pytest.raises(ValueError, match="no checkpoint of step 3 .* have 4"):
            saved[1].restore(3)

    def test_another_architecture_is_refused_untouched(self, saved, make, tmp_path):
        other = make("kl", buffer=None)
        before = everything(other)
        with pytest.raises(ValueError, match="of another model: 2 of"):
            training.Checkpoints(tmp_path, other).restore()
        for name, value in everything(other).items():
            np.testing.assert_array_equal(value, before[name])

    @pytest.mark.parametrize("which", ["index", "data-00000-of-00001"])
    def test_a_truncated_file_is_named(self, saved, tmp_path, which):
        path = tmp_path / f"step-4.{which}"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(OSError, match="step-4 cannot be read"):
            saved[1].restore()

    def test_weights_that_are_not_finite_are_never_saved(self, make, images, tmp_path):
        model = make()
        model.fit(images, batch_size=16, verbose=0)
        model.energy_network.layers[-1].bias.assign([np.inf])
        with pytest.raises(training.DivergedError, match="step 4: .*bias"):
            training.Checkpoints(tmp_path, model).save()
        assert list(tmp_path.iterdir()) == []

    def test_without_its_index_a_checkpoint_does_not_count(self, saved, tmp_path):
        (tmp_path / "step-4.index").unlink()
        assert saved[1].steps == []
        assert saved[1].restore() == 0

    def test_an_unwritable_place_is_named(self, make, images, tmp_path):
        (tmp_path / "file").write_text("in the way")
        model = make()
        model.fit(images, batch_size=16, verbose=0)
        with pytest.raises(OSError, match="Cannot write checkpoint 4"):
            training.Checkpoints(tmp_path / "file" / "below", model).save()


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


class TestRunFolder:
    def test_a_changed_option_is_refused(self, tmp_path):
        folder = training.RunFolder(tmp_path / "a")
        folder.prepare({"recipe": {"divergence": "js", "steps": 5}}, ("divergence",))
        folder.write_options(
            {"recipe": {"divergence": "js", "steps": 5}, "data": {}, "versions": {}}
        )
        folder.prepare({"recipe": {"divergence": "js", "steps": 9}}, ("divergence",))
        with pytest.raises(ValueError, match=r"divergence='js' \(now 'kl'\).*or overwrite"):
            folder.prepare({"recipe": {"divergence": "kl", "steps": 5}}, ("divergence",))

    def test_overwriting_removes_the_run_and_nothing_else(self, tmp_path):
        folder = training.RunFolder(tmp_path / "a")
        folder.prepare({}, ())
        folder.write_options({"recipe": {"divergence": "js"}, "data": {}, "versions": {}})
        (folder.path / "notes.txt").write_text("mine")
        (folder.samples / "photo.txt").write_text("mine")
        (folder.samples / "step_0000005.png").write_text("old")
        folder.metrics.write_text("step")
        # What the former run did when it diverged is none of the new one's business.
        for name in ("returned.json", "abandoned/step-4.index", "abandoned_2/step-4.index"):
            (folder.checkpoints / name).parent.mkdir(parents=True, exist_ok=True)
            (folder.checkpoints / name).write_text("old")
        folder.prepare({"recipe": {"divergence": "kl"}}, ("divergence",), overwrite=True)
        assert {p.name for p in folder.path.iterdir()} == {"notes.txt", "samples"}
        assert [p.name for p in folder.samples.iterdir()] == ["photo.txt"]

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_a_folder_that_is_no_run_is_left_alone(self, tmp_path, overwrite):
        (tmp_path / "thesis.tex").write_text("mine")
        with pytest.raises(OSError, match="holds no run"):
            training.RunFolder(tmp_path).prepare({}, (), overwrite=overwrite)
        assert (tmp_path / "thesis.tex").read_text() == "mine"

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_a_folder_of_the_users_that_only_looks_like_a_run(self, tmp_path, overwrite):
        (tmp_path / "samples").mkdir()
        (tmp_path / "samples" / "final.png").write_text("mine")
        with pytest.raises(OSError, match="holds no run"):
            training.RunFolder(tmp_path).prepare({}, (), overwrite=overwrite)
        assert (tmp_path / "samples" / "final.png").read_text() == "mine"

    def test_places_that_cannot_be(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match="is a file"):
            training.RunFolder(tmp_path / "file").prepare({}, ())
        with pytest.raises(OSError, match="Cannot write to"):
            training.RunFolder(tmp_path / "file" / "a").prepare({}, ())

    @pytest.mark.parametrize("existing", [False, True])
    def test_a_read_only_place(self, tmp_path, existing):
        folder = training.RunFolder(tmp_path / "a")
        if existing:
            folder.prepare({}, ())
            folder.path.chmod(0o500)
        tmp_path.chmod(0o500)
        # Permissions do not bind root: be nobody for the moment.
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(OSError, match=r"Cannot write to .*: Permission denied"):
                folder.prepare({}, ())
        finally:
            if user == 0:
                os.seteuid(0)
            tmp_path.chmod(0o700)

    @pytest.mark.parametrize("text", ['{"fla', '{"flags": null}', '{"flags": []}', "7", ""])
    def test_damaged_options_are_named(self, tmp_path, text):
        folder = training.RunFolder(tmp_path)
        folder.options.write_text(text)
        with pytest.raises(OSError, match="options.json is damaged"):
            folder.prepare({}, ())


@pytest.mark.parametrize("damage", ["", "step,sec", "step,seconds,bound\n5,1.0\n10,2.0,0.1\n"])
def test_a_damaged_metrics_table_loses_only_its_damaged_rows(run, damage):
    _, folder, *_ = run("a", 10)
    folder.metrics.write_text(damage)
    model, *_ = run("a", 15)
    summary = training.finish(model, folder, num_samples=2, num_steps=1, seed=0)
    assert summary["steps"] == 15 and "bound" in summary["metrics"]


def test_a_row_that_was_cut_short_is_dropped(run):
    """It would read as a whole one with another number."""
    _, folder, *_ = run("a", 10)
    table = folder.metrics.read_bytes()
    folder.metrics.write_bytes(table[:-5])
    assert len(recorders.read_metrics(folder.metrics)) == 1
    run("a", 15)
    rows = recorders.read_metrics(folder.metrics)
    assert [row["step"] for row in rows] == ["5", "15"]
    assert folder.metrics.read_bytes().startswith(table.splitlines(keepends=True)[0])


def test_rows_are_added_in_time_that_does_not_grow(run, monkeypatch):
    """The table is written anew at the beginning of a training alone."""
    whole = []
    original = recorders.write_atomically
    monkeypatch.setattr(
        recorders,
        "write_atomically",
        lambda path, write: whole.append(path) or original(path, write),
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
    before = everything(model)
    weights, averages = (checkpoints.energy_weights(5, averaged=a) for a in (False, True))
    assert everything(model).keys() == before.keys()
    for name, value in everything(model).items():
        np.testing.assert_array_equal(value, before[name])
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
