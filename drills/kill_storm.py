"""Kill a run again and again, and compare what comes out with a run that was left alone.

    python drills/kill_storm.py --kills=25 --steps=4000 --logdir=runs/storm

Every other kill comes while a checkpoint is being written, the rest at random moments. In the end
the run must have taken its steps, every checkpoint must agree with its checksums, and samples and
quality figures must be, bit for bit, those of the run that nothing disturbed. Undisturbed runs of
further seeds show how far such figures spread anyway.
"""

import argparse
import json
import random
import subprocess
import time
from pathlib import Path

import processes


def storm(
    logdir,
    steps: int,
    kills: int,
    arguments=(),
    seed: int = 0,
    report=print,
    seeds: int = 1,
    start=subprocess.Popen,
) -> dict:
    """Make all runs below a folder and compare them.

    Args:
        logdir: Of the runs `storm` and `calm`, and `calm_1` and so on.
        steps: Of each; enough that they outlast the kills.
        kills: How many SIGKILLs.
        arguments: Further flags of launch/train.py.
        seed: Of the moments.
        report: Takes a line about each kill.
        seeds: How many undisturbed runs; the first has the seed of the disturbed one.
        start: Starts a process, as `subprocess.Popen` does.

    Returns:
        `kills`, how many hit a `checkpoint` in the writing, `resumed_at` of each restart, `steps`
        and `quality` of the summary, and `spread`: the least and the greatest value of each quality
        figure among the undisturbed runs.

    Raises:
        AssertionError: Something was lost.
    """
    logdir, moments = Path(logdir), random.Random(seed)
    command = processes.command(logdir, f"--steps={steps}", "--save_interval=100", *arguments)
    folder = logdir / "storm"
    resumed, writing = [], 0
    for number in range(kills):
        at_checkpoint = number % 2 == 0
        process = processes.begin([*command, "--exp=storm"], start)
        # The first line of progress: it trains, and whatever it was to continue from is read.
        for line in process.stdout:
            if line.startswith("Continuing from step "):
                resumed.append(int(line.split()[3]))
            if line.startswith("["):
                break
        if at_checkpoint:
            hit = processes.until_saving(folder, process)
            writing += hit
            time.sleep(moments.uniform(0.0, 0.01))
        else:
            time.sleep(moments.uniform(0.0, 1.0))
        assert process.poll() is None, f"the run ended before kill {number + 1}; take more steps"
        process.kill()
        process.communicate()
        report(f"kill {number + 1}: {'a checkpoint' if at_checkpoint else 'at random'}")
    calms = {"calm": [], **{f"calm_{i}": [f"--seed={i}"] for i in range(1, seeds)}}
    for name, own in {"storm": [], **calms}.items():
        processes.to_the_end([*command, f"--exp={name}", *own], start)
    assert resumed == sorted(resumed), f"a checkpoint that was relied on is gone: {resumed}"
    summary, calm = (processes.summary(logdir / name) for name in ("storm", "calm"))
    assert summary["steps"] == calm["steps"] == steps
    processes.compare(folder, logdir / "calm")
    spread = _spread([processes.summary(logdir / name) for name in calms])
    for name, (low, high) in spread.items():
        assert low <= summary["quality"][name] <= high, name
    return {
        "kills": kills,
        "checkpoint": writing,
        "resumed_at": resumed,
        "steps": summary["steps"],
        "quality": summary["quality"],
        "spread": spread,
    }


def _spread(summaries: list[dict]) -> dict:
    """Return the least and the greatest value of every quality figure."""
    figures = {
        name: [summary["quality"][name] for summary in summaries]
        for name, value in summaries[0]["quality"].items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    return {name: (min(values), max(values)) for name, values in figures.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--logdir", default="runs/storm")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--seeds", type=int, default=3, help="number of undisturbed runs")
    own, others = parser.parse_known_args()
    found = storm(own.logdir, own.steps, own.kills, others, own.seed, seeds=own.seeds)
    print(json.dumps(found, indent=2))
