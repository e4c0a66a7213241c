"""What is checked of a case; every check has a name, and one that fails does not end the others."""

import contextlib
import tempfile
import traceback
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pairwise import building, reloading, twins
from pairwise.building import BATCH, BOUNDS, EPOCHS
from pairwise.features import ALL, values_of
from tf_febm.models import players

__all__ = ["check"]

# Callbacks that only look on: training is the same with them or without.
PASSIVE = {"none", "guard", "recorders", "terminate_on_nan"}


class Findings:
    """The failures of a case.

    Attributes:
        failures: Name of a check -> what went wrong, in a line.
    """

    def __init__(self):
        self.failures: dict[str, str] = {}
        self.traces: dict[str, str] = {}

    @contextlib.contextmanager
    def of(self, name: str):
        """Take note of an error inside a `with` block, as a failure of the check of a name."""
        try:
            yield
        except Exception as error:
            lines = [line for line in str(error).splitlines() if line.strip()] or [""]
            text = " ".join(lines[:2]) if isinstance(error, AssertionError) else lines[0]
            self.failures[name] = f"{type(error).__name__}: {text.strip()}"[:300]
            self.traces[name] = traceback.format_exc()


class Epochs(keras.callbacks.Callback):
    """Keep the weights at the end of every epoch, and how often a step had been traced by then."""

    def __init__(self, counted):
        super().__init__()
        self.weights, self.calls, self._counted = [], [], counted

    def on_epoch_end(self, epoch, logs=None):
        """Take note."""
        self.weights.append(weights_of(self.model))
        self.calls.append(self._counted())


def weights_of(model) -> list[list[np.ndarray]]:
    """Return the trainable weights of each network."""
    return [[w.numpy() for w in network.trainable_variables] for network in model.networks]


def count_steps(model):
    """Return a function that tells how often Python ran the model's step."""
    count, step = [0], model._train_on

    def counting(*arguments, **options):
        count[0] += 1
        return step(*arguments, **options)

    model._train_on = counting
    return lambda: count[0]


def check(case: dict) -> Findings:
    """Train a case, and check what comes of it."""
    found = Findings()
    with building.policy(case), tempfile.TemporaryDirectory() as folder:
        with found.of("trains"):
            _check_all(case, found, Path(folder))
        # A step of replicas takes long, and tests/test_parallel.py compares it with one on a single
        # device, weights and regularisers included.
        twice = ALL or case["strategy"] == "default"
        if twice and case["weighting"] != "none":
            twins.check_weights(case, found)
        if twice and case["regulariser"] != "none":
            twins.check_regulariser(case, found)
        if twice and "terminate_on_nan" in values_of(case, "callback"):
            twins.check_termination(case, found)
    keras.backend.clear_session()
    return found


def _check_all(case: dict, found: Findings, folder: Path) -> None:
    data = building.data_of(case)
    held_out = building.data_of(case, 1) if case["validation"] == "yes" else None
    model = building.build(case)
    before, counted, initial = weights_of(model), count_steps(model), building.state_of(model)
    epochs = Epochs(counted)
    given = building.callbacks(case, model, folder)
    logs = building.train(model, case, data, callbacks=[*given, epochs], held_out=held_out)
    state = building.state_of(model)

    with found.of("finite"):
        for name, value in state.items():
            assert np.isfinite(value).all(), f"{name} is not finite"
        # The figures of QualityMetrics are NaN before the first measurement.
        bad = [n for n, v in logs.items() if not np.isfinite(v).all() and n != "spread"]
        assert not bad, f"not finite in the logs: {', '.join(bad)}"
    with found.of("loss in the logs"):
        assert {"loss"} <= logs.keys(), "no loss"
        assert held_out is None or {"val_loss"} <= logs.keys(), "no val_loss"
    with found.of("weights move"):
        _check_moved(model, before)
    with found.of("no retracing"):
        if case["steps"] == "fit":
            assert epochs.calls[0] == epochs.calls[-1], f"traced {epochs.calls} times"
        elif case["steps"] == "train_on_batch":
            assert counted() == 1, f"traced {counted()} times in {len(data.x) // BATCH * EPOCHS}"
    with found.of("callback"):
        _check_callback(case, model, given, epochs)
    with found.of("average"):
        _check_average(case, model, epochs)
    with found.of("samples"):
        _check_samples(case, model)
    with found.of("saving"):
        reloading.check_saving(case, model, data, folder)
    with found.of("same seed, same weights"):
        _check_again(case, model, data, held_out, (initial, state), folder)


