"""Inpainting: known pixels to the bit, unknown ones by the conditional law."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import networks
from tf_febm.applications import inpaint
from tf_febm.samplers import HMC, Langevin, Preconditioned

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
    images = np.full((3, 4, 4, 2), 3.0)
    filled = inpaint(model, images, known, seed=1)
    np.testing.assert_array_equal(filled == 3.0, np.broadcast_to(known, images.shape))


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


# --- energies relative to a Gaussian ------------------------------------------------------------


class LinearEnergy(keras.layers.Layer):
    """f(x) = Σ x, or with labels twice the label's number times that."""

    def call(self, inputs):
        x, one_hot = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        total = tf.reduce_sum(tf.reshape(x, [tf.shape(x)[0], -1]), axis=1, keepdims=True)
        return total if one_hot is None else 2.0 * total * one_hot[:, 1:]


class NoEnergy(LinearEnergy):
    """f = 0."""

    def call(self, inputs):
        return 0.0 * super().call(inputs)


def smooth_images(count, side=6):
    """Images whose neighbouring pixels are nearly equal: a covariance of condition some 1e4."""
    noise = np.random.default_rng(0).standard_normal((count, side + 4, side + 4, 1))
    for axis in (1, 2):
        kept = [np.roll(noise, shift, axis) for shift in range(-2, 3)]
        noise = np.sum(kept, axis=0)
    return (0.5 + 0.02 * noise[:, 2:-2, 2:-2]).astype(np.float32)


def vectors(count):
    mixing = np.random.default_rng(1).standard_normal((5, 5))
    return np.random.default_rng(0).standard_normal((count, 5)) @ mixing + 3.0


def conditional(reference, known, given):
    """Return mean and covariance of the unknown coordinates of N(μ, Σ), by Σ itself, in NumPy."""
    shape = reference.sample_shape
    size = int(np.prod(shape))
    mean = reference.color(tf.zeros([1, *shape], tf.float64)).numpy().ravel()
    unit = tf.reshape(tf.eye(size, dtype=tf.float64), [size, *shape])
    root = reference.color(unit).numpy().reshape(size, size) - mean
    covariance = root.T @ root
    k, u = known.ravel(), ~known.ravel()
    gain = covariance[np.ix_(u, k)] @ np.linalg.inv(covariance[np.ix_(k, k)])
    m = mean[u] + gain @ (given.ravel()[k] - mean[k])
    return m, covariance[np.ix_(u, u)] - gain @ covariance[np.ix_(k, u)]


def relative(data, covariance="auto", energy=NoEnergy, sampler=None, classes=None):
    reference = networks.GaussianReference(covariance).adapt(data)
    model = tf_febm.ContrastiveDivergence(
        energy(),
        sampler=sampler or Langevin.exponential(0.15, 4),
        reference=reference,
        num_classes=classes,
        seed=3,
    )
    model.build((None, *data.shape[1:]))
    return model, reference


def check_law(filled, known, mean, covariance):
    """The filled values have a mean and covariance, in units in which that is the identity."""
    found = filled.reshape(len(filled), -1)[:, ~known.ravel()].astype(np.float64)
    white = np.linalg.solve(np.linalg.cholesky(covariance), (found - mean).T)
    error = 1.0 / np.sqrt(len(found))
    assert np.abs(white.mean(axis=1)).max() < 5 * error
    assert np.abs(white @ white.T / len(found) - np.eye(len(white))).max() < 5 * 2**0.5 * error


@pytest.mark.parametrize("kind", ["spectral", "full", "low_rank", "diagonal"])
def test_a_gaussian_is_filled_in_by_its_conditional_law(kind):
    """400 steps, whatever is known; chains in the units of the whole law ran away."""
    data = smooth_images(400) if kind == "spectral" else vectors(400)
    model, reference = relative(data, kind)
    known = np.random.default_rng(2).random(data.shape[1:]) < 0.6
    if kind == "spectral":
        # Pixels whose neighbours are all known hardly vary: some 300 times less than alone.
        known = (np.indices((6, 6, 1)).sum(axis=0) % 2) == 0
    given = np.repeat(data[:1], 4000, axis=0)
    filled = inpaint(model, np.where(known, given, np.nan), known, seed=1, num_steps=400)
    np.testing.assert_array_equal(filled[:, known], given[:, known])
    check_law(filled, known, *conditional(reference, known, data[0]))


def test_every_image_its_own_mask_and_known_values():
    data = vectors(400)
    model, reference = relative(data)
    masks = np.array([[1, 1, 0, 0, 1], [0, 0, 0, 1, 0], [0] * 5, [1] * 5], bool)
    known, images = np.tile(masks, (1500, 1)), np.tile(data[:4], (1500, 1))
    filled = inpaint(model, images, known, seed=1, num_steps=30)
    for i, mask in enumerate(masks[:3]):
        check_law(filled[i::4], mask, *conditional(reference, mask, data[i]))
    np.testing.assert_array_equal(filled[3::4], images[3::4])


@pytest.mark.parametrize("label", [None, 0, 1])
def test_a_linear_energy_moves_the_conditional_mean(label):
    """e^(−c Σx) takes c C·1 from the mean of N(m, C); with labels, of which 0 has c = 0."""
    data = vectors(400)
    classes = None if label is None else 2
    model, reference = relative(data, energy=LinearEnergy, sampler=HMC(0.3, 5, 60), classes=classes)
    known = np.array([True, False, True, False, False])
    images, labels = np.repeat(data[:1], 4000, axis=0), None
    if label is not None:
        labels = np.full(4000, label)
    filled = inpaint(model, images, known, labels, seed=1)
    mean, covariance = conditional(reference, known, data[0])
    factor = 1.0 if label is None else 2.0 * label
    check_law(filled, known, mean - factor * covariance.sum(axis=1), covariance)


def test_preconditioned_chains_of_a_whole_energy(gaussian):
    """E = ½ xᵀAx, by a reference that is not its own: the law is that of A."""
    sampler = Preconditioned(
        HMC(0.3, 5, 60), networks.GaussianReference.from_moments([0.0, 1.0], [1.0, 2.0])
    )
    model = gaussian((2,), precision=A, sampler=sampler)
    images = np.tile([1.5, np.nan], (4000, 1))
    filled = inpaint(model, images, [True, False], seed=1)
    check_law(filled, np.array([True, False]), np.array([-0.9]), np.array([[0.5]]))


def test_too_many_unknown_values_are_refused(monkeypatch):
    monkeypatch.setattr("tf_febm.applications.conditional_law.MAX_UNKNOWN", 3)
    model, _ = relative(vectors(40))
    with pytest.raises(ValueError, match="At most 3 values .* can be unknown.*received 4"):
        inpaint(model, vectors(2), [True, False, False, False, False])
