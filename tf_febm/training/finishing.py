"""Results of a finished run: samples, pictures, the model, its figures."""

import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tf_febm import applications, arguments, evaluation
from tf_febm.applications.evolution import most_frames
from tf_febm.files import replacing, write_atomically
from tf_febm.training.pictures import GRID, for_showing, is_picture, picture_maker, to_unit_scale
from tf_febm.training.progress import counting
from tf_febm.training.recorders import read_metrics
from tf_febm.training.run_folder import RunFolder
from tf_febm.training.schedule import steps_taken
from tf_febm.untrusted_files import write_record

__all__ = ["draw_samples", "finish", "to_unit_scale"]

# Chains that run at once when many samples are wanted; bounds memory.
CHUNK = 250
# Seconds of training from which on chains are measured too, which takes a few.
WORTH_MEASURING = 60.0
# Numbers in all states of those chains, at most: 256 MB.
STATES = 1 << 26


@arguments.checked
def finish(
    model: arguments.Model,
    folder: RunFolder,
    *,
    num_samples: int,
    num_steps: int,
    seed: int,
    descent_steps: int = 0,
    noise_removed: float = 0.0,
    measure: Callable[[np.ndarray], dict] | None = None,
    probe: arguments.Tensor | None = None,
    segments: Sequence[dict] = (),
    report: Callable[[str], None] = lambda line: None,
) -> dict:
    """Write what a finished run leaves: samples, their picture, the model and the summary.

    `samples/final.npz` holds the array `samples`, float32, in [0, 1] for images and in the units of
    the data for vectors, and `labels` for a conditional model; `samples/evolution.png` shows chains
    on their way from noise, of vectors by their energy. `model.keras` holds the model with its best
    weights. `summary.json` holds the number of steps, seconds, steps per second, the last metrics,
    the quality figures and, after a minute or more of training, those of `chain_figures`.

    Args:
        model: The trained model.
        folder: Its RunFolder.
        num_samples: How many samples.
        num_steps: Steps of each chain; see `draw_samples`.
        seed: Seed of the samples.
        descent_steps: See `draw_samples`, as for `noise_removed`.
        noise_removed: See there.
        measure: samples -> quality figures, or None; called while the model has its best weights.
        probe: (x, labels), examples shown beside samples in the plane, or None.
        segments: The `history` of the checkpoint, to be kept with the results.
        report: Takes lines about progress.

    Returns:
        The summary.
    """
    num_samples = arguments.whole_number("num_samples", num_samples, 1, 2**31)
    samples, labels = draw_samples(
        model, num_samples, num_steps, seed, descent_steps, noise_removed, report=report
    )
    arrays = {"samples": samples} if labels is None else {"samples": samples, "labels": labels}
    write_atomically(
        folder.samples / "final.npz",
        lambda file: np.savez(file, **arrays),  # type: ignore[arg-type]
    )
    with model.best_weights():
        if is_picture(samples.shape[1:]):
            # Scaled to [0, 1] already.
            evaluation.save_png(folder.samples / "final.png", evaluation.image_grid(samples[:GRID]))
        elif (draw := picture_maker(model, None if probe is None else probe[0])) is not None:
            evaluation.save_png(folder.samples / "final.png", draw(samples))
        report("… drawing chains from noise, and saving the model")
        _write_evolution(model, folder.samples / "evolution.png", num_steps, seed)
        # Keras itself writes in place.
        with replacing(folder.model, ".keras") as temporary:
            model.save(temporary)
        if measure is not None:
            report("Measuring the samples …")
        quality = None if measure is None else measure(samples)
        rows = read_metrics(folder.metrics)
        last = rows[-1] if rows else {}
        steps, seconds = steps_taken(model), float(last.get("seconds", "nan"))
        chains = None
        if seconds >= WORTH_MEASURING:
            report("… measuring the chains")
            chains = _measured_chains(model, seed)
    metrics = {
        name: float(value)
        for name, value in last.items()
        if value and name not in ("step", "seconds", "steps_per_second")
    }
    summary = {
        "steps": steps,
        "seconds": seconds,
        "steps_per_second": steps / seconds if seconds else math.nan,
        "metrics": metrics,
        "sampling": {
            "num_steps": num_steps,
            "descent_steps": descent_steps,
            "noise_removed": noise_removed,
        },
        "quality": quality,
        "chains": chains,
        "segments": list(segments),
    }
    write_record(folder.summary, summary)
    return summary


