"""The study of anomaly scores in small, and its splits."""

import csv
import json

import numpy as np
import pytest
from absl import flags

from studies import anomalies


class TestAnomalyStudy:
    def test_the_whole_of_it_in_small(self, tmp_path):
        values = flags.FlagValues()
        anomalies.define(values)
        line = ["--tables=wine", "--seeds=2", "--set=steps=3", "--method=contrastive_divergence"]
        values(["x", *line, f"--out={tmp_path / 'out'}"])
        assert anomalies.run(values) == 0
        with open(tmp_path / "out" / "study.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 6
        gaussian = [float(row["auroc"]) for row in rows if row["detector"] == "gaussian"]
        # The third class of wine lies far from the others: any fit sees that.
        assert min(gaussian) > 0.9
        results = json.loads((tmp_path / "out" / "study.json").read_text())["results"]
        assert results["wine"]["gaussian"]["auroc"] == pytest.approx(np.mean(gaussian))

    def test_splits_keep_anomalies_out_of_training(self):
        train, usual, unusual = anomalies.split("breast_cancer", 1)
        assert (len(train), len(usual), len(unusual)) == (250, 107, 212)
        both = np.concatenate([train.vectors, usual])
        assert len(np.unique(both, axis=0)) == 357
        again = anomalies.split("breast_cancer", 1)[0]
        np.testing.assert_array_equal(train.vectors, again.vectors)
        assert not np.array_equal(train.vectors, anomalies.split("breast_cancer", 2)[0].vectors)
