"""Memory of a run, estimated: against what is really made, and refused before it is."""

import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import data, recipes, training, untrusted_files
from tf_febm.training import memory

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1)).astype(np.uint8)
GIB = 1 << 30


@pytest.fixture(scope="module")
def source():
    return data.as_data(IMAGES)


@pytest.fixture
def never(monkeypatch):
    """Fail where a variable or a large array of TensorFlow is made."""

    def made(*_, **__):
        raise AssertionError("memory was taken")

    monkeypatch.setattr(tf, "Variable", made)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"buffer_capacity": 2**31 - 1, "buffer_storage": "float32"}, "buffer_capacity=2147483647"),
        ({"num_samples": 2**31 - 1}, "num_samples=2147483647"),
        ({"batch_size": 2**31 - 1}, "batch_size=2147483647"),
        ({"batch_size": 2**31 - 2, "chains": "persistent"}, "batch_size=2147483646"),
    ],
)
def test_too_much_is_refused_before_anything_is_made(source, never, change, name):
    recipe = recipes.get("digits").replace(**change)
    with pytest.raises(ValueError, match=f"{name} takes about [0-9,]+ GiB of memory, of [0-9,]+"):
        recipe.build(source)


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_too_wide_a_network_is_refused_before_it_is_made(source, network):
    recipe = recipes.get("digits").replace(network=network, width=1_000_000)
    with pytest.raises(ValueError, match="width=1000000 takes about"):
        recipe.build(source)


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_wide_networks_are_told_from_narrow_ones(source, network, monkeypatch):
    """The parabola through three widths is exact for a fourth."""
    monkeypatch.setattr(memory, "WIDE", 32)
    recipe = recipes.get("digits").replace(network=network, width=40)
    found = memory._of_networks(recipe, source, None)
    assert found == pytest.approx(memory._counts(tf_febm.networks.build(network, (8, 8, 1), 40)))


def test_what_is_said_of_buffers_and_weights(source):
    recipe = recipes.get("digits").replace(buffer_capacity=5000, width=64)
    model = recipe.build(source)
    found = {need.setting: need.size for need in memory.needs(recipe, source, model)}
    assert found["buffer_capacity"] == model.buffer.capacity * 64 * model.buffer.samples.dtype.size
    weights = sum(network.count_params() for network in model.networks)
    assert found["width"] == 4 * memory.OF_WEIGHTS * weights


def test_a_run_says_it_and_its_least_time(tmp_path):
    lines: list[str] = []
    recipe = recipes.get("digits").replace(num_steps=5, width=8, steps=2**31 - 1)
    training.run(recipe, IMAGES, tmp_path / "run", dry_run=True, report=lines.append)
    text = "\n".join(lines)
    present = untrusted_files.memory_bytes() / GIB
    assert f"; this machine has {present:.0f}." in text and "Memory: about 0." in text
    assert "2,147,483,647 steps take" in text
    with pytest.raises(training.runs.TooLongError, match="would take about .* days"):
        training.run(recipe, IMAGES, tmp_path / "run", max_seconds=86_400.0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["steps", "batch_size", "num_steps", "buffer_capacity", "width"])
def test_numbers_beyond_reason(name):
    with pytest.raises(ValueError, match=f"{name} must be a whole number"):
        recipes.get("digits").replace(**{name: 10**23})


def test_classes_beyond_reason():
    with pytest.raises(ValueError, match="labels must lie in 0 … 99999; received 2147483646"):
        data.as_data(IMAGES, np.array([0] * 39 + [2**31 - 2]))
