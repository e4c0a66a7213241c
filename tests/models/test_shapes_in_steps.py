"""Examples of another shape than the model's: refused whenever that shows, in one line."""

import numpy as np
import pytest
import tensorflow as tf

import tf_febm

SHAPES = [(4, 2, 8, 1), (4, 16), (4, 5, 5, 1), (16,), (4, 4, 4, 2)]


def unknown(shape, known=None):
    """Return a dataset of one batch whose static shape does not tell."""
    spec = tf.TensorSpec(known, tf.float32)
    return tf.data.Dataset.from_generator(
        lambda: iter([np.full(shape, 0.5, np.float32)]), output_signature=spec
    )


@pytest.fixture(scope="module")
def model():
    networks = [tf_febm.networks.mlp((4, 4, 1), (4,), "swish", name=name) for name in "eh"]
    model = tf_febm.FEBM(*networks, sampler=tf_febm.samplers.Langevin(num_steps=1), seed=1)
    model.compile()
    model.fit(unknown((4, 4, 4, 1)), verbose=0)
    return model


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_shapes_that_only_the_step_sees(model, method, shape):
    before, steps = model.get_weights(), int(model.optimizer.iterations)
    with pytest.raises(ValueError) as error:
        getattr(model, method)(unknown(shape), verbose=0)
    found = " ".join(map(str, shape))
    # Of a whole batch that is at hand the shape is known.
    expected = (
        f"x must have shape ('n', 4, 4, 1); received {shape}."
        if method == "predict"
        else f"Stopped at a bad batch: x has not the shape [n, 4, 4, 1], it is {found}."
    )
    assert str(error.value) == expected
    assert int(model.optimizer.iterations) == steps
    for mine, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_shape_that_is_known_is_refused_before_any_step(model):
    for data in (np.zeros((8, 5, 5, 1), np.float32), unknown((4, 5, 5, 1), (None, 5, 5, 1))):
        for method in (model.fit, model.evaluate, model.predict):
            with pytest.raises(ValueError, match=r"shape \(4, 4, 1\); received \(5, 5, 1\)"):
                method(data, verbose=0)


def test_no_examples(model):
    steps = int(model.optimizer.iterations)
    with pytest.raises(ValueError, match="bad batch: x without examples"):
        model.fit(unknown((0, 4, 4, 1)), verbose=0)
    empty = np.zeros((0, 4, 4, 1), np.float32)
    for method in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match=r"x must have an example or more; received shape \(0"):
            method(empty, verbose=0)
    with pytest.raises(ValueError, match="x must have an example or more"):
        model.train_on_batch(empty)
    assert int(model.optimizer.iterations) == steps


def test_a_known_shape_costs_no_operation(model):
    """Where the static shape says all, the graph has no assertion about it."""

    def assertions(spec):
        traced = tf.function(lambda x: model._as_batch(x, None).samples, autograph=False)
        operations = traced.get_concrete_function(spec).graph.get_operations()
        return sum(op.type in ("Assert", "If") for op in operations)

    # Both have that of the units of images.
    assert assertions(tf.TensorSpec([None, 4, 4, 1])) == 1
    assert assertions(tf.TensorSpec([None, None, None, 1])) == 2
