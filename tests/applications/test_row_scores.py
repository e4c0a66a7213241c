"""Scores of rows by an energy that is known."""

import csv

import numpy as np
import pytest

from tf_febm import applications, data


class Known:
    """A model whose energy is the square of the first column."""

    conditional = False

    def best_weights(self):
        import contextlib

        return contextlib.nullcontext()


@pytest.fixture
def rows(monkeypatch):
    """The splits of a table of 100 rows, three of which are of an odd class."""
    x = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    labels = np.zeros(100, np.int32)
    x[[7, 29, 50], 0] = (9.0, 10.0, -11.0)
    labels[[7, 29, 50]] = 1
    monkeypatch.setattr(
        applications.row_scores, "ood_scores", lambda model, x, labels: {"energy": x[:, 0] ** 2}
    )
    mask = np.arange(100) % 10 == 9
    names = {"columns": ("near", "far"), "num_classes": 2, "class_names": ("usual", "broken")}
    return [data.VectorData("csv", x[m], labels[m], **names) for m in (~mask, mask)]


def test_what_is_told_and_written(rows, tmp_path):
    results = applications.score_rows(Known(), *rows, tmp_path, odd=0.2)
    oddest = results["oddest"]
    # Numbers in the file, from 1, and whether training saw them.
    assert [(o["row"], o["split"], o["class"]) for o in oddest[:3]] == [
        (51, "train", "broken"), (30, "held out", "broken"), (8, "train", "broken"),
    ]  # fmt: skip
    assert len(oddest) == 10 and oddest[1]["values"]["near"] == 10.0
    assert oddest[0]["furthest"].startswith("near (−") or oddest[0]["furthest"].startswith(
        "near (-"
    )
    held_out = rows[1].vectors[:, 0] ** 2
    # Of ten rows two p-values among eleven are up to a fifth: from the second highest on.
    assert results["threshold"] == pytest.approx(np.sort(held_out)[-2])
    assert results["classes"]["broken"]["auroc"] == pytest.approx(1.0)
    assert results["classes"]["usual"]["auroc"] == pytest.approx(0.0)
    with open(tmp_path / "scores.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 100 and [int(r["rank"]) for r in table] == list(range(1, 101))
    energies = [float(r["energy"]) for r in table]
    assert energies == sorted(energies, reverse=True)
    # As they were written, and to the bit.
    x = np.concatenate([part.vectors for part in rows])
    values = {(row["near"], row["far"]) for row in table}
    assert values == {tuple(map(str, row)) for row in x} and max(map(len, min(values))) <= 15
    assert "-11.0" in {near for near, _ in values}
    assert all((float(r["p_value"]) <= 0.2) == (r["odd"] == "1") for r in table)
    assert results["num_odd"] == sum(r["odd"] == "1" for r in table) > 0
    assert "note" not in results
    # Of held-out rows the share of them, itself among them, that is as odd: their ranks.
    mine = [r for r in table if r["split"] == "held out"]
    assert [float(r["p_value"]) for r in mine] == pytest.approx(np.arange(1, 11) / 10)
    # One of the training rows is new to them: above all of ten it is the first of eleven.
    first = table[0]
    assert (first["split"], float(first["p_value"])) == ("train", pytest.approx(1 / 11, rel=1e-3))
    assert (tmp_path / "roc.png").is_file() and (tmp_path / "energies.png").is_file()


def test_without_classes(rows, tmp_path):
    plain = [data.VectorData("made", part.vectors) for part in rows]
    # Ten held-out rows have no p-value of a twentieth.
    results = applications.score_rows(Known(), *plain, tmp_path)
    assert results["note"].startswith("With 10 held-out rows no p-value is below 0.091, so that ")
    assert (results["threshold"], results["num_odd"]) == (None, 0)
    with open(tmp_path / "scores.csv", newline="") as file:
        assert {row["odd"] for row in csv.DictReader(file)} == {"0"}
    assert "classes" not in results and set(results["oddest"][0]["values"]) == {
        "column 1",
        "column 2",
    }
    assert not (tmp_path / "roc.png").exists()
    with pytest.raises(ValueError, match="odd must be below 1; received 1.0"):
        applications.score_rows(Known(), *plain, tmp_path, odd=1)
    # What it names is enough.
    assert "ask for odd=0.091 or more" in results["note"]
    asked = applications.score_rows(Known(), *plain, tmp_path, odd=0.091)
    assert "note" not in asked and asked["num_odd"] > 0
