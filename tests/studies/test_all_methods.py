"""The study of every method: a short one from end to end, the beds, the page."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from studies import all_methods, beds


def test_a_short_study(study, tmp_path):
    """Two steps of one method of each kind; what is not at hand has a reason."""
    names = ["febm_js", "pseudo_spherical", "sliced_score_matching", "torchebm_score_matching"]
    line = [f"--methods={','.join(names)}", "--beds=contaminated_5", "--steps=2", "--processes=1"]
    code, output, errors = study("all_methods", *line, f"--out={tmp_path}")
    assert code == 0, errors
    rows = list(csv.DictReader((tmp_path / "study.csv").open()))
    assert [row["method"] for row in rows] == names
    for row in rows[:-1]:
        assert np.isfinite([float(row[name]) for name in ("kl", "distance", "seconds")]).all()
    assert rows[-1]["kl"] == "" and "give --peers=PYTHON" in rows[-1]["failed"]
    measured = json.loads((tmp_path / "study.json").read_text())
    text = (tmp_path / "study.md").read_text()
    assert "| febm js |" in text and "No row of torchebm score matching: torchebm is not" in text
    best = min(rows[:-1], key=lambda row: float(row["kl"]))["method"].replace("_", " ")
    assert f"| {best} | **" in text and text.count("**") == 2
    page = f"before\n{all_methods.BEGIN}old\n{all_methods.END}after"
    found = all_methods.page_with_tables(page, measured)
    assert text in found and "old" not in found and found.endswith("after")
    with Image.open(tmp_path / "study.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50
    # Nothing is repeated.
    code, output, _ = study("all_methods", *line, f"--out={tmp_path}")
    assert code == 0 and "4/4" not in output
    code, _, errors = study("all_methods", "--methods=gan", f"--out={tmp_path}")
    assert code == 1 and "gan" in errors and "febm_js" in errors


@pytest.fixture
def few_chains(monkeypatch):
    monkeypatch.setattr(beds, "CHAINS", 64)
    monkeypatch.setattr(beds, "TEMPERATURES", 60)


@pytest.mark.parametrize("name", [name for name in beds.BEDS if name != "digits"])
def test_the_figures_of_the_truth_are_none(name, few_chains):
    """The energy −log p + c has KL 0 and its own samples are those of the density."""
    bed = beds.get(name)
    x = bed.sample(beds.SAMPLES, 5)

    def energy(points):
        if bed.box is not None:
            return 3.0 - bed.log_prob(points)
        # As TensorFlow does it, which annealing differentiates.
        means, scales = (tf.constant(part, tf.float32) for part in beds.of_ten())
        z = (points[:, None] - means) / scales
        each = -0.5 * tf.reduce_sum(z**2, -1) - tf.reduce_sum(tf.math.log(scales), -1)
        return 3.0 - tf.reduce_logsumexp(each, 1)

    found = beds.figures(bed, 0, energy, x)
    assert abs(found["kl"]) < (0.1 if bed.box is None else 1e-3)
    assert found["lower"] <= found["kl"] <= found["upper"] < found["lower"] + 0.5
    assert found["lower"] < 0.01 and found["upper"] > -0.01
    assert abs(found["distance"]) < 0.02
    train = bed.train(1000, 0)
    assert train.shape == (1000, bed.dimension)
    # Outliers are where no clean point is.
    assert (train.min(1) > 4.5).mean() == pytest.approx(bed.outliers, abs=1e-3)


def test_the_divergence_of_two_gaussians():
    """By the grid of one bed, against the closed form."""
    bed = beds.get("contaminated_5")
    found = beds.figures(
        bed, 0, lambda x: 0.5 * (((x - [1.0, 0.0]) / [2.0, 0.6]) ** 2).sum(1), bed.sample(10, 0)
    )
    assert found["kl"] == pytest.approx(np.log(2.0) + (1 + 1) / 8 - 0.5, abs=1e-4)


def test_the_likelihood_of_digits(few_chains):
    """Of the Gaussian fit, against its closed form; and other digits are as near as these are."""
    bed = beds.get("digits")
    x = bed.sample(3000, 0)
    mean, factor = beds.white(bed.sample(beds.POINTS, 0))
    inverse = np.linalg.inv(factor).T.astype(np.float32)

    def energy(x):
        return 0.5 * tf.reduce_sum(tf.matmul(x - mean.astype(np.float32), inverse) ** 2, 1)

    found = beds.figures(bed, 0, energy, x)
    held_out = np.mean(energy(beds.digits("test", 360, 0)))
    log_z = np.linalg.slogdet(factor)[1] + 32 * np.log(2 * np.pi)
    assert found["lower"] - 0.1 < held_out + log_z < found["upper"] + 0.1
    assert found["upper"] - found["lower"] < 3.0
    assert 0.5 < found["distance"] < 2.0
