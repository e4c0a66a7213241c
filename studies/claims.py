"""The papers' claims in one table, each from a study: `python -m studies.claims`.

Makes the studies of `STUDIES`, or those of --only; what they have finished before is not repeated.
Writes claims.csv, claims.json and claims.md into <logdir>/claims. With --record the results go to
docs/measured/claims, and the table into docs/claims.md, which a test holds to them; a study with a
`PAGE` has a table of its own there, too.
"""

import functools
import importlib
import json
import re
import shutil
from pathlib import Path

from absl import flags

from launch import console
from studies import runs

# Studies whose results are claims: each writes claims.json by `runs.write_claims`, and takes the
# flags of `runs.define_measured`.
STUDIES = (
    "section_6_1",
    "rates",
    "reach",
    "estimators",
    "dual",
    "misspecified",
    "bidirectional",
    "versus",
)
HEADINGS = ("claim", "where", "measured", "verdict", "command")
# The table stands between these lines of docs/claims.md.
BEGIN, END = "<!-- table of studies.claims -->\n", "<!-- end of table -->\n"
_DOCS = Path(__file__).parents[1] / "docs"


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    own = {"flag_values": values}
    flags.DEFINE_list("only", list(STUDIES), f"Of {', '.join(STUDIES)}.", **own)
    flags.DEFINE_bool("record", False, "Put results into docs/, for the repository.", **own)
    runs.define_measured(values, "runs/claims")


def run(values) -> int:
    """Make the studies, then write the table."""
    unknown = [name for name in values.only if name not in STUDIES]
    if unknown or not values.only:
        raise ValueError(f"--only must be of {', '.join(STUDIES)}; received {values.only}.")
    if values.record and values.fast:
        raise ValueError("--record is for whole studies; leave out --fast.")
    out = Path(values.out) / "fast" if values.fast else Path(values.out)
    for name in values.only:
        console.log(f"== {name}")
        study, own = importlib.import_module(f"studies.{name}"), flags.FlagValues()
        study.define(own)
        line = [name, f"--out={out / name}", f"--processes={values.processes}"]
        own([*line, f"--fast={values.fast}"])
        study.run(own)
    measured = {name: json.loads((out / name / "claims.json").read_text()) for name in values.only}
    write(measured, out)
    if values.record:
        record(out, values.only)
    console.log(f"The table is in {out}.")
    return console.DONE


def write(measured: dict[str, dict], out: Path) -> None:
    """Write the claims of all studies as one table, in three forms."""
    from tf_febm import files

    rows = [{"study": name, **row} for name, study in measured.items() for row in study["claims"]]
    runs.write_table(rows, out / "claims.csv")
    files.write_json(out / "claims.json", rows)
    text = table(measured)
    files.write_atomically(out / "claims.md", lambda file: file.write(text.encode()))


def table(measured: dict[str, dict]) -> str:
    """Return the table of claims in Markdown.

    Args:
        measured: Study -> what its claims.json holds.
    """
    lines = ["| claim | in the paper | measured | verdict |", "|---|---|---|---|"]
    notes = []
    for study in measured.values():
        for row in study["claims"]:
            cells = [row[name].replace("|", "\\|") for name in HEADINGS[:-1]]
            cells[-1] = f"**{cells[-1]}**"
            lines.append("| " + " | ".join(cells) + " |")
        version = study["versions"]
        commit = (version["git"] or "unknown")[:7]
        notes.append(
            f"- `{study['claims'][0]['command']}`: {study['runs']} runs, {study['hours']:.1f} "
            f"hours of a process, {study['date']}, commit {commit}, {study['machine']}, "
            f"Python {version['python']}, TensorFlow {version['tensorflow']}"
        )
    return "\n".join([*lines, "", *notes, ""])


def record(out: Path, names: list[str], docs: Path = _DOCS) -> None:
    """Keep the results of studies in the repository, and bring docs/claims.md up to them.

    Args:
        out: Folder of the studies' folders.
        names: Which.
        docs: Folder of the pages.
    """
    from tf_febm import files

    kept = docs / "measured" / "claims"
    kept.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(out / name / "claims.json", kept / f"{name}.json")
        for picture in (out / name).glob("*.png"):
            shutil.copyfile(picture, docs / "pictures" / f"claims_{name}_{picture.name}")
    measured = recorded(docs)
    changes = [("claims.md", lambda text: page_with_table(text, measured))]
    for name in names:
        study = importlib.import_module(f"studies.{name}")
        if hasattr(study, "PAGE"):
            changes.append((study.PAGE, functools.partial(with_own_table, study, measured[name])))
    for page, change in changes:
        text = change((docs / page).read_text("utf-8")).encode()
        files.write_atomically(docs / page, lambda file, text=text: file.write(text))


def recorded(docs: Path = _DOCS) -> dict[str, dict]:
    """Return study -> what is kept of it in the repository, in the order of `STUDIES`."""
    kept = docs / "measured" / "claims"
    paths = {name: kept / f"{name}.json" for name in STUDIES}
    return {
        name: json.loads(path.read_text("utf-8")) for name, path in paths.items() if path.exists()
    }


def page_with_table(text: str, measured: dict[str, dict]) -> str:
    """Return the text of the page with the table of these results."""
    return _between(text, BEGIN, table(measured))


def with_own_table(study, measured: dict, text: str) -> str:
    """Return the text of a study's own page with its table.

    Args:
        study: A module with `PAGE` and `page_table`, from "figures" to Markdown.
        measured: What its claims.json holds.
        text: Of the page.
    """
    begin = BEGIN.replace("claims", study.__name__.rpartition(".")[2])
    return _between(text, begin, study.page_table(measured["figures"]) + "\n")


def _between(text: str, begin: str, table: str) -> str:
    pattern = re.escape(begin) + ".*?" + re.escape(END)
    return re.sub(pattern, lambda _: f"{begin}\n{table}\n{END}", text, flags=re.DOTALL)


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
