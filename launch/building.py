"""From resolved options to data, model and measures. Imports TensorFlow."""

import math
import re

import bounds_networks
import console
import keras
import numpy as np
import run_options
import sampling
import vectors

import tf_febm
from tf_febm import data, evaluation, training

# Data sets that a small classifier learns in seconds.
CLASSIFIED = ("digits", "mnist", "fashion_mnist")
# What each --method trains.
MODELS = {
    "febm": tf_febm.FEBM,
    "dual": tf_febm.DualFEBM,
    "contrastive_divergence": tf_febm.ContrastiveDivergence,
    "bidirectional": tf_febm.BidirectionalEBM,
}


def check(options: dict) -> None:
    """Raise a ValueError that names a flag whose value cannot be used."""
    for name, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"--{name} must be a finite number; received {value}.")
    for name in ("lr", "variational_lr_ratio"):
        if not options[name] > 0.0:
            raise ValueError(f"--{name} must be positive; received {options[name]}.")
    if options["method"] == "bidirectional" and not options["generator_lr_ratio"] > 0.0:
        raise ValueError(
            f"--generator_lr_ratio must be positive; received {options['generator_lr_ratio']}."
        )
    for name in ("beta_1", "beta_2", "average_decay"):
        if not 0.0 <= options[name] < 1.0:
            raise ValueError(f"--{name} must lie in [0, 1); received {options[name]}.")
    if options["exp"] in ("", ".", "..") or not re.fullmatch(r"[^/\\\x00-\x1f]+", options["exp"]):
        raise ValueError(f"--exp must be the name of one folder; received {options['exp']!r}.")
    metrics = MODELS[options["method"]].METRICS
    if options["best_metric"] not in (None, *metrics):
        raise ValueError(
            f"--best_metric must be one of {', '.join(metrics)}; received "
            f"{options['best_metric']!r}."
        )


def load_data(options: dict):
    """Return the training and the held-out split."""
    where = {"data_dir": options["data_dir"], "image_size": options["image_size"]}
    if options["dataset"] == "csv":
        where |= vectors.answers(options)
    if options["dataset"] == "folder":
        # Runs of earlier versions have no such option.
        meaning = options.get("subfolders", "auto")
        where["subfolders"] = None if meaning == "auto" else meaning
    train, test = (data.load(options["dataset"], split=s, **where) for s in ("train", "test"))
    check_splits(train, test, options["cclass"])
    if isinstance(train, data.VectorData):
        vectors.check(options)
        return train, test
    if train.image_shape[-1] not in (1, 3):
        raise ValueError(
            f"Images need 1 or 3 channels; {train.source} has {train.image_shape[-1]}."
        )
    side = min(train.image_shape[:2])
    if options["random_crop"] >= side:
        raise ValueError(
            f"--random_crop must be below {side}, the side of the images; received "
            f"{options['random_crop']}."
        )
    return train, test


def check_splits(train, test, conditional: bool) -> None:
    """Raise a ValueError where the splits do not fit together, before anything is trained."""
    if train.sample_shape != test.sample_shape:
        raise ValueError(
            f"The splits have examples of different shapes: {train.sample_shape} from "
            f"{train.source}, and {test.sample_shape} from {test.source}."
        )
    if not conditional:
        return
    for split in (train, test):
        if split.labels is None:
            raise ValueError(f"--cclass needs labels; {split.source} has none.")
    if train.class_names != test.class_names:
        raise ValueError(f"The splits have different classes: {train.source}, and {test.source}.")


def check_classes(earlier: dict, names: list[str] | None, source: str) -> None:
    """Raise a ValueError if a run was trained on other classes than the data have now.

    Args:
        earlier: The options of the run; those of earlier versions do not name the classes.
        names: What the data call the classes, or None where the model has none.
        source: Where the data are.
    """
    known = earlier.get("class_names")
    if known is not None and known != names:
        raise ValueError(f"The run has the classes {known}; {source} has {names}.")


def make_stream(options: dict, train_data, step: int, shard=(0, 1)):
    """Return the batches of training from a step on, or a part of each."""
    return data.stream(
        train_data,
        options["batch_size"],
        seed=options["seed"],
        start_step=step,
        conditional=options["cclass"],
        noise_stddev=options["data_noise"],
        random_flip=options["random_flip"],
        random_crop=options["random_crop"],
        shard=shard,
    )


def make_probe(options: dict, held_out):
    """Return held-out examples, and their labels if used, whose energies are watched."""
    x = held_out.examples(vectors.PROBE if isinstance(held_out, data.VectorData) else 256)
    return x, held_out.labels[: len(x)] if options["cclass"] else None


