"""The study of classifiers in small."""

import csv
import json

from studies import classification


def test_the_whole_of_it_in_small(study, tmp_path):
    line = ["--seeds=1", "--steps=2", "--num_examples=20", f"--logdir={tmp_path}"]
    line += [f"--out={tmp_path / 'out'}", "--set=width=8", "--set=num_steps=2"]
    code, _, errors = study("classification", *line)
    assert code == 0, errors
    with open(tmp_path / "out" / "classification.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["way"] for row in rows] == [*classification.WAYS]
    measured = json.loads((tmp_path / "out" / "classification.json").read_text())
    for row in rows:
        found = measured["results"]["digits"][row["way"]]
        assert found["accuracy"]["mean"] == float(row["accuracy"])
    assert len(classification.table(measured)) == 2 + len(rows)
    # Nothing is done twice.
    code, output, errors = study("classification", *line)
    assert code == 0 and " done in " not in output, errors
    code, _, errors = study("classification", "--datasets=letters", *line)
    assert code == 1 and "--datasets must be of digits, mnist; received ['letters']" in errors
