"""Theorems 4 and 5: the predicted rate of return against a measured one: `python -m studies.rates`.

A Gaussian energy for Gaussian data, with a variational function that can represent the optimum, so
that the equilibrium is known. Plain gradient descent starts beside it, by simultaneous and by
alternating updates, on batches without noise (equally spaced quantiles) and on sampled ones, and
the rate at which it returns is set beside the eigenvalues of Theorem 4 and the bounds of Theorem 5.
Writes rates.csv, claims.json and rates.png into --out. Runs that are done are not repeated.
"""

import math
from pathlib import Path

import numpy as np
from absl import flags

from launch import console
from studies import runs

MEAN, SCALE = 0.7, 1.3
DIVERGENCES = ("kl", "reverse_kl", "js", "squared_hellinger", "alpha:-0.5", "pearson_chi2")
UPDATES = ("simultaneous", "alternating")
# Energy weights: mean and log scale; or the latter alone, where Theorem 5's bound of real
# eigenvalues says something; or that with a variational function of one weight, whose eigenvalues
# are complex.
ENERGIES = ("both", "scale", "oscillating")
STEP, TIME = 0.02, 40.0
# How far from the equilibrium a run starts, and examples of a batch.
START, BATCH = {"quantiles": 0.01, "samples": 0.3}, {"quantiles": 4000, "samples": 1000}
SEEDS = 4
# Steps of one call of the compiled loop.
CHUNK = 20
# What a rate may differ from the predicted one to agree with it: a twentieth.
AGREES = 0.05


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    runs.define_measured(values, "runs/claims/rates")


def run(values) -> int:
    """Make what runs are missing, then write the table, the claims and the picture."""
    console.import_quietly(intra_op_threads=1)
    names = DIVERGENCES[:1] if values.fast else DIVERGENCES
    jobs = [
        {"batches": "quantiles", "energy": energy, "divergence": name, "updates": updates}
        for energy in ENERGIES
        for name in names
        for updates in UPDATES
    ]
    if not values.fast:
        jobs += [
            {"batches": "samples", "energy": "both", "divergence": "js", "updates": updates}
            for updates in UPDATES
        ]
    time = TIME / 4.0 if values.fast else TIME
    out = Path(values.out)
    jobs = [{**job, "time": time} for job in jobs]
    results = runs.each(follow, jobs, out / "done", values.processes)
    write(results, out)
    console.log(f"Table and picture are in {out}.")
    return console.DONE


def equilibrium(job: dict, seed: int):
    """Return a compiled model at q = p and H = −E, its data, and the quantiles of p."""
    import keras
    import tensorflow as tf

    from tf_febm import data, models, networks, randomness
    from tf_febm.analysis.mixture_rules import ExactGaussian, normal_at

    keras.utils.set_random_seed(seed)
    energy = networks.quadratic(1, MEAN, SCALE)
    layer = energy.get_layer("gaussian")
    layer.mean.trainable = job["energy"] == "both"
    # H = ω₁ z + ω₂ z² + ω₃, or ω z²/2, with z = (x − MEAN)/SCALE: −E is one of them.
    x = keras.Input((1,), name="x")
    z = keras.layers.Rescaling(1.0 / SCALE, -MEAN / SCALE)(x)
    squared = keras.layers.Multiply()([z, z])
    if job["energy"] == "oscillating":
        powers, initial = keras.layers.Rescaling(0.5)(squared), [np.array([[-1.0]])]
    else:
        powers = keras.layers.Concatenate()([z, squared])
        initial = [np.array([[0.0], [-0.5]]), np.zeros(1)]
    dense = keras.layers.Dense(1, use_bias=len(initial) > 1)
    variational = keras.Model(x, dense(powers))
    dense.set_weights(initial)

    count = BATCH[job["batches"]]
    place = (tf.range(count, dtype=tf.float64) + 0.5) / count
    nodes = normal_at(place, 1.0 - place)[:, None]
    exact, without_noise = MEAN + SCALE * nodes, job["batches"] == "quantiles"

    def quantiles(energy_fn, initial_state, seed):
        return layer.mean + layer.scale * nodes

    def draw(index):
        return MEAN + SCALE * randomness.normal([count, 1], tf.stack([index, seed]))

    if without_noise:
        stream = tf.data.Dataset.from_tensors(exact).repeat()
    else:
        stream = tf.data.Dataset.range(2**31 - 1, output_type=tf.int32).map(draw)
    model = models.FEBM(
        energy,
        variational,
        job["divergence"],
        sampler=quantiles if without_noise else ExactGaussian(layer, stratified=False),
        l2_coeff=0.0,
        leave_one_out=not without_noise,
        simultaneous=job["updates"] == "simultaneous",
        seed=seed,
    )
    model.build((None, 1))
    model.compile(keras.optimizers.SGD(STEP), keras.optimizers.SGD(STEP), steps_per_execution=CHUNK)
    return model, data.without_tuning(stream), exact


