"""Two real processes under MultiWorkerMirroredStrategy on loopback; one is killed, both go on."""

import runpy

import pytest

from tests.launch import forks


@pytest.mark.slow
def test_two_workers_train_and_a_killed_one_comes_back(project, tmp_path):
    """`drills/workers.py` checks what it finds; three workers take longer."""
    kill = runpy.run_path(str(project / "drills" / "workers.py"))["kill_and_restart"]
    found = kill(tmp_path, count=2, steps=20, start=forks.Process)
    assert found["workers"] == 2 and found["killed"] == 1
    assert found["steps"] >= max(20, found["resumed"] + 10)
