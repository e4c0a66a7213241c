"""What all launchers do on the console: lines, errors without tracebacks, signals.

Import it before TensorFlow: it silences the library's start-up messages, unless the environment
asks for them.
"""

import os
import signal
import sys
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# The exit codes of a run: done, failed with a message, ended early and resumable.
DONE, FAILED, STOPPED = 0, 1, 3


def say(line: str) -> None:
    """Print a line at once, whatever the output is connected to."""
    print(line, flush=True)


def guarded(function: Callable[[], int], *, debug: bool) -> int:
    """Run a function; turn an error into one line and a non-zero exit code.

    Args:
        function: Returns the exit code.
        debug: Whether to let errors through with their traceback.
    """
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
