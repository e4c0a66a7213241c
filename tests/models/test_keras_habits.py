"""What a user of Keras expects of any model: logs, averages of optimizers, freezing, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from plane_models import METHODS, assert_same, model_of, plane, set_back, state_of, weights_of

import tf_febm

# --- logs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_evaluate_returns_values_in_the_order_of_metrics_names(method):
    model = model_of(method)
    names = model.metrics_names
    values = model.evaluate(plane(8), verbose=0)
    by_name = model.evaluate(plane(8), verbose=0, return_dict=True)
    assert dict(zip(names, values, strict=True)) == by_name
    assert names == model.metrics_names and names[0] == "loss"
    state = state_of(model)
    trained = model.train_on_batch(plane(8), return_dict=True)
    set_back(state)
    model.reset_metrics()
    assert model.train_on_batch(plane(8)) == [trained[n] for n in model.METRICS if n in trained]


# How steps are weighted is one for both variational methods.
@pytest.mark.parametrize("method", ["febm", "contrastive_divergence", "bidirectional"])
def test_means_are_those_of_all_examples(method):
    """Batches of 32, 32 and 1 that is far away, against the energies' own mean."""
    x = np.concatenate([plane(64), [[50.0, 50.0]]]).astype("float32")
    model = model_of(method)
    model.build((None, 2))
    for weights in (None, np.linspace(0.5, 2.0, 65).astype("float32")):
        expected = np.average(model.energy(x), weights=weights)
        logs = model.evaluate(x, sample_weight=weights, batch_size=32, return_dict=True, verbose=0)
        assert logs["energy_data"] == pytest.approx(expected, rel=1e-5)


def test_terminate_on_nan_acts():
    """An energy that ends in NaN is noticed at the first step, as it is compiled."""
    inputs = keras.Input((2,))
    nan = keras.layers.Rescaling(float("nan"))(keras.layers.Dense(1)(inputs))
    sampler = tf_febm.samplers.Langevin(0.05, 0.3, num_steps=1, grad_clip=None, bounds=None)
    model = tf_febm.ContrastiveDivergence(keras.Model(inputs, nan), sampler=sampler)
    model.compile()
    callbacks = [keras.callbacks.TerminateOnNaN()]
    history = model.fit(plane(), batch_size=4, epochs=5, verbose=0, callbacks=callbacks)
    assert len(history.epoch) == 1


# --- optimizers ---------------------------------------------------------------------------------


# The two kinds of second players; what goes over the players finds a single one too.
@pytest.mark.parametrize("method", ["febm", "bidirectional"])
def test_use_ema_ends_in_the_averages_of_every_network(method):
    """Against the recurrence a ← 0.5 a + 0.5 w, from weights that a callback wrote down.

    A layer that is frozen stays as it was.
    """
    model = model_of(
        method, optimizer=lambda: keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5)
    )
    resting = model.energy_network.layers[1]
    resting.trainable = method != "febm"
    frozen = resting.get_weights()
    seen = []
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(weights_of(model))
    )
    model.fit(plane(12), batch_size=4, epochs=1, verbose=0, callbacks=[record])
    assert len(seen) == 3
    if method == "febm":
        assert_same(frozen, resting.get_weights())
    trained = [v.trainable for net in model.networks for v in net.weights]
    for i, (weight, trainable) in enumerate(zip(weights_of(model), trained, strict=True)):
        if not trainable:
            continue
        average = seen[0][i]
        for step in seen[1:]:
            average = 0.5 * average + 0.5 * step[i]
        np.testing.assert_allclose(weight, average, atol=1e-6)
        # Bar the last bias, a constant of the energy, which some objectives do not move.
        assert weight.size == 1 or np.abs(weight - seen[-1][i]).max() > 1e-7


# With one optimizer and with two; generators have averages of their own, below.
@pytest.mark.parametrize("method", ["febm", "contrastive_divergence"])
def test_averages_count_updates_and_not_batches(method):
    model = model_of(
        method,
        optimizer=lambda: keras.optimizers.SGD(0.05, gradient_accumulation_steps=2),
        average_decay=0.9,
    )
    model.fit(plane(16), batch_size=4, epochs=1, verbose=0)
    assert int(model.optimizer.iterations) == 2
    assert int(model.average.updates) == 2


