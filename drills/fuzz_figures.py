"""Fuzzed calls of evaluation, objectives, samplers and analysis."""

import inspect

import numpy as np
import tensorflow as tf

import tf_febm
from drills.fuzz_kinds import SHAPE
from tf_febm import (
    analysis,
    divergences,
    entropy,
    evaluation,
    objectives,
    optimizers,
    parallel,
    samplers,
)
from tf_febm.data import toy_datasets

__all__ = ["of_evaluation", "of_mathematics"]


def of_evaluation(world) -> dict[str, tuple]:
    """Return name -> (callable, good arguments, kinds of some), of evaluation."""
    a, b = world.features, world.features + 0.1
    pictures, pair = world.image_data.images, {"real": a, "samples": b}
    rows = {"real": "table", "samples": "table", "features_a": "table", "features_b": "table",
            "features": "table", "seed": "whole seed"}  # fmt: skip
    energy = lambda x: tf.reduce_sum(tf.square(x), axis=-1)  # noqa: E731
    two = {"features_a": a, "features_b": b}
    arrays = {"images": "array", "samples": "array", "reference": "array", "seed": "whole seed",
              "labels": "labels", "real": "array", "box": "bounds"}  # fmt: skip
    box = {"low": [-3.0, -3.0], "high": [3.0, 3.0], "num_points": 8}
    corners = {"low": "array", "high": "array", "num_points": None}
    log_prob = lambda x: -tf.reduce_sum(tf.square(x), axis=-1)  # noqa: E731
    quality = evaluation.pixel_quality(
        pictures, world.more_images.images, world.more_images.images
    ).as_dict()
    moments = {
        "mean_a": a.mean(0),
        "cov_a": np.cov(a.T),
        "mean_b": b.mean(0),
        "cov_b": np.cov(b.T),
    }
    return {
        "frechet_distance": (evaluation.frechet_distance, two, rows),
        "squared_mmd": (evaluation.squared_mmd, two, rows),
        "kernel_stein_discrepancy": (evaluation.kernel_stein_discrepancy, {
            "samples": a, "scores": -a, "num_bootstraps": 5}, {**rows, "scores": "table"}),
        "chain_figures": (evaluation.chain_figures, {"model": world.plane_model,
            "num_chains": 4, "num_steps": 8, "long_factor": 2}, rows),
        "readings_of_chains": (evaluation.readings_of_chains, {"figures": {
            "rhat": 1.0, "long_factor": 10}}, {"figures": "mapping"}),
        "kernel_distance": (evaluation.kernel_distance, {**two, "subset_size": 5,
            "num_subsets": 2}, rows),
        "frechet_distance_from_moments": (evaluation.frechet_distance_from_moments, moments,
                                          dict.fromkeys(moments, "array")),
        "density_and_coverage": (evaluation.density_and_coverage, pair, rows),
        "precision_and_recall": (evaluation.precision_and_recall, pair, rows),
        "distribution_scores": (evaluation.distribution_scores, {
            **pair, "num_clusters": 3, "num_runs": 1, "num_angles": 11}, rows),
        "prd_curve": (evaluation.prd_curve, {"real": [0.5, 0.5], "samples": [0.2, 0.8],
            "num_angles": 11},
                      {"real": "scores", "samples": "scores"}),
        "inception_score": (evaluation.inception_score, {"probabilities": np.full((20, 4), 0.25)},
                            {"probabilities": "array"}),
        "ood_metrics": (evaluation.ood_metrics, {"in_scores": a[:, 0], "out_scores": b[:, 0]},
                        {"in_scores": "scores", "out_scores": "scores"}),
        "mode_coverage": (evaluation.mode_coverage, {"samples": world.points,
            "modes": world.points[:3], "scale": 1.0},
                          {"samples": "table", "modes": "table"}),
        "nearest_neighbours": (evaluation.nearest_neighbours, {
            "samples": world.x, "reference": world.x}, arrays),
        "nearest_in_features": (evaluation.nearest_in_features, {"features": a, "reference": b},
                                {**rows, "reference": "table"}),
        "neighbours_grid": (evaluation.neighbours_grid, {
            "samples": world.x, "reference": world.x, "indices": np.zeros((4, 1), int)},
            {**arrays, "indices": "array"}),
        "image_grid": (evaluation.image_grid, {"images": world.x}, arrays),
        "to_bytes": (evaluation.to_bytes, {"images": world.x}, arrays),
        "to_unit_interval": (evaluation.to_unit_interval, {"images": pictures}, arrays),
        "save_png": (evaluation.save_png, lambda: {"path": world.new_path(".png"),
            "array": pictures[0]},
                     {"array": "array"}),
        "pixel_quality": (evaluation.pixel_quality, {
            "samples": pictures, "train": world.more_images.images,
                "held_out": world.more_images.images},
            {"samples": "array", "train": "array", "held_out": "array"}),
        "plane_quality": (evaluation.plane_quality, {
            "energy_fn": energy, "samples": world.points, "toy_dataset": toy_datasets.get("moons"),
            "held_out": world.points,
        }, {"samples": "table", "held_out": "table", "toy_dataset": "object"}),
        "expected_of_uniform": (evaluation.expected_of_uniform, {"num_samples": 10, "total": 5}),
        "log_partition_on_grid": (evaluation.log_partition_on_grid, {"energy_fn": energy, **box},
            corners),
        "divergence_on_grid": (evaluation.divergence_on_grid, {"log_prob": log_prob,
            "energy_fn": energy, **box},
                               {**corners, "log_prob": "function"}),
        "annealed_log_partition": (evaluation.annealed_log_partition, {
            "energy_fn": energy, "data": world.points, "num_chains": 8, "num_temperatures": 3,
            "num_leapfrog_steps": 1}, {"data": "table", "base": "object"}),
        "held_out_log_likelihood": (evaluation.held_out_log_likelihood, {
            "energy_fn": energy, "x": world.points, "log_z": 1.0}, {"x": "table"}),
        "gain_over_reference": (evaluation.gain_over_reference, {
            "model": world.noise_model, "x": world.points, "num_samples": 10}, {"x": "table"}),
        "histogram_chart": (evaluation.histogram_chart, {"groups": {"a": [1.0, 2.0]}},
            {"groups": "mapping"}),
        "line_chart": (evaluation.line_chart, {"series": {"a": ([1.0, 2.0], [1.0, 2.0])}},
            {"series": "mapping"}),
        "density_plot": (evaluation.density_plot, {
            "energy_fn": energy, "samples": world.points, "data": world.points, "size": 32},
            {"samples": "table", "data": "table", "box": "bounds"}),
        "marginal_plots": (evaluation.marginal_plots, {"samples": world.points,
            "data": world.points},
                           {"samples": "table", "data": "table", "columns": "names"}),
        "readings": (evaluation.readings, {"quality": quality}, {"quality": "mapping"}),
        "verdict": (evaluation.verdict, {"quality": quality}, {"quality": "mapping"}),
        "sample_quality": (evaluation.sample_quality, {
            "samples": pictures, "train": world.image_data, "held_out": world.more_images,
            "classifier": world.classifier}, {"samples": "array"}),
        "stacked_modes": (evaluation.stacked_modes, {"samples": pictures.repeat(3, 3),
            "classifier": world.classifier},
                          {"samples": "array"}),
        "run_figures": (evaluation.run_figures, {
            "model": world.model, "samples": world.x, "train": world.image_data,
                "held_out": world.more_images},
            {"samples": "array"}),
        "train_classifier": (evaluation.train_classifier, {
            "images": pictures, "labels": world.image_data.labels, "num_classes": 3,
                "num_steps": 1, "filters": 2,
            "batch_size": 4}, arrays),
        "evaluate_samples": (evaluation.evaluate_samples, {
            "samples": pictures, "real": world.more_images.images, "network": world.classifier,
                "num_subsets": 2,
            "num_splits": 2, "prd_clusters": 3, "prd_runs": 1}, {**arrays, "network": "object",
                "reference": "text"}),
        "feature_statistics": (evaluation.feature_statistics, {"images": pictures,
            "network": world.classifier},
                               {**arrays, "network": "object"}),
        "find_feature_network": (evaluation.find_feature_network, {"train": world.image_data,
            "features": "auto"},
                                 {"features": "choice", "inception": None, "squeezenet": None,
                                  "keras_weights": None}),
        "Classifier": (evaluation.Classifier, {"model": world.classifier.model if hasattr(
            world.classifier, "model") else None, "feature_network": "a"},
                {"feature_network": "text"}),
        "Classifier.probabilities": (world.classifier.probabilities, {"images": pictures}, arrays),
        "Classifier.features": (world.classifier.features, {"images": pictures}, arrays),
        "InceptionGraph": (evaluation.InceptionGraph, {"path": world.table}),
        "SqueezeNet": (evaluation.SqueezeNet, {"path": world.table}),
        "KerasInception": (evaluation.KerasInception, {"weights": world.table},
            {"weights": "path"}),
        "PrecisionRecallCurve.f_score": (
            evaluation.prd_curve([0.5, 0.5], [0.2, 0.8], 11).f_score, {"beta": 1.0}),
    }  # fmt: skip


