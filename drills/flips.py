"""Flip single bits in the files of a checkpoint: each is noticed, and the one before it is taken.

    python drills/flips.py --times=200 --logdir=runs/flips

The bits are drawn from all files of the newest checkpoint, each file as often as the others. Every
other time a file is cut short there instead. In the end a run continues from such a folder, and
must end as if nothing had been.
"""

import argparse
import random
import shutil
import subprocess
from pathlib import Path

import processes

STEPS = (20, 40, 60)


def flip(logdir, times: int = 200, start=subprocess.Popen) -> str:
    """Damage the newest checkpoint of a run so many times; return what held.

    Args:
        logdir: Of the runs.
        times: How often.
        start: Starts a process, as `subprocess.Popen` does.

    Raises:
        AssertionError: A damage went unnoticed.
    """
    from tf_febm import recipes, training

    logdir, chance = Path(logdir), random.Random(0)
    line = processes.command(
        logdir, *processes.small(logdir), f"--steps={STEPS[-1]}", f"--save_interval={STEPS[0]}"
    )
    processes.to_the_end([*line, "--exp=calm"], start)
    shutil.copytree(logdir / "calm", logdir / "flipped")
    kept = logdir / "flipped" / "checkpoints"
    model = recipes.restore(logdir / "flipped").model
    files = sorted(kept.glob(f"step-{STEPS[-1]}.*"))
    assert len(files) >= 3, files
    for number in range(times):
        file = files[number % len(files)]
        whole = file.read_bytes()
        damaged = _damaged(whole, chance, cut=number // len(files) % 2)
        file.write_bytes(damaged)
        said = []
        restored = training.Checkpoints(kept, model, report=said.append).restore()
        assert restored == STEPS[-2], f"{file.name}: went on from step {restored}"
        assert len(said) == 1 and f"step-{STEPS[-1]}" in said[0], said
        file.write_bytes(whole)
    assert training.Checkpoints(kept, model).restore() == STEPS[-1]
    # As a process: it goes back, and trains what is lost once more.
    files[0].write_bytes(_damaged(files[0].read_bytes(), chance, cut=False))
    for name in ("summary.json", "model.keras"):
        (logdir / "flipped" / name).unlink()
    said = processes.to_the_end([*line, "--exp=flipped"], start)
    assert f"Continuing from step {STEPS[-2]} of {STEPS[-1]}." in said, said
    processes.compare(logdir / "flipped", logdir / "calm")
    return f"each noticed, the checkpoint before taken; {len(files)} files of one checkpoint"


def _damaged(whole: bytes, chance: random.Random, cut: bool) -> bytes:
    place = chance.randrange(len(whole))
    if cut:
        return whole[:place]
    damaged = bytearray(whole)
    damaged[place] ^= 1 << chance.randrange(8)
    return bytes(damaged)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--logdir", default="runs/flips")
    own = parser.parse_args()
    print(flip(own.logdir, own.times))
