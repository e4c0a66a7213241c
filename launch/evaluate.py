"""Measure the samples of a run: `python launch/evaluate.py --run=runs/name`.

Writes evaluation.json, a grid of samples and pictures of their nearest training images; with
--curve also how the Frechet distance fell from checkpoint to checkpoint. Command lines of the
original's test_inception_febm.py work too.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import console
import effects
import original_evaluation
from absl import app, flags

NETWORKS = ("auto", "classifier", "inception_graph", "keras_inception", "squeezenet")

REFERENCES = ("train", "test", "all")

# Images of the grid; samples, and neighbours of each, in the pictures of neighbours.
GRID, SHOWN, NEIGHBOURS = 100, 12, 7
# Samples whose nearest training images are measured.
SEARCHED = 200
# Names of the original.
ALIASES = {"num_steps": "final_steps", "im_number": "num_samples"}
# Chains of a round, unless the pool is smaller.
BATCH = 512


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags.

    Args:
        values: Where to; absl's own unless a test has its own.
    """
    text = partial(flags.DEFINE_string, flag_values=values)
    whole = partial(flags.DEFINE_integer, flag_values=values)
    text("run", None, "Folder of the run, <logdir>/<exp>.")
    whole("num_samples", None, "Samples to draw; as many as the run drew at its end if unset.", 10)
    whole("final_steps", None, "Steps of the sampler for each; those of the run if unset.", 0)
    whole("seed", None, "Seed of the samples; the run's if unset.", 0, 2**31 - 1)
    whole("resume_iter", -1, "Checkpoint to measure; -1 is the newest.")
    text("data_dir", None, "Local folder or file of the data set, if it has moved since.")
    whole(
        "rounds",
        0,
        "Sample as published: so many rounds of a pool of chains from noise, some of which restart "
        "between rounds. 0 continues the chains of training.",
        0,
    )
    whole("nomix", 10, "Last rounds, in which no chain restarts and no label is redrawn.", 0)
    whole("pool_size", 1000, "Chains of a pool.", 1)
    whole("batch_size", None, f"Of these, how many run in a round; {BATCH} or all if unset.", 1)
    share = partial(flags.DEFINE_float, flag_values=values)
    share("restart_share", 0.01, "Of the images of a round that restart from noise.", 0.0, 1.0)
    share("label_share", 0.1, "Of the labels of a round that are redrawn.", 0.0, 1.0)
    share("step_lr", None, "Step size of the sampler; the run's if unset.", 0.0)
    share("proj_norm", None, "Largest gradient of Langevin chains; the run's if unset.", 0.0)
    share("noise_scale", None, "Standard deviation of their noise; the run's if unset.", 0.0)
    flags.DEFINE_bool(
        "averaged", True, "Sample with averaged weights, if the run kept any.", flag_values=values
    )
    whole("ensemble", 1, "Newest checkpoints whose weights the rounds use in turn.", 1)
    flags.DEFINE_bool("curve", False, "Measure every checkpoint that was kept.", flag_values=values)
    flags.DEFINE_enum(
        "reference",
        "train",
        REFERENCES,
        "Real images to compare with; the published evaluation takes all of them.",
        flag_values=values,
    )
    whole("num_real", None, "How many of these, drawn at random; all if unset.", 10)
    flags.DEFINE_enum(
        "features",
        "auto",
        NETWORKS,
        "Feature network. auto: the one whose file is given, else the classifier of a small "
        "labelled data set, else none, and there are no figures.",
        flag_values=values,
    )
    text("inception", None, "classify_image_graph_def.pb, for the published FID and score.")
    text("squeezenet", None, "Weights of SqueezeNet 1.1 without top.")
    text("keras_weights", "imagenet", "Weights of keras_inception; imagenet downloads them.")
    text("out", None, "Where the results go; <run>/evaluation if unset.")
    text("cache_dir", None, "Folder of features of real images; <out>/cache if unset.")
    flags.DEFINE_bool("debug", False, "Show tracebacks of errors.", flag_values=values)
    for name, own in ALIASES.items():
        flags.DEFINE_alias(name, own, flag_values=values)
    original_evaluation.define(values)


def main(argv) -> int:
    """Measure a run."""
    if len(argv) > 1:
        raise app.UsageError(f"Unknown argument {argv[1]!r}; every option starts with --.")
    values = flags.FLAGS
    return console.exit_code(lambda: run(values), debug=values.debug)


