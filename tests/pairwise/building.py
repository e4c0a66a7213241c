"""A small model of a case, its data, and the ways to train it."""

import contextlib
import functools

import keras
import numpy as np
import tensorflow as tf

import tf_febm
from pairwise.features import is_hybrid, values_of
from tf_febm import catalogue, networks, optimizers, parallel, recipes, samplers, training

__all__ = [
    "BATCH", "BOUNDS", "CLASSES", "EPOCHS", "batches_of", "build", "callbacks", "data_of", "policy",
    "set_state", "state_of", "the_strategy", "train",
]  # fmt: skip

# The odd number of batches of all epochs leaves a gradient half accumulated at the end.
BATCH, EPOCHS, CLASSES = 16, 3, 3
BOUNDS = (-6.0, 6.0)
CENTRES = np.array([[-2.0, 0.0], [2.0, 1.0], [0.0, -2.0]], np.float32)
SHARES = (0.5, 0.3, 0.2)
RATE, L2 = 0.02, 0.05
# Of noise, of recovery.
LEVELS = 3

SAMPLERS = {
    "langevin": lambda: samplers.Langevin.from_epsilon(0.05, 2),
    "published": lambda: samplers.Langevin(num_steps=2, bounds=BOUNDS),
    "bfloat16_in_parts": lambda: samplers.Langevin.from_epsilon(
        0.05, 2, dtype="bfloat16", num_parallel=2
    ),
    "mala": lambda: samplers.MALA(0.02, 2),
    # With all that calibrated samplers have; "mala" has none of it.
    "hmc": lambda: samplers.HMC(0.2, 2, 2, burn_in=1, bounds=BOUNDS, schedule="cosine"),
    "parallel_tempering": lambda: samplers.ParallelTempering(0.02, 2, (1.0, 0.5)),
    "scheduled": lambda: samplers.Langevin.from_epsilon(0.05, 2, schedule="cosine"),
    # Of an energy relative to a Gaussian, whose chains have no bounds.
    "relative": lambda: samplers.HMC(0.2, 2, 2, burn_in=1, schedule="cosine"),
    "standardised": lambda: samplers.Preconditioned(
        samplers.Langevin.from_epsilon(0.05, 2),
        networks.GaussianReference.from_moments([0.0, -0.5], [1.5, 1.0]),
    ),
}
BUFFERS = {
    "none": lambda: None,
    "replay": lambda: samplers.ReplayBuffer(40, restart_probability=0.2),
    "reservoir": lambda: samplers.ReplayBuffer(40, 0.2, replacement="reservoir"),
    "persistent": lambda: samplers.PersistentChains(40),
}


class Data:
    """Points in the plane with labels and weights.

    Attributes:
        x: Floating [n, 2].
        labels: Integers [n] or one-hot rows [n, 3], or None.
        sample_weight: Float32 [n], some of them 0, or None.
        class_weight: Class -> weight, or None.
    """

    def __init__(self, case: dict, batches: int):
        rng = np.random.default_rng(1)
        count = batches * BATCH
        numbers = rng.choice(CLASSES, count, p=SHARES).astype(np.int32)
        # Every batch has every class, and so examples of weight 0 and of others.
        numbers[np.arange(count) % BATCH < CLASSES] = np.tile(np.arange(CLASSES), batches)
        dtype = np.float64 if case["policy"] == "float64_data" else np.float32
        self.x = (CENTRES[numbers] + 0.5 * rng.standard_normal((count, 2))).astype(dtype)
        self.x = self.x.clip(*BOUNDS)
        rows = np.eye(CLASSES, dtype=np.float32)[numbers]
        self.labels = {"no": None, "integers": numbers, "one_hot": rows}[case["conditional"]]
        self.sample_weight = self.class_weight = None
        if case["weighting"] == "sample_weight":
            self.sample_weight = (np.arange(count) % 4).astype(np.float32)
        elif case["weighting"] == "class_weight":
            self.class_weight = {0: 0.0, 1: 1.0, 2: 3.0}
        self.numbers = numbers

    @property
    def weights(self) -> np.ndarray | None:
        """The weight of each example, whichever way it is given."""
        if self.class_weight is None:
            return self.sample_weight
        return np.array([self.class_weight[number] for number in self.numbers], np.float32)

    def batches(self):
        """Return the batches, as keyword arguments of `train_on_batch`."""
        found = []
        for start in range(0, len(self.x), BATCH):
            part = slice(start, start + BATCH)
            arrays = {"x": self.x, "y": self.labels, "sample_weight": self.sample_weight}
            given = {name: array[part] for name, array in arrays.items() if array is not None}
            if self.class_weight is not None:
                given["class_weight"] = self.class_weight
            found.append(given)
        return found

    def dataset(self) -> tf.data.Dataset:
        """Return batches of (x, labels, weights), in their order; the last of them may be missing.

        Unlike arrays, Keras hands them on in the dtype that they have.
        """
        given = [self.x, self.labels, self.sample_weight]
        here = [array is not None for array in given]

        def whole(*arrays):
            arrays = iter(arrays)
            return tuple(next(arrays) if is_here else None for is_here in here)

        data = tf.data.Dataset.from_tensor_slices(tuple(a for a in given if a is not None))
        data = data.batch(BATCH, drop_remainder=True)
        if not any(here[1:]):
            return data.map(lambda x: x)
        return data.map(whole) if here[2] else data

    def arguments(self, case: dict) -> dict:
        """Return the data as keyword arguments of `fit` and `evaluate`."""
        if case["policy"] == "float64_data":
            return {"x": self.dataset()}
        given = {"x": self.x, "y": self.labels, "sample_weight": self.sample_weight}
        return {name: array for name, array in given.items() if array is not None}


