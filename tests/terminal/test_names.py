"""Flags that somebody may have meant."""

import pytest
from absl import flags

from tf_febm.terminal import names


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("drop_index", "Did you mean --drop_columns or --table_index?"),
        ("num_step", "Did you mean: num_steps ?"),
        ("nodrop", "Did you mean --drop_columns?"),
        ("zebra", "'zebra'"),
        ("show_log", "'show_log'"),
    ],
)
def test_flags_that_share_a_word_are_named(given, expected):
    values = flags.FlagValues()
    for name in ("drop_columns", "table_index", "num_steps", *(f"log_{n}" for n in "abcde")):
        flags.DEFINE_string(name, None, "", flag_values=values)
    with pytest.raises(flags.Error) as raised:
        values(["program", f"--{given}=1"])
    assert names.advice(raised.value, values).endswith(expected)
