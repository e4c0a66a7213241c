"""What is assigned to a model after a fit takes effect."""

import keras
import numpy as np
import pytest
from plane_models import model_of, plane, set_back, state_of, weights_of

import tf_febm

# (what holds the setting, its name, another value): of each kind of them one or two.
COMPILED = (
    (lambda m: m, "l2_coeff", 50.0),
    (lambda m: m.buffer, "restart_probability", 0.0),
    (lambda m: m.sampler, "step_size", 1.0),
    (lambda m: m, "buffer", None),
    (lambda m: m.energy_network.layers[1], "trainable", False),
)
# Others that are noticed as these are.
FURTHER = (
    (lambda m: m, "variational_l2_coeff", 50.0),
    (lambda m: m, "leave_one_out", False),
    (lambda m: m, "shift_invariant", True),
    (lambda m: m, "variational_steps", 3),
    (lambda m: m, "simultaneous", True),
    (lambda m: m, "divergence", "kl"),
    (lambda m: m.sampler, "noise_scale", 0.0),
)


@pytest.mark.parametrize(("changes", "eager"), [(COMPILED, False), (FURTHER, True)])
def test_what_is_assigned_after_a_fit_has_an_effect(changes, eager, monkeypatch):
    """One model, set back to the same state before each fit with one other setting.

    An assignment that had no effect would repeat a fit: that of no change, or of the change before
    it where what was compiled then is still in use. So all of them must differ. Where steps run
    eagerly, each has to be a reason to compile anew besides.
    """
    model = model_of(
        "febm", eager=eager, l2_coeff=0.1, buffer=tf_febm.ReplayBuffer(64, 0.5), warmup_steps=0
    )
    x = plane(8 if eager else 32)
    model.fit(x, batch_size=16, shuffle=False, verbose=0)
    state, anew, forget = state_of(model), [], model._forget_compiled
    monkeypatch.setattr(model, "_forget_compiled", lambda: anew.append(1) or forget())

    def retrained():
        set_back(state)
        model.fit(x, batch_size=16, shuffle=False, verbose=0)
        return np.concatenate([w.ravel() for w in weights_of(model)])

    found = {"nothing": retrained()}
    assert not anew
    for holder, name, value in changes:
        owner = holder(model)
        before = getattr(owner, name)
        setattr(owner, name, value)
        weights = retrained()
        for other, theirs in found.items():
            assert np.abs(weights - theirs).max() > 1e-7, f"{name} trains as {other} did"
        assert anew, name
        found[name] = weights
        setattr(owner, name, before)
        model._notice_changes()
        anew.clear()
    if eager:
        np.testing.assert_array_equal(retrained(), found["nothing"])


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
    model.fit(plane(8), verbose=0)
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
    model = model_of("contrastive_divergence", eager=False, l2_coeff=0.0)
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