def data_of(case: dict, batches: int | None = None) -> Data:
    """Return the data of a case, a few batches of it."""
    return Data(case, batches_of(case) if batches is None else batches)


def batches_of(case: dict) -> int:
    """Return the number of batches in an epoch; run eagerly, each takes a while."""
    return 1 if case["steps"] == "run_eagerly" else 3


@contextlib.contextmanager
def policy(case: dict):
    """Set the dtype policy of a case, inside a `with` block."""
    keras.config.set_dtype_policy({"float64_data": "float32"}.get(case["policy"], case["policy"]))
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")


@functools.cache
def the_strategy(name: str):
    """Return the strategy of a name, the same one every time."""
    if name == "default":
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def network(name: str, inputs: int, outputs: int, l2: float, classes: int | None = None):
    """Return a small network, an energy or a generator, whose kernels are regularised by L2."""

    def dense(units, activation=None, dtype=None):
        penalty = keras.regularizers.L2(l2) if l2 else None
        kind = networks.Dense if activation else keras.layers.Dense
        return kind(units, activation=activation, kernel_regularizer=penalty, dtype=dtype)

    x = given = keras.Input((inputs,))
    if classes is not None:
        given = (x, keras.Input((classes,)))
        x = keras.layers.Concatenate()(given)
    x = dense(8, "swish")(x)
    # Keras advises float32 for what a network returns.
    return keras.Model(given, dense(outputs, dtype="float32")(x), name=name)


def optimizer(case: dict):
    """Return a new optimizer of a case."""
    options = {}
    if case["accumulation"] > 1:
        options["gradient_accumulation_steps"] = case["accumulation"]
    if case["average"] == "use_ema":
        options |= {"use_ema": True, "ema_momentum": 0.5}
    if case["optimizer"] == "sgd":
        # Unclipped, the penalty of a bidirectional model grows beyond all bounds.
        return keras.optimizers.SGD(RATE, global_clipnorm=1.0, **options)
    return optimizers.ClippedAdam(RATE, beta_1=0.0, beta_2=0.999, **options)


