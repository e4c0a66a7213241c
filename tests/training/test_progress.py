"""What is said of the time to go."""

import types

import pytest

from tf_febm.training import progress


def test_the_time_to_go_leaves_out_the_compilation(monkeypatch):
    clock, lines = [0.0], []
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: clock[0]))
    shown = progress.Progress(1000, lines.append, every=0.0)
    shown.first_step, shown._epoch_began = 0, 0.0
    # The first step is compiled in 20 seconds; 2 steps a second follow.
    for batch, seconds in enumerate([20.5, *[0.5] * 4]):
        shown.on_train_batch_begin(batch)
        clock[0] += seconds
        shown.on_train_batch_end(batch)
    shown._say(5, "")
    assert "2.0 steps/s" in lines[-1] and "ETA 8:18" in lines[-1]  # Of 995 steps.
    shown.record(5, {})
    assert "2.0 steps/s" in lines[-1]
    # One step alone tells what it took, for want of others.
    alone = progress.Progress(1000, lines.append, every=0.0)
    alone.first_step, alone._epoch_began = 0, clock[0]
    clock[0] += 20.0
    alone.on_train_batch_end(0)
    alone._measure(1)
    assert alone._rate == pytest.approx(1 / 20.0)
