"""Checkpoints that earlier versions wrote are read."""

import numpy as np
import tensorflow as tf

from tf_febm import training


def state_of(model):
    return {
        f"{group}/{i}": variable.numpy()
        for group, variables in model.state_variables().items()
        for i, variable in enumerate(variables)
    }


def test_a_checkpoint_from_before_there_was_a_mean_weight(make, tmp_path, monkeypatch):
    """It is read, and the mean of the weights begins with what comes."""
    old, new = make(), make()
    complete = type(old).state_variables

    def without(model):
        return {name: group for name, group in complete(model).items() if name != "mean_weight"}

    with monkeypatch.context() as earlier:
        earlier.setattr(type(old), "state_variables", without)
        for variables in old.state_variables().values():
            for variable in variables:
                variable.assign(variable + tf.cast(1, variable.dtype))
        training.Checkpoints(tmp_path, old).save()
        expected = state_of(old)
    training.Checkpoints(tmp_path, new).restore()
    found = state_of(new)
    assert found.pop("mean_weight/0").tolist() == [0.0, 0.0]
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
