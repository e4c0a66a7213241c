"""f-EBM against contrastive divergence, paired by seed: `python -m studies.versus`.

In three frames, each a recipe of a small perceptron: the pixels of the digits; the digits relative
to a Gaussian reference, where Langevin dynamics are those of Eq. 5; and MNIST's pixels, where
--data_dir names its file. CD, f-EBM by four divergences and the dual form begin with the same
energy and see the same batches for as many steps, which each run proves by digests. f-EBM in the
paper's settings, of equal learning rates, and in the best ones known before, the recipe's with
`shift_invariant`; then what follows from the mechanism, each tried with Jensen–Shannon: H = R −
(slow average of E), a penalty on the slope of H at the data, several steps of H, a warm start by CD
within the same number of steps, a mixture of KL and reverse KL.

What is ahead there is run again on seeds of its own: twelve more, and six of five times the steps.

The plan, which docs/claims.md had before the runs: tuning on a seed of its own, by the Fréchet
ratio: two learning rates for each row of f-EBM, two values of its own setting more for each
variant, at the rate of its base, and four learning rates for CD, so that the most tuned f-EBM had
no more. Then differences of the logarithms of Fréchet ratios of the same seed, every flip of their
signs, two sided, at 5 %, adjusted for all rows of a family by the largest |t| (`studies.paired`).
A run that fails counts as noise images do.

Through the training of some runs `studies.mechanism` looks at what drives it. Writes runs.csv,
looks.csv, claims.json and two pictures into --out. Runs that are done are not repeated.
"""

import functools
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from launch import console
from studies import runs

DIVERGENCES = ("kl", "reverse_kl", "js", "squared_hellinger")
_PAPER = {"variational_learning_rate_ratio": 1.0}
_BEST = {"shift_invariant": True}
CD = "contrastive_divergence"
# Row -> what it changes of the recipe.
ROWS: dict[str, dict[str, Any]] = {
    CD: {"method": CD},
    **{f"{name}, paper's": {"divergence": name, **_PAPER} for name in DIVERGENCES},
    "dual js, paper's": {"method": "dual", "divergence": "js", **_PAPER},
    **{f"{name}, best": {"divergence": name, **_BEST} for name in DIVERGENCES},
}
BASE = "js, best"
# Variant of `BASE` -> its own setting, and the values it is tuned over. Three are no fields of a
# recipe: a penalty on the slope of H, the share of the steps that are CD's, and the share of KL in
# a mixture with reverse KL, which takes the place of Jensen–Shannon.
VARIANTS: dict[str, tuple[str, tuple]] = {
    "js, slow E": ("slow_energy_decay", (0.9, 0.99)),
    "js, smooth H": ("slope_penalty", (0.1, 1.0)),
    "js, steps of H": ("variational_steps", (2, 4)),
    "js, warm": ("warm_share", (0.25, 0.5)),
    "js, mixed": ("kl_share", (0.25, 0.75)),
}
# Factors of the recipe's learning rate.
RATES, RATES_OF_CD = (1.0, 2.0), (0.7, 1.0, 1.4, 2.0)
# What frames change of the recipe digits_quick.
_SMALL = {"width": 64, "num_steps": 10, "num_samples": 1000}
FRAMES: dict[str, dict[str, Any]] = {
    "digits": {"data": "digits", "steps": 600, **_SMALL},
    # As the recipe of faces has it.
    "reference": {
        "data": "digits", "steps": 600, **_SMALL, "reference": "full", "epsilon": 0.15,
        "grad_clip": None, "data_noise": 0.08, "l2_coeff": 0.005, "restart_probability": 0.02,
    },
    "mnist": {"data": "mnist", "steps": 600, **_SMALL},
}  # fmt: skip
# What f-EBM has in the frame of a reference besides.
RELATIVE = {"slow_energy_decay": 0.99}
FAST = {"steps": 6, "width": 4, "num_samples": 20, "batch_size": 8, "num_steps": 1}
FAST_ROWS = (CD, "js, paper's", BASE, "js, smooth H", "js, warm", "js, mixed")
SEEDS, TUNING_SEED = 6, 100
# Rows whose mechanism is looked at, of the first seed.
LOOKED_AT = (CD, "js, paper's", "reverse_kl, best", BASE, "js, slow E")
# Parts of a run after which its mechanism is looked at.
LOOKS = (0.125, 0.5, 1.0)
PRIOR, EFFECT = (0.03, 0.06, 0.12, 0.18), -math.log(0.9)
PAGE = "claims.md"


