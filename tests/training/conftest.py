"""A model of all tests of checkpoints, and a folder with two of them."""

import shutil

import pytest
from traced_models import Traced, advance, state_of

from tf_febm import training


@pytest.fixture(scope="module")
def only(make):
    return Traced(make())


@pytest.fixture
def fresh(only):
    """Return the model of all tests as it was when it was new."""
    return only.fresh()


@pytest.fixture(scope="module")
def saved(only, tmp_path_factory):
    """Return a folder of two checkpoints, the states in them, and what a model may have after."""
    model, folder, states = only.model, tmp_path_factory.mktemp("saved"), {}
    checkpoints = training.Checkpoints(folder, model)
    for _ in range(2):
        advance(model)
        states[checkpoints.save()] = state_of(model)
    return folder, states


@pytest.fixture
def two(fresh, saved, tmp_path):
    """Return a model and its Checkpoints with two saved, the states in them, and the lines said."""
    lines, (folder, states) = [], saved
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    checkpoints = training.Checkpoints(tmp_path, fresh, report=lines.append)
    advance(fresh, 3)
    return fresh, checkpoints, states, lines
