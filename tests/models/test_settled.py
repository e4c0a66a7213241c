"""What is assigned to a model, its sampler or buffer: it takes effect, or is refused in words."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm

X = np.random.default_rng(0).uniform(-1, 1, size=(16, 2)).astype("float32")


def model_of(bounds=(-1.0, 1.0), buffer=None, classes=None, sampler=None, eager=False, **settings):
    keras.utils.set_random_seed(0)
    networks = [tf_febm.networks.mlp(2, (4,), num_classes=classes, name=name) for name in "ab"]
    sampler = sampler or tf_febm.samplers.Langevin(num_steps=1, bounds=bounds)
    model = tf_febm.FEBM(
        *networks, sampler=sampler, buffer=buffer, warmup_steps=0, **{"seed": 0, **settings}
    )
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), run_eagerly=eager)
    return model


def weights_after_a_fit(model):
    model.fit(X, batch_size=16, verbose=0, shuffle=False)
    return np.concatenate([w.ravel() for w in model.energy_network.get_weights()])


def one_line(raised):
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_seed_that_is_assigned_begins_anew():
    first, other = model_of(seed=3), model_of(seed=0)
    assert not np.array_equal(first.sample(4), other.sample(4))
    other.seed = 3
    np.testing.assert_array_equal(model_of(seed=3).sample(4), other.sample(4))
    assert other.get_config()["seed"] == 3
    with pytest.raises(ValueError, match="seed must be a whole number ≥ 0; received 'a'"):
        other.seed = "a"


def test_names_of_classes_may_be_assigned():
    model = model_of(classes=2)
    model.class_names = ["cat", "dog"]
    assert list(model.get_config()["class_names"]) == ["cat", "dog"]
    with pytest.raises(ValueError, match="3") as raised:
        model.class_names = ["a", "b", "c"]
    one_line(raised)
    assert list(model.class_names) == ["cat", "dog"]


@pytest.mark.parametrize("name", ["num_classes", "energy_network", "variational_network"])
def test_what_a_model_is_made_of_is_settled(name):
    model = model_of(classes=2)
    present = getattr(model, name)
    layers = len(model._layers)
    value = 5 if name == "num_classes" else tf_febm.networks.mlp(2, (4,), num_classes=2)
    with pytest.raises(AttributeError, match=f"{name} of a FEBM is settled") as raised:
        setattr(model, name, value)
    one_line(raised)
    assert getattr(model, name) is present
    assert len(model._layers) == layers
    setattr(model, name, present)


def test_the_latent_dimension_is_settled():
    energy, generator = tf_febm.networks.mlp(2, (4,)), tf_febm.networks.generator_mlp(2, 2)
    model = tf_febm.BidirectionalEBM(energy, generator, 2)
    with pytest.raises(AttributeError, match="latent_dim of a BidirectionalEBM is settled"):
        model.latent_dim = 1


@pytest.mark.parametrize(("name", "value"), [("capacity", 64), ("storage", "float32")])
@pytest.mark.parametrize("kind", ["replay", "persistent"])
def test_the_size_of_a_buffer_is_settled(kind, name, value):
    buffer = {"replay": tf_febm.ReplayBuffer(32), "persistent": tf_febm.PersistentChains(32)}[kind]
    if value == getattr(buffer, name):
        value = "uint8"
    with pytest.raises(AttributeError, match=f"{name} of a .* settled when it is made") as raised:
        setattr(buffer, name, value)
    assert "Make another buffer" in one_line(raised)


@pytest.fixture(scope="module")
def fitted():
    model = model_of(buffer=tf_febm.ReplayBuffer(32), eager=True)
    weights_after_a_fit(model)
    return model


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("sampler", "step_size", -1.0, "step_size must be a finite number"),
        ("sampler", "num_steps", 1.5, "num_steps must be a whole number"),
        ("buffer", "restart_probability", 2.0, r"restart_probability must be a number in \[0, 1\]"),
        ("sampler", "noise_first", "no", "noise_first must be True or False"),
        ("buffer", "match_labels", 1, "match_labels must be True or False"),
        ("sampler", "bounds", (-2.0, 2.0), r"holds samples with bounds \(-1.0, 1.0\)"),
        ("sampler", "bounds", None, r"holds samples with bounds \(-1.0, 1.0\)"),
    ],
)
def test_bad_values_in_place_are_refused(fitted, part, name, value, message):
    """At the next use, before anything is compiled with them."""
    model = fitted
    before, good = model.energy_network.get_weights(), getattr(getattr(model, part), name)
    setattr(getattr(model, part), name, value)
    for use in (lambda: model.sample(2), lambda: model.fit(X, verbose=0)):
        with pytest.raises(ValueError, match=message) as raised:
            use()
        one_line(raised)
    for mine, was in zip(model.energy_network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, was)
    # With the good one it can be used again.
    setattr(getattr(model, part), name, good)
    assert model.sample(2).shape == (2, 2)


class Shift:
    """A sampler of one's own, without get_config."""

    bounds = None

    def __init__(self, by):
        self.by = by

    def __call__(self, energy_fn, initial_state, seed):
        return tf.zeros_like(initial_state) + self.by


def test_settings_of_a_sampler_of_ones_own_take_effect():
    model = model_of(sampler=Shift(1.0))
    np.testing.assert_array_equal(model.sample(2), np.ones((2, 2)))
    model.sampler.by = 2.0
    np.testing.assert_array_equal(model.sample(2), 2 * np.ones((2, 2)))


