"""The contract of every sampler of the catalogue, whatever its settings."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import catalogue

START = np.random.default_rng(0).uniform(0.2, 0.8, (6, 3)).astype(np.float32)


def energy(x):
    """Steep enough that chains would leave the unit box."""
    return 3.0 * tf.reduce_sum(tf.square(x - 1.2), axis=1)


def made(name, **settings):
    """Return a sampler of a few short steps, as a recipe makes it from the paper's ε."""
    entry = catalogue.SAMPLERS[name]
    power, factor = entry.step_of_epsilon
    step = factor * 0.05**power
    return catalogue.load(entry.place)(step_size=step, num_steps=5, **settings)


@pytest.mark.parametrize("name", catalogue.SAMPLERS)
def test_chains(name):
    sampler = made(name, bounds=(0.0, 1.0))
    x = sampler(energy, START, seed=3)
    assert (x.dtype, x.shape) == (tf.float32, START.shape)
    assert np.abs(x - START).max() > 1e-3 and 0.0 <= x.numpy().min() <= x.numpy().max() <= 1.0
    # The same for equal seeds, eagerly and compiled, and another for others.
    np.testing.assert_array_equal(x, sampler(energy, START, seed=3))
    compiled = tf.function(lambda: sampler(energy, START, seed=3), autograph=False)
    np.testing.assert_allclose(compiled(), x, atol=1e-5)
    assert np.abs(sampler(energy, START, seed=4) - x).max() > 1e-4
    np.testing.assert_array_equal(sampler(energy, START, seed=3, num_steps=0), START)
    double = sampler(energy, START.astype(np.float64), seed=3)
    assert double.dtype == tf.float64


@pytest.mark.parametrize("name", catalogue.SAMPLERS)
def test_history(name):
    sampler = made(name, bounds=None)
    result = sampler(energy, START, 3, return_diagnostics=True, return_trajectory=True)
    np.testing.assert_array_equal(result.samples, sampler(energy, START, 3))
    assert result.trajectory.shape[-2:] == START.shape
    np.testing.assert_array_equal(result.trajectory[-1], result.samples)


def test_what_is_in_the_catalogue_is_imported_with_its_package(tmp_path, monkeypatch):
    """So a file of a model finds its classes in a process that has imported the library alone."""
    monkeypatch.syspath_prepend(tmp_path)
    for table, package in (
        (catalogue.SAMPLERS, tf_febm.samplers),
        (catalogue.METHODS, tf_febm.models),
        (catalogue.NETWORKS, tf_febm.networks),
        (catalogue.GENERATORS, tf_febm.networks),
    ):
        name = f"new_in_{package.__name__.rpartition('.')[2]}_{len(table)}"
        (tmp_path / f"{name}.py").write_text("imported = True")
        place = next(iter(table.values()))._replace(place=f"{name}:imported")
        monkeypatch.setitem(table, name, place)
        importlib.reload(package)
        assert name in importlib.sys.modules
