"""A tiny finished run of the digits, and launchers called inside this process.

A process of its own takes seconds to import TensorFlow: only what is about processes, such as
signals, exit codes and where a line is run, starts one.
"""

import contextlib
import functools
import importlib
import os
import shutil
import signal

import console
import numpy as np
import pytest
import train_flags
from absl import flags

# A perceptron, since a network of many layers takes long to trace.
FAST = [
    "--steps=6", "--batch_size=8", "--num_steps=2", "--num_filters=8", "--log_interval=3",
    "--sample_interval=6", "--save_interval=3", "--num_samples=40", "--final_steps=2",
    "--network=mlp",
]  # fmt: skip


def launched(name, *arguments):
    """Run a launcher with flags of its own, as absl would parse them; return its exit code."""
    launcher = importlib.import_module(name)
    values = flags.FlagValues()
    (train_flags if name == "train" else launcher).define(values)
    values([f"{name}.py", *map(str, arguments)])
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    environment = dict(os.environ)
    try:
        return console.exit_code(lambda: launcher.run(values), debug=False)
    finally:
        # Of a launcher for small operations, which no later process is to have.
        os.environ.clear()
        os.environ.update(environment)
        for number, handler in kept.items():
            signal.signal(number, handler)


def parsed(*arguments):
    """Return the flags of train.py as absl would parse them."""
    values = flags.FlagValues()
    train_flags.define(values)
    values(["train.py", *arguments])
    return values


def resolve(*arguments):
    """Return what a command line of train.py asks for."""
    return train_flags.resolve(parsed(*arguments))


@contextlib.contextmanager
def one_classifier(folder):
    """Let runs in this process share the feature network that each would train for its figures."""
    from tf_febm import evaluation
    from tf_febm.evaluation import choosing, figures_of_runs

    train = evaluation.train_classifier

    @functools.wraps(train)
    def cached(*arguments, cache_dir=None, **settings):
        return train(*arguments, cache_dir=folder, **settings)

    with pytest.MonkeyPatch.context() as patch:
        for module in (evaluation, choosing, figures_of_runs):
            patch.setattr(module, "train_classifier", cached)
        yield


@pytest.fixture(scope="module", autouse=True)
def _one_classifier_of_the_digits(classifier_cache):
    """Share it in a module."""
    with one_classifier(classifier_cache):
        yield


@pytest.fixture(scope="module", autouse=True)
def _blank_charts(blank_charts):
    """Draw none here."""


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Return the flags of the digits as a file of images, for which there is no classifier.

    To train that takes longer than what most runs here are about.
    """
    from tf_febm import data

    path = tmp_path_factory.mktemp("pictures") / "digits.npz"
    np.savez(path, x=data.load("digits").images, y=data.load("digits").labels)
    return ["--dataset=npz", f"--data_dir={path}"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory, classifier_cache):
    """Return the folder of a finished run; tests work on copies."""
    folder = tmp_path_factory.mktemp("runs")
    # Fixtures of the session come before those of the module.
    with one_classifier(classifier_cache):
        assert launched("train", f"--logdir={folder}", "--exp=run", *FAST) == 0
    return folder / "run"


@pytest.fixture
def run_folder(trained, tmp_path):
    """Return a copy of the finished run."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def call(capfd):
    """Return name, *arguments -> (exit code, output, errors) of a launcher, with own flags."""

    def run(name, *arguments):
        code = launched(name, *arguments)
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def launch(call, tmp_path, request):
    """Run train.py in this process, with TINY of the test's module; return its code and errors."""

    def run(*arguments):
        line = [f"--logdir={tmp_path}", "--exp=run", *request.module.TINY, *arguments]
        code, _, errors = call("train", *line)
        return code, errors

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
