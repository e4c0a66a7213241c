"""Measure the samples of a run: `python launch/evaluate.py --run=runs/name`.

Writes evaluation.json, a grid of samples and pictures of their nearest training images; with
--curve also how the Frechet distance fell from checkpoint to checkpoint. Of a run on a table it
scores the rows. Command lines of the original's test_inception_febm.py work too, and --original
measures its checkpoints.
"""

from pathlib import Path

import console
import effects
import original_evaluation
from absl import flags

NETWORKS = ("auto", "classifier", "inception_graph", "keras_inception", "squeezenet")
REFERENCES = ("train", "test", "all")

# Flags that are the recipe's unless they are given; arguments of training.Sampling of one name.
OF_RECIPES = ("num_samples", "final_steps", "descent_steps", "noise_removed", "seed")
SAME = ("ensemble", "nomix", "pool_size", "averaged")
OF_CHAINS = ("step_lr", "noise_scale", "proj_norm")
# Flags of networks, which evaluation.find_feature_network has too.
FILES = ("inception", "squeezenet", "keras_weights")
# Names of the original, and one of version 0.1.
ALIASES = {"num_steps": "final_steps", "im_number": "num_samples", "reference": "compare_with"}
BATCH = 512  # Chains of a round, unless the pool is smaller.


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    add = console.definers(values, "The run")
    add.text("run", None, "Folder of the run, <logdir>/<exp>.")
    add.whole("resume_iter", -1, "Checkpoint to take; -1 is the newest.")
    add.text("data_dir", None, "Local folder or file of the data set; if it has moved since.")
    add.text("original", None, "Checkpoint of the original code, dir/model_45900, for --dataset=.")
    add = console.definers(values, "Samples")
    own = console.definers(values, "Samples", "the run's")
    own.whole("num_samples", None, "Samples to draw.", 10)
    own.whole("final_steps", None, "Steps of the sampler for each of these samples.", 0)
    own.whole("descent_steps", None, "Steps without noise after these, of falling size.", 0)
    own.whole("seed", None, "Seed of all that is random.", 0, 2**31 - 1)
    published = "Sample as published: so many rounds of a pool of chains from noise, some of which "
    rounds = f"{published}restart between rounds. 0 continues the chains of training."
    add.whole("rounds", 0, rounds, 0)
    add.whole("nomix", 10, "Last rounds, in which no chain restarts and no label is redrawn.", 0)
    add.whole("pool_size", 1000, "Chains of a pool.", 1)
    chains = f"Examples, and chains, of a step; of a round of the pool, {BATCH} or all if unset."
    add.whole("batch_size", None, chains, 1)
    add.real("restart_share", 0.01, "Of the images of a round that restart from noise.", 0.0, 1.0)
    add.real("label_share", 0.1, "Of the labels of a round that are redrawn.", 0.0, 1.0)
    own.real("noise_removed", None, "Noise taken off at the end.", 0.0)
    own.real("step_lr", None, "Step size of the sampler.", 0.0)
    bound = "Bound on each coordinate of the gradient of a Langevin step; or its norm, as the run."
    own.real("proj_norm", None, bound, 0.0)
    noise = "Standard deviation of the noise of a Langevin step, in units of the chains."
    own.real("noise_scale", None, noise, 0.0)
    add.switch("averaged", True, "Sample with averaged weights, if the run kept any.")
    add.whole("ensemble", 1, "Newest checkpoints whose weights the rounds use in turn.", 1)
    add = console.definers(values, "Measuring")
    add.switch("curve", False, "Measure every checkpoint that was kept.")
    real = "Real images to compare with; the published evaluation takes all of them."
    add.choice("compare_with", "train", REFERENCES, real)
    add.whole("num_real", None, "How many of these, drawn at random; all if unset.", 10)
    auto = "auto: the one whose file is given, else the classifier of a small labelled data set, "
    features = f"Feature network. {auto}else none, and there are no figures."
    add.choice("features", "auto", NETWORKS, features)
    add.text("inception", None, "classify_image_graph_def.pb, for the published FID and score.")
    add.text("squeezenet", None, "Weights of SqueezeNet 1.1 without top.")
    add.text("keras_weights", "imagenet", "Weights of keras_inception; imagenet downloads them.")
    add.real("odd", 0.05, "Rows of a table with a p_value up to this are odd.", 0.0, 1.0)
    add = console.definers(values, "Output")
    add.text("out", None, "Where the results go; <run>/evaluation if unset.")
    add.text("cache_dir", None, "Folder of features of real images; <out>/cache if unset.")
    add.switch("debug", False, "Show tracebacks of errors.")
    add = console.definers(values, original_evaluation.original_flags.TITLE)
    for name, own in ALIASES.items():
        add.alias(name, own)
    original_evaluation.define(values)


