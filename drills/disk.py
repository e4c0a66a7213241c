"""A disk that is full, and one that is slow.

    python drills/disk.py full --times=6 --logdir=runs/full
    python drills/disk.py slow --times=4 --logdir=runs/slow

Full: a run on a file system of some hundred kilobytes (a tmpfs, which root may mount; where that is
not allowed no file may become longer than so much) ends with one line and exit code 1. With more
room the same command continues, and must end as a run that had it from the beginning. Slow: see
`faults.py`. A run gets signals while it writes checkpoints, SIGTERM and SIGKILL in turn, and must
end as one that was left alone.
"""

import argparse
import functools
import random
import resource
import signal
import subprocess
from pathlib import Path

import processes

STEPS = 120


def full(logdir, times: int = 6) -> str:
    """Run out of room so many times, at random moments; return what held.

    Args:
        logdir: Of the runs, and of the file system.
        times: How often.

    Raises:
        AssertionError: Something else came of it.
    """
    logdir, chance = Path(logdir), random.Random(0)
    flags = [*processes.small(logdir), f"--steps={STEPS}", "--save_interval=20"]
    processes.to_the_end([*processes.command(logdir, *flags), "--exp=calm"])
    files = [path.stat().st_size for path in (logdir / "calm").rglob("*") if path.is_file()]
    failed = 0
    for number in range(times):
        place = logdir / f"disk_{number}"
        line = [*processes.command(place, *flags), "--exp=run"]
        with Small(place) as disk:
            # What the files of the run take in pages, or the longest of them.
            most = sum(-(-size // 4096) * 4096 for size in files) if disk.mounted else max(files)
            disk.resize(int(most * chance.uniform(0.1, 0.9)))
            process = processes.begin(line, disk.start)
            said, _ = process.communicate(timeout=processes.PATIENCE)
            if process.returncode:
                failed += 1
                errors = [text for text in said.splitlines() if text.startswith("error: ")]
                assert process.returncode == 1 and len(errors) == 1, said
                assert "Traceback" not in said, said
                processes.verify(place / "run")
            disk.resize(10 * most)
            processes.to_the_end(line, disk.start)
            processes.compare(place / "run", logdir / "calm")
    kind = "tmpfs" if disk.mounted else "RLIMIT_FSIZE"
    return f"{failed} runs ended with one line, all went on with more room ({kind})"


class Small:
    """A folder with little room, in a `with` block."""

    def __init__(self, folder: Path):
        self._folder, self.mounted, self._bytes = folder, False, 1 << 20
        folder.mkdir(parents=True)

    def __enter__(self):
        self.mounted = self._mount("size=1m")
        return self

    def __exit__(self, *_):
        if self.mounted:
            subprocess.run(["umount", str(self._folder)], check=True)

    def resize(self, size: int) -> None:
        """Change how many bytes there is room for."""
        self._bytes = size
        if self.mounted:
            assert self._mount(f"remount,size={size}")

    def start(self, line, **settings):
        """Start a process that finds so much room."""
        if not self.mounted:
            limit = functools.partial(
                resource.setrlimit, resource.RLIMIT_FSIZE, (self._bytes, resource.RLIM_INFINITY)
            )
            settings["preexec_fn"] = limit
        return subprocess.Popen(line, **settings)

    def _mount(self, options: str) -> bool:
        line = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self._folder)]
        return subprocess.run(line, capture_output=True, check=False).returncode == 0


def slow(logdir, times: int = 4) -> str:
    """Send so many signals while checkpoints are written slowly; return what held.

    Args:
        logdir: Of the runs.
        times: How many signals.

    Raises:
        AssertionError: Something was lost, or an exit code is another one.
    """
    logdir = Path(logdir)
    # A stop cuts an interval of the metrics in two, unless it is one step.
    flags = [*processes.small(logdir), f"--steps={20 * (times + 2)}", "--save_interval=20"]
    flags.append("--log_interval=1")
    line = [*processes.command(logdir, *flags)]
    processes.to_the_end([*line, "--exp=calm"])
    faulty = [line[0], str(Path(__file__).with_name("faults.py")), "slow", *line[1:], "--exp=slow"]
    for number in range(times):
        former = processes.saving(logdir / "slow")
        process = processes.begin(faulty)
        assert processes.until_saving(logdir / "slow", process, former), process.communicate()[0]
        if number % 2:
            process.kill()
            process.communicate()
        else:
            code, said = processes.signalled(process, signal.SIGTERM)
            assert code == 3 and "Stopped at step" in said, (code, said)
        processes.verify(logdir / "slow")
    processes.to_the_end(faulty)
    processes.compare(logdir / "slow", logdir / "calm")
    return "exit code 3 with a whole checkpoint, or the one before; the end is the undisturbed one"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["full", "slow"])
    parser.add_argument("--times", type=int, default=4)
    parser.add_argument("--logdir", default="runs/disk")
    own = parser.parse_args()
    print({"full": full, "slow": slow}[own.kind](own.logdir, own.times))
