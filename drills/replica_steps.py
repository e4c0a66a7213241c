"""The same steps on some number of logical CPUs, in a process of its own; weights go to a file.

Logical devices can be set only before TensorFlow starts, so tests and `replicas.py` run this as a
program:

    replica_steps.py <JSON: replicas -> cases> <folder>

Each number of replicas writes <replicas>.npz there. Two replicas, which have to come first, write
checkpoints, and other numbers of them restore them.
"""

import functools
import json
import math
import os
import random
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf

import tf_febm
from tf_febm import parallel, training

BATCH, SHAPE, CLASSES = 8, (8, 8, 1), 3


def part_of(whole):
    """Return the replica's part of what is given for the whole batch."""
    count = whole.shape[0] // parallel.replicas()
    first = count * parallel.replica_number()
    return tf.constant(whole)[first : first + count]


class GivenSamples:
    """Return the replica's part of samples that are given for the whole batch."""

    bounds = (0.0, 1.0)

    def __init__(self, samples):
        self.samples = samples

    def __call__(self, energy_fn, initial_state, seed, **options):
        """Return them, whatever the chain."""
        return tf.ensure_shape(part_of(self.samples), initial_state.shape)


def network(kind, name, num_classes=None):
    """Return a small network of a family; "+attention" may follow the name of a residual one."""
    if kind == "mlp":
        return tf_febm.networks.mlp(SHAPE, (16,), "swish", num_classes=num_classes, name=name)
    if kind == "fourier_mlp":
        x = keras.Input(SHAPE)
        features = tf_febm.networks.fourier_mlp(math.prod(SHAPE), (16,))
        return keras.Model(x, features(keras.layers.Flatten()(x)), name=name)
    if kind == "conv":
        return tf_febm.networks.conv(SHAPE, 4, 8, num_classes=num_classes, name=name)
    kind, _, attention = kind.partition("+")
    build = tf_febm.networks.get(kind)
    settings = {"use_attention": True} if attention else {}
    if kind == "resnet32_large":
        # It has dropout, of which each replica draws its own.
        settings["dropout"] = 0.0
    return build(num_filters=4, image_shape=SHAPE, num_classes=num_classes, name=name, **settings)


def generator(kind, latent_dim, batch_norm):
    """Return a small generator of a family."""
    build = getattr(tf_febm.networks, f"generator_{kind}")
    settings = {"hidden_units": (16,)} if kind in ("mlp", "coupling") else {"num_filters": 2}
    return build(
        latent_dim, SHAPE, output_activation="sigmoid", batch_norm=batch_norm, name="generator",
        **settings,
    )  # fmt: skip


def make(
    method, kind, samples, adam, conditional=False, batch_norm=False, maker=None, scaled=False,
    decay=0.0, **changes,
):  # fmt: skip
    """Return a model whose negatives are given, and its optimizers."""
    # All that initial weights take; `set_random_seed` would drop every kernel as well.
    random.seed(5)
    # A rate that moves parameters well above the rounding of float32, which is what is compared.
    rate = 1e-3 if adam else 1e-2
    optimizer = tf_febm.optimizers.FusedAdam if adam else keras.optimizers.SGD
    optimizers = [optimizer(rate), optimizer(0.5 * rate)]
    if scaled:
        # Of powers of two, which round nothing.
        optimizers = [keras.optimizers.LossScaleOptimizer(inner) for inner in optimizers]
    settings = {
        "sampler": GivenSamples(samples), "l2_coeff": 0.3, "average_decay": 0.9, "seed": 3,
        **changes,
    }  # fmt: skip
    classes = CLASSES if conditional else None
    energy = network(kind, "energy", classes)
    for layer in energy.layers if decay else ():
        if isinstance(layer, keras.layers.Dense):
            layer.kernel.regularizer = keras.regularizers.L2(decay)
    if method == "bidirectional":
        latent_dim = settings.pop("latent_dim", 3)
        maker = maker or ("mlp" if kind == "mlp" else "dcgan")
        made = generator(maker, latent_dim, batch_norm)
        model = tf_febm.BidirectionalEBM(energy, made, latent_dim, **settings)
        z = np.random.default_rng(2).standard_normal((BATCH, latent_dim)).astype(np.float32)
        model.latents = lambda count, seed: part_of(z)
        return model, optimizers
    if method == "score_matching":
        # Exact: each replica draws noise of its own.
        return tf_febm.ScoreMatching(energy, "exact", **settings), optimizers[:1]
    settings["buffer"] = tf_febm.ReplayBuffer(20)
    if method in ("contrastive_divergence", "pseudo_spherical"):
        settings = {"initial": "noise", **settings}
        pseudo = method == "pseudo_spherical"
        model_class = tf_febm.PseudoSpherical if pseudo else tf_febm.ContrastiveDivergence
        return model_class(energy, **settings), optimizers[:1]
    method, divergence = method.split("/")
    model_class = {"febm": tf_febm.FEBM, "dual": tf_febm.DualFEBM}[method]
    variational = network(kind, "variational", classes)
    model = model_class(energy, variational, divergence, warmup_steps=0, **settings)
    return model, optimizers


