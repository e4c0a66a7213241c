"""AveragedWeights and VariationalRate where they meet other features."""

import keras
import numpy as np
import pytest

import tf_febm
from tf_febm import training
from tf_febm.models import updates

X = np.random.default_rng(0).normal(size=(24, 2)).astype(np.float32)
SAMPLER = tf_febm.samplers.Langevin.from_epsilon(0.1, 1)


def build(kind="contrastive_divergence", compile=True, **settings):
    keras.utils.set_random_seed(0)
    energy = tf_febm.networks.mlp(2, (4, 4), name="energy")
    settings = {"sampler": SAMPLER, "seed": 1, **settings}
    if kind == "bidirectional":
        generator = tf_febm.networks.generator_mlp(2, 2, (4,), batch_norm=True)
        model = tf_febm.BidirectionalEBM(energy, generator, 2, **settings)
    elif kind == "contrastive_divergence":
        model = tf_febm.ContrastiveDivergence(energy, **settings)
    else:
        other = tf_febm.networks.mlp(2, (4,), name="other")
        model = tf_febm.FEBM(energy, other, warmup_steps=0, **settings)
    if compile:
        both = [sgd(0.05)] * (kind == "contrastive_divergence") or [sgd(0.05), sgd(0.05)]
        compiled(model, *both)
    return model


def compiled(model, *optimizers, **settings):
    """Compile for steps that run eagerly: these tests take few, and a trace takes longer.

    A model of one player takes the first optimizer.
    """
    model.compile(*optimizers[: len(model._players())], run_eagerly=True, **settings)


def sgd(rate, **settings):
    return keras.optimizers.SGD(rate, **settings)


def recurrence(first, changes, decay):
    """Return w̄ ← d·w̄ + (1 − d)·w over changes of weights, d = min(decay, n/(n + 10))."""
    average = first
    for n, weight in enumerate(changes):
        d = min(decay, n / (n + 10))
        average = d * average + (1 - d) * weight
    return average


def kernel(network):
    return network.layers[1].kernel.numpy()


def fit(model, average, epochs=1, *others, x=X):
    """Train on batches of four, six of X; return the energy's first kernel after each."""
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(kernel(model.energy_network))
    )
    callbacks = [*others, average, note]
    model.fit(x, batch_size=4, epochs=epochs, verbose=0, shuffle=False, callbacks=callbacks)
    return seen


class TestAveragedWeights:
    def test_accumulated_gradients_count_when_they_change_weights(self):
        model = build(compile=False)
        three = {"gradient_accumulation_steps": 3}
        compiled(model, sgd(0.5, **three), sgd(0.5, **three))
        first = kernel(model.energy_network)
        seen = fit(model, training.AveragedWeights(0.9), 2)
        changes = seen[2::3]
        assert len({weights.tobytes() for weights in [first, *seen]}) == 1 + len(changes) == 5
        expected = recurrence(first, changes, 0.9)
        np.testing.assert_allclose(kernel(model.energy_network), expected, rtol=1e-5, atol=1e-6)
        assert np.abs(expected - recurrence(first, seen, 0.9)).max() > 1e-4

    def test_skipped_steps_do_not_count(self):
        model = build(compile=False)
        compiled(
            model,
            *(keras.optimizers.LossScaleOptimizer(sgd(0.5), initial_scale=8.0) for _ in range(2)),
        )
        first, skipped = kernel(model.energy_network), (0, 3, 4)
        # Nothing is finite at a scale of infinity.
        overflow = keras.callbacks.LambdaCallback(
            on_train_batch_begin=lambda batch, logs: model.optimizer.dynamic_scale.assign(
                np.inf if batch in skipped else 8.0
            )
        )
        seen = fit(model, training.AveragedWeights(0.9), 1, overflow)
        expected = recurrence(first, [seen[i] for i in (1, 2, 5)], 0.9)
        np.testing.assert_allclose(kernel(model.energy_network), expected, rtol=1e-5, atol=1e-6)

    def test_freezing_and_thawing(self, tmp_path):
        model, path = build(), tmp_path / "m.keras"
        average = training.AveragedWeights(0.9, path, swap_at_end=False)
        first = [w.numpy() for w in model.energy_network.weights]
        for frozen in ([1], [2, 3], []):
            for i, layer in enumerate(model.energy_network.layers):
                layer.trainable = i not in frozen
            fit(model, average, x=X[:8])
            raw = model.energy(X).numpy()
            with average.applied():
                averaged = model.energy(X).numpy()
            assert np.abs(raw - averaged).max() > 1e-5
            np.testing.assert_allclose(keras.models.load_model(path).energy(X), averaged, 1e-5)
        with average.applied():
            means = [w.numpy() for w in model.energy_network.weights]
        for mine, before, now in zip(means, first, model.energy_network.weights, strict=True):
            assert np.any(mine != before) and np.any(mine != now.numpy())

    def test_a_frozen_layer_is_its_own_average(self):
        model = build()
        model.energy_network.layers[1].trainable = False
        first = kernel(model.energy_network)
        fit(model, training.AveragedWeights(0.9), x=X[:8])
        np.testing.assert_array_equal(kernel(model.energy_network), first)

    def test_it_goes_on_when_the_model_is_compiled_anew(self):
        model, average = build(), training.AveragedWeights(0.9, swap_at_end=False)
        first = kernel(model.energy_network)
        seen = fit(model, average)
        compiled(model, sgd(0.01), sgd(0.01))
        seen += fit(model, average)
        with average.applied():
            found = kernel(model.energy_network)
        np.testing.assert_allclose(found, recurrence(first, seen, 0.9), rtol=1e-5, atol=1e-6)

    def test_another_model_has_an_average_of_its_own(self):
        average = training.AveragedWeights(0.9)
        fit(build(), average, x=X[:12])
        model = build()
        first = kernel(model.energy_network)
        expected = recurrence(first, fit(model, average, x=X[:12]), 0.9)
        np.testing.assert_allclose(kernel(model.energy_network), expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("decay", [None, 0.9])
    def test_a_generator_is_averaged_with_its_statistics(self, decay):
        """By the callback, or by the model itself."""
        model, seen = build("bidirectional", average_decay=decay), []
        weights = [w for w in model.generator_network.weights if "float" in w.dtype]
        first = [w.numpy() for w in weights]
        note = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: seen.append([w.numpy() for w in weights])
        )
        model.fit(
            X[:12],
            batch_size=4,
            verbose=0,
            callbacks=[note, training.AveragedWeights(decay or 0.9)],
        )
        for i, weight in enumerate(weights):
            expected = recurrence(first[i], [values[i] for values in seen], 0.9)
            np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-5, atol=1e-5)

    def test_what_was_taken_back_is_forgotten(self, tmp_path):
        model, average = build(), training.AveragedWeights(0.9, tmp_path / "m.keras")
        checkpoints = training.Checkpoints(tmp_path / "c", model)
        guard = training.DivergenceGuard(checkpoints, max_rollbacks=1)
        broken = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: (
                epoch == 0 and model.energy_network.layers[1].kernel.assign(np.full((2, 4), np.nan))
            ),
            on_epoch_begin=lambda epoch, logs: restarts.append(kernel(model.energy_network)),
        )
        restarts = []
        seen = fit(model, average, 2, broken, guard)
        expected = recurrence(restarts[1], seen[6:], 0.9)
        np.testing.assert_allclose(kernel(model.energy_network), expected, rtol=1e-5, atol=1e-6)
        assert np.isfinite(keras.models.load_model(tmp_path / "m.keras").energy(X)).all()

    def test_several_steps_in_one_execution_are_refused(self):
        model = build(compile=False)
        model.compile(sgd(0.1), steps_per_execution=2)
        with pytest.raises(ValueError, match="one in 2 steps: give the model average_decay"):
            fit(model, training.AveragedWeights())


