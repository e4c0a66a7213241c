"""The folder of a run: what is refused, and what is left alone."""

import os

import pytest

from tf_febm import training
from tf_febm.training import lock


def test_a_changed_option_is_refused(tmp_path):
    folder = training.RunFolder(tmp_path / "a")
    folder.prepare({"recipe": {"divergence": "js", "steps": 5}}, ("divergence",))
    folder.write_options({"recipe": {"divergence": "js", "steps": 5}, "data": {}, "versions": {}})
    folder.prepare({"recipe": {"divergence": "js", "steps": 9}}, ("divergence",))
    with pytest.raises(ValueError, match=r"divergence='js' \(now 'kl'\).*or overwrite"):
        folder.prepare({"recipe": {"divergence": "kl", "steps": 5}}, ("divergence",))


def test_overwriting_removes_the_run_and_nothing_else(tmp_path):
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
def test_a_folder_that_is_no_run_is_left_alone(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(OSError, match="holds no run"):
        training.RunFolder(tmp_path).prepare({}, (), overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_the_users_that_only_looks_like_a_run(tmp_path, overwrite):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "final.png").write_text("mine")
    with pytest.raises(OSError, match="holds no run"):
        training.RunFolder(tmp_path).prepare({}, (), overwrite=overwrite)
    assert (tmp_path / "samples" / "final.png").read_text() == "mine"


def test_places_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="is a file"):
        training.RunFolder(tmp_path / "file").prepare({}, ())
    with pytest.raises(OSError, match="Cannot write to"):
        training.RunFolder(tmp_path / "file" / "a").prepare({}, ())


@pytest.mark.parametrize("existing", [False, True])
def test_a_read_only_place(tmp_path, existing):
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
def test_damaged_options_are_named(tmp_path, text):
    folder = training.RunFolder(tmp_path)
    folder.options.write_text(text)
    with pytest.raises(OSError, match="options.json is damaged"):
        folder.prepare({}, ())


def test_a_removed_lock_file_lets_nobody_in(tmp_path):
    folder = training.RunFolder(tmp_path / "run")
    with folder.locked():
        (folder.path / lock.LOCK_NAME).unlink()
        with pytest.raises(OSError, match="is in use by another run"), folder.locked():
            pass
        assert not (folder.path / lock.LOCK_NAME).exists()
    with folder.locked():
        pass
    assert not folder.path.exists()


def test_what_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    folder = training.RunFolder(tmp_path)
    folder.write_options({"recipe": {"steps": 1}, "data": {}, "versions": {}})
    changed = folder.options.read_text().replace('"steps": 1', '"steps": 3')

    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("tf_febm.untrusted_files.opening.os.open", refuse)
        with pytest.raises(PermissionError):
            folder.read_options()
        with pytest.raises(OSError, match="Cannot write|Permission denied"):
            folder.prepare({}, ())
    folder.options.write_text(changed)
    with pytest.raises(OSError, match="options.json is damaged .*checksum differs"):
        folder.read_options()


def test_a_damaged_model_is_not_called_missing(tmp_path):
    folder = training.RunFolder(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no .*model.keras: a run writes its"):
        folder.load_model()
    for content in (b"", b"PK", b"nothing"):
        folder.model.write_bytes(content)
        with pytest.raises(OSError, match="model.keras is damaged, and holds no model") as caught:
            folder.load_model()
        assert "\n" not in str(caught.value)
