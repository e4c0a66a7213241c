"""What all launchers do on the console: lines, errors without tracebacks, signals."""

import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable

from absl import logging

# The exit codes of a run: done, failed with a message, ended early and resumable.
DONE, FAILED, STOPPED = 0, 1, 3


def say(line: str) -> None:
    """Print a line at once, whatever the output is connected to."""
    print(line, flush=True)


def import_quietly() -> None:
    """Import TensorFlow without the lines that it writes to standard error while it starts.

    They come from C++, before any setting is read, and tell of CPU features and missing GPUs. They
    are shown if the import fails, or if the environment sets TF_CPP_MIN_LOG_LEVEL.
    """
    logging.set_verbosity(logging.WARNING)
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        import tf_febm  # noqa: F401  (imported for its effect)

        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            import tensorflow as tf

            import tf_febm  # noqa: F401

            # The first operation starts the devices, which have more to say.
            tf.constant(0.0)
        except BaseException:
            messages.seek(0)
            os.write(kept, messages.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def guarded(function: Callable[[], int], *, debug: bool) -> int:
    """Run a function; turn an error into one line and a non-zero exit code.

    Args:
        function: Returns the exit code.
        debug: Whether to let errors through with their traceback.
    """
    warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
    try:
        return function()
    except (ValueError, TypeError, OSError, ArithmeticError, ImportError) as error:
        if debug:
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        print(f"error: {lines[0]}", file=sys.stderr, flush=True)
        if len(lines) > 1:
            print("(--debug shows the whole of it)", file=sys.stderr, flush=True)
        return FAILED


def stop_on_signals(stop) -> None:
    """Let the first SIGINT or SIGTERM end training gently, and a second one at once.

    Args:
        stop: Its `request` is called.
    """

    def handle(number, frame):
        if stop.requested:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        stop.request()
        say(f"{signal.Signals(number).name}: finishing this step and saving a checkpoint …")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