@pytest.mark.parametrize(
    ("energy_steps", "generator_steps", "updates"), [(2, None, (1, 2)), (None, 2, (2, 1))]
)
def test_each_average_follows_the_optimizer_of_its_network(energy_steps, generator_steps, updates):
    model = model_of("bidirectional", average_decay=0.9)
    model.compile(
        keras.optimizers.SGD(0.05, gradient_accumulation_steps=energy_steps),
        keras.optimizers.SGD(0.05, gradient_accumulation_steps=generator_steps),
        run_eagerly=True,
    )
    model.fit(plane(8), batch_size=4, verbose=0)
    assert (int(model.average.updates), int(model.generator_average.updates)) == updates


@pytest.mark.parametrize("case", ["frozen", "accumulated"])
def test_the_warm_up_counts_steps(case):
    """After it H moves with the bound's gradient too, whether or not E's weights were updated."""
    model = model_of("febm", l2_coeff=1e-3)
    if case == "frozen":
        model.energy_network.trainable = False
    else:
        model.compile(
            keras.optimizers.SGD(0.05, gradient_accumulation_steps=8),
            keras.optimizers.SGD(0.05),
            run_eagerly=True,
        )
    model.build((None, 2))
    state, found = state_of(model), []
    for warmup_steps in (2, 100):
        set_back(state)
        model.warmup_steps = warmup_steps
        model.fit(plane(24), batch_size=8, shuffle=False, verbose=0)
        found.append(model.variational_network.get_weights()[0])
    # Three steps; on the l2 term alone they hardly move.
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_accumulated_gradients_are_those_of_the_whole_batch(fixed_sampler):
    """Two batches of 4 make the step of one batch of 8 that has the same negatives."""
    negatives = plane(4, 5)
    x = plane(8)
    results = []
    for accumulate in (True, False):
        keras.utils.set_random_seed(1)
        sampler = fixed_sampler(negatives if accumulate else np.concatenate([negatives] * 2))
        steps = 2 if accumulate else None
        model = tf_febm.ContrastiveDivergence(
            tf_febm.networks.mlp(2, (8,)), sampler=sampler, l2_coeff=0.1, seed=0
        )
        model.compile(
            keras.optimizers.SGD(0.1, gradient_accumulation_steps=steps), run_eagerly=True
        )
        model.fit(x, batch_size=4 if accumulate else 8, shuffle=False, epochs=1, verbose=0)
        results.append(weights_of(model))
    for first, second in zip(*results, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-7)


# --- freezing -----------------------------------------------------------------------------------


# Both with two optimizers, and one of them with a single one.
@pytest.mark.parametrize(
    ("method", "when"),
    [("febm", "after"), ("contrastive_divergence", "before"), ("bidirectional", "before")],
)
def test_a_model_with_frozen_layers_and_averages_is_saved(method, when, tmp_path):
    model = model_of(method, average_decay=0.9, optimizer=keras.optimizers.Adam)
    layers = [net.layers[1] for net in model.networks]
    for layer in layers:
        layer.trainable = when == "before"
    model.fit(plane(16), batch_size=16, verbose=0)
    for layer in layers:
        layer.trainable = when != "before"
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert_same(weights_of(model), weights_of(loaded))
    with model.averaged_weights(), loaded.averaged_weights():
        assert_same(weights_of(model), weights_of(loaded))
    for mine, its in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, its)
    # Both train on alike.
    for either in (model, loaded):
        either.fit(plane(16), batch_size=16, shuffle=False, verbose=0)
    assert_same(weights_of(model), weights_of(loaded))