def _check_moved(model, before) -> None:
    for (network, optimizer), old in zip(model._players(), before, strict=True):
        skipped = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        if skipped and not int(optimizer.inner_optimizer.iterations.numpy()):
            # The first scales of a loss were too large for its few updates.
            continue
        for weight, was in zip(network.trainable_variables, old, strict=True):
            # A constant added to E may have no gradient but that of E².
            if was.ndim > 1:
                assert np.abs(weight.numpy() - was).max() > 1e-5, f"{weight.path} did not move"


def _check_callback(case: dict, model, given, epochs: Epochs) -> None:
    kinds = values_of(case, "callback")
    if kinds & {"guard", "recorders"}:
        (guard,) = [each for each in given if hasattr(each, "went_back")]
        assert not guard._rollbacks, f"went back: {guard._rollbacks[0]['reason']}"
    if "recorders" in kinds:
        assert np.isfinite(given[0].figures["spread"]), "nothing measured"
    if "terminate_on_nan" in kinds:
        assert not model.stop_training, "ended a healthy training"
    if "schedule" in kinds:
        assert np.isclose(players.rate_of(model.optimizer), 0.0), "rate of the energy"
        for network, old, new in zip(model.networks, *epochs.weights[-2:], strict=True):
            for one, other in zip(old, new, strict=True):
                assert (one == other).all(), f"{network.name} moves at a learning rate of 0"
    if "averaged_weights" in kinds:
        (average,) = [each for each in given if hasattr(each, "applied")]
        # At the end of a fit the weights are the averages: putting those in changes nothing.
        network = model.energy_network
        epochs_that_move = EPOCHS - ("schedule" in kinds)
        several = epochs_that_move * building.batches_of(case) // case["accumulation"] > 1
        present = [weight.numpy() for weight in network.trainable_variables]
        with average.applied():
            kept = [weight.numpy() for weight in network.trainable_variables]
        for weight, mean, last in zip(present, kept, epochs.weights[-1][0], strict=True):
            if case["average"] != "use_ema":
                np.testing.assert_array_equal(weight, mean)
                if several and weight.ndim > 1:
                    assert np.abs(weight - last).max() > 1e-6, "no average"


def _check_average(case: dict, model, epochs: Epochs) -> None:
    if case["average"] == "average_decay":
        half = case["policy"] == "mixed_float16"
        taken = EPOCHS * building.batches_of(case) // case["accumulation"]
        averages = [model.average, getattr(model, "generator_average", None)]
        for average in [average for average in averages if average is not None]:
            # A step that the loss scale skips need not count.
            updates = int(average.updates.numpy())
            assert updates == taken or (half and updates <= taken), f"{updates} of {taken} updates"
        raw, x = weights_of(model), building.data_of(case).x[:BATCH].astype(np.float32)
        labels = building.data_of(case).labels
        labels = None if labels is None else labels[:BATCH]
        energy = model.energy(x, labels).numpy()
        with model.averaged_weights():
            averaged = model.energy(x, labels).numpy()
        # After a single update the average is what that led to.
        if taken > 1 and "averaged_weights" not in values_of(case, "callback"):
            assert np.abs(energy - averaged).max() > 1e-5, "the average is the weights"
        np.testing.assert_array_equal(model.energy(x, labels).numpy(), energy)
        for old, new in zip(raw, weights_of(model), strict=True):
            for one, other in zip(old, new, strict=True):
                np.testing.assert_array_equal(one, other)
    if case["average"] == "use_ema":
        # The callback's own averages are in the place of these.
        replaced = [model.energy_network, getattr(model, "generator_network", None)]
        if "averaged_weights" not in values_of(case, "callback"):
            replaced = []
        second = ("variational_optimizer", "generator_optimizer")
        players = [model.optimizer, *(getattr(model, n) for n in second if hasattr(model, n))]
        for network, player in zip(model.networks, players, strict=True):
            inner = getattr(player, "inner_optimizer", player)
            means = inner._model_variables_moving_average
            for weight, mean in zip(network.trainable_variables, means, strict=True):
                if weight.ndim < 2 or any(network is each for each in replaced):
                    continue
                if case["steps"] == "train_on_batch":
                    difference = np.abs(weight.numpy() - mean.numpy()).max()
                    assert difference > 1e-6, f"{network.name}: the average is the weights"
                else:
                    # Keras ends `fit` so.
                    np.testing.assert_array_equal(
                        weight.numpy(), mean.numpy(), err_msg=f"{network.name} is not the average"
                    )


