"""What the tests of data sources share."""

import pytest

from tf_febm import data


def fails(kind, message, *arguments, **options):
    """Loading fails with one line; return it."""
    with pytest.raises(kind, match=message) as caught:
        data.load(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)
