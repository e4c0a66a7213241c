"""Lengths of time in words, and lines that break a silence."""

import time

import pytest

from tf_febm.terminal import clock


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.25, "0.25 seconds"), (42.4, "42 seconds"), (89.0, "89 seconds"), (90.0, "1.5 minutes"),
     (3000.0, "50 minutes"), (7200.0, "2.0 hours"), (86_400.0, "24 hours"),
     (405 * 86_400.0, "405 days")],
)  # fmt: skip
def test_durations(seconds, words):
    assert clock.duration(seconds) == words


def test_a_silence_is_broken_and_what_is_said_begins_another():
    lines = []
    silence = clock.Silence(lines.append, "waiting", longest=0.6)
    silence.begin()
    time.sleep(1.6)
    silence.end()
    assert lines and all(line.startswith("… waiting: ") for line in lines)
    silence = clock.Silence(lines.append, "waiting", longest=0.8)
    lines.clear()
    silence.begin()
    for _ in range(8):
        time.sleep(0.2)
        silence.note()
    silence.end()
    assert not lines


def test_what_was_said_last_is_what_is_going_on():
    silence = clock.Silence(print, "waiting")
    silence.note("Drawing 20 samples …")
    assert silence.doing == "Drawing 20 samples"
    silence.note("10/20 samples  8 seconds  ETA 0:08")
    assert silence.doing == "Drawing 20 samples"
    silence.note("… saving the model")
    assert silence.doing == "saving the model"
    silence.note("Done.")
    assert silence.doing == "at work"
