"""Composed models, log ratios and the pretrained model, with every sampler, file and precision."""

import pytest
from pairwise import made
from pairwise.covering import covering_array

CASES = covering_array(made.AXES, made.RULES)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(case.values()))
def test_made_models_go_together_with_all_else(case, tmp_path):
    made.check(case, tmp_path)
