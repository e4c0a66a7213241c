"""What a network's own `losses` do in training: weight decay, activity regularisers, add_loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm

RATE = 0.1


class Offset(keras.layers.Layer):
    """Add a loss of 3·w², w being its only weight, which the output does not depend on."""

    def build(self, shape):
        self.w = self.add_weight(shape=(), initializer="ones", name="w")

    def call(self, x):
        self.add_loss(3.0 * self.w**2)
        return x


def network(regularised, name, **dense):
    inputs = keras.Input((2,))
    x = Offset()(inputs) if regularised == "add_loss" else inputs
    return keras.Model(inputs, keras.layers.Dense(1, **dense)(x), name=name)


def flat_data(n=8):
    return np.random.default_rng(0).normal(size=(n, 2)).astype("float32")


def model_of(method, regularised, eager=True, **dense):
    """Return a model whose objective has no gradient of its own for `regularised`."""
    keras.utils.set_random_seed(1)
    sampler = tf_febm.samplers.Langevin(0.1, 0.1, num_steps=2, grad_clip=None, bounds=None)
    energy = network(regularised, "energy", **dense)
    rates = (keras.optimizers.SGD(RATE), keras.optimizers.SGD(RATE))
    if method == "contrastive_divergence":
        model = tf_febm.ContrastiveDivergence(energy, sampler=sampler, l2_coeff=0.0, seed=0)
        model.compile(rates[0], run_eagerly=eager)
    elif method == "bidirectional":
        keras.utils.set_random_seed(2)
        z = keras.Input((2,))
        generator = keras.Model(z, keras.layers.Dense(2, **dense)(z), name="generator")
        model = tf_febm.BidirectionalEBM(energy, generator, 2, sampler=sampler, seed=0)
        model.compile(*rates, run_eagerly=eager)
    else:
        make = {"febm": tf_febm.FEBM, "dual": tf_febm.DualFEBM}[method]
        other = network(regularised, "variational", **dense)
        model = make(energy, other, sampler=sampler, l2_coeff=0.0, seed=0)
        model.compile(*rates, run_eagerly=eager)
    return model


METHODS = ("febm", "dual", "contrastive_divergence", "bidirectional")


def kernels(model):
    return [net.layers[-1].kernel.numpy().astype("float64") for net in model.networks]


# A regulariser's loss is a loss whatever it is of: biases have theirs in two of the methods.
@pytest.mark.parametrize(
    ("method", "kind"),
    [
        *((method, "kernel_regularizer") for method in METHODS),
        *((method, "bias_regularizer") for method in ("febm", "bidirectional")),
    ],
)
def test_a_weight_regulariser_adds_its_gradient_once_to_each_player(method, kind):
    """A step of SGD with λ‖w‖² differs from one without by −rate·2λw, by hand."""
    weight = 0.5
    steps = {}
    for name, regulariser in (("with", keras.regularizers.L2(weight)), ("without", None)):
        options = {kind: regulariser, "bias_initializer": keras.initializers.Constant(0.7)}
        model = model_of(method, None, **options)
        which = "kernel" if kind == "kernel_regularizer" else "bias"
        before = [getattr(net.layers[-1], which).numpy() for net in model.networks]
        model.train_on_batch(flat_data())
        steps[name] = [
            getattr(net.layers[-1], which).numpy() - start
            for net, start in zip(model.networks, before, strict=True)
        ]
    # The players move one after the other: with `FEBM` θ's gradient depends on the ω that has
    # moved, and with `BidirectionalEBM` φ's on θ, to second order in the rate. The first to move is
    # exact.
    first = 0 if method in ("contrastive_divergence", "bidirectional") else 1
    for i, start in enumerate(before):
        difference = steps["with"][i] - steps["without"][i]
        expected = -RATE * 2.0 * weight * start
        tolerance = 2e-6 if i == first else 0.25 * np.abs(expected).max()
        np.testing.assert_allclose(difference, expected, atol=tolerance)
        assert np.abs(expected).max() > 0.01


@pytest.mark.parametrize("method", ["febm", "dual", "contrastive_divergence"])
def test_a_loss_that_a_call_adds_counts_once_a_step(method):
    """d(3w²)/dw = 6 at w = 1, however often a step, and its chains, call the network."""
    model = model_of(method, "add_loss")
    model.train_on_batch(flat_data())
    for net in model.networks:
        offset = next(layer for layer in net.layers if isinstance(layer, Offset))
        assert float(offset.w) == pytest.approx(1.0 - RATE * 6.0, abs=1e-6)


@pytest.mark.parametrize("method", ["febm", "contrastive_divergence"])
def test_an_activity_regulariser_acts_on_the_data(method):
    """θ's step with the mean of E² over the data as an extra loss, against its gradient by hand."""
    moved = {}
    for name, regulariser in (("with", keras.regularizers.L2(0.01)), ("without", None)):
        model = model_of(method, None, activity_regularizer=regulariser)
        start = kernels(model)[0]
        model.train_on_batch(flat_data())
        moved[name] = kernels(model)[0] - start
    x = flat_data().astype("float64")
    energies = x @ start
    # Keras divides by the number of examples.
    expected = -RATE * 0.01 * 2.0 * x.T @ energies / len(x)
    # For f-EBM the other player is regularised too and moves first.
    tolerance = 2e-6 if method == "contrastive_divergence" else 0.05 * np.abs(expected).max()
    np.testing.assert_allclose(moved["with"] - moved["without"], expected, atol=tolerance)


def test_the_loss_of_the_logs_includes_them():
    model = model_of("contrastive_divergence", None, kernel_regularizer=keras.regularizers.L2(2.0))
    kernel = kernels(model)[0]
    logs = model.train_on_batch(flat_data(), return_dict=True)
    assert logs["loss"] == pytest.approx(logs["energy_gap"] + 2.0 * np.sum(kernel**2), rel=1e-5)
    kernel = kernels(model)[0]
    logs = model.test_on_batch(flat_data(), return_dict=True)
    assert logs["loss"] == pytest.approx(logs["energy_gap"] + 2.0 * np.sum(kernel**2), rel=1e-5)


def test_no_tensor_of_a_compiled_step_is_left_behind():
    model = model_of("febm", "add_loss", eager=False)
    model.fit(flat_data(), batch_size=4, epochs=1, verbose=0)
    for net in model.networks:
        assert not net.losses
        net(tf.constant(flat_data()))
        assert float(net.losses[0]) > 0.0
