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

import pytest

from tests.launch.conftest import FAST

PATIENCE = 240.0
# A generator has no chains.
BY_METHOD = {
    "febm": FAST,
    "bidirectional": [*FAST, "--latent_dim=4"],
}


def environment(index=None, addresses=()):
    values = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1"}
    if index is not None:
        task = {"type": "worker", "index": index}
        values["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(addresses)}, "task": task})
    return values


class Pair:
    """Two workers that run the launcher in one folder."""

    def __init__(self, script, folder, *flags, second=()):
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
        own = ["--strategy=multi_worker", f"--logdir={folder}", "--exp=run", *flags]
        self.outputs = [folder / f"said_{index}_{time.monotonic_ns()}.txt" for index in range(2)]
        self.processes = []
        for index in range(2):
            with open(self.outputs[index], "w") as output:
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, str(script), *own, *(second if index else ())],
                        stdout=output, stderr=subprocess.STDOUT,
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
            assert all(process.poll() is None for process in self.processes), self.said(0)
            assert time.monotonic() < deadline, self.said(0)
            time.sleep(0.05)


@pytest.fixture
def script(project):
    return project / "launch" / "train.py"


@pytest.fixture
def mirrored(script, tmp_path):
    def run(*flags):
        command = [sys.executable, str(script), "--strategy=mirrored", "--num_replicas=2"]
        return subprocess.run(
            [*command, f"--logdir={tmp_path}", "--exp=run", *flags],
            capture_output=True, text=True, timeout=PATIENCE, env=environment(),
        )  # fmt: skip

    return run


@pytest.mark.slow
@pytest.mark.parametrize("method", BY_METHOD)
def test_methods_train_on_two_replicas(mirrored, tmp_path, method):
    result = mirrored(f"--method={method}", *BY_METHOD[method])
    assert result.returncode == 0, result.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["steps"] == 6 and summary["quality"]["num_samples"] == 40
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_two_workers_stop_together_and_one_machine_goes_on(script, mirrored, tmp_path):
    """SIGTERM to both, as a cluster does it, not at once; then one process takes over both buffers.

    The signal of the first comes while it saves for the sake of the second: it is no second one.
    """
    flags = [*FAST, "--log_interval=1000", "--save_interval=1000"]
    with Pair(script, tmp_path, *flags, "--steps=100000") as pair:
        pair.until("into ")
        # Nothing is told before the first row of metrics: a thousand steps.
        while not list(tmp_path.glob("run/tensorboard/*")):
            time.sleep(0.05)
        time.sleep(3.0)
        pair.processes[1].send_signal(signal.SIGTERM)
        pair.until("Stopped at step")
        pair.processes[0].send_signal(signal.SIGTERM)
        codes, (first, second) = pair.ended()
    assert codes == [3, 3], first + second
    assert "SIGTERM: ending with the other workers, in at most 10 steps" in second
    step = int(re.search(r"Stopped at step (\d+); the same command", first).group(1))
    # It did not wait for the end of the interval of metrics.
    assert step % 10 == 0 and step % 1000
    assert "Stopped" not in second
    files = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert f"step-{step}.worker-1.npz" in files
    result = mirrored(*flags, f"--steps={step + 2}")
    assert result.returncode == 0, result.stderr
    assert f"Continuing from step {step} of {step + 2}" in result.stdout
    # As many replicas as before: nothing to deal, and nothing to complain of.
    assert "dealt" not in result.stdout and "cannot be read" not in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "second", "codes", "messages"),
    [
        (["--dry_run"], (), [0, 0], ["images (8, 8, 1)", ""]),
        (
            [],
            ["--seed=1"],
            [1, 1],
            ["error: Flags must be the same on all workers; worker 1 has others."] * 2,
        ),
        (
            ["--dataset=npz"],
            ["--data_dir=absent.npz"],
            [1, 1],
            ["Worker 1 cannot go on, and says why", "absent.npz"],
        ),
        (
            ["--resume_iter=7"],
            (),
            [1, 1],
            ["error: There is no checkpoint of step 7"] * 2,
        ),
    ],
)
def test_what_ends_one_worker_ends_both(script, tmp_path, flags, second, codes, messages):
    import numpy as np

    if "--dataset=npz" in flags:
        images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), dtype=np.uint8)
        np.savez(tmp_path / "there.npz", images=images)
        flags = [*flags, f"--data_dir={tmp_path}/there.npz"]
    with Pair(script, tmp_path, *FAST, *flags, second=second) as pair:
        found, said = pair.ended()
    assert found == codes, said
    for text, message in zip(said, messages, strict=True):
        assert message in text and "Traceback" not in text
    assert not (tmp_path / "run" / "checkpoints").exists()
