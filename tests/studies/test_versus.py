"""f-EBM against contrastive divergence: the paired test, the parts of a gradient, the study."""

import itertools
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import stats

from studies import mechanism, paired, versus, versus_tables, versus_variants
from tf_febm import divergences, objectives

ROW = "js, paper's"


class TestSignFlips:
    def test_against_every_flip_by_student_t(self):
        values = np.random.default_rng(3).normal(0.5, 1.0, (6, 2))

        def sizes(flipped):
            return np.abs(stats.ttest_1samp(flipped, 0.0).statistic)

        seen = sizes(values) - 1e-9
        every = [sizes(values * np.array(s)[:, None]) for s in itertools.product((1, -1), repeat=6)]
        alone, together = paired.sign_flips(values)
        np.testing.assert_allclose(alone, np.mean(every >= seen, axis=0))
        largest = np.max(every, axis=1)[:, None]
        np.testing.assert_allclose(together, np.mean(largest >= seen, axis=0))

    def test_six_of_one_sign_are_the_least_p(self):
        values = np.array([[0.1, 0.2, 0.1, 0.4, 0.3, 0.2], [0.1, 0.2, 0.1, 0.4, 0.3, -0.01]]).T
        assert paired.sign_flips(values)[0] == pytest.approx([2 / 64, 4 / 64])

    def test_power_is_that_of_six_of_one_sign(self):
        """Which with six pairs at 5 % is the test."""
        expected = stats.norm.cdf(1.8) ** 6 + stats.norm.cdf(-1.8) ** 6
        assert paired.power(0.18, 0.1, 6) == pytest.approx(expected, abs=0.02)

    @pytest.mark.parametrize("bad", [np.zeros(6), np.zeros((1, 2)), np.full((6, 1), np.nan)])
    def test_what_is_refused(self, bad):
        with pytest.raises(ValueError, match="2 to 16 rows"):
            paired.sign_flips(bad)


@pytest.mark.parametrize("name", ["kl", "reverse_kl", "js"])
def test_the_parts_of_the_gradient_are_those_of_theorem_3(name):
    rng = np.random.default_rng(0)
    x, y = (tf.constant(rng.normal(size=(n, 3)), tf.float32) for n in (8, 12))
    w = tf.Variable(rng.normal(size=3), dtype=tf.float32)
    h, g = (tf.constant(rng.normal(0.0, 0.5, size=n), tf.float32) for n in (8, 12))

    def energies():
        return tf.linalg.matvec(x, tf.sin(w)), tf.linalg.matvec(y, tf.sin(w))

    d, (e_data, e_model) = divergences.get(name), energies()
    found = mechanism.parts_of_gradient(d, energies, h + e_data, g + e_model, [w])
    expected = {}
    for kind in ("whole", "level"):
        with tf.GradientTape() as tape:
            e, f = energies()
            constant = e if kind == "level" else None
            value = objectives.energy_surrogate(d, h + e, g + f, f, energy_data=constant)
        expected[kind] = tape.gradient(value, w)
    with tf.GradientTape() as tape:
        e, f = energies()
        value = tf.reduce_mean(e) - tf.reduce_mean(f)
    expected["cd"] = tape.gradient(value, w)
    for kind, gradient in expected.items():
        np.testing.assert_allclose(found[kind], gradient, rtol=1e-4, atol=1e-6, err_msg=kind)
    # The whole is CD with these weights in the place of 1.
    slopes = np.cos(w)
    weighted = np.mean(found["on_data"][:, None] * x * slopes, axis=0)
    weighted -= np.mean(found["on_model"][:, None] * y * slopes, axis=0)
    np.testing.assert_allclose(found["whole"], weighted, rtol=1e-4, atol=1e-6)


def test_a_network_held_smooth_pays_for_its_slope_in_training_alone():
    inside = keras.Sequential([keras.Input([3]), keras.layers.Dense(1, use_bias=False)])
    inside.set_weights([np.array([[1.0], [2.0], [-3.0]])])
    held, x = versus_variants.held_smooth(inside, 0.5), tf.ones([4, 3])
    np.testing.assert_allclose(held(x), inside(x))
    assert not held.losses
    held(x, training=True)
    assert [float(loss) for loss in held.losses] == pytest.approx([0.5 * 14.0])