def run(values) -> int:
    """Restore the run, draw samples, measure them, write everything down."""
    rounds = original_evaluation.rounds_of(values)
    effects.check_names(values, ALIASES)
    names = ("nomix", "features", "inception", "exp", "original")
    facts = {"rounds": rounds, **{name: getattr(values, name) for name in names}}
    effects.check(values, facts)
    if 0 < rounds < values.nomix:
        raise ValueError(f"--rounds must be at least --nomix={values.nomix}; received {rounds}.")
    if values.curve and values.ensemble > 1:
        raise ValueError("--curve measures single checkpoints; it excludes --ensemble.")
    # Before the seconds that TensorFlow takes, where that can be.
    place = None if values.original else original_evaluation.folder_of(values, console.log)
    console.import_quietly()
    from tf_febm import evaluation, recipes, training
    from tf_febm.evaluation import choosing

    console.log("Reading the run and its data, and making the features ready …")
    if place is None:
        with console.naming_flags("dataset"):
            found = recipes.restore_original(
                values.original, values.dataset, values.data_dir, bool(values.use_attention)
            )
    else:
        step = None if values.resume_iter < 0 else values.resume_iter
        found = recipes.restore(place, values.data_dir, step, console.log)
    recipe, model, train, held_out = found.recipe, found.model, found.train, found.held_out
    out = Path(values.out) if values.out else found.folder.evaluation
    if not hasattr(train, "images"):
        effects.check_rows(values)
        rows = training.evaluate_rows(found, out, odd=values.odd)
        told = [evaluation.verdict(quality).sentence for quality in [rows["quality"]] if quality]
        console.log("\n".join([*told, *console.words.of_rows(rows)]))
        console.log(f"Done: look at {out / 'scores.csv'} and {out / 'evaluation.json'}.")
        return console.DONE
    warnings = original_evaluation.check(values, recipe, train)
    with console.naming_flags(*OF_CHAINS):
        settings = {name: getattr(values, name) for name in OF_CHAINS}
        model.sampler = recipes.change_sampler(model.sampler, **settings)
    # First: a missing file of weights shall leave nothing behind.
    with console.naming_flags("features", *FILES):
        network = evaluation.find_feature_network(
            train, values.features, **{name: getattr(values, name) for name in FILES}
        )
    if network is None:
        none = console.with_flags(choosing.no_network("auto", train), "features", *FILES)
        if values.curve:
            raise ValueError(f"--curve needs features. {none}")
        warnings.append(f"no figures but distances. {none}")
    own = {n: getattr(recipe if getattr(values, n) is None else values, n) for n in OF_RECIPES}
    facts |= {
        "cclass": recipe.conditional,
        "has_average": model.average is not None,
        "has_features": network is not None,
        "num_steps": own["final_steps"],
        "images": True,
    }
    warnings += effects.check(values, facts)
    if rounds and values["batch_size"].present and values.batch_size > values.pool_size:
        more = f"--batch_size={values.batch_size} is more than --pool_size={values.pool_size}"
        warnings.append(f"{more}: all chains of a pool run in each round.")
    kept = {"train": len(train), "test": len(held_out)}
    most = kept.get(values.compare_with, sum(kept.values()))
    if values.num_real is not None and values.num_real > most:
        warnings.append(f"--num_real={values.num_real} is more than there are: {most} images.")
    for warning in warnings:
        console.log(f"warning: {warning}")
    result = training.evaluate_run(
        found,
        network,
        out,
        training.Sampling(
            num_steps=own.pop("final_steps"),
            rounds=rounds,
            batch_size=min(values.batch_size or BATCH, values.pool_size),
            restart_probability=values.restart_share,
            label_probability=values.label_share,
            **{name: getattr(values, name) for name in SAME},
            **own,
        ),
        reference=values.compare_with,
        num_real=values.num_real,
        cache_dir=values.cache_dir,
        curve=values.curve,
        report=console.log,
        progress=console.clock.every_few_seconds(console.log, "round {} of {}"),
    )
    told = [evaluation.verdict(result["quality"]).sentence] if "quality" in result else []
    console.log("\n".join([*told, *console.words.of_samples(result)]))
    console.log(f"Done: look at {out / 'samples.png'}; all figures: {out / 'evaluation.json'}.")
    return console.DONE


if __name__ == "__main__":
    console.main(run, define)
