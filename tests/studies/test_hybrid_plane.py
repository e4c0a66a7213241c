"""The study of the loss of classes in the plane, in small; its parts against finite differences."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from studies import hybrid_plane
from tf_febm import networks


def test_the_whole_of_it_in_small(study, tmp_path, monkeypatch):
    monkeypatch.setattr(hybrid_plane, "WEIGHTS", (10.0,))
    line = ["--holds=shift_invariant", "--divergences=js", "--seeds=1", "--steps=2"]
    line += [f"--logdir={tmp_path}", f"--out={tmp_path / 'out'}"]
    code, _, errors = study("hybrid_plane", *line)
    assert code == 0, errors
    measured = json.loads((tmp_path / "out" / "hybrid_plane.json").read_text())
    row = measured["results"]["js, shift_invariant"]["10"]
    # Two steps: classes nearly by chance, and r nearly what it began with.
    assert row["log_loss"] > 0.5 and row["spread"] < 1.0 and [*row["parts"]] == ["2"]
    assert len(hybrid_plane.table(measured)) == 2 + 1
    code, _, errors = study("hybrid_plane", "--holds=hope")
    assert code == 1 and "--holds must be of nothing, l2_coeff=1" in errors


def test_what_moves_the_log_ratio():
    """A small step of plain gradient descent moves the mean of r by the parts of its loss."""
    keras.utils.set_random_seed(0)
    x, labels = hybrid_plane.points(256, 3)
    np.testing.assert_allclose(np.bincount(labels) / len(x), 1 / 3, atol=0.1)
    model = tf_febm.FEBM(
        *(networks.mlp((2,), (8,), "swish", num_classes=3) for _ in range(2)),
        reference=networks.GaussianReference().adapt(x),
        class_weight_coeff=2.0,
        l2_coeff=0.0,
        simultaneous=True,
        seed=0,
    )
    rate = 1e-3
    model.compile(*(keras.optimizers.SGD(rate) for _ in range(2)), run_eagerly=True)
    # The chains of a step and those of the measurement are the same points: those that are given.
    chains = model._negatives_of(tf_febm.models.chains.Batch(tf.constant(x), tf.constant(labels)))
    model._negatives_of = lambda *_, **__: chains
    before = hybrid_plane.moves_of_log_ratio(model, x, labels)
    model.train_on_batch(x, labels)
    moved = hybrid_plane.moves_of_log_ratio(model, x, labels)["mean"] - before["mean"]
    expected = rate * (before["bound"] + before["classes"] + before["omega"])
    assert abs(before["classes"]) > 1e-3
    assert moved == pytest.approx(expected, rel=0.02, abs=1e-6)
