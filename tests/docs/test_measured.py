"""Tables of the pages against the files that studies wrote."""

import importlib
import json
import re
import runpy

from studies import (
    all_methods,
    beds,
    claims,
    classification,
    composition,
    hybrid_plane,
    streaming,
)
from tf_febm import extras, recipes


def test_no_file_names_a_folder_of_one_machine(project):
    found = re.compile(r'"(/(tmp|home|root|work|Users)/[^"]*)"')
    for path in (project / "docs" / "measured").rglob("*.*"):
        if path.suffix in (".json", ".csv"):
            assert not found.findall(path.read_text("utf-8")), path


def test_the_table_of_faces_is_what_was_measured(project):
    measured = json.loads((project / "docs" / "measured" / "faces.json").read_text("utf-8"))
    page = (project / "docs" / "results.md").read_text("utf-8").split("## Faces")[1]
    levels = json.loads((project / "docs" / "measured" / "faces_levels.json").read_text("utf-8"))
    assert levels["commit"] in page and f"{round(levels['seconds'] / 60)} minutes" in page
    assert recipes.get("celeba_multiscale").steps == levels["steps"]
    measured["rows"] |= levels["rows"]
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", page, re.MULTILINE)
    found = {name: tuple(map(float, figures)) for name, *figures in rows}
    assert found == {
        name: (
            round(row["frechet_distance"]), round(row["precision"], 3), round(row["recall"], 3)
        )
        for name, row in measured["rows"].items()
    }  # fmt: skip
    cifar10 = json.loads((project / "docs" / "measured" / "cifar10.json").read_text("utf-8"))
    rows = re.findall(
        r"^\| ([^|]+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", page, re.MULTILINE
    )
    assert {name: [float(figure) for figure in figures] for name, *figures in rows} == {
        name: [round(figure, 3) for figure in row.values()] for name, row in cifar10["rows"].items()
    }
    assert cifar10["commit"] in page
    first, second = (round(seconds / 60) for seconds in cifar10["levels"]["seconds"])
    assert f"the first took {first} minutes" in page.replace("\n", " ")
    assert f", {second} on a machine" in page.replace("\n", " ")
    assert recipes.get("cifar10_multiscale").guidance == cifar10["levels"]["guidance"][1]
    assert recipes.get("cifar10").steps == cifar10["steps"]
    # What the commands of the page do today.
    assert recipes.get("celeba").steps == measured["steps"]
    assert measured["commit"] in page
    assert f"{round(measured['seconds']['febm'] / 60)} minutes" in page


def test_the_digits_of_levels_of_noise_are_what_was_measured(project):
    text = (project / "docs" / "measured" / "digits_levels.json").read_text("utf-8")
    page = (project / "docs" / "results.md").read_text("utf-8")
    page = page.split("### MNIST and the digits by levels of noise")[1].split("###")[0]
    mnist, digits = json.loads(text)["mnist"], json.loads(text)["digits"]
    assert f"commit {mnist['commit']}" in page and f"commit {digits['commit']}" in page
    told = {
        f"{mnist['frechet_to_held_out']:.2f}",
        f"{mnist['frechet_train_to_held_out']:.2f}",
        f"{mnist['mean_confidence']:.3f}",
        f"{mnist['held_out_confidence']:.3f}",
        f"{round(mnist['seconds'] / 60)} minutes",
        "between {:.1f} and {:.1f} %".format(*(100 * share for share in mnist["class_shares"])),
        *(f"{ratio:.2f}" for ratio in digits["frechet_ratio"]),
    }
    assert all(figure in page for figure in told), told
    guided = json.loads(text)["mnist_guided"]
    assert guided["commit"] in page and recipes.get("mnist_multiscale").steps == guided["steps"]
    for row in guided["drawn"]:
        figures = [f"{row['frechet_to_held_out']:.2f}"]
        named = ("mean_confidence", "own_class", "precision", "recall")
        figures += [f"{row[name]:.3f}" for name in named]
        how = f"| {row['guidance']:g} | {row['steps_of_a_level']} |"
        assert f"{how} {' | '.join(figures)} |" in page
    best = min(guided["drawn"], key=lambda row: row["frechet_to_held_out"])
    assert best["guidance"] == recipes.get("mnist_multiscale").guidance == 1.0
    assert {round(seconds / 60) for seconds in digits["seconds"]} == {6}
    assert recipes.get("digits_multiscale").steps == digits["steps"]


