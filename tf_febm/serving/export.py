"""One function that writes a model in any of the formats."""

from pathlib import Path

from tf_febm import arguments
from tf_febm.serving import converted, saved_model, target

__all__ = ["FORMATS", "export"]

FORMATS = ("saved_model", "onnx", "tflite")
# What `keras.Model.export` calls them.
_OF_KERAS = {"tf_saved_model": "saved_model", "litert": "tflite"}
BAD_VALUES = ("error", "nan")


@arguments.checked
def export(
    model: arguments.Exported,
    path: arguments.Path,
    format: str = "saved_model",
    *,
    num_steps: int | None = None,
    bad_values: str = "error",
) -> Path:
    """Write a model so that it runs without this library and without Keras.

    "saved_model" is a folder with the endpoints (signatures)

        energy               x -> energy [n]; also `serving_default`
        score                x -> score −∇ₓE, of the shape of x
        log_density_ratio    x -> log_density_ratio [n]; for models that have one
        sample               num_samples, seed -> samples, and labels if conditional
        p_value              x -> p_value [n], float64; of a calibrated model
        log_prob             x -> log_prob, lower, upper [n]; after `fit_log_partition`
        class_log_probs      x -> class_log_probs [n, num_classes]; of a conditional model
        marginal_energy      x -> marginal_energy [n]; of a conditional model

    A conditional model takes `labels`, int32 [n], beside x but in the last two, and has one more
    endpoint, `sample_labels` from labels and seed; with `class_names` it has another of this name,
    which takes nothing and returns them, strings [num_classes]. So has a model with `column_names`,
    strings [d]. `serve` is the endpoint energy as an attribute, which `keras.layers.TFSMLayer`
    looks for. A `DensityRatio` has `log_density_ratio` alone, in the place of the energy. x is
    float32 [n, …] for any n; num_samples is an int32 scalar and seed an int64 scalar: seed s draws
    what `model.sample(num_samples, seed=s)` draws. "onnx" and "tflite" are one file with the energy
    alone.

    The weights are those that the model has now; export inside `model.averaged_weights()` to write
    their average. No buffer, optimizer or distribution strategy is written: chains start from
    noise, where training may have gone on from its buffer, and may need more steps for it. A
    `BidirectionalEBM` has a generator instead, whose samples `num_steps` steps refine.

    Args:
        model: A built model of this library, or a `DensityRatio`, trained or loaded, compiled or
            not.
        path: Where to write; must not exist. Folders above it are made.
        format: "saved_model", "onnx" (needs the packages tf2onnx and onnx) or "tflite".
        num_steps: Steps of the chains of `sample`. None is the sampler's own number, and 0 from a
            generator.
        bad_values: What endpoints of x say of rows with NaN, infinity, values outside of the
            model's bounds or labels that there are not: "error" ends the call with one, "nan" gives
            NaN for these rows alone. An x of another shape is an error either way. "onnx" and
            "tflite" check nothing: "error" means what their run times do.

    Returns:
        The path.

    Raises:
        TypeError: `model` is none of this library's.
        ValueError: The model is not built, the format is unknown, or the energy network has an
            operation that the format lacks.
        ImportError: The format needs a package that is not installed.
        OSError: The path exists or cannot be written. Nothing is left behind.
    """
    format = _OF_KERAS.get(format, format)
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}; received {format!r}.")
    arguments.choice("bad_values", bad_values, BAD_VALUES)
    if bad_values != "error" and format != "saved_model":
        raise ValueError(f"bad_values={bad_values!r} is for saved_model, not for {format}.")
    if not model.built or model.sample_shape is None:
        raise ValueError("The model has no weights yet: fit it or call model.build first.")
    if num_steps is not None and format != "saved_model":
        raise ValueError(f"num_steps is for the endpoint sample, which {format} does not have.")
    write = {
        "saved_model": lambda place: saved_model.write(model, place, num_steps, bad_values),
        "onnx": lambda place: converted.write_onnx(model, place),
        "tflite": lambda place: converted.write_tflite(model, place),
    }[format]
    return target.write_new(Path(path), write)
