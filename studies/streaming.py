"""Memory that data take that stay where they are: `python -m studies.streaming`.

TFRecord files of some gigabytes are read in a process of its own for each size of the shuffle
buffer, through several buffers, and once as a whole. Measured: resident memory before, with the
split at hand, and at most. Writes streaming.json into --out.
"""

import os
import platform
import time
from pathlib import Path

from absl import flags

from launch import console
from studies import runs
from studies.method_rows import peak

# Of one file, which all others are links to: what is read is no less for that.
IN_FILE, SIDE, BATCH = 2048, 64, 256
# Buffers that leave the stream.
FILLED = 3


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags.

    Args:
        values: Where to; absl's own unless a test has its own.
    """
    own = {"flag_values": values}
    flags.DEFINE_list("buffers", ["1000", "10000", "40000", "all"], "Sizes of the buffer.", **own)
    flags.DEFINE_integer("files", 80, "Files of 2,048 images, 24 MiB each.", 1, **own)
    flags.DEFINE_string("out", "runs/streaming", "Folder of files and results.", **own)
    flags.DEFINE_bool("debug", False, "Show tracebacks.", **own)


def run(values) -> int:
    """Write the files, read them with each buffer, and write the table down."""
    sizes = [None if text == "all" else int(text) for text in values.buffers]
    console.import_quietly(intra_op_threads=1)
    from tf_febm import files, training

    out = Path(values.out)
    folder = write_files(out / "records", values.files)
    jobs = [{"buffer": size, "files": values.files, "folder": str(folder)} for size in sizes]
    results = runs.each(measure, jobs, out / "runs", fresh=True)
    mib = 1.0 / 2**20
    rows = [
        {
            "buffer": result["job"]["buffer"],
            "buffer_mib": None
            if result["job"]["buffer"] is None
            else result["job"]["buffer"] * SIDE * SIDE * 3 * mib,
            **{name: result[name] for name in ("before", "loaded", "peak")},
        }
        for result in results
        if "failed" not in result
    ]
    files.write_json(
        out / "streaming.json",
        {
            "date": time.strftime("%Y-%m-%d"),
            "versions": training.versions(),
            "machine": platform.machine(),
            "examples": values.files * IN_FILE,
            "data_mib": values.files * IN_FILE * SIDE * SIDE * 3 * mib,
            "rows": rows,
        },
    )
    for line in table({"rows": rows}):
        console.log(line)
    return console.DONE


def write_files(folder: Path, count: int) -> Path:
    """Write `count` files of the same random images; return their folder."""
    import numpy as np

    from tf_febm import data

    if not (folder / _name(count - 1, count)).exists():
        levels = np.random.default_rng(0).integers(0, 256, (IN_FILE, SIDE, SIDE, 3), dtype=np.uint8)
        (first,) = data.write_records(folder, levels)
        data.write_records(folder, levels[:64], split="test")
        for k in range(count):
            os.link(first, folder / _name(k, count))
        first.unlink()
    return folder


def _name(number: int, count: int) -> str:
    return f"train-{number:05}-of-{count:05}.tfrecord"


def measure(job: dict) -> dict:
    """Read one split in this process, a fresh one; return its resident memory in MiB."""
    from tf_febm import data

    before = peak(reset=True)
    train, _ = data.Source("records", job["folder"], shuffle_buffer=job["buffer"]).load()
    loaded = peak()
    examples = min(train.total, FILLED * (job["buffer"] or train.total))
    seen = sum(len(x) for x in data.stream(train, BATCH).take(examples // BATCH))
    return {"before": before, "loaded": loaded, "peak": peak(), "seen": seen}


def table(measured: dict) -> list[str]:
    """Return the lines of the table: a row for each buffer."""
    lines = ["| `shuffle_buffer` | of which examples, MiB | before | loaded | at most |"]
    lines.append("|---" * 5 + "|")
    for row in measured["rows"]:
        name = "none: in memory" if row["buffer"] is None else f"{row['buffer']:,}"
        own = "" if row["buffer_mib"] is None else f"{row['buffer_mib']:,.0f}"
        cells = (f"{row[part]:,.0f}" for part in ("before", "loaded", "peak"))
        lines.append(f"| {name} | {own} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
