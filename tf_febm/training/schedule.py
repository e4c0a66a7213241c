"""Cutting a number of steps into Keras epochs."""

__all__ = ["steps_in_epochs"]


def steps_in_epochs(start: int, stop: int, interval: int) -> list[tuple[int, int]]:
    """Cut the steps from `start` to `stop` so that epochs end at multiples of `interval`.

    Args:
        start: Steps taken already.
        stop: Steps to have taken in the end.
        interval: Steps between two reports.

    Returns:
        Up to three (steps_per_epoch, epochs): what is left of a broken interval, the whole ones,
        and a shorter last one.
    """
    pieces = []
    if start < stop and start % interval:
        head = min(interval - start % interval, stop - start)
        pieces.append((head, 1))
        start += head
    whole, tail = divmod(max(stop - start, 0), interval)
    if whole:
        pieces.append((interval, whole))
    if tail:
        pieces.append((tail, 1))
    return pieces