def build(case: dict, *, l2: tuple[float, float] | None = None, made_by=optimizer):
    """Return a compiled model, with the same weights for the same networks.

    Args:
        case: axis -> value.
        l2: The factors of both networks' regularisers; those of the case if None.
        made_by: case -> optimizer, called for each.
    """
    l2 = (L2, L2) if l2 is None and case["regulariser"] == "l2" else l2 or (0.0, 0.0)
    classes = None if case["conditional"] == "no" else CLASSES
    keras.utils.set_random_seed(7)
    settings = {
        "sampler": SAMPLERS[case["sampler"]](),
        "average_decay": 0.9 if case["average"] == "average_decay" else None,
        "l2_coeff": 0.1,
        "seed": 3,
    }
    if is_hybrid(case):
        settings["class_weight_coeff"] = 0.5
    if case["energy"] == "relative":
        settings["reference"] = networks.GaussianReference().adapt(data_of(case).x)
        if case["sampler"] in ("published", "hmc"):
            settings["sampler"] = SAMPLERS["relative"]()
        if case["sampler"] == "langevin":
            settings["sampler"] = samplers.Langevin.exponential(0.1, 2)
    with the_strategy(case["strategy"]).scope():
        if case["made"] == "recipe":
            model = by_recipe(case)
            model.compile(
                *(made_by(case) for _ in model.networks), run_eagerly=case["steps"] == "run_eagerly"
            )
            return model
        energy = network("energy", 2, 1, l2[0], classes)
        if case["model"] == "bidirectional":
            generator = network("generator", 2, 2, l2[1])
            model = tf_febm.BidirectionalEBM(energy, generator, 2, **settings)
        elif case["model"] == "noise_contrastive":
            noise = networks.GaussianReference("diagonal").adapt(data_of(case).x)
            noise = settings.get("reference", noise)
            model = tf_febm.NoiseContrastive(energy, noise, **settings)
        elif case["model"] == "score_matching":
            model = tf_febm.ScoreMatching(energy, "sliced", **settings)
        elif case["model"] == "energy_discrepancy":
            model = tf_febm.EnergyDiscrepancy(energy, 0.5, **settings)
        elif case["model"] == "recovery":
            rows = LEVELS + (classes or 0)
            settings |= {"num_classes": classes, "levels": LEVELS}
            if case["sampler"] == "hmc":
                settings["sampler"] = SAMPLERS["relative"]()
            energy = network("energy", 2, 1, l2[0], rows)
            other = network("variational", 4, 1, l2[1], rows)
            if "reference" not in settings:
                settings["spread"] = 2.0
            model = tf_febm.Recovery(energy, other, "js", **settings)
        elif case["model"] == "multiscale":
            if case["sampler"] == "hmc":
                settings["sampler"] = SAMPLERS["relative"]()
            reference = networks.GaussianReference().adapt(data_of(case).x)
            energy = network("energy", 2, 1, l2[0], LEVELS + (classes or 0))
            if classes:
                settings |= {"label_dropout": 0.3, "guidance": 0.5}
            model = tf_febm.MultiscaleScoreMatching(
                energy, reference, levels=LEVELS, num_classes=classes, **settings
            )
        else:
            settings["buffer"] = BUFFERS[case["buffer"]]()
            if case["model"].startswith("febm") and "reference" in settings:
                settings["slow_energy_decay"] = 0.8
            if case["model"] == "contrastive_divergence":
                model = tf_febm.ContrastiveDivergence(energy, **settings)
            elif case["model"] == "pseudo_spherical":
                model = tf_febm.PseudoSpherical(energy, 0.5, **settings)
            else:
                other = network("variational", 2, 1, l2[1], classes)
                settings["warmup_steps"] = 1
                if case["model"] == "febm_js":
                    model = tf_febm.FEBM(energy, other, "js", **settings)
                elif case["model"] == "febm_kl":
                    model = tf_febm.FEBM(energy, other, "kl", shift_invariant=True, **settings)
                else:
                    model = tf_febm.DualFEBM(energy, other, "js", **settings)
        made = [made_by(case) for _ in model.networks]
        model.compile(*made, run_eagerly=case["steps"] == "run_eagerly")
    return model


def by_recipe(case: dict):
    """Return the model that a recipe makes for the data of a case."""
    method = case["model"].split("_")[0] if case["model"].startswith("febm") else case["model"]
    changes = {
        "method": method, "network": "mlp", "width": 8, "num_steps": 2, "l2_coeff": 0.1, "seed": 3,
        "average_decay": 0.9 if case["average"] == "average_decay" else None,
        # Kinds of Langevin dynamics have other names here than in the catalogue.
        "sampler": case["sampler"] if case["sampler"] in catalogue.SAMPLERS else "langevin",
    }  # fmt: skip
    if method == "bidirectional":
        changes |= {"generator": "mlp", "latent_dim": 2}
    else:
        chains = {"none": "fresh", "reservoir": "replay"}.get(case["buffer"], case["buffer"])
        changes |= {"conditional": case["conditional"] != "no", "chains": chains}
        changes["buffer_replacement"] = "reservoir" if case["buffer"] == "reservoir" else "oldest"
        if is_hybrid(case):
            changes["class_weight_coeff"] = 0.5
        if chains == "persistent":
            # As many chains as there are examples in a batch.
            changes["batch_size"] = 40
        if method not in ("contrastive_divergence", "pseudo_spherical"):
            changes["warmup_steps"] = 1
        if method == "febm":
            changes["divergence"] = case["model"].removeprefix("febm_")
            changes["shift_invariant"] = case["model"] == "febm_kl"
    if changes["sampler"] == "langevin":
        changes["epsilon"] = 0.05
        if case["sampler"] == "scheduled":
            changes["schedule"] = "cosine"
    elif changes["sampler"] == "hmc":
        changes |= {"step_size": 0.2, "num_leapfrog_steps": 2, "burn_in": 1, "schedule": "cosine"}
    if case["energy"] == "relative":
        changes |= {"reference": "full", "confinement": 0.0}
        if method == "febm":
            changes["slow_energy_decay"] = 0.8
    data = data_of(case)
    labels = data.numbers if changes.get("conditional") else None
    return recipes.get("plane").replace(**changes).build(data.x, labels)


