"""The law of labels: class means of conditional models are right whatever the classes' shares."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm

SPREAD = 0.7
PRIORS = {
    "rare": (0.95, 0.05),
    "five": (0.4, 0.3, 0.15, 0.1, 0.05),
}
BUFFERS = {
    "none": lambda: None,
    "replay": lambda: tf_febm.ReplayBuffer(2000),
    "persistent": lambda: tf_febm.samplers.PersistentChains(256),
}


def gaussians(priors, n=4000):
    """Return x ~ N(m_y, 0.7²), y ~ priors and the means of x given each y."""
    rng = np.random.default_rng(0)
    count = len(priors)
    centres = np.array([-1.0, 1.0]) if count == 2 else np.arange(count) - 0.5 * (count - 1)
    y = rng.choice(count, n, p=priors).astype("int32")
    x = (centres[y] + SPREAD * rng.normal(size=n)).astype("float32")
    return x[:, None], y, np.array([x[y == c].mean() for c in range(count)])


def class_means(model, count):
    """Return the mean of q(x|y) of each class by a fine sum over [−9, 9], and log Z of each."""
    grid = np.linspace(-9.0, 9.0, 2001)
    means, log_z = [], []
    for label in range(count):
        labels = np.full(len(grid), label, "int32")
        energy = model.energy(grid[:, None].astype("float32"), labels).numpy().astype("float64")
        density = np.exp(energy.min() - energy)
        means.append(np.sum(grid * density) / density.sum())
        log_z.append(np.log(density.sum() * (grid[1] - grid[0])) - energy.min())
    return np.array(means), np.array(log_z)


class ShiftedQuadratic(keras.layers.Layer):
    """E(x, y) = (x − m_y)²/(2·0.7²) + b_y: the true family, with a constant of each class."""

    def build(self, shapes):
        self.mean = self.add_weight(shape=(shapes[1][-1], 1), initializer="zeros", name="mean")
        self.offset = self.add_weight(shape=(shapes[1][-1], 1), initializer="zeros", name="offset")

    def call(self, inputs):
        x, label = inputs
        mean = keras.ops.matmul(label, self.mean)
        energy = 0.5 * keras.ops.square((x - mean) / SPREAD)
        return energy + keras.ops.matmul(label, self.offset)


def exact_family(count):
    inputs = (keras.Input((1,)), keras.Input((count,)))
    return keras.Model(inputs, ShiftedQuadratic(name="family")(inputs))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "buffer", "priors"),
    [
        # Every two values of the three meet, and other crossings in the tests of pairs.
        pytest.param("febm", "none", "rare", marks=pytest.mark.thorough),
        ("febm", "replay", "five"),
        pytest.param("febm", "persistent", "rare", marks=pytest.mark.thorough),
        pytest.param("contrastive_divergence", "none", "five", marks=pytest.mark.thorough),
        ("contrastive_divergence", "replay", "rare"),
        pytest.param("contrastive_divergence", "persistent", "five", marks=pytest.mark.thorough),
    ],
)
def test_class_means_are_right(method, buffer, priors):
    """Within 0.15 of the data's own class means, the demand; log Z does not run away.

    With labels of the chains drawn uniformly, a class's offset gets the gradient share − 1/number
    at every step, so that log Z drifts for ever; with labels of the data it gets none by CD.
    """
    shares = PRIORS[priors]
    x, y, expected = gaussians(shares)
    count = len(shares)
    keras.utils.set_random_seed(1)
    # Chains from noise have to arrive: a step shortens the way by a tenth.
    steps = 60 if buffer == "none" else 20
    sampler = tf_febm.samplers.Langevin(
        0.05, np.sqrt(0.1), num_steps=steps, grad_clip=None, bounds=None
    )
    options = {"sampler": sampler, "buffer": BUFFERS[buffer](), "l2_coeff": 0.0, "seed": 0}
    if method == "febm":
        variational = tf_febm.networks.mlp(1, (16,), "tanh", num_classes=count)
        model = tf_febm.FEBM(exact_family(count), variational, "js", average_decay=0.98, **options)
        model.compile(keras.optimizers.Adam(0.02), keras.optimizers.Adam(0.02))
    else:
        model = tf_febm.ContrastiveDivergence(
            exact_family(count), initial="noise", average_decay=0.98, **options
        )
        model.compile(keras.optimizers.Adam(0.02))
    model.fit(x, y, batch_size=128, epochs=8, verbose=0)
    with model.averaged_weights():
        means, log_z = class_means(model, count)
    np.testing.assert_allclose(means, expected, atol=0.15)
    if method == "contrastive_divergence":
        # All classes have the scale of the data: log Z differs by the offsets, which stay.
        assert np.ptp(log_z) < 1e-3


@pytest.mark.parametrize(
    ("buffer", "rows"), [("none", False), ("replay", True), ("persistent", False)]
)
def test_negatives_have_the_labels_of_the_batch(buffer, rows):
    """By the gradient for each class's offset, which is exactly 0 then: no drift of classes."""
    x, y, _ = gaussians(PRIORS["five"], 32)
    labels = keras.utils.to_categorical(y, 5) if rows else y
    keras.utils.set_random_seed(1)
    sampler = tf_febm.samplers.Langevin(0.05, 0.3, num_steps=3, grad_clip=None, bounds=None)
    model = tf_febm.ContrastiveDivergence(
        exact_family(5), sampler=sampler, buffer=BUFFERS[buffer](), initial="noise", l2_coeff=0.0
    )
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    model.fit(x, labels, batch_size=16, epochs=2, verbose=0)
    offsets = model.energy_network.get_layer("family").offset.numpy()
    # 4 steps of sums of 16 terms ±1/16 that cancel exactly, to rounding.
    np.testing.assert_allclose(offsets, 0.0, atol=4 * 16 * np.finfo("float32").eps)


def test_soft_labels_reach_the_chains_as_they_are():
    model = tf_febm.ContrastiveDivergence(
        exact_family(2),
        buffer=tf_febm.ReplayBuffer(10),
        sampler=tf_febm.samplers.Langevin(0.05, 0.3, num_steps=1, grad_clip=None, bounds=None),
    )
    soft = tf.constant([[0.25, 0.75], [0.9, 0.1]])
    made = model.negative_batch(2, soft)
    np.testing.assert_array_equal(made.labels, soft)
    np.testing.assert_array_equal(model.buffer.labels[:2], [1, 0])
