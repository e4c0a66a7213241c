"""The examples that join the library with others, run as `python` would, with few steps."""

import re
import runpy
import sys

import pytest


@pytest.fixture
def run(project, monkeypatch, capsys):
    """Return a function that runs an example and gives what it prints."""

    def example(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        monkeypatch.syspath_prepend(project / "examples")
        capsys.readouterr()
        runpy.run_path(str(project / "examples" / name), run_name="__main__")
        return capsys.readouterr().out

    return example


def numbers(line):
    return [float(word) for word in re.findall(r"-?\d+\.\d+", line)]


def test_sampling_by_tensorflow_probability(run):
    """HMC on the energy has the moments that the energy's own parabola tells.

    1,600 dependent samples of a deviation of about 1.5: standard error about 0.07 if one in four
    counts.
    """
    text = run("tfp_sampling.py", "--epochs=2", "--chains=16", "--results=100")
    exact, sampled, accepted = (numbers(line) for line in text.splitlines())
    assert abs(exact[0] - sampled[0]) < 0.3 and abs(exact[1] - sampled[1]) < 0.25
    assert 0.3 < accepted[0] <= 1.0


def test_features_of_a_keras_application(run):
    text = run("keras_features.py", "--epochs=10", "--images=256")
    width, auroc = re.fullmatch(r"features (\d+), AUROC of the energy (.*)\n", text).groups()
    assert int(width) == 1280 and float(auroc) > 0.5


def test_an_optimizer_of_ones_own(run):
    text = run("own_optimizer.py", "--epochs=1")
    step, rate = re.search(r"SignDescent at step (\d+), rate (\S+)", text).groups()
    # 1,797 digits, or their training split, twice; past the peak the rate is peak·√(50/(step + 1)).
    assert int(step) % 2 == 0 and int(step) >= 40
    ratio = (int(step) + 1) / 50
    assert float(rate) == pytest.approx(1e-3 * min(ratio, ratio**-0.5), rel=1e-2)
