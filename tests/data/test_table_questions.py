"""What may be column names, or an index, is asked about; an answer decides."""

import inspect

import numpy as np
import pytest
import table_cases
from loading import fails
from table_cases import FLOATS, indexed, lines, with_last

from tf_febm import data
from tf_febm.data import table_questions

TRAINED_ON = np.arange(20) % 10 != 9


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a table and returns its path."""

    def write(text):
        path = tmp_path / "t.csv"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(("first", "rows"), table_cases.OPEN_HEADERS)
def test_numbers_that_may_be_names(write, first, rows):
    path = write(lines(first, rows))
    line = fails(ValueError, "may be column names or a row of numbers", "csv", path)
    assert str(path) in line and "--table_header" in line
    if len(rows) < 10:
        return
    named = data.load("csv", path, header=True, index_column=False)
    assert len(named) == 18 and named.columns[2:] == tuple(first.split(",")[2:])
    if first[0].isdigit():
        taken = data.load("csv", path, header=False)
        assert len(taken) == 19 and taken.columns[0] == "column 1"
        np.testing.assert_allclose(taken.vectors[0], [float(v) for v in first.split(",")])
    else:
        fails(ValueError, "line 1, column 1, holds", "csv", path, header=False)


@pytest.mark.parametrize(("first", "rows"), table_cases.ROWS)
def test_rows_that_are_rows(write, first, rows):
    loaded = data.load("csv", write(lines(first, rows)))
    np.testing.assert_allclose(loaded.vectors[0], [float(v) for v in first.split(",")])


def test_names_that_python_would_take_for_numbers(write):
    loaded = data.load("csv", write(lines("2019_1,2019_2,2020_1,2020_2", FLOATS)))
    assert loaded.columns == ("2019_1", "2019_2", "2020_1", "2020_2") and len(loaded) == 18


@pytest.mark.parametrize(("names", "values"), table_cases.OPEN_INDEXES)
def test_an_index_is_asked_about(write, names, values):
    path = write(indexed(names, values))
    which = "the first column, named" if len(names) == 1 else f"the first {len(names)} columns"
    for split in ("train", "test"):
        line = fails(ValueError, f"{which}.*--table_index=drop or keep", "csv", path, split)
        assert all(repr(name.strip('"')) in line for name in names)
    without = data.load("csv", path, index_column=True)
    assert without.columns == ("a", "b", "c", "d") and without.source.endswith("left out")
    np.testing.assert_allclose(without.vectors, np.array(FLOATS)[TRAINED_ON], rtol=1e-6)
    kept = data.load("csv", path, index_column=False)
    assert kept.sample_shape == (len(names) + 4,)


@pytest.mark.parametrize(("name", "values"), table_cases.NO_INDEXES)
def test_columns_that_are_data(write, name, values):
    assert data.load("csv", write(indexed([name], values))).sample_shape == (5,)


@pytest.mark.parametrize(("name", "values"), table_cases.OPEN_LATER_INDEXES)
def test_an_index_behind_other_columns_is_asked_about(write, name, values):
    path = write(with_last(name, values))
    line = fails(ValueError, "the column, named .*--table_index=drop or keep", "csv", path)
    assert repr(name) in line and f"({values[0]}, {values[1]}, {values[2]}, …)" in line
    without = data.load("csv", path, index_column=True)
    assert without.columns == ("a", "b", "c", "d") and without.source.endswith("left out")
    np.testing.assert_allclose(without.vectors, np.array(FLOATS)[TRAINED_ON], rtol=1e-6)
    assert data.load("csv", path, index_column=False).sample_shape == (5,)


@pytest.mark.parametrize(("name", "values"), table_cases.NO_LATER_INDEXES)
def test_columns_behind_others_that_are_data(write, name, values):
    assert data.load("csv", write(with_last(name, values))).sample_shape == (5,)


def test_an_index_in_front_and_one_behind(write):
    rows = [[i, *row, 500 - i] for i, row in enumerate(FLOATS)]
    path = write(lines(",a,b,c,d,id", rows))
    fails(ValueError, "the 2 columns, named '', 'id', may only number", "csv", path)
    assert data.load("csv", path, index_column=True).columns == ("a", "b", "c", "d")


@pytest.mark.parametrize("name", [None, "time"])
def test_a_first_column_that_counts_the_rows_is_warned_of(write, name):
    """Whatever it is called, unless it was said to belong to the data."""
    text = indexed([name or "x"], table_cases.COUNTED)
    path = write(text if name else text.partition("\n")[2])
    with pytest.warns(UserWarning, match=f"column, '{name or 'column 1'}', counts the rows.*drop"):
        assert data.load("csv", path).sample_shape == (5,)
    assert data.load("csv", path, index_column=True).sample_shape == (4,)


def test_a_second_column_that_counts_is_warned_of_where_the_first_is_dropped(write):
    path = write(indexed(["id", "time"], table_cases.COUNTED))
    with pytest.warns(UserWarning, match="'time', counts the rows"):
        assert data.load("csv", path, index_column=True).columns[0] == "time"


def test_only_for_tables(write):
    fails(ValueError, r"header is for tables \(csv\), not for digits", "digits", header=True)
    fails(ValueError, "no column beside the index", "csv", write("1\n2\n3"), index_column=True)


def test_the_client_has_the_same_questions(project):
    """It runs without the library, so it has a copy; the two must not drift."""
    source = inspect.getsource(table_questions)
    same = source[source.index("# --- the same in") :].strip()
    client = (project / "examples" / "score_csv.py").read_text(encoding="utf-8")
    assert same in client and same.count("\ndef ") > 5
