"""The study of the loss of classes in the plane, in small; its divergences against closed forms."""

import json

import numpy as np
import pytest

from studies import hybrid_plane


def test_the_whole_of_it_in_small(study, tmp_path, monkeypatch):
    monkeypatch.setattr(hybrid_plane, "WEIGHTS", (10.0,))
    monkeypatch.setattr(hybrid_plane, "STEP", 0.5)
    line = ["--rows=js", "--seeds=1", "--steps=2", "--set=width=8", "--set=num_steps=1"]
    line += [f"--logdir={tmp_path}", f"--out={tmp_path / 'out'}"]
    code, _, errors = study("hybrid_plane", *line)
    assert code == 0, errors
    measured = json.loads((tmp_path / "out" / "hybrid_plane.json").read_text())
    assert [*measured["results"]["js"]] == ["10"]
    # Untrained networks: no density of the data, and classes by chance.
    assert all(
        row["kl"] > 1.0 and row["log_loss"] > 0.9 for row in measured["results"]["js"].values()
    )
    assert len(hybrid_plane.table(measured)) == 2 + 1
    code, _, errors = study("hybrid_plane", "--rows=kk")
    assert code == 1 and "--rows must be of js, js overlapping" in errors


def test_points_are_of_the_densities():
    """E log p(x | y) of a normal law in the plane is −1 − log 2πσ²."""
    x, labels = hybrid_plane.points(20_000, 0.5, 3)
    found = hybrid_plane.log_densities(x, 0.5)[np.arange(len(x)), labels]
    # Of ‖z‖²/2 the deviation is 1.
    assert found.mean() == pytest.approx(-1.0 - np.log(2 * np.pi * 0.25), abs=5 / np.sqrt(20_000))
    np.testing.assert_allclose(np.bincount(labels) / len(x), hybrid_plane.SHARES, atol=0.02)
