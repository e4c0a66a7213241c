"""Models that are made of others, or come trained: how they go with samplers, files and precision.

They do not train as the methods of `pairwise.features` do, so that their pairs are of other axes.
"""

import keras
import numpy as np
import tensorflow as tf

import tf_febm
from pairwise import building
from pairwise.features import ALL
from tf_febm import compose, pretrained

__all__ = ["AXES", "RULES", "check"]

_COMPOSED = ("product", "mixture", "negation", "temper")
AXES = {
    "made": (*_COMPOSED, "density_ratio", "pretrained"),
    "sampler": (
        "own",
        "published",
        "langevin",
        "mala",
        "hmc",
        "parallel_tempering",
        "standardised",
    ),
    "saving": ("keras", "weights_h5", "saved_model"),
    "policy": ("float32", "mixed_bfloat16", "mixed_float16", "float64_data"),
}
if not ALL:
    # "product" and "mixture" are the two rules; the others are weights of the first of them.
    AXES["made"] = ("product", "mixture", "density_ratio", "pretrained")
    AXES["sampler"] = ("own", "hmc", "standardised")
    AXES["policy"] = ("float32", "mixed_float16", "float64_data")
RULES = (
    # It has no chains.
    (("made", {"density_ratio"}), ("sampler", {*AXES["sampler"]} - {"own"})),
    # Units of the plane.
    (("made", {"pretrained"}), ("sampler", {"standardised"})),
)
COUNT = 4


def parts():
    """Return two small models of the plane, one of them with a reference."""
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    reference = tf_febm.networks.GaussianReference().adapt(2.0 * x)
    found = []
    for given in ({"sampler": building.SAMPLERS["mala"]()}, {"reference": reference}):
        keras.utils.set_random_seed(7 + len(found))
        network = building.network("energy", 2, 1, 0.0)
        found.append(tf_febm.ContrastiveDivergence(network, seed=1, **given))
    return found


def made(case: dict):
    """Return the model of a case, with what it should say of x as a function of x."""
    kind = case["made"]
    if kind == "density_ratio":
        keras.utils.set_random_seed(7)
        model = tf_febm.DensityRatio(building.network("ratio", 2, 1, 0.0), "js")
        p, q = np.random.default_rng(1).normal(size=(2, 32, 2))
        dtype = np.float64 if case["policy"] == "float64_data" else np.float32
        model.compile(run_eagerly=True)
        model.fit((p + 1.0).astype(dtype), q.astype(dtype), batch_size=16, seed=0, verbose=0)
        return model, lambda x: model.network(x)[:, 0]
    sampler = None
    if case["sampler"] != "own":
        sampler = building.SAMPLERS[case["sampler"]]()
        sampler.bounds = (0.0, 1.0) if kind == "pretrained" else getattr(sampler, "bounds", None)
    if kind == "pretrained":
        model = pretrained.load("digits")
        if sampler is not None:
            model.sampler = sampler
        else:
            model.sampler.num_steps = 2
        return model, lambda x: model.energy_network(x)[:, 0]
    one, other = parts()
    options = {"sampler": sampler, "seed": 3}
    if kind == "product":
        model = compose.product(one, other, weights=[0.5, 2.0], **options)
        return model, lambda x: 0.5 * one.energy(x) + 2.0 * other.energy(x)
    if kind == "mixture":
        model = compose.mixture(one, other, weights=[0.25, 0.75], **options)

        def mixed(x):
            e, f = (np.asarray(m.energy(x), np.float64) for m in (one, other))
            return -np.logaddexp(np.log(0.25) - e, np.log(0.75) - f)

        return model, mixed
    if kind == "negation":
        return compose.negation(one, **options), lambda x: -one.energy(x)
    return compose.temper(one, 2.0, **options), lambda x: 0.5 * one.energy(x)


def check(case: dict, folder) -> None:
    """Make the model of a case, draw from it, write it and read it.

    Raises:
        AssertionError: Something is not as it should be.
    """
    with building.policy(case):
        model, expected = made(case)
        ratio = case["made"] == "density_ratio"
        says = (lambda m, x: m.log_ratio(x)) if ratio else (lambda m, x: m.energy(x))
        dtype = tf.float64 if case["policy"] == "float64_data" else tf.float32
        x = np.random.default_rng(2).random((COUNT, *model.sample_shape))
        found = says(model, x.astype(dtype.as_numpy_dtype))
        x = x.astype(np.float32)
        assert found.dtype == tf.float32
        # Weights of 16 bits are rounded alike on either way; sums of energies are not.
        np.testing.assert_allclose(found, expected(x), rtol=1e-4, atol=1e-4)
        half = case["policy"].startswith("mixed")
        loose = {"rtol": 1e-5, "atol": 0.05 if half else 1e-5}
        if not ratio:
            model.calibrate(x)
            _check_samples(model)
        if case["saving"] == "saved_model":
            tf_febm.export(model, folder / "served")
            served = tf.saved_model.load(str(folder / "served")).signatures
            name = "log_density_ratio" if ratio else "energy"
            for signature in (name, "serving_default"):
                np.testing.assert_allclose(
                    served[signature](x=tf.constant(x))[name], says(model, x), **loose
                )
            assert ratio or served["sample"](
                num_samples=tf.constant(COUNT), seed=tf.constant(5, tf.int64)
            )["samples"].shape == (COUNT, *model.sample_shape)
            return
        loaded = _reload(case, model, folder)
        np.testing.assert_array_equal(says(loaded, x), says(model, x))
        if not ratio:
            np.testing.assert_array_equal(loaded.p_value(x), model.p_value(x))
            np.testing.assert_array_equal(loaded.sample(COUNT, seed=5), model.sample(COUNT, seed=5))


def _check_samples(model) -> None:
    x = model.sample(COUNT, seed=5).numpy()
    assert x.shape == (COUNT, *model.sample_shape) and np.isfinite(x).all()
    np.testing.assert_array_equal(x, model.sample(COUNT, seed=5))
    score = model.score(x).numpy()
    assert score.shape == x.shape and np.isfinite(score).all()
    if model.bounds is not None:
        assert model.bounds[0] <= x.min() and x.max() <= model.bounds[1]


def _reload(case: dict, model, folder):
    if case["saving"] == "keras":
        model.save(folder / "model.keras")
        return keras.models.load_model(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    other = made(case)[0]
    for network in other.evaluated_networks:
        network.set_weights([0.5 * value for value in network.get_weights()])
    other.load_weights(folder / "model.weights.h5")
    return other
