"""Warm starts: a model that begins with the weights of another run, by whatever method."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_febm import arguments
from tf_febm.models.chains import Batch
from tf_febm.networks.normalised import NormalisedEnergy
from tf_febm.networks.precision import computes_in_half
from tf_febm.training.run_folder import RunFolder

__all__ = ["warm_start"]

# What energies of the same weights may differ by, in units of the largest, by the precision of
# the networks: the two may compute in different ones.
_SAME, _SAME_IN_HALF = 1e-4, 0.05
_POINTS = 8


def warm_start(model: arguments.Model, run: Any, *, chains: bool = False) -> dict[str, Any]:
    """Give a model the weights of a finished run, of the same method or another.

    The energy network takes those of the run's `model.keras`, which are the averaged ones where the
    run kept an average. So does the second network where both methods have one that stands for the
    same: H of f-EBM, log p up to a constant, is not the log ratio of the dual form. Averages and
    slow copies begin anew at these weights; optimizers, random state and step count stay.

    Args:
        model: A built model, without a step yet.
        run: Folder of the run.
        chains: Whether the buffer takes the run's chains, too.

    Returns:
        For the options of a run: "init_from" and "init_chains", as given; "method", "steps" and
        "model_sha256" of the run; "taken", what was taken; "left", what was not, with the reason.

    Raises:
        OSError: The run is not finished, damaged, or cannot be read.
        ValueError: It is of other networks or examples, or a buffer cannot take its chains.

    After an error the model is as it was.
    """
    folder = RunFolder(run)
    options = folder.read_options()
    if not folder.model.exists():
        raise FileNotFoundError(
            f"init_from={str(run)!r} must be a finished run; this one is at step "
            f"{folder.newest_checkpoint()} and has no {folder.model.name} yet: let it finish, by "
            "the command that began it."
        )
    other = folder.load_model()
    _check_examples(model, other, run)
    before = [network.get_weights() for network in model.evaluated_networks]
    try:
        taken, left = _take(model, other, run)
        if chains:
            _take_chains(model, other, run)
            taken.append("chains")
    except ValueError:
        for network, weights in zip(model.evaluated_networks, before, strict=True):
            network.set_weights(weights)
        raise
    return {
        "init_from": str(run),
        "init_chains": bool(chains),
        "method": options["recipe"].get("method"),
        "steps": folder.result_step(),
        "model_sha256": hashlib.sha256(Path(folder.model).read_bytes()).hexdigest(),
        "taken": taken,
        "left": left,
    }


def _check_examples(model, other, run) -> None:
    """Raise a ValueError if the run's energies are of other inputs."""
    for name in ("sample_shape", "num_classes", "class_names", "bounds"):
        mine, theirs = getattr(model, name, None), getattr(other, name, None)
        mine, theirs = (tuple(v) if isinstance(v, list) else v for v in (mine, theirs))
        if mine != theirs and (name != "class_names" or None not in (mine, theirs)):
            raise ValueError(
                f"init_from={str(run)!r} must be a run on the same kind of examples; received one "
                f"of {name}={theirs}, where this model has {mine}."
            )
    first, second = map(_relative_to, (model, other))
    if first.keys() != second.keys() or any(
        first[key].shape != second[key].shape
        or not np.allclose(first[key], second[key], rtol=1e-4, atol=1e-6)
        for key in first
    ):
        raise ValueError(
            f"init_from={str(run)!r} must be a run whose energies are relative to the same "
            f"Gaussian, by a reference or levels of noise; that run's are to {other.reference!r}, "
            f"this model's to {model.reference!r}, or their levels differ. Take the same data, "
            "reference and levels, or none, for both."
        )


def _relative_to(model) -> dict[str, np.ndarray]:
    """Return what tells apart that which energies are relative to."""
    found = {}
    if model.reference is not None:
        # What it makes of the same random numbers.
        found["reference"] = np.asarray(model.reference.sample(_POINTS, 0))
    if (levels := getattr(model, "levels", None)) is not None:
        found |= {name: np.asarray(value) for name, value in levels.settings().items()}
    return found