def test_the_table_of_what_was_tried_is_that_of_its_file(project):
    tried = json.loads((project / "docs" / "measured" / "faces_tried.json").read_text("utf-8"))
    page = (project / "docs" / "results.md").read_text("utf-8")
    assert re.search(r"commit\w* up to \w+|up to commit \w+", tried["state"])
    for row in tried["rows"]:
        figures = [row["frechet"], row["precision"], row["recall"]]
        shown = [str(figures[0]), *("–" if f is None else f"{f:.2f}" for f in figures[1:])]
        assert f"| {row['tried']} | {'; '.join(shown)} | {row['remark']} |" in page
    for row in tried["runs"]:
        assert f"| {row['tried']} | | {row['came']} |" in page
    told = (project / "docs" / "concepts" / "energies.md").read_text("utf-8").replace("\n", " ")
    ends = [tried["recovery"][name] for name in ("start", "after_500_steps")]
    for name, words in (("frechet", "from {} to {}"), ("precision", "{} to {}"),
                        ("recall", "recall {} to {}")):  # fmt: skip
        assert words.format(*(end[name] for end in ends)) in told


def test_the_table_of_anomalies_is_what_was_measured(project):
    measured = json.loads((project / "docs" / "measured" / "anomalies.json").read_text("utf-8"))
    page = (project / "docs" / "concepts" / "vectors.md").read_text("utf-8")
    rows = re.findall(r"^\|[^|]+\| ([\d.± ]+) \| ([\d.± ]+) \| ([\d.± ]+) \|$", page, re.MULTILINE)
    expected = [
        tuple(f"{row[d]['auroc']:.3f} ± {row[d]['deviation']:.3f}" for d in row)
        for row in measured["results"].values()
    ]
    assert rows == expected
    assert measured["commit"] in page
    assert recipes.get(measured["recipe"]).method == "noise_contrastive"


def test_the_table_of_classifiers_is_what_was_measured(project):
    folder = project / "docs" / "measured" / "classification"
    page = (project / "docs" / "concepts" / "classes.md").read_text("utf-8")
    for name in ("digits", "mnist"):
        measured = json.loads((folder / f"{name}.json").read_text("utf-8"))
        head, line, *rows = classification.table(measured)
        assert f"{head}\n{line}" in page and "\n".join(rows) in page
        what = "digits" if name == "digits" else "images"
        assert f"{measured['num_examples'][name]:,} held-out {what}" in page
        assert f"{measured['steps'][name]:,} steps" in page and measured["commit"] in page
    # What the page says of it.
    way = measured["results"]["mnist"]
    for figure in ("auroc_noise", "auroc_shuffled"):
        hybrid, plain, alone = (
            way[name][figure]["mean"] for name in ("hybrid", "classifier", "density")
        )
        assert hybrid < plain < 0.999 < alone
    assert way["hybrid"]["accuracy"]["mean"] < way["classifier"]["accuracy"]["mean"]


def test_the_table_of_hybrids_is_what_was_measured(project):
    path = project / "docs" / "measured" / "hybrid_plane.json"
    measured = json.loads(path.read_text("utf-8"))
    text = (project / "docs" / "concepts" / "classes.md").read_text("utf-8")
    assert "\n".join(hybrid_plane.table(measured)) in text
    assert measured["versions"]["git"][:7] in text and measured["date"] in text


