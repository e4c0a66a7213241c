"""The contract of every network and generator of the catalogue, built by its name."""

import ast
import inspect
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from every_network import energies_and_scores, stirred

from tf_febm import catalogue, networks

CLASSES, LATENT = 3, 4
# The smallest images that a network takes; vectors have two entries.
SIDES = {"resnet128": 32}
CASES = [
    (name, kind)
    for name, row in catalogue.NETWORKS.items()
    for kind in ("images", "vectors")
    if row.kind in (kind, "both")
]
# Longer tables of plans than that of resnet32, whose layers and builder are theirs; what they
# compute is tested in tests/legacy.
PLANS = ("resnet32_large", "resnet32_larger", "resnet32_wider")
GENERATORS = [
    (name, kind)
    for name, row in catalogue.GENERATORS.items()
    for kind in ("images", "vectors")
    if row.kind in (kind, "both")
]


def shape_of(name, kind):
    side = SIDES.get(name, 8)
    return (side, side, 1) if kind == "images" else (2,)


def build(network, kind, everything=True, **settings):
    """Return a small network, with all that its line of the catalogue says it has."""
    row = catalogue.NETWORKS[network]
    if everything:
        full = {"num_classes": CLASSES, "use_attention": True, "frequency": 2.0}
        if "whiten" in row.options:
            images = np.random.default_rng(1).random((50, *shape_of(network, kind)))
            full["whiten"] = networks.GaussianReference("spectral", rank=2).adapt(images)
        settings |= {option: full[option] for option in row.options}
    return networks.build(network, shape_of(network, kind), 4, **settings)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(*case, marks=pytest.mark.thorough) if case[0] in PLANS else case
        for case in CASES
    ],
)
def test_energies_scores_labels_and_files(name, kind, tmp_path):
    """One number an example, of it and its label alone; a file holds the same network."""
    keras.utils.set_random_seed(0)
    network = stirred(build(name, kind, name="energy"))
    x = tf.constant(np.random.default_rng(0).random((3, *shape_of(name, kind))), tf.float32)
    conditional = "num_classes" in catalogue.NETWORKS[name].options
    labels = tf.one_hot([0, 1, 2], CLASSES)
    inputs = (x, labels) if conditional else x
    energy, score = energies_and_scores(network, inputs)
    assert energy.shape == (3, 1) and network.name == "energy"
    assert np.isfinite(score).all() and (np.abs(score) > 0).mean() > 0.9
    one = (x[1:2], labels[1:2]) if conditional else x[1:2]
    # Energies are sums of numbers of order one, which may cancel: rounding is that of these.
    np.testing.assert_allclose(network(one), energy[1:2], rtol=1e-4, atol=1e-6)
    if conditional:
        others = network((x, tf.roll(labels, 1, axis=0)))
        assert (np.abs(others - energy) > 1e-5 * np.abs(energy)).all()
    if name in PLANS:
        return
    network.save(tmp_path / "n.keras")
    loaded = keras.models.load_model(tmp_path / "n.keras")
    np.testing.assert_array_equal(loaded(inputs), energy)
    configurations = [[layer.get_config() for layer in n.layers] for n in (loaded, network)]
    assert configurations[0] == configurations[1]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_under_other_settings_of_keras(name, kind, keras_settings):
    """Without any option, under a mixed policy and channels first: as shaped, in float32."""
    keras_settings.set_dtype_policy("mixed_bfloat16")
    keras_settings.set_image_data_format("channels_first")
    network = build(name, kind, everything=False)
    shape = shape_of(name, kind)
    assert network.input_shape == (None, *shape)
    assert network.output.dtype == "float32" and network.output.shape == (None, 1)
    assert {w.dtype for w in network.weights} == {"float32"}


