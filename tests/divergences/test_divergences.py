"""Divergences against their definitions, computed with 60 decimal digits."""

from decimal import Decimal, getcontext, localcontext

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tf_febm import divergences

getcontext().prec = 60


def d(x) -> Decimal:
    return Decimal(float(x))


def alpha_generator(a):
    a = d(a)
    return lambda u: (u**a - 1 - a * (u - 1)) / (a * (a - 1))


def alpha_slope(a):
    a = d(a)
    return lambda u: (u ** (a - 1) - 1) / (a - 1)


# name -> (f, f', second derivative f'') in exact arithmetic, from the textbook.
TRUTH = {
    "kl": (lambda u: u * u.ln(), lambda u: u.ln() + 1, lambda u: 1 / u),
    "reverse_kl": (lambda u: -u.ln(), lambda u: -1 / u, lambda u: 1 / u**2),
    "js": (
        lambda u: -(u + 1) * ((u + 1) / 2).ln() + u * u.ln(),
        lambda u: (2 * u / (u + 1)).ln(),
        lambda u: 1 / (u * (u + 1)),
    ),
    "squared_hellinger": (
        lambda u: (u.sqrt() - 1) ** 2,
        lambda u: 1 - 1 / u.sqrt(),
        lambda u: 1 / (2 * u * u.sqrt()),
    ),
    "pearson_chi2": (lambda u: (u - 1) ** 2, lambda u: 2 * (u - 1), lambda u: Decimal(2)),
    "neyman_chi2": (lambda u: (1 - u) ** 2 / u, lambda u: 1 - 1 / u**2, lambda u: 2 / u**3),
    **{
        f"alpha:{a}": (alpha_generator(a), alpha_slope(a), lambda u, a=a: u ** (d(a) - 2))
        for a in (-1.0, -0.5, 0.1, 0.5, 0.9, 2.0, 3.5)
    },
}
GRID = np.unique(
    np.concatenate(
        [
            np.linspace(-10, 10, 81),
            [-50, -35, -20, 20, 35, 50, 0.999, 1.001],
            [s * 10.0**-k for s in (-1, 1) for k in (1, 2, 3, 5)],
        ]
    ).astype(np.float32)
)
FLOAT32_MAX = Decimal(float(np.finfo(np.float32).max))


def exact(name, which, r):
    f, slope, curvature = TRUTH[name]
    u = d(r).exp()
    return {
        "generator": lambda: f(u),
        "derivative": lambda: slope(u),
        "conjugate": lambda: u * slope(u) - f(u),
        # First derivatives with respect to r.
        "d_generator": lambda: u * slope(u),
        "d_derivative": lambda: u * curvature(u),
        "d_conjugate": lambda: u * u * curvature(u),
    }[which]()


def assert_exact(name, which, values, rtol):
    for r, value in zip(GRID, values, strict=True):
        truth = exact(name, which, r)
        assert not np.isnan(value), (name, which, r)
        if abs(truth) > FLOAT32_MAX:
            assert abs(value) >= 0.99 * float(FLOAT32_MAX), (name, which, r)
            assert np.sign(value) == np.sign(float(truth))
        elif abs(truth) < Decimal("1e-37"):
            assert abs(value) < 1e-36, (name, which, r)
        else:
            assert abs(d(value) - truth) <= d(rtol) * abs(truth), (name, which, r, value, truth)


def test_every_registered_name_has_a_truth():
    assert set(divergences.names()) <= set(TRUTH)


@pytest.mark.parametrize("name", TRUTH)
@pytest.mark.parametrize("which", ["generator", "derivative", "conjugate"])
def test_values_and_gradients_in_float32(name, which):
    r = tf.constant(GRID)
    function = getattr(divergences.get(name), which)
    with tf.GradientTape() as tape:
        tape.watch(r)
        value = function(r)
    assert value.dtype == tf.float32
    assert_exact(name, which, value.numpy(), 1e-5)
    assert_exact(name, f"d_{which}", tape.gradient(value, r).numpy(), 1e-5)
    # A compiled graph may multiply by a reciprocal: one rounding apart, not more.
    np.testing.assert_allclose(tf.function(function)(r), value, rtol=2.0**-22)


