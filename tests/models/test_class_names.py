"""What the data call the classes stays with a conditional model, wherever it goes."""

import keras
import pytest
import tensorflow as tf

import tf_febm

NAMES = ["7", "cat", "größe"]


def network(classes=3, name="energy"):
    return tf_febm.networks.mlp(2, (8,), "swish", num_classes=classes, name=name)


MODELS = {
    "febm": lambda **more: tf_febm.FEBM(network(), network(name="variational"), **more),
    "dual": lambda **more: tf_febm.DualFEBM(network(), network(name="variational"), **more),
    "cd": lambda **more: tf_febm.ContrastiveDivergence(network(), **more),
}


# The names are kept by what all models share.
@pytest.mark.parametrize(
    ("name", "names"), [("febm", NAMES), ("dual", tuple(NAMES)), ("cd", NAMES), ("cd", None)]
)
def test_saved_and_exported(tmp_path, name, names):
    model = MODELS[name](class_names=names)
    expected = None if names is None else tuple(NAMES)
    assert model.class_names == expected
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.class_names == expected and loaded.num_classes == 3
    tf_febm.export(loaded, tmp_path / "served")
    served = tf.saved_model.load(tmp_path / "served").signatures
    assert ("class_names" in served) == (names is not None)
    if names is not None:
        found = served["class_names"]()["class_names"].numpy()
        assert [text.decode() for text in found] == NAMES


@pytest.mark.parametrize(
    ("names", "kind", "message"),
    [
        (["a", "b"], ValueError, "class_names must be 3 different names, one a class; received 2"),
        (["a", "b", "a"], ValueError, "3 different names.*received 3, 2 of them different"),
        ("abc", TypeError, "must be a sequence of strings or None; received 'abc'"),
        ([1, 2, 3], TypeError, r"must be a sequence of strings or None; received \[1, 2, 3\]"),
    ],
)
def test_refused(names, kind, message):
    for make in MODELS.values():
        with pytest.raises(kind, match=message):
            make(class_names=names)


def test_for_conditional_models():
    with pytest.raises(ValueError, match="class_names are for what has classes, with num_classes"):
        tf_febm.ContrastiveDivergence(network(None), class_names=["a"])


def test_names_of_columns_are_saved_and_fit_the_model(tmp_path):
    model = tf_febm.ContrastiveDivergence(
        tf_febm.networks.mlp(2, (3,)),
        sampler=tf_febm.samplers.Langevin.from_epsilon(0.1, num_steps=1),
    )
    assert model.column_names is None and "column_names" not in model.get_config()
    model.column_names = ["width", "height"]
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.column_names == ("width", "height")
    with pytest.raises(ValueError, match=r"an example of shape \(2,\); received 3 names"):
        model.column_names = ("a", "b", "c")
    with pytest.raises(TypeError, match="must be strings"):
        model.column_names = (1, 2)
