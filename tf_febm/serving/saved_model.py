"""The SavedModel: its endpoints, each with one clear error, or NaN, for what it cannot take."""

import tensorflow as tf

from tf_febm import arguments
from tf_febm.data.bounds import reach, rows_in_bounds
from tf_febm.serving.endpoints import Endpoints

__all__ = ["write"]


def write(
    model: arguments.Exported, path: arguments.Path, num_steps: int | None, bad_values: str
) -> None:
    """Write the folder; see `export`, which checks the arguments."""
    endpoints = Endpoints(model, num_steps)
    signatures = _signatures(endpoints, model, bad_values)
    # What `keras.Model.export` calls so.
    endpoints.serve = signatures["serving_default"]
    signatures = {name: made.get_concrete_function() for name, made in signatures.items()}
    tf.saved_model.save(endpoints, str(path), signatures=signatures)


def _signatures(endpoints: Endpoints, model, bad_values: str) -> dict:
    labels = tf.TensorSpec([None], tf.int32, name="labels")
    inputs = [endpoints.sample_spec] + [labels] * model.conditional
    accepted = _accepted(model)
    functions = {
        name: getattr(endpoints, name)
        for name in ("energy", "score", "log_density_ratio")
        if hasattr(model, name)
    }
    if model.is_calibrated:
        functions["p_value"] = endpoints.p_value
    if model.has_log_partition:
        functions["log_prob"] = endpoints.log_prob

    def evaluate(function):
        def evaluated(x, labels=None):
            x = _of_shape(x, model.sample_shape)
            if labels is not None:
                # Others would be a raw error, in the middle of the network.
                same = tf.equal(tf.size(labels), tf.shape(x)[0])
                message = "labels must be one for each row of x; received so many, and rows:"
                labels = _behind(same, [message, tf.size(labels), tf.shape(x)[0]], labels)
            if bad_values == "nan":
                return _nan_for_bad_rows(function, x, labels, model, accepted)
            x = _behind(
                tf.reduce_all(rows_in_bounds(x, accepted)),
                [f"x must be finite{_within(accepted)}; received values from",
                 tf.reduce_min(x), "to", tf.reduce_max(x)],
                x,
            )  # fmt: skip
            return function(x, None if labels is None else checked(labels))

        return evaluated

    def checked(labels):
        message = f"labels must lie in 0 … {model.num_classes - 1}; received"
        inside = tf.reduce_all(_are_classes(labels, model))
        return _behind(inside, [message, labels], labels)

    def sample(num_samples, seed):
        message = "num_samples must be at least 1; received"
        return endpoints.sample(
            _behind(num_samples >= 1, [message, num_samples], num_samples), seed
        )

    def sample_labels(labels, seed):
        return endpoints.sample(tf.shape(labels)[0], seed, checked(labels))

    signatures = {
        name: _compiled(evaluate(function), inputs) for name, function in functions.items()
    }
    if model.conditional:
        for function in (endpoints.class_log_probs, endpoints.marginal_energy):
            of_x = evaluate(lambda x, _, function=function: function(x))
            signatures[function.__name__] = _compiled(of_x, inputs[:1])
    seed = tf.TensorSpec([], tf.int64, name="seed")
    count = tf.TensorSpec([], tf.int32, name="num_samples")
    if hasattr(model, "sample"):
        signatures["sample"] = _compiled(sample, [count, seed])
    if model.conditional:
        signatures["sample_labels"] = _compiled(sample_labels, [labels, seed])
    if model.class_names is not None:
        names = tf.constant(model.class_names)
        signatures["class_names"] = _compiled(lambda: {"class_names": names}, [])
    if model.column_names is not None:
        columns = tf.constant(model.column_names)
        signatures["column_names"] = _compiled(lambda: {"column_names": columns}, [])
    signatures["serving_default"] = signatures[endpoints.first]
    return signatures


def _accepted(model) -> tuple[float, float] | None:
    """Return the range of what is taken: the bounds, or around images of a reference."""
    if model.bounds is None and model.value_range is not None and len(model.sample_shape) > 1:
        return reach(model.value_range)
    return model.bounds


def _within(bounds) -> str:
    return "" if bounds is None else f" and lie in [{bounds[0]:g}, {bounds[1]:g}]"


def _are_classes(labels, model) -> tf.Tensor:
    return (labels >= 0) & (labels < model.num_classes)


def _of_shape(x, sample_shape) -> tf.Tensor:
    """Return x behind an assertion about its shape, which the signature alone does not enforce."""
    # What a signature says of the shape, the graph would take for granted, and check nothing.
    x = tf.compat.v1.placeholder_with_default(x, shape=None)
    sizes, rank = tf.shape(x), len(sample_shape) + 1
    padded = tf.concat([sizes, tf.zeros([rank], tf.int32)], axis=0)[1:rank]
    right = tf.equal(tf.size(sizes), rank) & tf.reduce_all(padded == list(sample_shape))
    message = f"x must have shape {('n', *sample_shape)}; received"
    x = _behind(right, [message, sizes], x)
    x.set_shape((None, *sample_shape))
    return x


def _nan_for_bad_rows(function, x, labels, model, accepted) -> dict:
    """Return what a function says of the rows that it can take, and NaN for the others."""
    good = rows_in_bounds(x, accepted)
    if labels is not None:
        known = _are_classes(labels, model)
        good &= known
        labels = tf.where(known, labels, 0)
    neutral = 0.0 if accepted is None else sum(accepted) / 2
    x = tf.where(_beside(good, x), x, neutral)
    return {
        name: tf.where(_beside(good, value), value, float("nan"))
        for name, value in function(x, labels).items()
    }


def _beside(good, value) -> tf.Tensor:
    """Return bool [n] with as many axes as another tensor, [n, …]."""
    return tf.reshape(good, [-1] + [1] * (value.shape.rank - 1))


def _compiled(function, inputs):
    # No AutoGraph: the library's functions are graphs already, and a user's layers see to theirs.
    return tf.function(function, input_signature=inputs, autograph=False)


def _behind(condition, message, value):
    """Return a tensor behind an assertion."""
    with tf.control_dependencies([tf.debugging.Assert(condition, message, summarize=8)]):
        return tf.identity(value)
