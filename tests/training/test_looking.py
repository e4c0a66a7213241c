"""Looking at a training does not change it: every recorder, every kind of model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import training

X = np.random.default_rng(0).normal(size=(24, 2)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 3, 24).astype(np.int32)


def settings(buffer=None):
    sampler = tf_febm.samplers.Langevin.from_epsilon(0.1, 2)
    return {"sampler": sampler, "seed": 1, **({} if buffer is None else {"buffer": buffer})}


def febm(buffer=None, classes=None):
    networks = [
        tf_febm.networks.mlp(2, (4,), num_classes=classes, name=name) for name in ("energy", "h")
    ]
    return tf_febm.FEBM(*networks, average_decay=0.9, **settings(buffer))


def random_network(name):
    """Dropout has a random state, spectral normalisation vectors that training moves."""
    inputs = keras.Input((2,))
    x = tf_febm.networks.SpectralDense(4)(inputs)
    x = keras.layers.Dropout(0.5)(keras.layers.Activation("tanh")(x))
    return keras.Model(inputs, keras.layers.Dense(1)(x), name=name)


def bidirectional():
    generator = tf_febm.networks.generator_mlp(2, 2, (4,), batch_norm=True)
    return tf_febm.BidirectionalEBM(
        tf_febm.networks.mlp(2, (4,)), generator, 2, entropy="smallest_singular_value", **settings()
    )


MODELS = {
    "febm, persistent": lambda: febm(tf_febm.samplers.PersistentChains(10)),
    "febm, classes, buffer": lambda: febm(tf_febm.ReplayBuffer(40), 3),
    "febm, classes, no buffer": lambda: febm(classes=3),
    "cd, no buffer": lambda: tf_febm.ContrastiveDivergence(random_network("energy"), **settings()),
    "dual": lambda: tf_febm.DualFEBM(
        random_network("energy"), random_network("h"), **settings(tf_febm.ReplayBuffer(40))
    ),
    "bidirectional": bidirectional,
}


class Saves(keras.callbacks.Callback):
    """Save checkpoints at the ends of epochs."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        training.Checkpoints(self.folder, self.model).save(logs)


def recorders(model, folder):
    """Return those that look at a training; they draw twice in six steps, in the midst of it."""
    labels = LABELS[:8] if model.conditional else None
    writer = tf.summary.create_file_writer(str(folder / "board"))
    return {
        "SampleGrids": training.SampleGrids(folder, 3, data=X),
        "EnergyHistograms": training.EnergyHistograms(X[:8], labels, 3, folder=folder),
        "ChainDiagnostics": training.ChainDiagnostics(3, folder=folder, num_chains=2),
        "QualityMetrics": training.QualityMetrics(lambda samples: {}, 3, num_samples=2),
        "AveragedWeights": training.AveragedWeights(0.5, folder / "a.keras", swap_at_end=False),
        "MetricsTable": training.MetricsTable(folder / "metrics.csv"),
        "Scalars": training.Scalars(writer),
        "Progress": training.Progress(6, lambda line: None),
        "DivergenceGuard": training.DivergenceGuard(
            training.Checkpoints(folder / "guard", model), reference=X
        ),
        "Checkpoints": Saves(folder / "checkpoints"),
        "GracefulStop": training.GracefulStop(),
    }


def state_of(model):
    groups = model.state_variables()
    return [(f"{n}/{i}", v) for n in sorted(groups) for i, v in enumerate(groups[n])]


# Each of these has what one of the others has: a past of chains, classes, dropout.
MORE = ("febm, persistent", "febm, classes, no buffer", "cd, no buffer")
# The kind with which every recorder is tried by itself too, besides all of them at once.
ONE_BY_ONE = "dual"


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=pytest.mark.thorough) if k in MORE else k for k in MODELS],
)
def test_each_recorder_leaves_the_training_as_it_is(kind, tmp_path, monkeypatch):
    # What is drawn has been computed; to draw it touches no model and takes longer than a step.
    blank = np.zeros((8, 8, 3), np.uint8)
    monkeypatch.setattr(tf_febm.evaluation.charts, "pixels", lambda figure: blank)
    keras.utils.set_random_seed(0)
    model = MODELS[kind]()
    model.compile()
    data = (X, LABELS) if model.conditional else (X,)

    def fit(*callbacks, **more):
        model.fit(
            *data, batch_size=8, epochs=2, verbose=0, shuffle=False, callbacks=callbacks, **more
        )
        return [(name, variable.numpy()) for name, variable in state_of(model)]

    fit()
    begin = [variable.numpy() for _, variable in state_of(model)]

    def from_the_beginning(*callbacks, **more):
        for (_, variable), value in zip(state_of(model), begin, strict=True):
            variable.assign(value)
        return fit(*callbacks, **more)

    unseen = from_the_beginning()
    assert any(np.any(a != b) for (_, a), b in zip(unseen, begin, strict=True))
    looks = {"all of them": [*recorders(model, tmp_path / "all").values()]}
    if kind == ONE_BY_ONE:
        single = recorders(model, tmp_path / "one")
        looks |= {name: [callback] for name, callback in single.items()}
    wrong = {}
    for name, callbacks in looks.items():
        # All of them with validation besides.
        more = {"validation_data": data} if name == "all of them" else {}
        seen = from_the_beginning(*callbacks, **more)
        for (group, value), (_, other) in zip(seen, unseen, strict=True):
            if not np.array_equal(value, other):
                wrong.setdefault(name, []).append(group)
    assert wrong == {}
