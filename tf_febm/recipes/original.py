"""Evaluations as the original code has them: of its checkpoints, with its settings of chains."""

import re
from pathlib import Path
from typing import Any

from tf_febm import arguments, data, legacy, models, samplers
from tf_febm.legacy.checkpoint import ScopeReader
from tf_febm.legacy.inference import infer_architecture
from tf_febm.original_names import FIELDS
from tf_febm.recipes.building import make_sampler
from tf_febm.recipes.choosing import get
from tf_febm.recipes.stored import Restored
from tf_febm.training import RunFolder

__all__ = ["change_sampler", "restore_original"]


@arguments.checked
def restore_original(
    checkpoint: arguments.Path,
    dataset: str | None,
    data_dir: arguments.Path | None = None,
    use_attention: bool = False,
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
        ValueError: The checkpoint is none of a known network or not for such images, or no data set
            is named.
        OSError: The data cannot be read.
    """
    if not dataset:
        raise ValueError("dataset= must name the images that the checkpoint was trained on.")
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


@arguments.checking({"sampler": arguments.having("a sampler of tf_febm.samplers", "get_config")})
def change_sampler(
    sampler: arguments.Sampler,
    *,
    step_lr: float | None = None,
    noise_scale: float | None = None,
    proj_norm: float | None = None,
) -> Any:
    """Return a sampler with other settings, in the original's names; as it is if all are None.

    Args:
        sampler: One of `tf_febm.samplers`; of a `Preconditioned`, that inside is changed.
        step_lr: Its step size, at least 0.
        noise_scale: Standard deviation of the noise of a Langevin step, at least 0.
        proj_norm: Bound on the gradient of a Langevin step, on each coordinate or on the norm as
            the sampler has it; 0 bounds none.

    Raises:
        ValueError: The sampler has no such setting, or a value is out of its range.
    """
    if isinstance(sampler, samplers.Preconditioned):
        inner = change_sampler(
            sampler.sampler, step_lr=step_lr, noise_scale=noise_scale, proj_norm=proj_norm
        )
        return samplers.Preconditioned(inner, sampler.reference, sampler.spread)
    given = {"step_lr": step_lr, "noise_scale": noise_scale, "proj_norm": proj_norm}
    given = {name: value for name, value in given.items() if value is not None}
    config = sampler.get_config()
    fields = dict(FIELDS)
    if config.get("grad_clip_norm") is not None:
        fields["proj_norm"] = "grad_clip_norm"
    for name, value in given.items():
        field = fields.get(name, name)
        if field not in config:
            raise ValueError(
                f"{name}={value:g} is for Langevin dynamics; the sampler is a "
                f"{type(sampler).__name__}: leave it out."
            )
        config[field] = (value or None) if name == "proj_norm" else value
    return type(sampler).from_config(config) if given else sampler
