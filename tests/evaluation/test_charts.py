"""Charts: what is drawn where, as matplotlib's own objects tell, and what is refused."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib import rcParams

from tf_febm import evaluation
from tf_febm.evaluation import charts
from tf_febm.training import diagnosis


@pytest.fixture
def figures(monkeypatch):
    """Let charts return their figures instead of pixels."""
    monkeypatch.setattr(charts, "pixels", lambda figure: figure)


def heights(axes):
    """Return the shares of each group of a histogram, by name, and the edges."""
    outlines = {p.get_label(): p.get_data() for p in axes.patches if not p.get_fill()}
    return {name: data.values for name, data in outlines.items()}, next(
        iter(outlines.values())
    ).edges


def test_pixels():
    before = dict(rcParams)
    curves = {name: (range(5), np.arange(5.0)) for name in ("rising", "likewise")}
    picture = evaluation.line_chart(curves, "title", "x", "y")
    assert picture.shape == (750, 1200, 3) and picture.dtype == np.uint8
    # A white frame, and the colour of the line that is on top.
    assert (picture[[0, -1]] == 255).all()
    assert (np.abs(picture.astype(int) - (213, 94, 0)).max(axis=-1) < 3).sum() > 1000
    # What is drawn and how does not depend on, or change, the settings of the user's own plots.
    assert dict(rcParams) == before


def test_lines_break_where_a_number_is_missing(figures):
    y = [0.0, 1.0, np.nan, 7.0, np.inf, 3.0, 4.0]
    (axes,) = evaluation.line_chart({"a": (range(7), y), "": ([1], [2])}, "t", "x", "y").axes
    line, dots, _, lone = axes.lines
    np.testing.assert_array_equal(line.get_ydata(), [0, 1, np.nan, 7, np.nan, 3, 4])
    # A point between two gaps is seen as a dot.
    assert dots.get_xydata().tolist() == [[3, 7]] and lone.get_xydata().tolist() == [[1, 2]]
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("t", "x", "y")
    assert axes.get_legend_handles_labels()[1] == ["a"]


def test_heights_of_a_histogram_are_shares(figures):
    drawn = evaluation.histogram_chart({"a": [[0.0, 0.0], [0.0, 1.0]], "b": [1.0, np.nan, np.inf]})
    shares, edges = heights(drawn.axes[0])
    assert shares["a"][[0, -1]].tolist() == [0.75, 0.25] and shares["a"].sum() == 1
    assert shares["b"][-1] == 1 and (edges[0], edges[-1]) == (0, 1)


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


class TestDensityPlot:
    @pytest.mark.parametrize("scales", [(1.0, 1.0), (0.01, 5000.0)])
    def test_panels_show_what_they_say(self, figures, scales):
        """In any units: columns of 0.01 and of 5,000 are both seen."""
        scales = np.array(scales)
        data = 7.0 * scales + scales * [[0.0, 0.0], [1.0, 1.0], [0.25, 1.0]]

        def energy(x):
            return 0.5 * tf.reduce_sum(tf.square((x - data[2]) / (0.3 * scales)), axis=1)

        panels = evaluation.density_plot(energy, data[2:], data, size=64).axes
        # The range of the data and a fifth of it on either side.
        low, high = 7.0 * scales - 0.2 * scales, 7.0 * scales + 1.2 * scales
        (image,) = panels[0].images
        assert image.get_extent() == pytest.approx([low[0], high[0], low[1], high[1]])
        values = image.get_array()
        cells = [a + (b - a) * (np.arange(64) + 0.5) / 64 for a, b in zip(low, high, strict=True)]
        squares = [
            np.square((c - m) / (0.3 * s)) for c, m, s in zip(cells, data[2], scales, strict=True)
        ]
        expected = -0.5 * (squares[0][None] + squares[1][:, None])
        expected = np.maximum(expected - expected.max(), -12.0)
        # Coordinates of float32: 7 of them in units of 0.3, in a square of at most 24.
        assert image.origin == "lower" and values.min() == -12
        np.testing.assert_allclose(values, expected, atol=1e-4)
        for axes, points in ((panels[1], data[2:]), (panels[2], data)):
            np.testing.assert_array_equal(axes.lines[0].get_xydata(), points)
            assert axes.get_xlim() == pytest.approx((low[0], high[0]))
            assert axes.get_ylim() == pytest.approx((low[1], high[1]))

    def test_a_box(self, figures):
        x = np.zeros((1, 2))
        panels = evaluation.density_plot(lambda x: x[:, 0], x, x, (-2, 3), 32).axes
        assert panels[0].images[0].get_extent() == [-2, 3, -2, 3]
        # −E is largest at the left.
        assert panels[0].images[0].get_array()[:, 0].tolist() == [0.0] * 32

    @pytest.mark.parametrize("lowest", [0.0, math.inf])
    def test_infinite_energies_and_broken_samples_are_drawn_around(self, lowest):
        picture = evaluation.density_plot(
            lambda x: tf.where(x[:, 0] > 0, lowest, np.inf), [[np.nan, 0.0]], [[0.0, 1.0]]
        )
        assert picture.shape == (660, 1500, 3) and picture.dtype == np.uint8

    def test_refuses(self):
        with pytest.raises(ValueError, match=r"samples must have shape \[n, 2\]"):
            evaluation.density_plot(lambda x: x[:, 0], np.zeros((3, 3)), np.zeros((2, 2)))


class TestMarginalPlots:
    def test_samples_beside_data(self, figures):
        data = np.random.default_rng(0).uniform(0.0, 1.0, (500, 2))
        first, second = evaluation.marginal_plots(data * [0.2, 1.0], data, ["age", "size"]).axes[:2]
        shares, edges = heights(first)
        # All within the first fifth of the range, where a fifth of the data is.
        assert shares["samples"][edges[:-1] < 0.2].sum() == pytest.approx(1.0)
        assert shares["data"][edges[:-1] < 0.2].sum() == pytest.approx(0.2, abs=0.1)
        shares, _ = heights(second)
        np.testing.assert_array_equal(shares["samples"], shares["data"])
        assert (first.get_title(), second.get_title()) == ("age", "size")

    def test_outliers_do_not_squeeze_the_rest(self, figures):
        data = np.random.default_rng(0).uniform(0.0, 1.0, (500, 1))
        far = np.concatenate([data, [[1e6], [np.nan], [-np.inf]]])
        shares, edges = heights(evaluation.marginal_plots(far, data).axes[0])
        assert edges[0] >= 0 and edges[-1] <= 1
        np.testing.assert_array_equal(shares["samples"], shares["data"])

    @pytest.mark.parametrize(("d", "shape"), [(1, (500, 600)), (4, (900, 1600))])
    def test_sizes(self, d, shape):
        x = np.random.default_rng(0).normal(size=(20, d))
        assert evaluation.marginal_plots(x, x).shape == (*shape, 3)

    @pytest.mark.parametrize(("n", "d", "m"), [(0, 2, 5), (5, 2, 0), (5, 0, 5)])
    def test_bad_shapes(self, n, d, m):
        with pytest.raises(ValueError, match=r"samples and data must have shapes \[n, d\] and"):
            evaluation.marginal_plots(np.zeros((n, d)), np.zeros((m, d)))
        with pytest.raises(ValueError, match="limit"):
            evaluation.marginal_plots(np.zeros((2, 1)), np.zeros((2, 1)), limit=0)


def test_attempts_of_a_run(figures):
    attempts = [[(0, 1.0), (10, 2.0), (20, math.nan)], [(10, -1e9), (20, math.inf)]]
    (axes,) = diagnosis.draw_attempts("energy_data", attempts, 10).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["attempt 1"].get_xydata().tolist() == [[0, 1], [10, 2]]
    assert lines["attempt 2"].get_xydata().tolist() == [[10, -1e9]]
    assert set(lines["since step 10"].get_xdata()) == {10}
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [line.get_xdata().tolist() for line in crosses] == [[20], [20]]
    assert axes.get_yscale() == "asinh"


def test_svg_holds_all_letters_as_text():
    """Names are not cut off, minus signs are there, and equal charts are equal files."""
    names = "a_long_name_of_a_first_metric", "a_long_name_of_a_second_metric"

    def draw():
        lines = {name: ([0, 1], [-1.0, 2.0]) for name in names}
        return charts.line_figure(lines, "title", "step", "", 4.6, 3.0)

    text = charts.svg(draw())
    assert all(f">{name}</text>" in text for name in names) and ">−1" in text
    assert text == charts.svg(draw())
    figure = draw()
    charts.pixels(figure)
    (legend,) = figure.legends
    edges = legend.get_window_extent()
    assert edges.x0 >= 0 and edges.x1 <= figure.bbox.x1


def test_a_history_is_drawn_with_its_validation():
    history = {"loss": [3.0, 2.0, 1.0], "val_loss": [4.0, 3.0, 2.5], "bound": [0.5, 0.25, 0.125]}
    fit = keras.callbacks.History()
    fit.history = history
    drawn = evaluation.history_figure(fit)
    loss, bound = drawn.axes[:2]
    assert [axes.get_title() for axes in (loss, bound)] == ["loss", "bound"]
    lines = {line.get_label(): line.get_xydata().tolist() for line in loss.lines}
    assert lines["validation"] == [[1, 4], [2, 3], [3, 2.5]] and len(bound.lines) == 1
    # One legend, however often it is drawn.
    (legend,) = drawn.legends
    assert charts.pixels(drawn).shape[2] == 3 and drawn.legends == [legend]
    assert len(evaluation.history_figure(history, ["bound"]).axes) == 1
    with pytest.raises(ValueError, match="names must be some of loss, bound; received"):
        evaluation.history_figure(history, ["val_loss"])
    # The chart of lines takes it as it is, too.
    (axes,) = evaluation.line_figure(history).axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 3], [2, 2], [3, 1]]


def test_charts_are_the_pixels_of_their_figures():
    x = np.random.default_rng(0).normal(size=(50, 2))

    def energy(points):
        return tf.reduce_sum(points**2, axis=1)

    for pixels, drawn in (
        (evaluation.histogram_chart({"a": x}), evaluation.histogram_figure({"a": x})),
        (evaluation.marginal_plots(x, x), evaluation.marginal_figure(x, x)),
        (evaluation.density_plot(energy, x, x), evaluation.density_figure(energy, x, x)),
    ):
        np.testing.assert_array_equal(charts.pixels(drawn), pixels)
