"""Models that are traced once and begin anew as often as a test needs: a trace takes a second."""

import contextlib

import numpy as np
import tensorflow as tf


def state_of(model):
    """Return name -> array of all that a checkpoint holds."""
    return {
        f"{group}/{i}": variable.numpy()
        for group, variables in model.state_variables().items()
        for i, variable in enumerate(variables)
    }


def assert_equal_states(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def advance(model, steps=1):
    """Change all of the state, as steps do; training itself would compile a graph each time."""
    for variables in model.state_variables().values():
        for variable in variables:
            variable.assign(variable + tf.cast(steps, variable.dtype))


class Traced:
    """A compiled model, and what it was when it was new; steps keep their one trace.

    Whether a model of another process goes on alike is for tests that build a second one.
    """

    def __init__(self, model):
        self.model, self._new = model, state_of(model)

    def fresh(self):
        """Return the model with the state of a new one."""
        for group, variables in self.model.state_variables().items():
            for i, variable in enumerate(variables):
                variable.assign(self._new[f"{group}/{i}"])
        self.model.stop_training = False
        return self.model


@contextlib.contextmanager
def before_each_step(model, look):
    """Call look(model, steps so far) before every training step, outside of its trace."""
    model.make_train_function()
    step = model.train_function

    def looked_at(iterator):
        look(model, int(model.optimizer.iterations))
        return step(iterator)

    model.train_function = looked_at
    try:
        yield
    finally:
        model.train_function = step
