"""Labels: what may enter, wherever they enter, and one clear line about anything else."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import applications, samplers
from tf_febm.models.assertions import assertions_in_one_line
from tf_febm.models.labels import as_rows, one_hot

CLASSES, COUNT = 3, 6
X = np.linspace(0.1, 0.9, 2 * COUNT, dtype=np.float32).reshape(COUNT, 2)
RIGHT = np.arange(COUNT) % CLASSES


def rows(*values):
    """Return one-hot rows, the first of which are others."""
    result = np.eye(CLASSES, dtype=np.float32)[RIGHT]
    for i, value in enumerate(values):
        result[i] = value
    return result


BAD = {
    "too large": RIGHT + 1,
    "negative": RIGHT - 1,
    "far too large for int32": np.where(RIGHT == 1, 2**32, RIGHT),
    "too large in a narrow type": np.where(RIGHT == 1, 200, RIGHT).astype(np.uint8),
    "floats": RIGHT.astype(np.float32),
    "booleans": RIGHT == 1,
    "strings": RIGHT.astype(str),
    "objects": np.array([None, *RIGHT[1:]], dtype=object),
    "a column": RIGHT[:, None],
    "rows of other numbers": rows([2, 1, 2]).astype(np.int64),
    "rows of sum 2": 2 * rows(),
    "rows of zeros": rows([0, 0, 0]),
    "negative rows": rows([1.5, -0.5, 0]),
    "rows with NaN": rows([np.nan, 0, 1]),
    "boolean rows": rows() > 0,
    "rows of other classes": np.eye(4, dtype=np.float32)[RIGHT],
}


def build(eager=False):
    x, y = keras.Input((2,)), keras.Input((CLASSES,))

    def network():
        hidden = keras.layers.Concatenate()([x, y])
        return keras.Model(
            (x, y), keras.layers.Dense(1)(keras.layers.Dense(4, activation="tanh")(hidden))
        )

    model = tf_febm.FEBM(network(), network(), sampler=samplers.Langevin(num_steps=2), seed=0)
    model.compile(run_eagerly=eager)
    return model


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture(scope="module")
def eager_model():
    """The same without a trace for every type of labels."""
    return build(eager=True)


def dataset(y):
    return tf.data.Dataset.from_tensor_slices((X, y)).batch(4)


def draw(count, seed):
    return X[:1].repeat(count, axis=0)


def compiled_energy(model, labels):
    """Call the energy inside a function of the user's own."""
    with assertions_in_one_line():
        return tf.function(model.energy, autograph=False)(X, tf.constant(labels))


# Every public function that takes labels, as a call with X and labels.
CALLS = {
    "energy": lambda m, y: m.energy(X, y),
    "score": lambda m, y: m.score(X, y),
    "log_density_ratio": lambda m, y: m.log_density_ratio(X, y),
    "call": lambda m, y: m((X, y)),
    "energy, compiled": lambda m, y: compiled_energy(m, y),
    "predict": lambda m, y: m.predict((X, y), verbose=0),
    "predict a dataset": lambda m, y: m.predict(dataset(y), verbose=0),
    "predict in small batches": lambda m, y: m.predict((X, y), batch_size=2, verbose=0),
    "predict_on_batch": lambda m, y: m.predict_on_batch((X, y)),
    "fit": lambda m, y: m.fit(X, y, verbose=0),
    "fit a dataset": lambda m, y: m.fit(dataset(y), verbose=0),
    "train_on_batch": lambda m, y: m.train_on_batch(X, y),
    "evaluate": lambda m, y: m.evaluate(X, y, verbose=0),
    "sample": lambda m, y: m.sample(COUNT, y, seed=1),
    "sample_batch": lambda m, y: m.sample_batch(COUNT, y, seed=1),
    "ood_scores": lambda m, y: applications.ood_scores(m, X, y),
    "inpaint": lambda m, y: applications.inpaint(m, X, [True, False], y, seed=1),
    "denoise": lambda m, y: applications.denoise(
        m, X, 0.1, y, seed=1, energy_weight=1.0, num_steps=2
    ),
    "denoise, weight to be found": lambda m, y: applications.denoise(
        m, X, 0.1, y, seed=1, num_steps=2
    ),
    "importance_weights": lambda m, y: applications.importance_weights(m, X, y),
    "rejection_filter": lambda m, y: applications.rejection_filter(m, X, y, seed=1),
    "rejection_sample": lambda m, y: applications.rejection_sample(
        m, COUNT, y, seed=1, num_pilot=10, log_bound=0.0
    ),
    "rejection_sample of proposals": lambda m, y: applications.rejection_sample(
        m, 2, seed=1, num_pilot=10, batch_size=COUNT, propose=lambda n, s: (draw(n, s), y[:n])
    ),
    "chain_evolution": lambda m, y: applications.chain_evolution(m, COUNT, 2, y, seed=1),
}


# What checks labels is traced in one place for all that Keras compiles; `predict` stands for the
# rest, and `fit` where messages and sizes are looked at.
EAGER = (
    *("fit", "fit a dataset", "train_on_batch", "evaluate"),
    *("predict a dataset", "predict_on_batch", "predict in small batches"),
)


