"""Charts: where a point lands, computed by hand, and what is refused."""

import numpy as np
import pytest

from tf_febm import evaluation
from tf_febm.evaluation import charts


def of_colour(picture, colour, slack=0):
    """Rows and columns of the pixels of a colour."""
    return np.nonzero((np.abs(picture.astype(int) - colour) <= slack).all(axis=-1))


def test_a_line_goes_from_corner_to_corner():
    picture = evaluation.line_chart({"": ([0, 10], [5, 7])})
    left, top, right, bottom = charts.MARGINS
    width, height = charts.SIZE
    assert picture.shape == (height, width, 3) and picture.dtype == np.uint8
    rows, columns = of_colour(picture, charts.COLOURS[0])
    assert abs(columns.min() - left) <= 2 and abs(columns.max() - (width - right)) <= 2
    # It rises: the left end is at the bottom, the right end at the top.
    assert abs(rows[columns.argmin()] - (height - bottom)) <= 4
    assert abs(rows[columns.argmax()] - top) <= 4


def test_a_line_breaks_where_a_number_is_missing():
    y = [0.0, 1.0, np.nan, 1.0, 0.0]
    rows, columns = of_colour(evaluation.line_chart({"": (range(5), y)}), charts.COLOURS[0])
    middle = (charts.MARGINS[0] + charts.SIZE[0] - charts.MARGINS[2]) / 2
    assert not (np.abs(columns - middle) < 50).any()
    assert (columns < middle).any() and (columns > middle).any()


def test_heights_of_a_histogram_are_shares():
    """Three quarters at the left end, one at the right: one bar is three times as high."""
    picture = evaluation.histogram_chart({"": [0.0, 0.0, 0.0, 1.0]})
    mixed = (np.array(charts.COLOURS[0]) * 130 + 255 * 125) / 255
    rows, columns = of_colour(picture, mixed, slack=3)
    base = charts.SIZE[1] - charts.MARGINS[3]
    middle = charts.SIZE[0] / 2
    high, low = (base - rows[side].min() for side in (columns < middle, columns > middle))
    assert high / low == pytest.approx(3.0, rel=0.05)


def test_constant_values_are_drawn():
    for value in (0.0, -3.0, 1e6):
        evaluation.line_chart({"a": ([1], [value])})
        evaluation.histogram_chart({"a": [value, value]})


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="at least one finite point"):
        evaluation.line_chart({"a": ([0.0], [np.nan])})
    with pytest.raises(ValueError, match="at least one finite number"):
        evaluation.histogram_chart({})
    with pytest.raises(ValueError, match=r"a: x and y must be \[n\]"):
        evaluation.line_chart({"a": ([0.0], [1.0, 2.0])})


@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-3.2, 17.0), (1e-5, 2e-5), (-1e6, 3e6)])
def test_ticks_are_round_and_inside(low, high):
    ticks = charts._ticks(low, high)
    assert 3 <= len(ticks) <= 10
    assert all(low - 1e-9 * abs(low) <= tick <= high * (1 + 1e-9) for tick in ticks)
    steps = np.diff(ticks)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    mantissa = steps[0] / 10.0 ** np.floor(np.log10(steps[0]) + 1e-9)
    assert round(mantissa, 6) in (1.0, 2.0, 5.0)
