"""What Keras' callbacks do to one optimizer of a model, they do to all of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm.models import players, updates

X = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)
# A `DualFEBM` has the players of an `FEBM`.
KINDS = ["febm", "bidirectional"]


def build(kind, *optimizers, **settings):
    """Return a small model on the plane and its optimizers' names."""
    keras.utils.set_random_seed(0)
    energy = tf_febm.networks.mlp(2, (4,), name="energy")
    sampler = tf_febm.samplers.Langevin.from_epsilon(0.1, 1)
    if kind == "contrastive_divergence":
        model = tf_febm.ContrastiveDivergence(energy, sampler=sampler, seed=1)
    elif kind == "bidirectional":
        generator = tf_febm.networks.generator_mlp(2, 2, (4,))
        model = tf_febm.BidirectionalEBM(energy, generator, 2, sampler=sampler, seed=1)
    else:
        other = tf_febm.networks.mlp(2, (4,), name="other")
        model = tf_febm.FEBM(energy, other, sampler=sampler, seed=1, warmup_steps=0)
    # Callbacks come between steps: how these run is all the same to them.
    model.compile(*optimizers, **{"run_eagerly": True, **settings})
    return model


def second(model):
    name = "generator" if isinstance(model, tf_febm.BidirectionalEBM) else "variational"
    return getattr(model, f"{name}_optimizer")


def trained(model):
    return [w.numpy() for network in model.networks for w in network.trainable_variables]


def count_steps(model):
    """Let steps of a model do nothing but count."""

    def step(batch):
        for optimizer in (model.optimizer, second(model)):
            updates.stepping(optimizer).iterations.assign_add(1)
        return {"loss": 0.0, "energy_gap": 0.0}

    model.train_step = step


def fit(model, *callbacks, epochs=3):
    """Go through epochs of two batches and return the rates at the end of each batch.

    Steps are counted and not taken: what these callbacks do lies between them. What weights make of
    the rates is shown below, by steps that are.
    """
    rates = []
    count_steps(model)

    def note(batch, logs):
        rates.append((float(model.optimizer.learning_rate), float(second(model).learning_rate)))

    watch = keras.callbacks.LambdaCallback(on_train_batch_end=note)
    model.fit(X, batch_size=8, epochs=epochs, verbose=0, callbacks=[*callbacks, watch])
    return np.array(rates)


def sgd(rate):
    return keras.optimizers.SGD(rate)


def wrapped(optimizer, times=1):
    for _ in range(times):
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0)
    return optimizer


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_scheduler_moves_both_rates(kind, scaled):
    """Rates of 0.01 and 0.04, halved at every epoch."""
    optimizers = [wrapped(sgd(rate)) if scaled else sgd(rate) for rate in (0.01, 0.04)]
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.01 / 2**epoch)
    rates = fit(build(kind, *optimizers), halve)
    expected = [[0.01 / 2**e, 0.04 / 2**e] for e in (0, 0, 1, 1, 2, 2)]
    # Rates are float32.
    np.testing.assert_allclose(rates, expected, rtol=3e-7)


