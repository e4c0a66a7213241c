"""Forks end and speak as processes do."""

import signal
import subprocess
import sys

from tests.launch import forks

SCRIPT = """import os, signal, sys
print("out", sys.argv[1:], flush=True)
print("err", file=sys.stderr, flush=True)
print(os.getcwd(), os.environ.get("MINE"), "tf_febm" in sys.modules)
if sys.argv[1:] == ["wait"]:
    signal.pause()
if sys.argv[1:] == ["raise"]:
    raise KeyError("told")
sys.exit("text" if sys.argv[1:] == ["text"] else 3)
"""


def test_output_errors_and_exit_codes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script]
    found = forks.run([*command, "a"], cwd=tmp_path, env={"MINE": "1"})
    assert (found.returncode, found.stderr) == (3, "err\n")
    assert found.stdout == f"out ['a']\n{tmp_path} 1 True\n"
    assert forks.run([*command, "text"]).returncode == 1
    found = forks.run([*command, "raise"])
    assert found.returncode == 1 and "KeyError: 'told'" in found.stderr
    process = forks.Process(
        [*command, "wait"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout.readline() == "out ['wait']\n" and process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == -signal.SIGTERM
