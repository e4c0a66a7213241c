"""Fuzzed calls with models: their methods and the applications."""

import functools
import inspect

import tf_febm
from drills.fuzz_kinds import SHAPE, fit_kinds
from tf_febm import applications, models, samplers, serving, sklearn

__all__ = ["of_models"]


def of_models(world) -> dict[str, tuple]:
    """Return name -> (callable, good arguments, kinds of some), of models."""
    x, labels = world.x, world.labels
    febm = {"energy": world.energy, "variational": world.variational, "sampler": world.sampler}
    table: dict[str, tuple] = {
        "FEBM": (tf_febm.FEBM, febm),
        "DualFEBM": (tf_febm.DualFEBM, febm),
        "ContrastiveDivergence": (tf_febm.ContrastiveDivergence, {"energy": world.energy}),
        "PseudoSpherical": (tf_febm.PseudoSpherical, {"energy": world.energy}),
        "ScoreMatching": (tf_febm.ScoreMatching, {"energy": world.energy}),
        "EnergyDiscrepancy": (tf_febm.EnergyDiscrepancy, {"energy": world.energy}),
        "NoiseContrastive": (tf_febm.NoiseContrastive, {"energy": world.plane,
            "reference": world.reference},
                             {"sampler": "object"}),
        "Recovery": (tf_febm.Recovery, {
            "energy": world.level_energy, "variational": world.level_variational, "levels": 2,
            "sampler": samplers.Langevin.from_epsilon(0.01, 2)}, {"sampler": "object"}),
        "MultiscaleScoreMatching": (tf_febm.MultiscaleScoreMatching, {
            "energy": world.level_energy, "reference": world.reference, "levels": 2,
            "sampler": samplers.Langevin.from_epsilon(0.01, 2)}, {"sampler": "object"}),
        "BidirectionalEBM": (tf_febm.BidirectionalEBM, {
            "energy": world.plane, "generator": world.generator, "latent_dim": 2,
            "sampler": samplers.Langevin.from_epsilon(0.01, 2)}, {"generator": "object"}),
        "pooled_chains": (models.pooled_chains, {
            "model": world.model, "num_samples": 4, "pool_size": 4, "batch_size": 2,
                "num_rounds": 2, "nomix": 1}),
        "pooled_chains_by_pool": (functools.wraps(models.pooled_chains_by_pool)(
            lambda **given: next(models.pooled_chains_by_pool(**given))), {
            "model": world.model, "num_samples": 4, "pool_size": 4, "batch_size": 2,
                "num_rounds": 2, "nomix": 1}),
        "export": (serving.export, lambda: {"model": world.model, "path": world.new_path()}),
    }  # fmt: skip
    kinds = fit_kinds()
    for name, model, known in (
        ("FEBM", world.model, {"x": x}),
        ("ContrastiveDivergence", world.conditional, {"x": x, "y": labels, "labels": labels}),
        ("NoiseContrastive", world.noise_model, {"x": world.points}),
        ("BidirectionalEBM", world.bidirectional, {"x": world.points}),
    ):
        plane = (
            {} if "Noise" not in name and "Bi" not in name else {"x": "table", "samples": "table"}
        )
        given = {"x": known["x"]}
        labelled = {k: v for k, v in known.items() if k != "y"}
        trained = {k: v for k, v in known.items() if k != "labels"}
        more = {k: v for k, v in labelled.items() if k != "x"}
        silent = {**trained, "verbose": 0}
        table_or = "trained table" if plane else "trained samples"
        taught = {"x": table_or, **({} if "y" in trained else {"y": None})}
        own = {**kinds, **plane, **({} if "y" in trained else {"y": None, "labels": None})}
        table |= {
            f"{name}.fit": (model.fit, silent, {**own, **taught}),
            f"{name}.evaluate": (model.evaluate, silent, {**own, **taught}),
            f"{name}.train_on_batch": (model.train_on_batch, trained, {**own, **taught}),
            f"{name}.test_on_batch": (model.test_on_batch, trained, {**own, **taught}),
            f"{name}.energy": (model.energy, labelled, own),
            f"{name}.score": (model.score, labelled, own),
            f"{name}.sample": (model.sample, {"num_samples": 4, **more}, own),
            f"{name}.sample_batch": (model.sample_batch, {"num_samples": 4, **more}, own),
        }
        if name != "BidirectionalEBM":
            table[f"{name}.compile"] = (
                model.compile,
                {},
                {
                    "optimizer": None,
                    # It would stay, and XLA drops the assertions about bad batches: see `compile`.
                    "jit_compile": None,
                    **dict.fromkeys(
                        (
                            "loss",
                            "loss_weights",
                            "metrics",
                            "weighted_metrics",
                            "variational_optimizer",
                        ),
                        None,
                    ),
                },
            )
        if "y" not in trained:
            table[f"{name}.predict"] = (model.predict, {**given, "verbose": 0}, own)
            table[f"{name}.predict_on_batch"] = (model.predict_on_batch, given, own)
    vector = {"x": world.points}
    table |= {
        "FEBM.log_density_ratio": (world.model.log_density_ratio, {"x": x}, {"labels": None}),
        "FEBM.descend": (world.model.descend, {"samples": x}, {"labels": None}),
        "FEBM.denoise": (world.model.denoise, {"samples": x, "noise_stddev": 0.1},
            {"labels": None}),
        "FEBM.build": (world.model.build, {"input_shape": (None, *SHAPE)}, {"input_shape": None}),
        "ContrastiveDivergence.descend": (world.conditional.descend, {"samples": x,
            "labels": labels}),
        "ContrastiveDivergence.denoise": (
            world.conditional.denoise, {"samples": x, "noise_stddev": 0.1, "labels": labels}),
        "NoiseContrastive.log_prob": (world.noise_model.log_prob, vector, {"x": "table",
            "labels": None, "return_interval": None}),
        "NoiseContrastive.log_noise_ratio": (
            world.noise_model.log_noise_ratio, vector, {"x": "table", "labels": None}),
        "BidirectionalEBM.generate": (
            world.bidirectional.generate, {"z": world.points}, {"z": "table"}),
        "BidirectionalEBM.latents": (world.bidirectional.latents, {"count": 4, "seed": 0}),
        "EnergyDetector": (sklearn.EnergyDetector, {}, dict.fromkeys(
            inspect.signature(sklearn.EnergyDetector).parameters)),
        "denoise": (applications.denoise, {"model": world.model, "images": x, "noise_level": 0.1,
            "num_steps": 2},
                    {"labels": None}),
        "inpaint": (applications.inpaint, {"model": world.model, "images": x, "known": x > 0.5,
            "num_steps": 2},
                    {"labels": None, "known": "array"}),
        "ood_scores": (applications.ood_scores, {"model": world.model, "images": x},
            {"labels": None}),
        "importance_weights": (applications.importance_weights, {"model": world.model,
            "samples": x},
                               {"labels": None}),
        "rejection_filter": (applications.rejection_filter, {"model": world.model, "samples": x},
            {"labels": None}),
        "rejection_sample": (applications.rejection_sample, {
            "model": world.model, "num_accepted": 2, "num_steps": 1, "num_pilot": 8,
                "batch_size": 8},
            {"labels": None}),
        "chain_evolution": (applications.chain_evolution, {
            "model": world.model, "num_chains": 2, "num_frames": 2, "num_steps": 2},
                {"labels": None}),
        "evolution_picture": (applications.evolution_picture, {
            "evolution": applications.chain_evolution(world.model, 2, 2, num_steps=2)},
                {"evolution": "object"}),
        "demonstrate": (applications.demonstrate, lambda: {
            "model": world.model, "held_out": world.more_images, "out": world.new_folder(),
                "num_images": 4,
            "num_steps": 2}, {"seed": "whole seed", "others": "mapping", "noise": "number"}),
        "score_rows": (applications.score_rows, lambda: {
            "model": world.noise_model, "train": world.vector_data, "held_out": world.more_vectors,
            "out": world.new_folder()}),
        "ImportanceWeights.resample": (
            applications.importance_weights(world.model, x).resample, {"count": 4, "seed": 0}),
        "ImportanceWeights.expectation": (
            applications.importance_weights(world.model, x).expectation, {"values": x},
                {"values": "array"}),
    }  # fmt: skip
    return table
