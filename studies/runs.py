"""Runs of a study, by recipes or of its own, made once each; and what studies make of them."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from launch import console

__all__ = [
    "CONTINUES",
    "changes_of",
    "claim",
    "define_common",
    "define_measured",
    "describe",
    "each",
    "make",
    "write_claims",
    "write_table",
]

# What to say of a study that was stopped, if its runs are made by `make`.
CONTINUES = "Interrupted; the same command continues where this one stopped."


def define_common(values: flags.FlagValues, logdir: str | None = "runs") -> None:
    """Register the flags that studies share.

    Args:
        values: Where to.
        logdir: Where the runs go by default; None for a study that keeps none.
    """
    flags.DEFINE_multi_string(
        "set", [], "A setting of every run's recipe, as field=value; may be repeated.",
        flag_values=values,
    )  # fmt: skip
    if logdir is not None:
        flags.DEFINE_string("logdir", logdir, "Where runs and results go.", flag_values=values)
    flags.DEFINE_bool("debug", False, "Show tracebacks.", flag_values=values)


def define_measured(values: flags.FlagValues, out: str) -> None:
    """Register the flags of a study that measures claims by runs of its own.

    Args:
        values: Where to.
        out: Where results go by default.
    """
    own = {"flag_values": values}
    flags.DEFINE_bool("fast", False, "A reduced version, of a minute or two.", **own)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    flags.DEFINE_integer("processes", cores or 1, "Runs at a time, each on one core.", 1, **own)
    flags.DEFINE_string("out", out, "Where runs and results go.", **own)
    flags.DEFINE_bool("debug", False, "Show tracebacks.", **own)


def changes_of(texts: Sequence[str]) -> dict[str, Any]:
    """Return "field=value", … as changes of a recipe.

    Raises:
        ValueError: One is not of this form.
    """
    changes = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not mark:
            raise ValueError(f"--set must be field=value; received {text!r}.")
        try:
            changes[name] = {"True": True, "False": False, "None": None}.get(value)
            if value not in ("True", "False", "None"):
                changes[name] = json.loads(value)
        except ValueError:
            changes[name] = value
    return changes


def make(name: str, recipe, source, logdir: Path, init_from: Path | None = None) -> dict | None:
    """Make a run, unless it is done; return its summary, or None if it failed.

    Args:
        name: The run's folder in `logdir`.
        recipe: A `Recipe`.
        source: A `data.Source`.
        logdir: Where the runs are.
        init_from: Folder of the run whose weights it begins with; it fails if that did.

    Raises:
        KeyboardInterrupt: The run was stopped; made again, it continues.
    """
    from tf_febm import training

    console.log(f"== {name}")
    folder = training.RunFolder(Path(logdir) / name)
    if init_from is not None and not training.RunFolder(init_from).model.exists():
        console.log(f"error: {init_from} did not come to its end.")
        return None
    if not folder.summary.exists():
        stop = training.GracefulStop()
        console.stop_on_signals(stop)
        try:
            found = training.run(
                recipe, source, folder.path, init_from=init_from, report=console.log, stop=stop
            )
        except training.DivergedError as error:
            console.log(f"error: {error}")
            return None
        finally:
            console.stop_at_once_on_signals()
        if not found.done:
            raise KeyboardInterrupt
    return folder.read_summary()


def each(
    work: Callable, jobs: list[dict], folder: Path, processes: int = 1, fresh: bool = False
) -> list[dict]:
    """Do every job that is not done yet, one on a core; return all results in the order of jobs.

    A result is kept in a file that is named by the job, so that a study which was stopped, or asks
    for more, repeats nothing. A job that raises ValueError or RuntimeError has a result, too, its
    message as "failed". Each result has "seconds", of its job.

    Args:
        work: A function of a module, job -> result; both are dictionaries for JSON.
        jobs: What is to be done. "folder", where a job keeps what it makes, is none of its options:
            it names no file, and is no part of the result.
        folder: Where results are kept.
        processes: Jobs at a time; with 1 they are done in this process.
        fresh: Whether each job has a process of its own, one after the other.
    """
    from tf_febm import __version__, files
    from tf_febm.terminal.clock import duration

    # By its file: as a command the module of a study is __main__.
    name = f"{Path(work.__code__.co_filename).stem}.{work.__name__}"
    paths = []
    for job in jobs:
        options = _options(job)
        key = json.dumps({**options, "work": name, "version": __version__}, sort_keys=True)
        words = "_".join(str(value) for value in options.values() if isinstance(value, (str, int)))
        readable = "".join(c if c.isalnum() or c in "_-." else "_" for c in words)[:60]
        paths.append(folder / f"{readable}_{hashlib.sha256(key.encode()).hexdigest()[:12]}.json")
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with _doing(work, [jobs[index] for index in missing], processes, fresh) as results:
        for count, (place, result) in enumerate(results, 1):
            files.write_json(paths[missing[place]], result)
            spent = time.monotonic() - start
            left = duration(spent / count * (len(missing) - count))
            done = len(jobs) - len(missing) + count
            failed = f"failed: {result['failed']}" if "failed" in result else "done"
            console.log(
                f"{name} {done}/{len(jobs)}: {paths[missing[place]].stem[:-13]} {failed} in "
                f"{duration(result['seconds'])}, ETA {left}"
            )
    return [json.loads(path.read_text("utf-8")) for path in paths]


@contextlib.contextmanager
def _doing(work: Callable, jobs: list[dict], processes: int, fresh: bool) -> Iterator:
    """Give an iterator of (place, result), in the order in which they come."""
    tasks = [(work, place, job) for place, job in enumerate(jobs)]
    if not fresh and (processes == 1 or len(jobs) < 2):
        yield map(_done, tasks)
        return
    # TensorFlow does not survive a fork.
    context = multiprocessing.get_context("spawn")
    number, limit = (1, 1) if fresh else (min(processes, len(jobs)), None)
    with context.Pool(number, console.import_quietly, (1,), limit) as pool:
        yield pool.imap_unordered(_done, tasks)


def _options(job: dict) -> dict:
    """Return what a job depends on, which is the same on any machine."""
    return {name: value for name, value in job.items() if name != "folder"}


def _done(task) -> tuple[int, dict]:
    import keras

    work, place, job = task
    start = time.monotonic()
    try:
        result = work(job)
    except (ValueError, RuntimeError) as error:
        result = {"failed": str(error)}
    # Models of former jobs would stay in memory.
    keras.utils.clear_session(free_memory=False)
    return place, {"job": _options(job), **result, "seconds": time.monotonic() - start}


def claim(text: str, where: str, measured: str, verdict: str | bool, command: str) -> dict:
    """Return a row of the table of claims.

    Args:
        text: What is claimed.
        where: Where in the paper.
        measured: What was found, in figures.
        verdict: "holds in part" or "open", or whether it holds.
        command: What repeats the measurement.
    """
    if isinstance(verdict, bool):
        verdict = "holds" if verdict else "does not hold"
    row = {"claim": text, "where": where, "measured": measured}
    return {**row, "verdict": verdict, "command": command}


def write_claims(out: Path, claims: list[dict], results: list[dict], figures: dict) -> None:
    """Write claims.json: what was claimed and found, and what one needs to know of it.

    Args:
        out: Folder.
        claims: Rows by `claim`.
        results: Those of `each`, for the hours.
        figures: What else the study found, for pages to quote.
    """
    from tf_febm import files, training

    console.log("")
    for row in claims:
        console.log(f"{row['verdict']}: {row['claim']} ({row['where']})\n    {row['measured']}")
    files.write_json(
        out / "claims.json",
        {
            "claims": claims,
            "date": time.strftime("%Y-%m-%d"),
            "versions": training.versions(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "runs": len(results),
            "hours": sum(result["seconds"] for result in results) / 3600.0,
            "figures": figures,
        },
    )


def describe(values: list) -> tuple[float | None, float | None, str]:
    """Return the mean of what is not None, the deviation of a sample, and both as text."""
    values = [value for value in values if value is not None]
    if not values:
        return None, None, "–"
    mean = statistics.mean(values)
    if len(values) == 1:
        return mean, None, f"{mean:.3g}"
    deviation = statistics.stdev(values)
    return mean, deviation, f"{mean:.3g} ± {deviation:.2g}"


def write_table(rows: list[dict], path: Path) -> None:
    """Write rows of the same keys as a CSV file."""
    from tf_febm import files

    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_table(path, rows, rows[0])
