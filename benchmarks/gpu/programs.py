"""Exported programs and their inputs, for `export.py` and `import_run.py`."""

import dataclasses
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from run import entries, inputs_of

from tf_febm import data, recipes

__all__ = ["PROGRAMS", "Program", "entries", "images_in", "inputs_of", "model_of"]


@dataclasses.dataclass(frozen=True)
class Program:
    """What is exported under a name.

    Attributes:
        kind: "step", a training step with all of its state, or "chain", chains alone.
        recipe: Name of the recipe.
        changes: Settings of the recipe that are others here.
        policy: Keras' dtype policy of the networks.
        calls: How many calls are recorded to be compared with; the large ones take a CPU too long.
        usual: Whether it is exported unless others are asked for.
    """

    kind: str
    recipe: str
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    policy: str = "float32"
    calls: int = 0
    usual: bool = True

    def as_dict(self) -> dict:
        """Return the attributes by name."""
        return dataclasses.asdict(self)


def _programs() -> dict[str, Program]:
    found = {
        "small_step": Program(
            "step",
            "digits",
            {"num_steps": 3, "batch_size": 8, "buffer_capacity": 50, "width": 16},
            calls=10,
        ),
        "small_chain": Program(
            "chain",
            "digits",
            {"num_steps": 3, "batch_size": 4, "network": "conv", "width": 4},
            calls=3,
        ),
        # The paper's network, in two steps of two images.
        "small_paper": Program(
            "step",
            "celeba_paper",
            {"num_steps": 2, "batch_size": 2, "buffer_capacity": 8, "width": 8},
            calls=2,
        ),
        "small_paper_chain": Program(
            "chain", "celeba_paper", {"num_steps": 2, "batch_size": 2, "width": 8}, calls=2
        ),
        "digits": Program("step", "digits"),
    }
    for policy, ending in (("float32", ""), ("mixed_bfloat16", "_bfloat16")):
        found[f"faces{ending}"] = Program("step", "celeba", policy=policy)
        for width in (32, 64, 128):
            settings = ("celeba_paper", {"width": width}, policy)
            found[f"paper_{width}{ending}"] = Program("step", *settings)
            found[f"chain_{width}{ending}"] = Program("chain", *settings)
    return found


PROGRAMS = _programs()


def images_in(path: Path) -> np.ndarray:
    """Return the images of an .npz, uint8 [n, 32, 32, 3], whatever they are called there."""
    with np.load(path, allow_pickle=False) as file:
        fitting = [file[key] for key in file.files if file[key].ndim == 4]
    if not fitting or fitting[0].dtype != np.uint8:
        raise ValueError(f"{path} must hold one uint8 array [n, height, width, channels].")
    return fitting[0]


def model_of(program: Program, images: np.ndarray | None) -> tuple:
    """Return the compiled model of a program and its recipe.

    Args:
        program: What to make.
        images: The faces that a reference is fitted to, uint8 [n, 32, 32, 3]; made up if None.
    """
    recipe = recipes.get(program.recipe).replace(**program.changes)
    source: Any = data.load("digits")
    if program.recipe != "digits":
        if images is None:
            coarse = np.random.default_rng(0).integers(0, 256, (600, 8, 8, 3), np.uint8)
            images = coarse.repeat(4, axis=1).repeat(4, axis=2)
        source = data.as_data(images)
    keras.config.set_dtype_policy(program.policy)
    try:
        keras.utils.set_random_seed(0)
        return recipe.build(source), recipe
    finally:
        keras.config.set_dtype_policy("float32")
