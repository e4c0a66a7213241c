"""Exported models give the model's own numbers, alone."""

import contextlib
import inspect
import io
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import flagsaver
from served_models import MODELS, SEED, N, examples_for, nets, settings
from tensorflow.python.tools import saved_model_cli

import tf_febm


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Export every model, let one process without the libraries evaluate them all.

    Returns name -> (model, what that process computed).
    """
    root = tmp_path_factory.mktemp("exported")
    models = {}
    for name, build in MODELS.items():
        keras.utils.set_random_seed(5)
        model = models[name] = build()
        tf_febm.export(model, root / name / "model")
        x, labels = examples_for(model)
        given = {"x": x, "num_samples": np.int32(N), "seed": np.int64(SEED)}
        if labels is not None:
            given["labels"] = labels
        np.savez(root / name / "inputs.npz", **given)
    script = Path(__file__).with_name("without_libraries.py")
    command = [sys.executable, str(script), *(str(root / name) for name in models)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    outputs = {name: dict(np.load(root / name / "outputs.npz")) for name in models}
    return {name: (models[name], outputs[name], root / name / "model") for name in models}


@pytest.mark.parametrize("name", MODELS)
class TestSavedModel:
    def test_numbers_without_the_libraries(self, exported, name):
        model, found, _ = exported[name]
        x, labels = examples_for(model)
        expected = {
            "energy|energy": model.energy(x, labels),
            "serving_default|energy": model.energy(x, labels),
            "score|score": model.score(x, labels),
            "sample|samples": model.sample(N, seed=SEED),
        }
        if hasattr(model, "log_density_ratio"):
            expected["log_density_ratio|log_density_ratio"] = model.log_density_ratio(x, labels)
        if labels is not None:
            drawn = model.sample_batch(N, seed=SEED)
            expected["sample|labels"] = drawn.labels
            expected["sample_labels|samples"] = model.sample(N, labels, seed=SEED)
            expected["sample_labels|labels"] = labels
            for name in ("class_log_probs", "marginal_energy"):
                expected[f"{name}|{name}"] = getattr(model, name)(x)
        assert {key for key in found if "|" in key} == expected.keys()
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, atol=1e-5, err_msg=key)
        assert np.ptp(found["energy|energy"]) > 1e-3, "energies that do not differ show nothing"

    def test_only_the_networks_are_in_it(self, exported, name):
        model, _, path = exported[name]
        stored = dict(tf.train.list_variables(str(path / "variables" / "variables")))
        shapes = sorted(tuple(s) for n, s in stored.items() if "VARIABLE_VALUE" in n)
        assert shapes == sorted(
            tuple(v.shape) for network in model.networks for v in network.variables
        )
        graph = (path / "saved_model.pb").read_bytes()
        for word in (b"replica", b"Mirrored", b"replay_buffer", b"keras_metadata", b"_adam"):
            assert word not in graph, word

    def test_any_batch_size(self, exported, name):
        model, found, _ = exported[name]
        x, labels = examples_for(model)
        for count in (1, 2):
            part = None if labels is None else labels[:count]
            energy = found[f"energy of {count}"]
            np.testing.assert_allclose(energy, model.energy(x[:count], part), atol=1e-5)


def test_bad_inputs_are_named_by_the_exported_model(exported):
    model, _, path = exported["febm_of_labels"]
    signatures = tf.saved_model.load(str(path)).signatures
    x, _ = examples_for(model)
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels must lie in 0 … 2"):
        signatures["energy"](x=tf.constant(x), labels=tf.constant([0, 1, 2, 3, 0]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="num_samples must be at least 1"):
        signatures["sample"](num_samples=tf.constant(0), seed=tf.constant(1, tf.int64))


def test_steps_of_the_chains_can_be_chosen(tmp_path):
    model = MODELS["febm"]()
    tf_febm.export(model, tmp_path / "m", num_steps=7)
    sample = tf.saved_model.load(str(tmp_path / "m")).signatures["sample"]
    samples = sample(num_samples=tf.constant(3), seed=tf.constant(-2, tf.int64))["samples"]
    np.testing.assert_allclose(samples, model.sample(3, seed=-2, num_steps=7), atol=1e-5)
    assert np.abs(samples - model.sample(3, seed=-2)).max() > 1e-3


def test_steps_refine_what_a_generator_makes(tmp_path):
    model = MODELS["bidirectional"]()
    tf_febm.export(model, tmp_path / "m", num_steps=7)
    sample = tf.saved_model.load(str(tmp_path / "m")).signatures["sample"]
    samples = sample(num_samples=tf.constant(3), seed=tf.constant(2, tf.int64))["samples"]
    np.testing.assert_allclose(samples, model.sample(3, seed=2, refine_steps=7), atol=1e-5)
    assert np.abs(samples - model.sample(3, seed=2)).max() > 1e-3


def test_averaged_weights_are_exported_inside_their_context(images, tmp_path):
    model = tf_febm.FEBM(*nets(), **settings(average_decay=0.5))
    # Two steps, for which a trace would take longer.
    model.compile(run_eagerly=True)
    model.fit(images, batch_size=32, verbose=0)
    with model.averaged_weights():
        tf_febm.export(model, tmp_path / "m")
        averaged = model.energy(images)
    energy = tf.saved_model.load(str(tmp_path / "m")).signatures["energy"]
    found = energy(x=tf.constant(images))["energy"]
    np.testing.assert_allclose(found, averaged, atol=1e-5)
    assert np.abs(found - model.energy(images)).max() > 1e-4


def test_saved_model_cli(exported, tmp_path):
    """`show` and `run` of TensorFlow's own tool, in this process."""
    model, _, path = exported["febm_of_labels"]
    x, labels = examples_for(model)
    np.savez(tmp_path / "given.npz", x=x, labels=labels)
    of_file = f"x={tmp_path}/given.npz[x];labels={tmp_path}/given.npz[labels]"
    serve = ["--tag_set=serve", f"--outdir={tmp_path}"]
    for words in (
        ["show", "--all"],
        ["run", *serve, "--signature_def=serving_default", f"--inputs={of_file}"],
        ["run", *serve, "--signature_def=sample", "--input_exprs=num_samples=3;seed=5"],
    ):
        with contextlib.redirect_stdout(io.StringIO()) as printed, flagsaver.flagsaver():
            arguments = saved_model_cli.create_parser().parse_args([*words, f"--dir={path}"])
            # Newer ones look at absl's flags, which the parser has set.
            given = (arguments,) if inspect.signature(arguments.func).parameters else ()
            arguments.func(*given)
        if words[0] == "show":
            shown = printed.getvalue()
    for name in ("energy", "score", "log_density_ratio", "sample", "serving_default"):
        assert f"signature_def['{name}']" in shown
    assert "shape: (-1, 4, 4, 1)" in shown
    found = np.load(tmp_path / "energy.npy")
    np.testing.assert_allclose(found, model.energy(x, labels), atol=1e-5)
    assert np.load(tmp_path / "samples.npy").shape == (3, 4, 4, 1)


