"""Figures and pictures of a run's samples, against real images and by their neighbours."""

import csv
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tf_febm import evaluation, files
from tf_febm.models import pooled_chains
from tf_febm.training.loop import draw_samples, to_unit_scale
from tf_febm.training.recorders import read_metrics
from tf_febm.training.schedule import steps_taken

__all__ = ["References", "draw_in_rounds", "measure_curve", "measure_samples", "references"]

# Samples, and neighbours of each, in the pictures of neighbours.
SHOWN, NEIGHBOURS = 12, 7
# Samples whose nearest training images are measured.
SEARCHED = 200


class References(NamedTuple):
    """What samples are compared with, and what shows how near real images come to real images.

    Attributes:
        name: "train", "test" or "all".
        images: Those images.
        scale_name: Which images are the scale, "train" or "test".
        scale_images: Those images, as many as samples if there are.
        against_name: What the scale is compared with: never images that it is among.
        against_images: Those images.
    """

    name: str
    images: np.ndarray
    scale_name: str
    scale_images: np.ndarray
    against_name: str
    against_images: np.ndarray


def references(name: str, train, held_out, count: int, num_real: int | None = None) -> References:
    """Return the real images that samples are compared with.

    Args:
        name: "train", "test", or "all", as the published evaluation takes.
        train: `ImageData` of the run.
        held_out: `ImageData` of its test split.
        count: Number of samples, and of the images of the scale.
        num_real: How many real images, drawn at random; all if None.
    """
    own = {"train": train.images, "test": held_out.images}
    real = np.concatenate([*own.values()]) if name == "all" else own[name]
    real = _chosen(real, num_real)
    scale = "train" if name == "test" else "test"
    # The test images are among all of them, and would be at distance zero from themselves.
    against = "train" if name == "all" else name
    against_images = _chosen(own["train"], num_real) if name == "all" else real
    return References(name, real, scale, _chosen(own[scale], count), against, against_images)


def measure_samples(
    samples, sets: References, network, cache_dir, train, held_out, out, num_real: int | None = None
) -> dict:
    """Return figures of samples, with those of real images as a scale to read them by.

    Pictures of the nearest training images go into a folder.

    Args:
        samples: [n, height, width, channels] in [0, 1].
        sets: Of `references`.
        network: `evaluation.FeatureNetwork`, or None: then there are distances in pixels alone.
        cache_dir: Folder for the features of real images.
        train: `ImageData` that neighbours are searched in.
        held_out: `ImageData`, whose own neighbours tell how near unseen images are.
        out: Folder of the pictures.
        num_real: How many training images are searched, drawn at random; all if None.

    Returns:
        "samples" and "held_out", figures with the images that they were measured against, and
        "nearest", median distances to the nearest training image: samples much nearer than held-out
        images are copies.
    """
    result: dict[str, Any] = {}
    if network is not None:
        measure = partial(evaluation.evaluate_samples, network=network, cache_dir=cache_dir)
        scale = measure(sets.scale_images, sets.against_images, reference=sets.against_name)
        result["samples"] = measure(samples, sets.images, reference=sets.name).as_dict()
        result["held_out"] = {"images": sets.scale_name, **scale.as_dict()}
    real, unseen = _chosen(train.images, num_real), _chosen(held_out.images, len(samples))
    searches = {"pixels": lambda images: evaluation.nearest_neighbours(images, real, NEIGHBOURS)}
    if network is not None:
        known = evaluation.feature_statistics(real, network, cache_dir).features
        searches["features"] = lambda images: evaluation.nearest_in_features(
            network.features(images), known, NEIGHBOURS
        )
    nearest: dict[str, Any] = {"reference": "train", "num_real": len(real)}
    for name, search in searches.items():
        found, usual = search(samples[:SEARCHED]), search(unseen[:SEARCHED])
        nearest[name] = {
            "samples": float(np.median(found.distances[:, 0])),
            "held_out": float(np.median(usual.distances[:, 0])),
        }
        picture = evaluation.neighbours_grid(samples[:SHOWN], real, found.indices[:SHOWN])
        evaluation.save_png(Path(out) / f"neighbours_{name}.png", picture)
    return {**result, "nearest": nearest}


