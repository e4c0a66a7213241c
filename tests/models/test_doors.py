"""What enters `fit` and could only give nonsense is said before the first step, in one line."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm

RNG = np.random.default_rng(0)
SECONDS = 1.6e9 + RNG.uniform(-100, 100, 64)
TABLE = np.stack([RNG.normal(size=64), SECONDS], axis=1)
IMAGES = RNG.random((64, 4, 4, 1)).astype(np.float32)


def model_of(shape, bounds=None, eager=True, **settings):
    sampler = tf_febm.samplers.Langevin.from_epsilon(0.1, num_steps=1, bounds=bounds)
    network = tf_febm.networks.mlp(shape, (4,), "swish")
    model = tf_febm.ContrastiveDivergence(network, sampler=sampler, **settings)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=eager)
    return model


def fails(kind, message, function, *arguments, **options):
    with pytest.raises(kind, match=message) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "x", [TABLE, TABLE.astype(np.float32), np.rint(TABLE).astype(np.int64), tf.constant(TABLE)]
)
def test_columns_that_float32_cannot_hold(x):
    message = "x: column 2 varies by .* beside 1.6e.*09, .* subtract that"
    fails(ValueError, message, model_of(2).fit, x, verbose=0)


def test_batches_that_have_been_rounded_to_float32():
    """1.6e9 ± 100 is 3 to 4 distinct values there; 1e20 has squares that overflow."""
    rounded = TABLE.astype(np.float32)
    batches = tf.data.Dataset.from_tensor_slices(rounded).batch(32)
    fails(ValueError, "bad batch: .*subtract that, in float64", model_of(2).fit, batches, verbose=0)
    large = tf.data.Dataset.from_tensor_slices(1e20 + 0 * rounded).batch(4)
    fails(ValueError, "bad batch: .*beyond 1e.15", model_of(2).fit, large, verbose=0)


def test_bounds_do_not_make_vectors_fine():
    model = model_of(2, bounds=(-10.0, 2e9))
    fails(ValueError, "column 2 varies by .* subtract that", model.fit, TABLE, verbose=0)
    batches = tf.data.Dataset.from_tensor_slices(TABLE).batch(32)
    fails(ValueError, "bad batch: .*subtract that, in float64", model.fit, batches, verbose=0)
    fails(ValueError, "column 2 varies by .* subtract that", model.energy, TABLE)


def test_what_is_scored_is_looked_at_as_well():
    model = model_of(2)
    for score in (model.energy, model.score, model.predict):
        fails(ValueError, "column 2 varies by .* subtract that", score, TABLE)
    ood_scores = tf_febm.applications.ood_scores
    fails(ValueError, "column 2 varies by .* subtract that", ood_scores, model, TABLE)


@pytest.mark.parametrize("x", [{"x": TABLE}, {"a": 1, "b": 2}])
def test_dictionaries_are_named_by_their_keys(x):
    """As examples and as labels, wherever they enter."""
    key = repr(next(iter(x)))
    plain, model = model_of(2), model_of(2)
    ood_scores = tf_febm.applications.ood_scores
    for function in (plain.energy, plain.score, plain.predict, lambda x: ood_scores(plain, x)):
        fails(TypeError, f"keys {key}", function, x)
    networks = tf_febm.networks.mlp(2, (4,), "swish", num_classes=2)
    sampler = tf_febm.samplers.Langevin(num_steps=1, bounds=None)
    model = tf_febm.ContrastiveDivergence(networks, sampler=sampler)
    model.compile(keras.optimizers.SGD(0.0))
    points = TABLE[:, :1].repeat(2, 1).astype(np.float32)
    fails(TypeError, f"labels must be .* keys {key}", ood_scores, model, points, x)
    fails((TypeError, ValueError), f"labels must be .*{key}", model.energy, points, x)


def test_batches_of_float64_that_float32_cannot_hold():
    # What is refused within a step is in one line also where it is compiled, as here.
    model = model_of(2, eager=False)
    batches = tf.data.Dataset.from_tensor_slices(TABLE).batch(32)
    fails(ValueError, "bad batch: .*subtract that, in float64", model.fit, batches, verbose=0)
    centred = TABLE - TABLE.mean(axis=0)
    for data in (centred, tf.data.Dataset.from_tensor_slices(centred).batch(32)):
        history = model.fit(data, verbose=0).history
        assert np.isfinite(history["energy_data"]).all()


def test_a_large_column():
    x = TABLE - TABLE.mean(axis=0)
    x[:, 0] *= 1e20
    fails(ValueError, "x: column 1 has values up to .*e\\+20", model_of(2).fit, x, verbose=0)


def test_held_out_data():
    """Keras would find these at the end of the first epoch."""
    model, x = model_of(2), TABLE - TABLE.mean(axis=0)
    message = r"validation_data must have examples of shape \(2,\); received \(3,\)"
    fails(ValueError, message, model.fit, x, validation_data=(np.zeros((9, 3)),), verbose=0)
    message = "validation_data: column 2 varies by .* subtract that"
    fails(ValueError, message, model.fit, x, validation_data=(TABLE,), verbose=0)


@pytest.mark.parametrize("built", [False, True])
def test_dictionaries(built):
    model = model_of((4, 4, 1), (0.0, 1.0))
    if built:
        model.build((None, 4, 4, 1))
    examples = {"image": np.zeros((8, 4, 4, 1), np.uint8), "label": np.arange(8)}
    batches = tf.data.Dataset.from_tensor_slices(examples).batch(4)
    message = r"x must be arrays; received dictionaries with the keys 'image', 'label': let it.*map"
    fails(TypeError, message, model.fit, batches, verbose=0)
    message = r"keys 'image', 'label': give the array itself, as x\['image'\]"
    fails(TypeError, message, model.fit, examples, verbose=0)
    message = "validation_data must be arrays; received dictionaries"
    fails(TypeError, message, model.fit, IMAGES, validation_data=batches, verbose=0)
    # What the message says to do works.
    model.fit(batches.map(lambda e: tf.cast(e["image"], tf.float32) / 255), verbose=0)


@pytest.mark.parametrize(
    ("x", "warned"),
    [(IMAGES / 255, True), (16 * IMAGES / 256, True), (0 * IMAGES, True), (IMAGES, False)],
)
def test_images_that_are_nearly_black(recwarn, x, warned):
    model_of((4, 4, 1), (0.0, 1.0)).fit(x, verbose=0)
    found = [str(w.message) for w in recwarn if "has no value above" in str(w.message)]
    assert len(found) == warned


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1.0, 2.0]] * 500, "x must be an array, .* received list of 500"),
        ([1.0] * 500, "received list of 500"),
        ((1.0, 2.0), "received tuple of 2"),
        ([], "received list of 0"),
        (3, "received int"),
        ("data.npz", "received str"),
        ([np.zeros(2, "float32")] * 500, r"list of 500: give numpy.stack\(x\)"),
        ((np.zeros(2, "float32"),) * 500, r"tuple of 500: give numpy.stack\(x\)"),
    ],
)
def test_what_is_no_array_is_named_and_not_printed(x, message):
    model = model_of(2)
    with pytest.raises(TypeError, match=message) as raised:
        model.fit(x, verbose=0)
    assert len(str(raised.value)) < 200