def follow(job: dict) -> dict:
    """Start beside the equilibrium; return the rate of return, predicted and measured.

    The slowest eigenvalue λ of J, or of the alternating product of two half steps, has a left
    eigenvector l, and near the equilibrium |l*(φ − φ*)| falls as e^(Re λ · t): the slope of its
    logarithm is what is measured. With sampled batches it is that of the mean over seeds, in the
    first time in which it falls to a quarter.
    """
    from tf_febm.analysis import stability

    seeds = SEEDS if job["batches"] == "samples" else 1
    ways = []
    for seed in range(seeds):
        model, stream, exact = equilibrium(job, seed)
        if seed == 0:
            found = stability(model, exact, exact)
        ways.append(_way(model, stream, job))
    distance = np.mean(ways, axis=0)
    step = _step(found.jacobian, len(model.energy_network.trainable_variables), job["updates"])
    values, vectors = np.linalg.eig(step)
    slowest = np.argmax(np.abs(values))
    component = np.abs(np.linalg.inv(vectors)[slowest] @ distance.T)
    times = STEP * CHUNK * np.arange(len(component))
    used = component > (1e-5 if seeds == 1 else 0.25 * component[0])
    used = np.cumprod(used).astype(bool) & (times >= 0.0)
    slope, offset = np.polyfit(times[used], np.log(component[used]), 1)
    residual = np.log(component[used]) - slope * times[used] - offset
    spread = residual.std(ddof=2) / (times[used].std() * math.sqrt(used.sum()))
    return {
        "eigenvalue": float(found.eigenvalues[0].real),
        "is_complex": bool(abs(found.eigenvalues[0].imag) > 1e-6),
        "predicted": float(np.log(np.abs(values[slowest])) / STEP),
        "measured": float(slope),
        "spread": float(spread),
        "second_derivative": found.second_derivative,
        "printed_real": found.bound_real_paper,
        "printed_complex": found.bound_complex_paper,
        "own": found.bound_real,
        "times": times[used].tolist(),
        "component": component[used].tolist(),
    }


def _way(model, stream, job: dict) -> np.ndarray:
    """Train from beside the equilibrium; return the distance of all weights, [k, P + W]."""
    import keras

    weights = [v for network in model.networks for v in network.trainable_variables]
    home = np.concatenate([w.numpy().ravel() for w in weights])
    rng = np.random.default_rng(0)
    for weight in weights:
        weight.assign(weight + START[job["batches"]] * rng.standard_normal(weight.shape))
    way = []

    def note(*_):
        way.append(np.concatenate([w.numpy().ravel() for w in weights]) - home)

    note()
    model.fit(
        stream,
        epochs=round(job["time"] / (STEP * CHUNK)),
        steps_per_epoch=CHUNK,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=note)],
    )
    return np.array(way, np.float64)


def _step(jacobian: np.ndarray, energy_arrays: int, updates: str) -> np.ndarray:
    """Return the linear map of one step of both players, θ of `energy_arrays` weights first.

    Simultaneous: I + ηJ. Alternating, as in Algorithm 1: ω moves first, and θ by the new ω.
    """
    both, count = np.eye(len(jacobian)), energy_arrays
    theta, omega = both.copy(), both.copy()
    theta[:count] += STEP * jacobian[:count]
    omega[count:] += STEP * jacobian[count:]
    return theta @ omega if updates == "alternating" else both + STEP * jacobian


