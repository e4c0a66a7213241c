"""A signal in the middle of a line of output: it is acknowledged, and the run goes on."""

import os
import subprocess
import sys

import console
import pytest

from tf_febm.terminal import silence

PROGRAM = """
import io, os, signal, sys
import console

class Stop:
    def request(self):
        pass

class Raw(io.RawIOBase):
    sent = False
    def writable(self):
        return True
    def fileno(self):
        return 1
    def write(self, data):
        if not self.sent:
            self.sent = True
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):  # The handler runs between two steps of the interpreter.
                pass
        return os.write(1, bytes(data))

console.stop_on_signals(Stop())
sys.stdout = io.TextIOWrapper(io.BufferedWriter(Raw()), encoding="utf-8")
print("step 1", flush=True)
print("step 2", flush=True)
"""


def test_a_signal_may_interrupt_print(project):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=project / "launch", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines == ["SIGINT: finishing this step and saving a checkpoint …", "step 1", "step 2"]


def test_a_signal_while_a_launcher_imports(tmp_path, project):
    """Before TensorFlow is asked for, and before the flags are read."""
    script = tmp_path / "launch" / "early.py"
    script.parent.mkdir()
    script.write_text(
        "import os, signal, sys\n"
        f"sys.path.insert(0, {str(project / 'launch')!r})\n"
        "import console\n"
        "os.kill(os.getpid(), getattr(signal, sys.argv[1]))\n"
        "print('not reached', flush=True)\n"
    )
    for name in ("SIGINT", "SIGTERM"):
        line = [sys.executable, str(script), name]
        result = subprocess.run(line, capture_output=True, text=True, timeout=60)
        assert (result.returncode, result.stderr) == (3, "")
        assert result.stdout == "Interrupted; nothing is lost.\n"


def test_what_is_held_back_is_shown_with_an_error_alone(capfd):
    for error, shown in ((ValueError, "said meanwhile"), (KeyboardInterrupt, "")):
        with pytest.raises(error), silence.silenced():
            os.write(2, b"said meanwhile")
            raise error
        assert capfd.readouterr().err == shown


def test_an_interrupt_that_became_a_system_error_is_one(capsys):
    """As Python makes of a KeyboardInterrupt within a function written in C."""

    def interrupted():
        raise SystemError("returned a result with an exception set") from KeyboardInterrupt()

    def broken():
        raise SystemError("bad call") from ValueError()

    assert console.exit_code(interrupted, debug=True) == console.STOPPED
    assert console.INTERRUPTED in capsys.readouterr().out
    assert console.exit_code(broken, debug=False) == console.FAILED
    assert "unexpected SystemError: bad call" in capsys.readouterr().err
