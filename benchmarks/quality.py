"""(quality) Time to a quality of faces: chains, networks and recipes, as a user feels them.

Runs `studies.time_to_quality`, which says what the sides are and keeps what is done: some eight
hours of the processor. --study takes its flags, --data_dir and --squeezenet among them.
"""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import timing

PROJECT = Path(__file__).resolve().parents[1]
# Side -> how many times as long the other may take at least.
DEMANDS = {"torchebm": "≥ 5", "published": "≥ 10"}


def main() -> None:
    """Run the study, and report how many times as long others take."""
    given = timing.arguments(__doc__, study="")
    out = PROJECT / "runs" / ("time_to_quality_quick" if given.quick else "time_to_quality")
    command = [sys.executable, "-m", "studies.time_to_quality", f"--out={out}"]
    command += [f"--peers={sys.executable}", *["--fast"] * given.quick, *shlex.split(given.study)]
    done = subprocess.run(command, cwd=PROJECT, text=True, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(done.stderr.strip().splitlines()[-1])
    report = timing.Report("(quality) seconds of the processor to a Fréchet distance of faces")
    compare(report, json.loads((out / "quality.json").read_text("utf-8")))
    report.write(given.json)


def compare(report: timing.Report, found: dict) -> None:
    """Add of each of our recipes how many times as long others take to where they end.

    Args:
        report: Where to.
        found: What the study wrote.
    """
    for other, demand in DEMANDS.items():
        rows = found["rows"][other]
        last = min(rows, key=lambda row: row["frechet"])
        report.note(
            f"{other}: best Fréchet distance {last['frechet']:.0f}, after {last['seconds']:.0f} s."
        )
        for ours in ("celeba", "celeba_multiscale"):
            there = [r["seconds"] for r in found["rows"][ours] if r["frechet"] <= last["frechet"]]
            name = f"{other} / {ours}: time to that distance"
            if there:
                report.number(name, last["seconds"] / there[0], demand)
            else:
                report.note(f"{ours} does not come to that.")


if __name__ == "__main__":
    main()
