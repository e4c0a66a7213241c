"""Report of a run as one HTML file: what it is and how good in words, then all details."""

import itertools
import math
import warnings
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

from tf_febm import arguments, catalogue, evaluation
from tf_febm.evaluation import charts
from tf_febm.files import write_atomically
from tf_febm.training import report_page
from tf_febm.training.recorders import read_metrics
from tf_febm.training.run_folder import RunFolder
from tf_febm.untrusted_files import DamagedError, read_record

__all__ = ["write_report"]

# Metrics that belong in one chart; the others have one each.
CHARTS = {
    "Energies": ("energy_data", "energy_model"),
    "Gradient norms": (
        "energy_gradient_norm",
        "variational_gradient_norm",
        "generator_gradient_norm",
    ),
    "Bounds of the negative log-likelihood": ("lower_bound", "upper_bound"),
    "Log ratio": ("log_ratio_mean", "log_ratio_std"),
}
NO_CURVES = ("step", "seconds")
# In inches; shown about as wide as that.
CHART_SIZE = 4.6, 3.0
# Pictures shown of a series; the first and the last are among them.
SHOWN = 6

_METHODS = {
    "febm": "f-EBM",
    "contrastive_divergence": "energy-based model by contrastive divergence",
    "dual": "f-EBM in its dual form",
    "noise_contrastive": "energy-based model by noise-contrastive estimation",
    "pseudo_spherical": "energy-based model by pseudo-spherical contrastive divergence",
    "score_matching": "energy-based model by score matching",
    "energy_discrepancy": "energy-based model by energy discrepancy",
    "bidirectional": "energy-based model between bidirectional bounds",
}
_LABELS = {
    "good": "Good.",
    "fair": "Better than the simplest model.",
    "poor": "Not good.",
    "open": "Not decided by figures.",
}
_LOADING = """import keras
import tf_febm

model = keras.models.load_model({model!r})
samples = model.sample(16, seed=0{initial})
energies = model.energy(samples{labels})  # lower is more likely
tf_febm.export(model, "saved_model")  # for programs without tf_febm"""


@arguments.checked
def write_report(folder: RunFolder) -> Path:
    """Write `report.html` of a run from the files that are in its folder.

    It begins with what was trained on what, for how long, and how good that is, with samples
    beside data; below, folded, are all figures, curves, pictures, options and versions, and how to
    load the model. It shows what there is: a run that is not finished, or that diverged, says so.
    All pictures are in the file itself, and it has no scripts.

    Args:
        folder: The run's; finished or not.

    Returns:
        The path of the report.

    Raises:
        OSError: There is no run, or the file cannot be written.
    """
    options = folder.read_options()
    try:
        summary = folder.read_summary()
    except DamagedError as error:
        summary = {}
        warnings.warn(f"{error}; the report leaves it out.", stacklevel=3)
    rows = read_metrics(folder.metrics)
    name = folder.path.resolve().name
    quality = summary.get("quality") or {}
    found = evaluation.verdict(quality) if quality else None
    state = _state(folder, options["recipe"], summary, rows)
    parts = [
        report_page.heading(name),
        report_page.paragraph(_about(folder, options, summary, rows)),
        report_page.paragraph(state, "verdict poor"),
        "" if found is None else _said(found),
        _side_by_side(folder),
        _scale(quality),
        *_details(folder, options, summary, rows),
    ]
    mark = "not finished" if state else "" if found is None else found.kind
    title = f"{name} ({mark})" if mark in ("not finished", "poor") else name
    path = folder.path / "report.html"
    page = report_page.page(f"tf_febm: {title}", parts)
    write_atomically(path, lambda file: file.write(page.encode()))
    return path


# --- the first screen -----------------------------------------------------------------------------


