"""A model that was saved is the same when it comes back, and trains on like the other."""

import keras
import numpy as np
import tensorflow as tf

import tf_febm
from pairwise import building
from pairwise.building import BATCH
from pairwise.features import ALL, values_of
from tf_febm import training

__all__ = ["check_saving"]


def check_saving(case: dict, model, data, folder) -> None:
    """Save a trained model in the way of the case, load it, compare, and train both on.

    Raises:
        AssertionError: Something is not the same.
    """
    x = data.x[:BATCH].astype(np.float32)
    labels = None if data.labels is None else data.labels[:BATCH]
    ways = values_of(case, "saving")
    # A row of each class at least.
    model.calibrate(*([data.x] if data.labels is None else [data.x, data.labels]))
    if "saved_model" in ways:
        _check_saved_model(model, x, labels, folder)
    if ways == {"saved_model"}:
        return
    state, energy = building.state_of(model), model.energy(x, labels).numpy()
    loaded = _reload(case, model, folder)
    np.testing.assert_array_equal(loaded.energy(x, labels).numpy(), energy)
    if "checkpoints" not in ways:
        p = model.p_value(x, labels).numpy()
        np.testing.assert_array_equal(loaded.p_value(x, labels).numpy(), p)
        # Energies of other networks here have no finite integral.
        if ALL and (model.bounds is not None or model.reference is not None):
            model.fit_log_partition(data.x)
            (folder / "normalised").mkdir()
            again = _reload(case, model, folder / "normalised")
            density = model.log_prob(x, labels).numpy()
            np.testing.assert_array_equal(again.log_prob(x, labels).numpy(), density)
    if model.conditional:
        found = loaded.class_log_probs(x).numpy()
        np.testing.assert_array_equal(found, model.class_log_probs(x).numpy())
        assert (model.class_probabilities != 1.0 / building.CLASSES).any(), "no labels counted"
    if hasattr(model, "log_density_ratio"):
        np.testing.assert_array_equal(
            loaded.log_density_ratio(x, labels).numpy(), model.log_density_ratio(x, labels).numpy()
        )
    # A file of Keras has the state of one replica.
    exact = case["strategy"] == "default" or "checkpoints" in ways
    if exact:
        _compare(building.state_of(loaded), state, "loaded")
    if not ALL and case["strategy"] == "mirrored":
        # Eager steps of replicas take longest; tests/test_parallel.py has them after a checkpoint.
        return
    more, compiled = building.data_of(case, case["accumulation"]), model.train_function
    for each in (model, loaded):
        each.run_eagerly, each.train_function = True, None
        building.train(each, case, more, epochs=1)
    model.train_function = compiled
    then = building.state_of(loaded)
    if exact:
        _compare(then, building.state_of(model), "trained on")
    assert all(np.isfinite(value).all() for value in then.values()), "trains on to NaN"
    moved = [name for name in state if name.startswith("energy/") and state[name].ndim > 1]
    # The schedule ended at a rate of 0.
    for name in moved if "schedule" not in values_of(case, "callback") else []:
        assert np.abs(then[name] - state[name]).max() > 1e-6, f"{name} does not train on"


def _reload(case: dict, model, folder):
    with building.the_strategy(case["strategy"]).scope():
        if "keras" in values_of(case, "saving"):
            model.save(folder / "model.keras")
            return keras.models.load_model(folder / "model.keras")
        other = building.build(case)
        # Not the same weights, random state and buffer to begin with.
        for network in other.networks:
            network.set_weights([0.5 * value for value in network.get_weights()])
        if "weights_h5" in values_of(case, "saving"):
            model.save_weights(folder / "model.weights.h5")
            other.load_weights(folder / "model.weights.h5")
        else:
            step = training.Checkpoints(folder / "checkpoints", model).save()
            assert training.Checkpoints(folder / "checkpoints", other).restore() == step
        return other


def _compare(one: dict, other: dict, when: str) -> None:
    assert one.keys() == other.keys(), f"{when}: other groups of variables"
    apart = [name for name in one if not np.array_equal(one[name], other[name])]
    assert not apart, f"{when}: differs in {', '.join(apart)}"


def _check_saved_model(model, x, labels, folder) -> None:
    tf_febm.export(model, folder / "saved_model")
    served = tf.saved_model.load(str(folder / "saved_model"))
    given = {"x": tf.constant(x)}
    if labels is not None:
        numbers = labels if labels.ndim == 1 else labels.argmax(axis=1)
        given["labels"] = tf.constant(numbers, tf.int32)
    # Compiled and eager code round each in its own way, in 16 bits to some 1e-3.
    half = any(layer.compute_dtype != "float32" for layer in model.energy_network._flatten_layers())
    for name in ("energy", "score", "log_density_ratio"):
        if not hasattr(model, name):
            assert name not in served.signatures
            continue
        expected = getattr(model, name)(x, labels).numpy()
        found = served.signatures[name](**given)[name].numpy()
        np.testing.assert_allclose(
            found, expected, rtol=1e-5, atol=0.03 if half else 1e-5, err_msg=name
        )
    for name in ("class_log_probs", "marginal_energy") if model.conditional else ():
        found = served.signatures[name](x=given["x"])[name].numpy()
        expected = getattr(model, name)(x).numpy()
        np.testing.assert_allclose(
            found, expected, rtol=1e-5, atol=0.03 if half else 1e-5, err_msg=name
        )
    p = served.signatures["p_value"](**given)["p_value"].numpy()
    # As many ranks off as energies that are rounded otherwise.
    assert np.mean(np.abs(p - model.p_value(x, labels).numpy())) < (0.1 if half else 0.01)
    seed = tf.constant(5, tf.int64)
    drawn = served.signatures["sample"](num_samples=tf.constant(8), seed=seed)
    assert np.isfinite(drawn["samples"].numpy()).all(), "samples are not finite"
