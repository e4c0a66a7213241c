"""One worker of several that train the digits: worker.py <folder> <steps>, with TF_CONFIG set."""

import hashlib
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np

import tf_febm
from tf_febm import data, distribution, training


def main(path, steps):
    strategy = distribution.make_strategy("multi_worker")
    keras.utils.set_random_seed(1)
    digits = data.load("digits")
    with strategy.scope():
        model = tf_febm.ContrastiveDivergence(
            tf_febm.networks.mlp(digits.image_shape, (16,), "swish", name="energy"),
            sampler=tf_febm.samplers.Langevin(num_steps=2),
            buffer=tf_febm.ReplayBuffer(64),
            average_decay=0.9,
            seed=2,
        )
        model.compile()
    folder = training.RunFolder(path)
    folder.samples.mkdir(parents=True, exist_ok=True)
    checkpoints = training.Checkpoints(folder.checkpoints, model)
    start = checkpoints.restore()

    def stream(step):
        def part(shard):
            return data.stream(digits, 16, seed=3, start_step=step, shard=shard)

        return distribution.distribute(part, 16, strategy)

    training.train(
        model, stream, folder, checkpoints, total_steps=steps, log_interval=5,
        sample_interval=10**6, save_interval=5, guard=training.DivergenceGuard(checkpoints),
    )  # fmt: skip
    found = hashlib.sha256()
    for name, group in model.state_variables().items():
        if not name.startswith("buffer"):
            for variable in group:
                found.update(np.ascontiguousarray(distribution.local(variable).numpy()).tobytes())
    buffer = hashlib.sha256(model.buffer.samples.numpy().tobytes()).hexdigest()
    step = int(model.optimizer.iterations.numpy())
    result = {"start": start, "step": step, "weights": found.hexdigest(), "buffer": buffer}
    print(json.dumps(result), flush=True)
    distribution.barrier(strategy)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
