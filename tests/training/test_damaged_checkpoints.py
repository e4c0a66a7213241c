"""Damage to checkpoints is noticed, named, and cured by the one before it."""

import errno
import json
import os

import numpy as np
import pytest
from traced_models import advance, assert_equal_states, state_of

from tf_febm import untrusted_files
from tf_febm.training import checkpoint_files


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
    assert_equal_states(state_of(model), states[1])
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
    assert_equal_states(state_of(model), states[2])


def test_when_all_are_damaged_nothing_starts_anew(two, tmp_path):
    for step in (1, 2):
        os.truncate(tmp_path / f"step-{step}.index", 3)
    with pytest.raises(OSError, match="step-1 cannot be read"):
        two[1].restore()


def rewritten(folder, **changes):
    """Change the manifest of step 2, with a checksum that is right."""
    path = folder / "step-2.json"
    facts = untrusted_files.read_record(path)
    untrusted_files.write_record(path, {**facts, **changes})


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