def _about(folder: RunFolder, options: dict, summary: dict, rows: list[dict]) -> str:
    """Return what was trained on what, for how long and when."""
    recipe, data = options["recipe"], options["data"]
    method = _METHODS.get(str(recipe.get("method")), str(recipe.get("method", "model")))
    known = catalogue.METHODS.get(str(recipe.get("method")))
    if known and "divergence" in known.settings and recipe.get("divergence"):
        method += f" (divergence {recipe['divergence']})"
    if recipe.get("conditional"):
        method += ", conditional on classes,"
    text = f"{'An' if method[0] in 'ef' else 'A'} {method} of {_data(data)}"
    if options["start"]["init_from"]:
        text += f", begun with the weights of {options['start']['init_from']}"
    last = rows[-1] if rows else {}
    steps = int(summary.get("steps", last.get("step", 0)))
    seconds = float(summary.get("seconds", last.get("seconds", math.nan)))
    if steps:
        batch = recipe.get("batch_size")
        each = f" of {batch} examples" if batch else ""
        took = f" in {_duration(seconds)}" if math.isfinite(seconds) else ""
        text += f", trained for {steps:,} steps{each}{took}"
    written = next(p for p in (folder.summary, folder.metrics, folder.options) if p.is_file())
    when = datetime.fromtimestamp(written.stat().st_mtime, timezone.utc)
    done = "Finished" if summary else "As of"
    return f"{text}. {done} {when.day} {when:%B %Y, %H:%M} UTC."


def _data(data: dict) -> str:
    count, shape = data.get("num_examples"), data.get("sample_shape")
    name = data.get("name") or "arrays"
    if not count or not shape:
        return str(name)
    what = (
        f"images of {shape[0]}×{shape[1]} pixels" if len(shape) == 3 else f"vectors of {shape[0]}"
    )
    if len(shape) == 3:
        what += {1: " in grey", 3: " in colour"}.get(shape[2], f" and {shape[2]} channels")
    elif len(shape) == 1:
        what += " columns" if shape[0] > 1 else " column"
    return f"{count:,} {what} ({data.get('source') or name})"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def _state(folder: RunFolder, recipe: dict, summary: dict, rows: list[dict]) -> str:
    """Return what a reader must know of a run that is not finished; nothing of one that is."""
    later = folder.diagnosis.is_file() and (
        not folder.summary.is_file()
        or folder.diagnosis.stat().st_mtime > folder.summary.stat().st_mtime
    )
    if later:
        try:
            found = read_record(folder.diagnosis, what=str(folder.diagnosis))
        except OSError:
            found = {}
        return (
            "Training diverged, and this run is not finished: at step "
            f"{found.get('found_at_step')} {found.get('text', 'a figure was not finite')}."
        )
    step, wanted = int(rows[-1]["step"]) if rows else 0, recipe.get("steps")
    if not summary:
        of = f" of {wanted:,}" if isinstance(wanted, int) else ""
        return f"Not finished: {step:,}{of} steps. The same command goes on from there."
    if step > summary.get("steps", step):
        return (
            f"Not finished: training has gone on to step {step:,}, samples and figures are those "
            f"of step {summary['steps']:,}."
        )
    return ""


def _said(found: evaluation.Verdict) -> str:
    return report_page.paragraph(f"{_LABELS[found.kind]} {found.sentence}", f"verdict {found.kind}")


def _side_by_side(folder: RunFolder) -> str:
    """Return samples beside data; pictures of vectors hold both."""
    data = report_page.picture(folder.samples / "data.png", "Data the model has not seen")
    made, name = folder.samples / "final.png", "Samples of the model"
    if not made.is_file():
        pictures = sorted(folder.samples.glob("step_*.png"))
        if not pictures:
            return report_page.row([data])
        made = pictures[-1]
        name = f"Samples at {_step(made)}"
    caption = name if data else f"{name}, beside data it has not seen"
    return report_page.row([report_page.picture(made, caption, wide=not data), data])


def _scale(quality: dict) -> str:
    """Return the figures that tell most, between what is best and what is simplest."""
    best = {"lower": "lower is better", "higher": "higher is better", "equal": "best as real data"}
    return report_page.table(
        (
            (
                f"{reading.name}: {reading.meaning}; {best[reading.better]}",
                *(_shown(end, 3) for end in (reading.value, reading.best, reading.simple)),
            )
            for reading in evaluation.readings(quality)
        ),
        ("Figure", "This run", "Real data", "Simplest model"),
        "scale",
    )


# --- details --------------------------------------------------------------------------------------


