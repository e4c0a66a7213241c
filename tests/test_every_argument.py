"""Every argument of everything public: bad values are refused by name, good ones pass.

`make fuzz` does it twenty thousand times, and over models, evaluation and training as well.
"""

import importlib
import inspect
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import arguments

# What has no decorator, and why.
LEFT = {
    "Recipe": "its fields have checks of their own, by name",
    "FeatureNetwork": "a protocol",
    "PixelQuality": "a result",
    "PlaneQuality": "a result",
    "SampleFigures": "a result",
    "SampleQuality": "a result",
    "GracefulStop": "no arguments",
    "ClippedAdam": "those of Keras' Adam",
    "FusedAdam": "those of Keras' Adam",
    "CachedWeightsLayer": "those of a Keras layer",
    "LabelScale": "those of a Keras layer",
    "LabelShift": "those of a Keras layer",
    "Modulation": "those of a Keras layer",
    "SumOfPlaces": "those of a Keras layer",
    "TriangularProduct": "those of a Keras layer",
}
PACKAGES = [name for name in tf_febm.__all__ if inspect.ismodule(getattr(tf_febm, name, None))]


def public():
    """Yield (name, object) of what the packages export and what can be called with arguments."""
    for package in [*PACKAGES, "analysis", "untrusted_files", "sklearn"]:
        module = importlib.import_module(f"tf_febm.{package}")
        for name in module.__all__:
            found = getattr(module, name)
            plain = inspect.isclass(found) and (issubclass(found, (tuple, Exception)))
            if not plain and getattr(found, "__module__", "").startswith("tf_febm"):
                yield name, found


def test_everything_public_is_checked():
    bare = {
        name
        for name, found in public()
        if not hasattr(found.__init__ if inspect.isclass(found) else found, "is_checked")
        and inspect.signature(found).parameters
    }
    assert bare - {"program_of"} == set(LEFT) & bare
    assert len(list(public())) > 200


# What no line of `drills/fuzz_*.py` calls: results, layers that networks make, what processes of
# one run tell one another, and what others of the table call with the same arguments.
NOT_FUZZED = {
    *("ArrayFile", "CachedWeightsLayer", "ComposedEnergy", "EnergyModel", "FeatureNetwork"),
    *("FusedAdam", "LabelScale", "LabelShift", "Modulation", "NoiseConditionalModel"),
    *("PixelQuality", "PlaneQuality", "Pretrained", "SampleFigures", "SampleQuality"),
    *("SumOfPlaces", "TriangularProduct", "VariationalModel", "all_gather", "all_reduce_sum"),
    *("any_worker", "barrier", "bracketed_log_partition", "cached_weights", "check_bytes"),
    *("check_depth", "check_pixels", "check_same", "check_spread", "classification_figures"),
    *("copy_first", "density_figure", "evaluate_rows", "for_each_local_replica", "from_first"),
    *("histogram_figure", "history_figure", "is_chief", "limited", "line_figure", "local", "lost"),
    *("marginal_figure", "model_classification", "one_batch", "opened", "power_iteration"),
    *("read_matlab", "read_pickle", "read_record", "refine_by_chains", "run_on_all"),
    *("spans_workers", "take_gradients_as_given", "unpack_gzip", "weight_shares"),
    *("worker_count", "worker_number", "worker_values", "write_record"),
}


def test_everything_public_is_fuzzed(project):
    table = "".join(path.read_text() for path in (project / "drills").glob("fuzz_*.py"))
    left = {
        name
        for name, found in public()
        if inspect.signature(found).parameters and not re.search(rf"\b{name}\b", table)
    }
    assert left == NOT_FUZZED


@pytest.fixture(scope="module")
def found():
    fuzz = pytest.importorskip("drills.fuzz", reason="hypothesis comes with the dev extra")
    from drills import fuzz_figures, fuzz_parts
    from drills.fuzz_calls import Calls

    parts = (fuzz_figures.of_mathematics, fuzz_parts.of_networks)
    with Calls(parts) as calls:
        return list(fuzz.run(240, calls)), fuzz


def test_a_part_of_the_fuzz(found):
    rows, fuzz = found
    faults = [row for row in rows if row[3] in fuzz.FAULTS]
    assert faults == []
    assert sum(row[3] == fuzz.OUTCOMES[0] for row in rows) > 150
    assert sum(row[3] == fuzz.OUTCOMES[5] for row in rows) > 5


