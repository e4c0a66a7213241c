"""Estimators of the energy's gradient that the paper sets aside: `python -m studies.estimators`.

Equation 11 with a learned ratio in place of the unknown one, Theorem 1, Equation 13 (through a
Langevin chain) and Theorem 3, for a Gaussian energy and the mixture of Section 6.1, where the
gradient is known: bias and noise of each, with the true log ratio and with a learned one. Memory
and time of Equation 13 against chain length on a 28×28 network. Writes estimators.csv, claims.json
and estimators.png into --out. Runs that are done are not repeated.
"""

import functools
import math
from pathlib import Path

import numpy as np
from absl import flags

from launch import console
from studies import runs
from studies.chain_costs import cost
from studies.section_6_1 import MIXTURE

DIVERGENCES = ("kl", "reverse_kl", "js", "squared_hellinger", "alpha:-0.5")
# Gaussians to take the gradient at: mean and scale. One covers the mixture, one misses a part.
PLACES = {"covering": (1.2, 2.2), "missing": (0.0, 1.5)}
RATIOS = ("true", "learned")
BATCH, BATCHES, TOGETHER = 1000, 200, 10
# Steps of the chains of Eq. 13 and their ε; the slowest scale takes 2σ²/ε = 48 steps.
CHAINS, EPSILON = (10, 40, 160), 0.2
ESTIMATORS = ("theorem_3", "theorem_1", "exact_map", *(f"chain_{steps}" for steps in CHAINS))
LENGTHS = {False: (5, 20, 60), True: (2, 5, 10)}
WIDTH, IMAGES = 16, 16
# A bias below this share of the gradient, beyond its own error, counts as none.
NEGLIGIBLE = 0.05
PAGE = "claims.md"


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    runs.define_measured(values, "runs/claims/estimators")