def callbacks(case: dict, model, folder) -> list:
    """Return the callbacks of a case.

    Args:
        case: axis -> value.
        model: What they are for.
        folder: Where they may write.
    """
    kinds, found = values_of(case, "callback"), []
    if "schedule" in kinds:
        # No step is taken in the last epoch.
        found = [keras.callbacks.LearningRateScheduler(lambda e, r: 0.0 if e == EPOCHS - 1 else r)]
        if len(model.networks) > 1:
            found.append(training.VariationalRate())
    if "averaged_weights" in kinds:
        found.append(training.AveragedWeights(0.9))
    if "terminate_on_nan" in kinds:
        found.append(keras.callbacks.TerminateOnNaN())
    if kinds & {"guard", "recorders"}:
        guard = training.DivergenceGuard(
            training.Checkpoints(folder / "guarded", model), reference=data_of(case).x
        )
        found.append(guard)
    if "recorders" in kinds:
        measure = training.QualityMetrics(
            lambda samples: {"spread": samples.std()}, batches_of(case) + 1, num_samples=8,
            names=["spread"],
        )  # fmt: skip
        found = [measure, *found, training.MetricsTable(folder / "metrics.csv")]
    return found


def train(model, case: dict, data: Data, *, epochs: int = EPOCHS, callbacks=(), held_out=None):
    """Train in the way of a case and return the logs: name -> a value for each epoch.

    Args:
        model: A compiled model.
        case: axis -> value.
        data: What to train on.
        epochs: How often all of it is gone through.
        callbacks: For `fit`.
        held_out: Data to evaluate at the end of every epoch, or None.
    """
    if case["steps"] != "train_on_batch":
        options = data.arguments(case)
        if held_out is not None:
            given = held_out.arguments(case)
            options["validation_data"] = given["x"]
            if not isinstance(given["x"], tf.data.Dataset):
                arrays = (given["x"], given.get("y"), given.get("sample_weight"))
                while arrays[-1] is None:
                    arrays = arrays[:-1]
                options["validation_data"] = arrays if len(arrays) > 1 else arrays[0]
        if not isinstance(options["x"], tf.data.Dataset):
            options |= {"batch_size": BATCH, "shuffle": False}
        if data.class_weight is not None:
            options["class_weight"] = data.class_weight
        return model.fit(**options, epochs=epochs, callbacks=[*callbacks], verbose=0).history
    history: dict = {}
    for _ in range(epochs):
        for batch in data.batches():
            logs = model.train_on_batch(**batch, return_dict=True)
        if held_out is not None:
            given = {k: v for k, v in held_out.batches()[0].items() if k != "class_weight"}
            # Keras' means go on over all batches until they are reset.
            model.reset_metrics()
            held = model.test_on_batch(**given, return_dict=True)
            logs |= {f"val_{name}": value for name, value in held.items()}
            model.reset_metrics()
        for name, value in logs.items():
            history.setdefault(name, []).append(float(value))
    return history


def state_of(model) -> dict[str, np.ndarray]:
    """Return all that training changes, name -> array; of each replica what is its own."""
    return {
        f"{group}/{i}": parallel.local(variable).numpy()
        for group, variables in model.state_variables().items()
        for i, variable in enumerate(variables)
    }


def set_state(model, state: dict[str, np.ndarray]) -> None:
    """Assign what `state_of` returned."""
    for group, variables in model.state_variables().items():
        for i, variable in enumerate(variables):
            parts = getattr(variable, "values", [variable])
            for part in parts:
                part.assign(state[f"{group}/{i}"])