@pytest.mark.parametrize(("name", "kind"), GENERATORS)
def test_generators(name, kind, tmp_path):
    batch_norm = kind == "images"
    shape = (2, 2, 1) if name in ("coupling", "monotone") else (8, 8, 1)
    shape = shape if kind == "images" else (LATENT,)
    generator = networks.build_generator(
        name, LATENT, shape, 4, batch_norm=batch_norm, output_activation="sigmoid"
    )
    assert generator.name == "generator" and generator.input_shape == (None, LATENT)
    has_norm = any("BatchNorm" in type(layer).__name__ for layer in generator.layers)
    # Images of 8×8 are doubled once by the convolutional ones.
    assert has_norm == (batch_norm and "batch_norm" in catalogue.GENERATORS[name].options)
    z = tf.random.stateless_normal([3, LATENT], (0, 1))
    with tf.GradientTape() as tape:
        tape.watch(z)
        x = generator(z)
    assert x.shape == (3, *shape) and np.isfinite(tape.gradient(x, z)).all()
    if "output_activation" in catalogue.GENERATORS[name].options or kind == "images":
        assert np.min(x) >= 0.0 and np.max(x) <= 1.0
    if kind == "vectors" and (name, "images") in GENERATORS:
        return  # The layers are the same.
    generator.save(tmp_path / "g.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "g.keras")(z), x)


def test_lines_say_what_the_functions_take():
    """Shape, width, options and name by the words that `build` knows; defaults are theirs."""
    common = {"image_shape", "input_shape", "num_filters", "hidden_units", "activation", "name"}
    optional = {"num_classes", "use_attention", "frequency", "whiten"}
    for name, row in catalogue.NETWORKS.items():
        parameters = inspect.signature(networks.get(name)).parameters
        assert len(parameters.keys() & common) >= 3, name
        assert parameters.keys() & optional == set(row.options), name
        if name.startswith("resnet"):
            assert parameters["num_filters"].default == row.default_width
    for name, row in catalogue.GENERATORS.items():
        parameters = inspect.signature(networks.get_generator(name)).parameters
        assert {"latent_dim", "output_shape", "name"} < parameters.keys(), name
        assert parameters.keys() & {"batch_norm", "output_activation"} == set(row.options), name
        assert bool(row.default_width) == bool(parameters.keys() & common - {"activation", "name"})


def test_names_and_public_functions():
    assert tuple(catalogue.NETWORKS) == networks.NAMES
    assert tuple(catalogue.GENERATORS) == networks.GENERATOR_NAMES
    # A line alone makes a network; whether it has a name in `networks` too is another matter.
    for name in {*networks.NAMES} & {*networks.__all__}:
        assert networks.get(name) is getattr(networks, name)
    for name in networks.GENERATOR_NAMES:
        if f"generator_{name}" in networks.__all__:
            assert networks.get_generator(name) is getattr(networks, f"generator_{name}")


def test_the_file_needs_the_standard_library_alone():
    """It is read before TensorFlow is imported."""
    tree = ast.parse(Path(catalogue.__file__).read_text(encoding="utf-8"))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names


def test_the_default_width_and_swish():
    assert networks.build("mlp", (2,)).layers[1].units == 256
    assert networks.build("mlp", (2,)).layers[1].activation is networks.activations.swish
    assert networks.build_generator("mlp", 2, (3,)).layers[1].units == 256


def test_vectors_in_raw_units_and_confined():
    mean, scale = np.array([100.0, -3.0]), np.array([20.0, 0.5])
    settings = {"mean": mean, "scale": scale, "confinement": 0.7}
    network = networks.build("mlp", (2,), 4, name="energy", **settings)
    inner = networks.build("mlp", (2,), 4)
    inner.set_weights(network.get_weights())
    z = np.random.default_rng(0).normal(size=(5, 2))
    expected = inner(z.astype("float32")).numpy()[:, 0] + 0.35 * np.square(z).sum(axis=1)
    found = network((mean + scale * z).astype("float32"))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4, atol=1e-4)
    # A network that is published for raw units stays in them.
    assert len(networks.build("published_bounds", (2,), 4, mean=mean, scale=scale).layers) == 7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: networks.get("resnet50"), "name must be one of conv, .*received 'resnet50'"),
        (lambda: networks.get_generator("vae"), "name must be one of mlp, .*received 'vae'"),
        (lambda: networks.build("vae", (2,)), "network must be one of"),
        (
            lambda: networks.build("fourier_mlp", (8, 8, 1)),
            r"'fourier_mlp' is for vectors; received shape \(8, 8, 1\): images take conv, mlp",
        ),
        (
            lambda: networks.build("conv", (8, 8, 1), use_attention=True),
            "'conv' takes no use_attention; received use_attention=True, which is for resnet32,",
        ),
        (lambda: networks.build("mlp", (2,), frequency=1.0), "takes no frequency.*for fourier_mlp"),
        (lambda: networks.build("published_bounds", (2,), num_classes=3), "takes no num_classes"),
        (lambda: networks.build("published_bounds", (2,), confinement=1.0), "no confinement"),
        (lambda: networks.build("mlp", (2,), 0), "hidden_units"),
        (lambda: networks.build("mlp", (2,), mean=[0.0, 0.0]), "mean and scale"),
        (lambda: networks.build_generator("dcgan", 2, (2,)), "vectors take mlp, coupling"),
        (lambda: networks.build_generator("coupling", 2, (3,)), "latent_dim=2 for shape"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