def draw_in_rounds(
    model,
    checkpoints,
    num_samples: int,
    seed: int,
    *,
    rounds: int,
    ensemble: int = 1,
    averaged: bool = True,
    num_steps: int | None = None,
    **settings,
) -> np.ndarray:
    """Return samples in [0, 1], [n, …], drawn by `models.pooled_chains`, or as training goes on.

    Args:
        model: The model as it is.
        checkpoints: Its Checkpoints, for an ensemble.
        num_samples: How many.
        seed: Of all of it.
        rounds: Rounds of a pool of chains from noise; 0 continues the chains of training.
        ensemble: Newest checkpoints whose weights the rounds use in turn.
        averaged: Whether to use averaged weights, if the run kept any.
        num_steps: Steps of the sampler for each sample, or of a round.
        **settings: Further arguments of `models.pooled_chains`.

    Raises:
        ValueError: An ensemble is larger than what was kept.
    """
    if not rounds:
        return draw_samples(model, num_samples, num_steps, seed)[0]
    averaged = averaged and model.average is not None
    members = None
    if ensemble > 1:
        # Backwards from the checkpoint that was restored.
        step = steps_taken(model)
        steps = [kept for kept in checkpoints.steps if kept <= step]
        if ensemble > len(steps):
            raise ValueError(
                f"An ensemble of {ensemble} needs as many checkpoints up to step {step}; "
                f"{len(steps)} were kept (see keep_checkpoints of the recipe)."
            )
        members = [checkpoints.energy_weights(k, averaged=averaged) for k in steps[-ensemble:]]
    drawn = pooled_chains(
        model,
        num_samples,
        seed,
        num_rounds=rounds,
        num_steps=num_steps,
        ensemble=members,
        averaged=averaged and members is None,
        **settings,
    ).samples
    return to_unit_scale(model, drawn)


def measure_curve(
    checkpoints, draw: Callable[[], np.ndarray], sets: References, network, cache_dir, folder, out,
    report: Callable[[str], None] = lambda line: None,
) -> None:  # fmt: skip
    """Write curve.csv and curve.png: the Fréchet distance of each checkpoint's samples.

    Args:
        checkpoints: `Checkpoints`; its model is left at the last of them.
        draw: () -> samples of the model as it is, [n, height, width, channels].
        sets: Of `references`.
        network: `evaluation.FeatureNetwork`.
        cache_dir: Folder for the features of real images.
        folder: The `RunFolder`, whose metrics tell the time of training.
        out: Where the files go.
        report: Takes a line per checkpoint.
    """
    seconds = {
        int(row["step"]): float(row["seconds"])
        for row in read_metrics(folder.metrics)
        if row.get("step") and row.get("seconds")
    }

    def features_of(images):
        return evaluation.feature_statistics(images, network, cache_dir).features

    def distance(images, reference):
        return evaluation.frechet_distance(network.features(images), reference)

    reachable = distance(sets.scale_images, features_of(sets.against_images))
    reference = features_of(sets.images)
    rows = []
    for step in checkpoints.steps:
        checkpoints.restore(step)
        row = {"step": step, "seconds": seconds.get(step), "reference": sets.name}
        found = distance(draw(), reference)
        rows.append(row | {"frechet_distance": found, "held_out": reachable})
        report(f"step {step}: Frechet distance {found:.2f}")
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, rows[0])
    table.writeheader()
    table.writerows(rows)
    files.write_atomically(
        Path(out) / "curve.csv", lambda file: file.write(text.getvalue().encode())
    )
    # Over time where it is known: what a step costs differs from run to run.
    timed = all(row["seconds"] for row in rows)
    along = [row["seconds"] / 60 if timed else row["step"] for row in rows]
    chart = evaluation.line_chart(
        {
            "samples": (along, [row["frechet_distance"] for row in rows]),
            "other real images": (along, [reachable for _ in rows]),
        },
        f"Fréchet distance from {sets.name}, {network.feature_network}",
        f"minutes of training ({rows[-1]['step']:,} steps)" if timed else "training step",
    )
    evaluation.save_png(Path(out) / "curve.png", chart)


def _chosen(images, count: int | None):
    """Return at most `count` images, drawn at random without replacement; all if it is None."""
    if count is None or count >= len(images):
        return images
    return images[np.sort(np.random.default_rng(0).permutation(len(images))[:count])]
