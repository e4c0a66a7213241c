"""Reduced learning rates reach the weights, whatever holds the rate and wraps the optimizer."""

import keras
import numpy as np
import pytest

import tf_febm
from tf_febm import training
from tf_febm.training.rates import scale_rates

X = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)


@keras.saving.register_keras_serializable(package="tests")
def steady():
    return 0.05


RATES = {
    "number": lambda: 0.05,
    "schedule": lambda: keras.optimizers.schedules.CosineDecay(0.05, 10**6),
    "function": lambda: steady,
}


def wrapped(optimizer, times):
    for _ in range(times):
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0)
    return optimizer


def febm(rate, wrappers=0):
    keras.utils.set_random_seed(0)
    networks = [tf_febm.networks.mlp(2, (4,), name=name) for name in ("energy", "variational")]
    model = tf_febm.FEBM(
        *networks, sampler=tf_febm.samplers.Langevin.from_epsilon(0.1, 1), seed=1,
        simultaneous=True, warmup_steps=0,
    )  # fmt: skip
    model.compile(*(wrapped(keras.optimizers.SGD(rate()), wrappers) for _ in range(2)))
    return model


def trained(model):
    return [w.numpy() for network in model.networks for w in network.trainable_variables]


def state_of(model):
    return [(v, v.numpy()) for group in model.state_variables().values() for v in group]


def changes(model, state):
    """Return what one step of SGD does to each weight, from a state."""
    for variable, value in state:
        variable.assign(value)
    before = trained(model)
    model.train_on_batch(X)
    return [after - weight for after, weight in zip(trained(model), before, strict=True)]


# A rate is looked for inside of wrappers whatever it is: one wrapped stands for all.
@pytest.mark.parametrize(
    ("rate", "wrappers"),
    [("number", 0), ("schedule", 1), pytest.param("function", 0, marks=pytest.mark.thorough)],
)
def test_a_step_is_as_much_shorter(rate, wrappers):
    """Of both players, from one state with one random state: the gradients are the same."""
    model = febm(RATES[rate], wrappers)
    state = [(v, x) for v, x in state_of(model) if "rate" not in v.name]
    whole = changes(model, state)
    scale_rates(model, 0.125)
    short = changes(model, state)
    for long, less in zip(whole, short, strict=True):
        assert np.abs(long).max() > 1e-5
        # Differences of weights below 2 in size, each rounded to float32.
        np.testing.assert_allclose(less, 0.125 * long, rtol=0, atol=3e-7)
    # With respect to the beginning, not to what they are now.
    scale_rates(model, 0.25, held=0.125)
    for long, less in zip(whole, changes(model, state), strict=True):
        np.testing.assert_allclose(less, 0.25 * long, rtol=0, atol=3e-7)


def test_wrappers_of_wrappers_are_looked_into():
    model = febm(RATES["number"], wrappers=3)
    scale_rates(model, 0.5)
    for optimizer in (model.optimizer, model.variational_optimizer):
        assert float(optimizer.learning_rate) == pytest.approx(0.025)


@pytest.mark.parametrize("rate", ["schedule", "function"])
def test_a_scaled_rate_is_saved_with_the_model(rate, tmp_path):
    model = febm(RATES[rate], wrappers=1)
    scale_rates(model, 0.5)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for optimizer in (loaded.optimizer, loaded.variational_optimizer):
        assert float(optimizer.learning_rate) == pytest.approx(0.025)


def test_a_return_of_the_guard_shortens_the_steps_of_float16(tmp_path):
    """What is said, "times 0.125", is what the weights do."""
    model = febm(RATES["number"], wrappers=1)
    checkpoints, lines = training.Checkpoints(tmp_path, model), []
    checkpoints.save()
    state = [(v, x) for v, x in state_of(model) if "rate" not in v.name]
    whole = changes(model, state)
    guard = training.DivergenceGuard(checkpoints, rate_factor=0.125, report=lines.append)
    guard.set_model(model)
    guard.on_train_begin()
    guard.on_epoch_end(0, {"energy_gap": float("nan")})
    assert "the learning rates times 0.125" in lines[0]
    for long, less in zip(whole, changes(model, state), strict=True):
        np.testing.assert_allclose(less, 0.125 * long, rtol=0, atol=3e-7)
