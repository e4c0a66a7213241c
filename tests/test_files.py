"""Results that are staged: in place whole, or not at all."""

import os

import pytest

from tf_febm import files


def test_what_a_block_writes_replaces_what_was_there(tmp_path):
    out = tmp_path / "a" / "b"
    out.mkdir(parents=True)
    for name in ("old.png", "both.png", "of-a-user.txt"):
        (out / name).write_text("old")
    with files.staged(out, ["*.png"]) as new:
        (new / "both.png").write_text("new")
        (new / "inside").mkdir()
        (new / "inside" / "c.png").write_text("new")
        assert (out / "old.png").exists() and (out / "both.png").read_text() == "old"
    found = {str(p.relative_to(out)): p.read_text() for p in out.rglob("*") if p.is_file()}
    assert found == {"both.png": "new", "inside/c.png": "new", "of-a-user.txt": "old"}
    assert sorted(os.listdir(out)) == ["both.png", "inside", "of-a-user.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_changes_nothing(tmp_path, error):
    with pytest.raises(error), files.staged(tmp_path / "a" / "b") as new:
        (new / "x").write_text("x")
        raise error
    assert os.listdir(tmp_path) == []
    (tmp_path / "kept").write_text("old")
    with pytest.raises(error), files.staged(tmp_path, ["kept"], "unfinished") as new:
        (new / "x").write_text("x")
        raise error
    assert sorted(os.listdir(tmp_path)) == ["kept", "unfinished"]
    assert os.listdir(tmp_path / "unfinished") == ["x"]
    with files.staged(tmp_path, ["kept"], "unfinished") as new:
        (new / "y").write_text("y")
    assert os.listdir(tmp_path) == ["y"]


def test_what_a_killed_process_left_goes_and_what_another_writes_stays(tmp_path):
    gone, other = tmp_path / ".new.4194305", tmp_path / f".new.{os.getppid()}"
    gone.mkdir()
    other.mkdir()
    with files.staged(tmp_path):
        assert not gone.exists() and other.exists()


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Cannot write to .*file"), files.staged(tmp_path / "file"):
        pass


@pytest.mark.parametrize("taken", ["b.json", "sub"])
def test_a_place_that_is_taken_loses_nothing(tmp_path, taken):
    """What is not ours is found before the first of our files moves."""
    for name in ("a.json", "old.png"):
        (tmp_path / name).write_text("old")
    if taken == "sub":
        (tmp_path / taken).write_text("a file")
    else:
        (tmp_path / taken).mkdir()
    refused = pytest.raises(OSError, match=f"{taken}.*move it away")
    with refused, files.staged(tmp_path, ["*.png"]) as new:
        (new / "sub").mkdir()
        for name in ("a.json", "b.json", "sub/c.json"):
            (new / name).write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.json", "old.png", taken])
    assert (tmp_path / "a.json").read_text() == (tmp_path / "old.png").read_text() == "old"


def test_a_folder_called_like_earlier_results_stays(tmp_path):
    (tmp_path / "mine.png").mkdir()
    with files.staged(tmp_path, ["*.png"]) as new:
        (new / "a.json").write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "mine.png"]


def test_no_empty_folder_where_the_last_one_cannot_be_made(tmp_path, monkeypatch):
    mkdir = files.Path.mkdir

    def full(self, *arguments, **settings):
        if self.name.startswith(".new."):
            if settings.get("parents"):
                mkdir(self.parent, parents=True)
            raise OSError(28, "No space left on device")
        return mkdir(self, *arguments, **settings)

    monkeypatch.setattr(files.Path, "mkdir", full)
    refused = pytest.raises(OSError, match="Cannot write to .*No space")
    with refused, files.staged(tmp_path / "a" / "b"):
        pass
    assert not list(tmp_path.iterdir())
