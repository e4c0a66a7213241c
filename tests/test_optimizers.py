"""ClippedAdam against Adam written out in NumPy, FusedAdam against that of Keras."""

import json
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.launch import forks
from tf_febm import optimizers


class Published:
    """The optimizer of Du & Mordatch 2019 in float64, with the power that TensorFlow 1 kept.

    The power begins at β₂ and is multiplied by β₂ after each update.
    """

    def __init__(self, start, rate=3e-4, beta_1=0.0, beta_2=0.999, epsilon=1e-7):
        self.settings = rate, beta_1, beta_2, epsilon
        self.w = np.array(start, np.float64)
        self.m, self.v = np.zeros_like(self.w), np.zeros_like(self.w)
        self.powers = [beta_1, beta_2]

    @property
    def limit(self):
        """The bound of the next update."""
        return 3.0 * np.sqrt(self.v / (1.0 - self.powers[1])) + 0.1

    def update(self, gradient):
        rate, beta_1, beta_2, epsilon = self.settings
        g = np.clip(gradient, -self.limit, self.limit)
        self.m += (1 - beta_1) * (g - self.m)
        self.v += (1 - beta_2) * (g**2 - self.v)
        rate = rate * np.sqrt(1 - self.powers[1]) / (1 - self.powers[0])
        self.w -= rate * self.m / (np.sqrt(self.v) + epsilon)
        self.powers = [self.powers[0] * beta_1, self.powers[1] * beta_2]
        return g


def spiky(count, size=3, seed=0):
    """Return gradients, float32 [count, size], one in ten of which is thirty times as large."""
    rng = np.random.default_rng(seed)
    spikes = np.where(rng.random((count, size)) < 0.1, 30.0, 1.0)
    return (spikes * rng.normal(size=(count, size))).astype(np.float32)


def assert_same(optimizer, variable, published):
    """To a few float32 roundings of each update; v grows over four decades meanwhile."""
    np.testing.assert_allclose(optimizer._velocities[0], published.v, rtol=2e-5)
    np.testing.assert_allclose(variable, published.w, rtol=2e-5, atol=1e-6)


def test_against_numpy():
    """With numbers of a size that the bound at t = 1, 2 and 3 changes."""
    settings = 0.1, 0.5, 0.9, 1e-7
    optimizer = optimizers.ClippedAdam(*settings)
    variable = keras.Variable([1.0, -1.0, 0.5])
    published = Published(variable.numpy(), *settings)
    clipped = []
    for gradient in ([0.05, 7.0, -3.0], [1.0, -0.2, 9.0], [30.0, 0.0, 0.1]):
        clipped.append(published.update(np.array(gradient)))
        optimizer.apply([tf.constant(gradient)], [variable])
        assert_same(optimizer, variable, published)
    # By hand: v₁ = 0.1·0.05², 0.1·0.1², 0.1·0.1²; β₂² = 0.81.
    third = 3.0 * np.sqrt(0.1 * 0.1**2 / 0.19) + 0.1
    np.testing.assert_allclose(clipped[0], [0.05, 0.1, -0.1])
    np.testing.assert_allclose(clipped[1], [3 * np.sqrt(0.1 * 0.05**2 / 0.19) + 0.1, -0.2, third])


def test_the_brake_holds():
    """Under N(0, 1) gradients the limits settle at three standard deviations; 50 is cut there.

    Of 4,000 weights the mean limit is good to 0.01 at t = 100, where each has a standard deviation
    of 0.2. The published recurrence gives 2.99 and 3.09.
    """
    optimizer = optimizers.default()
    variable = keras.Variable(np.zeros(4000, np.float32))
    optimizer.build([variable])
    step = tf.function(lambda g: optimizer.apply([g], [variable]))
    published, rng, limits = Published(variable.numpy()), np.random.default_rng(0), {}
    for t in range(1, 1001):
        if t in (100, 1000):
            limits[t] = published.limit
            state = [v.numpy() for v in (variable, *optimizer.variables)]
            step(tf.fill([4000], 50.0))
            # β₁ = 0: the first moment is the gradient as it was used.
            np.testing.assert_allclose(optimizer._momentums[0], limits[t], rtol=1e-4)
            for v, value in zip((variable, *optimizer.variables), state, strict=True):
                v.assign(value)
        gradient = rng.normal(size=4000).astype(np.float32)
        published.update(gradient)
        step(tf.constant(gradient))
    assert limits[100].mean() == pytest.approx(2.99, abs=0.02)
    assert limits[1000].mean() == pytest.approx(3.09, abs=0.01)


def test_updates_are_counted_and_not_batches():
    """Gradients accumulated over three batches make one update, whose number the bound takes."""
    optimizer = optimizers.ClippedAdam(0.01, 0.0, 0.9, gradient_accumulation_steps=3)
    variable = keras.Variable(np.zeros(3, np.float32))
    optimizer.build([variable])
    step = tf.function(lambda g: optimizer.apply([g], [variable]))
    published = Published(np.zeros(3), 0.01, 0.0, 0.9)
    for gradients in spiky(90).reshape(30, 3, 3):
        for gradient in gradients:
            step(tf.constant(gradient))
        published.update(gradients.astype(np.float64).mean(axis=0))
        assert_same(optimizer, variable, published)


