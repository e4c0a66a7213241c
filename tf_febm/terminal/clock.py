"""Lengths of time in words, and lines that come by the clock. Nothing but the standard library."""

import re
import threading
import time
from collections.abc import Callable

__all__ = ["LONGEST", "Silence", "duration", "every_few_seconds"]

# Seconds without a line after which somebody who waits is told something.
LONGEST = 8.0


def duration(seconds: float) -> str:
    """Return a length of time in words, in the unit that people would take."""
    for unit, least in (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 1.5 * least:
            return f"{seconds / least:,.{0 if seconds >= 10 * least else 1}f} {unit}"
    return f"{seconds:.2g} seconds" if seconds < 10.0 else f"{seconds:.0f} seconds"


class Silence:
    """Break a long silence: say what is going on, and for how long.

    Args:
        write: Takes a line.
        doing: What is going on, in the beginning.
        longest: Seconds without a line.

    Attributes:
        doing: What is going on; another text may be assigned.
    """

    def __init__(self, write: Callable[[str], None], doing: str, longest: float = LONGEST):
        self.doing, self._write, self._longest = doing, write, longest
        self._said = self._broken = time.monotonic()
        self._ended = threading.Event()

    def begin(self) -> None:
        """Begin to listen, in a thread of its own."""
        threading.Thread(target=self._listen, name="silence", daemon=True).start()

    def note(self, line: str = "") -> None:
        """Take note that something else was said.

        Args:
            line: What it was. One that ends in "…" says what is going on from now on; so does one
                that begins with it, which is for here alone. One that begins with a count is a part
                of what is going on.
        """
        if self.is_aside(line):
            # Nothing was said aloud: the silence goes on, and what is going on begins.
            self.doing, self._said = line.removeprefix("… "), time.monotonic()
            return
        if line and not re.match(r"\[|\d+/\d", line):
            self.doing = line.rstrip(" …") if line.endswith("…") else "at work"
        self._said = self._broken = time.monotonic()

    @staticmethod
    def is_aside(line: str) -> bool:
        """Whether a line only says what is going on, for those who come to wait for it."""
        return line.startswith("… ")

    def _listen(self) -> None:
        while not self._ended.wait(0.5):
            now = time.monotonic()
            if now - self._broken >= self._longest:
                self._broken = now
                self._write(f"… {self.doing}: {duration(now - self._said)}")

    def end(self) -> None:
        """Say nothing more."""
        self._ended.set()


def every_few_seconds(
    log: Callable[[str], None], text: str, seconds: float = 5.0
) -> Callable[[int, int], None]:
    """Return (done, total) -> None that logs `text`, formatted, at most every few seconds."""
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > seconds or done == total:
            last = time.monotonic()
            log(text.format(done, total))

    return report
