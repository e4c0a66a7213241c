"""Two models that differ in one thing, and what must follow from it, after one step of SGD.

What the case trains with is compared with steps of one model, by `train_on_batch`: it is set back
before each.
"""

import keras
import numpy as np

from pairwise import building
from pairwise.building import RATE

__all__ = ["check_regulariser", "check_termination", "check_weights"]

# Enough to be seen beside the rounding of float32, and of gradients in 16 bits.
L2 = 0.5


def check_weights(case: dict, found) -> None:
    """Check that weights matter, that those of 0 leave nothing, and that classes are weighed."""
    case = _simple(case)
    data = building.data_of(case, 1)
    weighted = []
    with found.of("weights matter"):
        model = building.build(case, made_by=_plain_sgd)
        model.run_eagerly = True
        initial = building.state_of(model)
        # In the way of the case; the others not, so that the ways are compared as well.
        building.train(model, case, data, epochs=1)
        weighted = [network.get_weights() for network in model.networks]
        if case["strategy"] == "mirrored":
            # The others give each replica the whole batch, where `fit` gives it a part.
            weighted = _after_a_batch(model, initial, data)
        plain = building.data_of({**case, "weighting": "none"}, 1)
        plain = _after_a_batch(model, initial, plain)
        for i, (one, other) in enumerate(zip(weighted, plain, strict=True)):
            # A generator sees no data in its first step but through the energy.
            assert _distance(one, other) > 1e-5, f"network {i} trains as without weights"
    if not weighted:
        return
    with found.of("weight 0 leaves nothing"):
        other = building.data_of(case, 1)
        other.x[other.weights == 0] += 0.75
        after = _after_a_batch(model, initial, other)
        for i, (one, two) in enumerate(zip(weighted, after, strict=True)):
            assert _distance(one, two) < 1e-6, f"network {i}: {_distance(one, two):.1e}"
    with found.of("equal weights are none"):
        equal = building.data_of({**case, "weighting": "sample_weight"}, 1)
        equal.sample_weight = np.full(len(equal.x), 2.0, np.float32)
        for one, other in zip(_after_a_batch(model, initial, equal), plain, strict=True):
            assert _distance(one, other) < 1e-6, f"{_distance(one, other):.1e}"
    if case["weighting"] == "class_weight":
        with found.of("class_weight is sample_weight"):
            other = building.data_of(case, 1)
            other.sample_weight, other.class_weight = other.weights, None
            for one, two in zip(weighted, _after_a_batch(model, initial, other), strict=True):
                assert _distance(one, two) < 1e-6, f"{_distance(one, two):.1e}"


def check_regulariser(case: dict, found) -> None:
    """Check that λ‖W‖² of a network takes 2·λ·rate·W from its kernels in the first step."""
    case = _simple(case)
    with found.of("regulariser"):
        data = building.data_of(case, 1)
        model = building.build(case, l2=(L2, L2), made_by=_plain_sgd)
        model.run_eagerly = True
        initial = building.state_of(model)
        before = [network.get_weights() for network in model.networks]
        _set_regularisers(model, [0.0, 0.0])
        plain = _after_a_batch(model, initial, data)
        for i in range(len(before)):
            _set_regularisers(model, [L2 * (i == j) for j in range(2)])
            after = _after_a_batch(model, initial, data)
            for start, one, other in zip(before[i], after[i], plain[i], strict=True):
                if start.ndim > 1:
                    np.testing.assert_allclose(
                        one - other, -2.0 * L2 * RATE * start, rtol=1e-2, atol=1e-5,
                        err_msg=f"network {i}",
                    )  # fmt: skip


def check_termination(case: dict, found) -> None:
    """Check that a training whose weights are beyond all bounds ends early."""
    with found.of("termination"):
        case = {**_simple(case), "optimizer": "sgd"}
        model = building.build(case, made_by=lambda case: keras.optimizers.SGD(1e36))
        steps = []
        watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: steps.append(b))
        data = building.data_of(case, 3)
        given = [keras.callbacks.TerminateOnNaN(), watch]
        building.train(model, case, data, callbacks=given)
        assert len(steps) < 3 * building.EPOCHS, "was not ended"


def _simple(case: dict) -> dict:
    """Return a case without what keeps a step of SGD from being one, run eagerly."""
    steps = "train_on_batch" if case["steps"] == "train_on_batch" else "run_eagerly"
    return {
        **case, "steps": steps, "callback": "none", "average": "none", "accumulation": 1,
        "optimizer": "sgd", "validation": "no",
    }  # fmt: skip


def _after_a_batch(model, initial: dict, data) -> list:
    """Return the weights of each network after one step from a state, run eagerly."""
    building.set_state(model, initial)
    (batch,) = data.batches()
    model.train_on_batch(**batch)
    return [network.get_weights() for network in model.networks]


def _set_regularisers(model, l2: list) -> None:
    for network, factor in zip(model.networks, l2, strict=False):
        for weight in network.trainable_variables:
            if weight.regularizer is not None:
                weight.regularizer.l2 = factor


def _plain_sgd(case: dict):
    sgd = keras.optimizers.SGD(RATE)
    if case["policy"] != "mixed_float16":
        return sgd
    # A first step that is skipped would show nothing.
    return keras.optimizers.LossScaleOptimizer(sgd, initial_scale=16.0)


def _distance(one: list, other: list) -> float:
    return max(np.abs(a - b).max() for a, b in zip(one, other, strict=True))
