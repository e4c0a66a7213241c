"""Tables that leave something open and tables that do not, for the library and its client."""

import numpy as np

_RNG = np.random.default_rng(1)
FLOATS = _RNG.normal(size=(20, 4)).round(3).tolist()
WHOLE = np.random.default_rng(1).integers(0, 9, (20, 4)).tolist()
# Whole numbers and others, as in tables of measurements.
MIXED = [[int(a), float(b), int(c)] for a, b, c in np.abs(_RNG.normal(size=(20, 3))) * [50, 1, 9]]
COUNTS = _RNG.integers(0, 5000, (20, 8)).tolist()
COUNTS4 = [row[:4] for row in COUNTS]


def first(rows, width):
    """Return the first columns of rows."""
    return [row[:width] for row in rows]


# (first line, rows below it): may be names, or a row.
OPEN_HEADERS = [
    ("0,1,2,3", FLOATS),
    ("1,2,3,4", FLOATS),
    # Pixels: whole numbers below them too.
    ("0,1,2,3", WHOLE),
    ("0,1,2", first(WHOLE, 3)),
    ("1,2,3", first(WHOLE, 3)),
    ("0,1", first(WHOLE, 2)),
    ("0,1,2", MIXED),
    ("0,1,2", first(WHOLE, 3)[:2]),
    ("0", first(FLOATS, 1)),
    # Years, over whatever, in whatever order.
    ("2019,2020,2021,2022", FLOATS),
    ("2019,2020,2021", first(WHOLE, 3)),
    ("2021,2020,2019", first(COUNTS, 3)),
    ("2020,1990,2005", first(COUNTS, 3)),
    ("2020,2021", first(WHOLE, 2)[:3]),
    ("1700,1650,1600,1550", FLOATS),
    # In no order.
    ("3,1,2,0", FLOATS),
    ("550,450,700", first(FLOATS, 3)),
    ("550,450,700", first(WHOLE, 3)),
    ("4,1,3,2", first(COUNTS, 4)),
    ("1003,2045,1750", MIXED),
    # Wavelengths beside absorbances, and beside counts.
    ("400.5,401.0,401.5,402.0", FLOATS),
    ("1200,1300,1400,1500", first(COUNTS, 4)),
    ("100,150,210,280,360,450,550,660", COUNTS),
    ("100.5,150,210,280.5,360,450,550,660", COUNTS),
    # Names that are floats, as pandas writes them, and names that it has made different.
    ("0.0,1.0,2.0", first(FLOATS, 3)),
    ("0.0,1.0,2.0,3.0", [[float(v) for v in row] for row in WHOLE]),
    ("1.0,2.0,3.0,4.0", FLOATS),
    ("1.0,2.0,3.0", first(FLOATS, 3)),
    ("4.0,1.0,3.0,2.0", COUNTS4),
    ("2019.0,2020.0,2021.0", first(COUNTS, 3)),
    ("0,0.1,1", first(FLOATS, 3)),
    ("0,1,1.1", first(FLOATS, 3)),
    ("0,1,1.1", first(WHOLE, 3)),
    ("0,1,0.1,1.1", FLOATS),
    ("1,1.1,1.2,2", FLOATS),
    ("2019,2019.1,2020,2020.1", COUNTS4),
    # Names and numbers mixed, over rows of numbers.
    ("year,2020,2021,2022", FLOATS),
    (",0,1,2", FLOATS),
    (",,1,2", FLOATS),
]
ROWS = [
    ("0.5,1.5,2.5,3.5", FLOATS[:9]),
    ("1,2", [[2.5, 3.5]]),
    ("1,2,4,5", WHOLE),
    ("7,7,7,7", FLOATS),
    ("0,0,1,0", WHOLE),
    ("0.1,0.2,0.3,0.4", FLOATS),
    ("5", [[0.5], [1.5], [2.5], [3.5]]),
    ("2000,31,1", [[1980 + i, i, i % 3] for i in range(20)]),
    # Rows of years, and rows that rise throughout.
    ("1990,2001,2010", [[1980 + i, 1999 + i % 7, 2003 + i % 5] for i in range(20)]),
    ("1,2,3,5,8,13", [[i, i + 1, 2 * i + 2, 3 * i + 3, 5 * i + 5, 8 * i + 8] for i in range(20)]),
    # Whole by chance, and steps that start with whole numbers.
    ("5.0,3.0", [[5.1 + i / 10, 3.5 - i / 10] for i in range(1, 9)]),
    ("10.0,0.0,5.0", [[10 - i / 7, i / 7, 5 + i / 9] for i in range(1, 6)]),
    ("0.0", first(FLOATS, 1)),
    ("0.0,1.0,2.0", [[i + k for k in range(3)] for i in (0.0, 1.0, 2.0, 0.5, 3.0)]),
    ("0,0.1", first(FLOATS, 2)),
    ("0,0.1,1", [[i, i + 0.1, i + 1] for i in range(20)]),
    ("1,1.2,2", first(FLOATS, 3)),
    ("10,20,30,40", [[i, 2 * i, 3 * i, 4 * i] for i in range(1, 21)]),
]

