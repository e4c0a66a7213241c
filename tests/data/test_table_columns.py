"""Columns of a table that are named: classes of rows, and what is left out."""

import warnings

import numpy as np
import pytest

from tf_febm import data
from tf_febm.data import table as tables
from tf_febm.data.table_questions import label_columns

KINDS = ("cat", "dog")


@pytest.fixture
def table(tmp_path):
    """Twenty rows of two measures, a kind, a remark and a code of few whole numbers."""
    rng = np.random.default_rng(0)
    lines = ["height,kind,weight,remark,outcome"]
    for k in range(20):
        height, weight = rng.normal(size=2)
        lines.append(f"{height:.4f}, {KINDS[k % 2]} ,{weight:.4f},no. {k},{k % 2}")
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines))
    return path


def test_a_column_of_words_becomes_the_classes(table):
    source = data.Source("csv", table, label_column="kind", drop_columns=("remark", "outcome"))
    train, held_out = source.load()
    assert train.columns == ("height", "weight") and train.class_names == KINDS
    assert train.labels.tolist() == [k % 2 for k in range(20) if k % 10 != 9]
    assert held_out.labels.tolist() == [1, 1] and held_out.num_classes == 2
    assert "'remark', 'outcome' left out; classes by 'kind'" in train.source
    stored = source.as_dict()
    assert stored["drop_columns"] == ["remark", "outcome"]
    assert data.Source(**stored).load()[0].columns == train.columns


def test_no_search_among_all_classes_for_each_row(table, monkeypatch):
    """Each row of a table may have a class of its own; a search for each takes hours."""

    class Names(tuple):
        __slots__ = ()

        def index(self, *_):
            raise AssertionError("searched")

    classes = tables._classes
    monkeypatch.setattr(tables, "_classes", lambda texts: Names(classes(texts)))
    found = data.load("csv", table, label_column="remark", drop_columns=["kind", "outcome"])
    assert found.num_classes == 20
    assert [found.class_names[k] for k in found.labels[:3]] == ["no. 0", "no. 1", "no. 2"]


def test_numbers_as_classes_are_in_their_order(tmp_path):
    path = tmp_path / "t.csv"
    rng = np.random.default_rng(0)
    path.write_text("\n".join(f"{rng.normal():.3f},{k % 3 * 5}" for k in range(30)))
    found = data.load("csv", path, label_column="column 2")
    assert found.class_names == ("0", "5", "10") and found.columns == ("column 1",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"kind, holds 'cat'.*--label_column.*--drop_columns"),
        ({"label_column": "sort"}, "no column of the name 'sort'; there are height, kind, weight"),
        ({"drop_columns": ["sort"]}, "no column of the name 'sort'"),
        ({"label_column": "kind", "drop_columns": ["kind"]}, "is label_column and among drop_col"),
        (
            {"drop_columns": ["height", "kind", "weight", "remark", "outcome"]},
            "no column is left beside those that are named",
        ),
    ],
)
def test_bad_names(table, settings, message):
    with pytest.raises(ValueError, match=message):
        data.load("csv", table, **settings)


def test_a_label_that_is_missing(table):
    table.write_text(table.read_text().replace(" dog ", " ", 1))
    with pytest.raises(ValueError, match="line 3 has no label in column 'kind'"):
        data.load("csv", table, label_column="kind", drop_columns=["remark"])


def test_they_are_for_tables():
    with pytest.raises(ValueError, match="label_column is for tables"):
        data.load("digits", label_column="kind")


def test_what_looks_like_a_label_is_warned_of(table):
    dropped = {"drop_columns": ["kind", "remark"]}
    with pytest.warns(UserWarning, match="'outcome' looks like a label.*--label_column=outcome"):
        data.load("csv", table, **dropped)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.load("csv", table, label_column="outcome", **dropped)
        data.load("csv", table, split="test", **dropped)


@pytest.mark.parametrize(
    ("name", "column", "is_label"),
    [
        ("class", [0, 1] * 20, True),
        ("Target", [0, 1, 2, 1] * 10, True),
        ("is_fraud", [0, 1] * 20, True),
        ("isFraud", [0, 1] * 20, True),
        ("y", [-1, 1] * 20, True),
        ("quantity", [0, 1] * 20, False),
        ("target", list(range(40)), False),
        ("target", [0.5, 1.5] * 20, False),
        ("class", [1] * 40, False),
    ],
)
def test_names_and_values_of_labels(name, column, is_label):
    values = np.stack([np.linspace(0.0, 1.0, 40), column], axis=1)
    assert label_columns(["width", name], values) == [1] * is_label
