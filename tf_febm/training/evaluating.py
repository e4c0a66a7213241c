"""Figures and pictures of a run's samples, against real images and by their neighbours."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tf_febm import applications, arguments, evaluation, extras, files
from tf_febm.models import pooled_chains
from tf_febm.training.environment import versions
from tf_febm.training.finishing import draw_samples, to_unit_scale
from tf_febm.training.pictures import for_showing
from tf_febm.training.recorders import read_metrics
from tf_febm.training.schedule import steps_taken

__all__ = ["Sampling", "evaluate_rows", "evaluate_run"]

# Images of the grid.
GRID = 100

# Samples, and neighbours of each, in the pictures of neighbours.
SHOWN, NEIGHBOURS = 12, 7
# Samples whose nearest training images are measured.
SEARCHED = 200


@arguments.checked
@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the samples of a finished run are drawn.

    Attributes:
        num_samples: How many.
        num_steps: Steps of the sampler for each, or of a round; those of training if None.
        seed: Of all of it.
        descent_steps: Steps without noise afterwards; see `model.descend`.
        noise_removed: Standard deviation of the noise that `model.denoise` takes off then.
        rounds: Rounds of a pool of chains from noise, as published; 0 continues the chains of
            training. What follows is for rounds alone; see `models.pooled_chains`.
        pool_size: Chains of the pool.
        batch_size: How many of them run in a round.
        nomix: Last rounds, in which no chain restarts and no label is redrawn.
        restart_probability: Share of the chains of a round that restart from noise.
        label_probability: Share of the labels of a round that are redrawn.
        ensemble: Newest checkpoints whose weights the rounds use in turn.
        averaged: Whether to use averaged weights, if the run kept any.
    """

    num_samples: int
    num_steps: int | None = None
    seed: int = 0
    descent_steps: int = 0
    noise_removed: float = 0.0
    rounds: int = 0
    pool_size: int = 1000
    batch_size: int = 512
    nomix: int = 10
    restart_probability: float = 0.01
    label_probability: float = 0.1
    ensemble: int = 1
    averaged: bool = True

    def __post_init__(self):
        for name in ("seed", "descent_steps", "rounds", "nomix"):
            arguments.whole_number(name, getattr(self, name))
        for name in ("num_samples", "pool_size", "batch_size", "ensemble"):
            arguments.whole_number(name, getattr(self, name), 1)


