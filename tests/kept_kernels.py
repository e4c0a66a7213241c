"""TensorFlow's kernels outlive the setting of a seed, unless one of them has a random state.

`tf.random.set_seed`, and with it `keras.utils.set_random_seed`, drops every kernel and compiled
function that has run, so that random operations with a state begin again. To make the rest of them
anew took a third of what a small model and its first steps take, and models here are small and
many. Operations with a state ask for seeds: where none did, there is nothing to begin again.
"""

import weakref
from random import Random
from types import SimpleNamespace

__all__ = ["keep"]


def keep() -> None:
    """Have seeds drop kernels only after an operation with a state has asked for its seed."""
    from tensorflow.python.data.util import random_seed as of_datasets
    from tensorflow.python.eager import context
    from tensorflow.python.framework import ops, random_seed

    get_seed, set_seed = random_seed.get_seed, context.Context._set_global_seed
    # Of what ran before nothing is known.
    asked, graphs = [True], weakref.WeakSet()

    def watched(op_seed):
        if context.executing_eagerly():
            asked[0] = True
        elif not ops.get_default_graph().name.startswith("Dataset"):
            # A function that runs again does not ask again.
            graphs.add(ops.get_default_graph())
        return get_seed(op_seed)

    def setting(self, seed):
        if asked[0] or graphs:
            asked[0] = False
            set_seed(self, seed)
        else:
            self._seed, self._rng = seed, Random(seed)

    random_seed.get_seed = watched
    # Their random state is made anew with each iterator, and is none of a kernel's.
    of_datasets.random_seed = SimpleNamespace(get_seed=get_seed)
    context.Context._set_global_seed = setting
