"""Checkpoints under faults: damage is noticed, nothing good is lost, the best is kept."""

import json
import os
import resource
import signal

import numpy as np
import pytest
from traced_models import advance, assert_equal_states, state_of

from tf_febm import files, training
from tf_febm.training import checkpoint_files, recorders


def files_of(folder, step):
    return sorted(folder.glob(f"step-{step}.*"))


def test_every_file_is_in_the_manifest_and_nothing_else_is_left(two, tmp_path):
    manifest = json.loads((tmp_path / "step-2.json").read_text())
    names = {path.name for path in files_of(tmp_path, 2)} - {"step-2.json"}
    assert manifest["files"].keys() == names == {"step-2.index", "step-2.data-00000-of-00001"}
    assert {path.name for path in tmp_path.iterdir()} == {
        path.name for step in (1, 2) for path in files_of(tmp_path, step)
    }


def test_another_architecture_is_no_damage(two, make, tmp_path):
    other = make("js", buffer=None)
    with pytest.raises(ValueError, match="of another model"):
        training.Checkpoints(tmp_path, other).restore()


def test_the_order_is_that_of_steps_whatever_the_clock_says(two, tmp_path):
    model, checkpoints, states, _ = two
    for path in files_of(tmp_path, 2):
        os.utime(path, (0, 0))
    assert checkpoints.steps == [1, 2] and checkpoints.restore() == 2
    assert_equal_states(state_of(model), states[2])