# All that is bad goes through each of the ways that labels are checked, in arrays and in graphs;
# whether other functions come that way, a few of them show.
EVERYTHING = ("energy", "energy, compiled", "predict", "fit", "sample", "denoise")
A_FEW = ("too large", "floats", "a column", "rows of sum 2", "rows with NaN")


@pytest.mark.parametrize("call", CALLS)
def test_bad_labels_are_refused_in_one_line(model, eager_model, call):
    model = eager_model if call in EAGER else model
    before = [w.numpy().copy() for network in model.networks for w in network.weights]
    for name in BAD if call in EVERYTHING else A_FEW:
        labels = BAD[name]
        with pytest.raises(ValueError) as caught:
            CALLS[call](model, labels)
        message = str(caught.value)
        assert "label" in message.lower() or name == "objects", (name, message)
        assert "Invalid dtype" not in message
        # Keras puts lines of its own around what is raised inside a call.
        assert call == "call" or "\n" not in message, (name, message)
    # No step was taken on any of them.
    after = [w.numpy() for network in model.networks for w in network.weights]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("call", CALLS)
def test_good_labels_of_every_type_are_taken(model, eager_model, call):
    model = eager_model if call in EAGER else model
    for labels in (RIGHT.astype(np.uint8), rows()):
        CALLS[call](model, labels)


@pytest.mark.parametrize(
    "call", ["energy", "score", "sample", "ood_scores", "inpaint", "denoise", "importance_weights"]
)
def test_there_must_be_one_for_each(model, call):
    with pytest.raises(ValueError, match=r"[Ll]abels.*received"):
        CALLS[call](model, RIGHT[:-1])


def test_one_for_each_inside_a_step(model):
    """The sizes of batches of a generator are known only when it runs."""

    def batches():
        yield X, RIGHT[:-1]

    signature = (tf.TensorSpec([None, 2]), tf.TensorSpec([None], tf.int64))
    data = tf.data.Dataset.from_generator(batches, output_signature=signature)
    with pytest.raises(ValueError, match="not one label for each example, 5 of them beside 6"):
        model.fit(data, verbose=0)


def test_messages_name_values_and_the_cure(model):
    for call in (CALLS["energy"], CALLS["ood_scores"]):
        with pytest.raises(ValueError, match=r"lie in 0 … 2, .*received values from 1 to 3\.$"):
            call(model, RIGHT + 1)
    for call in (CALLS["predict"], CALLS["fit"]):
        with pytest.raises(ValueError, match=r"labels outside 0 to 2, values from 1 to 3\.$"):
            call(model, RIGHT + 1)
        with pytest.raises(ValueError, match=r"no distribution over the classes, .*2 1 2"):
            call(model, BAD["rows of other numbers"])
    # Anew, since Keras takes both forms of labels for one input of unknown rank.
    model = build(eager=True)
    for call in (CALLS["energy"], CALLS["predict"], CALLS["fit"], CALLS["sample"]):
        for name, cure in (("floats", "astype"), ("booleans", "astype"), ("a column", "vector")):
            with pytest.raises(ValueError, match=cure):
                call(model, BAD[name])


def test_soft_labels_are_what_their_network_makes_of_them(model):
    soft = np.tile([0.5, 0.25, 0.25], (COUNT, 1)).astype(np.float32)
    expected = model.energy_network((X, soft)).numpy()[:, 0]
    np.testing.assert_allclose(model.energy(X, soft), expected, rtol=1e-6)
    np.testing.assert_allclose(model.predict((X, soft), verbose=0), expected, rtol=1e-5)


def test_unconditional_models_take_none():
    model = tf_febm.ContrastiveDivergence(
        tf_febm.networks.mlp((2,), (4,)), sampler=samplers.Langevin(num_steps=1), seed=0
    )
    for call in ("energy", "predict", "sample", "ood_scores", "inpaint", "denoise"):
        with pytest.raises(ValueError, match="energy network takes none"):
            CALLS[call](model, RIGHT)
    # Keras drops what a dataset yields beside x.
    np.testing.assert_array_equal(
        model.predict(dataset(RIGHT), verbose=0), model.predict(X, batch_size=4, verbose=0)
    )


def test_energies_in_chains_make_no_checks():
    """The rows of `as_rows` are those of `one_hot`, and its graph has no assertion."""
    checked, plain = (
        tf.function(lambda y, f=f: f(y, CLASSES), autograph=False).get_concrete_function(
            tf.TensorSpec([None], tf.int32)
        )
        for f in (one_hot, as_rows)
    )
    kinds = [{op.type for op in f.graph.get_operations()} for f in (checked, plain)]
    # An assertion in a graph is a conditional.
    assert kinds[0] - kinds[1] >= {"If"} and "If" not in kinds[1]
    labels = tf.constant(RIGHT, tf.int32)
    np.testing.assert_array_equal(checked(labels), np.eye(CLASSES)[RIGHT])
    np.testing.assert_array_equal(plain(labels), np.eye(CLASSES)[RIGHT])
