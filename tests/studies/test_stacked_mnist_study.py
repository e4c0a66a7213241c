"""The study of stacked MNIST: a run whose length follows from its speed, and one that continues."""

import functools
import json

import numpy as np
import pytest

from studies import stacked_mnist
from tf_febm import evaluation
from tf_febm.evaluation import figures_of_runs

FAST = [
    f"--set={setting}" for setting in ("batch_size=4", "width=2", "latent_dim=3", "log_interval=20")
]


@pytest.fixture
def archive(tmp_path):
    """Write digits of which one is a bright square whose place tells its class."""
    labels = (np.arange(80) % 10).astype(np.uint8)
    images = np.zeros((80, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 4, :8] = 255
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images[:30], y_test=labels[:30])
    return path


@pytest.fixture
def small(monkeypatch):
    """Take fewer steps to find the pace, and a classifier that is large enough for squares."""
    monkeypatch.setattr(stacked_mnist, "WARM", 1)
    monkeypatch.setattr(stacked_mnist, "PACE", 2)
    tiny = functools.partial(
        evaluation.train_classifier, num_steps=60, batch_size=16, filters=4, learning_rate=1e-2
    )
    monkeypatch.setattr(figures_of_runs, "train_classifier", tiny)


def test_a_short_run(study, small, tmp_path, archive):
    line = [f"--data_dir={archive}", "--minutes=0.02", "--num_samples=50", f"--logdir={tmp_path}"]
    code, _, errors = study("stacked_mnist", *line, *FAST)
    assert code == 0, errors
    steps = json.loads((tmp_path / "stacked_mnist_steps.json").read_text())["steps"]
    summary = json.loads((tmp_path / "stacked_mnist" / "summary.json").read_text())
    assert summary["steps"] == steps
    quality = summary["quality"]
    assert quality["num_samples"] == 50 and quality["modes"] == 1000
    assert 1 <= quality["modes_found"] <= 50
    # Squares are easy to tell, so the held-out modes are those of the labels.
    assert quality["classifier_accuracy"] == 1.0
    code, output, _ = study("stacked_mnist", *line, *FAST)
    assert code == 0 and "steps in" not in output


def test_it_needs_files(study, tmp_path):
    code, _, errors = study("stacked_mnist", f"--logdir={tmp_path}")
    assert code == 1 and "--data_dir= must name" in errors
