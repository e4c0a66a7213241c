"""Several real processes train the digits together; one is killed, and all are started again.

    python drills/workers.py --workers=3 --steps=50 --method=febm --logdir=runs/workers

Under MultiWorkerMirroredStrategy on loopback. All workers must end with the same parameters,
optimizers and averages, each with a buffer of its own; a worker that gets a SIGKILL takes the
others with it, and when all are started again they go on from the newest checkpoint. What comes out
must be, bit for bit, what the same number of workers makes undisturbed.
"""

import argparse
import hashlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INTERVAL = 5
PATIENCE = 600.0
_STEP = re.compile(r"\] (\d+)/")


def train(path: Path, steps: int, method: str) -> None:
    """Be one of the workers in TF_CONFIG; print what came out as JSON."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import numpy as np

    from tf_febm import data, parallel, recipes, training

    strategy = parallel.make_strategy("multi_worker")
    own = {"num_steps": 5, "buffer_capacity": 64}
    if method == "bidirectional":
        own = {"generator": "mlp", "latent_dim": 4}
    recipe = recipes.for_dataset("digits", method).replace(
        **own, network="mlp", width=16, batch_size=12 * strategy.num_replicas_in_sync, seed=3,
        average_decay=0.9, steps=steps, log_interval=INTERVAL, save_interval=2 * INTERVAL,
        # A rate that falls would be another one for another number of steps.
        final_learning_rate=None,
        sample_interval=10**6, num_samples=10,
    )  # fmt: skip
    # Of images that have no name no classifier is trained.
    images = data.load("digits").images
    run = training.run(recipe, images, path, strategy, report=lambda line: print(line, flush=True))
    found = hashlib.sha256()
    for name, group in run.model.state_variables().items():
        if not name.startswith(("buffer", "directions")):
            for variable in group:
                found.update(np.ascontiguousarray(parallel.local(variable).numpy()).tobytes())
    buffer = None
    if run.model.buffer is not None:
        buffer = hashlib.sha256(run.model.buffer.samples.numpy().tobytes()).hexdigest()
    result = {"step": run.step, "weights": found.hexdigest(), "buffer": buffer}
    print(json.dumps(result), flush=True)


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Workers:
    """Processes that train together in a folder; in a `with` block, after which none is left."""

    def __init__(self, folder, count: int, steps: int, method: str, start=subprocess.Popen):
        addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        self.processes, self._outputs = [], []
        for index in range(count):
            task = {"type": "worker", "index": index}
            config = json.dumps({"cluster": {"worker": addresses}, "task": task})
            # Files, not pipes: nobody reads while they run.
            output = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in __exit__)
            self._outputs.append(output)
            environment = {**os.environ, "TF_CONFIG": config}
            self.processes.append(
                start(
                    [
                        sys.executable, __file__, f"--train={folder}", f"--steps={steps}",
                        f"--method={method}",
                    ],
                    stdout=output, stderr=subprocess.STDOUT, env=environment,
                )
            )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process, output in zip(self.processes, self._outputs, strict=True):
            if process.poll() is None:
                process.kill()
            process.wait()
            output.close()

    def said(self, index: int) -> str:
        """Return what a worker has written so far."""
        self._outputs[index].seek(0)
        return self._outputs[index].read()

    def results(self) -> list[dict]:
        """Wait for all and return what each found."""
        found = []
        for index, process in enumerate(self.processes):
            code = process.wait(PATIENCE)
            assert code == 0, self.said(index)[-3000:]
            lines = self.said(index).splitlines()
            found.append(json.loads(next(line for line in lines[::-1] if line.startswith("{"))))
        return found


def agree(found: list[dict], steps: int) -> None:
    """Check that workers ended as one, each with its own chains."""
    assert all(each["step"] == steps for each in found), found
    assert len({each["weights"] for each in found}) == 1, found
    buffers = {each["buffer"] for each in found}
    assert buffers == {None} or len(buffers) == len(found), found


def kill_and_restart(
    logdir,
    count: int,
    steps: int,
    seed: int = 0,
    method: str = "contrastive_divergence",
    start=subprocess.Popen,
) -> dict:
    """Train once with a SIGKILL on the way, once without, and compare.

    Args:
        logdir: Of the runs `killed` and `whole`.
        count: How many workers.
        steps: Of either, at least.
        seed: Of the moment, and of who is killed.
        method: Of "febm", "contrastive_divergence", "dual" and "bidirectional".
        start: Starts a process, as `subprocess.Popen` does.

    Returns:
        `workers`, `steps`, who was `killed`, the last step `reached` before, as the first worker
        told, the step of the newest checkpoint, from which all were `resumed`, and the hash of
        their common `weights`.

    Raises:
        AssertionError: Something else was lost, or workers differ.
    """
    logdir, moments = Path(logdir), random.Random(seed)
    folder = logdir / "killed" / "checkpoints"
    victim = moments.randrange(1, count)
    with Workers(logdir / "killed", count, 10**6, method, start) as workers:
        deadline = time.monotonic() + PATIENCE
        while not list(folder.glob("step-*.index")) and time.monotonic() < deadline:
            assert all(p.poll() is None for p in workers.processes), workers.said(0)
            time.sleep(0.02)
        time.sleep(moments.uniform(0.0, 0.2))
        workers.processes[victim].kill()
        for index, process in enumerate(workers.processes):
            # The others cannot go on alone, and say so instead of waiting for ever.
            assert process.wait(PATIENCE) != 0
            assert index == victim or workers.said(index)
        reached = max(map(int, _STEP.findall(workers.said(0))))
    saved = max(int(path.stem.split("-")[1]) for path in folder.glob("step-*.index"))
    # A generator has no chains, and so nothing that is one worker's alone.
    files = [folder / f"step-{saved}.worker-{i}.npz" for i in range(1, count)]
    assert all(file.exists() == (method != "bidirectional") for file in files), files
    # Unsaved are at most the steps of an interval of saving, and of one of telling.
    assert -2 * INTERVAL <= reached - saved <= 3 * INTERVAL, (reached, saved)
    steps = max(steps, saved + 2 * INTERVAL)
    with Workers(logdir / "killed", count, steps, method, start) as workers:
        resumed = workers.results()
        assert f"Continuing from step {saved} of {steps}." in workers.said(0)
    agree(resumed, steps)
    with Workers(logdir / "whole", count, steps, method, start) as workers:
        whole = workers.results()
    agree(whole, steps)
    for mine, theirs in zip(resumed, whole, strict=True):
        assert mine["weights"] == theirs["weights"] and mine["buffer"] == theirs["buffer"]
    return {
        "workers": count,
        "method": method,
        "steps": steps,
        "killed": victim,
        "reached": reached,
        "resumed": saved,
        "weights": whole[0]["weights"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--logdir", default="runs/workers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--method", default="contrastive_divergence")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    own = parser.parse_args()
    if own.train:
        train(Path(own.train), own.steps, own.method)
    else:
        place = Path(own.logdir) / own.method / str(own.workers)
        found = kill_and_restart(place, own.workers, own.steps, own.seed, own.method)
        print(json.dumps(found, indent=2))
