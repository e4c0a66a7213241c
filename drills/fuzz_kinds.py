"""Kinds of arguments, by name or by annotation."""

import typing
from collections.abc import Callable

__all__ = ["SHAPE", "fit_kinds", "kind_of"]

SHAPE = (4, 4, 1)
# What an argument is by its name, wherever annotations do not say it.
KINDS = {
    "bounds": "bounds", "seed": "seed", "labels": "labels", "labels_data": "labels",
    "path": "path", "folder": "path", "out": "path", "cache_dir": "path", "data_dir": "path",
    "divergence": "choice", "variational_divergence": "choice", "activation": "activation",
    "output_activation": "activation", "method": "choice", "network": "choice",
    "generator": "choice",
    "format": "choice", "initial": "choice", "penalty": "choice", "mode": "choice",
        "entropy": "choice",
    "covariance": "choice", "storage": "choice", "best_mode": "choice", "sampler": "object",
    "energy": "object", "variational": "object", "buffer": "object", "reference": "object",
        "noise": "object",
    "model": "object", "strategy": "object", "classifier": "object", "train": "object",
        "held_out": "object",
    "energy_fn": "function", "function": "function", "num_steps": "count", "num_samples": "count",
        "count": "count",
    "max_seconds": "number", "every": "count", "step": "count", "epsilon": "number",
        "noise_level": "number", "schedule": "choice", "noise_schedule": "choice",
    "restart_probability": "probability", "label_probability": "probability",
        "average_decay": "probability",
    "slow_energy_decay": "probability", "decay": "probability", "dropout": "probability",
    "target_acceptance": "probability", "min_share": "probability", "odd": "probability",
        "rate_factor": "probability",
    "contamination": "probability", "validation_fraction": "probability",
        "validation_split": "probability",
    "beta_1": "probability", "beta_2": "probability",
    "hidden_units": "units", "image_shape": "shape", "input_shape": "shape",
        "output_shape": "shape",
    "sample_shape": "shape", "shape": "shape", "images": "samples", "x": "samples",
        "samples": "samples",
    "initial_state": "samples", "class_names": "names", "clip_noise": "switch",
        "learning_rate": "number",
    "epochs": "count", "steps_per_epoch": "count", "validation_steps": "count",
        "validation_batch_size": "count",
    "batch_size": "count", "initial_epoch": "count", "steps": "count", "return_dict": "switch",
        "shuffle": "switch",
    "leave_one_out": "switch", "return_diagnostics": "switch", "return_trajectory": "switch",
    "refine_steps": "count", "validation_freq": "count", "callbacks": "callbacks", "data": "object",
}  # fmt: skip
# Of an annotation; in the order in which they count where there are several.
OF_TYPES = {bool: "switch", int: "count", float: "number", str: "text", Callable: "function"}


def fit_kinds() -> dict:
    """Return the kinds of what `fit` takes beside what others take by these names."""
    return {"y": "labels", "sample_weight": "scores", "verbose": None, "callbacks": "callbacks",
            "validation_data": "object", "class_weight": "mapping",
                "shuffle": "switch"}  # fmt: skip


def kind_of(name: str, annotation) -> str | None:
    """Return the kind of an argument, if it has one."""
    parts = typing.get_args(annotation) or (annotation,)
    known = (kind for of_type, kind in OF_TYPES.items() if of_type in parts)
    return KINDS.get(name) or next(known, None)
