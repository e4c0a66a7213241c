"""The study of methods: a short one from end to end, and one that has been done."""

import csv
import json

from PIL import Image

FAST = [
    f"--set={setting}"
    for setting in (
        *("batch_size=8", "num_steps=1", "width=8", "num_samples=20", "final_steps=1"),
        *("steps=3", "log_interval=3"),
    )
]


def test_a_short_study(study, tmp_path):
    line = ["--seeds=1", f"--logdir={tmp_path}", *FAST]
    line.append("--methods=febm_js,contrastive_divergence")
    code, _, errors = study("methods", *line)
    assert code == 0, errors
    out = tmp_path / "method_study"
    rows = list(csv.DictReader((out / "study.csv").open()))
    # In the order of the study, not of the command line.
    assert [row["method"] for row in rows] == ["contrastive_divergence", "febm_js"]
    for row in rows:
        run = json.loads((tmp_path / f"study_{row['method']}_0" / "summary.json").read_text())
        assert float(row["frechet_ratio"]) == run["quality"]["frechet_ratio"]
    summary = json.loads((out / "study.json").read_text())
    assert summary["febm_js"]["mean"] == float(rows[1]["frechet_ratio"])
    with Image.open(out / "study.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50
    code, output, _ = study("methods", *line)
    assert code == 0 and "steps/s" not in output


def test_what_is_refused(study, tmp_path):
    code, _, errors = study(
        "methods", "--dataset=nonsense", "--seeds=1", f"--logdir={tmp_path}", "--methods=febm_js"
    )
    assert code == 1 and "nonsense" in errors and "Traceback" not in errors
    assert not (tmp_path / "method_study").exists()
    code, _, errors = study("methods", "--methods=febm_js,gan", f"--logdir={tmp_path}")
    assert code == 1 and "gan" in errors and "febm_squared_hellinger" in errors
    code, _, errors = study("methods", "--set=width", f"--logdir={tmp_path}")
    assert code == 1 and "--set must be field=value; received 'width'" in errors