def of_mathematics(world) -> dict[str, tuple]:
    """Return name -> (callable, good arguments, kinds of some), of mathematics."""
    r = np.linspace(-1, 1, 4).astype(np.float32)
    js = divergences.get("js")
    scores = dict.fromkeys(
        ("log_ratio_data", "log_ratio_model", "energy_model", "value_data", "value_model",
            "energy_data",
         "weights_data", "weights_model"), "scores")  # fmt: skip
    generator = lambda u: (u - 1.0) ** 2  # noqa: E731
    gradient = {"energy_gradient": world.points}
    x0 = {
        "energy_fn": lambda x: tf.reduce_sum(tf.square(x), axis=(1, 2, 3)),
        "initial_state": world.x,
        "seed": 0,
    }
    label, chain = {"labels": "class numbers", "seed": "seed"}, {"initial_state": "array"}
    # Any callable will do; which numbers it takes shows when a chain runs.
    schedules = {"schedule": None, "noise_schedule": None}
    hmc = samplers.HMC(num_steps=1, num_leapfrog_steps=1)
    linear = lambda z: 2.0 * z  # noqa: E731
    mixture = analysis.gaussian_mixture([0.5, 0.5], [-1.0, 1.0], [1.0, 1.0])
    return {
        "divergences.get": (divergences.get, {"divergence": "js"}),
        "divergences.from_generator": (divergences.from_generator, {"generator": generator,
            "name": "own"},
                                       {"generator": "function"}),
        "divergences.register": (divergences.register,
            lambda: {"divergence": divergences.from_generator(
            generator, f"own{next(world._numbers)}")}, {"divergence": "object",
                "aliases": "names"}),
        "divergences.is_known": (divergences.is_known, {"divergence": js},
            {"divergence": "object"}),
        "Divergence.clipped": (js.clipped, {"limit": 2.0}),
        **{f"Divergence.{name}": (getattr(js, name), {"log_ratio": r}, {"log_ratio": "array"})
           for name in ("generator", "derivative", "conjugate")},
        "variational_bound": (objectives.variational_bound, {
            "divergence": "js", "log_ratio_data": r, "log_ratio_model": r}, scores),
        "energy_surrogate": (objectives.energy_surrogate, {
            "divergence": "js", "log_ratio_data": r, "log_ratio_model": r, "energy_model": r},
                scores),
        "dual_surrogate": (objectives.dual_surrogate, {
            "divergence": "js", "log_ratio_model": r, "energy_model": r}, scores),
        "energy_regulariser": (objectives.energy_regulariser, {"value_data": r, "value_model": r},
            scores),
        "data_gradient_penalty": (objectives.data_gradient_penalty, gradient, {
            "energy_gradient": "table", "weights_data": None}),
        "latent_gradient_penalty": (objectives.latent_gradient_penalty, {
            **gradient, "log_density_gradient": world.points}, {
            "energy_gradient": "table", "log_density_gradient": "table"}),
        "lower_bound": (objectives.lower_bound, {"energy_data": r, "energy_model": r,
            "entropy": 0.5},
                        {**scores, "entropy": "array"}),
        "upper_bound": (objectives.upper_bound, {"lower": 0.5, "penalty": 0.1},
                        {"lower": "array", "penalty": "array"}),
        "Langevin": (samplers.Langevin, {}, schedules),
        "Langevin.from_epsilon": (samplers.Langevin.from_epsilon, {"epsilon": 0.1, "num_steps": 2},
                                  schedules),
        "Langevin.exponential": (samplers.Langevin.exponential, {"epsilon": 0.1, "num_steps": 2},
                                 schedules),
        "HMC": (samplers.HMC, {}, {"schedule": None}),
        "MALA": (samplers.MALA, {}, {"schedule": None}),
        "ParallelTempering": (samplers.ParallelTempering, {}, {
            "inverse_temperatures": "table", "schedule": None}),
        "Langevin()": (world.sampler, x0, chain),
        "HMC()": (hmc, x0, {**chain, "differentiable": None}),
        "MALA()": (samplers.MALA(num_steps=1), x0, {**chain, "differentiable": None}),
        "ParallelTempering()": (
            samplers.ParallelTempering(num_steps=1), x0, {**chain, "differentiable": None}
        ),
        "Langevin.step": (world.sampler.step, {
            "energy_fn": x0["energy_fn"], "x": tf.constant(world.x), "seed": (0, 1)},
            {"x": "array"}),
        "Preconditioned": (samplers.Preconditioned, {
            "sampler": samplers.Langevin.exponential(0.1, 2), "reference": world.reference}),
        "Preconditioned.fresh": (samplers.Preconditioned(
            samplers.Langevin.exponential(0.1, 2), world.reference).fresh, {"shape": (4, 2),
                "seed": 0}),
        "ReplayBuffer": (tf_febm.ReplayBuffer, {}),
        "PersistentChains": (tf_febm.PersistentChains, {"num_chains": 4}),
        "ReplayBuffer.build": (lambda sample_shape, bounds=None,
            num_classes=None: tf_febm.ReplayBuffer(4).build(
            sample_shape, bounds, num_classes), {"sample_shape": SHAPE}, {"num_classes": "count"}),
        "ReplayBuffer.read": (world.buffer.read, {"count": 4, "seed": 0}, label),
        "ReplayBuffer.start": (world.buffer.start, {"fresh": world.x, "seed": 0,
            "labels": world.labels},
                               {**label, "fresh": "samples"}),
        "ReplayBuffer.write": (world.buffer.write, {"samples": world.x, "labels": world.labels},
            label),
        "ReplayBuffer.newest": (world.buffer.newest, {"count": 4}, {"replica": "count"}),
        # Of any number of them.
        "ReplayBuffer.holds": (world.buffer.holds, {"labels": world.labels}, {"labels": None}),
        "denoising_step": (samplers.denoising_step, {
            "energy_fn": x0["energy_fn"], "samples": world.x, "noise_stddev": 0.1},
            {"samples": "array"}),
        "samplers.descend": (samplers.descend, {
            "energy_fn": x0["energy_fn"], "initial_state": world.x, "num_steps": 1}, chain),
        "run_chain": (samplers.run_chain, {
            "step": lambda x, seed: world.sampler.step(x0["energy_fn"], x, seed),
                "initial_state": tf.constant(world.x),
            "num_steps": 1, "seed": 0}, {"step": "function", "numbered": None}),
        "jacobian": (entropy.jacobian, {"function": linear, "z": world.points}, {"z": "table"}),
        "log_volume": (entropy.log_volume, {"function": linear, "z": world.points}, {"z": "table"}),
        "LinearMap": (entropy.LinearMap, {"function": linear, "z": world.points}, {"z": "table"}),
        "normal_entropy": (entropy.normal_entropy, {"dimension": 2}),
        "normal_log_density": (entropy.normal_log_density, {"z": world.points}, {"z": "table"}),
        "smallest_singular_value": (entropy.smallest_singular_value, {
            "function": linear, "z": world.points, "num_iterations": 1}, {"z": "table",
                "start": "table"}),
        "gaussian_mixture": (analysis.gaussian_mixture, {
            "weights": [0.5, 0.5], "means": [0.0, 1.0], "variances": [1.0, 1.0]},
            dict.fromkeys(("weights", "means", "variances"), "scores")),
        "f_divergence": (analysis.f_divergence, {"divergence": "js", "p": mixture, "q": mixture},
                         {"p": "object", "q": "object"}),
        "best_normal": (analysis.best_normal, {"divergence": "js", "p": mixture}, {"p": "object",
            "start": None}),
        "eigenvalue_bounds": (analysis.eigenvalue_bounds, {
            "energy_block": np.eye(2), "cross_block": np.eye(2), "variational_block": np.eye(2)},
            dict.fromkeys(("energy_block", "cross_block", "variational_block"), "table")),
        "stability": (analysis.stability, {
            "model": world.plane_model, "data": world.points, "samples": world.points},
            {"data": "table", "samples": "table"}),
        "plane_bounds": (analysis.plane_bounds, {
            "model": world.bidirectional, "x": world.points, "low": [-3.0] * 2, "high": [3.0] * 2,
                "num_points": 20,
            "num_latents": 11}, {"x": "table", "low": None, "high": None}),
        "ClippedAdam": (optimizers.ClippedAdam, {}, dict.fromkeys(
            inspect.signature(optimizers.ClippedAdam).parameters)),
        "batch_mean": (parallel.batch_mean, {"values": r}, {"values": "array",
            "weights": "array"}),
        "make_strategy": (parallel.make_strategy, {}, {"name": "choice"}),
        "check_batch_size": (parallel.check_batch_size, {"batch_size": 4,
            "strategy": tf.distribute.get_strategy()}),
        "mean_and_std": (parallel.mean_and_std, {"values": r}, {"values": "array",
            "shares": None}),
    }  # fmt: skip
