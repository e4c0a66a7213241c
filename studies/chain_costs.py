"""Costs of a gradient through a chain, Eq. 13 of the paper: memory and processor time."""

import json
import resource
import subprocess
import sys
import time

from launch import console

__all__ = ["cost", "print_cost"]


def cost(job: dict) -> dict:
    """Return peak memory and processor time of chains, alone and with a gradient through them.

    In a process of its own, as the peak of a process does not fall: shorter chains come first.
    """
    program = f"from studies import chain_costs; chain_costs.print_cost({job!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return {"rows": json.loads(done.stdout.splitlines()[-1])}


def print_cost(job: dict) -> None:
    """Print the rows of `cost` as JSON: MiB above those of chains of one image, and seconds."""
    console.import_quietly(intra_op_threads=1)
    import tensorflow as tf

    from tf_febm import networks, samplers

    network = networks.mnist_net(job["width"])
    x = tf.random.stateless_uniform((job["images"], 28, 28, 1), (0, 1))
    unit = 2**20 if sys.platform == "darwin" else 2**10

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

    def chain(steps, differentiable, x=x):
        sampler = samplers.Langevin(num_steps=steps, grad_clip=None)

        @tf.function
        def go():
            with tf.GradientTape() as tape:
                value = tf.reduce_sum(sampler(network, x, 0, differentiable=differentiable))
            return tape.gradient(value, network.trainable_variables) if differentiable else value

        return go

    # What the libraries take once and for all.
    chain(1, False, x[:1])()
    base, rows = peak(), []
    for differentiable, lengths in ((False, job["lengths"]), (True, job["lengths"])):
        for steps in lengths:
            go = chain(steps, differentiable)
            go()
            begin = time.process_time()
            go()
            seconds = time.process_time() - begin
            rows.append(
                {
                    "differentiable": differentiable, "steps": steps, "seconds": seconds,
                    "mib": peak() - base,
                }
            )  # fmt: skip
    print(json.dumps(rows))
