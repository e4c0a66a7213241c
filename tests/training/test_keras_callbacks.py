"""Keras' own callbacks, each with every model."""

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm

SHAPE, EPOCHS = (2, 2, 1), 3


def networks():
    return [tf_febm.networks.mlp(SHAPE, (3,), name=name) for name in ("energy", "other")]


def settings():
    sampler = tf_febm.samplers.Langevin(num_steps=1)
    return {"sampler": sampler, "buffer": tf_febm.ReplayBuffer(20), "seed": 1}


def rate():
    return keras.optimizers.SGD(0.01, momentum=0.5)


def build(kind):
    keras.utils.set_random_seed(0)
    if kind == "contrastive_divergence":
        model = tf_febm.ContrastiveDivergence(networks()[0], **settings())
        model.compile(rate())
        return model
    if kind == "bidirectional":
        generator = tf_febm.networks.generator_mlp(2, SHAPE, (3,), batch_norm=True)
        sampler = settings()["sampler"]
        model = tf_febm.BidirectionalEBM(networks()[0], generator, 2, sampler=sampler, seed=1)
    else:
        model = {"febm": tf_febm.FEBM, "dual": tf_febm.DualFEBM}[kind](*networks(), **settings())
    model.compile(rate(), rate())
    return model


# Both kinds of second players; the others are a part of these.
KINDS = (
    *("febm", "bidirectional"),
    *(
        pytest.param(kind, marks=pytest.mark.thorough)
        for kind in ("dual", "contrastive_divergence")
    ),
)


@pytest.fixture(scope="module", params=KINDS)
def compiled(request):
    """One model of each kind, traced once for all tests, and its state at the beginning."""
    model = build(request.param)
    model.fit(data(), epochs=1, verbose=0)
    return model, [np.array(v) for v in variables(model)]


def variables(model):
    groups = model.state_variables()
    return [variable for name in sorted(groups) for variable in groups[name]]


def data():
    x = np.random.default_rng(0).random((8, *SHAPE), dtype=np.float32)
    return tf.data.Dataset.from_tensor_slices(x).batch(4)


@pytest.fixture
def model(compiled):
    model, state = compiled
    for variable, value in zip(variables(model), state, strict=True):
        variable.assign(value)
    model.optimizer.learning_rate = 0.01
    model.stop_training = False
    # What BackupAndRestore leaves there.
    model._initial_epoch = 0
    return model


def fit(model, *callbacks, epochs=EPOCHS):
    return model.fit(data(), epochs=epochs, verbose=0, callbacks=list(callbacks)).history


def test_model_checkpoint(model, tmp_path):
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.keras", monitor="energy_gradient_norm", save_best_only=True, mode="min"
    )
    each = keras.callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.weights.h5", save_weights_only=True, save_freq="epoch"
    )
    fit(model, best, each, epochs=2)
    x = np.concatenate(list(data().as_numpy_iterator()))
    assert np.isfinite(keras.models.load_model(tmp_path / "best.keras").energy(x)).all()
    last = model.energy(x)
    model.load_weights(tmp_path / "1.weights.h5")
    assert np.abs(model.energy(x) - last).max() > 0
    model.load_weights(tmp_path / "2.weights.h5")
    np.testing.assert_array_equal(model.energy(x), last)


def test_early_stopping(model):
    weights = []
    remember = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.append(model.energy_network.get_weights())
    )
    # Nothing ever improves by so much: epoch 1 is the best, epoch 2 is patience.
    stop = keras.callbacks.EarlyStopping(
        "energy_gap", min_delta=1e9, patience=1, mode="min", restore_best_weights=True
    )
    history = fit(model, remember, stop, epochs=5)
    assert len(history["energy_gap"]) == 2
    for mine, best in zip(model.energy_network.get_weights(), weights[0], strict=True):
        np.testing.assert_array_equal(mine, best)


def test_learning_rate_scheduler(model):
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.01 / (epoch + 1))
    history = fit(model, schedule)
    np.testing.assert_allclose(history["learning_rate"], [0.01, 0.005, 0.01 / 3], rtol=1e-6)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01 / 3)


