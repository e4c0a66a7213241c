"""Every method on densities that are known, and on digits: `python -m studies.all_methods`.

A bed gives all of them the same data, network, sampler, rates and steps; what a method has of its
own is what it is by. The memory of each is that of a process of its own, on one bed. TorchEBM and
ebmkit are rows too where --peers names a Python that has them. Writes study.csv, study.json,
study.md and study.png into --out. Runs that are done with the same options are not repeated. With
--record the results go to docs/measured, and the table to its page.
"""

import json
import os
import platform
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from absl import flags

from launch import console
from studies import beds, runs
from studies.method_rows import EXAMPLES, MEMORY_STEPS, METHODS, PEERS, of_ours, of_peer

# The tables stand between these lines of the page.
BEGIN, END = "<!-- table of studies.all_methods -->\n", "<!-- end of table -->\n"
DOCS = Path(__file__).parents[1] / "docs"
PAGE = "methods.md"
# The bed on which the memory of processes is measured.
MEMORY_BED = "digits"
FIGURES = {
    "kl": "KL(data‖model)",
    "lower": "of log Z, from",
    "upper": "to",
    "distance": "distance of samples",
    "seconds": "seconds",
    "before": "MiB before",
    "peak": "MiB at peak",
}
# What they are on the digits.
OF_DIGITS = {"kl": "−log q, held out", "distance": "Fréchet ratio"}


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
    alone = [
        {**job, "steps": min(job["steps"], MEMORY_STEPS)}
        for job in jobs
        if job["bed"] == MEMORY_BED and job["seed"] == 0
    ]
    memory = {
        result["job"]["method"]: result
        for result in runs.each(resident, alone, out / "runs", fresh=True)
    }
    rows = [_row(result, memory) for result in results]
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
        way = of_ours if job["peers"] is None else of_peer
        energy_fn, samples, spent = way(job, bed, x, Path(folder))
        return {
            **beds.figures(bed, seed, energy_fn, samples),
            "seconds_of_training": spent["seconds_of_training"],
        }


def resident(job: dict) -> dict:
    """Train for some steps in this process, a fresh one; return its memory before and at most."""
    bed = beds.get(job["bed"])
    x = bed.train(EXAMPLES, job["seed"])
    with tempfile.TemporaryDirectory() as folder:
        spent = (of_ours if job["peers"] is None else of_peer)(job, bed, x, Path(folder))[-1]
    return {name: spent[name] for name in ("before", "peak")}


def _row(result: dict, memory: dict[str, dict]) -> dict:
    job = result["job"]
    row: dict[str, Any] = {name: job[name] for name in ("bed", "method", "seed")}
    for name in ("kl", "lower", "upper", "distance"):
        row[name] = result.get(name)
    row["seconds"] = result.get("seconds_of_training")
    alone = memory.get(job["method"], {}) if job["bed"] == MEMORY_BED else {}
    row |= {name: alone.get(name) if job["seed"] == 0 else None for name in ("before", "peak")}
    return {**row, "failed": result.get("failed", "")}


def summarise(rows: list[dict]) -> dict[str, dict]:
    """Return bed -> method -> figure -> mean, deviation and text; "failed" where nothing is."""
    found: dict[str, dict] = {}
    for bed in dict.fromkeys(row["bed"] for row in rows):
        for method in dict.fromkeys(row["method"] for row in rows):
            own = [row for row in rows if (row["bed"], row["method"]) == (bed, method)]
            table: dict[str, Any] = {}
            for name in FIGURES:
                values = [row[name] for row in own]
                mean, deviation, text = runs.describe(values)
                table[name] = {"mean": mean, "deviation": deviation, "text": text}
            table["finite"] = sum(row["kl"] is not None for row in own)
            table["seeds"] = len(own)
            reasons = [row["failed"] for row in own if row["failed"]]
            found.setdefault(bed, {})[method] = {**table, "failed": reasons}
    return found


def tables(summary: dict[str, dict]) -> str:
    """Return the tables of all beds in Markdown, the best KL of each in bold."""
    lines = []
    for bed, methods in summary.items():
        # What no row has, is no column.
        names = [
            n
            for n in FIGURES
            if any(n in row and row[n]["mean"] is not None for row in methods.values())
        ]
        known = {**FIGURES, **(OF_DIGITS if bed == "digits" else {})}
        titles = " | ".join(known[name] for name in names)
        lines += [f"### {bed}", "", f"| | {titles} |", "|---" * (1 + len(names)) + "|"]
        means = [row["kl"]["mean"] for row in methods.values() if row["kl"]["mean"] is not None]
        missing: dict[str, list] = {}
        for method, row in methods.items():
            if row["failed"]:
                missing.setdefault(row["failed"][0], []).append(method.replace("_", " "))
                continue
            # The ends go with the mean, which has its own deviation.
            cells = [
                row[n]["text"].split(" ± ")[0] if n in ("lower", "upper") else row[n]["text"]
                for n in names
            ]
            if row["kl"]["mean"] is None:
                cells[0] = "not finite"
            elif row["kl"]["mean"] == min(means):
                cells[0] = f"**{cells[0]}**"
            if 0 < row.get("finite", 0) < row["seeds"]:
                cells[0] += f", {row['finite']} of {row['seeds']} seeds finite"
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
        # −log q of the digits is below zero.
        drawn_figure = "distance" if bed == "digits" else "kl"
        charts.style(axis, bed, {**FIGURES, "distance": OF_DIGITS["distance"]}[drawn_figure])
        names = [name for name, row in methods.items() if not row["failed"]]
        for place, name in enumerate(names):
            value = methods[name][drawn_figure]["mean"]
            if value is not None and value > 0.0:
                axis.plot(value, place, "o", color="#0072B2")
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
