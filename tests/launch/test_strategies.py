"""The launcher on several replicas and on several real processes on loopback."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.launch import forks
from tests.launch.conftest import FAST

IN_TURN = Path(__file__).with_name("in_turn.py")
PATIENCE = 240.0
TOLD = "=== "
# Flags of both workers, more of the second; exit codes and what either has said.
ENDS = {
    "dry run": (["--dry_run"], [], 0, ["images (8, 8, 1)", ""]),
    "other flags": (
        [], ["--seed=1"], 1,
        ["error: Recipes must be the same on all workers; worker 1 has others."] * 2,
    ),
    "no data": (
        [], ["--data_dir=absent.npz"], 1,
        ["Worker 1 cannot go on, and says why", "absent.npz"],
    ),
    "no checkpoint": (["--resume_iter=7"], [], 1, ["error: There is no checkpoint of step 7"] * 2),
}  # fmt: skip


def environment(index=None, addresses=()):
    values = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1"}
    if index is not None:
        task = {"type": "worker", "index": index}
        values["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(addresses)}, "task": task})
    return values


class Pair:
    """Two workers that run the launcher in one folder, once for each list of flags."""

    def __init__(self, project, folder, *runs):
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
        own = ["--strategy=multi_worker", f"--logdir={folder}", "--exp=run"]
        self.outputs = [folder / f"said_{index}.txt" for index in range(2)]
        self.processes = []
        for index in range(2):
            asked = [[*own, *both, *(second if index else ())] for both, second in runs]
            with open(self.outputs[index], "w") as output:
                self.processes.append(
                    forks.Process(
                        [sys.executable, IN_TURN, json.dumps(asked)],
                        stdout=output, stderr=subprocess.STDOUT, cwd=project,
                        env=environment(index, addresses),
                    )
                )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def said(self, index):
        return self.outputs[index].read_text()

    def ended(self):
        codes = [process.wait(PATIENCE) for process in self.processes]
        return codes, [self.said(0), self.said(1)]

    def until(self, text):
        deadline = time.monotonic() + PATIENCE
        while text not in self.said(0):
            assert self.alive() and time.monotonic() < deadline, self.last_words()
            time.sleep(0.05)

    def alive(self):
        # The second may be through before the first has said what it did.
        return self.processes[0].poll() is None

    def last_words(self):
        return [(each.poll(), self.said(k)[-3000:]) for k, each in enumerate(self.processes)]


@pytest.fixture(scope="module")
def workers(project, pictures, tmp_path_factory):
    """Return folder, exit codes and what both workers said; the last run ends by SIGTERM.

    It goes to both, as a cluster does it, not at once. The signal of the first comes while it saves
    for the sake of the second: it is no second one.
    """
    folder = tmp_path_factory.mktemp("workers")
    flags = [*FAST, *pictures, "--preset=digits", "--log_interval=1000", "--save_interval=1000"]
    ends = [([*flags, *both], second) for both, second, *_ in ENDS.values()]
    with Pair(project, folder, *ends, ([*flags, "--steps=100000"], ())) as pair:
        # Nothing is told before the first row of metrics: a thousand steps.
        deadline = time.monotonic() + PATIENCE
        while not list(folder.glob("run/tensorboard/*")):
            assert pair.alive() and time.monotonic() < deadline, pair.last_words()
            time.sleep(0.05)
        time.sleep(3.0)
        pair.processes[1].send_signal(signal.SIGTERM)
        pair.until("Stopped at step")
        pair.processes[0].send_signal(signal.SIGTERM)
        codes, said = pair.ended()
    return folder, flags, codes, said


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDS)
def test_what_ends_one_worker_ends_both(workers, name):
    *_, said = workers
    *_, code, messages = ENDS[name]
    number = [*ENDS].index(name)
    for text, message in zip(said, messages, strict=True):
        parts = text.split(TOLD)
        # The code stands at the beginning of what comes after it.
        assert parts[number + 1].startswith(f"{code}\n"), text
        part = parts[number].partition("\n")[2] if number else parts[0]
        assert message in part and "Traceback" not in part


@pytest.mark.slow
def test_two_workers_stop_together_and_one_machine_goes_on(project, workers):
    """One process with two replicas takes over both buffers, and ends the run as one device does.

    That its steps are those of one device, tests/test_parallel.py shows.
    """
    folder, flags, codes, (first, second) = workers
    assert codes == [3, 3], first + second
    assert "SIGTERM: ending with the other workers, in at most 10 steps" in second
    step = int(re.search(r"Stopped at step (\d+); the same command", first).group(1))
    # It did not wait for the end of the interval of metrics.
    assert step % 10 == 0 and step % 1000
    assert "Stopped" not in second
    # Nothing is left of the runs that were refused.
    assert "Continuing" not in first
    run = folder / "run"
    files = {path.name for path in (run / "checkpoints").iterdir()}
    assert f"step-{step}.worker-1.npz" in files
    command = [sys.executable, str(project / "launch" / "train.py"), "--strategy=mirrored"]
    command += [
        "--num_replicas=2",
        f"--logdir={folder}",
        "--exp=run",
        *flags,
        f"--steps={step + 2}",
    ]
    result = forks.run(command, env=environment())
    assert result.returncode == 0, result.stderr
    assert f"Continuing from step {step} of {step + 2}" in result.stdout
    # As many replicas as before: nothing to deal, and nothing to complain of.
    assert "distributed" not in result.stdout and "cannot be read" not in result.stdout
    summary = json.loads((run / "summary.json").read_text())
    assert summary["steps"] == step + 2
    assert np.load(run / "samples" / "final.npz")["samples"].shape == (40, 8, 8, 1)
    assert (run / "report.html").exists()