@arguments.checking(
    {
        "run": arguments.having("what recipes.restore returns", "model", "checkpoints", "train"),
        "network": arguments.FEATURE_NETWORK | arguments.NONE,
    }
)
def evaluate_run(
    run: Any,
    network: arguments.Network,
    out: arguments.Path,
    sampling: Sampling,
    *,
    reference: str = "train",
    num_real: int | None = None,
    cache_dir: arguments.Path | None = None,
    curve: bool = False,
    report: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure the samples of a finished run on images; write evaluation.json and pictures.

    Args:
        run: What `recipes.restore` returns.
        network: `evaluation.FeatureNetwork`, or None: then there are distances in pixels alone.
        out: Folder of the results.
        sampling: How samples are drawn.
        reference: Real images to compare with: "train", "test", or "all", as published.
        num_real: How many of these, drawn at random; all if None.
        cache_dir: Folder of features of real images; <out>/cache if None.
        curve: Whether to measure every checkpoint that was kept, into curve.csv and curve.png. The
            model is then left at the last of them.
        report: Takes lines about what is done.
        progress: Takes (rounds done, rounds in all).

    Returns:
        What evaluation.json holds: "sampling", "versions"; "classification" of a conditional
        model, see `evaluation.model_classification`; "samples" and "held_out", figures with
        the images that they were measured against; "nearest", median distances to the nearest
        training image: samples much nearer than held-out images are copies; and "quality", where
        the network is a `evaluation.Classifier`, or where there is none.

    Raises:
        OSError: The folder cannot be written to.
        ValueError: An ensemble is larger than what was kept.
        ImportError: The extra `run` is not installed.
    """
    extras.needs()
    arguments.choice("reference", reference, ("train", "test", "all"))
    num_real = arguments.optional(arguments.whole_number, "num_real", num_real, 2)
    out, train, held_out = Path(out), run.train, run.held_out
    cache_dir = out / "cache" if cache_dir is None else Path(cache_dir)
    if network is not None:
        report(f"Features: {network.feature_network}")
    report(f"Drawing {sampling.num_samples} samples of step {run.step} …")
    draw = partial(_draw, run.model, run.checkpoints, sampling, progress)
    # Of several evaluations the files of one are there, whole.
    with files.staged(out) as new:
        samples = draw()
        evaluation.save_png(new / "samples.png", evaluation.image_grid(samples[:GRID]))
        sets = _references(reference, train, held_out, len(samples), num_real)
        if network is not None:
            report(f"Measuring them against {len(sets.images)} images ({sets.name}) …")
        result = {
            "run": str(run.folder.path),
            "step": run.step,
            "sampling": dataclasses.asdict(sampling),
            **_measure(samples, sets, network, cache_dir, train, held_out, new, num_real),
            "versions": versions(),
        }
        if isinstance(network, evaluation.Classifier) and held_out.labels is not None:
            quality = evaluation.sample_quality(samples, train, held_out, network)
            result["quality"] = quality.as_dict()
        elif network is None and train.name not in (*evaluation.CLASSIFIED, "stacked_mnist"):
            noise = sampling.noise_removed
            result["quality"] = evaluation.run_figures(run.model, samples, train, held_out, noise)
        result |= _classification(run.model, held_out, report)
        files.write_json(new / "evaluation.json", result)
    if curve:
        with files.staged(out) as new:
            _measure_curve(run.checkpoints, draw, sets, network, cache_dir, run.folder, new, report)
    return result


@arguments.checked
def evaluate_rows(run: Any, out: arguments.Path, *, odd: float = 0.05) -> dict[str, Any]:
    """Score the rows of a finished run on vectors; write evaluation.json, scores.csv and charts.

    Args:
        run: What `recipes.restore` returns.
        out: Folder of the results.
        odd: Share of the held-out rows to call odd, in (0, 1).

    Returns:
        What evaluation.json holds: what `applications.score_rows` returns, "versions",
        "classification" of a conditional model, see `evaluation.model_classification`, and as
        "quality" the figures that the run ended with, None if it is not finished.

    Raises:
        OSError: The folder cannot be written to.
        ValueError: odd is out of its range.
    """
    with files.staged(out, ["roc.png"]) as new:
        result = {
            "run": str(run.folder.path),
            "step": run.step,
            **applications.score_rows(run.model, run.train, run.held_out, new, odd=odd),
            "quality": run.folder.read_summary().get("quality"),
            **_classification(run.model, run.held_out),
            "versions": versions(),
        }
        files.write_json(new / "evaluation.json", result)
    return result


def _classification(model, held_out, report=lambda line: None) -> dict:
    """Return {"classification": figures} of a conditional model whose held-out data have labels."""
    if not model.conditional or held_out.labels is None:
        return {}
    report("Classifying, and attacking, held-out examples …")
    found = evaluation.model_classification(model, held_out)
    report(f"Accuracy {found.accuracy:.3f}, calibration error {found.calibration_error:.3f}.")
    return {"classification": found.as_dict()}


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


def _references(name: str, train, held_out, count: int, num_real: int | None = None) -> References:
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


def _measure(
    samples, sets: References, network, cache_dir, train, held_out, out, num_real: int | None = None
) -> dict:
    """Return figures of samples, with those of real images as a scale to read them by."""
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


def _draw(model, checkpoints, sampling: Sampling, progress=None) -> np.ndarray:
    """Return samples in [0, 1], [n, …]."""
    how = sampling
    if not how.rounds:
        drawn, _ = draw_samples(
            model, how.num_samples, how.num_steps, how.seed, how.descent_steps, how.noise_removed
        )
        return drawn
    averaged, members = how.averaged and model.average is not None, None
    if how.ensemble > 1:
        # Backwards from the checkpoint that was restored.
        step = steps_taken(model)
        steps = [kept for kept in checkpoints.steps if kept <= step]
        if how.ensemble > len(steps):
            raise ValueError(
                f"An ensemble of {how.ensemble} needs as many checkpoints up to step {step}; "
                f"{len(steps)} were kept (see keep_checkpoints of the recipe)."
            )
        members = [checkpoints.energy_weights(k, averaged=averaged) for k in steps[-how.ensemble :]]
    pooled = pooled_chains(
        model,
        how.num_samples,
        how.seed,
        num_rounds=how.rounds,
        num_steps=how.num_steps,
        pool_size=how.pool_size,
        batch_size=min(how.batch_size, how.pool_size),
        nomix=how.nomix,
        restart_probability=how.restart_probability,
        label_probability=how.label_probability,
        ensemble=members,
        averaged=averaged and members is None,
        report=progress,
    )
    drawn = for_showing(model, pooled, how.descent_steps, how.noise_removed)
    return to_unit_scale(model, np.asarray(drawn))


def _measure_curve(
    checkpoints, draw: Callable[[], np.ndarray], sets: References, network, cache_dir, folder, out,
    report: Callable[[str], None] = lambda line: None,
) -> None:  # fmt: skip
    """Write curve.csv and curve.png: the Fréchet distance of each checkpoint's samples."""
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
    files.write_table(Path(out) / "curve.csv", rows, rows[0])
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
