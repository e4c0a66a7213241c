"""Chains of a training step in parts: the same as each part by itself, in a graph and eagerly."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import networks, randomness, samplers

X = np.random.default_rng(0).random((7, 4, 4, 1), dtype=np.float32)
LABELS = np.arange(7, dtype=np.int32) % 3


def made(num_parallel, num_classes=None, eager=False):
    keras.utils.set_random_seed(0)
    sampler = samplers.Langevin(1.0, 0.1, 3, num_parallel=num_parallel)
    network = networks.mlp((4, 4, 1), (8,), "swish", num_classes)
    buffer = samplers.ReplayBuffer(20)
    model = tf_febm.ContrastiveDivergence(network, sampler=sampler, buffer=buffer, seed=1)
    model.compile(run_eagerly=eager)
    model.build((None, 4, 4, 1))
    return model


@pytest.mark.parametrize("num_classes", [None, 3])
def test_parts_are_chains_of_their_own(num_classes):
    """Each with its rows, its labels and its seed; a number that does not divide the batch."""
    model = made(3, num_classes)
    labels = None if num_classes is None else tf.constant(LABELS)
    seed = tf.constant([3, 4])

    @tf.function(autograph=False)
    def negatives(x, seed):
        return model.negative_batch(7, labels, seed, fresh=x, remember=False).samples

    found = negatives(X, seed).numpy()
    chain_seeds = randomness.split(randomness.split(seed, 3)[2], 3)
    for own_seed, rows in zip(chain_seeds, (slice(0, 2), slice(2, 4), slice(4, 7)), strict=True):
        own = None if labels is None else labels[rows]
        chain = tf.function(
            lambda x, s, own=own: model.sampler(model._energy_given(own), x, s), autograph=False
        )
        np.testing.assert_array_equal(found[rows], chain(X[rows], own_seed))
    np.testing.assert_array_equal(found, negatives(X, seed))
    eager = model.negative_batch(7, labels, seed, fresh=tf.constant(X), remember=False).samples
    np.testing.assert_allclose(found, eager, atol=1e-5)


def test_functions_of_parts_stay_functions():
    """Loops in one function take turns in one thread."""
    model = made(2)
    step = tf.function(model.train_step, autograph=False)
    graph = step.get_concrete_function(tf.TensorSpec(X.shape)).graph
    loops = [op for op in graph.get_operations() if op.type.endswith("While")]
    kept = [f for f in graph.as_graph_def().library.function if f.attr["_noinline"].b]
    assert not loops and len(kept) == 2


@pytest.mark.parametrize("eager", [False, True])
def test_training(eager, tmp_path):
    model = made(2, eager=eager)
    model.fit(X, batch_size=4, epochs=2, verbose=0)
    assert np.isfinite(model.get_weights()[0]).all() and int(model.buffer.written) == 14
    model.save(tmp_path / "m.keras")
    assert keras.models.load_model(tmp_path / "m.keras").sampler.num_parallel == 2
    # Samples are drawn in one part.
    one = made(1)
    one.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.sample(4, seed=1), one.sample(4, seed=1))
    with pytest.raises(ValueError, match="num_parallel must be a whole number ≥ 1; received 0"):
        samplers.MALA(num_parallel=0)


def test_several_steps_in_one_call():
    model = made(2)
    model.compile(steps_per_execution=2)
    model.fit(np.concatenate([X, X[:1]]), batch_size=2, verbose=0)
    assert np.isfinite(model.get_weights()[0]).all()