def train_classifier(train_data):
    """Return the feature network of small labelled images, trained on their training split."""
    if train_data.labels is None:
        raise ValueError(f"A classifier needs labels; {train_data.source} has none.")
    return evaluation.train_classifier(
        train_data.images, train_data.labels, train_data.num_classes, name=train_data.name
    )


def make_measure(model, train_data, held_out):
    """Return the function from samples to quality figures, or to the reason why there are none."""
    if isinstance(train_data, data.VectorData):
        return lambda samples: vectors.quality(model, samples, train_data, held_out)

    if train_data.name == "stacked_mnist":
        return lambda samples: stacked_quality(samples, train_data, held_out)

    def skip(samples):
        return {"skipped": f"there is no feature network for {train_data.name}"}

    def measure(samples):
        classifier = train_classifier(train_data)
        quality = evaluation.sample_quality(samples, train_data, held_out, classifier)
        return quality.as_dict()

    return measure if train_data.name in CLASSIFIED else skip


def stacked_quality(samples, train_data, held_out) -> dict:
    """Return the modes of stacked digits that samples show, beside those of held-out images."""
    digits = train_data.num_classes // 100
    classifier = evaluation.train_classifier(
        train_data.images[..., :1], train_data.labels // 100, digits, name="mnist"
    )
    found = evaluation.stacked_modes(samples, classifier)
    expected_found, expected_kl = evaluation.expected_of_uniform(found.num_samples, found.total)
    real = evaluation.stacked_modes(held_out.images, classifier)
    first = classifier.probabilities(held_out.images[..., :1])
    confidence = [
        classifier.probabilities(samples[..., c : c + 1]).max(axis=1).mean() for c in range(3)
    ]
    return {
        "modes_found": found.found,
        "modes": found.total,
        "kl_to_uniform": found.kl,
        "num_samples": found.num_samples,
        "expected_modes_of_uniform": expected_found,
        "expected_kl_of_uniform": expected_kl,
        "held_out_modes": real.found,
        "held_out_kl": real.kl,
        "num_held_out": real.num_samples,
        "mean_confidence": float(np.mean(confidence)),
        "held_out_confidence": float(first.max(axis=1).mean()),
        "classifier_accuracy": float((first.argmax(axis=1) == held_out.labels // 100).mean()),
    }


def build_model(options: dict, train_data):
    """Return the compiled model that the options describe."""
    if options["cclass"] and train_data.labels is None:
        raise ValueError(f"--cclass needs labels; {train_data.source} has none.")
    num_classes = train_data.num_classes if options["cclass"] else None
    names = list(train_data.class_names) if options["cclass"] else None
    check_classes(options, names, train_data.source)
    options["class_names"] = names

    def network(name):
        settings = {"num_classes": num_classes, "name": name}
        if options["network"] == run_options.PUBLISHED_BOUNDS:
            if options["cclass"]:
                raise ValueError(f"--network={options['network']} takes no labels: no --cclass.")
            shape = train_data.sample_shape
            return bounds_networks.energy(shape, options["num_filters"], name)
        if isinstance(train_data, data.VectorData):
            return vectors.network(options, train_data, **settings)
        size, shape = options["num_filters"], train_data.image_shape
        if options["network"].startswith("resnet"):
            settings["use_attention"] = options["use_attention"]
        if options["network"] == "fourier_mlp":
            known = ", ".join(name for name in run_options.NETWORKS if name != "fourier_mlp")
            origin = run_options.origin(options, "network")
            raise ValueError(f"--network=fourier_mlp{origin} is for vectors; images take {known}.")
        if options["network"] == "mlp":
            return tf_febm.networks.mlp(shape, (size, size), "swish", **settings)
        build = tf_febm.networks.get(options["network"])
        return build(num_filters=size, image_shape=shape, **settings)

    def optimizer(ratio=1.0, updates=1):
        # A schedule even where the rate is constant: a checkpoint then fits any rate.
        steps, alpha = options["steps"] * updates, options["lr_final"] / options["lr"]
        rate = keras.optimizers.schedules.CosineDecay(ratio * options["lr"], steps, alpha=alpha)
        kinds = tf_febm.optimizers
        return (kinds.ClippedAdam if options["clip_gradients"] else kinds.FusedAdam)(
            rate,
            beta_1=options["beta_1"],
            beta_2=options["beta_2"],
            epsilon=options["adam_epsilon"],
        )

    sampler = sampling.make_sampler(options, train_data)
    if options["method"] == "bidirectional":
        check_latent_dim(options, train_data.sample_shape)
        model = tf_febm.BidirectionalEBM(
            network("energy"),
            make_generator(options, train_data.sample_shape, sampler.bounds),
            options["latent_dim"],
            options["penalty_weight"],
            options["penalty_threshold"],
            options["entropy_weight"],
            options["entropy"],
            entropy_iterations=options["entropy_iterations"],
            penalty=None if options["penalty"] == "none" else options["penalty"],
            l2_coeff=options["l2_coeff"],
            sampler=sampler,
            average_decay=options["average_decay"] or None,
            seed=options["seed"],
        )
        model.compile(optimizer(), optimizer(options["generator_lr_ratio"]))
        return model
    settings = {
        "sampler": sampler,
        "buffer": sampling.make_buffer(options),
        "l2_coeff": options["l2_coeff"],
        "class_names": names,
        "average_decay": options["average_decay"] or None,
        "seed": options["seed"],
    }
    if options["method"] == "contrastive_divergence":
        model = tf_febm.ContrastiveDivergence(network("energy"), initial="noise", **settings)
        model.compile(optimizer())
        return model
    if options["method"] == "febm":
        settings["shift_invariant"] = options["shift_invariant"]
    updates = options["variational_steps"]
    model = MODELS[options["method"]](
        network("energy"),
        network("variational"),
        options["divergence"],
        log_ratio_clip=options["log_ratio_clip"],
        variational_steps=updates,
        variational_l2_coeff=options["variational_l2_coeff"],
        leave_one_out=options["leave_one_out"],
        warmup_steps=options["warmup_steps"],
        **settings,
    )
    model.compile(optimizer(), optimizer(options["variational_lr_ratio"], updates=updates))
    return model


def restore(folder, data_dir=None, resume_iter: int = -1) -> tuple:
    """Return (options, model, train_data, held_out, checkpoints, step) of a run.

    Args:
        folder: Its `training.RunFolder`.
        data_dir: Where the data set is, if it has moved since.
        resume_iter: Which checkpoint; the newest if negative.

    Raises:
        OSError: If there is no run, no checkpoint, or its data is gone.
        ValueError: If the options do not fit this version.
    """
    options = run_options.completed(folder.read_options())
    if data_dir is not None:
        options["data_dir"] = data_dir
    try:
        train_data, held_out = load_data(options)
        if not hasattr(train_data, "images"):
            raise ValueError(
                f"{folder.path} is a run on vectors: its figures stand in {folder.summary.name}."
            )
        model = build_model(options, train_data)
        # What whoever restores a run asks for.
        for name in ("num_samples", "final_steps", "seed"):
            options[name]
    except KeyError as error:
        raise ValueError(
            f"{folder.options} lacks the option {error}: another version wrote it."
        ) from None
    checkpoints = training.Checkpoints(folder.checkpoints, model, report=console.log)
    if not checkpoints.steps:
        raise FileNotFoundError(f"There is no checkpoint in {folder.checkpoints}.")
    step = checkpoints.restore(None if resume_iter < 0 else resume_iter)
    return options, model, train_data, held_out, checkpoints, step


def check_latent_dim(options: dict, shape) -> None:
    """Raise a ValueError if there are more latent variables than numbers in an example."""
    count, most = options["latent_dim"], math.prod(shape)
    if count > most:
        raise ValueError(
            f"--latent_dim={count}{run_options.origin(options, 'latent_dim')} is too large for "
            f"examples of shape {tuple(shape)}: latent_dim must be at most {most}, the numbers in "
            f"one; give --latent_dim={most} or less."
        )


def make_generator(options: dict, shape, bounds):
    """Return the generator that the options describe, for data of a shape within bounds."""
    size = options["num_filters"]
    norm = {"batch_norm": options["generator_batch_norm"]}
    if options["generator"] == run_options.PUBLISHED_BOUNDS:
        return bounds_networks.generator(options["latent_dim"], shape, size, **norm)
    if options["generator"] == "monotone":
        # Of a size of its own: it has no hidden layers.
        settings = {}
    elif options["generator"] in ("mlp", "coupling"):
        settings = {"hidden_units": (size, size), **norm}
    elif len(shape) == 3:
        settings = {"num_filters": size, **norm}
    else:
        raise ValueError(
            f"--generator={options['generator']} makes images; examples have shape {shape}: "
            "give --generator=mlp."
        )
    return tf_febm.networks.get_generator(options["generator"])(
        options["latent_dim"],
        shape,
        output_activation=None if bounds is None else "sigmoid",
        name="generator",
        **settings,
    )
