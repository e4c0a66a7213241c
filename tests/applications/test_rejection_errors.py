"""What rejection sampling refuses, and what it says then."""

import math

import numpy as np
import pytest
from recorder import Recorder

from tf_febm.applications import rejection_filter, rejection_sample


class TestBadInput:
    def test_no_ratio(self, samples_of_q):
        class Plain:
            def sample_batch(self, *args, **kwargs):
                raise AssertionError("drawn from before the ratio was looked for")

        for call in (
            lambda: rejection_sample(Plain(), 3),
            lambda: rejection_filter(Plain(), samples_of_q((1,), 3)),
        ):
            with pytest.raises(TypeError, match=r"Plain has no log_density_ratio.*FEBM"):
                call()

    def test_too_many_proposals(self, exact):
        propose = Recorder((1,))
        settings = {"seed": 1, "propose": propose, "log_bound": 10.0, "batch_size": 64}
        with pytest.raises(RuntimeError) as error:
            rejection_sample(exact((1,)), 100, max_proposals=1000, **settings)
        message = str(error.value)
        assert "of 100 samples after 1000 proposals" in message
        assert "max_proposals" in message and "log_bound=10" in message
        assert sum(len(x) for x in propose.drawn) == 1000

    def test_a_hopeless_run_ends_by_itself(self, exact):
        with pytest.raises(RuntimeError, match="0 of 2 samples after 6400 proposals.*share of 0 "):
            rejection_sample(exact((1,)), 2, seed=1, log_bound=800.0, batch_size=64)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_ratios_that_are_not_finite(self, exact, samples_of_q, bad):
        x = samples_of_q((1,), 30)
        x[3] = bad
        model = exact((1,))
        with pytest.raises(ValueError, match="must be finite; 1 of the 30"):
            rejection_filter(model, x)
        for log_bound in (None, 0.0):
            with pytest.raises(ValueError, match="must be finite; 1 of the 30"):
                rejection_sample(
                    model, 30, propose=lambda c, s: x[:c], log_bound=log_bound, num_pilot=30
                )

    def test_numbers(self, exact):
        model = exact((1,))
        for settings, message in (
            ({"num_accepted": 0}, "num_accepted must be a whole number ≥ 1; received 0"),
            ({"num_accepted": 2.5}, "num_accepted"),
            ({"num_pilot": 0}, "num_pilot"),
            ({"batch_size": 0}, "batch_size"),
            ({"max_proposals": 0}, "max_proposals"),
            ({"log_bound": math.inf}, "log_bound must be a finite number"),
            ({"log_bound": math.nan}, "log_bound must be a finite number"),
            ({"seed": "a"}, "seed is an int"),
            ({"initial": "data"}, "received 'data'"),
            ({"initial": "buffer"}, "needs a replay buffer"),
            ({"propose": 3}, "propose must be callable"),
        ):
            with pytest.raises(ValueError, match=message):
                rejection_sample(model, **{"num_accepted": 3, **settings})
        with pytest.raises(ValueError, match="log_bound must be a finite number"):
            rejection_filter(model, np.zeros((3, 1)), log_bound=math.nan)
        with pytest.raises(ValueError, match="batch_size"):
            rejection_filter(model, np.zeros((3, 1)), batch_size=0)

    def test_shapes(self, exact, samples_of_q):
        model = exact((3,))
        with pytest.raises(ValueError, match=r"\('n', 3\); received \(5, 2\)"):
            rejection_filter(model, samples_of_q((2,), 5))
        with pytest.raises(ValueError, match=r"\[n, …\], n ≥ 1; received \(0, 3\)"):
            rejection_filter(model, samples_of_q((3,), 0))
        with pytest.raises(ValueError, match=r"Asked for 4 proposals; received.*\(5, 3\)"):
            rejection_sample(
                model, 4, propose=lambda c, s: samples_of_q((3,), c + 1), log_bound=0.0
            )

    def test_labels(self, exact, samples_of_q):
        model = exact((1,), (0.5, 0.5), (0.0, 0.0), (1.0, 1.0), conditional=True)
        with pytest.raises(ValueError, match=r"one per sample, shape \[3\]"):
            rejection_sample(model, 3, [0, 1])
        with pytest.raises(ValueError, match="labels must lie in 0 … 1"):
            rejection_sample(model, 3, [0, 1, 2])
        with pytest.raises(ValueError, match="needs labels"):
            rejection_sample(model, 3, propose=Recorder((1,)))
        with pytest.raises(ValueError, match="needs labels"):
            rejection_filter(model, samples_of_q((1,), 3))
        with pytest.raises(ValueError, match="takes none"):
            rejection_sample(exact((1,)), 2, [0, 1])
        with pytest.raises(ValueError, match="keeps the labels"):
            rejection_sample(model, 2, [0, 1], initial="buffer")

    @pytest.mark.parametrize("argument", ["labels", "initial", "num_steps"])
    def test_what_a_foreign_proposal_can_not_heed(self, exact, argument):
        value = {"labels": [0, 1], "initial": "noise", "num_steps": 3}[argument]
        with pytest.raises(ValueError, match=f"{argument} is for the model's own chains"):
            rejection_sample(exact((1,)), 2, propose=Recorder((1,)), **{argument: value})