def test_a_layer_unfrozen_later_is_trained_and_averaged():
    model = model_of("febm", average_decay=0.9)
    layer = model.energy_network.layers[1]
    layer.trainable = False
    model.fit(plane(8), batch_size=8, verbose=0)
    start = layer.get_weights()[0]
    with model.averaged_weights():
        np.testing.assert_array_equal(layer.get_weights()[0], start)
    layer.trainable = True
    model.fit(plane(16), batch_size=8, verbose=0)
    assert np.abs(layer.get_weights()[0] - start).max() > 0
    trained = layer.get_weights()[0]
    with model.averaged_weights():
        average = layer.get_weights()[0]
    assert np.abs(average - start).max() > 0 and np.abs(average - trained).max() > 0


# --- the training stream ------------------------------------------------------------------------


# Persistent chains of contrastive divergence are looked at through an evaluation in its own tests.
@pytest.mark.parametrize(
    ("method", "buffer"),
    [
        ("febm", "persistent"),
        ("contrastive_divergence", "replay"),
        ("bidirectional", None),
    ],
)
def test_validation_does_not_change_training(method, buffer):
    made = {
        None: lambda: None,
        "replay": lambda: tf_febm.ReplayBuffer(64),
        "persistent": lambda: tf_febm.samplers.PersistentChains(64),
    }[buffer]()
    model = model_of(method, **({"buffer": made} if buffer else {}))
    model.build((None, 2))
    state, results, x = state_of(model), [], plane(8)
    for data in (None, (x,)):
        set_back(state)
        history = model.fit(x, epochs=2, validation_data=data, verbose=0).history
        assert np.isfinite(list(history.values())).all()
        assert ("val_loss" in history) == (data is not None)
        results.append(weights_of(model))
    assert_same(*results)


def test_evaluation_repeats():
    model = model_of("febm")
    first = model.evaluate(plane(16), batch_size=8, verbose=0)
    assert model.evaluate(plane(16), batch_size=8, verbose=0) == first
    model.fit(plane(16), batch_size=16, verbose=0)
    assert model.evaluate(plane(16), batch_size=8, verbose=0) != first


@pytest.mark.parametrize("classes", [None, 3])
def test_export_is_that_of_the_library_and_serves_as_that_of_keras(classes, tmp_path):
    model = model_of("febm", classes=classes)
    labels = (np.arange(32, dtype="int32") % 3,) if classes else ()
    model.export(tmp_path / "served", "tf_saved_model", verbose=False)
    layer = keras.layers.TFSMLayer(str(tmp_path / "served"))
    served = tf.saved_model.load(str(tmp_path / "served"))
    expected = model.energy(plane(), *labels)
    by_name = dict(zip(("labels",), labels, strict=False))
    for found in (served.serve(plane(), *labels), layer(plane(), **by_name)):
        np.testing.assert_allclose(found["energy"], expected, atol=1e-6)
    assert {"score", "sample", "log_density_ratio"} <= served.signatures.keys()
    with pytest.raises(ValueError, match="takes no input_signature"):
        model.export(tmp_path / "other", input_signature=[plane()])


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_compile_takes_no_loss_or_metrics(method):
    model = model_of(method)
    for name in ("loss", "metrics", "weighted_metrics", "loss_weights"):
        with pytest.raises(ValueError, match=f"takes no {name}") as raised:
            model.compile(**{name: ["mse"]})
        assert "\n" not in str(raised.value)


def test_bad_values_stop_test_on_batch_in_one_line():
    x = plane()
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="Stopped at a bad batch: NaN or Inf in x"):
        model_of("febm").test_on_batch(x)


def test_dicts_are_named():
    data = tf.data.Dataset.from_tensor_slices({"image": plane(), "id": np.arange(32)}).batch(8)
    model = model_of("febm")
    with pytest.raises(TypeError, match="'image', 'id'"):
        model.fit(data, verbose=0)


def test_dictionaries_are_named_where_energies_are_asked_for():
    model = model_of("febm")
    model.build((None, 2))
    for ask in (model.energy, model.score, model.log_density_ratio, model.predict):
        with pytest.raises(TypeError, match="'image'"):
            ask({"image": plane()})


def test_float64_data_train_every_penalty():
    model = model_of("bidirectional")
    for penalty in ("latent", "data", None):
        model.penalty = penalty
        history = model.fit(plane(8).astype("float64"), verbose=0).history
        assert np.isfinite(history["loss"][0])
