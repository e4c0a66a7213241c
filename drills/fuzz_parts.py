"""Fuzzed calls of networks, data and training."""

import types
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from drills.fuzz_kinds import SHAPE
from tf_febm import data, legacy, networks, recipes, training, untrusted_files
from tf_febm.data import toy_datasets

__all__ = ["of_networks", "of_data", "of_training"]


def of_networks(world) -> dict[str, tuple]:
    """Return name -> (callable, good arguments, kinds of some), of networks."""
    image, generator = {"image_shape": SHAPE}, {"latent_dim": 2, "output_shape": (2,)}
    resnet = {"image_shape": (8, 8, 1), "num_filters": 2}
    pictured = {"latent_dim": 2, "output_shape": (8, 8, 1), "num_filters": 2}
    seed = {"seed": "whole seed"}
    return {
        "networks.build": (networks.build, {"network": "mlp", "shape": SHAPE, "width": 4},
                           {"whiten": "object", "mean": "array", "scale": "array"}),
        "networks.build_generator": (
            networks.build_generator, {"generator": "mlp", "latent_dim": 2, "shape": (2,),
                "width": 4}),
        "networks.get": (networks.get, {"name": "mlp"}, {"name": "choice"}),
        "networks.get_generator": (networks.get_generator, {"name": "mlp"}, {"name": "choice"}),
        "networks.mlp": (networks.mlp, {"input_shape": SHAPE, "hidden_units": (4,)}),
        "networks.fourier_mlp": (networks.fourier_mlp, {"input_shape": 2, "hidden_units": (4,)}),
        "networks.conv": (networks.conv, {**image, "num_filters": 2, "dense_units": 4}),
        "networks.strided": (networks.strided, {
            "image_shape": (8, 8, 1), "num_filters": 2, "dense_units": 4}, {"whiten": "object"}),
        "networks.mnist_net": (networks.mnist_net, {"num_filters": 2, "image_shape": (8, 8, 1)}),
        "networks.quadratic": (networks.quadratic, {"dimension": 2}),
        "networks.published_bounds": (networks.published_bounds, {"input_shape": (2,),
            "num_filters": 2}),
        **{f"networks.{name}": (getattr(networks, name), resnet) for name in (
            "resnet32", "resnet32_large", "resnet32_larger", "resnet32_wider")},
        "networks.resnet128": (networks.resnet128, {"num_filters": 2, "image_shape": (64, 64, 1)}),
        "networks.generator_mlp": (networks.generator_mlp, {**generator, "hidden_units": (4,)}),
        "networks.generator_coupling": (networks.generator_coupling, {
            **generator, "hidden_units": (4,), "num_layers": 2}, {"batch_norm": None}),
        "networks.generator_monotone": (networks.generator_monotone, {**generator,
            "num_layers": 2}),
        "networks.generator_published_bounds": (
            networks.generator_published_bounds, {**generator, "num_filters": 2}),
        "networks.generator_dcgan": (networks.generator_dcgan, pictured),
        "networks.generator_resnet": (networks.generator_resnet, pictured),
        "networks.standardised": (networks.standardised, {
            "network": world.plane, "mean": np.zeros(2), "scale": np.ones(2)},
            {"network": "object", "mean": "array", "scale": "array"}),
        "networks.with_confinement": (
            networks.with_confinement, {"network": world.plane, "strength": 0.1},
                {"network": "object"}),
        "GaussianReference": (networks.GaussianReference, {}, {"noise": "number"}),
        "GaussianReference.adapt": (
            lambda data: networks.GaussianReference().adapt(data), {"data": world.points},
                {"data": "table"}),
        "GaussianReference.from_moments": (networks.GaussianReference.from_moments, {
            "mean": np.zeros(2), "scale": np.ones(2)}, {"mean": "array", "scale": "array"}),
        "GaussianReference.sample": (world.reference.sample, {"num_samples": 2, "seed": 0}),
        **{f"GaussianReference.{name}": (getattr(world.reference, name), {"x": world.points},
            {"x": "table"})
           for name in ("whiten", "zca", "energy", "log_prob")},
        "GaussianReference.color": (world.reference.color, {"z": world.points}, {"z": "table"}),
        "FourierFeatures": (networks.FourierFeatures, {"num_features": 4, "frequency": 1.0}, seed),
        "SpectralConv2D": (networks.SpectralConv2D, {"filters": 2}),
        "SpectralDense": (networks.SpectralDense, {"units": 2}),
        "MonotoneSum": (networks.MonotoneSum, {}, seed),
        "QuadraticConfinement": (networks.QuadraticConfinement, {"strength": 0.1}),
        "QuadraticEnergy": (networks.QuadraticEnergy, {}),
        "IndexFeatures": (networks.IndexFeatures, {"harmonics": 2}),
        "SelfAttention": (networks.SelfAttention, {"units": 2}),
        "Dense": (networks.Dense, {"units": 2}),
        "Conv2D": (networks.Conv2D, {"filters": 2, "kernel_size": 3}, {"data_format": "choice",
            "padding": "choice", "kernel_size": "units", "strides": "units"}),
        "Standardise": (networks.Standardise, {"mean": np.zeros(2), "scale": np.ones(2)},
                        {"mean": "array", "scale": "array"}),
        "Whiten": (networks.Whiten, {"reference": networks.GaussianReference("spectral").adapt(
            np.random.default_rng(0).random((9, *SHAPE), dtype=np.float32))}),
        "NormalisedEnergy": (networks.NormalisedEnergy, {"network": world.plane},
            {"network": "object"}),
        "legacy.load_network": (legacy.load_network, {"checkpoint": world.folder / "none"}, {
            "checkpoint": "path", "architecture": "choice", "scope": "text"}),
        "legacy.load_networks": (legacy.load_networks, {"checkpoint": world.folder / "none"}, {
            "checkpoint": "path", "architecture": "choice"}),
    }  # fmt: skip


