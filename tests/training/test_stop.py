"""Requests to stop: none is lost, and all workers heed one at the same step."""

import signal

import pytest
import tensorflow as tf

from tf_febm import training, workers
from tf_febm.terminal import signals

ALONE = tf.distribute.get_strategy()


def test_a_request_while_others_are_asked_is_not_lost(monkeypatch):
    stop = training.GracefulStop()

    def any_worker(strategy, value):
        stop.request()
        return value

    monkeypatch.setattr(workers, "any_worker", any_worker)
    assert not stop.agree(ALONE) and stop.requested
    assert stop.agree(ALONE) and stop.ending


def test_another_workers_request_is_not_ones_own(monkeypatch):
    stop = training.GracefulStop()
    monkeypatch.setattr(workers, "any_worker", lambda strategy, value: True)
    assert stop.agree(ALONE) and stop.ending and not stop.requested


@pytest.fixture
def handlers():
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    signals.stop_listening()
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_the_first_signal_is_the_first_whoever_asked_before(handlers, capsys, monkeypatch):
    import console

    killed = []
    monkeypatch.setattr(console.os, "kill", lambda process, number: killed.append(number))
    stop = training.GracefulStop()
    console.stop_on_signals(stop)
    stop.ending = stop.requested = True
    signal.raise_signal(signal.SIGTERM)
    assert "SIGTERM: finishing this step and saving a checkpoint" in capsys.readouterr().out
    assert killed == []
    signal.raise_signal(signal.SIGTERM)
    assert killed == [signal.SIGTERM]
