"""Report of a run as one HTML file: options, curves, pictures and quality figures."""

import base64
import html
import io
import math
import warnings
from collections.abc import Iterable
from pathlib import Path
from string import Template

from PIL import Image

from tf_febm import catalogue, evaluation
from tf_febm.files import write_atomically
from tf_febm.guarded import DamagedError, opened, read_bytes
from tf_febm.training.recorders import read_metrics
from tf_febm.training.run_folder import RunFolder

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
# Pictures shown of a series; the first and the last are among them.
SHOWN = 6

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1em; max-width: 1500px;
       color: #1e1e1e; background: #fff; overflow-wrap: anywhere; }
h1, h2 { line-height: 1.2; }
.row { display: grid; gap: 1em;
       grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); }
figure { margin: 0; }
img { width: 100%; height: auto; border: 1px solid #ddd; }
img.pixels { image-rendering: pixelated; }
table { border-collapse: collapse; width: 100%; max-width: 900px; }
th, td { border-bottom: 1px solid #ddd; padding: 0.2em 0.6em 0.2em 0; text-align: left;
         vertical-align: top; font-weight: normal; }
th { width: 45%; }
pre { background: #f4f4f4; padding: 0.8em; white-space: pre-wrap; }
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")

_LOADING = """import keras
import tf_febm

model = keras.models.load_model({model!r})
samples = model.sample(16, seed=0{initial})
energies = model.energy(samples{labels})  # lower is more likely
tf_febm.export(model, "saved_model")  # for programs without tf_febm"""


def write_report(folder: RunFolder) -> Path:
    """Write `report.html` of a run from the files that are in its folder.

    It shows what there is: options and versions, quality figures, how to load the model, samples
    over time, chain evolution, energy histograms and curves of all metrics. All pictures are in the
    file itself, and it has no scripts.

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
        warnings.warn(f"{error}; the report leaves it out.", stacklevel=2)
    rows = read_metrics(folder.metrics)
    sections = [
        _result(summary, rows),
        _loading(folder, options["recipe"]),
        _pictures("Samples at the end", [folder.samples / "final.png"]),
        _pictures("Samples over time", _some(folder.samples.glob("step_*.png"))),
        _pictures("Chains from noise", [folder.samples / "evolution.png"]),
        _pictures("Energies of data and of samples", _some(folder.samples.glob("energies_*.png"))),
        _curves(rows),
        _table("Recipe", options["recipe"]),
        _table("Data", options["data"]),
        _table("Versions", options["versions"]),
    ]
    page = _PAGE.substitute(
        title=html.escape(f"tf_febm: {folder.path.resolve().name}"),
        body="\n".join(section for section in sections if section),
    )
    path = folder.path / "report.html"
    write_atomically(path, lambda file: file.write(page.encode()))
    return path


def _result(summary: dict, rows: list[dict]) -> str:
    """Return the section of what came out."""
    values = {k: summary[k] for k in ("steps", "seconds", "steps_per_second") if k in summary}
    if not values and rows:
        values = {"steps so far": rows[-1]["step"], "seconds so far": rows[-1]["seconds"]}
    quality = summary.get("quality")
    return _table("Run", values) + _table("Quality of the samples", quality or {})


def _loading(folder: RunFolder, recipe: dict) -> str:
    if not folder.model.is_file():
        return ""
    # Where training is; a generator, or noise where there is no buffer, needs no word.
    method = catalogue.METHODS[recipe.get("method", "febm")]
    stored = method.chains and recipe.get("chains") != "fresh"
    code = _LOADING.format(
        model=str(folder.model),
        initial=', initial="buffer"' if stored else "",
        labels="" if not recipe.get("conditional") else ", labels",
    )
    if recipe.get("conditional"):
        code = code.replace("samples = model.sample(", "samples, labels = model.sample_batch(")
    return f"<h2>Loading the model</h2>\n<pre>{html.escape(code)}</pre>"


def _table(title: str, values: dict) -> str:
    """Return a section with a table of names and values."""
    if not values:
        return ""
    rows = "\n".join(
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(_shown(value))}</td></tr>"
        for name, value in sorted(values.items())
    )
    return f"<h2>{html.escape(title)}</h2>\n<table>\n{rows}\n</table>\n"


def _shown(value) -> str:
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _some(paths: Iterable[Path]) -> list[Path]:
    """Return at most SHOWN of some files, in order, evenly spaced."""
    paths = sorted(paths)
    if len(paths) <= SHOWN:
        return paths
    return [paths[round(i * (len(paths) - 1) / (SHOWN - 1))] for i in range(SHOWN)]


def _pictures(title: str, paths: list[Path]) -> str:
    """Return a section with the pictures that exist and can be read."""
    figures = []
    for path in paths:
        try:
            with opened(path) as file, Image.open(file) as image:
                image.verify()
            figures.append(_figure(read_bytes(path), path.stem, pixels=True))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
    return _section(title, figures)


def _curves(rows: list[dict]) -> str:
    """Return the section of the metrics over steps."""
    if not rows:
        return ""
    names = [name for name in rows[-1] if name not in NO_CURVES]
    charts = {title: [n for n in group if n in names] for title, group in CHARTS.items()}
    charts = {title: group for title, group in charts.items() if group}
    grouped = {name for group in charts.values() for name in group}
    charts |= {name: [name] for name in names if name not in grouped}
    steps = [int(row["step"]) for row in rows]
    figures = []
    for title, group in charts.items():
        series = {name: (steps, [_number(row.get(name)) for row in rows]) for name in group}
        if not any(math.isfinite(y) for _, ys in series.values() for y in ys):
            continue
        if len(series) == 1:
            series = {"": next(iter(series.values()))}
        picture = evaluation.line_chart(series, title, "step")
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        figures.append(_figure(file.getvalue(), title))
    return _section("Curves", figures)


def _number(text) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _figure(png: bytes, caption: str, pixels: bool = False) -> str:
    data, kind = base64.b64encode(png).decode(), ' class="pixels"' if pixels else ""
    caption = html.escape(caption)
    return (
        f'<figure><img{kind} alt="{caption}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _section(title: str, figures: list[str]) -> str:
    if not figures:
        return ""
    inner = "\n".join(figures)
    return f'<h2>{html.escape(title)}</h2>\n<div class="row">\n{inner}\n</div>'
