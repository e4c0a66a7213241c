"""Signals that are noticed at once, whatever the main thread is at.

Python calls a handler between two steps of the interpreter, and in a compiled loop the main thread
may take none for minutes. What stands here listens in a thread of its own. Nothing is imported but
the standard library.
"""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Listener", "listen", "stop_listening"]

NUMBERS = (signal.SIGINT, signal.SIGTERM)
# Seconds that the main thread has, after a signal, to take note of it, and to act on it.
DELAY, PATIENCE = 0.5, 6.0


class Listener(NamedTuple):
    """What is done about SIGINT and SIGTERM.

    Attributes:
        handle: number -> None. Called by Python as a handler is, in the main thread.
        notice: number -> None. Called at the first signal if the main thread has not called
            `handle` after `DELAY` seconds, by another thread.
        leave: () -> None. Called by that thread if the process still listens `PATIENCE` seconds
            after the first signal. It may end the process.
    """

    handle: Callable[[int], None]
    notice: Callable[[int], None]
    leave: Callable[[], None]


class _Ear:
    """The thread that is woken by every signal."""

    def __init__(self):
        self.listener: Listener | None = None
        self.handled = threading.Event()
        ear, mouth = socket.socketpair()
        mouth.setblocking(False)
        self._ear, self._mouth = ear, mouth
        signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    def _listen(self) -> None:
        while True:
            number = self._heard(None)
            listener = self.listener
            if number in NUMBERS and listener is not None:
                self._attend(number, listener)

    def _attend(self, number: int, listener: Listener) -> None:
        """See to it that something comes of a first signal."""
        began = time.monotonic()
        if not self.handled.wait(DELAY) and self.listener is listener:
            listener.notice(number)
        while self.listener is listener:
            left = began + PATIENCE - time.monotonic()
            if left <= 0.0:
                listener.leave()
                return
            again = self._heard(left)
            if again in NUMBERS and self.listener is listener:
                # The handler of the main thread comes first, if that is free to call it.
                time.sleep(2 * DELAY)
                if self.listener is listener:
                    os._exit(128 + again)

    def _heard(self, seconds: float | None) -> int | None:
        self._ear.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            return self._ear.recv(1)[0]
        return None


_ear: _Ear | None = None


def listen(listener: Listener) -> None:
    """Let a listener take the place of the one before; from the main thread.

    Args:
        listener: What is done from now on.
    """
    global _ear
    if _ear is None:
        _ear = _Ear()
    ear = _ear
    ear.handled.clear()
    ear.listener = listener

    def handle(number, frame) -> None:
        ear.handled.set()
        listener.handle(number)

    for number in NUMBERS:
        signal.signal(number, handle)


def stop_listening(handler: Any = None) -> None:
    """End what `listen` began.

    Args:
        handler: What `signal.signal` is to be told from now on; nothing new if None. From another
            thread than the main one it must be None.
    """
    if _ear is not None:
        _ear.listener = None
    for number in NUMBERS if handler is not None else ():
        signal.signal(number, handler)
