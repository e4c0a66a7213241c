"""Every public object with settings comes back from its config, through JSON, the same.

A class that has `get_config` and no row in the table fails.
"""

import importlib
import inspect
import json
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import divergences, networks, optimizers, samplers
from tf_febm.analysis import mixture_rules, mixture_tails
from tf_febm.training.rates import ScaledFunction, ScaledSchedule

# Of classes that cannot be made: they say what their subclasses share.


@keras.saving.register_keras_serializable(package="tests")
def constant_rate():
    return 0.1


ABSTRACT = {
    "ChainlessModel",
    "EnergyModel",
    "NoiseConditionalModel",
    "Fitting",
    "GeneratorModel",
    "MeanOfEach",
    "Noticing",
    "CachedWeightsLayer",
    "Configured",
    "Sampler",
    "Saving",
    "SlowEnergyModel",
    "Steps",
    "SpectralLayer",
    "VariationalModel",
    "Scheduled",
    "_Hamiltonian",
}

IMAGES, VECTORS, LABELS = (None, 4, 4, 2), (None, 3), (None, 5)


def mlp(name):
    return networks.mlp(3, (4,), name=name)


# A class -> objects of it, with settings other than the defaults.
OBJECTS = {
    "Divergence": lambda: [
        divergences.get("kl"),
        divergences.get("alpha:-0.25"),
        divergences.get("js", log_ratio_clip=4.0),
    ],
    "Langevin": lambda: [
        samplers.Langevin(2.0, 0.1, 7, None, None, 0.3, False),
        samplers.Langevin(bounds=(-1.0, 2.0), dtype="bfloat16", num_parallel=2),
        samplers.Langevin.from_epsilon(0.01, 5, schedule="cosine", noise_schedule="linear"),
    ],
    "MALA": lambda: [samplers.MALA(0.2, 7, 3, 0.5, (0.0, 1.0), "cosine", "bfloat16", 2)],
    "HMC": lambda: [samplers.HMC(0.2, 4, 7, 3, 0.6, (0.0, 1.0), "linear", "bfloat16", 2)],
    "ParallelTempering": lambda: [
        samplers.ParallelTempering(0.2, 7, (1.0, 0.5), 3, 0.6, (0.0, 1.0), "linear", "bfloat16")
    ],
    "Preconditioned": lambda: [
        samplers.Preconditioned(
            samplers.Langevin(num_steps=3, bounds=None),
            networks.GaussianReference.from_moments([1.0, 2.0], [0.5, 3.0]),
        )
    ],
    "GaussianReference": lambda: [
        networks.GaussianReference("low_rank", noise=0.1, rank=2),
        networks.GaussianReference("full").adapt(np.random.default_rng(0).normal(size=(9, 2))),
    ],
    "Whiten": lambda: [
        networks.Whiten(
            networks.GaussianReference("spectral", rank=rank).adapt(
                np.random.default_rng(0).random((20, *IMAGES[1:]))
            )
        )
        for rank in (0, 2)
    ],
    "ReplayBuffer": lambda: [samplers.ReplayBuffer(7, 0.25, False, "float32")],
    "PersistentChains": lambda: [samplers.PersistentChains(7, 0.25, False)],
    "FusedAdam": lambda: [
        optimizers.FusedAdam(
            keras.optimizers.schedules.CosineDecay(0.1, 10, alpha=0.5),
            beta_1=0.5,
            global_clipnorm=2.0,
        )
    ],
    "ScaledSchedule": lambda: [
        ScaledSchedule(keras.optimizers.schedules.CosineDecay(0.1, 10), 0.5)
    ],
    "ScaledFunction": lambda: [ScaledFunction(constant_rate, 0.5)],
    "ClippedAdam": lambda: [optimizers.default(), optimizers.ClippedAdam(0.1, beta_2=0.9)],
    "SelfAttention": lambda: [networks.SelfAttention(units=1, dropout=0.25)],
    "LabelShift": lambda: [networks.LabelShift(name="a")],
    "IndexFeatures": lambda: [networks.IndexFeatures(3)],
    "Modulation": lambda: [networks.Modulation(name="a")],
    "SumOfPlaces": lambda: [networks.SumOfPlaces(name="a")],
    "LabelScale": lambda: [networks.LabelScale(name="a")],
    "QuadraticEnergy": lambda: [networks.QuadraticEnergy(mean=1.5, scale=2.5)],
    "SpectralConv2D": lambda: [
        networks.SpectralConv2D(3, 5, strides=2, bounded=True, use_bias=True)
    ],
    "Dense": lambda: [networks.Dense(3, activation="swish", use_bias=False)],
    "SpectralDense": lambda: [networks.SpectralDense(3, use_bias=False, bounded=True)],
    "Conv2D": lambda: [networks.Conv2D(3, 5, strides=2, padding="same", use_bias=False)],
    "FourierFeatures": lambda: [networks.FourierFeatures(4, 2.5, seed=3)],
    "MonotoneSum": lambda: [networks.MonotoneSum(3, seed=2)],
    "TriangularProduct": lambda: [networks.TriangularProduct()],
    "QuadraticConfinement": lambda: [networks.QuadraticConfinement(0.25)],
    "Standardise": lambda: [networks.Standardise([1.0, 2.0, 3.0], [0.5, 3.0, 1.0])],
    "BidirectionalEBM": lambda: [
        tf_febm.BidirectionalEBM(
            mlp("e"),
            networks.generator_mlp(2, (3,), (4,)),
            2,
            0.5,
            0.25,
            0.75,
            "logdet",
            entropy_iterations=3,
            penalty="data",
            l2_coeff=0.25,
            average_decay=0.5,
            seed=4,
        )
    ],
    "FEBM": lambda: [
        tf_febm.FEBM(
            mlp("e"),
            mlp("h"),
            "kl",
            variational_divergence="js",
            simultaneous=True,
            shift_invariant=True,
            sampler=samplers.Langevin(num_steps=3),
            buffer=samplers.ReplayBuffer(9),
            variational_steps=2,
            l2_coeff=0.5,
            variational_l2_coeff=0.75,
            leave_one_out=False,
            log_ratio_clip=3.0,
            warmup_steps=2,
            average_decay=0.5,
            seed=4,
            name="mine",
        )
    ],
    "DualFEBM": lambda: [tf_febm.DualFEBM(mlp("e"), mlp("h"), "alpha:0.5", warmup_steps=0)],
    "ContrastiveDivergence": lambda: [
        tf_febm.ContrastiveDivergence(
            mlp("e"), buffer=samplers.PersistentChains(9), initial="noise", l2_coeff=0.25
        )
    ],
    "PseudoSpherical": lambda: [
        tf_febm.PseudoSpherical(
            mlp("e"), 0.5, buffer=samplers.PersistentChains(9), initial="noise", l2_coeff=0.25
        )
    ],
    "ScoreMatching": lambda: [
        tf_febm.ScoreMatching(mlp("e"), "sliced", num_projections=2, l2_coeff=0.25, seed=4),
        tf_febm.ScoreMatching(mlp("e"), noise_stddev=0.3, average_decay=0.5, name="mine"),
    ],
    "EnergyDiscrepancy": lambda: [
        tf_febm.EnergyDiscrepancy(
            mlp("e"), 0.5, num_neighbours=3, stabilisation=0.5, l2_coeff=0.25, seed=4
        )
    ],
    "DeviationEnergy": lambda: [mixture_rules.DeviationEnergy(name="gaussian")],
    "TailsFEBM": lambda: [mixture_tails.TailsFEBM(mlp("e"), mlp("h"), "reverse_kl", seed=3)],
    "DensityRatio": lambda: [
        tf_febm.DensityRatio(mlp("r"), "kl", log_ratio_clip=3.0, name="ratio"),
        tf_febm.DensityRatio(mlp("r"), "alpha:-0.5"),
    ],
    "NoiseContrastive": lambda: [
        tf_febm.NoiseContrastive(
            mlp("e"),
            networks.GaussianReference.from_moments([1.0, 2.0, 3.0], [0.5, 3.0, 1.0]),
            "kl",
            sampler=samplers.Langevin(num_steps=3),
            noise_ratio=3,
            l2_coeff=0.5,
            log_ratio_clip=3.0,
            average_decay=0.5,
            seed=4,
            name="mine",
        )
    ],
    "MultiscaleScoreMatching": lambda: [
        tf_febm.MultiscaleScoreMatching(
            tf_febm.networks.mlp((3,), (4,), num_classes=4, name="e"),
            networks.GaussianReference.from_moments([1.0, 2.0, 3.0], [0.5, 3.0, 1.0]),
            levels=[0.3, 0.9, 2.0],
            num_classes=2,
            l2_coeff=0.5,
            class_weight_coeff=0.1,
            label_dropout=0.2,
            guidance=0.5,
            average_decay=0.5,
            seed=4,
            name="mine",
        )
    ],
    "Recovery": lambda: [
        tf_febm.Recovery(
            tf_febm.networks.mlp((3,), (4,), num_classes=2, name="e"),
            tf_febm.networks.mlp((6,), (4,), num_classes=2, name="h"),
            levels=[0.3, 0.9, 2.0],
            reference=networks.GaussianReference.from_moments([1.0, 2.0, 3.0], [0.5, 3.0, 1.0]),
            seed=4,
        ),
        tf_febm.Recovery(
            tf_febm.networks.mlp((3,), (4,), num_classes=4, name="e"),
            tf_febm.networks.mlp((6,), (4,), num_classes=4, name="h"),
            "kl",
            levels=[0.3, 0.9],
            center=[0.5, 0.0, 1.0],
            spread=2.0,
            chains_per_pair=3,
            num_classes=2,
            l2_coeff=0.5,
            log_ratio_clip=3.0,
            average_decay=0.5,
            seed=4,
            name="mine",
        ),
    ],
    "ComposedEnergy": lambda: [
        networks.ComposedEnergy(
            [mlp("e"), mlp("f")],
            "mixture",
            [0.3, 2.0],
            [None, networks.GaussianReference.from_moments([1.0, 2.0, 3.0], [0.5, 3.0, 1.0])],
            [None, None],
            [None, None],
            name="energy",
        ),  # fmt: skip
    ],
    "NormalisedEnergy": lambda: [networks.NormalisedEnergy(mlp("e"), name="normalised")],
}
INPUTS = {
    "LabelShift": (IMAGES, LABELS),
    "IndexFeatures": LABELS,
    "Modulation": (IMAGES, LABELS),
    "LabelScale": (IMAGES, LABELS),
    "Standardise": VECTORS,
    "Whiten": IMAGES,
    "ComposedEnergy": VECTORS,
    "DeviationEnergy": VECTORS,
    "NormalisedEnergy": VECTORS,
}