def _details(folder: RunFolder, options: dict, summary: dict, rows: list[dict]) -> list[str]:
    sections = {
        "Use the model": _loading(folder, options["recipe"]),
        "Samples over time": _series(folder.samples.glob("step_*.png")),
        "Chains from noise": report_page.row(
            [
                report_page.picture(
                    folder.samples / "evolution.png", "Chains on their way from noise"
                )
            ]
        ),
        _of_energies(options["recipe"]): _series(folder.samples.glob("energies_*.png")),
        "Curves": _curves(rows),
        "Chains": _chains(summary.get("chains") or {}),
        "All figures": _values(summary.get("quality") or {}),
        "Speed": _values({k: summary[k] for k in ("seconds", "steps_per_second") if k in summary}),
        "Settings that changed on the way": _parts(options.get("segments", [])),
        "Recipe": _values(options["recipe"]),
        "Data": _values(options["data"]),
        "Start": _values(options["start"] if options["start"]["init_from"] else {}),
        "Versions": _values(options["versions"]),
    }
    return [report_page.folded(title, inner) for title, inner in sections.items()]


def _of_energies(recipe: dict) -> str:
    noise = recipe.get("data_noise")
    of = f", both with the noise of training, {noise:g}" if noise else ""
    return f"Energies of data and of samples{of}"


def _chains(figures: dict) -> str:
    """Return what the chains of the model are worth, and how to read that."""
    if not figures:
        return ""
    said = "{num_chains} chains of {num_steps} steps, from noise.".format(**figures)
    rows = (
        (f"{name}: {text}", _shown(value))
        for name, value, text in evaluation.readings_of_chains(figures)
    )
    return report_page.paragraph(said) + report_page.table(rows, ("Figure", "This run"))


def _loading(folder: RunFolder, recipe: dict) -> str:
    if not folder.model.is_file():
        return ""
    # Where training is; a generator, or noise where there is no buffer, needs no word.
    method = catalogue.METHODS[recipe.get("method", "febm")]
    stored = method.chains and recipe.get("chains") != "fresh"
    text = _LOADING.format(
        model=str(folder.model),
        initial=', initial="buffer"' if stored else "",
        labels="" if not recipe.get("conditional") else ", labels",
    )
    if recipe.get("conditional"):
        text = text.replace("samples = model.sample(", "samples, labels = model.sample_batch(")
    return report_page.code(text)


def _values(values: dict) -> str:
    """Return a table of names and values."""
    return report_page.table((str(name), _shown(value)) for name, value in sorted(values.items()))


def _parts(segments: list[dict]) -> str:
    """Return the section of what was changed between two parts of training."""
    changes: dict[str, str] = {}
    for before, after in itertools.pairwise(segments):
        differing = [
            f"{name}: {_shown(before[part].get(name))} → {_shown(after[part].get(name))}"
            for part in ("recipe", "data", "versions")
            for name in sorted({*before.get(part, {}), *after.get(part, {})})
            if before.get(part, {}).get(name) != after.get(part, {}).get(name)
        ]
        changes[f"from step {after['from']}"] = ", ".join(differing)
    return _values(changes)


def _shown(value, digits: int = 4) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(_shown(each) for each in value)
    return f"{value:.{digits}g}".replace("-", "−") if isinstance(value, float) else str(value)


def _step(path: Path) -> str:
    """Return "step 200" of a file step_0000200.png."""
    number = path.stem.rpartition("_")[2]
    return f"step {int(number):,}" if number.isdigit() else path.stem


def _series(paths: Iterable[Path]) -> str:
    """Return at most SHOWN of some pictures, in order, evenly spaced."""
    paths = sorted(paths)
    if len(paths) > SHOWN:
        paths = [paths[round(i * (len(paths) - 1) / (SHOWN - 1))] for i in range(SHOWN)]
    return report_page.row(report_page.picture(path, _step(path).capitalize()) for path in paths)


def _curves(rows: list[dict]) -> str:
    """Return charts of the metrics over steps."""
    if not rows:
        return ""
    names = [name for name in rows[-1] if name not in NO_CURVES]
    titles = {title: [n for n in group if n in names] for title, group in CHARTS.items()}
    titles = {title: group for title, group in titles.items() if group}
    grouped = {name for group in titles.values() for name in group}
    titles |= {name: [name] for name in names if name not in grouped}
    steps = [int(row["step"]) for row in rows]
    figures = []
    for title, group in titles.items():
        series = {name: (steps, [_number(row.get(name)) for row in rows]) for name in group}
        if not any(math.isfinite(y) for _, ys in series.values() for y in ys):
            continue
        if len(series) == 1:
            series = {"": next(iter(series.values()))}
        drawn = charts.line_figure(series, "", "step", "", *CHART_SIZE)
        figures.append(report_page.chart(charts.svg(drawn), title))
    return report_page.row(figures)


def _number(text) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan
