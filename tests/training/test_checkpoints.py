"""Checkpoints under faults: damage is noticed, nothing good is lost, the best is kept."""

import errno
import json
import os
import resource
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from traced_models import Traced, state_of

from tf_febm import files, guarded, training
from tf_febm.training import checkpoint_files, recorders


def assert_state(model, expected):
    found = state_of(model)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def advance(model, steps=1):
    """Change all of the state, as steps do; training itself would compile a graph each time."""
    for variables in model.state_variables().values():
        for variable in variables:
            variable.assign(variable + tf.cast(steps, variable.dtype))


@pytest.fixture(scope="module")
def only(make):
    return Traced(make())


@pytest.fixture
def fresh(only):
    """Return the model of all tests as it was when it was new."""
    return only.fresh()


@pytest.fixture(scope="module")
def saved(only, tmp_path_factory):
    """Return a folder of two checkpoints, the states in them, and what a model may have after."""
    model, folder, states = only.model, tmp_path_factory.mktemp("saved"), {}
    checkpoints = training.Checkpoints(folder, model)
    for _ in range(2):
        advance(model)
        states[checkpoints.save()] = state_of(model)
    return folder, states


@pytest.fixture
def two(fresh, saved, tmp_path):
    """Return a model and its Checkpoints with two saved, the states in them, and the lines said."""
    lines, (folder, states) = [], saved
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    checkpoints = training.Checkpoints(tmp_path, fresh, report=lines.append)
    advance(fresh, 3)
    return fresh, checkpoints, states, lines


def files_of(folder, step):
    return sorted(folder.glob(f"step-{step}.*"))


def test_every_file_is_in_the_manifest_and_nothing_else_is_left(two, tmp_path):
    manifest = json.loads((tmp_path / "step-2.json").read_text())
    names = {path.name for path in files_of(tmp_path, 2)} - {"step-2.json"}
    assert manifest["files"].keys() == names == {"step-2.index", "step-2.data-00000-of-00001"}
    assert {path.name for path in tmp_path.iterdir()} == {
        path.name for step in (1, 2) for path in files_of(tmp_path, step)
    }


@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001", "json"])
@pytest.mark.parametrize("damage", ["emptied", "cut", "flipped", "removed"])
def test_a_damaged_newest_is_reported_and_the_one_before_it_used(two, tmp_path, suffix, damage):
    model, checkpoints, states, lines = two
    path = tmp_path / f"step-2.{suffix}"
    content = bytearray(path.read_bytes())
    if damage == "emptied":
        content = b""
    elif damage == "cut":
        content = content[:-2]
    elif damage == "flipped":
        content[len(content) // 2] ^= 0x10
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(content)
    if damage == "removed" and suffix == "index":
        assert checkpoints.restore() == 1
        assert len(lines) == 1 and "step-2 has no index" in lines[0]
        return
    with pytest.raises(OSError, match="step-2 cannot be read.*there are: 1"):
        checkpoints.restore(2)
    assert checkpoints.restore() == 1
    assert_state(model, states[1])
    assert len(lines) == 1 and "step-2 cannot be read" in lines[0] and "before it" in lines[0]


def test_every_flipped_bit_is_noticed(two, tmp_path):
    """40 places of the data file at random, besides its first and last bit."""
    model, checkpoints, *_ = two
    path = tmp_path / "step-2.data-00000-of-00001"
    whole = path.read_bytes()
    places = np.random.default_rng(0).integers(0, 8 * len(whole), 40)
    for place in [0, 8 * len(whole) - 1, *places]:
        content = bytearray(whole)
        content[place // 8] ^= 1 << (place % 8)
        path.write_bytes(content)
        with pytest.raises(OSError, match="checksum differs"):
            checkpoints.restore(2)
    path.write_bytes(whole)
    assert checkpoints.restore(2) == 2


def test_a_damaged_one_makes_way_for_the_next(two, tmp_path):
    model, checkpoints, _, _ = two
    os.truncate(tmp_path / "step-2.data-00000-of-00001", 10)
    assert checkpoints.restore() == 1
    advance(model, 3)
    assert checkpoints.save() == 4
    assert checkpoints.steps == [1, 4]


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.EACCES])
def test_what_cannot_be_read_at_the_moment_is_not_damaged(two, tmp_path, monkeypatch, number):
    model, checkpoints, states, lines = two

    def fail(path):
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_files, "_checksum", fail)
        with pytest.raises(OSError, match="step-2 cannot be read at the moment") as raised:
            checkpoints.restore()
    assert not isinstance(raised.value, checkpoint_files.DamagedError) and lines == []
    advance(model)
    checkpoints.save()
    # Nothing was passed over, so nothing was in the way.
    assert checkpoints.steps == [1, 2, 4]
    assert checkpoints.restore(2) == 2
    assert_state(model, states[2])


def test_when_all_are_damaged_nothing_starts_anew(two, tmp_path):
    for step in (1, 2):
        os.truncate(tmp_path / f"step-{step}.index", 3)
    with pytest.raises(OSError, match="step-1 cannot be read"):
        two[1].restore()


def test_another_architecture_is_no_damage(two, make, tmp_path):
    other = make("js", buffer=None)
    with pytest.raises(ValueError, match="of another model"):
        training.Checkpoints(tmp_path, other).restore()


def test_the_order_is_that_of_steps_whatever_the_clock_says(two, tmp_path):
    model, checkpoints, states, _ = two
    for path in files_of(tmp_path, 2):
        os.utime(path, (0, 0))
    assert checkpoints.steps == [1, 2] and checkpoints.restore() == 2
    assert_state(model, states[2])


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
        assert_state(model, best)

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
        assert_state(model, states[1])
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


def rewritten(folder, **changes):
    """Change the manifest of step 2, with a checksum that is right."""
    path = folder / "step-2.json"
    facts = guarded.read_record(path)
    guarded.write_record(path, {**facts, **changes})


FACTS = {"bytes": 0, "sha256": "0" * 64}


@pytest.mark.parametrize(
    "changes",
    [
        {"files": {}},
        {"files": {"/dev/zero": FACTS}},
        {"files": {"../..": FACTS}},
        {"files": {"step-2.index": FACTS, "step-1.data-00000-of-00001": FACTS}},
        {"metrics": {"bound": "low"}},
        {"notes": {"rollbacks": 3}},
        {"notes": {"rate_scale": "half"}},
        {"returns": -1},
        {"more": 1},
    ],
)
def test_a_manifest_names_files_of_its_own_and_facts_of_their_kind(two, tmp_path, changes):
    _, checkpoints, *_ = two
    rewritten(tmp_path, **changes)
    with pytest.raises(OSError, match="its manifest step-2.json is damaged"):
        checkpoints.restore(2)
    assert checkpoints.restore() == 1


def test_every_byte_of_a_manifest_counts(two, tmp_path):
    path = tmp_path / "step-2.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << place % 7
        path.write_bytes(content)
        with pytest.raises(checkpoint_files.DamagedError):
            checkpoint_files.read_manifest(tmp_path, 2)
    path.write_bytes(whole)
    # Earlier versions wrote no checksum.
    facts = json.loads(whole)
    del facts["checksum"]
    path.write_text(json.dumps(facts))
    assert two[1].restore(2) == 2


def test_a_link_in_the_place_of_a_file(two, tmp_path):
    _, checkpoints, *_ = two
    path = tmp_path / "step-2.data-00000-of-00001"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="no regular file of this folder"):
        checkpoints.restore(2)