# Part of the study, in the digits' pixels -> its rows, which are adjusted for one another.
FAMILIES = {
    "paper": [CD, *(f"{name}, paper's" for name in DIVERGENCES)],
    "best": [f"{name}, best" for name in DIVERGENCES],
    "dual": ["dual js, paper's"],
    "variants": [*VARIANTS],
}
PARTS = (*FAMILIES, "reference")
# What was ahead of CD for five or six of six seeds is run again on others, alike and for longer.
AHEAD = {"digits": (CD, "kl, best", "js, mixed"), "reference": (CD, "kl, best", "js, best")}
AGAIN: dict[str, tuple[range, int]] = {"again": (range(6, 18), 1), "longer": (range(18, 24), 5)}


def rows_of(part: str) -> list[str]:
    """Return the rows of a part; those of other frames are rows of the digits' pixels."""
    best = [CD, *FAMILIES["best"]]
    others = {"reference": best, "mnist": [*FAMILIES["paper"], *FAMILIES["best"]]}
    return {**FAMILIES, **others}[part]


_KNOWN = ", ".join((*PARTS, *AGAIN, "mnist"))


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags.

    Args:
        values: Where to; absl's own unless a test has its own.
    """
    own = {"flag_values": values}
    flags.DEFINE_list("parts", [*PARTS, *AGAIN], f"Of {_KNOWN}; in this order.", **own)
    flags.DEFINE_bool("looks", True, "Whether to look at the mechanism through training.", **own)
    flags.DEFINE_integer("seeds", SEEDS, "Seeds of each row.", 2, 16, **own)
    flags.DEFINE_string("data_dir", None, "File or folder of MNIST, for its frame.", **own)
    runs.define_measured(values, "runs/claims/versus")


def run(values) -> int:
    """Tune, make what runs are missing, then write the tables, the claims and the pictures."""
    parts = [part for part in _KNOWN.split(", ") if part in values.parts]
    if unknown := sorted({*values.parts} - {*parts}):
        raise ValueError(f"--parts must be of {_KNOWN}; received {unknown}.")
    needs = {"best": "paper", "dual": "paper", "variants": "best", "mnist": "best"}
    needs |= dict.fromkeys(AGAIN, "reference")
    if "paper" not in parts or not {needs.get(part, "paper") for part in parts} <= {*parts}:
        raise ValueError(f"--parts must have paper; best for variants, mnist; received {parts}.")
    console.import_quietly(intra_op_threads=1)
    from studies import versus_tables

    out, seeds = Path(values.out), range(2 if values.fast else values.seeds)
    frames = {name: {**own, **(FAST if values.fast else {})} for name, own in FRAMES.items()}
    each = functools.partial(runs.each, train, folder=out / "done", processes=values.processes)

    def jobs(frame: str, settings: dict[str, dict], seeds, looks: bool = False) -> list[dict]:
        own = {"folder": values.data_dir} if frame == "mnist" else {}
        return [
            {"frame": frame, "row": row, **settings[row], "seed": seed, **frames[frame],
             "looks": looks, **own}
            for seed in seeds
            for row in settings
        ]  # fmt: skip

    tuning: list[dict] = []
    looks: list[dict] = []

    def tuned(frame: str, grid: dict[str, list[dict]]) -> dict[str, dict]:
        """Return row -> the one of its settings that does best on the seed of the tuning."""
        places = [(row, own) for row, settings in grid.items() for own in settings]
        tried = each([jobs(frame, {row: own}, [TUNING_SEED])[0] for row, own in places])
        tuning.extend(tried)
        best: dict[str, tuple] = {}
        for (row, own), result in zip(places, tried, strict=True):
            found = result.get("frechet_ratio", math.inf), own
            best[row] = min(best.get(row, found), found, key=lambda pair: pair[0])
        return {row: own for row, (_, own) in best.items()}

    chosen: dict[str, dict[str, dict]] = {}
    done: dict[str, list[dict]] = {}
    first = slice(1 if values.fast else None)

    def grid(part: str, rows: list[str]) -> dict[str, list[dict]]:
        """Return row -> the settings that are tried."""
        if part == "variants":
            base = chosen["digits"][BASE]
            return {
                row: [{**base, VARIANTS[row][0]: value} for value in VARIANTS[row][1][first]]
                for row in rows
            }
        rates = {row: RATES_OF_CD if row == CD else RATES for row in rows}
        return {row: [{"rate": rate} for rate in some[first]] for row, some in rates.items()}

    for part in parts:
        frame = "digits" if part in FAMILIES else part
        if part in AGAIN:
            if not {"variants", "reference"} <= {*parts}:
                raise ValueError(f"--parts={part} must have variants and reference, too.")
            own, factor = AGAIN[part]
            for base, rows in AHEAD.items():
                name = f"{base}, {part}"
                frames[name] = {**frames[base], "steps": factor * frames[base]["steps"]}
                settings = {row: chosen[base][row] for row in rows if row in chosen[base]}
                chosen[name] = settings
                some = jobs(name, settings, own[:2] if values.fast else own)
                done[name] = each([{**job, "frame": base} for job in some])
            versus_tables.write(done, tuning, chosen, looks, out)
            continue
        rows = [row for row in rows_of(part) if not values.fast or row in FAST_ROWS]
        kept = {row: chosen["digits"][row] for row in rows} if part == "mnist" else None
        settings = kept or tuned(frame, grid(part, rows))
        chosen.setdefault(frame, {}).update(settings)
        done.setdefault(frame, []).extend(each(jobs(frame, settings, seeds)))
        if values.looks and part != "mnist":
            games = {row: own for row, own in settings.items() if row in LOOKED_AT}
            looks.extend(each(jobs(frame, games, [0], looks=True)))
        # What there is by now, for a study that is stopped.
        versus_tables.write(done, tuning, chosen, looks, out)
    console.log(f"Tables and pictures are in {out}.")
    return console.DONE


def page_table(figures: dict) -> str:
    """Return what the page shows in Markdown; see `versus_tables.page_table`."""
    from studies import versus_tables

    return versus_tables.page_table(figures)


def recipe_of(job: dict):
    """Return the recipe of a job."""
    from tf_febm import recipes

    base = recipes.get("digits_quick")
    known = {name: job[name] for name in job if name in base.as_dict()}
    changes = ROWS.get(job["row"], ROWS[BASE])
    if job["frame"] == "reference" and job["row"] != CD:
        changes = {**changes, **RELATIVE}
    first, last = (job["rate"] * r for r in (base.learning_rate, base.final_learning_rate))
    return base.replace(**{**changes, **known}, learning_rate=first, final_learning_rate=last)


@functools.cache
def judged(data: str, data_dir: str | None):
    """Return the training split, the test split and the classifier of a data set."""
    from tf_febm import data as readers
    from tf_febm import evaluation

    train, test = readers.Source(data, data_dir=data_dir).load()
    classifier = evaluation.train_classifier(
        train.images, train.labels, train.num_classes, name=data
    )
    return train, test, classifier


def begin(recipe, source, slope_penalty: float = 0.0, kl_share: float | None = None):
    """Return the model of a recipe.

    Args:
        recipe: A `Recipe`.
        source: The data.
        slope_penalty: Weight of a penalty on the slope of H at the data.
        kl_share: Share of KL in a mixture with reverse KL, for the recipe's divergence if given.
    """
    import keras

    from studies import versus_variants
    from tf_febm import FEBM, catalogue

    # The first weights that are drawn are the energy's, by every method.
    keras.utils.set_random_seed(recipe.seed)
    model = recipe.build(source)
    if not slope_penalty and kl_share is None:
        return model
    own = {name: getattr(recipe, name) for name in catalogue.METHODS[recipe.method].settings}
    if kl_share is not None:
        own["divergence"] = versus_variants.mixed(kl_share)
    variational = model.variational_network
    made = FEBM(
        model.energy_network,
        versus_variants.held_smooth(variational, slope_penalty) if slope_penalty else variational,
        sampler=model.sampler, buffer=model.buffer, l2_coeff=recipe.l2_coeff,
        average_decay=recipe.average_decay, seed=recipe.seed, **own,
    )  # fmt: skip
    optimizers = (model.optimizer, model.variational_optimizer)
    made.compile(*(type(o).from_config(o.get_config()) for o in optimizers))
    return made


# Models of former jobs of this process, by what is the same for other seeds.
_KEPT: dict[str, Any] = {}


def begun(job: dict, recipe, source):
    """Return the model of a job at its beginning: a former one, which is traced, if there is one.

    All its state is that of a model built anew.
    """
    key = json.dumps({k: v for k, v in job.items() if k not in ("seed", "looks", "folder")})
    fresh = begin(recipe, source, job.get("slope_penalty", 0.0), job.get("kl_share"))
    model = _KEPT.setdefault(key, fresh)
    if model is not fresh:
        model.seed = fresh.seed
        variables, others = model.state_variables(), fresh.state_variables()
        for name, own in variables.items():
            for mine, new in zip(own, others[name], strict=True):
                mine.assign(new)
    return model


def take_over(model, former) -> None:
    """Let a model go on where another one, of the same energy network, has come to.

    It takes the energy, the state of its optimizer, the weight average and the chains. H begins.
    """
    model.energy_network.set_weights(former.energy_network.get_weights())
    pairs = zip(model.optimizer.variables, former.optimizer.variables, strict=True)
    for mine, theirs in pairs:
        mine.assign(theirs)
    for average, _ in model._averages().values():
        average.restart()
    model.buffer.load_state(former.buffer.state())


def digests(model, recipe, source) -> dict[str, str]:
    """Return what a run begins with, in short: E, H where there is one, and the first batches."""

    def digest(arrays) -> str:
        found = hashlib.sha256()
        for array in arrays:
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:16]

    batches = recipe.stream(source, start_step=0).take(3)
    found = {
        "energy_begins": digest(model.energy_network.get_weights()),
        "batches": digest(batches.as_numpy_iterator()),
    }
    if getattr(model, "variational_network", None) is not None:
        found["variational_begins"] = digest(model.variational_network.get_weights())
    return found


def train(job: dict) -> dict:
    """Train once; return the quality of samples, and looks at the mechanism if asked for."""
    from studies import mechanism
    from tf_febm import evaluation, training

    source, held_out, classifier = judged(job["data"], job.get("folder"))
    recipe = recipe_of(job)
    warm = round(job.get("warm_share", 0.0) * recipe.steps)
    model = begun(job, recipe, source)
    found = digests(model, recipe, source)
    if warm:
        first = {**job, "row": CD}
        former = begun(first, recipe_of(first), source)
        found["energy_begins"] = digests(former, recipe, source)["energy_begins"]
        fit(former, recipe, source, 0, warm)
        take_over(model, former)
    looking = job["looks"] and mechanism.Mechanism(model, source, held_out, classifier, recipe)
    at, looks = warm, []
    for share in LOOKS if looking else (1.0,):
        until = max(at, round(share * recipe.steps))
        fit(model, recipe, source, at, until)
        at = until
        if looking:
            looks.append(looking.look(at, 10 if recipe.num_steps == 1 else mechanism.LONG))
    samples, _ = training.draw_samples(model, recipe.num_samples, recipe.final_steps, recipe.seed)
    quality = evaluation.sample_quality(samples, source, held_out, classifier).as_dict()
    found |= {name: value for name, value in quality.items() if name.startswith("frechet_ratio")}
    if job["seed"] == TUNING_SEED:
        return found
    some = held_out.images[: recipe.num_samples]
    figures = evaluation.evaluate_samples(
        samples, some, classifier, num_subsets=1, prd_runs=2
    ).as_dict()
    return {
        **found,
        **{name: figures[name] for name in ("precision", "recall", "prd_f8", "prd_f1_8")},
        "looks": looks,
    }


def fit(model, recipe, source, start: int, stop: int) -> None:
    """Train from a step to another.

    Raises:
        RuntimeError: A weight is not finite any more.
    """
    if stop > start:
        batches = recipe.stream(source, start_step=start)
        model.fit(batches, steps_per_epoch=stop - start, epochs=1, verbose=0)
    if not all(np.isfinite(weights).all() for weights in model.get_weights()):
        raise RuntimeError(f"weights are not finite at step {stop}")


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
