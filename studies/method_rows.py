"""The rows of `studies.all_methods`: methods, ours and others', trained on a bed."""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from studies import beds

__all__ = ["EXAMPLES", "METHODS", "PEERS", "build", "of_ours", "of_peer"]

EXAMPLES, BATCH = 5000, 200
# Of the last sampling, and of each step of training.
FINAL_STEPS, CHAIN_STEPS = 300, 15


def _of_two(make: str, divergence: str, **settings) -> dict[str, Any]:
    return {"class": make, "players": ("variational",), "divergence": divergence, **settings}


# Row -> the class of the method, its further networks, and its settings; "gamma" and "noise_stddev"
# are the bed's.
METHODS: dict[str, dict[str, Any]] = {
    # Without shift_invariant r runs away along the constant of E where nothing else holds it, as
    # on mixture10.
    **{
        f"febm_{name}": _of_two("FEBM", name, shift_invariant=True)
        for name in ("js", "kl", "reverse_kl", "squared_hellinger")
    },
    "dual_js": _of_two("DualFEBM", "js"),
    "contrastive_divergence": {"class": "ContrastiveDivergence", "initial": "noise"},
    "pseudo_spherical": {"class": "PseudoSpherical", "initial": "noise", "gamma": None},
    "bidirectional": {"class": "BidirectionalEBM", "players": ("generator",)},
    "noise_contrastive": {"class": "NoiseContrastive"},
    "denoising_score_matching": {"class": "ScoreMatching", "noise_stddev": 0},
    "sliced_score_matching": {"class": "ScoreMatching", "kind": "sliced"},
    "energy_discrepancy": {"class": "EnergyDiscrepancy", "noise_stddev": 1},
    "recovery_js": _of_two("Recovery", "js", levels=6),
    "recovery_kl": _of_two("Recovery", "kl", levels=6),
    "multiscale_score_matching": {"class": "MultiscaleScoreMatching", "levels": 20},
}
# Row -> package, of studies/peers_side.py.
PEERS = {
    "torchebm_contrastive_divergence": "torchebm",
    "torchebm_score_matching": "torchebm",
    "ebmkit_contrastive_divergence": "ebmkit",
    "ebmkit_score_matching": "ebmkit",
    "ebmkit_energy_discrepancy": "ebmkit",
}
WITHOUT_BUFFER = ("BidirectionalEBM", "NoiseContrastive", "ScoreMatching", "EnergyDiscrepancy")
# Their networks take a level of noise; chains walk down the levels.
OF_LEVELS = ("Recovery", "MultiscaleScoreMatching")
# Steps of a process whose memory is measured.
MEMORY_STEPS = 30


def build(name: str, bed: beds.Bed, x: np.ndarray, seed: int, steps: int) -> Any:
    """Return the compiled model of a row of `METHODS` on a bed.

    Args:
        name: The row.
        bed: The bed.
        x: Training data, [n, dimension].
        seed: Of weights and chains.
        steps: Of training, for the rates.
    """
    import keras

    import tf_febm
    from tf_febm import networks, optimizers, samplers

    keras.utils.set_random_seed(seed)
    settings = dict(METHODS[name])
    kind, players = settings.pop("class"), settings.pop("players", ())
    reference = networks.GaussianReference("diagonal" if bed.gaussian else "full").adapt(x)
    if bed.gaussian:
        scale = float(x.std())
        energy = networks.quadratic(bed.dimension, float(x.mean()), scale)
        settings["sampler"] = samplers.Langevin.from_epsilon(bed.epsilon, CHAIN_STEPS)
        if kind == "NoiseContrastive":
            settings["noise"] = reference
        if kind in OF_LEVELS:
            raise ValueError("networks of a level of noise are needed, the bed's Gaussian is none")
    else:
        energy = _perceptron(bed, "energy", settings.get("levels"), reference=reference)
        settings["reference"] = reference
        settings["sampler"] = samplers.Langevin.exponential(bed.epsilon, CHAIN_STEPS)
    if kind == "Recovery":
        # Of its own: relative to a round Gaussian, with no noise at the level of the data.
        settings |= {"reference": None, "center": x.mean(0), "spread": x.std(0)}
    if kind in OF_LEVELS:
        recovers = kind == "Recovery"
        settings["sampler"] = samplers.MALA(0.05, CHAIN_STEPS) if recovers else None
    elif kind not in WITHOUT_BUFFER:
        settings["buffer"] = tf_febm.ReplayBuffer(5000, restart_probability=0.05)
    if "gamma" in settings:
        settings["gamma"] = bed.gamma
    if "noise_stddev" in settings:
        settings["noise_stddev"] = bed.noise[settings["noise_stddev"]]
    others: list = []
    for player in players:
        if player == "generator":
            width = (bed.width, bed.width)
            generator = networks.generator_mlp(bed.dimension, (bed.dimension,), width)
            others += [generator, bed.dimension]
        elif kind == "Recovery":
            others.append(_perceptron(bed, player, settings["levels"], pairs=True))
        else:
            others.append(_perceptron(bed, player, reference=reference))
    model = getattr(tf_febm, kind)(
        energy, *others, l2_coeff=bed.l2_coeff, average_decay=0.99, seed=seed, **settings
    )

    def adam(rate):
        decay = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.02)
        return optimizers.ClippedAdam(decay, beta_1=0.0, beta_2=0.99)

    model.compile(adam(bed.rate), *(adam(bed.second_rate) for _ in players))
    return model