def test_skipped_steps_do_not_count():
    """A loss scale unscales before the bound, and a step that it skips is none."""
    inner = optimizers.ClippedAdam(0.01, 0.0, 0.9)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=1024.0)
    variable = keras.Variable(np.zeros(3, np.float32))
    optimizer.build([variable])
    step = tf.function(lambda g: optimizer.apply([optimizer.scale_loss(g)], [variable]))
    published = Published(np.zeros(3), 0.01, 0.0, 0.9)
    for t, gradient in enumerate(spiky(30)):
        if t in (0, 7, 8):
            step(tf.constant([np.inf, 1.0, 1.0]))
        step(tf.constant(gradient))
        published.update(gradient)
        assert_same(inner, variable, published)
    assert int(optimizer.iterations) == 30


MIRRORED = """
import json, sys
import keras, numpy as np, tensorflow as tf
from tf_febm import optimizers

cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
gradients = np.array(json.loads(sys.argv[1]), np.float32)
with strategy.scope():
    variable = keras.Variable(np.zeros(3, np.float32))
    optimizer = optimizers.ClippedAdam(0.01, 0.0, 0.9)
    optimizer.build([variable])

@tf.function
def step(gradient):
    def replica():
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        optimizer.apply([gradient * tf.constant([0.25, 0.75])[number]], [variable])
    strategy.run(replica)

for gradient in gradients:
    step(tf.constant(gradient))
copies = strategy.experimental_local_results(variable.value)
print(json.dumps([np.array(c).tolist() for c in copies]))
"""


def test_on_two_replicas(tmp_path):
    """Their gradients are added up before the bound, and both copies get the same update."""
    gradients = spiky(20)
    (tmp_path / "mirrored.py").write_text(MIRRORED)
    done = forks.run([sys.executable, tmp_path / "mirrored.py", json.dumps(gradients.tolist())])
    assert done.returncode == 0, done.stderr
    published = Published(np.zeros(3), 0.01, 0.0, 0.9)
    for gradient in gradients:
        published.update(gradient)
    copies = json.loads(done.stdout.splitlines()[-1])
    assert len(copies) == 2
    for copy in copies:
        np.testing.assert_allclose(copy, published.w, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [optimizers.ClippedAdam, optimizers.FusedAdam])
def test_rows_that_a_sparse_gradient_leaves_out_are_zeros(kind):
    """As of an embedding; a row that occurs twice is the sum of both."""
    ends = []
    for sparse in (False, True):
        variable = keras.Variable(np.ones((4, 2), np.float32))
        optimizer = kind(0.1, 0.0, 0.9)
        optimizer.build([variable])
        for t in range(3):
            gradient = tf.IndexedSlices(
                tf.constant([[1.0, -9.0], [3.0, t], [0.5, 0.2]]), tf.constant([2, 0, 2]), (4, 2)
            )
            optimizer.apply([gradient if sparse else tf.convert_to_tensor(gradient)], [variable])
        ends.append(variable.numpy())
    np.testing.assert_allclose(*ends, rtol=1e-5)


def test_the_default_is_the_papers():
    config = optimizers.default().get_config()
    assert (config["beta_1"], config["beta_2"]) == (0.0, 0.999)
    assert abs(config["learning_rate"] - 3e-4) < 1e-9


def test_config_round_trip():
    serialised = keras.saving.serialize_keras_object(optimizers.default())
    assert type(keras.saving.deserialize_keras_object(serialised)) is optimizers.ClippedAdam


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"beta_1": 0.0, "epsilon": 1e-3},
        {"global_clipnorm": 0.3},
        {"clipnorm": 0.3},
        {"weight_decay": 0.1},
        {"amsgrad": True},
    ],
    ids=str,
)
def test_fused_adam_is_that_of_keras(settings):
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape).astype(np.float32) for shape in ((3, 2), (4,))]
    ends = []
    for kind in (optimizers.FusedAdam, keras.optimizers.Adam):
        variables = [keras.Variable(value) for value in start]
        optimizer = kind(0.05, **settings)
        optimizer.build(variables)
        step = tf.function(optimizer.apply)
        draws = np.random.default_rng(1)
        for _ in range(20):
            step([tf.constant(draws.normal(size=v.shape), tf.float32) for v in variables])
        ends.append([v.numpy() for v in (*variables, *optimizer.variables)])
    for fused, plain in zip(*ends, strict=True):
        # Twenty updates of size 0.05, each rounded to float32.
        np.testing.assert_allclose(fused, plain, rtol=1e-5, atol=1e-6)


def test_one_variable_at_a_time():
    """Whoever calls `update_step` itself gets the update of Keras."""
    ends = []
    for kind in (optimizers.FusedAdam, keras.optimizers.Adam):
        variable = keras.Variable([1.0, -1.0, 0.5])
        optimizer = kind(0.05)
        optimizer.build([variable])
        for _ in range(3):
            optimizer.update_step(tf.constant([0.1, 3.0, -2.0]), variable, tf.constant(0.05))
            optimizer.iterations.assign_add(1)
        ends.append(variable.numpy())
    np.testing.assert_allclose(*ends, rtol=1e-5)
    assert np.abs(ends[0] - [1.0, -1.0, 0.5]).min() > 0.1
