"""Signals while the main thread is inside a compiled call: noticed at once, and acted on."""

import subprocess
import sys
import time

import pytest

# A call that takes minutes, lets other threads run, and hears of no signal before its end.
PROGRAM = """
import hashlib, os, signal, threading, time
import console
console.signals.DELAY, console.signals.PATIENCE = 0.1, 0.4

class Stop:
    def request(self):
        console.log("requested")
    def leave(self):
        return {step}

{listen}
for at in {times}:
    threading.Timer(at, lambda: os.kill(os.getpid(), signal.{name})).start()
hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000_000)
"""


def ended(project, listen, name="SIGINT", step=7, times=(0.1,)):
    program = PROGRAM.format(listen=listen, name=name, step=step, times=times)
    began = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=project / "launch", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert not result.stderr and time.monotonic() - began < 40.0
    return result.returncode, result.stdout.splitlines()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_what_loses_nothing_is_left_in_the_middle(project, name):
    code, lines = ended(project, "console.stop_at_once_on_signals('Left.')", name)
    assert (code, lines) == (3, [f"{name}: ending …", "Left."])


def test_a_step_of_training_is_given_up(project):
    code, lines = ended(project, "console.stop_on_signals(Stop())", "SIGTERM")
    assert code == 3 and lines == [
        "requested",
        "SIGTERM: finishing this step and saving a checkpoint …",
        "Stopped at step 7; the same command continues from there.",
    ]


def test_a_second_signal_ends_it_at_once(project):
    code, lines = ended(
        project, "console.signals.PATIENCE = 50\nconsole.stop_on_signals(Stop())", times=(0.1, 0.6)
    )
    assert code == 128 + 2 and len(lines) == 2


def test_a_main_thread_that_listens_handles_it_itself(project):
    program = PROGRAM.format(
        listen="console.stop_at_once_on_signals('Left.')", name="SIGINT", step=0, times=(0.1,)
    ).replace(
        'hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000_000)',
        "exit(console.exit_code(lambda: time.sleep(30), debug=False, interrupted='By itself.'))",
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=project / "launch", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (3, "By itself.\n")