def test_the_table_of_packages_is_what_was_measured(project):
    measured = json.loads((project / "docs" / "measured" / "installation.json").read_text("utf-8"))
    page = (project / "docs" / "installation.md").read_text("utf-8")
    rows = re.findall(r"^\| ([a-z-]+)(, by `run`)? \| (\d+) \| (\d+|–) \|", page, re.MULTILINE)
    assert {name: int(own) for name, _, own, _ in rows} == measured["own"]
    only = {name: None if mb == "–" else int(mb) for name, *_, mb in rows}
    assert only == measured["only_through"]
    assert f"{measured['total']} MB, and {measured['total_run']} MB with `run`" in page
    # By the extra are those that its error knows.
    assert {name for name, by_run, *_ in rows if by_run} == set(extras.RUN.values())


def test_the_table_of_drills_is_what_they_found(project, monkeypatch):
    monkeypatch.syspath_prepend(str(project / "drills"))
    drills = runpy.run_path(str(project / "drills" / "run_all.py"))
    measured = json.loads((project / "docs" / "measured" / "drills.json").read_text("utf-8"))
    page = (project / "docs" / "reliability.md").read_text("utf-8")
    assert "\n".join(drills["table"](measured["rows"])) in page
    assert f"commit {measured['commit']}, {measured['date']}" in page
    assert not any(row["failed"] for row in measured["rows"])
    assert [row["drill"] for row in measured["rows"]] == [*drills["DRILLS"]]


def test_the_table_of_claims_is_what_was_measured(project):
    measured = claims.recorded(project / "docs")
    page = (project / "docs" / "claims.md").read_text("utf-8")
    assert set(measured) == set(claims.STUDIES)
    assert claims.page_with_table(page, measured) == page
    verdicts = {"holds", "holds in part", "does not hold", "open"}
    for study in measured.values():
        assert study["versions"]["git"][:7] in page
        assert study["claims"] and {row["verdict"] for row in study["claims"]} <= verdicts


def test_tables_on_pages_of_their_own(project):
    measured, pages = claims.recorded(project / "docs"), set()
    for name, found in measured.items():
        study = importlib.import_module(f"studies.{name}")
        if hasattr(study, "PAGE"):
            text = (project / "docs" / study.PAGE).read_text("utf-8")
            assert claims.with_own_table(study, found, text) == text
            assert study.page_table(found["figures"]) in text
            pages.add(study.PAGE)
    assert pages == {"claims.md", "concepts/divergences.md"}


def test_what_the_page_of_claims_tells_beside_its_table(project):
    """The prose's figures, from the same files."""
    measured = claims.recorded(project / "docs")
    found = measured["section_6_1"]["figures"]
    paper, published = (found["table"][rule] for rule in ("paper", "published"))
    lost = {name for name, row in paper.items() if row["elsewhere"] + row["not_finite"]}
    assert lost == {"alpha:0.9", "pearson_chi2"} and len(paper) == 9
    assert not published["pearson_chi2"]["elsewhere"] and published["js"]["elsewhere"] == 1
    assert published["alpha:0.9"]["not_finite"] == 1 == found["early_failures"]
    assert found["long"]["error_of_rest"] < 0.5 * paper["js"]["error_of_rest"]
    starts = {name: row["divergence_at_start"] for name, row in found["reasons"].items()}
    assert [name for name, value in starts.items() if value is None] == ["pearson_chi2"]
    for row in paper.values():
        if row["error"] is not None:
            assert row["ratio_error_in_tails"] > 2.0 * row["ratio_error"]
    assert not any(
        row["elsewhere"] + row["not_finite"] for row in found["table"]["library"].values()
    )
    reach = measured["reach"]["figures"]
    beyond = {(r["mixture"], r["divergence"]) for r in reach["table"] if r["unseen"] > 0.015}
    names = ("reverse_kl", "alpha:-0.5", "alpha:-1", "neyman_chi2")
    assert beyond == {("A", name) for name in names}
    assert max(reach["by_true_ratio"]["tails"].values()) < 0.004


