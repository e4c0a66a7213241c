"""A tiny finished run of the digits, and launchers called inside this process."""

import importlib
import shutil
import subprocess
import sys

import pytest

FAST = [
    "--steps=6", "--batch_size=8", "--num_steps=2", "--num_filters=8", "--log_interval=3",
    "--sample_interval=6", "--save_interval=3", "--num_samples=40", "--final_steps=2",
]  # fmt: skip


@pytest.fixture(scope="session")
def trained(project, tmp_path_factory):
    """Return the folder of a finished run; tests work on copies."""
    folder = tmp_path_factory.mktemp("runs")
    script = str(project / "launch" / "train.py")
    command = [sys.executable, script, f"--logdir={folder}", "--exp=run", *FAST]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return folder / "run"


@pytest.fixture
def run_folder(trained, tmp_path):
    """Return a copy of the finished run."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def call(capfd):
    """Return name, *arguments -> (exit code, output, errors) of a launcher, with own flags."""
    from absl import flags

    def run(name, *arguments):
        launcher = importlib.import_module(name)
        values = flags.FlagValues()
        launcher.define(values)
        values([f"{name}.py", *map(str, arguments)])
        code = launcher.console.guarded(lambda: launcher.run(values), debug=False)
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def refused(call):
    """Return name, *arguments -> the one line of a launcher that fails."""

    def run(name, *arguments):
        code, _, error = call(name, *arguments)
        assert code == 1, error
        assert "Traceback" not in error
        (line,) = (line for line in error.splitlines() if line.startswith("error: "))
        assert "unexpected" not in line and "--debug" not in line
        return line

    return run
