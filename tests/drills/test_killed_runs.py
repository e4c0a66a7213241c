"""A run that is killed again and again ends as one that was left alone, bit for bit."""

import runpy

import pytest

from tests.launch import forks
from tf_febm import data


@pytest.mark.slow
def test_a_run_killed_twice_ends_as_an_unbroken_one(project, tmp_path, monkeypatch):
    """Real processes: one killed while it writes a checkpoint, one at random, one that ends.

    What each method keeps of its state, tests/training/test_resume.py shows within one process;
    `make resume` kills all four. The data are not in memory, but come through a buffer.
    """
    digits = data.load("digits")
    # For images from files no classifier is trained, which would take longer than the run.
    data.write_records(tmp_path / "digits", digits, per_file=400)
    flags = [
        "--dataset=records", f"--data_dir={tmp_path / 'digits'}", "--preset=digits",
        "--shuffle_buffer=100",
        "--method=contrastive_divergence", "--batch_size=8", "--num_steps=2", "--num_filters=8",
        "--log_interval=5", "--sample_interval=200", "--num_samples=20", "--final_steps=2",
    ]  # fmt: skip
    monkeypatch.syspath_prepend(str(project / "drills"))
    storm = runpy.run_path(str(project / "drills" / "kill_storm.py"))["storm"]
    found = storm(tmp_path, steps=500, kills=2, arguments=flags, start=forks.Process)
    assert found["kills"] == 2 and found["checkpoint"] == 1 and found["steps"] == 500
    # Parameters, the optimizer, the average, the chains and the random state as well.
    compare = runpy.run_path(str(project / "drills" / "resume.py"))["compare_checkpoints"]
    ends = (str(tmp_path / name / "checkpoints" / "step-500") for name in ("storm", "calm"))
    assert sum(array.size for array in compare(*ends)) > 1000