def every_class():
    """Return the classes of the package that have a config of their own or inherit one."""
    found = {}
    for module in pkgutil.walk_packages(tf_febm.__path__, "tf_febm."):
        for name, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if kind.__module__.startswith("tf_febm.") and hasattr(kind, "get_config"):
                found[name] = kind
    return found


def test_every_class_with_settings_has_a_row():
    assert every_class().keys() == OBJECTS.keys() | ABSTRACT


@pytest.mark.parametrize("name", OBJECTS)
def test_constructors_arguments_are_all_in_the_config(name):
    kind = every_class()[name]
    own = inspect.signature(kind.__init__).parameters.values()
    names = {p.name for p in own if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)} - {"self"}
    if name == "Divergence":
        names = {"name", "log_ratio_clip"}  # The rest are functions, which its name stands for.
    for made in OBJECTS[name]():
        assert names <= made.get_config().keys()


@pytest.mark.parametrize("name", OBJECTS)
def test_round_trip(name):
    for made in OBJECTS[name]():
        assert type(made).__name__ == name
        text = json.dumps(keras.saving.serialize_keras_object(made))
        again = keras.saving.deserialize_keras_object(json.loads(text))
        assert type(again) is type(made)
        assert json.dumps(keras.saving.serialize_keras_object(again)) == text
        same_class = type(made).from_config(made.get_config())
        assert json.dumps(keras.saving.serialize_keras_object(same_class)) == text