@pytest.mark.parametrize("name", TRUTH)
def test_float64_is_as_exact_as_float64(name):
    divergence = divergences.get(name)
    for r in (-40.0, -3.0, -0.25, 0.25, 3.0, 40.0):
        for which in ("generator", "derivative", "conjugate"):
            value = getattr(divergence, which)(np.float64(r))
            assert value.dtype == tf.float64
            assert float(value) == pytest.approx(float(exact(name, which, r)), rel=1e-12)


@pytest.mark.parametrize("name", TRUTH)
def test_half_precision_keeps_its_dtype_and_accuracy(name):
    for dtype, rtol in ((tf.bfloat16, 2.0**-8), (tf.float16, 2.0**-10)):
        r = tf.constant([-2.0, -0.5, 0.25, 1.5], dtype)
        value = divergences.get(name).conjugate(r)
        truth = [float(exact(name, "conjugate", x)) for x in r.numpy()]
        assert value.dtype == dtype
        np.testing.assert_allclose(tf.cast(value, tf.float64), truth, rtol=rtol)


@pytest.mark.parametrize("name", TRUTH)
def test_no_nan_far_outside_the_promised_range(name):
    r = tf.constant([-1e4, -800.0, -100.0, 100.0, 800.0, 1e4])
    for which in ("generator", "derivative", "conjugate"):
        for dtype in (tf.float32, tf.float64):
            value = getattr(divergences.get(name), which)(tf.cast(r, dtype))
            assert not np.isnan(value.numpy()).any(), (which, dtype)


@pytest.mark.parametrize("name", TRUTH)
def test_the_conjugate_is_the_legendre_transform(name):
    """f*(t) = max_u (t u − f(u)), searched on a fine grid around the maximiser."""
    f, slope, _ = TRUTH[name]
    for r in (-1.5, 0.4, 1.2):
        t, peak = slope(d(r).exp()), d(r)
        around = [(peak + d(k) / 1000).exp() for k in range(-40, 41)]
        best = max(t * u - f(u) for u in around)
        value = float(divergences.get(name).conjugate(np.float64(r)))
        assert value == pytest.approx(float(best), abs=1e-9)


def test_agrees_with_tensorflow_probability():
    """tfp.vi's functions of log u; where its normalisation is f(1) = f'(1) = 0, so is alpha's."""
    r = tf.constant(np.linspace(-5, 5, 41))
    pairs = {
        "kl": tfp.vi.kl_forward,
        "reverse_kl": tfp.vi.kl_reverse,
        "squared_hellinger": tfp.vi.squared_hellinger,
        "pearson_chi2": tfp.vi.pearson,
        "js": lambda log_u: tfp.vi.jensen_shannon(log_u, self_normalized=True),
    }
    for name, theirs in pairs.items():
        np.testing.assert_allclose(
            divergences.get(name).generator(r), theirs(r), rtol=1e-9, atol=1e-9, err_msg=name
        )


def test_closed_form_between_gaussians():
    """E_q[f(p/q)] by Gauss–Hermite quadrature against closed forms for two Gaussians."""
    m, s = 0.3, 0.9  # p = N(m, s²), q = N(0, 1)
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    r = -0.5 * ((nodes - m) / s) ** 2 - np.log(s) + 0.5 * nodes**2
    bhattacharyya = np.sqrt(2 * s / (1 + s**2)) * np.exp(-0.25 * m**2 / (1 + s**2))
    closed = {
        "kl": -np.log(s) + (s**2 + m**2 - 1) / 2,
        "reverse_kl": np.log(s) + (1 + m**2) / (2 * s**2) - 0.5,
        "squared_hellinger": 2 - 2 * bhattacharyya,
    }
    for name, value in closed.items():
        estimate = np.sum(weights * divergences.get(name).generator(r).numpy())
        assert estimate == pytest.approx(value, rel=1e-9), name


def test_reverse_kl_is_kl_of_the_swapped_ratio():
    r = np.linspace(-4, 4, 17)
    swapped = np.exp(r) * divergences.get("kl").generator(-r).numpy()
    np.testing.assert_allclose(divergences.get("reverse_kl").generator(r), swapped, rtol=1e-12)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("KL", "kl"),
        ("Jensen-Shannon", "js"),
        ("jensen_shannon", "js"),
        ("Jensen–Shannon", "js"),
        ("reverse KL", "reverse_kl"),
        ("pearson_x2", "pearson_chi2"),
        ("neyman_x2", "neyman_chi2"),
        ("squared-hellinger", "squared_hellinger"),
        ("alpha:0", "reverse_kl"),
        ("alpha:1.0", "kl"),
        ("ALPHA:-0.5", "alpha:-0.5"),
    ],
)
def test_spellings(spelling, name):
    assert divergences.get(spelling).name == name


