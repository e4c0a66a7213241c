"""Flags of one name mean one thing, in one unit, in all launchers and so in `tf-febm`."""

import collections
import importlib
import re

import command
import pytest
import train
import train_flags
from absl import flags

from tests.launch.conftest import resolve
from tf_febm import data, recipes
from tf_febm.recipes import building


def test_one_kind_and_one_text():
    """Help texts begin alike, and what a launcher adds to them comes after ; or a full stop."""
    found = collections.defaultdict(set)
    for name in command.COMMANDS:
        module = importlib.import_module(name)
        values = flags.FlagValues()
        (train_flags if module is train else module).define(values)
        for flag in {values[each].name: values[each] for each in values}.values():
            assert flag.help, flag.name
            if "Alias for" in flag.help:
                continue
            text = re.sub("^<.*?>: ", "", flag.help)
            found[flag.name].add((flag.flag_type(), re.split(r"[;.](?: |$)", text)[0]))
    assert len(found) > 100
    assert {name: said for name, said in found.items() if len(said) > 1} == {}


def test_noise_is_a_standard_deviation_everywhere():
    line = ["--step_lr=2", "--noise_scale=0.01", "--proj_norm=0.1"]
    trained = building.make_sampler(resolve(*line).recipe, data.load("digits"))
    names = {"step_lr": 2.0, "noise_scale": 0.01, "proj_norm": 0.1}
    standard = building.make_sampler(recipes.get("digits"), data.load("digits"))
    measured = recipes.change_sampler(standard, **names)
    assert trained.noise_scale == measured.noise_scale == 0.01
    assert (trained.step_size, trained.grad_clip) == (measured.step_size, measured.grad_clip)
    assert recipes.get("digits").replace(noise_scale=0.01).noise_scale == 0.01


def test_noise_in_the_unit_of_the_original_is_refused():
    with pytest.raises(ValueError, match=r"counts in 0\.005: for that write 0\.05\."):
        resolve("--noise_scale=10")
    assert resolve("--dataset=moons", "--noise_scale=1").recipe.noise_scale == 1.0
    assert resolve("--hmc", "--noise_scale=10").recipe == resolve("--hmc").recipe
