"""Two real processes under MultiWorkerMirroredStrategy on loopback; one is killed, both go on."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def start(project, tmp_path):
    """Return a function that starts both workers; what is left of them at the end is killed."""
    started = []

    def run(steps):
        workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
        processes = []
        for index in range(2):
            task = {"type": "worker", "index": index}
            config = json.dumps({"cluster": {"worker": workers}, "task": task})
            command = [sys.executable, str(project / "tests" / "worker.py")]
            processes.append(
                subprocess.Popen(
                    [*command, str(tmp_path / "run"), str(steps)], text=True,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    env={**os.environ, "TF_CONFIG": config},
                )
            )  # fmt: skip
        started.extend(processes)
        return processes

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def results(processes):
    found = []
    for process in processes:
        output, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors[-3000:]
        found.append(json.loads(output.splitlines()[-1]))
    return found


@pytest.mark.slow
def test_two_workers_train_and_a_killed_one_comes_back(start, tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    processes = start(100_000)
    deadline = time.monotonic() + 600
    while not list(folder.glob("step-*.index")) and time.monotonic() < deadline:
        assert all(process.poll() is None for process in processes), processes[0].communicate()
        time.sleep(0.05)
    processes[1].kill()
    # The other cannot go on alone, and says so instead of waiting for ever.
    _, errors = processes[0].communicate(timeout=600)
    assert processes[0].returncode != 0 and errors
    saved = max(int(path.stem.split("-")[1]) for path in folder.glob("step-*.index"))
    assert list(folder.glob(f"step-{saved}.worker-1.npz"))

    first, second = results(start(saved + 10))
    assert first["start"] == second["start"] == saved
    assert first["step"] == second["step"] == saved + 10
    assert first["weights"] == second["weights"]
    # Their chains are their own.
    assert first["buffer"] != second["buffer"]
