"""Kernels normalised once per chain: the same numbers, for less work, and nothing left behind."""

import contextlib
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from every_network import RESIDUAL_KERNELS, residual

from tf_febm import energies, networks, samplers
from tf_febm.networks import SpectralConv2D


@pytest.fixture(scope="module")
def shared():
    """Return a network in float64, in which rounding hides nothing."""
    keras.utils.set_random_seed(3)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    network = residual()
    keras.config.set_dtype_policy(before)
    return network


@pytest.fixture
def network(shared):
    """Return a network that is as it was at first when the test ends."""
    before = shared.get_weights()
    yield shared
    shared.set_weights(before)


@pytest.fixture
def x():
    return tf.random.stateless_uniform([3, 8, 8, 1], (0, 1), dtype=tf.float64)


@pytest.fixture
def calls(monkeypatch):
    """Return a list that grows with every kernel that is normalised."""
    found, compute = [], SpectralConv2D.compute_weights

    def counted(layer):
        found.append(layer)
        return compute(layer)

    monkeypatch.setattr(SpectralConv2D, "compute_weights", counted)
    return found


def change(network):
    for variable in network.trainable_variables:
        variable.assign(1.1 * variable + 0.1)


def runner(network, block):
    sampler = samplers.Langevin(num_steps=4)

    def run(x):
        with block(network):
            return sampler(network, x, seed=1), *energies.value_and_gradient(network, x)

    return run


@pytest.mark.parametrize("compiled", [False, True])
def test_chains_with_cached_weights_are_the_same_chains(network, x, compiled):
    change(network)
    results = []
    for block in (networks.cached_weights, contextlib.nullcontext):
        run = runner(network, block)
        results.append((tf.function(run, autograph=False) if compiled else run)(x))
    for cached, plain in zip(*results, strict=True):
        assert cached.dtype == tf.float64
        np.testing.assert_allclose(cached, plain, rtol=1e-10, atol=1e-12)


def test_every_kernel_is_normalised_once(network, x, calls):
    with networks.cached_weights(network):
        samplers.Langevin(num_steps=3)(network, x, seed=1)
    assert len(calls) == len(set(map(id, calls))) == RESIDUAL_KERNELS
    network(x)
    assert len(calls) == 2 * RESIDUAL_KERNELS


@pytest.mark.parametrize(
    ("block", "count"), [(networks.cached_weights, 0), (contextlib.nullcontext, RESIDUAL_KERNELS)]
)
def test_no_loop_normalises_in_its_body(network, x, block, count):
    sampler = samplers.Langevin(num_steps=3)

    @tf.function(autograph=False)
    def run(x):
        with block(network):
            return sampler(network, x, seed=1)

    library = run.get_concrete_function(x).graph.as_graph_def().library
    bodies = [f for f in library.function if "while_body" in f.signature.name]
    (body,) = bodies
    # The square root of a norm, twice in each power iteration.
    assert sum(node.op == "Rsqrt" for node in body.node_def) == 2 * count


class TestNothingIsLeftBehind:
    def test_after_a_traced_function(self, network, x):
        run = tf.function(runner(network, networks.cached_weights), autograph=False)
        first = run(x)[1]
        np.testing.assert_allclose(network(x)[:, 0], first, rtol=1e-5)
        change(network)
        after = network(x)[:, 0]
        assert np.abs(after - first).min() > 1e-3
        np.testing.assert_allclose(run(x)[1], after, rtol=1e-5)

    def test_after_an_error(self, network, x, calls):
        with pytest.raises(RuntimeError), networks.cached_weights(network):
            raise RuntimeError
        del calls[:]
        network(x)
        assert len(calls) == RESIDUAL_KERNELS

    @pytest.mark.parametrize("outer", [False, True], ids=["eager", "in_a_function"])
    def test_in_a_function_that_was_traced_inside(self, network, x, outer):
        inner = tf.function(lambda x: network(x), autograph=False)

        def twice(x):
            with networks.cached_weights(network):
                first = inner(x)
            change(network)
            return first, inner(x)

        first, second = (tf.function(twice, autograph=False) if outer else twice)(x)
        np.testing.assert_allclose(second, network(x), rtol=1e-5)
        assert np.abs(first - second).min() > 1e-3

    def test_in_other_threads(self, network, x, calls):
        # Strategies trace each replica in a thread of its own.
        with networks.cached_weights(network):
            del calls[:]
            thread = threading.Thread(target=lambda: network(x))
            thread.start()
            thread.join()
        assert len(calls) == RESIDUAL_KERNELS


def test_blocks_nest(x, calls):
    first, second = (networks.mnist_net(2, image_shape=(8, 8, 1)) for _ in range(2))
    with networks.cached_weights(first), networks.cached_weights(second):
        del calls[:]
        first(x), second(x)
        assert not calls
        with networks.cached_weights(first, second):
            change(first)
            first(x)
    assert len(calls) == 8


def test_weights_have_a_gradient_if_the_tape_saw_the_block_begin(network, x):
    def gradients(block_inside):
        block = networks.cached_weights(network)
        with contextlib.ExitStack() as stack:
            if not block_inside:
                stack.enter_context(block)
            tape = stack.enter_context(tf.GradientTape())
            if block_inside:
                stack.enter_context(block)
            total = tf.reduce_sum(network(x))
        return tape.gradient(total, [v.value for v in network.trainable_variables])

    with tf.GradientTape() as tape:
        total = tf.reduce_sum(network(x))
    expected = tape.gradient(total, [v.value for v in network.trainable_variables])
    for mine, theirs in zip(gradients(True), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
    kernels = [v.name == "kernel" and len(v.shape) == 4 for v in network.trainable_variables]
    assert [g is None for g in gradients(False)] == kernels


def test_networks_without_such_layers_are_left_alone(x):
    network = networks.conv((8, 8, 1), 2, 3)
    expected = network(x)
    with networks.cached_weights(network), networks.power_iteration(network):
        np.testing.assert_array_equal(network(x), expected)