@pytest.mark.parametrize(
    "bad", ["tv", "", "alpha:", "alpha:nan", "alpha:inf", "alpha:x", "alpha:1e-40", "alpha:1e39"]
)
def test_unknown_names_are_named(bad):
    with pytest.raises(ValueError) as caught:
        divergences.get(bad)
    assert repr(bad) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_get_takes_an_instance_and_nothing_else():
    js = divergences.get("js")
    assert divergences.get(js) is js
    with pytest.raises(TypeError, match="received 3"):
        divergences.get(3)


def test_integer_ratios_are_refused():
    with pytest.raises(TypeError, match="int32"):
        divergences.get("js").derivative([1, 2])


def test_alpha_near_its_limits_approaches_them():
    """Up to the linear term that no divergence sees: α → 1 gives u log u − (u − 1)."""
    r = np.linspace(-3, 3, 13)
    near_one, near_zero = divergences.get("alpha:0.999999"), divergences.get("alpha:1e-6")
    np.testing.assert_allclose(near_one.derivative(r), r, atol=1e-5)
    np.testing.assert_allclose(near_one.conjugate(r), np.expm1(r), rtol=1e-4)
    np.testing.assert_allclose(near_zero.conjugate(r), r, atol=1e-5)
    np.testing.assert_allclose(near_zero.derivative(r), -np.expm1(-r), rtol=1e-4)


class TestClipped:
    def test_repeats_the_published_value(self):
        """f' of Jensen–Shannon at r = 10 is 5.69 with exponents clipped to ±5, 0.693 without."""
        clipped = divergences.get("js", log_ratio_clip=5.0)
        assert float(clipped.derivative(10.0)) == pytest.approx(5.6864, abs=1e-4)
        assert float(divergences.get("js").derivative(10.0)) == pytest.approx(0.6931, abs=1e-4)

    @pytest.mark.parametrize("name", TRUTH)
    def test_changes_nothing_inside_the_limit(self, name):
        r = np.linspace(-1.2, 1.2, 25)
        plain, clipped = divergences.get(name), divergences.get(name, log_ratio_clip=5.0)
        np.testing.assert_allclose(clipped.derivative(r), plain.derivative(r), atol=1e-12)
        np.testing.assert_allclose(clipped.conjugate(r), plain.conjugate(r), atol=1e-12)

    @pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
    def test_refuses_other_limits(self, limit):
        with pytest.raises(ValueError, match="log_ratio_clip"):
            divergences.get("js", log_ratio_clip=limit)


