"""Ranges of the settings of a recipe."""

import sys
import typing
from typing import Any

from tf_febm import arguments, catalogue

__all__ = ["BELOW_ONE", "CHOICES", "LEAST", "POSITIVE", "SCHEDULES", "checked"]

# As in samplers.schedules, which takes TensorFlow.
SCHEDULES = ("constant", "linear", "cosine", "geometric", None)

CHOICES: dict[str, tuple[str | None, ...]] = {
    "method": tuple(catalogue.METHODS),
    "sampler": tuple(catalogue.SAMPLERS),
    **dict.fromkeys(("schedule", "noise_schedule"), SCHEDULES),
    "network": tuple(catalogue.NETWORKS),
    "generator": tuple(catalogue.GENERATORS),
    "chain_dtype": ("float32", "bfloat16", "auto"),
    "chains": ("replay", "persistent", "fresh"),
    "buffer_storage": ("auto", "uint8", "uint8_published", "float32"),
    "buffer_replacement": ("oldest", "random", "reservoir"),
    "penalty": ("latent", "data", None),
    "entropy": ("auto", "logdet", "smallest_singular_value"),
    "kind": ("denoising", "sliced", "exact"),
    "reference": ("auto", "diagonal", "low_rank", "full", "spectral", None),
    "best_mode": ("min", "max"),
}
# Least values that are not 0.
LEAST = {
    "steps": 1,
    "batch_size": 2,
    "variational_steps": 1,
    "num_leapfrog_steps": 1,
    "num_temperatures": 2,
    "num_parallel": 1,
    "buffer_capacity": 1,
    "width": 1,
    "levels": 1,
    "chains_per_pair": 2,
    "latent_dim": 1,
    "log_interval": 1,
    "sample_interval": 1,
    "save_interval": 1,
    "keep_checkpoints": 1,
    "num_samples": 2,
}
MOST = {"levels": arguments.MOST_LEVELS, "num_parallel": arguments.MOST_PARALLEL}
# Numbers that must be above 0, and those below 1.
POSITIVE = (
    *("learning_rate", "variational_learning_rate_ratio", "generator_learning_rate_ratio"),
    *("epsilon", "step_size", "grad_clip", "grad_clip_norm", "log_ratio_clip", "average_decay"),
    *("target_acceptance", "adam_epsilon", "frequency", "noise_stddev"),
    "smallest_inverse_temperature",
)
BELOW_ONE = (
    *("beta_1", "beta_2", "average_decay", "slow_energy_decay", "target_acceptance"),
    *("smallest_inverse_temperature", "label_dropout"),
)


def checked(name: str, kind: Any, value: Any) -> Any:
    """Return the value of a field, of its type, or raise a ValueError that names the field.

    Args:
        name: The field's.
        kind: Its annotation, such as `float | None`.
        value: What was given.
    """
    kinds = typing.get_args(kind) or (kind,)
    if value is None and type(None) in kinds:
        return None
    known_text = value is None or isinstance(value, str)
    if name in CHOICES and not (known_text and value in CHOICES[name]):
        known = ", ".join(map(str, CHOICES[name]))
        raise ValueError(f"{name} must be one of {known}; received {value!r}.")
    if bool in kinds:
        return arguments.switch(name, value)
    if int in kinds:
        if name == "seed" and arguments.whole_number(name, value) >= 2**31:
            raise ValueError(f"seed must lie in 0 … 2³¹ − 1; received {value}.")
        if name in MOST:
            return arguments.count_up_to(name, value, MOST[name])
        return arguments.whole_number(name, value, LEAST.get(name, 0), 2**31)
    if float in kinds:
        value = arguments.number(name, value, above=name in POSITIVE)
        if name in BELOW_ONE and value >= 1.0:
            low = "(" if name in POSITIVE else "["
            raise ValueError(f"{name} must lie in {low}0, 1); received {value}.")
        if name == "restart_probability" and value > 1.0:
            raise ValueError(f"{name} must lie in [0, 1]; received {value}.")
        return value
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string; received {value!r}.")
    # The command line makes recipes before TensorFlow is there, and asks for the name afterwards.
    divergences = sys.modules.get("tf_febm.divergences")
    if name == "divergence" and divergences is not None:
        divergences.get(value)
    return value
