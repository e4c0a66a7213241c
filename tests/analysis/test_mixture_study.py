"""The study of mixtures keeps what an earlier one left until all of its own is there."""

import pytest

from tf_febm.analysis import mixture_study as study

MIXTURE = ((0.5, 0.5), (-1.0, 1.0), (1.0, 1.0))


@pytest.fixture
def former(tmp_path):
    (tmp_path / "table.csv").write_text("former")
    return tmp_path


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 150},
        {"steps": True},
        {"batch_size": 1},
        {"sampler": "none"},
        {"rule": "none"},
        {"seed": -1},
        {"num_samples": 0},
        {"num_samples": 10**13},
        {"num_trajectories": -1},
        {"trajectory_steps": 1},
        {"baselines": "no"},
        {"mixture": ((1.0,), (0.0,), (-1.0,))},
    ],
)
def test_arguments_are_checked_first(former, monkeypatch, changes):
    monkeypatch.setattr(study, "_fit", lambda *_: pytest.fail("it began"))
    with pytest.raises(ValueError):
        study.mixture_study(("js",), former, **{"mixture": MIXTURE, **changes})
    for names in ((), ("nonsense",)):
        with pytest.raises(ValueError):
            study.mixture_study(names, former, mixture=MIXTURE)
    assert [path.name for path in former.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_study_that_fails_leaves_the_former_one(former, monkeypatch, error):
    def fail(*_):
        raise error("no")

    monkeypatch.setattr(study, "_fit", fail)
    with pytest.raises(error):
        study.mixture_study(("js",), former, mixture=MIXTURE)
    assert (former / "table.csv").read_text() == "former"
    assert not (former / "summary.json").exists()
