"""What the numbers of a training are checked against."""

import numpy as np
import pytest

from tf_febm.training import diagnosis, numerical_checks

LIMITS = numerical_checks.Limits()
DATA = {"chain_spread": 0.1, "chain_edge": 0.5}


class TestExamine:
    @pytest.mark.parametrize(
        ("figures", "quantity"),
        [
            ({"bound": float("nan")}, "bound"),
            ({"bound": 0.1, "energy_data": float("-inf")}, "energy_data"),
            ({"energy_gap": -1001.0}, "energy_gap"),
            ({"energy_gap": 999.0}, None),
            ({"chain_spread": 0.9e-4}, "chain_spread"),
            ({"chain_spread": 1.1e-4}, None),
            ({"chain_spread": 0.1, "chain_edge": 1.0}, "chain_edge"),
            ({"chain_spread": 0.1, "chain_edge": 0.99}, None),
            ({}, None),
        ],
    )
    def test_each_limit(self, figures, quantity):
        problem = numerical_checks.examine(figures, [], DATA, LIMITS)
        assert (problem and problem.quantity) == quantity

    def test_a_gap_is_measured_against_its_own_past(self):
        past = [{"energy_gap": gap} for gap in (-40.0, 50.0, 60.0)]
        assert numerical_checks.examine({"energy_gap": 4999.0}, past, DATA, LIMITS) is None
        problem = numerical_checks.examine({"energy_gap": 5001.0}, past, DATA, LIMITS)
        assert problem.limit == 5000.0 and "run away: 5001" in problem.text

    def test_a_gap_does_not_take_its_limit_with_it(self):
        """As it did in a run whose gap doubled from interval to interval, up to 19,000."""
        past = [{"energy_gap": gap} for gap in (1.0, -0.6, -57.0, -500.0, -900.0, -950.0)]
        assert numerical_checks.examine({"energy_gap": -1010.0}, past, DATA, LIMITS).limit == 1000.0

    def test_data_at_the_bounds_excuses_chains_there(self):
        figures = {"chain_spread": 0.2, "chain_edge": 1.0}
        assert (
            numerical_checks.examine(figures, [], {"chain_spread": 0.2, "chain_edge": 1.0}, LIMITS)
            is None
        )
        assert numerical_checks.examine(figures, [], {}, LIMITS).quantity == "chain_edge"

    def test_without_data_only_equal_chains_count_as_collapsed(self):
        assert numerical_checks.examine({"chain_spread": 2e-9}, [], {}, LIMITS) is None
        assert (
            numerical_checks.examine({"chain_spread": 0.0}, [], {}, LIMITS).quantity
            == "chain_spread"
        )


def test_the_worst_of_several_chain_figures():
    one, other = {"chain_spread": 0.1, "chain_edge": 0.2}, {"chain_spread": 0.3, "chain_edge": 0.9}
    assert numerical_checks.worst([one, other]) == {"chain_spread": 0.1, "chain_edge": 0.9}
    broken = {"chain_spread": float("nan"), "chain_edge": 0.0}
    assert np.isnan(numerical_checks.worst([one, broken])["chain_spread"])


def test_chain_figures_of_known_samples():
    """Two coordinates in [−1, 3]: one constant at a bound, one of variance 1 (in units of 16)."""
    samples = np.stack([np.full(100, 3.0), np.tile([0.0, 2.0], 50)], axis=1)
    figures = numerical_checks.chain_figures(samples, (-1.0, 3.0))
    assert figures == pytest.approx({"chain_spread": (1 / 16) / 2, "chain_edge": 0.5})
    assert numerical_checks.chain_figures(samples) == pytest.approx({"chain_spread": 0.5})


@pytest.mark.parametrize(
    ("values", "since"),
    [([1, 2, 3, 2e3], 40), ([1, 200, 3, 2e3], 40), ([1, 150, 800, 2e3], 20)],
)
def test_since_when_a_gap_was_unusual(values, since):
    attempt = [{"step": 10 * (i + 1), "energy_gap": v} for i, v in enumerate(values)]
    problem = numerical_checks.Problem("energy_gap", values[-1], 1000.0, "")
    assert diagnosis.unusual_since(attempt, problem) == since
