"""What other callbacks put into logs is not the model's: the guard and the recorders bear it."""

import csv
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import training
from tf_febm.training.logs import numbers, own_numbers

X = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)


class Adds(keras.callbacks.Callback):
    """Add things to the logs of every epoch."""

    def __init__(self, **things):
        super().__init__()
        self.things = things

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.things)


ODD = {
    "figure": math.nan, "lr": math.inf, "note": "nan", "none": None, "curve": np.array([1.0, 2.0]),
    "tensor": tf.constant(math.nan), "val_figure": math.nan, "energies": math.nan,
}  # fmt: skip


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    sampler = tf_febm.samplers.Langevin.from_epsilon(0.1, 1)
    model = tf_febm.ContrastiveDivergence(tf_febm.networks.mlp(2, (4,)), sampler=sampler, seed=1)
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    return model


def fit(model, *callbacks, **settings):
    settings = {"batch_size": 8, "epochs": 3, "verbose": 0, **settings}
    model.fit(X, callbacks=[*callbacks], **settings)


def test_numbers():
    logs = {"a": 1, "b": np.float32(2), "c": tf.constant([3.0]), "d": True, **ODD}
    found = numbers(logs)
    assert {name: found[name] for name in "abcd"} == {"a": 1.0, "b": 2.0, "c": 3.0, "d": 1.0}
    assert found.keys() == {*"abcd", "figure", "lr", "tensor", "val_figure", "energies"}
    assert numbers(None) == {}


def test_own_numbers(model):
    logs = {"energy_gap": 1.0, "val_energy_gap": 2.0, "loss": 3.0, **ODD}
    assert own_numbers(model, logs) == {"energy_gap": 1.0, "val_energy_gap": 2.0, "loss": 3.0}


@pytest.mark.parametrize("validated", [False, True])
def test_the_guard_looks_at_the_models_own(model, tmp_path, validated):
    """A figure that is measured every fourth step is NaN at the end of the first epoch."""
    guard = training.DivergenceGuard(training.Checkpoints(tmp_path, model), max_rollbacks=0)
    quality = training.QualityMetrics(
        lambda samples: {"distance": 1.0}, 4, num_samples=2, names=["distance"]
    )
    settings = {"validation_data": (X,)} if validated else {}
    fit(model, quality, Adds(**ODD), guard, **settings)
    assert int(model.optimizer.iterations) == 6


@pytest.mark.parametrize("name", ["energy_gap", "val_energy_data", "loss", "energy_gradient_norm"])
def test_the_guard_still_sees_what_is_its_business(model, tmp_path, name):
    guard = training.DivergenceGuard(training.Checkpoints(tmp_path, model), max_rollbacks=0)
    with pytest.raises(training.DivergedError, match=f"{name} is not finite"):
        fit(model, Adds(**{name: math.nan}), guard)


def test_recorders_write_the_numbers_and_leave_the_rest(model, tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path / "board"))
    table = training.MetricsTable(tmp_path / "metrics.csv")
    lines = []
    fit(
        model,
        Adds(**ODD),
        table,
        training.Scalars(writer),
        training.Progress(6, lines.append, every=0),
    )
    with open(tmp_path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert rows[0]["figure"] == "nan" and "energy_gap" in rows[0] and "note" not in rows[0]
    assert len(lines) == 3


def test_checkpoints_keep_the_numbers(model, tmp_path):
    checkpoints = training.Checkpoints(tmp_path, model, best_metric="distance")
    fit(model, epochs=1)
    checkpoints.save({"distance": 2.0, "energy_gap": np.float32(1.0), **ODD})
    assert checkpoints.facts(2)["metrics"] == {"distance": 2.0, "energy_gap": 1.0}
    assert checkpoints.best == 2
