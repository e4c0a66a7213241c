"""The console script, which is the launchers under one name."""

import subprocess
import sys

import pytest

from launch import command


@pytest.fixture
def tf_febm_script(project, tmp_path):
    """Run the console script in a process; return exit code, output and errors."""

    def run(*arguments):
        result = subprocess.run(
            [sys.executable, "-m", "launch.command", *arguments],
            cwd=project, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return result.returncode, result.stdout, result.stderr

    return run


def test_it_lists_its_commands(tf_febm_script, project):
    code, output, _ = tf_febm_script("--help")
    assert code == 0
    for name in command.COMMANDS:
        assert f"  {name} " in output and (project / "launch" / f"{name}.py").is_file()


def test_an_unknown_command(tf_febm_script):
    code, _, errors = tf_febm_script("fit")
    assert code == 1 and "there is no command 'fit'" in errors and "Traceback" not in errors


@pytest.mark.parametrize("name", ["evaluate", "apply", "export"])
def test_it_runs_the_launcher_of_that_name(tf_febm_script, name):
    code, _, errors = tf_febm_script(name)
    assert code == 1 and errors.startswith("error: --run= must name the folder of a run")


def test_errors_come_before_tensorflow(tf_febm_script):
    """Which says on standard error that it is there, and takes seconds."""
    code, _, errors = tf_febm_script("train", "--lr=0")
    assert code == 1
    assert errors.strip() == "error: --lr must be a finite number > 0; received 0.0."
    code, output, errors = tf_febm_script("train", "--helpfull")
    assert code == 1 and "--num_leapfrog" not in output and "--leapfrog_steps" in output
    assert "Gradients of a step of hmc." in output and not errors