def _perceptron(
    bed: beds.Bed, name: str, levels: int | None = None, pairs: bool = False, reference: Any = None
) -> Any:
    """Return a perceptron; of white coordinates with a reference, but for levels of noise."""
    import keras

    from tf_febm import networks

    size, width = bed.dimension * (1 + pairs), (bed.width, bed.width)
    make = networks.mlp if bed.dimension > 2 or bed.gaussian else networks.fourier_mlp
    made = make(size, width, "swish", num_classes=levels, name=name)
    if reference is None or bed.gaussian or levels is not None:
        # What levels of noise see has a scale of its own.
        return made
    inputs = keras.Input((size,))
    return keras.Model(inputs, made(networks.Whiten(reference)(inputs)), name=name)


def of_ours(job: dict, bed: beds.Bed, x: np.ndarray, folder: Path) -> tuple:
    """Return the energy of a trained model, its samples, and what training took."""
    import tensorflow as tf

    model = build(job["method"], bed, x, job["seed"], job["steps"])
    batches = tf.data.Dataset.from_tensor_slices(x).shuffle(len(x), job["seed"]).repeat()
    before, began = peak(reset=True), time.process_time()
    model.fit(batches.batch(BATCH), steps_per_epoch=job["steps"], verbose=0)
    spent = {"seconds_of_training": time.process_time() - began, "peak": peak(), "before": before}
    model.averaged_weights().__enter__()
    kind, settings = METHODS[job["method"]]["class"], {}
    if kind == "Recovery":
        # As many steps in all.
        settings["num_steps"] = FINAL_STEPS // model.levels.count
    elif kind not in OF_LEVELS:
        settings["initial"] = model.evaluation_start
        settings["num_steps"] = 0 if "generator" in model.INITIAL else FINAL_STEPS
    samples = model.sample(beds.SAMPLES, seed=1, **settings)
    return model.energy, np.asarray(samples), spent


def of_peer(job: dict, bed: beds.Bed, x: np.ndarray, folder: Path) -> tuple:
    """Return the same of another library, trained by another Python."""
    package = PEERS[job["method"]]
    if not job["peers"]:
        raise ValueError(f"{package} is not at hand: give --peers=PYTHON, one that has it")
    if bed.gaussian:
        raise ValueError("the peers' rows are of their own perceptrons")
    mean, factor = beds.white(x)
    np.savez(folder / "given.npz", x=x, mean=mean, factor=factor)
    near, far = bed.noise
    options = {
        **job, "batch": BATCH, "rate": bed.rate, "epsilon": bed.epsilon, "noise": near, "far": far,
        "chain_steps": CHAIN_STEPS, "final_steps": FINAL_STEPS, "samples": beds.SAMPLES,
        "width": bed.width,
    }  # fmt: skip
    script = Path(__file__).with_name("peers_side.py")
    command = [job["peers"], str(script), str(folder), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    with np.load(folder / "made.npz") as file:
        made = dict(file)
    energy_fn = _energy_of(made, mean, factor)
    found = np.asarray(energy_fn(x[: len(made["energies"])]))
    if np.isfinite(made["energies"]).all() and not np.allclose(found, made["energies"], 1e-3, 1e-3):
        raise RuntimeError("the weights that came back have other energies than they had there")
    known = {name: float(made[name]) for name in ("seconds", "peak", "before")}
    spent = {name: None if np.isnan(value) else value for name, value in known.items()}
    return energy_fn, made["samples"], {"seconds_of_training": spent.pop("seconds"), **spent}


def _energy_of(made: dict, mean: np.ndarray, factor: np.ndarray) -> Any:
    """Return the energy of peers_side.py's perceptron by its weights, differentiable."""
    import tensorflow as tf

    inverse = tf.constant(np.linalg.inv(factor).T, tf.float32)
    weights = [made[f"weight_{i}"] for i in range(6)]

    def energy(x):
        z = tf.matmul(x - tf.constant(mean, tf.float32), inverse)
        h = z
        if "frequencies" in made:
            angles = tf.matmul(z, made["frequencies"])
            h = tf.concat([z, tf.sin(angles), tf.cos(angles)], axis=1)
        for layer in range(3):
            h = tf.matmul(h, weights[2 * layer].T) + weights[2 * layer + 1]
            h = h * tf.sigmoid(h) if layer < 2 else h
        return h[:, 0] + 0.5 * tf.reduce_sum(tf.square(z), axis=1)

    return energy


def peak(reset: bool = False) -> float | None:
    """Return the largest memory of this process in MiB, since now if it is reset; None elsewhere.

    Linux alone can tell: elsewhere the peak of a process is that of all its runs.
    """
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) / 1024.0
