"""Good calls of everything public, on the smallest things that do."""

import functools
import inspect
import itertools
import shutil
import tempfile
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tf_febm
from drills.fuzz_figures import of_evaluation, of_mathematics
from drills.fuzz_kinds import SHAPE, kind_of
from drills.fuzz_models import of_models
from drills.fuzz_parts import of_data, of_networks, of_training
from drills.fuzz_uses import of_uses
from tf_febm import data, evaluation, networks, recipes, samplers, training

__all__ = ["Calls"]

# What takes long, or needs files that are not there, with good arguments.
LONG = (
    *("evaluate_run", "legacy.", "recipes.restore", "training.finish", "training.train"),
    *("InceptionGraph", "SqueezeNet", "KerasInception", "train_classifier", "best_normal"),
    *("annealed_log_partition", "demonstrate", "write_report", "plane_quality", "score_rows"),
    *(
        "pooled_chains",
        "Checkpoints.restore",
        "data.load",
        "Source",
        ".fit",
        ".evaluate",
        "_on_batch",
        "fit_log_partition",
        "pretrained.load",
        "restore_original",
    ),
)

PARTS = (of_models, of_uses, of_networks, of_data, of_evaluation, of_mathematics, of_training)


class Calls:
    """Everything public by name, with good arguments; a context that removes its files."""

    def __init__(self, parts=PARTS):
        self.folder = Path(tempfile.mkdtemp(prefix="tf_febm_fuzz_"))
        self._numbers = itertools.count()
        rng = np.random.default_rng(0)
        self.x = rng.random((4, *SHAPE), dtype=np.float32)
        self.labels = np.array([0, 1, 2, 0], np.int32)
        self.points = rng.standard_normal((40, 2)).astype(np.float32)
        self.features = rng.standard_normal((40, 3))
        self._make()
        self._table: dict[str, tuple] = {}
        for part in parts:
            self._table |= part(self)
        self.names = sorted(self._table)

    def _anew(self, function):
        """Return a function that writes to a folder, which is removed first."""

        @functools.wraps(function)
        def call(folder, *given, **named):
            if folder == self.folder / "written":
                shutil.rmtree(folder, ignore_errors=True)
            return function(folder, *given, **named)

        return call

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    @functools.cached_property
    def classifier(self):
        """A classifier of the pictures, which takes a while."""
        labels = np.arange(30, dtype=np.int32) % 3
        return evaluation.train_classifier(
            self._pictures, labels, 3, num_steps=2, filters=2, batch_size=8
        )

    def new_path(self, ending: str = "") -> Path:
        """Return a path where there is nothing."""
        return self.folder / f"new{next(self._numbers)}{ending}"

    def new_folder(self) -> Path:
        """Return a new folder."""
        folder = self.new_path()
        folder.mkdir()
        return folder

    def call(self, name: str, argument: str, value) -> Any:
        """Call with one argument replaced."""
        function, arguments = self._called(name)
        return function(**{**arguments, argument: value})

    def present(self, name: str, argument: str) -> Any:
        """Return the good value of an argument."""
        function, arguments = self._called(name)
        return arguments.get(argument, inspect.signature(function).parameters[argument].default)

    def optional(self, name: str, argument: str) -> bool:
        """Whether None is a good value, or may be."""
        function, arguments = self._called(name)
        parameter = inspect.signature(function).parameters[argument]
        annotation = parameter.annotation
        return parameter.default is None or type(None) in typing.get_args(annotation)

    def quick(self, name: str) -> bool:
        """Whether a good call takes a moment, and passes."""
        return not any(part in name for part in LONG)

    def kinds(self, name: str) -> dict[str, str]:
        """Return argument -> its kind, of those that have one."""
        function, _ = self._called(name)
        own = self._table[name][2] if len(self._table[name]) > 2 else {}
        found = {}
        for key, parameter in inspect.signature(function).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            kind = own[key] if key in own else kind_of(key, parameter.annotation)
            if kind is not None:
                found[key] = kind
        return found

    def _called(self, name: str) -> tuple[Callable, dict]:
        function, arguments = self._table[name][:2]
        return function, arguments() if callable(arguments) else arguments

    def _make(self) -> None:
        keras.utils.set_random_seed(7)
        mlp, langevin = networks.mlp, samplers.Langevin
        self.energy, self.variational = (
            mlp(SHAPE, (8,), "swish", name=n) for n in ("energy", "variational")
        )
        self.of_labels = mlp(SHAPE, (8,), "swish", num_classes=3)
        self.sampler = langevin(num_steps=2)
        self.model = tf_febm.FEBM(
            self.energy,
            self.variational,
            sampler=self.sampler,
            buffer=tf_febm.ReplayBuffer(20),
            seed=3,
        )
        self.model.compile()
        self.conditional = tf_febm.ContrastiveDivergence(
            self.of_labels, sampler=langevin(num_steps=2), buffer=tf_febm.ReplayBuffer(20), seed=3
        )
        self.conditional.compile()
        self.reference = networks.GaussianReference().adapt(self.points)
        self.plane = mlp((2,), (8,), "swish")
        self.level_energy, self.level_variational = (
            networks.mlp((size,), (4,), num_classes=2) for size in (2, 4)
        )
        self.noise_model = tf_febm.NoiseContrastive(self.plane, reference=self.reference, seed=3)
        self.noise_model.compile()
        free = langevin.from_epsilon(0.01, 2)
        self.plane_model = tf_febm.FEBM(
            mlp((2,), (8,), "swish"), mlp((2,), (8,), "swish"), sampler=free, seed=3
        )
        self.plane_model.compile()
        self.generator = networks.generator_mlp(2, (2,), (5,), "tanh")
        self.bidirectional = tf_febm.BidirectionalEBM(
            mlp((2,), (8,), "swish"), self.generator, 2, sampler=free, seed=3
        )
        self.bidirectional.compile()
        rng = np.random.default_rng(1)
        pictures = rng.integers(0, 256, (30, *SHAPE)).astype(np.uint8)
        self.image_data, self.more_images = (
            data.ImageData("array", p, np.arange(15, dtype=np.int32) % 3, 3)
            for p in np.split(pictures, 2)
        )
        self.vector_data, self.more_vectors = (
            data.VectorData("array", p) for p in np.split(self.points, 2)
        )
        self.labelled_vectors = data.VectorData(
            "array", self.points, np.arange(40, dtype=np.int32) % 2, 2
        )
        self._pictures = pictures
        self.table = self.folder / "points.csv"
        self.table.write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in self.points))
        np.savez(self.folder / "images.npz", x=pictures)
        data.write_records(self.folder / "records", pictures)
        self.read = lambda start, stop: data.Block(pictures[start:stop], None)
        self.write_records = self._anew(data.write_records)
        self.buffer = tf_febm.ReplayBuffer(20)
        self.buffer.build(SHAPE, (0.0, 1.0), 3)
        self.run_folder = training.RunFolder(self.folder / "run")
        self.checkpoints = training.Checkpoints(self.folder / "checkpoints", self.model)
        self.recipe = recipes.get("digits").replace(
            steps=2, num_steps=2, batch_size=4, final_steps=2, num_samples=4
        )
