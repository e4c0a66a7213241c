"""What `stability` refuses, and what it says then."""

import keras
import numpy as np
import pytest

import tf_febm
from tf_febm.analysis import stability


def small_model():
    return tf_febm.FEBM(*(tf_febm.networks.mlp(2, (3,)) for _ in range(2)), "js")


def test_bad_models_are_refused():
    x = np.zeros((4, 2), np.float32)
    with pytest.raises(TypeError, match="model must be a FEBM; received <.*Functional"):
        stability(tf_febm.networks.mlp(2), x, x)
    conditional = [tf_febm.networks.mlp(2, (3,), num_classes=3) for _ in range(2)]
    with pytest.raises(ValueError, match="received a model of 3 classes"):
        stability(tf_febm.FEBM(*conditional, "js"), x, x)
    unbuilt = tf_febm.FEBM(*(keras.layers.Dense(1) for _ in range(2)), "js")
    with pytest.raises(ValueError, match="not built"):
        stability(unbuilt, x[:, :1], x[:, :1])
    with pytest.raises(ValueError, match=r"max_parameters=25 .* 13 \(energy\) and 13 \(var"):
        stability(small_model(), x, x, max_parameters=25)
    frozen = small_model()
    frozen.energy_network.trainable = False
    with pytest.raises(ValueError, match=r"trainable weights, .* received 0 \(energy\)"):
        stability(frozen, x, x)
    spoilt = small_model()
    spoilt.variational_network.set_weights(
        [np.full_like(w, np.nan) for w in spoilt.variational_network.get_weights()]
    )
    with pytest.raises(ValueError, match="outputs of .* must be finite; received 8 values"):
        stability(spoilt, x, x)


GOOD = np.zeros((4, 2), np.float32)
SPOILT = np.array([[0, np.nan], [np.inf, 0]], np.float32)


@pytest.mark.parametrize(
    "data, samples, options, error, message",
    [
        (GOOD[:, [0, 0, 0]], GOOD, {}, ValueError, r"data must have shape .* received \(4, 3\)"),
        (GOOD, GOOD[:, 0], {}, ValueError, r"samples must have shape .* received \(4,\)"),
        (GOOD, GOOD[:0], {}, ValueError, "samples must hold at least 2 examples; received 0"),
        (GOOD[:1], GOOD, {}, ValueError, "data must hold at least 2 examples; received 1"),
        (GOOD, GOOD.astype(int), {}, TypeError, "samples must be floating"),
        (SPOILT, GOOD, {}, ValueError, "data must be finite; received 2 values"),
        (GOOD, GOOD, {"batch_size": 0}, ValueError, "batch_size must be .* received 0"),
        (GOOD, GOOD, {"max_parameters": 1.5}, ValueError, "max_parameters must be"),
    ],
)
def test_bad_arguments_are_refused(data, samples, options, error, message):
    with pytest.raises(error, match=message):
        stability(small_model(), data, samples, **options)