def run(values) -> int:
    """Make what runs are missing, then write the table, the claims and the picture."""
    console.import_quietly(intra_op_threads=1)
    share = 10 if values.fast else 1
    names = DIVERGENCES[1:3] if values.fast else DIVERGENCES
    out = Path(values.out)
    jobs = [
        {"place": place, "ratio": ratio, "divergences": list(names), "batches": BATCHES // share}
        for place in PLACES
        for ratio in (RATIOS[:1] if values.fast else RATIOS)
    ]
    results = runs.each(measure, jobs, out / "done", values.processes)
    lengths = [{"lengths": list(LENGTHS[bool(values.fast)]), "width": WIDTH, "images": IMAGES}]
    costs = runs.each(cost, lengths, out / "done", 1)
    write(results, costs, out)
    console.log(f"Table and picture are in {out}.")
    return console.DONE


def exact_gradient(name: str, mean: float, scale: float, step: float = 1e-4) -> np.ndarray:
    """Return the gradient of D_f(p‖q) for mean and log scale of q, by quadrature."""
    from tensorflow_probability import distributions as tfd

    from tf_febm import analysis

    target = analysis.gaussian_mixture(*MIXTURE)

    def divergence(move):
        q = tfd.Normal(np.float64(mean + move[0]), np.float64(scale * math.exp(move[1])))
        return float(analysis.f_divergence(name, target, q))

    moves = step * np.eye(2)
    return np.array([(divergence(m) - divergence(-m)) / (2.0 * step) for m in moves])


def log_ratio(job: dict):
    """Return x [n, 1] -> log p/q, true or learned from 20,000 samples of each, with gradients."""
    import keras
    import tensorflow as tf

    from tf_febm import analysis, models, networks

    mean, scale = PLACES[job["place"]]
    target = analysis.gaussian_mixture(*MIXTURE)
    if job["ratio"] == "true":
        constant = math.log(scale * math.sqrt(2.0 * math.pi))
        return lambda x: (
            target.log_prob(x[:, 0]) + 0.5 * tf.square((x[:, 0] - mean) / scale) + constant
        )
    keras.utils.set_random_seed(0)
    ratio = models.DensityRatio(networks.mlp(1, (64, 64), "tanh"), "js")
    ratio.compile(keras.optimizers.Adam(3e-3))
    rng = np.random.default_rng(0)
    p = target.sample(20_000, seed=1).numpy().astype(np.float32)[:, None]
    q = (mean + scale * rng.standard_normal((20_000, 1))).astype(np.float32)
    ratio.fit(p, q, batch_size=1000, epochs=25, seed=0, verbose=0)
    return lambda x: tf.cast(ratio.log_ratio(tf.cast(x, tf.float32)), tf.float64)


def measure(job: dict) -> dict:
    """Return the exact gradient of each divergence, and those of each estimator, [batches, 2]."""
    mean, scale = PLACES[job["place"]]
    ratio = log_ratio(job)
    return {
        name: {
            "exact": exact_gradient(name, mean, scale).tolist(),
            **{
                kind: np.asarray(found).tolist()
                for kind, found in _estimates(name, mean, scale, ratio, job["batches"]).items()
            },
        }
        for name in job["divergences"]
    }


def _estimates(name: str, mean: float, scale: float, ratio, batches: int) -> dict:
    """Return estimator -> gradients of independent batches for (μ, log σ)."""
    import tensorflow as tf

    from tf_febm import analysis, divergences, objectives, samplers

    divergence, target = divergences.get(name), analysis.gaussian_mixture(*MIXTURE)
    start = tf.constant([mean, math.log(scale)], tf.float64)

    def energy(x, theta):
        return 0.5 * tf.square((x[:, 0] - theta[..., 0]) * tf.exp(-theta[..., 1]))

    @tf.function
    def on_batch(x_data, x_model):
        # H and V are the ratio at the present energy, and do not move with θ.
        r_data, r_model = ratio(x_data), ratio(x_model)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(start)
            e_data, e_model = energy(x_data, start), energy(x_model, start)
            third = objectives.energy_surrogate(
                divergence,
                r_data + e_data - tf.stop_gradient(e_data),
                r_model + e_model - tf.stop_gradient(e_model),
                e_model,
            )
            first = objectives.dual_surrogate(divergence, r_model, e_model)
        return tape.gradient(third, start), tape.gradient(first, start)

    rng, thirds, firsts = np.random.default_rng(0), [], []
    for batch in range(batches):
        x_data = target.sample(BATCH, seed=batch)[:, None]
        x_model = tf.constant(mean + scale * rng.standard_normal((BATCH, 1)))
        third, first = on_batch(x_data, x_model)
        thirds.append(third)
        firsts.append(first)
    found = {"theorem_3": thirds, "theorem_1": firsts}

    # Every batch has a θ of its own, so that one gradient is that of all of them; some at a time,
    # as the chains keep all of their steps.
    many = math.gcd(batches, TOGETHER)
    noise = tf.constant(rng.standard_normal((batches // many, many * BATCH, 1)))

    def through(draw) -> np.ndarray:
        @tf.function
        def gradients(noise, seed):
            theta = tf.tile(start[None], [many, 1])
            with tf.GradientTape() as tape:
                tape.watch(theta)
                x = draw(tf.repeat(theta, BATCH, axis=0), noise, seed)
                value = -tf.reduce_sum(divergence.conjugate(ratio(x))) / BATCH
            return tape.gradient(value, theta)

        once = gradients.get_concrete_function(noise[0], tf.constant(0))
        return np.concatenate([once(part, tf.constant(i)) for i, part in enumerate(noise)])

    def chain(theta, noise, seed, sampler):
        return sampler(lambda x: energy(x, theta), noise, tf.stack([seed, 1]), differentiable=True)

    found["exact_map"] = through(lambda t, noise, _: t[:, :1] + tf.exp(t[:, 1:]) * noise)
    for steps in CHAINS:
        sampler = samplers.Langevin.from_epsilon(EPSILON, steps)
        found[f"chain_{steps}"] = through(functools.partial(chain, sampler=sampler))
    return found


def table(results: list[dict]) -> list[dict]:
    """Return a row for each place, ratio, divergence and estimator, relative to the gradient."""
    rows = []
    for result in results:
        job = result["job"]
        for name in job["divergences"]:
            exact = np.array(result[name]["exact"])
            size = np.linalg.norm(exact)
            for kind in ESTIMATORS:
                found = np.array(result[name][kind])
                spread = np.sqrt(found.var(axis=0, ddof=1).sum())
                rows.append(
                    {
                        "place": job["place"],
                        "ratio": job["ratio"],
                        "divergence": name,
                        "estimator": kind,
                        "gradient": float(size),
                        "bias": float(np.linalg.norm(found.mean(axis=0) - exact) / size),
                        "error_of_bias": float(spread / np.sqrt(len(found)) / size),
                        "noise": float(spread / size),
                    }
                )
    return rows


def write(results: list[dict], costs: list[dict], out: Path) -> None:
    """Write the table, the claims and the picture."""
    rows = table(results)
    runs.write_table(rows, out / "estimators.csv")
    for row in rows:
        console.log(
            f"{row['place']:9s} {row['ratio']:8s} {row['divergence']:18s} {row['estimator']:10s} "
            f"bias {row['bias']:.3f} ± {row['error_of_bias']:.3f}  noise {row['noise']:.3f}"
        )
    if "failed" in costs[0]:
        raise ValueError(f"The cost of chains was not measured: {costs[0]['failed']}")
    claims = [*_claims(rows), _of_costs(costs[0]["rows"])]
    figures = {"table": rows, "costs": costs[0]["rows"]}
    runs.write_claims(out, claims, results + costs, figures)
    draw(rows, costs[0]["rows"], out / "estimators.png")


def _chosen(rows: list[dict], **keys) -> list[dict]:
    return [row for row in rows if all(row[key] == value for key, value in keys.items())]


def _biases(rows: list[dict]) -> str:
    return ", ".join(
        f"{row['place']} {row['bias']:.3f} ± {row['error_of_bias']:.3f}" for row in rows
    )


def _unbiased(row: dict) -> bool:
    return row["bias"] - 2.0 * row["error_of_bias"] < NEGLIGIBLE


def _claims(rows: list[dict]) -> list[dict]:
    command, claims = "python -m studies.estimators", []
    # Eq. 11 is E_q[∇log q (1 − r)] = Cov_q(∇E, r): Theorem 1's for reverse KL, whose F is r − 1.
    eleventh = _chosen(rows, divergence="reverse_kl", estimator="theorem_1")
    texts = []
    for ratio in dict.fromkeys(row["ratio"] for row in eleventh):
        own = _chosen(eleventh, ratio=ratio)
        texts.append(f"with the {ratio} ratio {_biases(own)}")
    text = f"bias over the gradient's size: {'; '.join(texts)}. It is Theorem 1's of reverse KL"
    learned = _chosen(eleventh, ratio="learned") or eleventh
    claims.append(
        runs.claim(
            "Eq. 11 can be estimated once the ratio is learned (the paper: infeasible without it)",
            "3.1.1, Eq. 11",
            text,
            all(map(_unbiased, learned)) or "holds in part",
            command,
        )
    )
    third = [row for row in rows if row["estimator"] == "theorem_3"]
    texts = []
    for ratio in dict.fromkeys(row["ratio"] for row in third):
        biases = [row["bias"] for row in _chosen(third, ratio=ratio)]
        other = [row["bias"] for row in _chosen(rows, estimator="theorem_1", ratio=ratio)]
        texts.append(
            f"{ratio} ratio: Theorem 3 {min(biases):.3f} to {max(biases):.3f}, Theorem 1 "
            f"{min(other):.3f} to {max(other):.3f}"
        )
    claims.append(
        runs.claim(
            "Theorem 3's estimator is unbiased at the optimal H",
            "Theorem 3",
            f"bias over the gradient's size, {len(third)} cases; " + "; ".join(texts),
            all(map(_unbiased, _chosen(third, ratio="true"))),
            command,
        )
    )
    true = _chosen(rows, ratio="true")
    factors = {
        (row["place"], row["divergence"]): row["noise"]
        / _chosen(true, place=row["place"], divergence=row["divergence"], estimator="theorem_3")[0][
            "noise"
        ]
        for row in _chosen(true, estimator="theorem_1")
    }
    text = "deviation over Theorem 3's on the same batches, H exact: " + ", ".join(
        f"{place} {name} {value:.2f}" for (place, name), value in factors.items()
    )
    verdict: bool | str = min(factors.values()) > 1.0
    if not verdict and max(factors.values()) > 1.0:
        verdict = "holds in part"
    claims.append(
        runs.claim(
            "Theorem 1's gradient (the dual form) is noisier than Theorem 3's, on the known target",
            "3.1.2", text, verdict, command,
        )
    )  # fmt: skip
    texts, unbiased = [], []
    for kind in ESTIMATORS[2:]:
        own = _chosen(true, estimator=kind)
        biases, noises = ([row[key] for row in own] for key in ("bias", "noise"))
        unbiased.append(all(map(_unbiased, own)))
        texts.append(
            f"{kind.replace('_', ' ')} bias {min(biases):.3f} to {max(biases):.3f}, noise "
            f"{min(noises):.3f} to {max(noises):.3f}"
        )
    claims.append(
        runs.claim(
            "Eq. 13 gives the gradient through a chain, if that is long enough",
            "3.1.2, Eq. 13",
            f"over the gradient's size, true ratio, batches of {BATCH}: " + "; ".join(texts),
            (unbiased[0] and unbiased[-1]) or "holds in part",
            command,
        )
    )
    return claims


def _of_costs(rows: list[dict]) -> dict:
    plain, through = (
        [row for row in rows if row["differentiable"] == kind] for kind in (False, True)
    )
    step = (through[-1]["mib"] - through[0]["mib"]) / (through[-1]["steps"] - through[0]["steps"])
    alone = max(plain[-1]["mib"], 1.0)
    ratio = through[-1]["seconds"] / plain[-1]["seconds"]
    text = (
        f"28×28 network of width {WIDTH}, {IMAGES} images: chains alone take "
        + ", ".join(f"{row['mib']:.0f} MiB at {row['steps']}" for row in plain)
        + " steps; with the gradient "
        + ", ".join(f"{row['mib']:.0f} at {row['steps']}" for row in through)
        + f": {step:.1f} MiB, {step / alone:.2f} chains, for each step; processor time {ratio:.1f} "
        "times that of the chain"
    )
    # Hundreds of steps take hundreds of times if each keeps about what a chain needs.
    verdict: bool | str = step > 0.5 * alone or ("holds in part" if step > 0.1 * alone else False)
    title = "A gradient through a chain of hundreds of steps takes hundreds of times its memory"
    return runs.claim(title, "3.1.2, E.2", text, verdict, "python -m studies.estimators")


def page_table(figures: dict) -> str:
    """Return bias and noise of every estimator in Markdown, of what `write` stored."""
    rows = figures["table"]
    kinds = list(dict.fromkeys(row["estimator"] for row in rows))
    heading = " | ".join(kind.replace("_", " ") for kind in kinds)
    lines = [f"| q | log ratio | divergence | {heading} |", "|---" * (len(kinds) + 3) + "|"]
    for key in dict.fromkeys((r["place"], r["ratio"], r["divergence"]) for r in rows):
        own = _chosen(rows, place=key[0], ratio=key[1], divergence=key[2])
        cells = [f"{row['bias']:.2f}, {row['noise']:.2f}" for row in own]
        lines.append(f"| {key[0]} | {key[1]} | `{key[2]}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(rows: list[dict], costs: list[dict], path: Path) -> None:
    """Draw bias against noise of every estimator, and memory against chain length."""
    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    ratios = list(dict.fromkeys(row["ratio"] for row in rows))
    drawn, axes = charts.panels(len(ratios) + 1, 4.2, 3.6)
    for axis, ratio in zip(axes, ratios, strict=False):
        for index, kind in enumerate(ESTIMATORS):
            own = _chosen(rows, ratio=ratio, estimator=kind)
            axis.loglog(
                [row["noise"] for row in own],
                [max(row["bias"], 1e-3) for row in own],
                "o",
                color=charts.COLOURS[index % len(charts.COLOURS)],
                alpha=0.7,
                label=kind.replace("_", " "),
            )
        charts.style(axis, f"{ratio} ratio", "noise / gradient", "bias / gradient")
    for differentiable, label in ((False, "chain"), (True, "with gradient")):
        own = [row for row in costs if row["differentiable"] == differentiable]
        axes[-1].plot([r["steps"] for r in own], [r["mib"] for r in own], "o-", label=label)
    charts.style(axes[-1], "Memory of Eq. 13", "steps of the chain", "MiB")
    evaluation.save_png(path, charts.pixels(drawn))


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
