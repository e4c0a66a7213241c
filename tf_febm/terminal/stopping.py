"""Ends of a program by signals: gentle, between two steps, or at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from tf_febm.terminal import signals

__all__ = ["end_at_once", "end_gently"]


def end_gently(
    stop: Any, log: Callable[[str], None], code: int, ending: str, left: Callable[[int], str]
) -> None:
    """Let the first SIGINT or SIGTERM end training between two steps, and a second one at once.

    A step that takes longer than a few seconds more is given up; the state before it is saved.

    Args:
        stop: Its `request` is called; then its `leave`, which returns a step or None.
        log: Takes a line.
        code: The exit code of a process that is left in the middle of a step.
        ending: What happens before the end.
        left: Step -> what to say of a step that was given up.
    """
    # Not `stop.requested`: another worker may have asked, whose signal comes to this one as well.
    seen = threading.Event()

    def notice(number) -> None:
        if seen.is_set():
            return
        seen.set()
        stop.request()
        line = f"{signal.Signals(number).name}: {ending} …\n"
        try:
            # Past `print`, which the signal may have interrupted and which cannot be entered twice.
            os.write(sys.stdout.fileno(), line.encode())
        except (OSError, ValueError):
            log(line.rstrip())

    def handle(number) -> None:
        if handled:
            signals.stop_listening()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        handled.append(number)
        notice(number)

    def leave() -> None:
        step = stop.leave()
        if step is not None:
            log(left(step))
            os._exit(code)

    handled: list[int] = []
    signals.listen(signals.Listener(handle, notice, leave))


def end_at_once(log: Callable[[str], None], code: int, interrupted: str) -> None:
    """Let SIGINT and SIGTERM interrupt what follows, as nothing is lost by it.

    Args:
        log: Takes a line.
        code: The exit code of a process that is left in the middle of something.
        interrupted: What to say if the process has to be left in the middle of something.
    """

    def handle(number) -> None:
        raise KeyboardInterrupt

    def leave() -> None:
        log(interrupted)
        os._exit(code)

    def notice(number) -> None:
        log(f"{signal.Signals(number).name}: ending …")

    signals.listen(signals.Listener(handle, notice, leave))