LAYERS = [
    name
    for name in OBJECTS
    if isinstance(getattr(networks, name, None), type)
    and issubclass(getattr(networks, name), keras.layers.Layer)
]


@pytest.mark.parametrize("name", LAYERS)
def test_layers_compute_the_same(name):
    for layer in OBJECTS[name]():
        again = type(layer).from_config(layer.get_config())
        vectors = isinstance(layer, (networks.QuadraticEnergy, networks.SpectralDense))
        shape = INPUTS.get(name, VECTORS if vectors else IMAGES)
        several = isinstance(shape[0], tuple)
        rng = np.random.default_rng(0)

        def example(shape, rng=rng):
            return tf.constant(rng.normal(size=(6, *shape[1:])), tf.float32)

        x = tuple(map(example, shape)) if several else example(shape)
        expected = layer(x)
        again(x)
        again.set_weights(layer.get_weights())
        np.testing.assert_array_equal(again(x), expected)


def test_a_divergence_is_known_by_its_name_alone():
    own = divergences.from_generator(lambda u: (u - 1) ** 2 / (u + 1), name="unregistered")
    with pytest.raises(ValueError, match="Unknown divergence 'unregistered'.*divergences.register"):
        divergences.Divergence.from_config(own.get_config())
    assert divergences.Divergence.from_config(divergences.get("kl").get_config()) is (
        divergences.get("kl")
    )
