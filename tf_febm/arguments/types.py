"""Types of arguments, as signatures have them; with a kind, which is what a call checks.

TensorFlow has no types, so that to a type checker a tensor is Any; people read the words.
"""

import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from tf_febm.arguments import kinds
from tf_febm.arguments.kinds import having

__all__ = [
    "Array",
    "Bounds",
    "Classifier",
    "Data",
    "Density",
    "Distribution",
    "DivergenceLike",
    "DtypeLike",
    "Exported",
    "Function",
    "Labels",
    "Logs",
    "Model",
    "Names",
    "Network",
    "Numbers",
    "Optimizer",
    "Path",
    "RecipeLike",
    "Reals",
    "Reference",
    "Sampler",
    "Seed",
    "Shape",
    "Sizes",
    "Strategy",
    "Tensor",
    "ToyDensity",
    "Whole",
    "Writer",
]

Array = Annotated[Any, kinds.ARRAY]
Bounds = Annotated[tuple[float, float], kinds.BOUNDS]
Classifier = Annotated[Any, having("an evaluation.Classifier", "probabilities", "num_classes")]
Density = Annotated[Any, having("a density with sample and log_prob", "sample", "log_prob")]
Exported = Annotated[Any, having("a model of this library", "evaluated_networks")]
Function = Annotated[Callable[..., Any], kinds.FUNCTION]
Labels = Annotated[Any, kinds.LABELS]
Model = Annotated[Any, kinds.MODEL]
Names = Annotated[Sequence[str], kinds.NAMES]
Numbers = Annotated[Any, kinds.NUMBERS]
Path = Annotated[str | os.PathLike[str], kinds.PATH]
Reals = Annotated[Any, kinds.REALS]
RecipeLike = Annotated[Any, having("a Recipe", "as_dict", "batch_size")]
Reference = Annotated[Any, kinds.REFERENCE]
Seed = Annotated[Any, kinds.SEED]
Shape = Annotated[Any, kinds.SHAPE]
Sizes = Annotated[Any, kinds.SHAPE | kinds.SIZES]
Strategy = Annotated[Any, kinds.STRATEGY]
ToyDensity = Annotated[
    Any,
    having("a density with a box, as of data.toy_datasets", "sample", "log_prob", "box"),
]
Writer = Annotated[Any, kinds.WRITER]

# What the functions that take it say more about.
Data = Annotated[Any, "data"]
Distribution = Annotated[Any, "a tfp distribution"]
DivergenceLike = Annotated[Any, "a Divergence or its name"]
DtypeLike = Annotated[Any, "a dtype or its name"]
Logs = Annotated[dict[str, Any], "name -> number"]
Network = Annotated[Any, "a Keras model or layer"]
Optimizer = Annotated[Any, "a Keras optimizer or its name"]
Sampler = Annotated[Any, "a sampler"]
Tensor = Annotated[Any, "an array or tensor"]
Whole = Annotated[Any, "a whole number, or a scalar tensor of one"]
