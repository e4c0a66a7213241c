"""Standard error, held back while something starts; of the standard library alone."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

__all__ = ["silenced", "start_tensorflow"]


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Hold back what is written to standard error, unless the block ends in an error."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except Exception:
            messages.seek(0)
            os.write(kept, messages.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def start_tensorflow(start_devices: bool = True) -> None:
    """Import TensorFlow without the lines that it writes to standard error while it starts.

    They come from C++, before any setting is read, and tell of CPU features and missing GPUs. They
    are shown if it fails to start, or if the environment sets TF_CPP_MIN_LOG_LEVEL.

    Args:
        start_devices: Whether to start them, which have more to say; they cannot be split after.
    """
    shown = "TF_CPP_MIN_LOG_LEVEL" in os.environ
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with contextlib.nullcontext() if shown else silenced():
        import tensorflow as tf

        if start_devices and not shown:
            # The first operation starts the devices.
            tf.constant(0.0)
