"""Fuzzed calls of what is made of models: levels of noise, composed ones, decisions, classes."""

import numpy as np

import tf_febm
from drills.fuzz_kinds import fit_kinds
from tf_febm import (
    analysis,
    calibration,
    compose,
    evaluation,
    models,
    networks,
    objectives,
    pretrained,
    recipes,
    samplers,
)

__all__ = ["of_uses"]


def of_uses(world) -> dict[str, tuple]:
    """Return name -> (callable, good arguments, kinds of some), of uses of models."""
    points, labels, r = world.points, world.labels, np.linspace(-1, 1, 4).astype(np.float32)
    free = samplers.Langevin.from_epsilon(0.01, 2)
    model = tf_febm.ContrastiveDivergence(networks.mlp((2,), (4,)), sampler=free, seed=3)
    model.build((None, 2))
    model.calibrate(points)
    levelled = tf_febm.MultiscaleScoreMatching(
        networks.mlp(2, (4,), num_classes=2), world.reference, levels=2, sampler=free, seed=3
    )
    levelled.compile()
    recovery = tf_febm.Recovery(
        *(networks.mlp((size,), (4,), num_classes=2) for size in (2, 4)), levels=2, sampler=free
    )
    recovery.build((None, 2))
    ratio = tf_febm.DensityRatio(networks.mlp((2,), (4,)))
    ratio.build((None, 2))
    ratio.compile()
    of_classes = calibration.Calibration([[0.0, 1.0], [2.0]])
    plain, x = calibration.Calibration([0.0, 1.0]), {"x": "table"}
    part = {"weights": "scores", "labels": "class numbers", "log_partitions": "scores"}
    unlabelled = {**x, "labels": None}
    fitted = {**fit_kinds(), "x": "trained table", "y": None}
    logs = world.conditional.class_log_probs
    images = {"x": "samples"}
    return {
        "compose.product": (lambda weights=None, labels=None, sampler=None, seed=None:
            compose.product(model, weights=weights, labels=labels, sampler=sampler, seed=seed),
            {}, {**part, "seed": "whole seed", "sampler": "object"}),
        "compose.mixture": (lambda weights=None, log_partitions=None: compose.mixture(
            model, weights=weights, log_partitions=log_partitions), {}, part),
        "compose.negation": (compose.negation, {"model": model}, {"label": "count"}),
        "compose.temper": (compose.temper, {"model": model, "temperature": 2.0},
            {"label": "count"}),
        "DensityRatio": (tf_febm.DensityRatio, {"network": networks.mlp((2,), (4,))},
            {"network": "object"}),
        "DensityRatio.fit": (ratio.fit, {"p_samples": points, "q_samples": points, "verbose": 0},
            {**fit_kinds(), "p_samples": "trained table", "q_samples": "trained table",
             "seed": "whole seed"}),
        "DensityRatio.log_ratio": (ratio.log_ratio, {"x": points}, x),
        "DensityRatio.log_density_ratio": (ratio.log_density_ratio, {"x": points}, unlabelled),
        "calibrate": (model.calibrate, {"x": points}, unlabelled),
        "p_value": (model.p_value, {"x": points}, unlabelled),
        "threshold": (model.threshold, {"alpha": 0.2}, {"alpha": "probability"}),
        "fit_log_partition": (model.fit_log_partition, {"data": points, "method": "annealing",
            "num_chains": 2, "num_temperatures": 1, "num_leapfrog_steps": 1},
            {"data": "table", "samples": "table", "confidence": "probability"}),
        "Calibration.p_value": (plain.p_value, {"energy": r}, {"energy": "scores",
            "classes": None}),
        "Calibration.p_value(classes)": (of_classes.p_value, {"energy": r,
            "classes": np.array([0, 1, 1, 0])}, {"energy": "scores", "classes": "class numbers"}),
        "Calibration.threshold": (plain.threshold, {"alpha": 0.4}, {"alpha": "probability"}),
        "Calibration.drift": (plain.drift, {"energies": r}, {"energies": "scores"}),
        "discoveries": (calibration.discoveries, {"p_values": r / 4 + 0.5, "level": 0.1},
            {"p_values": "scores", "level": "probability"}),
        "ReferenceLevels": (models.ReferenceLevels, {"reference": world.reference, "levels": 2}),
        "MultiscaleScoreMatching.fit": (levelled.fit, {"x": points, "verbose": 0},
            {**fitted, "sample_weight": None}),
        "MultiscaleScoreMatching.evaluate": (levelled.evaluate, {"x": points, "verbose": 0},
            {**fitted, "sample_weight": None}),
        "MultiscaleScoreMatching.energy": (levelled.energy, {"x": points}, unlabelled),
        "MultiscaleScoreMatching.score": (levelled.score, {"x": points}, unlabelled),
        "MultiscaleScoreMatching.sample": (levelled.sample, {"num_samples": 2}, unlabelled),
        "Recovery.log_conditional_ratio": (recovery.log_conditional_ratio, {
            "x": points, "noisier": points}, {**unlabelled, "noisier": "table"}),
        "GaussianReference.principal": (world.reference.principal, {"x": points}, x),
        "GaussianReference.from_principal": (world.reference.from_principal, {"y": points},
            {"y": "table"}),
        "GaussianReference.gradient": (world.reference.gradient, {"gradient": points},
            {"gradient": "table"}),
        "GaussianReference.with_noise": (world.reference.with_noise, {"stddev": 0.1}),
        "networks.noise_conditional": (networks.noise_conditional, {"image_shape": (8, 8, 1),
            "num_filters": 2, "dense_units": 4}),
        "conditional_energy_surrogate": (objectives.conditional_energy_surrogate, {
            "divergence": "js", "log_ratio_data": r, "log_ratio_model": r, "energy_model": r,
            "samples_per_condition": 2}, dict.fromkeys(("log_ratio_data", "log_ratio_model",
                "energy_model", "energy_data", "weights_data", "weights_model"), "scores")),
        "class_log_probs": (logs, {"x": world.x}, images),
        "marginal_energy": (world.conditional.marginal_energy, {"x": world.x}, images),
        "expected_calibration_error": (evaluation.expected_calibration_error, {
            "log_probs": np.log(np.full((4, 3), 1 / 3)), "labels": labels},
            {"log_probs": "array", "labels": "class numbers"}),
        "projected_gradient_attack": (evaluation.projected_gradient_attack, {
            "log_probs_fn": logs, "x": world.x, "labels": labels, "epsilon": 0.1, "num_steps": 1},
            {"x": "array", "labels": "class numbers"}),
        "pretrained.load": (pretrained.load, {"name": "digits"}, {"name": "choice"}),
        "pretrained.describe": (pretrained.describe, {"name": "digits"}, {"name": "choice"}),
        "pretrained.names": (pretrained.names, {}),
        "change_sampler": (recipes.change_sampler, {"sampler": samplers.Langevin()},
            {"sampler": "object", "step_lr": "number"}),
        "restore_original": (recipes.restore_original, {"checkpoint": world.folder / "none",
            "dataset": "digits"}, {"checkpoint": "path", "dataset": None}),
        "reach": (analysis.reach, {"divergence": "js",
            "p": analysis.gaussian_mixture([1.0], [0.0], [1.0]), "mean": 0.0, "scale": 1.0},
            {"p": "object", "share": "probability"}),
    }  # fmt: skip