def _take(model, other, run) -> tuple[list[str], dict[str, str]]:
    """Copy the weights of the networks; return what was taken, and what was left and why."""
    taken, left = ["energy"], {}
    mine, theirs = model.energy_network, other.energy_network
    if not (isinstance(mine, NormalisedEnergy) and isinstance(theirs, NormalisedEnergy)):
        # The constant is of a method that learns log Z.
        mine, theirs = (getattr(n, "network", n) if isinstance(n, NormalisedEnergy) else n
                        for n in (mine, theirs))  # fmt: skip
    _copy("energy", mine, theirs, model, other, run)
    roles = (model._second_role, other._second_role)
    if None not in roles and roles[0] == roles[1]:
        name = f"{model.SECOND_PLAYER}_network"
        second = getattr(model, name), getattr(other, name)
        _copy(model.SECOND_PLAYER, *second, model, other, run)
        taken.append(model.SECOND_PLAYER)
    elif None not in roles:
        left[model.SECOND_PLAYER] = f"here it is {roles[0]}; in that run it is {roles[1]}"
    for average, _ in model._averages().values():
        average.restart()
    slow = getattr(model, "slow_energy_network", None)
    if slow is not None:
        # With R go the energies that it was trained against.
        kept = model.SECOND_PLAYER in taken
        slow.set_weights(
            (other.slow_energy_network if kept else model.energy_network).get_weights()
        )
    return taken, left


def _copy(what: str, mine, theirs, model, other, run) -> None:
    """Give a network the weights of another one, if it is the same function of them.

    Raises:
        ValueError: It is not.
    """
    shapes = [[tuple(w.shape) for w in network.weights] for network in (mine, theirs)]
    if shapes[0] != shapes[1]:
        pairs = zip(*(s + [None] * max(map(len, shapes)) for s in shapes), strict=False)
        at, (here, there) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
        raise ValueError(
            f"init_from={str(run)!r} must be a run with the same {what} network; received one of "
            f"{theirs.count_params():,} parameters in {len(shapes[1])} arrays, this model's has "
            f"{mine.count_params():,} in {len(shapes[0])} (array {at} is {there} there and {here} "
            "here): give network, width and what else shapes it as that run has them."
        )
    mine.set_weights(theirs.get_weights())
    inputs = _inputs(model, what, mine)
    values = [
        np.asarray(m._evaluate(n, inputs) if what != "generator" else n(inputs), np.float64)
        for m, n in ((model, mine), (other, theirs))
    ]
    half = any(computes_in_half(network) for network in (mine, theirs))
    near = (_SAME_IN_HALF if half else _SAME) * max(1.0, float(np.abs(values[1]).max()))
    if not np.abs(values[0] - values[1]).max() <= near:
        raise ValueError(
            f"init_from={str(run)!r} must be a run with the same {what} network; received one that "
            "makes other values of the same weights: give network, activation and what else is in "
            "it as that run has them."
        )


def _inputs(model, what: str, network) -> Any:
    """Return a few inputs of a network: noise, and every class in turn."""
    rng = np.random.default_rng(0)
    if what == "generator":
        return tf.constant(rng.normal(size=(_POINTS, model.latent_dim)), tf.float32)
    low, high = model.bounds or (-2.0, 2.0)
    shape = getattr(network, "input_shape", None) or (None, *model.sample_shape)
    shape = shape[0] if isinstance(shape[0], (tuple, list)) else shape
    x = rng.uniform(low, high, (_POINTS, *shape[1:]))
    labels = np.arange(_POINTS) % model.num_classes if model.conditional else None
    return Batch(
        tf.constant(x, tf.float32), None if labels is None else tf.constant(labels, tf.int32)
    )


def _take_chains(model, other, run) -> None:
    """Put the run's chains into the model's buffer."""
    kinds = [type(each.buffer).__name__ for each in (model, other)]
    if kinds[0] != kinds[1] or model.buffer is None:
        raise ValueError(
            f"init_chains=True needs a run whose chains are kept as this model's are; {str(run)!r} "
            f"keeps them in {kinds[1]}, this one in {kinds[0]}: leave it out, or give chains as "
            "that run has them."
        )
    model.buffer.load_state(other.buffer.state())
