"""The same steps on some number of logical CPUs, in a process of its own; weights go to a file.

Logical devices can be set only before TensorFlow starts, and one process can run strategies of one
size only, so tests run this as a program: replica_steps.py <replicas> <JSON cases> <file.npz>.
"""

import functools
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf

import tf_febm
from tf_febm import distribution

BATCH, SHAPE = 8, (8, 8, 1)


class GivenSamples:
    """Return the replica's part of samples that are given for the whole batch."""

    bounds = (0.0, 1.0)

    def __init__(self, samples):
        self.samples = tf.constant(samples)

    def __call__(self, energy_fn, initial_state, seed, **options):
        count = self.samples.shape[0] // distribution.replicas()
        first = count * distribution.replica_number()
        return tf.ensure_shape(self.samples[first : first + count], initial_state.shape)


def network(kind, name):
    if kind == "mlp":
        return tf_febm.networks.mlp(SHAPE, (16,), "swish", name=name)
    if kind == "conv":
        return tf_febm.networks.conv(SHAPE, 4, 8, name=name)
    build = tf_febm.networks.get("resnet32")
    return build(num_filters=2, image_shape=SHAPE, name=name)


def make(method, kind, samples, adam):
    keras.utils.set_random_seed(5)
    # A rate that moves parameters well above the rounding of float32, which is what is compared.
    rate = 1e-3 if adam else 1e-2
    optimizer = tf_febm.optimizers.FusedAdam if adam else keras.optimizers.SGD
    settings = {
        "sampler": GivenSamples(samples),
        "buffer": tf_febm.ReplayBuffer(20),
        "l2_coeff": 0.3,
        "average_decay": 0.9,
        "seed": 3,
    }
    energy = network(kind, "energy")
    if method == "contrastive_divergence":
        model = tf_febm.ContrastiveDivergence(energy, initial="noise", **settings)
        optimizers = [optimizer(rate)]
    else:
        method, divergence = method.split("/")
        model_class = {"febm": tf_febm.FEBM, "dual": tf_febm.DualFEBM}[method]
        variational = network(kind, "variational")
        model = model_class(energy, variational, divergence, warmup_steps=0, **settings)
        optimizers = [optimizer(rate), optimizer(0.5 * rate)]
    return model, optimizers


@functools.cache
def the_strategy(replicas):
    """Return one strategy for all cases: a second one would mix its messages with the first's."""
    if replicas == 1:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])


def take_steps(replicas, method, kind, steps, adam, eager, clip):
    rng = np.random.default_rng(1)
    x, samples = (rng.random((BATCH, *SHAPE), dtype=np.float32) for _ in range(2))
    strategy = the_strategy(replicas)
    with strategy.scope():
        model, optimizers = make(method, kind, samples, adam)
        for optimizer in optimizers:
            optimizer.global_clipnorm = clip
        model.compile(*optimizers, run_eagerly=eager)
    before = [value.copy() for n in model.networks for value in n.get_weights()]
    data = tf.data.Dataset.from_tensors(x).repeat()
    data = distribution.distribute(lambda shard: data, BATCH, strategy)
    logs = model.fit(data, steps_per_epoch=steps, verbose=0).history
    weights = [value for n in model.networks for value in n.get_weights()]
    weights += [average.numpy() for average in model.average.averages]
    logs = {name: values[0] for name, values in logs.items()}
    parts = model.buffer.parts()
    assert len(parts) == replicas
    written = [int(part[-1]) for part in parts]
    assert written == [steps * BATCH // replicas] * replicas, written
    return before, weights, logs


def run_all(replicas, cases, path):
    arrays = {}
    for case in cases:
        given = {"steps": 1, "adam": False, "eager": True, "clip": None, **case}
        name = given.pop("name")
        before, weights, logs = take_steps(replicas, **given)
        for group, values in (("before", before), ("after", weights)):
            for i, value in enumerate(values):
                arrays[f"{name}|{group}|{i}"] = value
        for key, value in logs.items():
            arrays[f"{name}|log|{key}"] = value
    np.savez(path, **arrays)


if __name__ == "__main__":
    count = int(sys.argv[1])
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * count
    )
    run_all(count, json.loads(sys.argv[2]), sys.argv[3])
