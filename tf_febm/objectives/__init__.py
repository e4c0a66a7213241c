"""Objectives: what each method descends or ascends, as functions of tensors."""

from tf_febm.objectives.bounds import (
    data_gradient_penalty,
    latent_gradient_penalty,
    lower_bound,
    upper_bound,
)
from tf_febm.objectives.conditional import conditional_energy_surrogate
from tf_febm.objectives.f_divergence import (
    dual_surrogate,
    energy_regulariser,
    energy_surrogate,
    variational_bound,
)

__all__ = [
    "conditional_energy_surrogate",
    "data_gradient_penalty",
    "dual_surrogate",
    "energy_regulariser",
    "energy_surrogate",
    "latent_gradient_penalty",
    "lower_bound",
    "upper_bound",
    "variational_bound",
]