def run(values) -> int:
    """Rebuild the model, draw samples, measure them, write everything down.

    Args:
        values: The flags.

    Returns:
        The exit code.
    """
    rounds = original_evaluation.rounds_of(values)
    effects.check_names(values, ALIASES)
    names = ("nomix", "features", "inception", "exp")
    facts = {"rounds": rounds, **{name: getattr(values, name) for name in names}}
    effects.check(effects.EVALUATE, values, facts)
    if 0 < rounds < values.nomix:
        raise ValueError(f"--rounds must be at least --nomix={values.nomix}; received {rounds}.")
    if values.curve and values.ensemble > 1:
        raise ValueError("--curve measures single checkpoints; it excludes --ensemble.")
    # Before the seconds that TensorFlow takes, where that can be.
    place = original_evaluation.folder_of(values, console.log)
    console.import_quietly()
    import building
    import sampling
    import train

    from tf_febm import evaluation, files, training

    folder = training.RunFolder(place)
    options, model, train_data, held_out, checkpoints, step = building.restore(
        folder, values.data_dir, values.resume_iter
    )
    warnings = original_evaluation.check(values, options)
    sampler = sampling.with_settings(
        model.sampler, values.step_lr, values.noise_scale, values.proj_norm
    )
    if sampler is not model.sampler:
        model.sampler = sampler
    out = Path(values.out) if values.out else folder.evaluation
    cache_dir = Path(values.cache_dir) if values.cache_dir else out / "cache"
    # First: a missing file of weights shall leave nothing behind.
    network = feature_network(values, train_data)
    if network is None and values.curve:
        raise ValueError(f"--curve needs features. {no_network(values, train_data)}")
    given = values.final_steps
    facts |= {
        "cclass": options["cclass"],
        "has_average": model.average is not None,
        "has_features": network is not None,
        "num_steps": options["final_steps"] if given is None else given,
    }
    warnings += effects.check(effects.EVALUATE, values, facts)
    if rounds and values["batch_size"].present and values.batch_size > values.pool_size:
        warnings.append(
            f"--batch_size={values.batch_size} is more than --pool_size={values.pool_size}: all "
            "chains of a pool run in each round."
        )
    kept = {"train": len(train_data), "test": len(held_out)}
    most = kept.get(values.reference, sum(kept.values()))
    if values.num_real is not None and values.num_real > most:
        warnings.append(f"--num_real={values.num_real} is more than there are: {most} images.")
    for warning in warnings:
        console.log(f"warning: {warning}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"Cannot write to {out}: {error.strerror}.") from None
    if network is None:
        console.log(f"warning: no figures but distances. {no_network(values, train_data)}")
    else:
        console.log(f"Features: {network.feature_network}")

    settings = {
        "num_samples": options["num_samples"],
        "num_steps": options["final_steps"],
        "seed": options["seed"],
        "rounds": rounds,
        "batch_size": min(values.batch_size or BATCH, values.pool_size),
    }
    given = {"num_samples": values.num_samples, "num_steps": values.final_steps}
    given["seed"] = values.seed
    settings |= {name: value for name, value in given.items() if value is not None}
    names = ("ensemble", "nomix", "pool_size", "restart_share", "label_share", "averaged")
    settings |= {name: getattr(values, name) for name in names}
    console.log(f"Drawing {settings['num_samples']} samples of step {step} …")
    samples = draw(model, checkpoints, settings)
    evaluation.save_png(out / "samples.png", evaluation.image_grid(samples[:GRID]))

    sets = references(values, train_data, held_out, len(samples))
    train_images = chosen(train_data.images, values.num_real)
    unseen = chosen(held_out.images, len(samples))
    result = {
        "run": str(folder.path),
        "step": step,
        "sampling": settings,
        **figures_of(samples, sets, network, cache_dir),
        "nearest": write_neighbours(samples, unseen, train_images, network, cache_dir, out),
        "versions": train.versions(),
    }
    if isinstance(network, evaluation.Classifier) and held_out.labels is not None:
        quality = evaluation.sample_quality(samples, train_data, held_out, network)
        result["quality"] = quality.as_dict()
    files.write_json(out / "evaluation.json", result)
    if values.curve:
        import quality_curve

        drawn = partial(draw, model, checkpoints, settings)
        seconds = quality_curve.seconds_of_training(folder.metrics)
        rows = quality_curve.measure(
            checkpoints, drawn, sets, network, cache_dir, console.log, seconds
        )
        quality_curve.write(out, rows, network.feature_network)
    console.log(json.dumps(result.get("samples") or result["nearest"], indent=2))
    console.log(f"Done: look at {out / 'samples.png'} and {out / 'evaluation.json'}.")
    return console.DONE


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
    images: Any
    scale_name: str
    scale_images: Any
    against_name: str
    against_images: Any


def references(values, train_data, held_out, count: int) -> References:
    """Return the images that --reference and --num_real name."""
    import numpy as np

    own = {"train": train_data.images, "test": held_out.images}
    name = values.reference
    real = np.concatenate([*own.values()]) if name == "all" else own[name]
    real = chosen(real, values.num_real)
    scale = "train" if name == "test" else "test"
    # The test images are among all of them, and would be at distance zero from themselves.
    against = "train" if name == "all" else name
    against_images = chosen(own["train"], values.num_real) if name == "all" else real
    return References(name, real, scale, chosen(own[scale], count), against, against_images)


def figures_of(samples, sets: References, network, cache_dir) -> dict:
    """Return the figures of samples and, as a scale to read them by, of real images.

    Each says which images it was measured against; there are none without a feature network.
    """
    from tf_febm import evaluation

    if network is None:
        return {}
    console.log(f"Measuring them against {len(sets.images)} images ({sets.name}) …")
    measure = partial(evaluation.evaluate_samples, network=network, cache_dir=cache_dir)
    scale = measure(sets.scale_images, sets.against_images, reference=sets.against_name)
    return {
        "samples": measure(samples, sets.images, reference=sets.name).as_dict(),
        "held_out": {"images": sets.scale_name, **scale.as_dict()},
    }


def draw(model, checkpoints, settings: dict):
    """Return samples in [0, 1], [n, …], of the model as it is.

    Args:
        model: The model.
        checkpoints: Its Checkpoints, for an ensemble.
        settings: num_samples, num_steps, seed, rounds, ensemble and those of the pool, as the
            flags describe them.

    Raises:
        ValueError: If an ensemble is larger than what was kept.
    """
    from tf_febm import models, training

    count, rounds, members = (settings[k] for k in ("num_samples", "rounds", "ensemble"))
    if not rounds:
        return training.draw_samples(model, count, settings["num_steps"], settings["seed"])[0]
    averaged = settings["averaged"] and model.average is not None
    ensemble = None
    if members > 1:
        # Backwards from the checkpoint that was restored.
        step = training.steps_taken(model)
        steps = [kept for kept in checkpoints.steps if kept <= step]
        if members > len(steps):
            raise ValueError(
                f"--ensemble={members} needs as many checkpoints up to step {step}; {len(steps)} "
                "were kept (see --keep_checkpoints of train.py)."
            )
        steps = steps[-members:]
        ensemble = [checkpoints.energy_weights(step, averaged=averaged) for step in steps]
    drawn = models.pooled_chains(
        model,
        count,
        settings["seed"],
        num_rounds=rounds,
        nomix=settings["nomix"],
        pool_size=settings["pool_size"],
        batch_size=settings["batch_size"],
        restart_probability=settings["restart_share"],
        label_probability=settings["label_share"],
        num_steps=settings["num_steps"],
        ensemble=ensemble,
        averaged=averaged and ensemble is None,
        report=console.every_few_seconds("round {} of {}"),
    ).samples
    return training.to_unit_scale(model, drawn)


def feature_network(values, train_data):
    """Return the feature network that the flags name; None if "auto" finds none.

    Raises:
        ValueError: If a flag that it needs is not given, or a file is not what it should be.
        OSError: If a file is missing.
    """
    import building

    from tf_febm import evaluation

    name = values.features
    if name == "auto":
        offered = {
            "inception_graph": values.inception,
            "squeezenet": values.squeezenet,
            "classifier": train_data.name in building.CLASSIFIED,
        }
        name = next((name for name, there in offered.items() if there), None)
        if name is None:
            return None
    if name == "classifier":
        return building.train_classifier(train_data)
    if name == "keras_inception":
        return evaluation.KerasInception(values.keras_weights)
    if name == "inception_graph" and values.inception:
        return evaluation.InceptionGraph(values.inception)
    if name == "squeezenet" and values.squeezenet:
        return evaluation.SqueezeNet(values.squeezenet)
    raise ValueError(no_network(values, train_data))


def no_network(values, train_data) -> str:
    """Return what can be done where there is no feature network."""
    return (
        f"--features={values.features} has no network for {train_data.name}: give --inception= "
        "(classify_image_graph_def.pb), --squeezenet= (weights), or --features=keras_inception "
        "(downloads 96 MB, or --keras_weights=)."
    )


def chosen(images, count):
    """Return at most `count` images, drawn at random without replacement; all if it is None."""
    import numpy as np

    if count is None or count >= len(images):
        return images
    return images[np.sort(np.random.default_rng(0).permutation(len(images))[:count])]


def write_neighbours(samples, unseen, real, network, cache_dir, out) -> dict:
    """Draw the nearest training images of samples, by pixels and by features, if there are any.

    Returns:
        Median distances of samples, and of held-out images, to the nearest training image. Samples
        much nearer than held-out images are copies.
    """
    import numpy as np

    from tf_febm import evaluation

    searches = {"pixels": lambda images: evaluation.nearest_neighbours(images, real, NEIGHBOURS)}
    if network is not None:
        known = evaluation.feature_statistics(real, network, cache_dir).features
        searches["features"] = lambda images: evaluation.nearest_in_features(
            network.features(images), known, NEIGHBOURS
        )
    nearest = {"reference": "train", "num_real": len(real)}
    for name, search in searches.items():
        found, usual = search(samples[:SEARCHED]), search(unseen[:SEARCHED])
        nearest[name] = {
            "samples": float(np.median(found.distances[:, 0])),
            "held_out": float(np.median(usual.distances[:, 0])),
        }
        picture = evaluation.neighbours_grid(samples[:SHOWN], real, found.indices[:SHOWN])
        evaluation.save_png(out / f"neighbours_{name}.png", picture)
    return nearest


if __name__ == "__main__":
    define()
    app.run(main)