@functools.cache
def the_strategy(replicas):
    """Return one strategy for all cases of so many replicas."""
    if replicas == 1:
        return tf.distribute.get_strategy()
    # Collective messages of a second strategy would be mixed with those of the first.
    added = None if replicas == 2 else tf.distribute.ReductionToOneDevice()
    devices = [f"CPU:{i}" for i in range(replicas)]
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=added)


def take_steps(
    replicas, method, kind, steps, adam, eager, clip, weighted=False, held_out=True, **settings
):
    """Return the weights before and after some steps, and the metrics."""
    rng = np.random.default_rng(1)
    x, samples = (rng.random((BATCH, *SHAPE), dtype=np.float32) for _ in range(2))
    labels = rng.integers(0, CLASSES, BATCH, np.int32)
    weights = rng.random(BATCH, dtype=np.float32)
    strategy = the_strategy(replicas)
    with strategy.scope():
        model, optimizers = make(method, kind, samples, adam, **settings)
        for optimizer in optimizers:
            getattr(optimizer, "inner_optimizer", optimizer).global_clipnorm = clip
        model.compile(*optimizers, run_eagerly=eager)
    before = [value.copy() for n in model.networks for value in n.get_weights()]
    batch = (x, labels) if model.conditional else (x,)
    if weighted:
        # Labels of no width stand for none.
        batch = (x, labels if model.conditional else np.zeros((BATCH, 0), np.float32), weights)
    data = tf.data.Dataset.from_tensors(batch if len(batch) > 1 else x).repeat()
    data = parallel.distribute(lambda shard: data, BATCH, strategy)
    # Before any chain has been stored: where stored ones start is each replica's own.
    tested = model.evaluate(data, steps=1, verbose=0, return_dict=True) if held_out else {}
    logs = model.fit(data, steps_per_epoch=steps, verbose=0).history
    weights = [value for n in model.networks for value in n.get_weights()]
    averages = [model.average, getattr(model, "generator_average", None)]
    weights += [each.numpy() for kept in averages if kept is not None for each in kept.averages]
    check_replicas(model, replicas, steps)
    logs = {f"train {name}": values[0] for name, values in logs.items()}
    return before, weights, logs | {f"test {name}": value for name, value in tested.items()}


def check_replicas(model, replicas, steps):
    """Check what each replica has for itself, and that the rest is the same on all."""
    if model.buffer is not None and steps is not None:
        written = [int(part[-1]) for part in model.buffer.parts()]
        assert written == [steps * BATCH // replicas] * replicas, written
    if getattr(model, "directions", None) is not None and steps is not None:
        own = [variable.numpy() for variable in model._directions]
        assert len(own) == replicas
        # Each begins with what its own examples ended at, unit vectors; the rest has moved on.
        count = min(steps * BATCH // replicas, len(own[0]))
        norms = np.linalg.norm(np.stack(own), axis=2)
        np.testing.assert_allclose(norms[:, :count], 1.0, rtol=1e-5)
        assert np.abs(norms[:, count:] - 1.0).min() > 1e-5
        assert replicas == 1 or np.abs(own[0] - own[1]).max() > 0.1
    for name, variables in model.state_variables().items():
        if name.startswith(("buffer", "directions")):
            continue
        for variable in variables:
            if isinstance(variable, tf.distribute.DistributedValues):
                first, *others = the_strategy(replicas).experimental_local_results(variable)
                for other in others:
                    np.testing.assert_array_equal(first.numpy(), other.numpy(), err_msg=name)


def through_a_checkpoint(replicas, folder, method, **settings):
    """Return the state that two replicas save, or others restore, and the lines about it."""
    x, samples = np.random.default_rng(1).random((2, BATCH, *SHAPE), dtype=np.float32)
    strategy, lines = the_strategy(replicas), []
    with strategy.scope():
        model, optimizers = make(method, "mlp", samples, adam=True, **settings)
        model.compile(*optimizers, run_eagerly=True)
    data = parallel.distribute(
        lambda shard: tf.data.Dataset.from_tensors(x).repeat(), BATCH, strategy
    )
    kept = training.Checkpoints(f"{folder}/{method}", model, report=lines.append)
    if replicas == 2:
        model.fit(data, steps_per_epoch=3, verbose=0)
        check_replicas(model, replicas, 3)
        kept.save()
    else:
        assert kept.restore() == 3
    state = {
        f"{group}/{i}": parallel.local(variable).numpy()
        for group, variables in model.state_variables().items()
        for i, variable in enumerate(variables)
    }
    check_replicas(model, replicas, None)
    # It trains on.
    model.fit(data, steps_per_epoch=1, verbose=0)
    return {**state, "lines": np.array("\n".join(lines))}


def run_all(replicas, cases, path, folder):
    """Write what all cases come to, on so many replicas, into a file."""
    arrays = {}
    for method, settings in (
        ("febm/js", {}),
        ("bidirectional", {"entropy": "smallest_singular_value", "latent_dim": 6}),
    ):
        found = through_a_checkpoint(replicas, folder, method, **settings)
        arrays |= {f"{method}|checkpoint|{name}": value for name, value in found.items()}
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
    asked = {int(count): cases for count, cases in json.loads(sys.argv[1]).items()}
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * max(asked),
    )
    for count, cases in asked.items():
        run_all(count, cases, f"{sys.argv[2]}/{count}.npz", sys.argv[2])
