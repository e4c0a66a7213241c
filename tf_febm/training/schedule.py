"""Counts of training steps, and their division into Keras epochs."""

from tf_febm import arguments
from tf_febm.models import updates

__all__ = ["steps_in_epochs", "steps_taken"]


@arguments.checked
def steps_taken(model: arguments.Model) -> int:
    """Return the number of training steps that a model has taken, each on a batch.

    `optimizer.iterations` is another number where gradients are accumulated: that of the changes of
    the weights. A step that a loss scale skipped, because gradients were not finite, is not taken.

    Args:
        model: A compiled model.
    """
    return int(updates.stepping(model.optimizer)._iterations.numpy())


@arguments.checked
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
