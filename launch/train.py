"""Train an energy-based model: `python launch/train.py --divergence=js --dataset=celeba`.

Everything goes to <logdir>/<exp>/. The same command again continues an interrupted run.
"""

import json
import os
import platform
import subprocess
from pathlib import Path

import console
import train_flags
from absl import app, flags


def main(argv) -> int:
    """Resolve the flags; train, or print the plan."""
    if len(argv) > 1:
        raise app.UsageError(f"Unknown argument {argv[1]!r}; every option starts with --.")
    values = flags.FLAGS
    return console.guarded(lambda: run(train_flags.resolve(values), values), debug=values.debug)


def run(options: dict, values) -> int:
    """Build everything that the options name, and train.

    Args:
        options: What `train_flags.resolve` returned.
        values: The flags, for those that are no options of the run itself.

    Returns:
        The exit code.
    """
    # TensorFlow takes seconds to import: only once the flags are known to be good.
    import keras

    from tf_febm import divergences, training

    # One name for all spellings, so that a continued run recognises itself.
    options["divergence"] = divergences.get(options["divergence"]).name
    if options["exp"] is None:
        name = "{dataset}_{method}_{divergence}".format(**options)
        options["exp"] = name.replace(":", "_")
    keras.utils.set_random_seed(options["seed"])
    train_data, held_out = load_data(options)
    model = build_model(options, train_data)
    folder = training.RunFolder(Path(options["logdir"]) / options["exp"])
    if values.dry_run:
        console.say(describe(options, train_data, model, folder))
        return console.DONE
    folder.prepare(options, train_flags.FIXED, overwrite=values.overwrite)
    folder.write_options(options, versions())
    stop = training.GracefulStop()
    console.stop_on_signals(stop)
    console.say(describe(options, train_data, model, folder))
    done = training.train(
        model,
        lambda step: make_stream(options, train_data, step),
        folder,
        total_steps=options["steps"],
        log_interval=options["log_interval"],
        sample_interval=options["sample_interval"],
        save_interval=options["save_interval"],
        probe=make_probe(options, held_out),
        resume_step=None if values.resume_iter < 0 else values.resume_iter,
        report=console.say,
        stop=stop,
    )
    if not done:
        step = int(model.optimizer.iterations)
        console.say(f"Stopped at step {step}; the same command continues from there.")
        return console.STOPPED
    console.say(f"Drawing {options['num_samples']} samples …")
    summary = training.finish(
        model,
        folder,
        num_samples=options["num_samples"],
        num_steps=options["final_steps"],
        seed=options["seed"],
        measure=make_measure(train_data, held_out),
    )
    console.say(json.dumps(summary["quality"], indent=2))
    console.say(f"Done: look at {folder.samples / 'final.png'} and {folder.summary}.")
    return console.DONE


def load_data(options: dict):
    """Return the training and the held-out split."""
    from tf_febm import data

    where = {"data_dir": options["data_dir"], "image_size": options["image_size"]}
    return tuple(data.load(options["dataset"], split=s, **where) for s in ("train", "test"))


def make_stream(options: dict, train_data, step: int):
    """Return the batches of training from a step on."""
    from tf_febm import data

    return data.stream(
        train_data,
        options["batch_size"],
        seed=options["seed"],
        start_step=step,
        conditional=options["cclass"],
        noise_stddev=options["data_noise"],
    )


def make_probe(options: dict, held_out):
    """Return held-out examples, and their labels if used, whose energies are watched."""
    from tf_febm import data

    count = min(256, len(held_out.images))
    images = data.dequantise(held_out.images[:count], seed=0)
    return images, held_out.labels[:count] if options["cclass"] else None


def make_measure(train_data, held_out):
    """Return samples -> quality figures where the data has a feature network, else None."""
    from tf_febm import evaluation

    if train_data.name not in ("digits", "mnist", "fashion_mnist"):
        return None

    def measure(samples):
        classifier = evaluation.train_classifier(
            train_data.images, train_data.labels, train_data.num_classes, name=train_data.name
        )
        quality = evaluation.sample_quality(samples, train_data, held_out, classifier)
        return quality.as_dict()

    return measure


def build_model(options: dict, train_data):
    """Return the compiled model that the options describe."""
    import keras

    import tf_febm

    if options["cclass"] and train_data.labels is None:
        raise ValueError(f"--cclass needs labels; {train_data.source} has none.")
    num_classes = train_data.num_classes if options["cclass"] else None
    height, width, channels = train_data.image_shape

    def network(name):
        if options["network"] == "conv":
            return tf_febm.networks.conv(
                (height, width, channels),
                options["num_filters"],
                num_classes=num_classes,
                name=name,
            )
        raise ValueError(f"--network={options['network']} takes vectors, not images.")

    def optimizer():
        rate = options["lr"]
        if options["lr_final"] != rate:
            alpha = options["lr_final"] / rate
            rate = keras.optimizers.schedules.CosineDecay(rate, options["steps"], alpha)
        return tf_febm.optimizers.ClippedAdam(rate, beta_1=options["beta_1"], beta_2=0.999)

    clip_name = {"li": "grad_clip", "l2": "grad_clip_norm"}[options["proj_norm_type"]]
    clipping = {"grad_clip": None, clip_name: options["proj_norm"] or None}
    sampler = tf_febm.samplers.Langevin(
        step_size=options["step_lr"],
        noise_scale=0.005 * options["noise_scale"],
        num_steps=options["num_steps"],
        **clipping,
    )
    model = tf_febm.FEBM(
        network("energy"),
        network("variational"),
        options["divergence"],
        sampler=sampler,
        buffer=tf_febm.ReplayBuffer(options["buffer_size"]) if options["replay_batch"] else None,
        l2_coeff=options["l2_coeff"],
        log_ratio_clip=options["log_ratio_clip"],
        average_decay=options["average_decay"] or None,
        seed=options["seed"],
    )
    model.compile(optimizer(), optimizer())
    return model


def describe(options: dict, train_data, model, folder) -> str:
    """Return the plan of a run, a few lines for people."""
    parameters = model.energy_network.count_params()
    chosen = "  ".join(f"{k}={v}" for k, v in sorted(options.items()) if v is not None)
    return (
        f"{options['method']} ({model.divergence.name}) on {len(train_data.images)} images "
        f"{train_data.image_shape} from {train_data.source}\n"
        f"two networks of {parameters:,} parameters, {options['steps']} steps of "
        f"{options['batch_size']} images and chains, into {folder.path}\n{chosen}"
    )


def versions() -> dict:
    """Return the versions of what the run depends on."""
    import keras
    import numpy
    import tensorflow

    import tf_febm

    git = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )
    return {
        "tf_febm": tf_febm.__version__,
        "git": git.stdout.strip() or None,
        "python": platform.python_version(),
        "tensorflow": tensorflow.__version__,
        "keras": keras.__version__,
        "numpy": numpy.__version__,
    }


if __name__ == "__main__":
    train_flags.define()
    app.run(main)
