"""The frame of studies that measure claims: jobs done once, tables, the page that quotes them."""

import json

import numpy as np
import pytest

from studies import claims, rates, runs, section_6_1

CALLS: list[dict] = []


def work(job):
    CALLS.append(job)
    if job["number"] < 0:
        raise ValueError("below zero")
    return {"root": job["number"] ** 0.5}


def test_jobs_are_done_once_and_kept_by_their_options(tmp_path, capsys, monkeypatch):
    CALLS.clear()
    jobs = [{"number": number} for number in (4, -1, 9)]
    first = runs.each(work, jobs[:2], tmp_path)
    assert [r.get("root") for r in first] == [2.0, None]
    assert first[1]["failed"] == "below zero" and "ETA" in capsys.readouterr().out
    # Whether it is imported or the program.
    monkeypatch.setattr(work, "__module__", "__main__")
    results = runs.each(work, jobs, tmp_path)
    assert jobs == CALLS
    assert [r["job"] for r in results] == jobs and results[:2] == first


def test_where_a_job_writes_is_none_of_its_options(tmp_path):
    """The same job elsewhere is done already, and no result names a folder of one machine."""
    CALLS.clear()
    for place in ("/here", "/there"):
        (result,) = runs.each(work, [{"number": 4, "folder": place}], tmp_path)
        assert result["job"] == {"number": 4}
    assert CALLS == [{"number": 4, "folder": "/here"}]


def test_what_was_done_before_a_kill_is_kept(tmp_path):
    CALLS.clear()

    def stop(job):
        if len(CALLS) == 1:
            raise KeyboardInterrupt
        return work(job)

    jobs = [{"number": 1}, {"number": 2}]
    stop.__name__ = work.__name__
    with pytest.raises(KeyboardInterrupt):
        runs.each(stop, jobs, tmp_path)
    runs.each(work, jobs, tmp_path)
    assert jobs == CALLS


def measured(verdict="holds"):
    row = dict.fromkeys(claims.HEADINGS, "a | b") | {"verdict": verdict}
    versions = {"git": "0123456789", "python": "3.11", "tensorflow": "2.21"}
    return {
        "claims": [row], "date": "2026-01-01", "versions": versions, "machine": "m", "runs": 3,
        "hours": 1.25,
    }  # fmt: skip


def test_the_table_is_put_between_its_marks(tmp_path, study, monkeypatch):
    text = f"before\n{claims.BEGIN}former{claims.END}after\n"
    page = claims.page_with_table(text, {"rates": measured("does not hold")})
    assert page.startswith("before\n") and page.endswith("after\n") and "former" not in page
    assert "| a \\| b | a \\| b | a \\| b | **does not hold** |" in page
    assert claims.page_with_table(page, {"rates": measured("does not hold")}) == page
    # Recorded, it is on the page.
    (tmp_path / "pictures").mkdir()
    (tmp_path / "claims.md").write_text(text, "utf-8")
    (tmp_path / "runs" / "rates").mkdir(parents=True)
    (tmp_path / "runs" / "rates" / "claims.json").write_text(json.dumps(measured()))
    claims.record(tmp_path / "runs", ["rates"], tmp_path)
    assert "**holds**" in (tmp_path / "claims.md").read_text("utf-8")
    assert claims.recorded(tmp_path)["rates"]["hours"] == 1.25


@pytest.mark.parametrize(
    ("flag", "message"),
    [("--only=nonsense", "--only must be of"), ("--fast --record", "leave out --fast")],
)
def test_what_is_refused(study, tmp_path, flag, message):
    code, _, errors = study("claims", *flag.split(), f"--out={tmp_path / 'out'}")
    assert code == 1 and message in errors and not (tmp_path / "out").exists()


def test_the_studies_of_claims_run_from_one_command(study, tmp_path, monkeypatch):
    monkeypatch.setattr(rates, "UPDATES", ("alternating",))
    code, _, errors = study(
        "claims", "--only=rates", "--fast", "--processes=1", f"--out={tmp_path}"
    )
    assert code == 0, errors
    folder = tmp_path / "fast"
    written = json.loads((folder / "rates" / "claims.json").read_text())
    assert written["runs"] == 3 and {row["verdict"] for row in written["claims"]} <= {
        "holds",
        "does not hold",
    }
    text = (folder / "claims.md").read_text("utf-8")
    assert written["claims"][0]["measured"] in text and (folder / "rates" / "rates.png").exists()
    # The second moment of z² is 3: by hand, J of one energy weight log σ and of H = ω z²/2.
    by_hand = np.linalg.eigvals([[-1.0, -0.5], [0.5, -0.75]])
    row = next(r for r in written["figures"]["table"] if r["energy"] == "oscillating")
    assert row["eigenvalue"] == pytest.approx(by_hand.real.max(), rel=0.02)
    assert row["measured"] == pytest.approx(row["predicted"], rel=rates.AGREES)


def test_one_step_of_either_kind_is_linear_as_said():
    jacobian = np.array([[-1.0, 0.5, 0.1], [-0.5, -2.0, 0.0], [-0.1, 0.3, -1.5]])
    point, step = np.array([1.0, -2.0, 0.5]), rates.STEP
    both = point + step * jacobian @ point
    np.testing.assert_allclose(rates._step(jacobian, 1, "simultaneous") @ point, both)
    # ω first; θ by the new ω.
    moved = np.array([point[0], *both[1:]])
    expected = np.array([point[0] + step * jacobian[0] @ moved, *both[1:]])
    np.testing.assert_allclose(rates._step(jacobian, 1, "alternating") @ point, expected)


def test_the_table_of_section_6_1_counts_what_does_not_arrive():
    def result(seed, **found):
        return {"job": {"rule": "paper", "divergence": "kl", "seed": seed}, **found}

    figures = dict.fromkeys(("ratio_error", "ratio_error_in_tails", "ks_plain"), 0.1)
    done = [
        result(0, error=0.01, error_of_rest=0.02, ks_rejection=None, **figures),
        result(1, error=0.03, error_of_rest=0.04, ks_rejection=0.01, **figures),
        result(2, error=2.0, error_of_rest=2.0, ks_rejection=0.5, **figures),
        result(3, failed="not finite"),
    ]
    (row,) = section_6_1.table(done)
    assert (row["runs"], row["elsewhere"], row["not_finite"]) == (4, 1, 1)
    assert row["error"] == pytest.approx(0.02) and row["ks_rejection"] == 0.01
