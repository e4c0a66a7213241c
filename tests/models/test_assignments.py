"""What is assigned to a model after a fit takes effect, and costs a new trace only then."""

import keras
import numpy as np
import pytest
from plane_models import model_of, plane, weights_of

import tf_febm


def retrained(change):
    """Return weights after a fit, a change of the model, and another fit."""
    model = model_of(
        "febm", eager=False, l2_coeff=0.1, buffer=tf_febm.ReplayBuffer(64, 0.5), warmup_steps=0
    )
    model.fit(plane(), batch_size=16, shuffle=False, verbose=0)
    change(model)
    model.fit(plane(), batch_size=16, shuffle=False, verbose=0)
    return weights_of(model)


CHANGES = {
    "l2_coeff": lambda m: setattr(m, "l2_coeff", 50.0),
    "variational_l2_coeff": lambda m: setattr(m, "variational_l2_coeff", 50.0),
    "leave_one_out": lambda m: setattr(m, "leave_one_out", False),
    "shift_invariant": lambda m: setattr(m, "shift_invariant", True),
    "variational_steps": lambda m: setattr(m, "variational_steps", 3),
    "simultaneous": lambda m: setattr(m, "simultaneous", True),
    "divergence": lambda m: setattr(m, "divergence", tf_febm.divergences.get("kl")),
    "restart_probability": lambda m: setattr(m.buffer, "restart_probability", 0.0),
    "sampler.step_size": lambda m: setattr(m.sampler, "step_size", 1.0),
    "sampler.noise_scale": lambda m: setattr(m.sampler, "noise_scale", 0.0),
    "buffer": lambda m: setattr(m, "buffer", None),
    "trainable": lambda m: setattr(m.energy_network.layers[1], "trainable", False),
}


@pytest.fixture(scope="module")
def unchanged():
    return retrained(lambda model: None)


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_assigned_after_a_fit_has_an_effect(change, unchanged):
    found = retrained(CHANGES[change])
    assert any(np.abs(a - b).max() > 1e-7 for a, b in zip(found, unchanged, strict=True))


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        ("febm", "l2_coeff", -1.0),
        ("febm", "variational_steps", 0),
        ("dual", "warmup_steps", 1.5),
        ("contrastive_divergence", "initial", "dat"),
        ("bidirectional", "penalty", "dat"),
        ("bidirectional", "penalty_weight", -0.5),
    ],
)
def test_what_is_assigned_is_checked(method, name, value):
    model = model_of(method)
    model.fit(plane(), batch_size=16, verbose=0)
    setattr(model, name, value)
    with pytest.raises(ValueError, match=f"{name} must be .* received {value!r}"):
        model.fit(plane(), batch_size=16, verbose=0)


def test_another_divergence_is_that_of_both_players():
    model = model_of("febm")
    model.divergence = "kl"
    assert model.divergence.name == model.variational_divergence.name == "kl"
    model = model_of("febm", variational_divergence="reverse_kl")
    model.divergence = "kl"
    assert (model.divergence.name, model.variational_divergence.name) == ("kl", "reverse_kl")
    with pytest.raises(ValueError, match="nonsense"):
        model.divergence = "nonsense"


def test_samples_follow_what_is_assigned():
    model = model_of("febm")
    model.build((None, 2))
    first = model.sample(4, seed=1)
    np.testing.assert_array_equal(model.sample(4, seed=1), first)
    model.sampler.noise_scale = 2.0
    noisier = model.sample(4, seed=1)
    assert np.abs(noisier - first).max() > 0.1
    model.sampler = tf_febm.samplers.Langevin(0.05, 0.3, num_steps=2, grad_clip=None, bounds=None)
    np.testing.assert_array_equal(model.sample(4, seed=1), first)


def test_what_a_callback_assigns_has_an_effect_from_the_next_epoch_on():
    """With weight 0 on the rest, one SGD step with an l2 term of gradient g follows it."""
    model = model_of("contrastive_divergence", l2_coeff=0.0)
    gaps = []

    class Change(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            gaps.append(logs["loss"] - logs["energy_gap"])
            self.model.l2_coeff = 2.0

    model.fit(plane(), batch_size=16, epochs=2, verbose=0, callbacks=[Change()])
    assert gaps[0] == pytest.approx(0.0, abs=1e-6) and gaps[1] > 1e-4


def test_the_buffer_can_be_replaced_after_building():
    model = model_of("febm", buffer=tf_febm.ReplayBuffer(64))
    model.fit(plane(), batch_size=16, verbose=0)
    model.buffer = tf_febm.samplers.PersistentChains(16)
    model.fit(plane(), batch_size=16, verbose=0)
    assert int(model.buffer.written) == 32
    with pytest.raises(TypeError, match="buffer must be"):
        model.buffer = 3
    other = tf_febm.ReplayBuffer(8)
    other.build((5,), None)
    with pytest.raises(ValueError, match="built for"):
        model.buffer = other


def test_whether_there_is_an_average_is_settled_by_building():
    model = model_of("febm")
    with pytest.raises(ValueError, match="settled"):
        model.average_decay = 0.9


def test_nothing_is_traced_anew_without_a_change():
    model = model_of("febm", buffer=tf_febm.ReplayBuffer(64))
    traces = []
    step = model._train_on
    model._train_on = lambda data: traces.append(1) or step(data)
    for _ in range(3):
        model.fit(plane(), batch_size=16, epochs=2, verbose=0)
    assert len(traces) == 1