def test_outcomes_are_told_apart():
    fuzz = pytest.importorskip("drills.fuzz")

    def raised(error):
        def call():
            raise error

        return fuzz.outcome(call, "width", False)[0]

    assert raised(ValueError("width must be 3")) == "in somebody else's words"
    assert raised(KeyError("width")) == "of another type"
    assert raised(tf.errors.InvalidArgumentError(None, None, "width")) == "raw graph error"
    assert fuzz.outcome(lambda: None, "width", False)[0] == "bad value taken"
    assert fuzz.outcome(lambda: None, "width", True)[0] == "good value taken"
    ours = fuzz.outcome(lambda: arguments.switch("width", 3), "width", False)
    assert ours[0] == "refused in our words"
    assert fuzz.outcome(lambda: arguments.switch("width", 3), "height", False)[0] == (
        "in somebody else's words"
    )


class TestKinds:
    @pytest.mark.parametrize("value", [10**30, -(10**30), 10**400])
    def test_numbers_beyond_all_types(self, value):
        with pytest.raises(ValueError, match="num_steps must be a whole number"):
            tf_febm.samplers.Langevin(num_steps=value)

    def test_long_values_are_shown_in_short(self):
        with pytest.raises(ValueError, match=r"received ndarray of shape \(100, 100\), dtype f"):
            tf_febm.samplers.Langevin(step_size=np.zeros((100, 100)))
        with pytest.raises(ValueError, match=r"… \(str\)") as raised:
            tf_febm.samplers.Langevin(step_size="x" * 10_000)
        assert len(str(raised.value)) < 300

    @pytest.mark.parametrize("value", ["01", (True, False), (0, np.inf), np.zeros(3), {0, 1}])
    def test_bounds(self, value):
        with pytest.raises(ValueError, match="bounds must be two finite numbers"):
            tf_febm.samplers.MALA(bounds=value)

    def test_each_is_checked_by_its_annotation(self):
        @arguments.checked
        def of_all(
            seed: arguments.Seed,
            flag: bool = True,
            names: tuple[str, ...] | None = None,
            *,
            width: int | float = 1,
        ):
            return seed, flag, names, width

        assert of_all((1, 2), names=["a"], width=np.float32(0.5))[1] is True
        for bad, message in (
            ({"seed": 1.5}, "a seed is an int or a pair of ints"),
            ({"seed": 1, "flag": "False"}, "flag must be True or False; received 'False'"),
            ({"seed": 1, "names": "abc"}, "names must be a sequence of strings or None"),
            ({"seed": 1, "width": "3"}, "width must be a whole number .* or a finite number"),
        ):
            with pytest.raises((ValueError, TypeError), match=message):
                of_all(**bad)

    def test_many_by_place(self):
        @arguments.checked
        def of_many(*models, weights: tuple[str, ...] = (), flag: bool = True):
            return models

        assert of_many(1, 2, 3, flag=False) == (1, 2, 3)
        with pytest.raises(ValueError, match="flag must be True or False"):
            of_many(1, 2, flag=3)

    def test_what_a_function_is_called_with_is_what_it_gets(self):
        given = object()
        assert arguments.checked(lambda model_of: model_of)(given) is given

    def test_of_a_graph(self):
        """Tensors that are not known yet are arrays and counts like others."""

        @tf.function
        def ratio(r):
            return tf_febm.objectives.variational_bound("js", r, r)

        assert np.isfinite(ratio(tf.zeros([3])))


def test_an_eager_history_of_no_step_is_empty():
    sampler = tf_febm.samplers.HMC(num_steps=0)
    result = sampler(lambda x: tf.reduce_sum(x, 1), tf.zeros([3, 2]), 0, return_diagnostics=True)
    assert result.energy.shape == (0, 3)

    @tf.function(input_signature=[tf.TensorSpec([None, 2])])
    def compiled(x):
        return tf_febm.samplers.Langevin(num_steps=0)(
            lambda x: tf.reduce_sum(x, 1), x, 0, return_diagnostics=True
        ).energy

    assert compiled(tf.zeros([3, 2])).shape == (0, 3)


def test_activations_that_there_are_not():
    with pytest.raises(ValueError, match="activation must be a function or the name of an"):
        tf_febm.networks.mlp(2, activation="no such")
    assert isinstance(tf_febm.networks.mlp(2, (3,), "relu"), keras.Model)
