"""Tests of the study of time to a quality of pictures, without TorchEBM."""

import json

import numpy as np

from studies import time_to_quality as study

IMAGES = np.random.default_rng(0).random((16, 8, 8, 3)).astype(np.float32)


def test_the_published_way_is_measured_at_its_moments(monkeypatch):
    seen = []

    def figure(made):
        seen.append(made.shape)
        return 5.0 - len(seen)

    monkeypatch.setattr(study, "_measure", lambda job: (IMAGES, figure))
    job = {"way": "published", "seed": 0, "samples": 10, "budget": 1e-3, "moments": [0.5, 1.0]}
    rows = study.of_ours(job)["rows"]
    # The first step takes longer than both moments: they are passed together.
    assert [row["steps"] for row in rows] == [1]
    assert seen == [(10, 8, 8, 3)] and rows[0]["frechet"] == 4.0
    assert rows[0]["seconds"] > 1e-3


def test_ways_are_compared_by_the_best_of_the_peer(tmp_path):
    def rows(*pairs):
        return {"rows": [{"seconds": s, "steps": 1, "frechet": f} for s, f in pairs]}

    results = {
        "torchebm": rows((1.0, 90.0), (2.0, 40.0), (3.0, 50.0)),
        "published": rows((1.0, 80.0), (3.0, 41.0)),
        "celeba": rows((0.5, 39.0), (1.0, 60.0)),
    }
    study.write(results, study.SETTINGS[0], 3.0, tmp_path)
    found = json.loads((tmp_path / "quality.json").read_text("utf-8"))
    assert found["goal"] == 40.0
    reached = {way: row["seconds_to_goal"] for way, row in found["table"].items()}
    assert reached == {"torchebm": 2.0, "published": None, "celeba": 0.5}
    assert (tmp_path / "quality.png").stat().st_size > 1000


def test_settings_are_six_and_differ():
    assert len({tuple(setting.values()) for setting in study.SETTINGS}) == 6