COUNTED = list(range(20))
SCATTERED = [(7 * i) % 97 for i in range(20)]
REPEATED = [i % 10 for i in range(20)]
# (names of first columns, what they hold): may number the rows.
OPEN_INDEXES = [
    *(
        ([name], values)
        for name in (
            "", '""', "Unnamed: 0", "Unnamed: 0.1", "index", "ID", "Id", "row_id", "idx", "#",
            "PassengerId", "passengerid", "customer id", "CustomerID", "sample-id", "RowID",
            "S.No.", "Sl No", "row number",
        )
        for values in (COUNTED, SCATTERED, REPEATED)
    ),
    *(
        ([name], values)
        for name in ("No.", "no", "Nr", "row", "rows", "obs", "serial number", "case_no", "key")
        for values in (COUNTED, SCATTERED)
    ),
    ([""], [0.5 * i for i in range(20)]),
    (["Unnamed: 0.1", "Unnamed: 0"], COUNTED),
    (["", ""], COUNTED),
    (["", "PassengerId"], SCATTERED),
    (["Unnamed: 0", "Unnamed: 0.1", "id"], REPEATED),
]  # fmt: skip
NO_INDEXES = [
    ("width", COUNTED),
    ("time", SCATTERED),
    ("id", [i / 2 for i in range(20)]),
    ("No.", REPEATED),
    ("row", REPEATED),
    ("acid", SCATTERED),
    ("solid", COUNTED),
    ("refractive index", [1.3 + i / 100 for i in range(20)]),
    ("body-mass index", REPEATED),
    ("notes", COUNTED),
    ("hidden", SCATTERED),
]

# (name of a last column, what it holds): may number the rows.
OPEN_LATER_INDEXES = [
    (name, values)
    for name in ("id", "ID", "PassengerId", "row_id", "index", "customer id", "Unnamed: 4", "")
    for values in (COUNTED, SCATTERED, [1001 + i for i in range(20)])
]
NO_LATER_INDEXES = [
    ("class_id", REPEATED),
    ("id", [i / 2 for i in range(20)]),
    ("atomic number", SCATTERED),
    ("count", COUNTED),
    ("", FLOATS[0] * 5),
]


def lines(names, rows):
    """Return a table as text."""
    return "\n".join([names, *(",".join(map(repr, row)) for row in rows)])


def indexed(names, values):
    """Return a table with the first columns of these names, before four others."""
    rows = [[value] * len(names) + row for value, row in zip(values, FLOATS, strict=True)]
    return lines(",".join([*names, "a", "b", "c", "d"]), rows)


def with_last(name, values):
    """Return a table with a last column of this name, behind four others."""
    rows = [[*row, value] for value, row in zip(values, FLOATS, strict=True)]
    return lines(",".join(["a", "b", "c", "d", name]), rows)
