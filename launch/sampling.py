"""From resolved options to what draws from the energy: sampler and chains that are kept."""

import run_options
import tensorflow as tf
import vectors

from tf_febm import data, samplers


def make_sampler(options: dict, train_data):
    """Return the sampler of the flags, in the bounds or the units of the data."""
    common = {"num_steps": options["num_steps"], "bounds": train_data.bounds}
    sampler = {"langevin": _langevin, "mala": _mala, "hmc": _hmc}[options["sampler"]](
        options, common
    )
    if isinstance(train_data, data.VectorData):
        return samplers.Preconditioned(sampler, train_data.mean, train_data.scale, vectors.SPREAD)
    return sampler


def _langevin(options: dict, common: dict):
    clip_name = {"li": "grad_clip", "l2": "grad_clip_norm"}[options["proj_norm_type"]]
    settings = {"grad_clip": None, clip_name: options["proj_norm"] or None, **common}
    if options["epsilon"]:
        return samplers.Langevin.from_epsilon(options["epsilon"], **settings)
    noise_scale = run_options.NOISE_UNIT * options["noise_scale"]
    return samplers.Langevin(step_size=options["step_lr"], noise_scale=noise_scale, **settings)


def _adapting(options: dict) -> dict:
    return {name: options[name] for name in ("burn_in", "target_acceptance")}


def _mala(options: dict, common: dict):
    return samplers.MALA(step_size=options["step_lr"], **_adapting(options), **common)


def _hmc(options: dict, common: dict):
    return samplers.HMC(
        step_size=options["step_lr"],
        num_leapfrog_steps=options["leapfrog_steps"],
        **_adapting(options),
        **common,
    )


def make_buffer(options: dict):
    """Return where the chains of a step come from: a replay buffer, persistent chains or None."""
    labels = {"match_labels": options["match_labels"]}
    if options["pcd"]:
        # Each replica has chains of its own, as many as it has examples.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return samplers.PersistentChains(options["batch_size"] // replicas, **labels)
    if not options["replay_batch"]:
        return None
    return samplers.ReplayBuffer(
        options["buffer_size"], storage=options["buffer_storage"], **labels
    )


def with_settings(sampler, step_lr=None, noise_scale=None, proj_norm=None):
    """Return a sampler of images with other settings, those of the flags of these names.

    Args:
        sampler: That of the run.
        step_lr: Its step size; unchanged if None.
        noise_scale: Standard deviation of the noise of a Langevin step.
        proj_norm: Bound on the gradient of a Langevin step, of the run's kind; 0 is none.

    Raises:
        ValueError: If the sampler has no such setting, or a value is out of its range.
    """
    config = sampler.get_config()
    bound = "grad_clip" if config.get("grad_clip_norm") is None else "grad_clip_norm"
    given = {
        name: (key, value)
        for name, key, value in (
            ("step_lr", "step_size", step_lr),
            ("noise_scale", "noise_scale", noise_scale),
            ("proj_norm", bound, proj_norm),
        )
        if value is not None
    }
    for name, (key, value) in given.items():
        if key not in config:
            raise ValueError(
                f"--{name} is for Langevin dynamics; the run's sampler is "
                f"{type(sampler).__name__}: leave it out."
            )
        config[key] = (value or None) if name == "proj_norm" else value
    return type(sampler).from_config(config) if given else sampler
