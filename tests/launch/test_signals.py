"""A signal in the middle of a line of output: it is acknowledged, and the run goes on."""

import subprocess
import sys

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