def test_reduce_lr_on_plateau(model):
    plateau = keras.callbacks.ReduceLROnPlateau(
        "energy_gap", factor=0.5, patience=1, min_delta=1e9, mode="min"
    )
    fit(model, plateau)
    # The first epoch is an improvement on nothing; the second and the third halve the rate.
    assert float(model.optimizer.learning_rate) == pytest.approx(0.0025)


def test_csv_logger(model, tmp_path):
    history = fit(model, keras.callbacks.CSVLogger(tmp_path / "log.csv"))
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(EPOCHS))
    for name, values in history.items():
        np.testing.assert_allclose([float(row[name]) for row in rows], values, rtol=1e-6)


def test_backup_and_restore(model, compiled, tmp_path):
    """An interrupted fit, continued, ends where an unbroken one does, with all of its state."""

    class Interruption(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    fit(model)
    unbroken = [np.array(variable) for variable in variables(model)]
    for variable, value in zip(variables(model), compiled[1], strict=True):
        variable.assign(value)
    with pytest.raises(KeyboardInterrupt):
        fit(model, keras.callbacks.BackupAndRestore(tmp_path / "b"), Interruption())
    # The program that goes on starts from anything.
    for variable, value in zip(variables(model), compiled[1], strict=True):
        variable.assign(value)
    history = fit(model, keras.callbacks.BackupAndRestore(tmp_path / "b"))
    assert len(history["energy_gap"]) == EPOCHS - 2
    for variable, value in zip(variables(model), unbroken, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-6, atol=1e-7)


def test_tensorboard(model, tmp_path):
    fit(model, keras.callbacks.TensorBoard(tmp_path, histogram_freq=1, update_freq=1))
    tags = {
        value.tag
        for path in (tmp_path / "train").glob("events*")
        for raw in tf.data.TFRecordDataset(str(path))
        for value in tf.compat.v1.Event.FromString(raw.numpy()).summary.value
    }
    assert {"epoch_energy_gap", "epoch_energy_data"} <= tags
    assert ("epoch_buffer_fill" in tags) == (model.buffer is not None)
    assert any("kernel" in tag or "histogram" in tag for tag in tags)


def test_terminate_on_nan(model):
    """The fit ends with the batch whose loss is the first that is no number."""
    batches = []
    break_ = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: (
            len(batches) == 3 and model.energy_network.layers[-1].bias.assign([np.nan])
        ),
        on_train_batch_end=lambda batch, logs: batches.append(float(logs["loss"])),
    )
    fit(model, break_, keras.callbacks.TerminateOnNaN(), epochs=5)
    assert len(batches) == 4 and np.isnan(batches[3]) and np.isfinite(batches[:3]).all()


def test_lambda_callbacks_see_every_metric_of_the_model(model):
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append({*logs}),
        on_epoch_end=lambda epoch, logs: seen.append({*logs}),
    )
    fit(model, note, epochs=1)
    assert all(names == seen[0] and names <= {*model.METRICS} for names in seen)
    assert {"loss", "energy_gap", "energy_gradient_norm"} <= seen[0]


def test_the_best_by_a_validated_metric(model, tmp_path):
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.keras", monitor="val_loss", save_best_only=True, mode="min"
    )
    before = int(model.optimizer.iterations)
    stop = keras.callbacks.EarlyStopping("val_energy_gap", patience=5, mode="min")
    history = model.fit(
        data(), epochs=EPOCHS, verbose=0, callbacks=[best, stop], validation_data=data()
    ).history
    x = np.concatenate(list(data().as_numpy_iterator()))
    loaded = keras.models.load_model(tmp_path / "best.keras")
    assert np.isfinite(loaded.energy(x)).all() and len(history["val_loss"]) == EPOCHS
    steps = int(loaded.optimizer.iterations) - before
    assert steps == 2 * (1 + int(np.argmin(history["val_loss"])))
