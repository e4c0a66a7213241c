"""A checkpoint of the original code, with the data that its samples are measured against."""

import re
from pathlib import Path

from tf_febm import data, legacy, models
from tf_febm.legacy.checkpoint import ScopeReader
from tf_febm.legacy.inference import infer_architecture
from tf_febm.recipes.building import make_sampler
from tf_febm.recipes.stored import Restored
from tf_febm.recipes.table import get
from tf_febm.training import RunFolder

__all__ = ["restore_original"]


def restore_original(
    checkpoint, dataset: str, data_dir=None, *, use_attention: bool = False
) -> Restored:
    """Return the energy of a checkpoint of the original code, ready to sample and measure.

    Its sampler is that of the recipe "paper". There are no chains of training: the original keeps
    none, so samples begin at noise.

    Args:
        checkpoint: Path of the files `….index` and `….data-…`, without these endings.
        dataset: Name of the images that it was trained on; see `data.load`.
        data_dir: Where they are.
        use_attention: Whether the original ran with the flag of this name.

    Returns:
        The model, without a second player; its folder is the checkpoint's path, and has no
        checkpoints of a run.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The checkpoint is none of a known network, or not for such images.
        OSError: The data cannot be read.
    """
    checkpoint = Path(checkpoint)
    architecture = infer_architecture(ScopeReader(checkpoint, "context_energy"))
    network = legacy.load_network(checkpoint, architecture, use_attention=use_attention)
    model = models.ContrastiveDivergence(network, initial="noise", seed=0)
    train, held_out = data.Source(dataset, data_dir, model.sample_shape[0]).load()
    if train.sample_shape != model.sample_shape:
        raise ValueError(
            f"{checkpoint} is of images of shape {model.sample_shape}; {train.source} has "
            f"{train.sample_shape}."
        )
    if model.conditional and train.num_classes != model.num_classes:
        raise ValueError(
            f"{checkpoint} has {model.num_classes} classes; {train.source} has {train.num_classes}."
        )
    recipe = get("paper").changed(
        {
            "method": "contrastive_divergence",
            "conditional": model.conditional,
            "network": architecture,
            "use_attention": use_attention,
        }
    )
    model.sampler = make_sampler(recipe, train)
    model.class_names = train.class_names if model.conditional else None
    number = re.search(r"(\d+)$", checkpoint.name)
    step = int(number[1]) if number else 0
    return Restored(RunFolder(checkpoint), recipe, model, train, held_out, None, step)