def _check_samples(case: dict, model) -> None:
    labels = np.arange(8, dtype=np.int32) % building.CLASSES
    if case["conditional"] == "no":
        labels = None
    elif case["conditional"] == "one_hot":
        labels = np.eye(building.CLASSES, dtype=np.float32)[labels]
    x = model.sample(8, labels, seed=5)
    assert x.shape == (8, 2) and x.dtype == tf.float32, (x.shape, x.dtype)
    assert np.isfinite(x.numpy()).all(), "samples are not finite"
    np.testing.assert_array_equal(x, model.sample(8, labels, seed=5))
    bounded = case["sampler"] in ("published", "hmc") and case["made"] == "by_hand"
    bounded = bounded and case["energy"] == "whole"
    if bounded and case["model"] != "bidirectional":
        assert BOUNDS[0] <= x.numpy().min() and x.numpy().max() <= BOUNDS[1], "out of bounds"
    for value in (model.energy(x, labels), model.score(x, labels)):
        assert value.dtype == tf.float32, value.dtype
        assert np.isfinite(value.numpy()).all(), "energy or score is not finite"
    denoised = model.denoise(x, 0.3, labels).numpy()
    expected = x + 0.09 * model.score(x, labels)
    if model.bounds is not None:
        expected = np.clip(expected, *model.bounds)
    # Compiled and not: the same but for rounding.
    loose = 1e-4 if case["policy"] in ("float32", "float64_data") else 0.1
    np.testing.assert_allclose(denoised, expected, rtol=loose, atol=loose)


def _check_again(case: dict, model, data, held_out, states: tuple, folder: Path) -> None:
    """Train once more, without what must not matter: the same weights, bit for bit.

    Another model begins as this one did; and from there this one comes to the same end, which
    takes no second tracing.
    """
    initial, state = states
    apart = _difference(building.state_of(building.build(case)), initial)
    assert not apart, f"begins with other numbers: {apart}"
    if not ALL and case["strategy"] == "mirrored" and case["steps"] == "run_eagerly":
        # Whose steps take longest; compiled ones of replicas are repeated.
        return
    looks_on = values_of(case, "callback") <= PASSIVE
    model.run_eagerly = case["steps"] == "run_eagerly"
    building.set_state(model, initial)
    given = [] if looks_on else building.callbacks(case, model, folder / "again")
    building.train(model, case, data, callbacks=given)
    apart = _difference(building.state_of(model), state)
    if not apart:
        return
    left_out = []
    if held_out is not None:
        left_out.append("validation")
    if looks_on and case["callback"] != "none":
        left_out.append(f"callback={case['callback']}")
    assert left_out, f"differs: {apart}"
    building.set_state(model, initial)
    given = building.callbacks(case, model, folder / "once more")
    building.train(model, case, data, held_out=held_out, callbacks=given)
    again = _difference(building.state_of(model), state)
    assert not again, f"differs: {again}"
    raise AssertionError(f"changes training: {' or '.join(left_out)}; differs: {apart}")


def _difference(one: dict, other: dict) -> str:
    assert one.keys() == other.keys()
    return ", ".join(name for name in one if not np.array_equal(one[name], other[name]))[:150]