def count_steps(model):
    """Let steps do nothing but count: what a callback does to rates lies between them."""

    def step(batch):
        for _, optimizer in model._players():
            updates.stepping(optimizer).iterations.assign_add(1)
        return {"loss": 0.0}

    model.train_step = step


class TestVariationalRate:
    # Which optimizer is the second, what wraps it and the order of callbacks are of each other's no
    # business: two kinds stand for the four crossings of the rest.
    @pytest.mark.parametrize(
        ("kind", "scaled", "first"),
        [("febm", False, True), ("febm", True, False), ("bidirectional", True, True)],
    )
    def test_it_follows_wherever_it_stands(self, kind, scaled, first):
        model = build(kind, compile=False)
        both = [sgd(0.01), sgd(0.5)]
        compiled(
            model, *([keras.optimizers.LossScaleOptimizer(o) for o in both] if scaled else both)
        )
        count_steps(model)
        second = [optimizer for _, optimizer in model._players()][1]
        schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.02 / (epoch + 1))
        callbacks, rates = [schedule, training.VariationalRate(0.25)], []
        note = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: rates.append(float(second.learning_rate))
        )
        model.fit(
            X, batch_size=12, epochs=2, verbose=0,
            callbacks=[*(callbacks[::-1] if first else callbacks), note],
        )  # fmt: skip
        np.testing.assert_allclose(rates, [0.005, 0.005, 0.0025, 0.0025], rtol=3e-7)

    def test_it_takes_the_value_of_a_schedule_at_each_epoch(self):
        model, rates = build("febm", compile=False), []
        compiled(model, sgd(keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)), sgd(0.1))
        count_steps(model)
        note = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda e, logs: rates.append(
                float(model.variational_optimizer.learning_rate)
            )
        )
        model.fit(
            X, batch_size=12, epochs=3, verbose=0, callbacks=[training.VariationalRate(2.0), note]
        )
        # Steps 0, 2 and 4.
        np.testing.assert_allclose(rates, [0.2, 0.05, 0.0125], rtol=1e-6)

    def test_a_schedule_of_the_seconds_own_is_refused(self):
        model = build("febm", compile=False)
        compiled(model, sgd(0.1), sgd(keras.optimizers.schedules.CosineDecay(0.1, 10)))
        with pytest.raises(ValueError, match="follows a CosineDecay: give that optimizer a number"):
            model.fit(X[:4], verbose=0, callbacks=[training.VariationalRate()])

    def test_one_optimizer_is_refused(self):
        model = build("contrastive_divergence")
        with pytest.raises(ValueError, match="ContrastiveDivergence has one optimizer"):
            model.fit(X[:4], verbose=0, callbacks=[training.VariationalRate()])
