"""A run that stopped goes on bit for bit, whatever its optimizers and chains keep."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from traced_models import Traced, state_of

import tf_febm
from tf_febm import training
from tf_febm.models.updates import stepping

X = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)

# Of both optimizers.
EMA = {"use_ema": True, "ema_momentum": 0.8}
CASES = {
    "accumulated gradients": (
        "febm",
        {"gradient_accumulation_steps": 2},
        {"average_decay": 0.9},
        "float32",
    ),
    "all": ("febm", {**EMA, "gradient_accumulation_steps": 3}, {"average_decay": 0.9},
            "mixed_float16"),
    "generator": ("bidirectional", {**EMA, "gradient_accumulation_steps": 2},
                  {"average_decay": 0.9}, "mixed_float16"),
}  # fmt: skip


def build(kind, optimizer, settings, policy):
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy(policy)
    try:
        energy = tf_febm.networks.mlp(2, (4,), name="energy")
        sampler = tf_febm.samplers.Langevin.from_epsilon(0.1, 2)
        if kind == "bidirectional":
            generator = tf_febm.networks.generator_mlp(2, 2, (4,), batch_norm=True)
            model = tf_febm.BidirectionalEBM(
                energy, generator, 2, sampler=sampler, seed=1,
                entropy="smallest_singular_value", **settings,
            )  # fmt: skip
        else:
            other = tf_febm.networks.mlp(2, (4,), name="other")
            chains = tf_febm.samplers.PersistentChains(12)
            model = tf_febm.FEBM(
                energy, other, sampler=sampler, buffer=chains, seed=1, warmup_steps=2, **settings
            )
        rates = (keras.optimizers.Adam(0.01, **optimizer) for _ in range(2))
        model.compile(*rates)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    return model


def run(path, models, *totals):
    """Train to each of some numbers of steps, each time with the next model; return the last."""
    asked = []

    def stream(number):
        batches = tf.data.Dataset.counter(number)
        asked.append(number)
        return batches.map(
            lambda i: tf.gather(
                X, tf.random.stateless_uniform([8], [i, 0], 0, len(X), dtype=tf.int32)
            )
        )

    for total, model in zip(totals, models, strict=True):
        folder = training.RunFolder(path)
        if not folder.path.exists():
            folder.prepare({}, ())
        checkpoints = training.Checkpoints(folder.checkpoints, model)
        checkpoints.restore()
        done = training.train(
            model, stream, folder, checkpoints, total_steps=total, log_interval=4,
            sample_interval=100, save_interval=4,
        )  # fmt: skip
        assert done and training.steps_taken(model) == total
    return model, checkpoints, asked


@pytest.mark.parametrize(
    "case",
    # The second has all that the first has.
    [pytest.param("accumulated gradients", marks=pytest.mark.thorough), "all", "generator"],
)
def test_a_continued_run_equals_an_unbroken_one(case, tmp_path):
    # The first part is of the model of the whole run, as it was when new; what goes on is another.
    traced = Traced(build(*CASES[case]))
    whole, checkpoints, _ = run(tmp_path / "whole", [traced.model], 11)
    expected = state_of(whole)
    parts, others, _ = run(tmp_path / "parts", [traced.fresh(), build(*CASES[case])], 5, 11)
    assert checkpoints.skipped == others.skipped
    found = state_of(parts)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    # In the end, and not before, weights are the averages that the optimizers keep.
    pairs = [
        pair
        for network, optimizer in parts._players()
        if stepping(optimizer).use_ema
        for pair in zip(
            network.trainable_variables,
            stepping(optimizer)._model_variables_moving_average,
            strict=True,
        )
    ]
    for weight, average in pairs:
        np.testing.assert_array_equal(weight, average)
    others.restore()
    # The first is a kernel; there are biases that no gradient reaches.
    assert all(np.any(weight.numpy() != average.numpy()) for weight, average in pairs[:1])


def test_accumulation_does_not_end_the_data(tmp_path):
    """Ten batches are ten steps and five changes of the weights."""
    model, checkpoints, asked = run(tmp_path, [build(*CASES["accumulated gradients"])], 10)
    assert int(model.optimizer.iterations) == 5 and checkpoints.steps == [4, 8, 10]
    assert asked[0] == 0 and checkpoints.skipped == 0
    rows = training.recorders.read_metrics(tmp_path / "metrics.csv")
    assert [row["step"] for row in rows] == ["4", "8", "10"]
