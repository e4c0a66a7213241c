"""f-EBM against contrastive divergence, paired by seed: `python -m studies.versus`.

On the digits by one recipe of a small perceptron, and on MNIST where --data_dir names its file: CD,
f-EBM by four divergences, and the dual form, each from the same initial energy, on the same batches
and for as many steps. f-EBM in the paper's settings, of equal learning rates, and in the best ones
known before, the recipe's with `shift_invariant`; then what follows from the mechanism, each tried
with Jensen–Shannon: H = R − (slow average of E), a penalty on the slope of H at the data, several
steps of H, a warm start by CD within the same number of steps.

Tuning, on a seed of its own and by the Fréchet ratio: three learning rates for each row of f-EBM,
three values of its own setting more for each variant, at the rate of its base, and six learning
rates for CD, so that the most tuned f-EBM had no more. The test was settled before the runs:
differences of the logarithms of Fréchet ratios of the same seed, every flip of their signs, two
sided, at 5 %, adjusted for all rows of a table by the largest |t| (`studies.paired`). Earlier pairs
differed by deviations of 0.02 (1,500 steps) and 0.03 (5,000) in that logarithm, and of 0.18 in long
runs of version 0.1.0; for a tenth, 0.105, six seeds have the powers in "power" of claims.json, at
0.03, 0.06, 0.12 and 0.18. A run that fails counts as noise images do.

Through the training of some runs `studies.mechanism` looks at what drives it. Writes runs.csv,
looks.csv, claims.json and two pictures into --out. Runs that are done are not repeated.
"""