class TestBadTargets:
    @pytest.mark.parametrize("kind", ["folder", "file", "broken_link"])
    def test_what_is_there_stays(self, tmp_path, kind):
        path = tmp_path / "m"
        if kind == "folder":
            path.mkdir()
            (path / "precious").write_text("mine")
        elif kind == "file":
            path.write_text("mine")
        else:
            path.symlink_to(tmp_path / "nowhere")
        with pytest.raises(FileExistsError, match="m exists; remove it or choose"):
            tf_febm.export(MODELS["febm"](), path)
        assert [p.name for p in tmp_path.iterdir()] == ["m"]
        if kind == "folder":
            assert (path / "precious").read_text() == "mine"

    def test_below_a_file(self, tmp_path):
        (tmp_path / "file").write_text("mine")
        with pytest.raises(OSError, match="Cannot write to .*: .*(directory|file)"):
            tf_febm.export(MODELS["febm"](), tmp_path / "file" / "m")

    def test_an_unbuilt_model(self, tmp_path):
        network = keras.Sequential([keras.layers.Dense(1)])
        model = tf_febm.ContrastiveDivergence(network)
        with pytest.raises(ValueError, match="fit it or call model.build first"):
            tf_febm.export(model, tmp_path / "m")
        assert list(tmp_path.iterdir()) == []

    def test_no_model(self, tmp_path):
        with pytest.raises(TypeError, match="model must be a model of this library"):
            tf_febm.export(nets()[0], tmp_path / "m")

    def test_an_unknown_format(self, tmp_path):
        with pytest.raises(ValueError, match="saved_model, onnx, tflite; received 'pickle'"):
            tf_febm.export(MODELS["febm"](), tmp_path / "m", "pickle")

    def test_a_failure_leaves_nothing(self, tmp_path):
        model = MODELS["febm"]()

        class Broken(tf_febm.samplers.Langevin):
            def __call__(self, *args, **options):
                raise RuntimeError("no chain today")

        model.sampler = Broken()
        with pytest.raises(RuntimeError, match="no chain today"):
            tf_febm.export(model, tmp_path / "new" / "folder" / "m")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_without_permission(self, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(OSError, match="Cannot write to"):
            tf_febm.export(MODELS["febm"](), tmp_path / "m")
