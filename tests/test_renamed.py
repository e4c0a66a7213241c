"""Names from before version 0.2, which keep working with a warning that says the present one."""

import importlib
import inspect
import sys

import keras
import pytest

import tf_febm
from tf_febm import networks, samplers

EARLIER = {
    "tf_febm.data.testbeds": "tf_febm.data.toy_datasets",
    "tf_febm.data.toy_datasets.TestBed": "tf_febm.data.toy_datasets.ToyDataset",
    "tf_febm.distribution": "tf_febm.parallel",
    "tf_febm.guarded": "tf_febm.untrusted_files",
    "tf_febm.evaluation.charts.marginals_picture": "tf_febm.evaluation.charts.marginal_plots",
    "tf_febm.models.chain_pools.mixed_chain": "tf_febm.models.pooled_chains",
    "tf_febm.networks.units.QuadraticWell": "tf_febm.networks.QuadraticConfinement",
    "tf_febm.networks.units.confined": "tf_febm.networks.with_confinement",
    "tf_febm.training.numerical_checks.Trouble": "tf_febm.training.numerical_checks.Problem",
    "tf_febm.training.resharding.deal": "tf_febm.training.resharding.reshard",
    "tf_febm.networks.PreparedLayer": "tf_febm.networks.CachedWeightsLayer",
    "tf_febm.networks.QuadraticWell": "tf_febm.networks.QuadraticConfinement",
    "tf_febm.networks.activations.faster": "tf_febm.networks.activations.fused_activation",
    "tf_febm.networks.confined": "tf_febm.networks.with_confinement",
    "tf_febm.networks.prepared": "tf_febm.networks.cached_weights",
    "tf_febm.evaluation.marginals_picture": "tf_febm.evaluation.charts.marginal_plots",
    "tf_febm.evaluation.plane_picture": "tf_febm.evaluation.density_charts.density_plot",
    "tf_febm.parallel.total": "tf_febm.parallel.all_reduce_sum",
    "tf_febm.samplers.MixedSamples": "tf_febm.models.PooledSamples",
    "tf_febm.samplers.Standardised": "tf_febm.samplers.Preconditioned",
    "tf_febm.samplers.mixed_chain": "tf_febm.models.pooled_chains",
    "tf_febm.samplers.mixed_chain_pools": "tf_febm.models.pooled_chains_by_pool",
    "tf_febm.workers.together": "tf_febm.workers.run_on_all",
}


# Modules: the present one, and names that could be imported from the earlier one.
MODULES = {
    "tf_febm.data.testbed_densities": ("tf_febm.data.toy_densities", "checkerboard, moons"),
    "tf_febm.divergences.divergence": ("tf_febm.divergences.base", "Divergence"),
    "tf_febm.divergences.registry": ("tf_febm.divergences.base", "get, names, register"),
    "tf_febm.evaluation.keras_inception": ("tf_febm.evaluation.keras_networks", "KerasInception"),
    "tf_febm.evaluation.landscape": ("tf_febm.evaluation.density_charts", "plane_picture"),
    "tf_febm.evaluation.marginals": ("tf_febm.evaluation.charts", "marginals_picture"),
    "tf_febm.evaluation.squeezenet": ("tf_febm.evaluation.keras_networks", "SqueezeNet"),
    "tf_febm.networks.convolution_matrix": ("tf_febm.networks.convolution", "ConvolutionMatrix"),
    "tf_febm.networks.residual": ("tf_febm.networks.resnets", "residual_block"),
    "tf_febm.samplers.mixed_chain": (
        "tf_febm.models.chain_pools",
        "MixedSamples, mixed_chain, mixed_chain_pools",
    ),
    "tf_febm.samplers.standardised": ("tf_febm.samplers.preconditioned", "Standardised"),
    "tf_febm.training.buffers": ("tf_febm.training.resharding", "deal"),
    "tf_febm.training.health": (
        "tf_febm.training.numerical_checks",
        "chain_figures, examine, Limits, Trouble, worst",
    ),
    "tf_febm.data.testbeds": ("tf_febm.data.toy_datasets", "get, TestBed"),
    "tf_febm.guarded": ("tf_febm.untrusted_files", "opened, read_record"),
    "tf_febm.distribution": ("tf_febm.parallel", "batch_mean, make_strategy, total"),
    "tf_febm.networks.preparation": (
        "tf_febm.networks.cached_weights",
        "layers_of, prepared, PreparedLayer",
    ),
}


def found(path: str):
    """Return what a dotted path names, by attributes alone."""
    place = tf_febm
    for name in path.split(".")[1:]:
        place = getattr(place, name)
    return place