def write(results: list[dict], out: Path) -> None:
    """Write the table, the claims and the picture."""
    rows = [
        {**r["job"], **{k: v for k, v in r.items() if isinstance(v, (float, bool))}}
        for r in results
        if "failed" not in r
    ]
    if not rows:
        raise ValueError("Every run failed; their messages are above.")
    runs.write_table(rows, out / "rates.csv")
    for row in rows:
        console.log(
            f"{row['batches']:9s} {row['energy']:5s} {row['divergence']:18s} {row['updates']:12s} "
            f"eigenvalue {row['eigenvalue']:.4f}, predicted {row['predicted']:.4f}, measured "
            f"{row['measured']:.4f} ± {row['spread']:.4f}, printed bound {_printed(row):.4f}"
        )
    exact = [row for row in rows if row["batches"] == "quantiles"]
    runs.write_claims(out, _claims(rows, exact), results, {"table": rows})
    draw(results, out / "rates.png")


def _claims(rows: list[dict], exact: list[dict]) -> list[dict]:
    command, claims = "python -m studies.rates", []
    for updates in UPDATES:
        own = [r for r in exact if r["updates"] == updates]
        off = [abs(r["measured"] / r["eigenvalue"] - 1.0) for r in own]
        rates = [r["measured"] / r["second_derivative"] for r in own if r["energy"] == "both"]
        text = (
            f"measured rate within {max(off):.1%} of the real part of the first eigenvalue for "
            f"{len(own)} pairs of divergence and networks; over f''(1) it is {max(rates):.3f} to "
            f"{min(rates):.3f} for all divergences (two energy weights)"
        )
        title = f"{updates.capitalize()} single steps return at the rate of the Jacobian"
        claims.append(runs.claim(title, "Theorem 4", text, max(off) < AGREES, command))
    sampled = [r for r in rows if r["batches"] == "samples"]
    if sampled:
        text = f"Jensen–Shannon, mean way of {SEEDS} seeds from {START['samples']} away: "
        text += "; ".join(
            f"{r['updates']} {r['measured']:.3f} ± {r['spread']:.3f}, predicted "
            f"{r['predicted']:.3f}"
            for r in sampled
        )
        near = max(abs(r["measured"] / r["predicted"] - 1.0) for r in sampled)
        verdict = near < AGREES or ("holds in part" if near < 4.0 * AGREES else False)
        claims.append(
            runs.claim("… and so with sampled batches of 1000", "Theorem 4", text, verdict, command)
        )
    one = [r for r in exact if r["energy"] != "both"]
    text = f"{len(one)} runs, energies of one weight; measured and bound: " + ", ".join(
        f"{r['divergence']}{' (complex)' if r['is_complex'] else ''} {r['measured']:.3f} ≤ "
        f"{_printed(r):.3f}"
        for r in one
        if r["updates"] == UPDATES[0]
    )
    kept = all(r["measured"] <= _printed(r) for r in one)
    claims.append(
        runs.claim("No rate is slower than the printed bound", "Theorem 5", text, kept, command)
    )
    two = [_printed(r) for r in exact if r["energy"] == "both"]
    text = (
        f"it is {max(two) + 0.0:.1f} in all {len(two)} runs: K_EH has rank one, so that K_EH K_EHᵀ "
        "is singular for every energy of two weights or more"
    )
    title = "The printed bound of real eigenvalues is below 0 (two energy weights)"
    claims.append(runs.claim(title, "Theorem 5", text, max(two) < 0.0, command))
    return claims


def _printed(row: dict) -> float:
    return row["printed_complex" if row["is_complex"] else "printed_real"]


def draw(results: list[dict], path: Path) -> None:
    """Draw how the slowest component falls, beside the predicted line."""
    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    kinds = [*(("quantiles", energy) for energy in ENERGIES), ("samples", "both")]
    titles = ["two energy weights", "one energy weight", "one of each", "sampled batches"]
    chosen = [
        [
            r
            for r in results
            if "failed" not in r
            and (r["job"]["batches"], r["job"]["energy"]) == kind
            and r["job"]["updates"] == UPDATES[0]
        ]
        for kind in kinds
    ]
    drawn, axes = charts.panels(len(kinds), 4.0, 3.6)
    for axis, title, own in zip(axes, titles, chosen, strict=True):
        for result in own:
            colour = charts.COLOURS[DIVERGENCES.index(result["job"]["divergence"])]
            times, component = np.array(result["times"]), np.array(result["component"])
            axis.semilogy(times, component / component[0], color=colour, lw=3.5, alpha=0.45)
            line = np.exp(result["predicted"] * times)
            axis.semilogy(
                times, line, "--", color=colour, lw=1.4, label=result["job"]["divergence"]
            )
        charts.style(axis, title, "rate × steps", "slowest component")
    evaluation.save_png(path, charts.pixels(drawn))


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
