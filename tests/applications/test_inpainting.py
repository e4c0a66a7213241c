"""Inpainting: known pixels to the bit, unknown ones by the conditional law."""

import numpy as np
import pytest
import tensorflow as tf

from tf_febm.applications import inpaint
from tf_febm.samplers import Langevin

A = np.array([[2.0, 1.2], [1.2, 2.0]])


def test_unknown_pixels_follow_the_conditional_law(gaussian):
    """Of E = ½ xᵀAx given x₀: N(−(a₀₁/a₁₁) x₀, 1/a₁₁), up to the discretisation of the chain."""
    epsilon, count = 0.1, 20_000
    model = gaussian((2,), precision=A)
    images = np.stack([np.full(count, 1.5), np.full(count, np.nan)], axis=1)
    filled = inpaint(model, images, [True, False], seed=1, batch_size=8192)[:, 1]
    # The chain is linear: its mean is exact, its variance 1/(a(1 − εa/4)). Standard errors.
    variance = 1 / (2.0 * (1 - epsilon * 2.0 / 4))
    assert abs(filled.mean() + 0.6 * 1.5) < 5 * np.sqrt(variance / count)
    assert abs(filled.var() - variance) < 5 * variance * np.sqrt(2 / count)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_known_pixels_come_back_to_the_bit(gaussian, dtype):
    model = gaussian((4, 4, 3), sampler=Langevin(num_steps=5))
    rng = np.random.default_rng(0)
    images = rng.standard_normal((20, 4, 4, 3)).astype(dtype)
    images[0, 0, 0] = [-0.0, 1e4, np.nextafter(dtype(0.3), dtype(1))]
    known = rng.random((20, 4, 4, 3)) < 0.5
    known[0, 0, 0] = True
    given = np.where(known, images, dtype(np.nan))
    before = given.copy()
    filled = inpaint(model, given, known, seed=1, batch_size=7)
    assert filled.dtype == dtype
    assert filled[known].tobytes() == images[known].tobytes()
    assert given.tobytes() == before.tobytes()
    # The rest was filled in, inside the sampler's bounds.
    assert np.isfinite(filled).all()
    assert filled[~known].min() >= 0.0
    assert filled[~known].max() <= 1.0
    assert len(np.unique(filled[~known])) > 100


def test_the_network_never_sees_anything_else_in_known_pixels(gaussian):
    seen = []

    class Watching:
        bounds = (0.0, 1.0)

        def __call__(self, energy_fn, initial_state, seed):
            # An energy that is off its value at the given pixels would show a change here.
            values = [energy_fn(initial_state), energy_fn(initial_state + [[5.0, 0.0, 0.0]])]
            tf.py_function(lambda a, b: seen.append((a.numpy(), b.numpy())), values, [])
            return initial_state

    model = gaussian((3,), sampler=Watching())
    inpaint(model, np.zeros((4, 3)), [True, False, False], seed=1)
    ((here, there),) = seen
    np.testing.assert_array_equal(here, there)
    assert (here > 0).all()


@pytest.mark.parametrize("shape", [(3, 4, 4, 2), (4, 4, 2), (4, 4, 1), (1, 4, 1), (3, 1, 1, 1)])
def test_masks_of_one_image_of_all_and_along_axes(gaussian, shape):
    model = gaussian((4, 4, 2), sampler=Langevin(num_steps=2))
    known = np.random.default_rng(0).random(shape) < 0.5
    images = np.full((3, 4, 4, 2), 7.0)
    filled = inpaint(model, images, known, seed=1)
    np.testing.assert_array_equal(filled == 7.0, np.broadcast_to(known, images.shape))


def test_labels(gaussian):
    model = gaussian((2,), means=[[-3.0, -3.0], [3.0, 3.0]])
    images, known = np.full((400, 2), 0.0), [True, False]
    for label, mean in enumerate((-3.0, 3.0)):
        filled = inpaint(model, images, known, np.full(400, label), seed=1)
        assert abs(filled[:, 1].mean() - mean) < 0.3
    # Without labels the known pixel tells the class.
    images[:, 0] = 2.0
    assert abs(inpaint(model, images, known, seed=1)[:, 1].mean() - 3.0) < 0.3


def test_seeds_and_steps(gaussian):
    model = gaussian((3,))
    images, known = np.zeros((5, 3)), [True, False, False]
    one, again, other = (inpaint(model, images, known, seed=s, num_steps=3) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    start, further = (inpaint(model, images, known, seed=1, num_steps=n) for n in (0, 1))
    assert not np.array_equal(start, further)
    # Every batch has noise of its own.
    split = inpaint(model, images, known, seed=1, num_steps=0, batch_size=1)
    assert len(np.unique(split[:, 1])) == 5


@pytest.mark.parametrize(
    ("images", "known", "kind", "message"),
    [
        (np.zeros((2, 3)), [1, 0, 0], TypeError, "known must be boolean.*received int64"),
        (np.zeros((2, 3)), [True, False], ValueError, r"known must have .*received \(2,\)"),
        (np.zeros((2, 3)), np.ones((3, 3), bool), ValueError, r"\(2, 3\).*received \(3, 3\)"),
        (np.zeros((2, 3)), np.ones((1, 2, 3), bool), ValueError, r"received \(1, 2, 3\)"),
        (np.zeros((2, 3)), True, ValueError, r"received \(\)"),
        (np.zeros((2, 4)), [True] * 4, ValueError, r"images must have shape \('n', 3\)"),
        (np.zeros((2, 3), int), [True] * 3, TypeError, "images must be floating"),
        (np.full((2, 3), np.inf), [True] * 3, ValueError, "Known pixels must be finite"),
    ],
)
def test_it_refuses(gaussian, images, known, kind, message):
    with pytest.raises(kind, match=message):
        inpaint(gaussian((3,)), images, known)
