"""A layer that was frozen while its optimizer took steps begins as it would have at first."""

import keras
import numpy as np
import pytest

import tf_febm
from tf_febm.models import updates

X = np.random.default_rng(0).normal(size=(32, 2)).astype("float32")


def model_of(optimizer, still_sampler):
    keras.utils.set_random_seed(0)
    energy = tf_febm.networks.mlp(2, (8, 8), name="energy")
    model = tf_febm.ContrastiveDivergence(
        energy, sampler=still_sampler(X), initial="noise", l2_coeff=0.1, seed=0
    )
    model.compile(optimizer, run_eagerly=True)
    return model


def dense(model):
    return [layer for layer in model.energy_network.layers if isinstance(layer, keras.layers.Dense)]


def first_step_of(model, layer, steps=200):
    """Freeze a layer for so many steps; return by how much its kernel moves in the next one.

    Three of them are taken: of the others the frozen layer's moments know their number alone.
    """
    layer.trainable = False
    every = model.optimizer.gradient_accumulation_steps or 1
    for _ in range(3 * every):
        model.train_on_batch(X)
    iterations = updates.stepping(model.optimizer)._iterations
    assert int(iterations) == 3 * every
    iterations.assign(steps * every)
    layer.trainable = True
    before = layer.kernel.numpy()
    # Two of them make one update where gradients are accumulated.
    for _ in range(every):
        model.train_on_batch(X)
    return np.abs(layer.kernel.numpy() - before).max()


@pytest.fixture
def still_sampler(fixed_sampler):
    return fixed_sampler


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.Adam(1e-3, beta_1=0.0),
        lambda: keras.optimizers.Adam(1e-3),
        lambda: keras.optimizers.AdamW(1e-3, beta_1=0.0, weight_decay=0.0),
        lambda: keras.optimizers.Nadam(1e-3, beta_1=0.5),
        lambda: tf_febm.optimizers.FusedAdam(1e-3, beta_1=0.0),
        lambda: tf_febm.optimizers.ClippedAdam(1e-3, beta_1=0.0),
        lambda: keras.optimizers.LossScaleOptimizer(
            keras.optimizers.Adam(1e-3, beta_1=0.0), initial_scale=64.0
        ),
        lambda: keras.optimizers.Adam(1e-3, beta_1=0.0, gradient_accumulation_steps=2),
    ],
)
def test_the_first_step_is_no_larger_than_any(make, still_sampler):
    """Adam's step is the learning rate times g/√v: at most 1e-3 where all gradients are alike.

    With moments of 0 divided by 1 − βᵗ for t = 200 it would be √(0.1814/0.001) = 13 times that
    for β₁ = 0, and 1.3 times for β₁ = 0.9.
    """
    model = model_of(make(), still_sampler)
    assert 1e-5 < first_step_of(model, dense(model)[1]) < 1.2e-3


def test_other_weights_move_as_they_would_have(still_sampler):
    """Freezing and unfreezing the last layer leaves the moments of the first as they are."""
    model = model_of(keras.optimizers.Adam(1e-3), still_sampler)
    first_step_of(model, dense(model)[1], steps=5)
    optimizer = model.optimizer
    index = optimizer._get_variable_index(dense(model)[0].kernel)
    velocity = optimizer._velocities[index].numpy()
    model.train_on_batch(X)
    again = optimizer._velocities[index].numpy()
    assert (again >= 0.999 * velocity - 1e-12).all()


def test_plain_momentum_begins_at_zero(still_sampler):
    """SGD divides by nothing: there is nothing to mend."""
    model = model_of(keras.optimizers.SGD(1e-3, momentum=0.9), still_sampler)
    assert first_step_of(model, dense(model)[1]) > 0.0