def of_data(world) -> dict[str, tuple]:
    """Return name -> (callable, good arguments, kinds of some), of data."""
    pixels = world.image_data.images
    whole = {"seed": "whole seed"}
    eight_bit = {"images": "array"}
    file = {"name": "npz", "data_dir": world.folder / "images.npz"}
    table = {"name": "csv", "data_dir": world.table, "header": True}
    names = {"name": "choice", "drop_columns": "names", "max_gib": "number", "label_column": "text",
             "subfolders": "choice", "split": "choice"}  # fmt: skip
    toy = toy_datasets.get("moons")
    return {
        "ImageData": (data.ImageData, {"name": "array", "images": pixels}, {
            **eight_bit, "labels": None, "num_classes": None, "class_names": None}),
        "ImageData+labels": (data.ImageData, {
            "name": "array", "images": pixels[:4], "labels": world.labels, "num_classes": 3},
            {**eight_bit, "labels": "array"}),
        "VectorData": (data.VectorData, {"name": "array", "vectors": world.points}, {
            "vectors": "table", "labels": None, "num_classes": None, "class_names": None,
                "columns": "names"}),
        "ImageData.examples": (world.image_data.examples, {"count": 2}, whole),
        "VectorData.examples": (world.vector_data.examples, {"count": 2}, whole),
        "Source": (data.Source, file, {**names, "name": "text", "subfolders": "text"}),
        "data.load": (data.load, file, {**names, **dict.fromkeys(("header", "index_column"))}),
        "data.load(records)": (data.load, {"name": "records", "data_dir": world.folder / "records",
            "shuffle_buffer": 4}, {**names, "image_size": None}),
        "write_records": (world.write_records, {"folder": world.folder / "written",
            "data": world.points}, {"folder": None, "split": "choice", "data": "table"}),
        "Rows": (data.Rows, {"edges": (0, 4), "read": world.read, "buffer": 2}, {"edges": None,
            "read": None, "buffer": "count"}),
        "data.load(csv)": (data.load, table, {**names, "image_size": None}),
        "as_data": (data.as_data, {"x": world.points}, {"x": "table", "labels": None}),
        "as_data+labels": (data.as_data, {"x": pixels[:4], "labels": world.labels}, {"x": "table",
            "labels": "array"}),
        "hold_out": (data.hold_out, {"source": world.image_data}, {"source": "object"}),
        "check_float32_resolution": (data.check_float32_resolution, {"values": world.points}, {
            "values": "array", "columns": "names"}),
        "class_indices": (data.class_indices, {"ids": world.labels}, {"ids": None}),
        "dequantise": (data.dequantise, {"images": pixels}, eight_bit),
        "data.stream": (data.stream, {"data": world.image_data, "batch_size": 4,
            "random_crop": 1}, {
            **whole, "shard": None}),
        "toy_datasets.get": (toy_datasets.get, {"name": "moons"}, {"name": "choice"}),
        "ToyDataset.sample": (toy.sample, {"count": 3}, whole),
        "ToyDataset.log_prob": (toy.log_prob, {"x": world.points}, {"x": "table"}),
        "without_tuning": (data.without_tuning, {"dataset": tf.data.Dataset.range(3)},
            {"dataset": "object"}),
        "untrusted_files.read_bytes": (untrusted_files.read_bytes, {"path": world.table}),
        "untrusted_files.read_arrays": (
            untrusted_files.read_arrays, {"path": world.folder / "images.npz"}
        ),
        "untrusted_files.regular_size": (untrusted_files.regular_size, {"path": world.table}),
    }  # fmt: skip


