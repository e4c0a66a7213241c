"""The SavedModel: its endpoints, each with one clear error for what it cannot take."""

import tensorflow as tf

from tf_febm.serving.endpoints import Endpoints

__all__ = ["write"]


def write(model, path, num_steps: int | None) -> None:
    """Write the folder; see `export`, which checks the arguments."""
    endpoints = Endpoints(model, num_steps)
    signatures = _signatures(endpoints, model)
    # What `keras.Model.export` calls so.
    endpoints.serve = signatures["energy"]
    signatures = {name: made.get_concrete_function() for name, made in signatures.items()}
    tf.saved_model.save(endpoints, str(path), signatures=signatures)


def _signatures(endpoints: Endpoints, model) -> dict:
    labels = tf.TensorSpec([None], tf.int32, name="labels")
    inputs = [endpoints.sample_spec] + [labels] * model.conditional
    functions = {"energy": endpoints.energy, "score": endpoints.score}
    if hasattr(model, "log_density_ratio"):
        functions["log_density_ratio"] = endpoints.log_density_ratio

    def evaluate(function):
        return lambda x, labels=None: function(x, None if labels is None else checked(labels))

    def checked(labels):
        inside = (labels >= 0) & (labels < model.num_classes)
        message = f"labels must lie in 0 … {model.num_classes - 1}; received"
        return _behind(tf.reduce_all(inside), [message, labels], labels)

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
    seed = tf.TensorSpec([], tf.int64, name="seed")
    count = tf.TensorSpec([], tf.int32, name="num_samples")
    signatures["sample"] = _compiled(sample, [count, seed])
    if model.conditional:
        signatures["sample_labels"] = _compiled(sample_labels, [labels, seed])
    if model.class_names is not None:
        names = tf.constant(model.class_names)
        signatures["class_names"] = _compiled(lambda: {"class_names": names}, [])
    if model.column_names is not None:
        columns = tf.constant(model.column_names)
        signatures["column_names"] = _compiled(lambda: {"column_names": columns}, [])
    signatures["serving_default"] = signatures["energy"]
    return signatures


def _compiled(function, inputs):
    # No AutoGraph: the library's functions are graphs already, and a user's layers see to theirs.
    return tf.function(function, input_signature=inputs, autograph=False)


def _behind(condition, message, value):
    """Return a tensor behind an assertion."""
    with tf.control_dependencies([tf.debugging.Assert(condition, message)]):
        return tf.identity(value)
