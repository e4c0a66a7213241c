"""The evolution of chains, from noise to samples, as frames and as a picture."""

from typing import NamedTuple

import numpy as np

from tf_febm import arguments, evaluation

__all__ = ["Evolution", "chain_evolution", "evolution_picture"]


class Evolution(NamedTuple):
    """States of chains on their way.

    Attributes:
        frames: Float32 array [f, n, …]: the n chains at each of f moments.
        steps: Their step numbers, int64 [f], from 0, where the chains start, to the last step.
        labels: Labels of the chains, an array [n, …], or None.
    """

    frames: np.ndarray
    steps: np.ndarray
    labels: np.ndarray | None


@arguments.checked
def chain_evolution(
    model: arguments.Model,
    num_chains: int = 8,
    num_frames: int = 10,
    labels: arguments.Labels | None = None,
    seed: arguments.Seed | None = None,
    *,
    num_steps: int | None = None,
    initial: str = "noise",
) -> Evolution:
    """Run chains and keep states of theirs, evenly spaced in time.

    The chains are those of `model.sample` with the same seed, whose samples are the last frame. All
    states of the run are in memory for a while: num_steps · num_chains samples. Those of a model of
    levels of noise are the ends of its levels, whatever the number of steps at each.

    Args:
        model: A built EnergyModel whose sampler records its trajectory, as `Langevin` does.
        num_chains: How many chains, at least 1.
        num_frames: How many states of each, at least 2; at most one more than there are steps.
        labels: Labels of a conditional model, [num_chains]; drawn uniformly if None.
        seed: An int or a pair of ints; the model's next one if None.
        num_steps: Steps of the chains; the sampler's own number if None.
        initial: "noise", or "buffer" to go on where past chains ended.

    Raises:
        ValueError: An argument is out of its range; see `EnergyModel.sample` too.
    """
    num_frames = arguments.whole_number("num_frames", num_frames, 2)
    batch = model.sample_batch(
        num_chains, labels, seed, initial=initial, num_steps=num_steps, return_trajectory=True
    )
    trajectory = batch.samples.trajectory.numpy()
    if num_frames > len(trajectory):
        raise ValueError(
            f"num_frames must be at most {len(trajectory)}, one more than the steps; received "
            f"{num_frames}."
        )
    steps = np.rint(np.linspace(0, len(trajectory) - 1, num_frames)).astype(np.int64)
    return Evolution(
        trajectory[steps], steps, None if batch.labels is None else np.asarray(batch.labels)
    )


def most_frames(model, num_steps: int) -> int:
    """Return how many states chains of so many steps leave, the first one included."""
    levels = getattr(model, "levels", None)
    return 1 + (num_steps if levels is None else levels.count)


@arguments.checked
def evolution_picture(
    evolution: Evolution,
    bounds: arguments.Bounds | None = (0.0, 1.0),
    padding: int = 1,
    upscale: int | None = None,
    background: int = 255,
) -> np.ndarray:
    """Arrange an evolution of images as a picture: one row for each chain, time to the right.

    Args:
        evolution: Frames of images of 1 or 3 channels.
        bounds: (low, high) that become black and white, `model.bounds`, (0, 1) if None; values
            outside are clipped.
        padding: See `evaluation.image_grid`, as for all that follow.
        upscale: See there.
        background: See there.

    Returns:
        uint8 [height, width, channels], for `evaluation.save_png`.

    Raises:
        ValueError: The frames are no images or the bounds no interval.
    """
    low, high = (0.0, 1.0) if bounds is None else arguments.interval("bounds", bounds)
    frames = np.asarray(evolution.frames)
    if frames.ndim != 5:
        raise ValueError(
            f"frames must be [f, n, height, width, channels]; received shape {frames.shape}."
        )
    by_chain = frames.swapaxes(0, 1).reshape(-1, *frames.shape[2:])
    unit = np.clip((by_chain - low) / (high - low), 0.0, 1.0)
    return evaluation.image_grid(unit, len(frames), padding, upscale, background)
