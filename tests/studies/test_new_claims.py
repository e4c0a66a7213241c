"""The studies of estimators, misspecified models and bounds, against what is known by hand."""

import functools
import json

import numpy as np
import pytest

from studies import bidirectional, claims, dual, estimators, methods, misspecified, plane_grid, runs
from studies.section_6_1 import MIXTURE

CELLS = 80


def test_the_gradient_is_that_of_the_divergence():
    weights, means, variances = map(np.asarray, MIXTURE)
    mean, scale = estimators.PLACES["missing"]
    first = weights @ means
    second = weights @ (variances + (means - mean) ** 2)
    expected = [(mean - first) / scale**2, 1.0 - second / scale**2]
    found = estimators.exact_gradient("kl", mean, scale)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_estimators_are_right_on_average_and_told_apart(monkeypatch):
    monkeypatch.setattr(estimators, "CHAINS", (1,))
    place, name = estimators.PLACES["missing"], "reverse_kl"
    ratio = estimators.log_ratio({"place": "missing", "ratio": "true"})
    found = estimators._estimates(name, *place, ratio, 20)
    exact = estimators.exact_gradient(name, *place)
    for kind in ("theorem_1", "exact_map", "chain_1"):
        values = np.asarray(found[kind])
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        near = np.abs(values.mean(axis=0) - exact) < 4.0 * error
        # One step from N(0, 1) is far from q.
        assert near.all() == (kind != "chain_1"), kind


class TestPlaneGrid:
    def test_the_mixture_itself_is_right_by_every_measure(self):
        cells = plane_grid.grid(CELLS)
        assert cells.p.sum() * cells.area == pytest.approx(1.0, abs=1e-3)
        found = plane_grid.judged(cells.p, "js", cells)
        assert found["covered"] == pytest.approx(1.0, abs=0.01)
        assert found["spilt"] == pytest.approx(0.01, abs=0.003)
        for name in ("divergence", "total_variation", "kl", "reverse_kl"):
            assert abs(found[name]) < 1e-9

    def test_a_component_alone_covers_no_other(self):
        cells = plane_grid.grid(CELLS)
        density = cells.p * cells.shares[:, 0]
        found = plane_grid.judged(density / density.sum() / cells.area, "kl", cells)
        assert found["covered"] < 0.05 and found["reverse_kl"] == pytest.approx(
            np.log(2.0), abs=0.05
        )

    def test_the_gaussian_of_least_kl_has_the_moments_of_the_data(self):
        """Which is so of every exponential family."""
        cells = plane_grid.grid(CELLS)
        job = {"energy": "gaussian", "divergence": "kl", "cells": CELLS, "starts": 1}
        density, values = misspecified.minimum(job)

        def moments(q):
            q = q / q.sum()
            mean = q @ cells.x
            return [*mean, *np.cov(cells.x.T, aweights=q, ddof=0).ravel()]

        np.testing.assert_allclose(moments(density), moments(cells.p), rtol=1e-3, atol=2e-3)
        exact = plane_grid.judged(density, "kl", cells)["divergence"]
        assert values[0] == pytest.approx(exact, abs=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("name", [*claims.STUDIES[3:]])
def test_the_whole_of_it_in_small(study, tmp_path, name):
    line = ["--fast", "--processes=1", f"--out={tmp_path}"]
    code, _, errors = study(name, *line)
    assert code == 0, errors
    written = json.loads((tmp_path / "claims.json").read_text())
    assert written["claims"] and list(tmp_path.glob("*.png"))
    code, output, errors = study(name, *line)
    assert code == 0 and " done in " not in output, errors


def test_too_few_iterations_overestimate_the_smallest_singular_value():
    job = {"d": 24, "size": 64, "condition": 30.0, "iterations": [2, 60]}
    few, many = bidirectional.map_error(job)["rows"]
    assert few["over_smallest"] > 1.5 and many["over_smallest"] == pytest.approx(1.0, abs=0.05)
    assert many["above"] == 0.0


def test_a_row_without_what_it_begins_with_is_refused(study, tmp_path):
    code, _, errors = study("methods", "--methods=dual_js_from_cd", f"--logdir={tmp_path}")
    assert code == 1 and "dual_js_from_cd needs contrastive_divergence" in errors


def test_a_run_that_begins_with_one_that_failed_fails(tmp_path, capsys):
    start = functools.partial(runs.make, "name", None, None, tmp_path)
    assert start(init_from=tmp_path / "none") is None
    assert "did not come to its end" in capsys.readouterr().out
    # Each start is a row of its own in the same study.
    assert {*methods.STARTS, *methods.STARTS.values()} <= {*methods.ROWS}
    assert {name for name, (_, warm) in dual.ROWS.items() if warm} == {
        "cd_from_cd", "febm_js_from_cd", "dual_js_from_cd"
    }  # fmt: skip