@pytest.mark.parametrize(("earlier", "present"), EARLIER.items())
def test_earlier_names_warn_and_work(earlier, present):
    with pytest.warns(DeprecationWarning, match="is now tf_febm"):
        assert found(earlier) is found(present)


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("way", ["import {0}", "from {0} import {1}", "from {0} import *"])
def test_earlier_modules_are_imported(module, way):
    present = importlib.import_module(MODULES[module][0])
    parent, _, last = module.rpartition(".")
    space = {}
    with pytest.warns(DeprecationWarning, match=f"^{module} is now {present.__name__}") as caught:
        exec(way.format(module, MODULES[module][1]), space)
    assert sys.modules[module] is present and present.__spec__.name == present.__name__
    # The warning is about the line that imports, not about the machinery.
    assert caught[0].filename == "<string>"
    if "*" in way:
        assert set(present.__all__) <= set(space)
    # As it was before, for the next way.
    del sys.modules[module]
    delattr(importlib.import_module(parent), last)


def test_every_alias_of_a_module_is_imported():
    from tf_febm import renamed

    whole = {name: place for name, place in renamed._MODULES.items() if isinstance(place, str)}
    assert {name: present for name, (present, _) in MODULES.items()} == whole


def test_a_module_that_became_part_of_another():
    """Its `read` is not that of the other."""
    from tf_febm.data import mnist, stacked

    with pytest.warns(DeprecationWarning, match="stacked.read is now tf_febm.data.mnist.read_stac"):
        assert stacked.read is mnist.read_stacked
    with pytest.warns(DeprecationWarning, match="is now"):
        assert stacked.CHANNELS == mnist.CHANNELS


def test_earlier_names_of_arguments_warn_and_work():
    from tf_febm.renamed import earlier_arguments

    @earlier_arguments({"bed": "toy_dataset"})
    def measured(toy_dataset, count=1):
        return toy_dataset, count

    with pytest.warns(DeprecationWarning, match=r"measured\(bed=…\) is now toy_dataset=…"):
        assert measured(bed=2, count=3) == (2, 3)
    assert measured(2) == (2, 1)
    parameters = inspect.signature(tf_febm.evaluation.plane_quality).parameters
    assert "toy_dataset" in parameters and "bed" not in parameters


def test_both_networks_of_a_checkpoint_at_once(monkeypatch):
    from tf_febm.legacy import loading

    networks_of = {}

    def two(path, **options):
        networks_of[path] = options
        return [tf_febm.networks.mlp(2, (3,), name=name) for name in ("energy", "variational")]

    monkeypatch.setattr(loading, "load_networks", two)
    with pytest.warns(DeprecationWarning, match=r"FEBM\(\*tf_febm.legacy.load_networks"):
        model = tf_febm.legacy.load_febm(
            "a", "resnet32", num_classes=3, network_options={"dropout": 0.5}, divergence="kl"
        )
    assert isinstance(model, tf_febm.FEBM) and model.divergence.name == "kl"
    assert networks_of == {"a": {"architecture": "resnet32", "num_classes": 3, "dropout": 0.5}}


def test_what_never_was_is_not_imported():
    with pytest.raises(ModuleNotFoundError, match="tf_febm.nothing"):
        importlib.import_module("tf_febm.nothing")


@pytest.mark.parametrize(
    "module", ["tf_febm", "tf_febm.networks", "tf_febm.samplers", "tf_febm.workers"]
)
def test_other_names_are_not_there(module):
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nothing'"):
        importlib.import_module(module).nothing  # noqa: B018


def test_models_saved_with_the_earlier_name_of_the_sampler_load():
    sampler = samplers.Preconditioned(
        samplers.Langevin(0.1, 0.1, 2),
        networks.GaussianReference.from_moments([0.0, 1.0], [1.0, 2.0]),
    )
    stored = keras.saving.serialize_keras_object(sampler)
    stored |= {"class_name": "Standardised", "registered_name": "tf_febm>Standardised"}
    stored["module"] = "tf_febm.samplers.standardised"
    assert isinstance(keras.saving.deserialize_keras_object(stored), samplers.Preconditioned)


def test_networks_saved_with_the_earlier_name_of_a_layer_load():
    stored = keras.saving.serialize_keras_object(networks.QuadraticConfinement(0.25))
    stored |= {"class_name": "QuadraticWell", "registered_name": "tf_febm>QuadraticWell"}
    layer = keras.saving.deserialize_keras_object(stored)
    assert type(layer) is networks.QuadraticConfinement and layer.strength == 0.25


def test_layers_with_the_earlier_names_of_methods_work():
    with pytest.warns(DeprecationWarning, match="Mine.prepare is now compute_weights"):

        class Mine(networks.CachedWeightsLayer):
            def prepare(self):
                return [2.0]

    layer = Mine()
    layer.built = True
    assert layer.prepared_weights() == [2.0]
    with networks.cached_weights(layer):
        assert layer.cached_weights() is layer.prepared_weights()