import functools
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
# Variant of `BASE` -> its own setting, and the values it is tuned over. Of these two are no field
# of a recipe: a penalty on the slope of H, and the share of the steps that are CD's.
VARIANTS: dict[str, tuple[str, tuple]] = {
    "js, slow E": ("slow_energy_decay", (0.9, 0.99, 0.999)),
    "js, smooth H": ("slope_penalty", (0.01, 0.1, 1.0)),
    "js, steps of H": ("variational_steps", (2, 3, 5)),
    "js, warm": ("warm_share", (0.25, 0.5, 0.75)),
}
OWN = ("slope_penalty", "warm_share")
# Factors of the recipe's learning rate.
RATES, RATES_OF_CD = (0.5, 1.0, 2.0), (0.25, 0.5, 0.7, 1.0, 1.4, 2.0)
# Of the recipe digits_quick; on MNIST the digits' choices are kept.
FRAMES: dict[str, dict[str, Any]] = {
    "digits": {"steps": 4000, "width": 64, "num_steps": 10, "num_samples": 1000},
    "mnist": {"steps": 2000, "width": 64, "num_steps": 10, "num_samples": 1000},
}
FAST = {"steps": 8, "width": 4, "num_samples": 20, "batch_size": 8, "num_steps": 1}
SEEDS, TUNING_SEED, LOOKED_AT = 6, 100, 2
# Parts of a run after which its mechanism is looked at.
LOOKS = (0.125, 0.5, 1.0)
PRIOR, EFFECT = (0.03, 0.06, 0.12, 0.18), -math.log(0.9)
PAGE = "results.md"


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags.

    Args:
        values: Where to; absl's own unless a test has its own.
    """
    own = {"flag_values": values}
    flags.DEFINE_integer("seeds", SEEDS, "Seeds of each row.", 2, 16, **own)
    flags.DEFINE_string("data_dir", None, "File or folder of MNIST, to compare on it too.", **own)
    runs.define_measured(values, "runs/claims/versus")


def run(values) -> int:
    """Tune, make what runs are missing, then write the tables, the claims and the pictures."""
    console.import_quietly(intra_op_threads=1)
    from studies import versus_tables

    out, frames = Path(values.out), FRAMES
    seeds, data_dir = range(2 if values.fast else values.seeds), values.data_dir
    if values.fast:
        frames = {name: FAST for name in FRAMES}
    each = functools.partial(runs.each, train, folder=out / "done", processes=values.processes)

    def jobs(data: str, settings: dict[str, dict], seeds, looks: int = 0) -> list[dict]:
        return [
            {"data": data, "row": row, **settings[row], "seed": seed, **frames[data],
             "looks": seed < looks, **({"data_dir": data_dir} if data == "mnist" else {})}
            for seed in seeds
            for row in settings
        ]  # fmt: skip

    def tuned(grid: dict[str, list[dict]]) -> dict[str, dict]:
        """Return row -> the one of its settings that does best on the seed of the tuning."""
        tried = {
            row: each([jobs("digits", {row: s}, [TUNING_SEED])[0] for s in settings])
            for row, settings in grid.items()
        }
        tuning.extend(r for results in tried.values() for r in results)
        return {
            row: grid[row][int(np.argmin([r.get("frechet_ratio", math.inf) for r in results]))]
            for row, results in tried.items()
        }

    tuning: list[dict] = []
    rates = {row: [{"rate": r} for r in (RATES_OF_CD if row == CD else RATES)] for row in ROWS}
    settings = tuned(rates)
    base = settings[BASE]
    settings |= tuned(
        {row: [{**base, own: v} for v in values] for row, (own, values) in VARIANTS.items()}
    )
    done = {"digits": each(jobs("digits", settings, seeds, LOOKED_AT))}
    if data_dir is not None:
        kept = {row: settings[row] for row in ROWS if "dual" not in row}
        done["mnist"] = each(jobs("mnist", kept, seeds))
    versus_tables.write(done, tuning, settings, out)
    console.log(f"Tables and pictures are in {out}.")
    return console.DONE


def recipe_of(job: dict):
    """Return the recipe of a job."""
    from tf_febm import recipes

    base = recipes.get("digits_quick")
    known = {name: job[name] for name in job if name in base.as_dict()}
    changes = ROWS.get(job["row"], ROWS[BASE])
    first, last = (job["rate"] * r for r in (base.learning_rate, base.final_learning_rate))
    return base.replace(**changes, **known, learning_rate=first, final_learning_rate=last)


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


def begin(recipe, source, slope_penalty: float = 0.0):
    """Return the model of a recipe, with a penalty on the slope of H at the data if given."""
    import keras

    from tf_febm import FEBM, catalogue

    # The first weights that are drawn are the energy's, by every method.
    keras.utils.set_random_seed(recipe.seed)
    model = recipe.build(source)
    if not slope_penalty:
        return model
    names = catalogue.METHODS[recipe.method].settings
    optimizers = (model.optimizer, model.variational_optimizer)
    made = FEBM(
        model.energy_network, held_smooth(model.variational_network, slope_penalty),
        sampler=model.sampler, buffer=model.buffer, l2_coeff=recipe.l2_coeff,
        average_decay=recipe.average_decay, seed=recipe.seed,
        **{name: getattr(recipe, name) for name in names},
    )  # fmt: skip
    made.compile(*(type(o).from_config(o.get_config()) for o in optimizers))
    return made


def held_smooth(network, weight: float):
    """Return a network that adds weight·mean ‖∇ₓH‖² of its last call in training to its losses."""
    import keras
    import tensorflow as tf

    class Smooth(keras.Model):
        def __init__(self):
            super().__init__(name="variational")
            self.inside = network
            self.build(network.input_shape)

        def call(self, x, training=False):
            if not training:
                return self.inside(x)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                value = self.inside(x)
            slope = tf.reshape(tape.gradient(value, x), [tf.shape(x)[0], -1])
            self.add_loss(weight * tf.reduce_mean(tf.reduce_sum(tf.square(slope), axis=1)))
            return value

    return Smooth()


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


def train(job: dict) -> dict:
    """Train once; return the quality of samples, and looks at the mechanism if asked for."""
    from studies import mechanism
    from tf_febm import evaluation, training

    source, held_out, classifier = judged(job["data"], job.get("data_dir"))
    recipe = recipe_of(job)
    warm = round(job.get("warm_share", 0.0) * recipe.steps)
    if warm:
        former = begin(recipe_of({**job, "row": CD}), source)
        fit(former, recipe, source, 0, warm)
    model = begin(recipe, source, job.get("slope_penalty", 0.0))
    if warm:
        take_over(model, former)
    looking = job["looks"] and mechanism.Mechanism(
        model, source, held_out, classifier, recipe.data_noise
    )
    at, looks = warm, []
    for share in LOOKS:
        until = max(at, round(share * recipe.steps))
        fit(model, recipe, source, at, until)
        at = until
        if looking:
            looks.append(looking.look(at, 10 if recipe.num_steps == 1 else mechanism.LONG))
    samples, _ = training.draw_samples(
        model, recipe.num_samples, recipe.final_steps, recipe.seed
    )
    quality = evaluation.sample_quality(samples, source, held_out, classifier).as_dict()
    some = held_out.images[: recipe.num_samples]
    figures = evaluation.evaluate_samples(samples, some, classifier, num_subsets=1).as_dict()
    return {
        **{name: value for name, value in quality.items() if name.startswith("frechet_ratio")},
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