class TestFromGenerator:
    GENERATORS = {
        "kl": lambda u: u * tf.math.log(u),
        "reverse_kl": lambda u: -tf.math.log(u),
        "js": lambda u: -(u + 1) * tf.math.log((u + 1) / 2) + u * tf.math.log(u),
        "squared_hellinger": lambda u: (tf.sqrt(u) - 1) ** 2,
        "pearson_chi2": lambda u: (u - 1) ** 2,
        "neyman_chi2": lambda u: (1 - u) ** 2 / u,
        "alpha:3.5": lambda u: (u**3.5 - 1 - 3.5 * (u - 1)) / (3.5 * 2.5),
    }

    @pytest.mark.parametrize("name", GENERATORS)
    def test_agrees_with_the_closed_form(self, name):
        made = divergences.from_generator(self.GENERATORS[name], name="made")
        known = divergences.get(name)
        r = tf.constant(np.linspace(-20, 20, 81), tf.float32)
        for which in ("derivative", "conjugate"):
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(r)
                ours, theirs = getattr(made, which)(r), getattr(known, which)(r)
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
            # First derivatives are promised up to r = 10.
            np.testing.assert_allclose(
                tape.gradient(ours, r)[:61], tape.gradient(theirs, r)[:61], rtol=1e-5, atol=1e-9
            )
        np.testing.assert_allclose(made.generator(r), known.generator(r), rtol=1e-5, atol=1e-6)

    def test_le_cam_against_exact_arithmetic(self):
        made = divergences.from_generator(lambda u: (u - 1) ** 2 / (u + 1), name="le_cam")
        for r in np.linspace(-50, 20, 71):
            u = d(r).exp()
            with localcontext() as context:
                context.prec = 80
                slope = (u - 1) * (u + 3) / (u + 1) ** 2
                truth = u * slope - (u - 1) ** 2 / (u + 1)
            assert float(made.derivative(np.float32(r))) == pytest.approx(float(slope), rel=1e-5)
            assert float(made.conjugate(np.float32(r))) == pytest.approx(
                float(truth), rel=1e-5, abs=1e-7
            )

    def test_closed_forms_reach_further(self):
        made = divergences.from_generator(
            lambda u: (u - 1) ** 2 / (u + 1),
            name="le_cam",
            conjugate=lambda r: 4 * tf.math.sigmoid(r) ** 2 - 1,
        )
        assert float(made.conjugate(50.0)) == pytest.approx(3.0, rel=1e-6)

    def test_wrong_closed_form_is_refused(self):
        with pytest.raises(ValueError, match="conjugate given for 'kl2' disagrees"):
            divergences.from_generator(
                lambda u: u * tf.math.log(u), name="kl2", conjugate=lambda r: tf.exp(2 * r)
            )

    @pytest.mark.parametrize(
        ("generator", "message"),
        [
            (lambda u: 0.5 * tf.abs(u - 1), "not strictly convex"),
            (lambda u: u**2, r"f\(1\) = 0; f\(1\) is 1"),
            (lambda u: u - 1, "not strictly convex"),
            (lambda u: -((u - 1) ** 2), "not strictly convex"),
            (lambda u: tf.maximum(u - 1, 0.0) ** 2, "not strictly convex"),
            (lambda u: tf.sqrt(u - 1), "not finite"),
            (lambda u: tf.constant(0.0, tf.float64), "elementwise"),
            (lambda u: tf.reduce_sum((u - 1) ** 2), "elementwise"),
            (lambda u: u + tf.constant(1.0, tf.float32), "float64"),
        ],
    )
    def test_rejects_what_is_no_generator(self, generator, message):
        with pytest.raises(ValueError, match=message):
            divergences.from_generator(generator, name="bad")

    def test_rejects_what_is_no_function(self):
        with pytest.raises(TypeError, match="received 'kl'"):
            divergences.from_generator("kl", name="bad")

    def test_works_clipped(self):
        made = divergences.from_generator(lambda u: u * tf.math.log(u), name="made")
        value = divergences.get(made, log_ratio_clip=5.0).conjugate(9.0)
        assert float(value) == pytest.approx(np.exp(5.0), rel=1e-6)


class TestRegister:
    def test_alpha_keeps_all_digits_in_its_name(self):
        for order in (1.2345678901, 0.1, 2.0, -0.5):
            divergence = divergences.get(f"alpha:{order!r}")
            assert float(divergence.name.removeprefix("alpha:")) == order
            assert divergences.is_known(divergence)
            assert divergences.is_known(divergence.clipped(5.0))

    def test_a_namesake_is_not_known(self):
        made = divergences.from_generator(lambda u: (u - 1) ** 2 / (u + 1), name="js")
        assert divergences.is_known(divergences.get("js"))
        assert not divergences.is_known(made)
        with pytest.raises(TypeError, match="name must be a string; received None"):
            divergences.from_generator(lambda u: (u - 1) ** 2, name=None)

    def test_registered_names_are_found(self, monkeypatch):
        monkeypatch.setattr(divergences.base, "_REGISTRY", dict(divergences.base._REGISTRY))
        monkeypatch.setattr(divergences.base, "_ALIASES", dict(divergences.base._ALIASES))
        made = divergences.from_generator(lambda u: (u - 1) ** 2 / (u + 1), name="my_le_cam")
        divergences.register(made, aliases=("Vincze-Le Cam",))
        assert divergences.get("vincze le cam") is made
        assert "my_le_cam" in divergences.names()

    def test_taken_names_are_refused(self):
        made = divergences.from_generator(lambda u: (u - 1) ** 2, name="Pearson")
        with pytest.raises(ValueError, match="'pearson' is taken"):
            divergences.register(made)
