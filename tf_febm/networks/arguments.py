"""Checks that every network constructor shares."""

__all__ = ["positive_integer", "shape"]


def positive_integer(name: str, value) -> int:
    """Return `value` as an int, or raise a ValueError that echoes it."""
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"{name} must be a whole number ≥ 1; received {value!r}.")
    return int(value)


def shape(name: str, value, rank: int) -> tuple[int, ...]:
    """Return `value` as a tuple of `rank` positive ints, or raise a ValueError that echoes it."""
    value = (value,) if isinstance(value, int) else tuple(value)
    if len(value) != rank or not all(isinstance(size, int) and size > 0 for size in value):
        raise ValueError(f"{name} must be {rank} positive whole number(s); received {value!r}.")
    return value
