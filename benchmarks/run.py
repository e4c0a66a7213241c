"""Run every comparison, each in a process of its own, and write RESULTS.md and results.json."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import timing

HERE = Path(__file__).resolve().parent
COMPARISONS = {
    "a": "mixture_iteration",
    "b": "small_images",
    "c": "residual",
    "d": "calibrated",
    "e": "buffer",
    "f": "memory",
    "g": "start",
    "h": "generator",
    "kernels": "kernels",
    "chains": "chains",
    "jax": "jitted",
    "roofline": "roofline",
    "quality": "quality",
}
# Those that take hours, and run only where they are named.
LONG = ("quality",)


def run(name: str, options: list[str]) -> dict:
    """Return what a comparison wrote, or its title and the error that ended it."""
    script = HERE / f"{COMPARISONS[name]}.py"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        command = [sys.executable, str(script), f"--json={path}", *options]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        messages = process.communicate()[1]
        if process.returncode == 0:
            return json.loads(path.read_text(encoding="utf-8"))
    print(messages, file=sys.stderr)
    lines = messages.strip().splitlines() or ["no message"]
    return {"title": f"({name})", "rows": [], "ratios": [], "notes": [], "error": lines[-1]}


def met(ratio: dict) -> str:
    """Return whether a figure meets its demand, as a word; nothing without one."""
    if not ratio["demand"]:
        return ""
    relation, bound = ratio["demand"].split()
    value = ratio["value"]
    good = value >= float(bound) if relation == "≥" else value <= float(bound)
    return "yes" if good else "**no**"


def markdown(results: dict) -> str:
    """Return everything as a page."""
    machine = results["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in machine.pop("versions").items() if v)
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; times are medians and, in brackets, quartiles of the rounds, in "
        "which all sides take turns. Ratios are of medians.",
        "",
        *(f"- {key}: {', '.join(v) if isinstance(v, list) else v}" for key, v in machine.items()),
        f"- versions: {versions}",
    ]
    if results["options"]:
        lines.append(f"- options: {' '.join(results['options'])}")
    for content in results["comparisons"].values():
        lines += ["", f"## {content['title']}", ""]
        if content.get("error"):
            lines.append(f"Failed: `{content['error']}`")
        if content["ratios"]:
            lines += ["| | figure | quartiles | demanded | met |", "|---|---|---|---|---|"]
            for r in content["ratios"]:
                spread = "" if r["low"] is None else f"{r['low']:.2f} … {r['high']:.2f}"
                demand = r["demand"] or ""
                lines.append(f"| {r['name']} | {r['value']:.2f} | {spread} | {demand} | {met(r)} |")
            lines.append("")
        if content["rows"]:
            lines += ["| | median | quartiles | |", "|---|---|---|---|"]
            for r in content["rows"]:
                value = f"{r['median']:.3f} {r['unit']}"
                spread = f"{r['low']:.3f} … {r['high']:.3f}"
                lines.append(f"| {r['name']} | {value} | {spread} | {r['extra']} |")
        lines += [f"\n{note}" for note in content["notes"]]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = ",".join(COMPARISONS)
    usual = ",".join(name for name in COMPARISONS if name not in LONG)
    parser.add_argument("--only", default=usual, help=f"some of {names}, with commas between")
    parser.add_argument("--study", help="flags of studies.time_to_quality, for --only=quality")
    parser.add_argument("--out", default=str(HERE), help="folder of RESULTS.md and results.json")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all?")
    parser.add_argument("--threads", type=int, help="of all sides; as many as cores if unset")
    parser.add_argument("--rounds", type=int, help="turns of each side")
    given = parser.parse_args()
    chosen = given.only.split(",")
    if unknown := [name for name in chosen if name not in COMPARISONS]:
        parser.error(f"--only takes some of {names}; received {', '.join(unknown)}")
    options = ["--quick"] if given.quick else []
    for name in ("threads", "rounds"):
        if getattr(given, name):
            options.append(f"--{name}={getattr(given, name)}")
    results = {"machine": timing.machine(), "options": options, "comparisons": {}}
    for name in chosen:
        own = [f"--study={given.study}"] if name == "quality" and given.study else []
        results["comparisons"][name] = run(name, [*options, *own])
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1, ensure_ascii=False)
    (out / "results.json").write_text(text, encoding="utf-8")
    (out / "RESULTS.md").write_text(markdown(results), encoding="utf-8")
    print(f"{out / 'RESULTS.md'}")
    return int(any(content.get("error") for content in results["comparisons"].values()))


if __name__ == "__main__":
    sys.exit(main())