class TestFullDisk:
    """A limit on the size of a file takes the place of a disk without room."""

    @pytest.fixture
    def limited(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        # A process is killed for it unless it says otherwise; Python says otherwise.
        assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
        yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    @pytest.mark.parametrize("size", [0, 100, 4000])
    def test_nothing_good_is_lost(self, two, tmp_path, limited, size):
        model, checkpoints, states, _ = two
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        assert size < (tmp_path / "step-2.data-00000-of-00001").stat().st_size
        limited(size)
        message = "Cannot write checkpoint 3 to .*: .*[Ff]ile too large"
        with pytest.raises(OSError, match=message) as caught:
            checkpoints.save()
        assert "function_node" not in str(caught.value) and "[Op" not in str(caught.value)
        limited(resource.RLIM_INFINITY)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
        # With room again the same state is saved.
        assert checkpoints.save() == 3 and checkpoints.steps == [1, 2, 3]

    def test_a_row_that_does_not_fit_is_dropped_and_its_file_named(self, tmp_path, limited):
        path = tmp_path / "metrics.csv"
        path.write_bytes(b"step,seconds,bound\r\n5,1.0,0.25\r\n")
        limited(path.stat().st_size + 10)
        with pytest.raises(OSError, match="File too large.*metrics.csv"):
            files.append(path, b"10,2.0,0.125\r\n")
        limited(resource.RLIM_INFINITY)
        # What fitted reads like a row: 10,2.0,0.1.
        assert path.read_bytes().endswith(b"10,2.0,0.1")
        assert [row["step"] for row in recorders.read_metrics(path)] == ["5"]

    def test_a_picture_that_does_not_fit_leaves_the_old_one(self, tmp_path, limited):
        from tf_febm import evaluation

        path = tmp_path / "grid.png"
        evaluation.save_png(path, np.zeros((8, 8, 3), np.uint8))
        before = path.read_bytes()
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
        limited(200)
        with pytest.raises(OSError):
            evaluation.save_png(path, noise)
        limited(resource.RLIM_INFINITY)
        assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


class TestBest:
    def save_all(self, model, folder, values, **settings):
        checkpoints = training.Checkpoints(
            folder, model, max_to_keep=2, best_metric="loss", **settings
        )
        for value in values:
            advance(model)
            checkpoints.save({"loss": value, "other": 1.0})
        return checkpoints

    @pytest.mark.parametrize(
        ("mode", "values", "steps", "best"),
        [
            ("min", [3.0, 1.0, 2.0, 5.0, 4.0], [2, 4, 5], 2),
            ("max", [3.0, 1.0, 2.0, 5.0, 4.0], [4, 5], 4),
            ("min", [1.0, 1.0, 2.0, 2.0], [2, 3, 4], 2),
            ("max", [1.0, float("nan"), 0.5, 0.2], [1, 3, 4], 1),
        ],
    )
    def test_it_is_kept_besides_the_newest(self, fresh, tmp_path, mode, values, steps, best):
        checkpoints = self.save_all(fresh, tmp_path, values, mode=mode)
        assert checkpoints.steps == steps and checkpoints.best == best
        assert checkpoints.facts(best)["metrics"]["loss"] == values[best - 1]

    def test_of_steps_that_were_taken_back_it_is_kept_aside(self, fresh, tmp_path):
        model, lines, aside = fresh, [], tmp_path / "abandoned"
        checkpoints = training.Checkpoints(tmp_path, model, best_metric="loss", report=lines.append)
        for value in (3.0, 2.0, 1.0):
            advance(model, 2)
            checkpoints.save({"loss": value})
        best = state_of(model)
        checkpoints.restore(2)
        advance(model)
        checkpoints.save({"loss": 2.5})
        assert checkpoints.steps == [2, 3] and checkpoints.best == 3
        assert lines == [
            "Checkpoint 6, the best so far by loss, is of steps that were taken back: it is in "
            f"{aside} now."
        ]
        kept = training.Checkpoints(aside, model, best_metric="loss")
        assert kept.restore() == 6 and kept.facts(6)["metrics"]["loss"] == 1.0
        assert_equal_states(state_of(model), best)

    def test_setting_aside_may_be_broken_off_and_repeated(self, two, tmp_path, monkeypatch):
        def end(*_):
            raise KeyboardInterrupt

        # Before anything is removed both are whole.
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(checkpoint_files, "remove", end)
            checkpoint_files.set_aside(tmp_path, 2)
        checkpoint_files.verify(tmp_path, 2)
        checkpoint_files.verify(tmp_path / "abandoned", 2)
        assert checkpoint_files.set_aside(tmp_path, 2) == tmp_path / "abandoned_2"
        checkpoint_files.verify(tmp_path / "abandoned_2", 2)
        assert checkpoint_files.steps_in(tmp_path) == [1]

    def test_its_name_is_checked(self, fresh, tmp_path):
        model = fresh
        checkpoints = training.Checkpoints(tmp_path, model, best_metric="fid")
        with pytest.raises(ValueError, match="best_metric must be one of bound, energy; .*'fid'"):
            checkpoints.save({"energy": 1.0, "bound": 2.0})
        with pytest.raises(ValueError, match="mode must be 'min' or 'max'; received 'least'"):
            training.Checkpoints(tmp_path, model, mode="least")
        with pytest.raises(ValueError, match="max_to_keep"):
            training.Checkpoints(tmp_path, model, max_to_keep=0)


class TestReturns:
    """What a process leaves that ends between a return and the next checkpoint."""

    def go_back(self, checkpoints, step):
        checkpoints.restore(step)
        checkpoints.notes = {"rate_scale": 0.5}
        checkpoints.note_return(step)

    def again(self, checkpoints):
        return training.Checkpoints(checkpoints.folder, checkpoints._model)

    def test_they_are_gone_on_from(self, two):
        model, checkpoints, states, _ = two
        self.go_back(checkpoints, 1)
        seed = model.seed_generator.state.numpy()
        advance(model)
        after = self.again(checkpoints)
        assert after.restore() == 1 and after.notes == {"rate_scale": 0.5}
        assert after.restored_notes == {}
        np.testing.assert_array_equal(model.seed_generator.state, seed)
        assert_equal_states(state_of(model), states[1])
        # The one that was asked for is taken as it is.
        assert after.restore(2) == 2 and after.notes == {}

    def test_a_save_that_was_not_completed_counts(self, two):
        """Ended after the checkpoint was in its place, before the note was removed."""
        model, checkpoints, _, _ = two
        self.go_back(checkpoints, 1)
        note = checkpoints.folder / "returned.json"
        kept = note.read_bytes()
        advance(model, 2)
        checkpoints.save()
        assert not note.exists()
        note.write_bytes(kept)
        assert self.again(checkpoints).restore() == 3
        # A return after that is one again.
        self.go_back(checkpoints, 1)
        assert self.again(checkpoints).restore() == 1

    def test_rates_stay_reduced_if_the_checkpoint_is_damaged(self, two):
        _, checkpoints, states, _ = two
        self.go_back(checkpoints, 2)
        os.truncate(checkpoints.folder / "step-2.data-00000-of-00001", 10)
        after = self.again(checkpoints)
        assert after.restore() == 1 and after.notes == {"rate_scale": 0.5}

    @pytest.mark.parametrize("text", ["", "{}", '{"step": 1, "notes": [], "seed": 3}'])
    def test_a_damaged_note_is_shown(self, two, text):
        note = two[1].folder / "returned.json"
        note.write_text(text)
        with pytest.raises(OSError, match="returned.json is damaged.*Remove it"):
            two[1].restore()


def test_what_a_broken_save_left_goes_with_the_next(two, tmp_path):
    model, checkpoints, *_ = two
    for name in ("step-7.worker-1.npz", "step-8.data-00000-of-00001", "step-8.json"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "step-by-step.txt").write_text("not ours")
    checkpoints.save()
    assert [path.name for path in tmp_path.glob("step-[78b]*")] == ["step-by-step.txt"]


class TestStepsOfAFolder:
    @pytest.fixture
    def saved(self, fresh, tmp_path):
        model = fresh
        checkpoints = training.Checkpoints(tmp_path, model, max_to_keep=2)
        advance(model, 4)
        checkpoints.save()
        return model, checkpoints

    def test_the_oldest_go(self, saved):
        model, checkpoints = saved
        for _ in range(2):
            advance(model, 2)
            checkpoints.save()
        assert checkpoints.steps == [6, 8]

    def test_a_missing_step_is_named(self, saved):
        with pytest.raises(ValueError, match="no checkpoint of step 3 .* have 4"):
            saved[1].restore(3)

    def test_another_architecture_is_refused_untouched(self, saved, make, tmp_path):
        other = make("kl", buffer=None, average_decay=0.9)
        before = state_of(other)
        with pytest.raises(ValueError, match="of another model: 7 of"):
            training.Checkpoints(tmp_path, other).restore()
        assert_equal_states(state_of(other), before)

    def test_weights_that_are_not_finite_are_never_saved(self, saved, tmp_path):
        model, checkpoints = saved
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        advance(model)
        model.energy_network.layers[-1].bias.assign([np.inf])
        with pytest.raises(training.DivergedError, match="step 5: .*bias"):
            checkpoints.save()
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_without_its_index_a_checkpoint_does_not_count(self, saved, tmp_path):
        (tmp_path / "step-4.index").unlink()
        assert saved[1].steps == []
        assert saved[1].restore() == 0

    def test_an_unwritable_place_is_named(self, saved, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(OSError, match="Cannot write checkpoint 4"):
            training.Checkpoints(tmp_path / "file" / "below", saved[0]).save()
