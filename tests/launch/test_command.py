"""The console script, which is the launchers under one name."""

import re
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


@pytest.mark.parametrize("name", command.COMMANDS)
def test_help_is_in_groups_with_every_flag_once(tf_febm_script, name):
    code, output, errors = tf_febm_script(name, "--help")
    assert code == 0 and not errors
    flags = re.findall(r"^  (--\S+)", output, re.MULTILINE)
    assert flags and len(flags) == len(set(flags))
    assert "--[no]debug" in flags


def test_the_help_of_train_says_what_there_is_and_what_it_is_unless_given(tf_febm_script):
    code, output, _ = tf_febm_script("train", "--help")
    titles = re.findall(r"^(\w.*):$", output, re.MULTILINE)
    wanted = ["Data", "Model", "Training", "Chains", "Networks"]
    assert titles[:5] == wanted and titles[-1] == "Of the original code"
    flat = " ".join(output.split())
    assert "--leapfrog_steps= Gradients of a step of hmc. [preset]" in flat
    assert "--logdir= Folder of all runs. [runs]" in flat
    assert "--num_leapfrog" not in output
    assert output.index("--sampler=") > output.index("Chains:") > output.index("--lr=")
    assert output.index("--cutout_prob=") > output.index("Of the original code:")
    assert max(map(len, output.splitlines())) <= 100


def test_help_wins_over_what_else_is_given(tf_febm_script):
    assert tf_febm_script("train", "--lr=0", "-h") == tf_febm_script("train", "--helpfull")