def of_training(world) -> dict[str, tuple]:
    """Return name -> (callable, good arguments, kinds of some), of training."""
    every = {"every": 2}
    plain: Callable = lambda samples: {}  # noqa: E731
    writer = {"writer": None, "folder": "path", "names": None}
    run = {"folder": world.run_folder, "model": world.model}
    table: dict[str, tuple] = {
        "AveragedWeights": (training.AveragedWeights, {}),
        "ChainDiagnostics": (training.ChainDiagnostics, {**every, "folder": world.folder}, writer),
        "Checkpoints": (training.Checkpoints, lambda: {"folder": world.new_path(),
            "model": world.model},
                        {"best_metric": None}),
        "Checkpoints.restore": (world.checkpoints.restore, {}, {"before": "count"}),
        "DivergenceGuard": (training.DivergenceGuard, {"checkpoints": world.checkpoints}, {
            "checkpoints": "object", "reference": "array", "limits": "object", "diagnosis": None}),
        "EnergyHistograms": (training.EnergyHistograms, {
            "data": world.x, "labels": None, **every, "folder": world.folder}, {**writer,
                "data": "array",
                                                                             "labels": None}),
        "HeldOutGain": (training.HeldOutGain, {"x": world.points}, {**writer, "x": "table"}),
        "MetricsTable": (training.MetricsTable, lambda: {"path": world.new_path()}),
        "Progress": (training.Progress, {"total_steps": 3, "write": print}, {
            "write": "function", "every": "number"}),
        "QualityMetrics": (training.QualityMetrics, {"measure": plain, **every}, {**writer,
            "measure": "function"}),
        "RunFolder": (training.RunFolder, lambda: {"path": world.new_path()}),
        "SampleGrids": (training.SampleGrids, {"folder": world.folder, **every}, {**writer,
            "data": "array"}),
        "Scalars": (training.Scalars, {"writer": world.folder}, {"writer": "path"}),
        "VariationalRate": (training.VariationalRate, {}),
        "Sampling": (training.Sampling, {"num_samples": 4}, {"seed": "whole seed"}),
        "draw_samples": (training.draw_samples, {"model": world.model, "count": 4, "num_steps": 1,
            "seed": 0},
                         {"seed": "whole seed"}),
        "steps_in_epochs": (training.steps_in_epochs, {"start": 0, "stop": 4, "interval": 2}),
        "steps_taken": (training.steps_taken, {"model": world.model}),
        "to_unit_scale": (training.to_unit_scale, {"model": world.model, "samples": world.x}),
        "write_report": (training.write_report, {"folder": world.run_folder}, {"folder": "object"}),
        "training.train": (training.train, {
            **run, "stream": lambda step: None, "checkpoints": world.checkpoints, "total_steps": 2,
            "log_interval": 1, "sample_interval": 1, "save_interval": 1}, {
            "folder": "object", "checkpoints": "object", "probe": None, "guard": "object",
                "stop": "object",
            "expected_seconds": "number"}),
        "training.finish": (training.finish, {
            **run, "num_samples": 4, "num_steps": 1, "seed": 0}, {
            "folder": "object", "probe": None, "segments": None, "seed": "whole seed"}),
        "training.run": (training.run, lambda: {
            "recipe": world.recipe, "data": world.image_data, "folder": world.new_path(),
                "dry_run": True},
            {"recipe": "object", "held_out": "object", "dry_run": None, "chosen": "mapping",
                "stop": "object"}),
        "evaluate_run": (training.evaluate_run, lambda: {
            "run": types.SimpleNamespace(model=world.model, checkpoints=world.checkpoints,
                train=world.image_data,
                                         held_out=world.more_images, step=0), "network": None,
                                             "out": world.new_path(),
                                                 "sampling": training.Sampling(4)}, {
            "run": "object", "network": None, "sampling": "object", "reference": "choice"}),
        "recipes.get": (recipes.get, {"name": "digits"}, {"name": "choice"}),
        "recipes.for_dataset": (recipes.for_dataset, {"dataset": "digits"}, {"dataset": "text"}),
        "recipes.restore": (recipes.restore, {"folder": world.folder / "none"},
            {"report": "function"}),
        "Recipe": (recipes.Recipe, {}, {
            "seed": "whole seed", "reference": "choice", "sampler": "choice", "chains": "choice",
                "why": "text",
            "buffer_storage": "choice", "best_metric": "text"}),
        "Recipe.build": (world.recipe.build, {"data": world.image_data}, {"labels": None}),
        "Recipe.stream": (world.recipe.stream, {"data": world.image_data}, {"labels": None,
            "shard": None}),
    }  # fmt: skip
    return table
