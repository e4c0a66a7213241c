"""Where weights come from: arrays, streams, classes; and what is refused, in one line."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm

X = np.random.default_rng(0).normal(size=(16, 2)).astype("float32")
WEIGHTS = np.linspace(0.5, 1.5, 16).astype("float32")
LABELS = (np.arange(16) % 2).astype("int32")


class Batches(keras.utils.PyDataset):
    def __init__(self):
        super().__init__()
        self.ends = 0

    def __len__(self):
        return 2

    def __getitem__(self, i):
        part = slice(8 * i, 8 * i + 8)
        return X[part], None, WEIGHTS[part]

    def on_epoch_end(self):
        self.ends += 1


def model_of(fixed_sampler, classes=None):
    keras.utils.set_random_seed(1)
    network = tf_febm.networks.mlp(2, (4,), num_classes=classes)
    model = tf_febm.ContrastiveDivergence(network, sampler=fixed_sampler(X[:8]), seed=0)
    # What reaches a step is the point here, not the step and how it is compiled.
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    return model


def test_streams_without_labels_may_have_weights(fixed_sampler):
    """A PyDataset and a generator of (x, None, weights) train as a tf.data.Dataset does."""
    rows = Batches()

    def generator():
        while True:
            yield from (rows[0], rows[1])

    dataset = tf.data.Dataset.from_tensor_slices((X, np.zeros((16, 0)), WEIGHTS)).batch(8)
    found = []
    for data, steps in ((dataset, None), (rows, None), (generator(), 2)):
        model = model_of(fixed_sampler)
        model.fit(data, steps_per_epoch=steps, shuffle=False, verbose=0)
        found.append(model.energy_network.get_weights())
    assert rows.ends
    for other in found[1:]:
        for first, second in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(first, second)
    assert np.isfinite(model.evaluate(rows, return_dict=True, verbose=0)["loss"])


@pytest.mark.parametrize("kind", ["dataset", "PyDataset"])
def test_held_out_streams_without_labels_may_have_weights(kind, fixed_sampler):
    data = Batches()
    if kind == "dataset":
        data = tf.data.Dataset.from_tensor_slices((X, WEIGHTS)).batch(8)
        data = data.map(lambda x, weights: (x, None, weights))
    model = model_of(fixed_sampler)
    history = model.fit(X, batch_size=8, validation_data=data, verbose=0)
    expected = model.evaluate(X, sample_weight=WEIGHTS, batch_size=8, return_dict=True, verbose=0)
    assert history.history["val_energy_data"][0] == pytest.approx(expected["energy_data"], rel=1e-5)
    found = model.evaluate(data, return_dict=True, verbose=0)
    assert found["energy_data"] == pytest.approx(expected["energy_data"], rel=1e-5)


def test_the_level_of_weights_does_not_matter_in_evaluation(fixed_sampler):
    model = model_of(fixed_sampler)
    expected = np.average(model.energy(X), weights=WEIGHTS)
    for level in (1e-42, 1.0, 1e30):
        weights = WEIGHTS.astype("float64") * level
        logs = model.evaluate(X, sample_weight=weights, batch_size=8, return_dict=True, verbose=0)
        assert logs["energy_data"] == pytest.approx(expected, rel=1e-5)


def test_labels_may_be_lists(fixed_sampler):
    found = []
    for labels in (LABELS, LABELS.tolist()):
        model = model_of(fixed_sampler, 2)
        model.fit(X, labels, batch_size=8, shuffle=False, validation_data=(X, labels), verbose=0)
        logs = model.evaluate(X, labels, batch_size=8, verbose=0)
        found.append((model.predict((X, labels), verbose=0), logs))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_lists_are_weights(fixed_sampler):
    found = []
    for weights in (WEIGHTS, WEIGHTS.tolist(), tf.constant(WEIGHTS)):
        model = model_of(fixed_sampler)
        model.fit(X, sample_weight=weights, batch_size=8, shuffle=False, verbose=0)
        found.append(model.energy_network.get_weights()[0])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_classes_that_are_not_named_weigh_one(fixed_sampler):
    found = []
    for classes in ({1: 3.0}, {0: 1.0, 1: 3.0}):
        model = model_of(fixed_sampler, 2)
        model.fit(X, LABELS, class_weight=classes, batch_size=8, shuffle=False, verbose=0)
        found.append(model.energy_network.get_weights()[0])
    np.testing.assert_array_equal(*found)


def test_rows_of_labels_have_the_weight_of_their_class(fixed_sampler):
    found = []
    for labels in (LABELS, np.eye(2, dtype="float32")[LABELS]):
        model = model_of(fixed_sampler, 2)
        model.fit(X, labels, class_weight={1: 3.0}, batch_size=8, shuffle=False, verbose=0)
        found.append(model.energy_network.get_weights()[0])
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1.0, 3.0], TypeError, r"must be a dictionary, .* received list"),
        ({0: 1.0, 2: 3.0}, ValueError, "classes from 0 to 1; received one for 2"),
        ({-1: 1.0}, ValueError, "classes from 0 to 1; received one for -1"),
        ({"0": 1.0}, ValueError, "received one for '0'"),
        ({0: -1.0}, ValueError, r"numbers ≥ 0; received -1.0 for class 0"),
        ({0: "3"}, ValueError, "received '3' for class 0"),
        ({0: float("nan")}, ValueError, "received nan for class 0"),
    ],
)
@pytest.mark.parametrize("door", ["fit", "train_on_batch"])
def test_bad_class_weights(weights, error, message, door, fixed_sampler):
    model = model_of(fixed_sampler, 2)
    model.build((None, 2))
    before = [w.numpy() for w in model.energy_network.weights]
    with pytest.raises(error, match=message) as raised:
        getattr(model, door)(X, LABELS, class_weight=weights)
    assert "\n" not in str(raised.value)
    for weight, value in zip(model.energy_network.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (["a"] * 16, "must be numbers"),
        ({"w": 1.0}, "must be numbers"),
        (np.ones(15), r"received shape \(15,\) for 16 examples"),
        (np.ones((16, 2)), r"received shape \(16, 2\) for 16"),
    ],
)
def test_bad_sample_weights(weights, message, fixed_sampler):
    with pytest.raises(ValueError, match=message) as raised:
        model_of(fixed_sampler).fit(X, sample_weight=weights, verbose=0)
    assert "\n" not in str(raised.value)


def test_classes_that_all_weigh_nothing_are_refused(fixed_sampler):
    with pytest.raises(ValueError, match="all sample_weight are 0"):
        model_of(fixed_sampler, 2).fit(X, LABELS, class_weight={0: 0.0, 1: 0.0}, verbose=0)


def test_both_kinds_at_once_are_refused(fixed_sampler):
    model = model_of(fixed_sampler, 2)
    for function in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match="not both") as raised:
            function(X, LABELS, sample_weight=WEIGHTS, class_weight={0: 1.0})
        assert "\n" not in str(raised.value)


def test_no_data_are_named(fixed_sampler):
    model = model_of(fixed_sampler)
    for function in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="received None"):
            function(None, sample_weight=WEIGHTS)
