"""launch/stacked_mnist.py: a run whose length follows from its speed, and one that continues."""

import json
import subprocess
import sys

import numpy as np
import pytest

FAST = [
    f"--train=--{flag}"
    for flag in ("batch_size=4", "num_filters=2", "latent_dim=3", "network=mlp", "generator=mlp")
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


@pytest.mark.slow
def test_a_short_run(project, tmp_path, archive):
    script = str(project / "launch" / "stacked_mnist.py")
    command = [
        sys.executable, script, f"--data_dir={archive}", "--minutes=0.02", "--num_samples=50",
        f"--logdir={tmp_path}", *FAST, "--train=--log_interval=20",
    ]  # fmt: skip
    first = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert first.returncode == 0, first.stderr
    steps = json.loads((tmp_path / "stacked_mnist_steps.json").read_text())["steps"]
    summary = json.loads((tmp_path / "stacked_mnist" / "summary.json").read_text())
    assert summary["steps"] == steps
    quality = summary["quality"]
    assert quality["num_samples"] == 50 and quality["modes"] == 1000
    assert 1 <= quality["modes_found"] <= 50
    # Squares are easy to tell, so the held-out modes are those of the labels.
    assert quality["classifier_accuracy"] == 1.0
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0 and "steps in" not in again.stdout


def test_it_needs_files(project, tmp_path):
    script = str(project / "launch" / "stacked_mnist.py")
    result = subprocess.run(
        [sys.executable, script, f"--logdir={tmp_path}"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 1
    assert "--data_dir= must name" in result.stderr
