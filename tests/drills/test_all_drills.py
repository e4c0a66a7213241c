"""The frame of the drills; what each shows, `make drills` runs, in half an hour."""

import importlib

import pytest

import tf_febm
from tests.launch.conftest import resolve
from tf_febm import catalogue
from tf_febm.recipes.building import check_fit


@pytest.fixture
def run_all(project, monkeypatch):
    """Return the module of all drills."""
    monkeypatch.syspath_prepend(str(project / "drills"))
    return importlib.import_module("run_all")


def test_a_row_of_each_drill(run_all, tmp_path, monkeypatch, capsys):
    def good(folder, times):
        assert folder.is_dir() and times == 5
        return "all"

    def bad(folder, times):
        raise AssertionError("step 3\nis gone")

    drills = {"one way": run_all.Drill("this", 10, good), "other": run_all.Drill("that", 1, bad)}
    monkeypatch.setattr(run_all, "DRILLS", drills)
    rows = run_all.run_all(tmp_path, ["one way", "other"], share=0.5)
    assert [row["failed"] for row in rows] == [False, True]
    assert run_all.table(rows)[2:] == [
        "| one way | this | 5 | all | 0 |",
        "| other | that | 1 | NOT: AssertionError: step 3 is gone | 0 |",
    ]
    assert capsys.readouterr().out.splitlines() == run_all.table(rows)[2:]


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["exits", "flips", "full disk", "slow disk", "clock"])
def test_a_little_of_a_drill(run_all, tmp_path, name):
    (row,) = run_all.run_all(tmp_path, [name], share=2 / run_all.DRILLS[name].times)
    assert not row["failed"], row["held"]


def test_small_runs_of_every_method_are_legal(run_all, tmp_path):
    data = tf_febm.data.load("digits")
    for method in run_all.resume.METHODS:
        flags = run_all.processes.small(tmp_path, method)
        recipe = resolve(*flags, f"--logdir={tmp_path}").recipe
        assert recipe.method == method
        assert catalogue.NETWORKS[recipe.network].kind in ("images", "both"), method
        check_fit(recipe, data)


def test_what_a_killed_run_was_saving_is_not_taken_for_the_next_one(run_all, tmp_path):
    class Ended:
        def __init__(self):
            self.looks = 0

        def poll(self):
            self.looks += 1
            return None if self.looks < 3 else 0

    processes, mark = run_all.processes, tmp_path / "checkpoints" / ".saving"
    assert processes.saving(tmp_path) is None
    mark.mkdir(parents=True)
    former = processes.saving(tmp_path)
    assert processes.until_saving(tmp_path, Ended())
    assert not processes.until_saving(tmp_path, Ended(), former)
    mark.rename(tmp_path / "old")
    mark.mkdir()
    assert processes.until_saving(tmp_path, Ended(), former)
