"""Command lines of the original code: accepted, warned about, or refused."""

import pytest
from absl import flags

from tf_febm import networks


@pytest.fixture
def launch_modules(project, monkeypatch):
    monkeypatch.syspath_prepend(str(project / "launch"))
    import original_flags
    import train_flags

    return original_flags, train_flags


@pytest.fixture
def parse(launch_modules):
    """Return the flags of a command line."""

    def parsed(line):
        values = flags.FlagValues()
        launch_modules[1].define(values)
        values(["train.py", *line.split()])
        return values

    return parsed


def test_the_published_line(launch_modules, parse):
    original_flags, train_flags = launch_modules
    values = parse(
        "--exp=cifar10_cond --dataset=cifar10 --divergence=jensen_shannon --num_steps=60 "
        "--batch_size=128 --step_lr=10.0 --proj_norm=0.01 --zero_kl --replay_batch --cclass"
    )
    (warning,) = original_flags.check(values)
    assert "--zero_kl has no effect" in warning
    options = train_flags.resolve(values)
    expected = {"num_steps": 60, "batch_size": 128, "step_lr": 10.0, "proj_norm": 0.01}
    assert expected.items() <= options.items()
    assert options["cclass"] and options["replay_batch"] and options["dataset"] == "cifar10"


def test_flags_that_are_not_given_say_nothing(launch_modules, parse):
    assert launch_modules[0].check(parse("--seed=1")) == []


@pytest.mark.parametrize(
    "argument",
    ["--hmc", "--pcd", "--rescale=2", "--nospec_norm", "--augment", "--cutout", "--noswish_act"],
)
def test_what_would_train_something_else_is_refused(launch_modules, parse, argument):
    with pytest.raises(ValueError, match="of the original code is not supported"):
        launch_modules[0].check(parse(argument))


@pytest.mark.parametrize(
    "argument", ["--nohmc", "--rescale=1", "--spec_norm", "--swish_act", "--dshape_only"]
)
def test_the_default_spelled_out_is_accepted(launch_modules, parse, argument):
    (warning,) = launch_modules[0].check(parse(argument))
    assert "has no effect" in warning


@pytest.mark.parametrize("size", ["large", "larger", "wider"])
def test_model_switches(launch_modules, parse, size):
    options = launch_modules[1].resolve(parse(f"--{size}_model"))
    assert options["network"] == f"resnet32_{size}"
    assert not any(name.endswith("_model") for name in options)
    with pytest.raises(ValueError, match="exclude each other"):
        launch_modules[1].resolve(parse(f"--{size}_model --network=conv"))


@pytest.mark.parametrize(
    ("line", "filters"),
    [
        ("--dataset=cifar10 --large_model", 128),
        ("--dataset=cifar10 --wider_model", 256),
        ("--dataset=cifar10 --wider_model --num_filters=32", 32),
        ("--dataset=digits --network=mnist_net", 64),
        ("--dataset=digits", 256),
    ],
)
def test_filters_of_a_network_that_is_not_the_presets(launch_modules, parse, line, filters):
    assert launch_modules[1].resolve(parse(line))["num_filters"] == filters


def test_every_network_has_a_number_of_filters(launch_modules):
    import presets

    assert set(presets.FILTERS_OF) == set(launch_modules[1].NETWORKS)


def test_the_networks_are_those_of_the_library(launch_modules):
    assert set(launch_modules[1].NETWORKS) == set(networks.NAMES)


def test_presets_give_way_to_flags(launch_modules, parse):
    options = launch_modules[1].resolve(parse("--preset=cifar10_paper --num_filters=32"))
    assert options["network"] == "resnet32" and options["num_filters"] == 32
    assert options["num_steps"] == 60