def test_the_table_of_all_methods_is_what_was_measured(project):
    measured = json.loads((project / "docs" / "measured" / "all_methods.json").read_text("utf-8"))
    page = (project / "docs" / all_methods.PAGE).read_text("utf-8")
    assert all_methods.page_with_tables(page, measured) == page
    assert set(measured["results"]) == set(beds.BEDS)
    kl = {
        bed: {name: row["kl"]["mean"] for name, row in rows.items()}
        for bed, rows in measured["results"].items()
    }
    for bed, at in (("contaminated_5", 0.68), ("contaminated_20", 1.69)):
        found = kl[bed]
        known = {name: value for name, value in found.items() if value is not None}
        assert min(known, key=known.get) == "febm_reverse_kl"
        robust = ("pseudo_spherical", "febm_js", "febm_squared_hellinger")
        assert max(known[name] for name in robust) < 0.004 and known["dual_js"] < 0.015
        for name in ("noise_contrastive", "sliced_score_matching", "denoising_score_matching"):
            assert abs(known[name] - at) < 0.05
    best = {
        bed: min((v, k) for k, v in found.items() if v is not None) for bed, found in kl.items()
    }
    assert best["moons"][1] == "ebmkit_energy_discrepancy"
    assert best["mixture10"][1] == "energy_discrepancy" and best["digits"][1] == "febm_kl"
    digits = kl["digits"]
    peers = min((v, k) for k, v in digits.items() if k in all_methods.PEERS)
    assert (
        peers[1].endswith("score_matching") and f"{peers[0] - best['digits'][0]:.1f} nats" in page
    )
    for name in ("contrastive_divergence", "denoising_score_matching"):
        assert digits[name] - best["digits"][0] < 1.0
    assert f"{kl['mixture10']['multiscale_score_matching']:.0f} nats off" in page
    # No row of ours failed; those that cannot be say why.
    for bed, found in kl.items():
        reasons = {name for name, value in found.items() if value is None}
        assert not reasons or bed.startswith("contaminated")


def test_the_two_hours_are_what_was_measured(project):
    measured = json.loads((project / "docs" / "measured" / "long_run.json").read_text("utf-8"))
    page = (project / "docs" / "reliability.md").read_text("utf-8").replace("\n", " ")
    assert measured["traces"] == 1 and "was traced once" in page
    assert measured["mb_per_1000_steps"] <= 0.01 and measured["minutes"] >= 120
    growth = f"+{measured['mb_per_1000_steps']} ± {measured['error']} MB per 1,000 steps"
    for figure in (measured["commit"], measured["date"], f"{measured['steps']:,} steps", growth):
        assert figure in page
    assert "{} MB after ten minutes and {} MB".format(*measured["resident_mb"]) in page


def test_small_tables_are_what_was_measured(project):
    for study, page in ((composition, "composition"), (streaming, "data")):
        name = study.__name__.rpartition(".")[2]
        measured = json.loads((project / "docs/measured" / f"{name}.json").read_text("utf-8"))
        text = (project / "docs/concepts" / f"{page}.md").read_text("utf-8")
        assert "\n".join(study.table(measured)) in text
        if study is composition:
            found, both = measured["results"], measured["results"]["samples, slanted and thick"]
            assert both["slant"] >= found["samples, slanted"]["slant"]
            added = found["samples, thick"]["ink"] - found["all digits"]["ink"]
            assert both["ink"] - found["all digits"]["ink"] > 0.5 * added
            assert f"{measured['steps']:,} steps each" in text


def test_the_table_of_speed_is_what_was_measured(project):
    measured = json.loads((project / "docs" / "measured" / "speed.json").read_text("utf-8"))
    page = (project / "docs" / "performance.md").read_text("utf-8")
    assert not measured["shared"] and f"commit {measured['commit']}" in page
    table = page.split("| what bounds it |")[1].split("**The roofline.**")[0]
    shown = re.findall(r"^\| ([^|]+) \| ([\d.]+) \| ([^|]*) \| [^|]* \|$", table, re.MULTILINE)
    found = {
        (ratio["name"], f"{ratio['value']:.2f}")
        for content in measured["comparisons"].values()
        for ratio in content["ratios"]
    }
    assert len(shown) > 50
    for name, value, _ in shown:
        assert any(name.endswith(known) and value == figure for known, figure in found), name
    for row in measured["comparisons"]["roofline"]["rows"][:4]:
        assert row["extra"] in page
