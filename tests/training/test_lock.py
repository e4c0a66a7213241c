"""The lock of a run folder: one run at a time, and nothing of it stays."""

import subprocess
import sys

import pytest

from tf_febm import training
from tf_febm.training import lock


def test_a_second_run_is_refused_and_a_killed_one_is_not_in_the_way(tmp_path):
    folder = training.RunFolder(tmp_path / "logs" / "run")
    # Without TensorFlow, for speed: the module alone.
    code = (
        "import runpy, sys\n"
        f"locked = runpy.run_path({lock.__file__!r})['locked']\n"
        f"with locked({str(folder.path)!r}):\n"
        "    print('locked', flush=True); sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "locked\n"
    with (
        pytest.raises(OSError, match=f"in use by another run, process {other.pid}"),
        folder.locked(),
    ):
        pass
    assert (folder.path / ".lock").exists()
    other.kill()
    other.communicate()
    with folder.locked():
        # What the lock leaves is not taken for somebody's file.
        folder.prepare({}, ())
    assert not (folder.path / ".lock").exists()


def test_a_refused_place_is_left_as_it_was(tmp_path):
    with pytest.raises(RuntimeError), training.RunFolder(tmp_path / "a" / "b").locked():
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(OSError, match="is a file"),
        training.RunFolder(tmp_path / "file").locked(),
    ):
        pass
    # Not even root can make a folder there.
    with (
        pytest.raises(OSError, match="Cannot write to /proc/run: "),
        training.RunFolder("/proc/run").locked(),
    ):
        pass