@arguments.checked
def draw_samples(
    model: arguments.Model,
    count: int,
    num_steps: int,
    seed: int,
    descent_steps: int = 0,
    noise_removed: float = 0.0,
    *,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw any number of samples in bounded memory, with the best weights.

    Args:
        model: A built model.
        count: How many.
        num_steps: Steps of each chain. Chains start at the generator if the model has one, else
            where those of training ended, or from noise if there is no buffer; then take as many
            steps as a training chain may have seen.
        seed: Seed of all of it.
        descent_steps: Steps of `model.descend` afterwards. With any the samples are for showing.
        noise_removed: Standard deviation of noise that `model.denoise` takes off then, likewise.
        report: Takes lines about progress, by the clock.

    Returns:
        Samples, float32 [count, …] scaled to [0, 1] if the sampler has bounds, and their labels,
        int32 [count], or None.
    """
    count = arguments.whole_number("count", count, 1, 2**31)
    seed = arguments.whole_number("seed", seed)
    descent_steps = arguments.whole_number("descent_steps", descent_steps)
    samples, labels = [], []
    with model.best_weights(), counting(count, "samples", report) as counted:
        for start in range(0, count, CHUNK):
            counted(start)
            batch = model.sample_batch(
                min(CHUNK, count - start),
                seed=(seed, start),
                initial=model.evaluation_start,
                num_steps=num_steps,
            )
            ends = for_showing(model, batch, descent_steps, noise_removed)
            samples.append(ends.numpy())
            labels.append(None if batch.labels is None else batch.labels.numpy())
    together = to_unit_scale(model, np.concatenate(samples))
    return together, np.concatenate(labels) if model.conditional else None


def _tells(model, *what: str) -> bool:
    """Whether the sampler takes these options."""
    # A sampler in other units passes on what the one inside it takes.
    inside = getattr(model.sampler, "sampler", model.sampler)
    return {*what} <= {*inspect.signature(inside).parameters}


def _measured_chains(model, seed: int) -> dict | None:
    """Return figures of the model's chains, if they are to reach the model's own law."""
    # Those of levels of noise walk from one law to the next.
    told = _tells(model, "return_trajectory", "return_diagnostics", "num_steps")
    if not told or hasattr(model, "levels"):
        return None
    steps = max(8, getattr(model.sampler, "num_steps", None) or 0)
    count = min(64, STATES // (steps * math.prod(model.sample_shape)))
    if count < 4:
        return None
    return evaluation.chain_figures(model, num_chains=count, num_steps=steps, seed=seed).as_dict()


def _write_evolution(model, path: Path, num_steps: int, seed: int) -> None:
    """Write the picture of some chains from noise on, if the sampler records their way.

    Images show themselves, vectors their energies.
    """
    if not _tells(model, "return_trajectory") or num_steps < 1:
        return
    if not is_picture(model.sample_shape):
        frames = min(50, most_frames(model, num_steps))
        evolution = applications.chain_evolution(model, 6, frames, seed=seed, num_steps=num_steps)
        states = evolution.frames.reshape(-1, *model.sample_shape)
        labels = None if evolution.labels is None else np.tile(evolution.labels, frames)
        energy = np.asarray(model.energy(states, labels)).reshape(frames, -1)
        if np.isfinite(energy).any():
            lines = {f"chain {k + 1}": (evolution.steps, energy[:, k]) for k in range(6)}
            chart = evaluation.line_chart(lines, "Energy of chains from noise", "Langevin step")
            evaluation.save_png(path, chart)
        return
    evolution = applications.chain_evolution(
        model, 6, min(10, most_frames(model, num_steps)), seed=seed, num_steps=num_steps
    )
    evaluation.save_png(path, applications.evolution_picture(evolution, model.bounds))