def test_a_mixture_is_between_its_parts():
    r = tf.constant([-2.0, 0.0, 1.5])
    mixed = versus_variants.mixed(0.25)
    for part in ("generator", "derivative", "conjugate"):
        of_kl, of_reverse = (getattr(divergences.get(n), part)(r) for n in ("kl", "reverse_kl"))
        found = getattr(mixed, part)(r)
        np.testing.assert_allclose(found, 0.25 * of_kl + 0.75 * of_reverse, rtol=1e-5, atol=1e-6)


def test_rows_stand_to_contrastive_divergence_seed_by_seed():
    def result(row, seed, ratio=None, begins="a"):
        job = {"row": row, "seed": seed}
        if ratio is None:
            return {"job": job, "failed": "not finite"}
        names = dict.fromkeys(versus_tables.QUALITY[1:], 0.5)
        digests = dict.fromkeys(versus_tables.BEGINS, f"{begins}{seed}")
        return {"job": job, "frechet_ratio": ratio, "frechet_ratio_noise": 80.0, **names, **digests}

    done = [result(versus.CD, s, ratio) for s, ratio in ((0, 10.0), (1, 20.0))]
    done += [result(versus.BASE, 0, 5.0), result(versus.BASE, 1, 5.0)]
    done += [result("kl, best", 0, 10.0), result("kl, best", 1)]
    found = versus_tables.compared(done)
    assert found[versus.BASE]["difference"] == pytest.approx(math.log(0.5 * 0.25) / 2.0)
    assert found["kl, best"]["difference"] == pytest.approx(math.log(80.0 / 20.0) / 2.0)
    assert (found["kl, best"]["failed"], found[versus.BASE]["p"]) == (1, 0.5)
    # Without families all rows are adjusted for one another.
    alone = versus_tables.compared(done, [[versus.CD, "kl, best"], [versus.BASE]])
    assert (alone["kl, best"]["p"], alone["kl, best"]["adjusted"]) == (1.0, 1.0)
    assert found["kl, best"]["adjusted"] >= alone["kl, best"]["p"]
    assert versus_tables.begins(done) == {"runs": 5, "unlike": 0}
    done[2] = result(versus.BASE, 0, 5.0, begins="b")
    assert versus_tables.begins(done)["unlike"] == len(versus_tables.BEGINS)


def test_what_is_refused(study, tmp_path):
    for flag, message in (("nonsense", "must be of"), ("reference", "must have paper")):
        code, _, errors = study("versus", f"--parts={flag}", f"--out={tmp_path}")
        assert code == 1 and message in errors


@pytest.mark.thorough
def test_two_rows_of_it(study, tmp_path, monkeypatch):
    """Of two seeds each, paired, one with looks at what drives it."""
    monkeypatch.setattr(versus, "FAST_ROWS", (versus.CD, ROW))
    monkeypatch.setattr(versus, "LOOKED_AT", (ROW,))
    monkeypatch.setattr(versus, "LOOKS", (1.0,))
    monkeypatch.setattr(versus, "_KEPT", {})
    line = ["--fast", "--parts=paper", "--processes=1", f"--out={tmp_path}"]
    code, _, errors = study("versus", *line)
    assert code == 0, errors
    written = json.loads((tmp_path / "claims.json").read_text())
    figures = written["figures"]
    assert figures["begins"]["digits"] == {"runs": 4, "unlike": 0}
    # The reduced version has one run of tuning.
    assert set(figures["tuning_runs"]["digits"].values()) == {1}
    assert figures["untouched"]
    rows = figures["compared"]["digits"]
    assert list(rows) == [versus.CD, ROW] and "p" in rows[ROW]
    look = figures["mechanism"]["digits"][ROW]["6"]
    assert 0.0 <= look["auroc"] <= 1.0 and look["norm_whole"] > 0.0
    assert ROW in versus_tables.page_table(figures)
    for name in ("versus", "mechanism"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert len(image.convert("RGB").getcolors(1 << 24)) > 50


@pytest.mark.thorough
@pytest.mark.parametrize("row, own", [(ROW, {}), ("js, warm", {"warm_share": 0.5})])
def test_what_a_traced_model_does_again_is_what_a_new_one_does(monkeypatch, row, own):
    monkeypatch.setattr(versus, "_KEPT", {})
    job = {"frame": "digits", "row": row, "rate": 1.0, **own, **versus.FRAMES["digits"]}
    job |= {**versus.FAST, "looks": False}
    versus.train({**job, "seed": 0})
    again = versus.train({**job, "seed": 1})
    versus._KEPT.clear()
    assert versus.train({**job, "seed": 1}) == again