@pytest.mark.parametrize("kind", [*KINDS, "contrastive_divergence"])
def test_a_rate_of_zero_stops_all_weights(kind):
    """Whatever the callbacks say, this is what the weights do."""
    both = [sgd(0.05)] * (kind == "contrastive_divergence") or [sgd(0.05), sgd(0.1)]
    model, seen = build(kind, *both), []
    stop = keras.callbacks.LearningRateScheduler(lambda epoch, rate: [0.05, 0.0, 0.05][epoch])
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: seen.append(trained(model)))
    model.fit(X, batch_size=16, epochs=3, verbose=0, callbacks=[stop, note])
    for first, held in zip(*seen[:2], strict=True):
        np.testing.assert_array_equal(first, held)
    moved = [np.any(held != last) for held, last in zip(*seen[1:], strict=True)]
    # Each network has its share of them.
    assert all(any(part) for part in np.array_split(moved, len(model.networks)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_plateau_reduces_both_rates_also_after_the_last_epoch(kind):
    model = build(kind, sgd(0.01), sgd(0.02))
    plateau = keras.callbacks.ReduceLROnPlateau(
        "energy_gap", factor=0.5, patience=1, min_delta=1e9, mode="min"
    )
    rates = fit(model, plateau)
    np.testing.assert_allclose(rates[4:], [[0.005, 0.01]] * 2, rtol=3e-7)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.0025)
    assert float(second(model).learning_rate) == pytest.approx(0.005)


def test_a_callback_of_ones_own_may_set_a_rate_at_every_batch():
    class Warmup(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.learning_rate = 0.01 * self.steps
            self.steps += 1

    rates = fit(build("febm", sgd(0.01), sgd(0.03)), Warmup(), epochs=2)
    # From zero, and the ratio is not lost there.
    np.testing.assert_allclose(rates[:, 0], [0.0, 0.01, 0.02, 0.03], rtol=3e-7)
    np.testing.assert_allclose(rates[:, 1], [0.0, 0.03, 0.06, 0.09], rtol=3e-7)


def test_whoever_sets_both_rates_is_left_alone():
    class Both(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 0.01 / (epoch + 1)
            second(self.model).learning_rate = 0.02 * (epoch + 2)

    rates = fit(build("febm", sgd(0.01), sgd(0.02)), Both())
    np.testing.assert_allclose(rates[::2], [[0.01, 0.04], [0.005, 0.06], [0.01 / 3, 0.08]], 3e-7)


def test_a_schedule_of_the_seconds_own_is_left_alone():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([3], [0.02, 0.01])
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.01 / 2**epoch)
    model = build("febm", sgd(0.01), sgd(schedule))
    rates = fit(model, halve)
    np.testing.assert_allclose(rates[::2, 0], [0.01, 0.005, 0.0025], rtol=3e-7)
    # At the end of the first batch of each epoch: steps 1, 3, 5.
    np.testing.assert_allclose(rates[::2, 1], [0.02, 0.02, 0.01], rtol=3e-7)


def test_a_schedule_of_the_energys_moves_nobody_else():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    rates = fit(build("febm", sgd(schedule), sgd(0.02)))
    np.testing.assert_allclose(rates[:, 1], 0.02, rtol=1e-7)


@pytest.mark.parametrize("way", ["position", "one", "list"])
def test_callbacks_in_every_way_that_keras_takes_them(way):
    model = build("febm", sgd(0.01), sgd(0.02))
    count_steps(model)
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.005)
    if way == "position":
        model.fit(X, None, 8, 1, 0, [halve])
    elif way == "one":
        model.fit(X, batch_size=8, verbose=0, callbacks=halve)
    else:
        made = keras.callbacks.CallbackList([halve], True, model=model, epochs=1, steps=2)
        model.fit(X, batch_size=8, verbose=0, callbacks=made)
    assert float(second(model).learning_rate) == pytest.approx(0.01)


def test_rates_are_read_once_an_epoch_unless_a_callback_may_set_them_between(monkeypatch):
    """Reading waits for the device."""
    reads, original = [], players.rate_of
    monkeypatch.setattr(players, "rate_of", lambda o: reads.append(o) or original(o))
    model = build("febm", sgd(0.01), sgd(0.02))
    count_steps(model)
    few = keras.callbacks.TerminateOnNaN(), tf_febm.training.GracefulStop()
    counts = []
    for batch_size in (8, 2):
        reads.clear()
        model.fit(X, batch_size=batch_size, verbose=0, callbacks=[*few])
        counts.append(len(reads))
    assert counts[0] == counts[1]


def test_the_optimizer_that_steps():
    inner = sgd(0.1)
    assert updates.stepping(wrapped(inner, 3)) is inner and updates.stepping(inner) is inner
    assert players.rate_variable(wrapped(inner)) is inner._learning_rate


class TestSwapEMAWeights:
    """Two optimizers that average with momentum 0.5."""

    @staticmethod
    def model(kind, scaled=False):
        both = [keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5) for _ in range(2)]
        return build(kind, *(map(wrapped, both) if scaled else both))

    @staticmethod
    def expected(history):
        """Return w̄ ← (w̄ + w)/2, begun at the first weights."""
        average = history[0]
        for weights in history[1:]:
            average = [0.5 * a + 0.5 * w for a, w in zip(average, weights, strict=True)]
        return average

    # What wraps an optimizer does not ask whose it is.
    @pytest.mark.parametrize(("kind", "scaled"), [("febm", True), ("bidirectional", False)])
    def test_both_networks_have_averages_at_the_ends_of_epochs_and_raw_weights_between(
        self, kind, scaled
    ):
        model, history, ends, begins = self.model(kind, scaled), [], [], []
        note = keras.callbacks.LambdaCallback(
            on_train_batch_begin=lambda b, logs: begins.append(trained(model)),
            on_train_batch_end=lambda b, logs: history.append(trained(model)),
            on_epoch_end=lambda e, logs: ends.append(trained(model)),
        )
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        model.fit(X, batch_size=8, epochs=2, verbose=0, callbacks=[swap, note])
        # Swapping adds and subtracts: up to float32 rounding of values of order one.
        tolerance = {"rtol": 1e-5, "atol": 1e-6}
        for mine, mean in zip(ends[0], self.expected(history[:2]), strict=True):
            np.testing.assert_allclose(mine, mean, **tolerance)
        assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(ends[0], history[1], strict=True))
        for mine, raw in zip(begins[2], history[1], strict=True):
            np.testing.assert_allclose(mine, raw, **tolerance)
        for mine, mean in zip(trained(model), self.expected(history), strict=True):
            np.testing.assert_allclose(mine, mean, **tolerance)

    def test_evaluation_sees_both_averages(self):
        model, seen = self.model("febm"), []
        # The last weights of the fit, before Keras puts the averages there.
        model.train_on_batch(X[:8])
        model.train_on_batch(X[8:])
        raw = trained(model)
        note = keras.callbacks.LambdaCallback(
            on_test_begin=lambda logs: seen.append(trained(model))
        )
        swap = keras.callbacks.SwapEMAWeights()
        model.evaluate(X, batch_size=8, verbose=0, callbacks=[swap, note])
        half = len(raw) // 2
        for part in (slice(half), slice(half, None)):
            assert any(np.any(a != b) for a, b in zip(raw[part], seen[0][part], strict=True))
        for mine, before in zip(trained(model), raw, strict=True):
            np.testing.assert_allclose(mine, before, rtol=1e-5, atol=1e-6)

    def test_an_optimizer_without_averages_keeps_its_weights(self):
        one = keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5)
        model, ends, history = build("febm", one, sgd(0.05)), [], []
        note = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda b, logs: history.append(trained(model)),
            on_epoch_end=lambda e, logs: ends.append(trained(model)),
        )
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        model.fit(X, batch_size=8, verbose=0, callbacks=[swap, note])
        half = len(ends[0]) // 2
        for mine, raw in zip(ends[0][half:], history[-1][half:], strict=True):
            np.testing.assert_array_equal(mine, raw)


def test_bad_arguments_of_fit_are_told():
    model = build("febm", sgd(0.01), sgd(0.02))
    with pytest.raises(TypeError, match="no_such_thing"):
        model.fit(X, no_such_thing=1)
    with pytest.raises(TypeError, match="batch_size"):
        model.fit(X, None, 8, batch_size=8)
    assert isinstance(model.evaluate(X, None, 8, 0, return_dict=True), dict)
    assert tf.nest.flatten(model.evaluate(X, None, 8, 0))
