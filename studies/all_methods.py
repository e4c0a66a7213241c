"""Every method on densities that are known, in one table: `python -m studies.all_methods`.

A bed gives all of them the same data, network, sampler, rates and steps; what a method has of its
own is what it is by. TorchEBM and ebmkit are rows too where --peers names a Python that has them.
Writes study.csv, study.json, study.md and study.png into --out. Runs that are done with the same
options are not repeated. With --record the results go to docs/measured, and the table to its page.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from launch import console
from studies import beds, runs

# The tables stand between these lines of the page.
BEGIN, END = "<!-- table of studies.all_methods -->\n", "<!-- end of table -->\n"
DOCS = Path(__file__).parents[1] / "docs"
PAGE = "methods.md"
EXAMPLES, BATCH = 5000, 200
# Of the last sampling, and of each step of training.
FINAL_STEPS, CHAIN_STEPS = 300, 15


def _of_two(make: str, divergence: str, **settings) -> dict[str, Any]:
    return {"class": make, "players": ("variational",), "divergence": divergence, **settings}


# Row -> the class of the method, its further networks, and its settings; "gamma" and "noise_stddev"
# are the bed's.
METHODS: dict[str, dict[str, Any]] = {
    "febm_js": _of_two("FEBM", "js"),
    "febm_kl": _of_two("FEBM", "kl", shift_invariant=True),
    "febm_reverse_kl": _of_two("FEBM", "reverse_kl", shift_invariant=True),
    "febm_squared_hellinger": _of_two("FEBM", "squared_hellinger"),
    "dual_js": _of_two("DualFEBM", "js"),
    "contrastive_divergence": {"class": "ContrastiveDivergence", "initial": "noise"},
    "pseudo_spherical": {"class": "PseudoSpherical", "initial": "noise", "gamma": None},
    "bidirectional": {"class": "BidirectionalEBM", "players": ("generator",)},
    "noise_contrastive": {"class": "NoiseContrastive"},
    "denoising_score_matching": {"class": "ScoreMatching", "noise_stddev": 0},
    "sliced_score_matching": {"class": "ScoreMatching", "kind": "sliced"},
    "energy_discrepancy": {"class": "EnergyDiscrepancy", "noise_stddev": 1},
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
FIGURES = {"kl": "KL(data‖model)", "distance": "distance of samples", "seconds": "seconds",
           "mib": "MiB"}  # fmt: skip


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    own = {"flag_values": values}
    flags.DEFINE_list("beds", list(beds.BEDS), f"Of {', '.join(beds.BEDS)}.", **own)
    known = (*METHODS, *PEERS)
    flags.DEFINE_list("methods", list(known), f"Of {', '.join(known)}.", **own)
    flags.DEFINE_integer("seeds", 1, "Number of seeds.", 1, **own)
    flags.DEFINE_integer(
        "steps", None, "Training steps of every run; the bed's if unset.", 1, **own
    )
    flags.DEFINE_string("peers", None, "A Python that has TorchEBM and ebmkit.", **own)
    flags.DEFINE_bool("record", False, "Put results into docs/, for the repository.", **own)
    runs.define_measured(values, "runs/all_methods")


def run(values) -> int:
    """Train whatever is not done yet, then write the table and the picture."""
    for name, given, known in (
        ("beds", values.beds, beds.BEDS),
        ("methods", values.methods, {**METHODS, **PEERS}),
    ):
        if not given or not set(given) <= set(known):
            raise ValueError(f"--{name} must be of {', '.join(known)}; received {given}.")
    console.import_quietly(intra_op_threads=1)
    out, steps = Path(values.out), 30 if values.fast else values.steps
    used = {name: steps or beds.get(name).steps for name in values.beds}
    jobs = [
        {
            "bed": bed, "method": method, "seed": seed, "steps": used[bed],
            "peers": _peers(method, values),
        }
        for seed in range(values.seeds)
        for bed in values.beds
        for method in values.methods
    ]  # fmt: skip
    results = runs.each(train, jobs, out / "runs", values.processes)
    rows = [_row(result) for result in results]
    summary = summarise(rows)
    runs.write_table(rows, out / "study.csv")
    write(summary, used, values.seeds, out)
    if values.record:
        record(out)
    console.log(f"Table and picture are in {out}.")
    return console.DONE


def _peers(method: str, values) -> str | None:
    """Return the Python of a row, None where it is ours."""
    return (values.peers or "") if method in PEERS else None


def train(job: dict) -> dict:
    """Train one method on one bed; return its figures, or why there are none."""
    bed, seed = beds.get(job["bed"]), job["seed"]
    x = bed.train(EXAMPLES, seed)
    with tempfile.TemporaryDirectory() as folder:
        if job["peers"] is not None:
            energy_fn, samples, spent = _of_peer(job, bed, x, Path(folder))
        else:
            energy_fn, samples, spent = _of_ours(job, bed, x)
        return {**beds.figures(bed, seed, energy_fn, samples), **spent}


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
    else:
        energy = _perceptron(bed, "energy")
        settings["reference"] = reference
        settings["sampler"] = samplers.Langevin.exponential(bed.epsilon, CHAIN_STEPS)
    if kind not in WITHOUT_BUFFER:
        settings["buffer"] = tf_febm.ReplayBuffer(5000, restart_probability=0.05)
    if "gamma" in settings:
        settings["gamma"] = bed.gamma
    if "noise_stddev" in settings:
        settings["noise_stddev"] = bed.noise[settings["noise_stddev"]]
    others: list = []
    for player in players:
        if player == "generator":
            generator = networks.generator_mlp(bed.dimension, (bed.dimension,), (64, 64))
            others += [generator, bed.dimension]
        else:
            others.append(_perceptron(bed, player))
    model = getattr(tf_febm, kind)(
        energy, *others, l2_coeff=bed.l2_coeff, average_decay=0.99, seed=seed, **settings
    )

    def adam(rate):
        decay = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.02)
        return optimizers.ClippedAdam(decay, beta_1=0.0, beta_2=0.99)

    model.compile(adam(bed.rate), *(adam(bed.second_rate) for _ in players))
    return model


def _perceptron(bed: beds.Bed, name: str) -> Any:
    from tf_febm import networks

    if bed.dimension == 2 and not bed.gaussian:
        return networks.fourier_mlp(2, (64, 64), name=name)
    return networks.mlp(bed.dimension, (64, 64), "swish", name=name)


def _of_ours(job: dict, bed: beds.Bed, x: np.ndarray) -> tuple:
    """Return the energy of a trained model, its samples, and what training took."""
    import tensorflow as tf

    model = build(job["method"], bed, x, job["seed"], job["steps"])
    batches = tf.data.Dataset.from_tensor_slices(x).shuffle(len(x), job["seed"]).repeat()
    before, began = _peak(reset=True), time.process_time()
    model.fit(batches.batch(BATCH), steps_per_epoch=job["steps"], verbose=0)
    spent = {"seconds_of_training": time.process_time() - began, "mib": _added(before)}
    manager = model.averaged_weights()
    manager.__enter__()
    samples = model.sample(
        beds.SAMPLES, seed=1, initial=model.evaluation_start,
        num_steps=0 if "generator" in model.INITIAL else FINAL_STEPS,
    )  # fmt: skip
    return model.energy, np.asarray(samples), spent


def _of_peer(job: dict, bed: beds.Bed, x: np.ndarray, folder: Path) -> tuple:
    """Return the same of another library, trained by another Python."""
    package = PEERS[job["method"]]
    if not job["peers"]:
        raise ValueError(f"{package} is not at hand: give --peers=PYTHON, one that has it")
    if bed.gaussian:
        raise ValueError("the peers' rows are of their own perceptrons")
    points, _ = beds.points_of(bed, job["seed"])
    np.savez(folder / "given.npz", x=x, points=points)
    near, far = bed.noise
    options = {
        **job, "batch": BATCH, "rate": bed.rate, "epsilon": bed.epsilon, "noise": near, "far": far,
        "chain_steps": CHAIN_STEPS, "final_steps": FINAL_STEPS, "samples": beds.SAMPLES,
        "dimension": bed.dimension,
    }  # fmt: skip
    script = Path(__file__).with_name("peers_side.py")
    command = [job["peers"], str(script), str(folder), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    with np.load(folder / "made.npz") as made:
        energies, samples = made["energies"], made["samples"]
        memory = float(made["mib"])
        spent = {"seconds_of_training": float(made["seconds"])}
        spent["mib"] = None if np.isnan(memory) else memory
    parts = iter(np.array_split(energies, -(-len(points) // 50_000)))
    return lambda _: next(parts), samples, spent


def _peak(reset: bool = False) -> float | None:
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


def _added(before: float | None) -> float | None:
    after = _peak()
    return None if before is None or after is None else after - before


def _row(result: dict) -> dict:
    job = result["job"]
    row: dict[str, Any] = {name: job[name] for name in ("bed", "method", "seed")}
    for name in ("kl", "kl_error", "distance"):
        row[name] = result.get(name)
    row["seconds"], row["mib"] = result.get("seconds_of_training"), result.get("mib")
    return {**row, "failed": result.get("failed", "")}


def summarise(rows: list[dict]) -> dict[str, dict]:
    """Return bed -> method -> figure -> mean, deviation and text; "failed" where nothing is."""
    found: dict[str, dict] = {}
    for bed in dict.fromkeys(row["bed"] for row in rows):
        for method in dict.fromkeys(row["method"] for row in rows):
            own = [row for row in rows if (row["bed"], row["method"]) == (bed, method)]
            table: dict[str, Any] = {}
            for name in FIGURES:
                mean, deviation, text = runs.describe([row[name] for row in own])
                table[name] = {"mean": mean, "deviation": deviation, "text": text}
            reasons = [row["failed"] for row in own if row["failed"]]
            found.setdefault(bed, {})[method] = {**table, "failed": reasons}
    return found


def tables(summary: dict[str, dict]) -> str:
    """Return the tables of all beds in Markdown, the best KL of each in bold."""
    lines = []
    for bed, methods in summary.items():
        lines += [f"### {bed}", "", f"| | {' | '.join(FIGURES.values())} |", "|---" * 5 + "|"]
        means = [row["kl"]["mean"] for row in methods.values() if row["kl"]["mean"] is not None]
        missing: dict[str, list] = {}
        for method, row in methods.items():
            if row["failed"]:
                missing.setdefault(row["failed"][0], []).append(method.replace("_", " "))
                continue
            cells = [row[name]["text"] for name in FIGURES]
            if row["kl"]["mean"] is None:
                cells[0] = "not finite"
            if row["kl"]["mean"] == min(means):
                cells[0] = f"**{cells[0]}**"
            lines.append(f"| {method.replace('_', ' ')} | {' | '.join(cells)} |")
        lines += ["", *(f"No row of {', '.join(n)}: {why}." for why, n in missing.items()), ""]
    return "\n".join(lines)


def write(summary: dict[str, dict], steps: dict[str, int], seeds: int, out: Path) -> None:
    """Write the means, the tables and the picture."""
    from tf_febm import files, training

    text = tables(summary)
    console.log(text)
    files.write_json(
        out / "study.json",
        {
            "date": time.strftime("%Y-%m-%d"),
            "versions": training.versions(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "steps": steps,
            "seeds": seeds,
            "results": summary,
        },
    )
    files.write_atomically(out / "study.md", lambda file: file.write(text.encode()))
    _draw(summary, out / "study.png")


def _draw(summary: dict[str, dict], path: Path) -> None:
    from matplotlib import ticker

    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    drawn = charts.figure(11.0, 4.2 * -(-len(summary) // 2))
    for number, (bed, methods) in enumerate(summary.items(), 1):
        axis = drawn.add_subplot(-(-len(summary) // 2), 2, number)
        charts.style(axis, bed, "KL(data‖model), nats")
        names = [name for name, row in methods.items() if not row["failed"]]
        for place, name in enumerate(names):
            kl = methods[name]["kl"]["mean"]
            if kl is not None and kl > 0.0:
                axis.plot(kl, place, "o", color="#0072B2")
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 3.0)))
        axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=8)
        axis.invert_yaxis()
    evaluation.save_png(path, charts.pixels(drawn))


def record(out: Path, docs: Path = DOCS) -> None:
    """Keep the results in the repository, and bring the page up to them."""
    from tf_febm import files

    shutil.copyfile(out / "study.json", docs / "measured" / "all_methods.json")
    shutil.copyfile(out / "study.png", docs / "pictures" / "all_methods.png")
    measured = json.loads((out / "study.json").read_text("utf-8"))
    page = docs / PAGE
    text = page_with_tables(page.read_text("utf-8"), measured)
    files.write_atomically(page, lambda file: file.write(text.encode()))


def page_with_tables(text: str, measured: dict) -> str:
    """Return the text of the page with the tables of these results."""
    version = measured["versions"]
    note = (
        f"{measured['date']}, commit {(version['git'] or 'unknown')[:7]}, {measured['machine']}, "
        f"Python {version['python']}, TensorFlow {version['tensorflow']}; "
        f"{measured['seeds']} seed(s), from 0 on; steps: "
        f"{', '.join(f'{bed} {steps:,}' for bed, steps in measured['steps'].items())}."
    )
    found = f"{BEGIN}\n{tables(measured['results'])}\n{note}\n\n{END}"
    return re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: found, text, flags=re.DOTALL)


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
