"""Forks end and speak as processes do."""

import signal
import subprocess
import sys
from pathlib import Path

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


def test_what_a_test_left_running_ends_with_those_who_ask(project, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    code = (
        "import subprocess, sys\n"
        "from tests.launch import forks\n"
        # What is imported has nothing to do with it.
        "forks.PRELOADED = ()\n"
        f"command = [sys.executable, {str(tmp_path / 'script.py')!r}, 'wait']\n"
        "process = forks.Process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)\n"
        "print(process.pid, process.stdout.readline().strip())\n"
    )
    line = [sys.executable, "-c", code]
    found = subprocess.run(line, capture_output=True, text=True, check=True, cwd=project)
    pid, said = found.stdout.split(maxsplit=1)
    assert said.strip() == "out ['wait']"
    assert not Path(f"/proc/{pid}").exists()
