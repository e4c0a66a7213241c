"""Toy datasets: densities against quadrature, closed forms, scikit-learn, and their own samples."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from sklearn.datasets import make_moons, make_swiss_roll

from tf_febm import data
from tf_febm.data import toy_datasets

COUNT = 10_000
# Fine cells along a side of those in which samples are counted.
BLOCK = 4


def densities_on_grid(bed):
    (low, high), step = bed.box, bed.step
    axis = low + step * (np.arange(round((high - low) / step)) + 0.5)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    return axis, step, np.exp(bed.log_prob(points)).reshape(len(axis), len(axis))


@pytest.fixture(scope="module", params=toy_datasets.names())
def bed(request):
    return toy_datasets.get(request.param)


@pytest.fixture(scope="module")
def gridded(bed):
    return densities_on_grid(bed)


def test_every_density_integrates_to_one(bed, gridded):
    _, step, density = gridded
    # Midpoint rule: exact to rounding for the Gaussians and the aligned squares, and to 1.4e-8 for
    # the pinwheel's bent arms.
    assert density.sum() * step**2 == pytest.approx(1.0, abs=1e-6)


@pytest.fixture(scope="module")
def samples(bed):
    return bed.sample(COUNT, seed=3).astype(np.float64)


def test_samples_follow_the_density(gridded, samples):
    """Chi-squared over cells of a coarse board, all that expect fewer than 5 samples as one."""
    axis, step, density = gridded
    size = len(axis) // BLOCK * BLOCK
    edges = np.append(axis[:size:BLOCK] - step / 2, axis[size - 1] + step / 2)
    blocks = density[:size, :size].reshape(size // BLOCK, BLOCK, size // BLOCK, BLOCK)
    blocks = blocks.sum((1, 3)) * step**2
    counts = np.histogram2d(*samples.T, bins=(edges, edges))[0]
    expected = COUNT * blocks
    likely = expected >= 5.0
    observed = np.append(counts[likely], COUNT - counts[likely].sum())
    wanted = np.append(expected[likely], COUNT - expected[likely].sum())
    observed, wanted = (v[wanted > 5.0] for v in (observed, wanted))
    assert len(wanted) > 20
    assert observed.sum() > 0.8 * COUNT
    # One toy dataset in 10⁴ would fail by chance, with this fixed seed none does.
    statistic = np.sum(np.square(observed - wanted) / wanted)
    assert scipy.stats.chi2.sf(statistic, len(wanted) - 1) > 1e-4


def test_marginals_follow_the_density(gridded, samples):
    axis, step, density = gridded
    for coordinate in (0, 1):
        marginal = density.sum(axis=1 - coordinate) * step**2
        cumulative = np.append(0.0, np.cumsum(marginal))
        edges = np.append(axis - step / 2, axis[-1] + step / 2)
        # Exact at the edges of cells; between them off by less than the cell's mass.
        distance = scipy.stats.kstest(
            samples[:, coordinate], lambda x, e=edges, c=cumulative: np.interp(x, e, c)
        ).statistic
        # The 1e-4 quantile of the KS distance is 2.2/√n, 0.022; interpolation adds at most a
        # quarter of the largest cell's mass.
        assert distance < 0.022 + 0.25 * marginal.max()


def test_samples_are_seeded_and_fewer_are_the_first_of_more(bed):
    first = bed.sample(50, seed=1)
    assert first.shape == (50, 2) and first.dtype == np.float32
    np.testing.assert_array_equal(first, bed.sample(5001, seed=1)[:50])
    assert not np.array_equal(first, bed.sample(50, seed=2))


def test_the_box_holds_all_samples(bed, samples):
    low, high = bed.box
    assert samples.min() > low and samples.max() < high
    assert (high - low) / bed.step == pytest.approx(round((high - low) / bed.step))


@pytest.mark.parametrize(("name", "count"), [("25gaussians", 25), ("8gaussians", 8)])
def test_mixtures_are_those_of_the_published_code(name, count):
    bed = toy_datasets.get(name)
    assert len(bed.modes) == count
    if count == 25:
        places = {(2 * i / 2.828, 2 * j / 2.828) for i in range(-2, 3) for j in range(-2, 3)}
        assert {tuple(mode) for mode in bed.modes} == places
        assert bed.mode_scale == 0.05 / 2.828
    else:
        np.testing.assert_allclose(np.hypot(*bed.modes.T), 2.0 / 1.414)
        np.testing.assert_allclose(np.sort(np.linalg.norm(bed.modes - bed.modes[0], axis=1))[1],
                                   2 * 2.0 / 1.414 * math.sin(math.pi / 8))  # fmt: skip
    x = bed.modes[:3] + 1.5 * bed.mode_scale
    one = scipy.stats.multivariate_normal(np.zeros(2), bed.mode_scale**2)
    expected = np.log(np.mean([one.pdf(x - mode) for mode in bed.modes], axis=0))
    np.testing.assert_allclose(bed.log_prob(x), expected, rtol=1e-10)


def swiss(t):
    return np.array([t * np.cos(t), t * np.sin(t)]) / 5.0


CURVES = {
    "swiss_roll": [(swiss, 1.5 * math.pi, 4.5 * math.pi)],
    "moons": [
        (lambda t: np.array([np.cos(t), np.sin(t)]), 0.0, math.pi),
        (lambda t: np.array([1 - np.cos(t), 0.5 - np.sin(t)]), 0.0, math.pi),
    ],
}
NOISE = {"swiss_roll": 0.2, "moons": 0.1}


@pytest.mark.parametrize("name", CURVES)
def test_curves_against_adaptive_quadrature(name):
    bed, scale = toy_datasets.get(name), NOISE[name]
    rng = np.random.default_rng(0)
    points = bed.sample(6, seed=9).astype(np.float64) + rng.normal(0, 0.1, (6, 2))
    for x, log_prob in zip(points, bed.log_prob(points), strict=True):
        total = 0.0
        for centre, low, high in CURVES[name]:
            value, _ = scipy.integrate.quad(
                lambda t, c=centre, x=x: math.exp(-0.5 * np.sum((x - c(t)) ** 2) / scale**2),
                low, high, limit=400, epsabs=1e-13, points=np.linspace(low, high, 30)[1:-1],
            )  # fmt: skip
            total += value / (high - low) / len(CURVES[name])
        assert math.exp(log_prob) == pytest.approx(total / (2 * math.pi * scale**2), abs=1e-8)


@pytest.mark.parametrize("name", CURVES)
def test_curves_are_those_of_scikit_learn(name):
    if name == "moons":
        theirs = make_moons(COUNT, noise=0.1, random_state=0)[0]
    else:
        theirs = make_swiss_roll(COUNT, noise=1.0, random_state=0)[0][:, [0, 2]] / 5.0
    ours = toy_datasets.get(name).sample(COUNT, seed=5)
    # Two marginals and two diagonals; a p-value below 1e-4 is not expected of four.
    for direction in ((1, 0), (0, 1), (1, 1), (1, -1)):
        assert scipy.stats.ks_2samp(ours @ direction, theirs @ direction).pvalue > 1e-4


def test_checkerboard_in_closed_form():
    bed = toy_datasets.get("checkerboard")
    x = np.array([[-1.5, -1.5], [-1.5, -0.5], [0.5, 0.5], [0.5, 1.5], [1.5, 1.5], [2.5, 0.5]])
    eighth = -math.log(8.0)
    np.testing.assert_allclose(
        bed.log_prob(x), [eighth, -np.inf, eighth, -np.inf, eighth, -np.inf], rtol=1e-12
    )


def test_rings_in_closed_form():
    bed = toy_datasets.get("rings")
    x = np.array([[0.6, 0.8], [0.0, -1.45], [0.3, 0.4], [-1.0, 1.7]])
    r = np.linalg.norm(x, axis=1)
    radial = np.mean([scipy.stats.norm(k / 2, 0.05).pdf(r) for k in (1, 2, 3, 4)], axis=0)
    np.testing.assert_allclose(np.exp(bed.log_prob(x)), radial / (2 * math.pi * r), rtol=1e-9)
    assert np.isfinite(bed.log_prob(np.zeros((1, 2)))).all()


def test_pinwheel_by_hand():
    """A point on an arm's axis, bent by the swirl, has the arm's density."""
    bed = toy_datasets.get("pinwheel")
    straight = np.array([1.2, 0.03])
    angle = 0.25 * math.exp(np.linalg.norm(straight))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    total = 0.0
    for k in range(5):
        a = -2 * math.pi * k / 5
        back = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]]) @ straight
        total += scipy.stats.norm(1, 0.3).pdf(back[0]) * scipy.stats.norm(0, 0.05).pdf(back[1]) / 5
    assert bed.log_prob((turn @ straight)[None]) == pytest.approx(math.log(total), rel=1e-9)


def test_splits_are_different_points():
    train, test = (data.load("moons", split=split) for split in ("train", "test"))
    assert len(train) == 50_000 and len(test) == 10_000
    assert not np.array_equal(train.vectors[:100], test.vectors[:100])


def test_refuses():
    with pytest.raises(ValueError, match="Unknown toy dataset name 'moon'; accepted: 25gaussians"):
        toy_datasets.get("moon")
    bed = toy_datasets.get("moons")
    with pytest.raises(ValueError, match=r"shape \[n, 2\]; received \[3\]"):
        bed.log_prob(np.zeros(3))
    with pytest.raises(ValueError, match="count must be a whole number ≥ 1; received 0"):
        bed.sample(0)
