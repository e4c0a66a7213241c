"""What somebody sees and watches who knows Keras: names, one line an epoch, callbacks, cures."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from plane_models import METHODS, model_of, plane

import tf_febm
from tf_febm import networks


def trained(model, **options):
    settings = {"batch_size": 8, "epochs": 1, "verbose": 0, **options}
    return model.fit(plane(8), validation_data=plane(8), **settings)


# --- names --------------------------------------------------------------------------------------


def test_networks_without_a_name_get_that_of_their_part(capsys):
    class TwoParts(keras.Sequential):
        """Keras calls it two_parts."""

    nets = networks.mlp((2,)), TwoParts([keras.Input((2,)), keras.layers.Dense(1)])
    model = tf_febm.FEBM(*nets, "kl", buffer=tf_febm.ReplayBuffer(70), name="mine")
    assert [net.name for net in model.networks] == ["energy", "variational"]
    model.summary()
    shown = capsys.readouterr().out
    assert "energy (Functional)" in shown and "variational (TwoParts)" in shown
    for part in ("FEBM name='mine'", "Divergence('kl')", "Langevin(", "ReplayBuffer(capacity=70,"):
        assert part in repr(model)
    own = networks.mlp((2,), name="functional_energy")
    assert tf_febm.ContrastiveDivergence(own).energy_network.name == "functional_energy"


# --- the line -----------------------------------------------------------------------------------


def test_the_line_is_short_and_the_history_whole(capsys):
    model = model_of("febm")
    added = keras.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: logs.update(mine=2.0))
    history = trained(model, verbose=2, callbacks=[added]).history
    line = capsys.readouterr().out
    for name in ("loss", "energy_gap", "val_sample_distance", "mine"):
        assert f" {name}: " in line
    assert "energy_data" not in line and len(line) < 160
    assert set(history) >= {*model.METRICS, *(f"val_{name}" for name in model.metrics_names)} - {
        "sample_distance"
    }
    trained(model, verbose=2, callbacks=[keras.callbacks.ProgbarLogger()])
    assert "val_log_ratio_std" in capsys.readouterr().out
    model.evaluate(plane(8), verbose=2)
    line = capsys.readouterr().out
    assert "sample_distance" in line and "log_ratio" not in line


# --- what is watched ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", [name for name in METHODS if name != "dual"])
def test_the_monitor_is_in_the_logs(method):
    chains = ("contrastive_divergence", "pseudo_spherical")
    buffer = {"buffer": tf_febm.ReplayBuffer(8)} if method in chains else {}
    model = model_of(method, **buffer)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        stop = keras.callbacks.EarlyStopping(model.monitor, patience=9)
        found = trained(model, epochs=2, callbacks=[stop]).history[model.monitor]
    # It knows that lower is better.
    assert stop.best == pytest.approx(min(found), rel=1e-6) and min(found) < max(found)


def test_what_says_nothing_is_warned_of(tmp_path):
    model = model_of("febm")
    with pytest.warns(UserWarning, match="EarlyStopping watches val_loss.*'val_sample_distance'"):
        trained(model, callbacks=[keras.callbacks.EarlyStopping()])
    best = keras.callbacks.ModelCheckpoint(tmp_path / "m.keras", save_best_only=True)
    with pytest.warns(UserWarning, match="ModelCheckpoint watches val_loss"):
        trained(model, callbacks=[best])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        every = keras.callbacks.ModelCheckpoint(tmp_path / "n.keras")
        trained(model, callbacks=[every, keras.callbacks.EarlyStopping(mode="min")])


def test_chains_that_start_at_the_examples_have_no_monitor():
    model = model_of("contrastive_divergence")
    assert model.monitor is None
    assert "val_sample_distance" not in trained(model).history
    with pytest.warns(UserWarning, match="QualityMetrics"):
        trained(model, callbacks=[keras.callbacks.EarlyStopping()])


# --- cures --------------------------------------------------------------------------------------


def test_single_examples_are_told_from_batches():
    model = model_of("febm")
    single = tf.data.Dataset.from_tensor_slices(plane(8))
    # Whether it knows the shape or not.
    for _ in range(2):
        with pytest.raises(ValueError, match=r"single examples of shape \(2,\).*batch\(64\)"):
            model.fit(single, verbose=0)
        with pytest.raises(ValueError, match=r"x\[None\]"):
            model.predict(plane(8)[0])
        model.build((None, 2))
    with pytest.raises(ValueError, match="validation_data must yield batches"):
        model.fit(plane(8), validation_data=single, verbose=0)


def test_bounds_name_their_cure():
    for shape, cure in (((2,), "from_epsilon"), ((4, 4, 1), "dequantise")):
        model = tf_febm.ContrastiveDivergence(networks.mlp(shape))
        model.compile(run_eagerly=True)
        with pytest.raises(ValueError, match=f"outside the bounds.*{cure}"):
            model.fit(np.full((4, *shape), 7.0, "float32"), verbose=0)
    with pytest.raises(TypeError, match="received uint8.*dequantise"):
        model.energy(np.zeros((2, 4, 4, 1), np.uint8))
