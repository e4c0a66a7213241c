"""Lines about how far training is, by the clock: a step may take milliseconds or an hour."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from tf_febm import arguments
from tf_febm.terminal.clock import LONGEST, duration
from tf_febm.training.recorders import Recorder

__all__ = ["Progress", "counting"]

_SHOWN = {
    "bound": "bound",
    "lower": "lower_bound",
    "upper": "upper_bound",
    "E(data)": "energy_data",
    "E(model)": "energy_model",
}


@arguments.checked
class Progress(Recorder):
    """Report in a line how far training is: step, speed, time to go, energies.

    A line comes with an epoch if the last one is some seconds old, with the first epoch and the
    last; inside `ticking()` also in the middle of an epoch, or of a step.

    Args:
        total_steps: Steps of the whole run.
        write: Function that takes the line; a launcher passes one that prints.
        every: Least seconds between two lines.
        expected_seconds: What a step is expected to take, or 0.
    """

    def __init__(
        self,
        total_steps: int,
        write: Callable[[str], None],
        every: float = 5.0,
        expected_seconds: float = 0.0,
    ):
        super().__init__(every=1)
        self.total_steps, self.write = total_steps, write
        self.seconds = arguments.number("every", every)
        self._rate = 1.0 / expected_seconds if expected_seconds else None
        self._measured = False
        self._taken = 0
        self._epoch_began = self._step_began = self._written = time.monotonic()
        self._any = self._inside = False
        # The first step of all is compiled: it tells nothing of those that come.
        self._compiled: float | None = None

    def on_epoch_begin(self, epoch: int, logs: arguments.Logs | None = None) -> None:
        """Take note of the step."""
        super().on_epoch_begin(epoch, logs)
        self._taken, self._epoch_began = self.first_step, time.monotonic()

    def on_train_batch_begin(self, batch: int, logs: arguments.Logs | None = None) -> None:
        """Take note of the time."""
        self._step_began, self._inside = time.monotonic(), True

    def on_train_batch_end(self, batch: int, logs: arguments.Logs | None = None) -> None:
        """Count the step."""
        self._taken, self._inside = self.first_step + batch + 1, False
        if self._compiled is None:
            self._compiled = time.monotonic()

    def record(self, step: arguments.Whole, logs: arguments.Logs) -> None:
        """Write the line of an epoch, if it is time for one."""
        self._measure(step - self.first_step)
        late = time.monotonic() - self._written >= self.seconds
        if late or not self._any or step >= self.total_steps:
            self._any = True
            shown = (f"{label} {logs[n]:+.4f}" for label, n in _SHOWN.items() if n in logs)
            self._say(step, "  ".join(shown))

    @contextlib.contextmanager
    def ticking(self) -> Iterator[None]:
        """Let lines come from a thread of their own as well, in a `with` block."""
        ended = threading.Event()
        self._written = time.monotonic()

        def tick() -> None:
            while not ended.wait(0.5):
                if time.monotonic() - self._written >= LONGEST:
                    self._say(self._taken, self._at_work())

        threading.Thread(target=tick, name="progress", daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def _at_work(self) -> str:
        if not self._inside:
            return "between two steps"
        here = time.monotonic() - self._step_began
        if here < LONGEST / 2:
            return ""
        usual = "" if self._rate is None else f", of {duration(1.0 / self._rate)} as a rule"
        return f"{duration(here)} into step {self._taken + 1}{usual}"

    def _measure(self, steps: int) -> None:
        """Learn the speed, without the compilation; later epochs are smoothed."""
        rate = self._speed(steps) or steps / max(time.monotonic() - self._epoch_began, 1e-6)
        smooth = self._measured and self._rate is not None
        self._rate = 0.7 * self._rate + 0.3 * rate if smooth else rate
        self._measured = True

    def _speed(self, taken: int) -> float | None:
        """Return the steps a second of this epoch, or None before there are two to tell from."""
        began = self._epoch_began
        if not self._measured and self._compiled is not None:
            began, taken = self._compiled, taken - 1
        return taken / max(time.monotonic() - began, 1e-6) if taken >= 1 else None

    def _say(self, step: int, ending: str) -> None:
        self._written = time.monotonic()
        rate = self._rate
        taken = step - self.first_step if hasattr(self, "first_step") else 0
        if not self._measured and taken >= 1:
            rate = self._speed(taken) or rate
        done = round(20 * step / self.total_steps)
        speed, left = "", "ETA after the first steps"
        if rate:
            slow = f"{duration(1.0 / rate)} a step"
            speed = f"{rate:.1f} steps/s  " if rate >= 0.95 else f"{slow}  "
            left = f"ETA {_left((self.total_steps - step) / rate)}"
        self.write(
            f"[{'█' * done}{'·' * (20 - done)}] {step}/{self.total_steps}  {speed}{left}"
            + (f"  {ending}" if ending else "")
        )


@contextlib.contextmanager
def counting(
    total: int, what: str, report: Callable[[str], None], longest: float = LONGEST
) -> Iterator[Callable[[int], None]]:
    """Report how far some work is, by the clock, in a `with` block; work in no time says nothing.

    Args:
        total: How many there are.
        what: What is counted, such as "samples".
        report: Takes the lines.
        longest: Seconds from one to the next.

    Yields:
        number -> None, to be called with how many are done.
    """
    ended, began, done = threading.Event(), time.monotonic(), 0

    def tick() -> None:
        while not ended.wait(longest):
            spent = time.monotonic() - began
            left = f"ETA {_left(spent * (total - done) / done)}" if done else "ETA after the first"
            report(f"{done}/{total} {what}  {duration(spent)}  {left}")

    def count(number: int) -> None:
        nonlocal done
        done = number

    threading.Thread(target=tick, name="counting", daemon=True).start()
    try:
        yield count
    finally:
        ended.set()


def _left(seconds: float) -> str:
    if seconds >= 3600.0:
        return duration(seconds)
    return f"{round(seconds) // 60}:{round(seconds) % 60:02d}"
