"""A run that is killed ends as one that was left alone, bit for bit."""

import runpy

import numpy as np
import pytest


@pytest.mark.slow
def test_a_killed_run_resumes_exactly(project, tmp_path):
    """Real processes; the script asserts that checkpoints and samples are equal bit for bit.

    The method with most state: a generator with statistics, a second optimizer, and, beyond what is
    decomposed exactly, directions at which iterations start. f-EBM, with its buffer, goes through
    the storm of tests/launch/test_train.py; `make resume` has all four methods.
    """
    from tf_febm import data

    digits = data.load("digits")
    # For images from a file no classifier is trained, which would take longer than the run.
    np.savez(tmp_path / "digits.npz", x=digits.images, y=digits.labels)
    compare = runpy.run_path(str(project / "drills" / "resume.py"))["compare"]
    flags = [
        "--dataset=npz", f"--data_dir={tmp_path / 'digits.npz'}", "--preset=digits",
        "--batch_size=8", "--num_filters=8", "--num_samples=20", "--final_steps=2",
        "--latent_dim=6", "--entropy=smallest_singular_value", "--generator_batch_norm",
    ]  # fmt: skip
    # Enough steps to be in the midst of them when the kill comes.
    found = compare(tmp_path, "bidirectional", 300, flags)
    assert found["resumed_at"] == 150 < found["killed_at"] < 300 and found["numbers"] > 1000