def test_early_stopping_restores_the_average_of_the_best_epoch():
    """The weights that come back and their average are of one epoch."""
    model = model_of(average_decay=0.9, eager=True)
    kept = []

    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            # Epoch 1 is the best, whatever the training does.
            logs["quality"] = abs(epoch - 1)
            kept.append([v.numpy() for v in model.average.variables])

    stop = keras.callbacks.EarlyStopping(
        "quality", mode="min", patience=3, restore_best_weights=True
    )
    model.fit(X, batch_size=16, epochs=6, verbose=0, callbacks=[Note(), stop])
    assert len(kept) == 5
    for variable, best in zip(model.average.variables, kept[1], strict=True):
        np.testing.assert_array_equal(variable, best)
    assert any((best != last).any() for best, last in zip(kept[1], kept[-1], strict=True))


@pytest.mark.parametrize("method", ["febm", "bidirectional"])
def test_averages_follow_weights_that_are_set(method):
    if method == "febm":
        model = model_of(average_decay=0.9, eager=True)
    else:
        energy, generator = tf_febm.networks.mlp(2, (4,)), tf_febm.networks.generator_mlp(2, 2)
        model = tf_febm.BidirectionalEBM(
            energy, generator, 2, sampler=tf_febm.samplers.Langevin(bounds=None),
            average_decay=0.9, seed=0,
        )  # fmt: skip
        model.compile(run_eagerly=True)
    model.fit(X, batch_size=16, epochs=2, verbose=0)
    stored = model.get_weights()
    plain = stored[: len(model.weights)]
    model.fit(X, batch_size=16, verbose=0)
    model.set_weights(stored)
    for mine, was in zip(model.get_weights(), stored, strict=True):
        np.testing.assert_array_equal(mine, was)
    # Without averages, as from another model, they begin at these weights.
    model.set_weights(plain)
    with model.averaged_weights():
        for weight, was in zip(model.weights, plain, strict=True):
            np.testing.assert_array_equal(weight.numpy(), was)
    assert int(model.average.updates) == 0


def test_a_rate_that_ends_at_zero_keeps_the_ratio():
    """Of the two players' rates, over the end of a fit."""
    model = model_of(eager=True)
    model.optimizer.learning_rate, model.variational_optimizer.learning_rate = 0.1, 0.02
    down = keras.callbacks.LearningRateScheduler(lambda epoch: [0.05, 0.0][epoch])
    model.fit(X, epochs=2, verbose=0, callbacks=[down])
    assert float(model.variational_optimizer.learning_rate) == 0.0
    model.fit(X, verbose=0, callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: 0.2)])
    assert float(model.variational_optimizer.learning_rate) == pytest.approx(0.04)


@pytest.mark.parametrize(
    "model_class",
    [tf_febm.FEBM, tf_febm.DualFEBM, tf_febm.ContrastiveDivergence, tf_febm.BidirectionalEBM],
)
def test_every_argument_can_be_read_and_assigned_or_is_refused(model_class):
    """An argument without an attribute would make one that nothing looks at."""
    networks = [tf_febm.networks.mlp(2, (4,), name=name) for name in "ab"]
    if model_class is tf_febm.BidirectionalEBM:
        model = model_class(networks[0], tf_febm.networks.generator_mlp(2, 2), 2)
    else:
        model = model_class(*networks[: 1 + (model_class is not tf_febm.ContrastiveDivergence)])
    arguments = [n for n in inspect.signature(model_class.__init__).parameters if n != "self"]
    for name in arguments:
        if name in ("energy", "variational", "generator"):
            with pytest.raises(AttributeError, match=f"{name} of a .* is settled"):
                setattr(model, name, networks[0])
        else:
            setattr(model, name, getattr(model, name))


@pytest.mark.parametrize("name", ["sample_shape", "average"])
def test_what_is_made_by_building_is_settled(name):
    model = model_of(average_decay=0.9)
    with pytest.raises(AttributeError, match=f"{name} of a FEBM is settled"):
        setattr(model, name, (3,))


@pytest.mark.parametrize("name", ["leave_one_out", "simultaneous", "shift_invariant"])
def test_switches_are_true_or_false(name):
    model = model_of()
    setattr(model, name, "no")
    with pytest.raises(ValueError, match=f"{name} must be True or False; received 'no'"):
        model.fit(X, verbose=0)


def test_a_clip_that_is_assigned_takes_effect():
    found = []
    for assigned, given in ((None, None), (0.01, None), (None, 0.01)):
        model = model_of(log_ratio_clip=given, eager=True)
        if assigned is not None:
            model.log_ratio_clip = assigned
            assert model.get_config()["log_ratio_clip"] == assigned
        found.append(weights_after_a_fit(model))
    np.testing.assert_array_equal(found[1], found[2])
    assert np.abs(found[0] - found[1]).max() > 1e-5
    model.divergence = "kl"
    assert model.log_ratio_clip == 0.01
    model.log_ratio_clip = None
    assert model.divergence is tf_febm.divergences.get("kl")


def test_other_settings_of_an_optimizer_and_other_optimizers_take_effect():
    """In a model whose steps are compiled, one change after the other."""
    model = model_of()

    def moved():
        before = [network.get_weights() for network in model.networks]
        weights_after_a_fit(model)
        return [
            max(np.abs(a - b).max() for a, b in zip(net.get_weights(), was, strict=True))
            for net, was in zip(model.networks, before, strict=True)
        ]

    moved()
    freely = moved()
    assert min(freely) > 0.1 * 1e-3 + 1e-6
    model.optimizer.clipnorm = 1e-3
    # One step at a rate of 0.1.
    clipped = moved()
    assert 0.0 < clipped[0] <= 0.1 * 1e-3 + 1e-6 < clipped[1]
    model.optimizer = keras.optimizers.SGD(0.0)
    stopped = moved()
    assert stopped[0] == 0.0 and stopped[1] > 0.0
    model.variational_optimizer = keras.optimizers.SGD(0.0)
    assert moved() == [0.0, 0.0]
