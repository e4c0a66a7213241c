"""The library's own callbacks, in a plain `model.fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tf_febm
from tf_febm import training

# Few steps run eagerly: a trace takes longer.
ONE_STEP = tf_febm.samplers.Langevin(num_steps=1)


def tags_of(folder):
    return {
        value.tag
        for path in folder.glob("events*")
        for raw in tf.data.TFRecordDataset(str(path))
        for value in tf.compat.v1.Event.FromString(raw.numpy()).summary.value
    }


def test_pictures_and_tensorboard(make, images, tmp_path):
    """Eight steps of 16 images in two epochs; a record every three steps, not at epochs' ends."""
    model = make(average_decay=0.5)
    png, board = tmp_path / "png", tmp_path / "board"
    callbacks = [
        training.SampleGrids(png, 3, board),
        training.EnergyHistograms(images[:8], None, 3, board, png),
        training.ChainDiagnostics(3, board, png, num_chains=4),
        training.QualityMetrics(
            lambda samples: {"mean": samples.mean(), "note": "text"}, 3, num_samples=5, writer=board
        ),
    ]
    model.fit(images, batch_size=16, epochs=2, verbose=0, callbacks=callbacks)
    assert {path.name for path in png.iterdir()} == {
        f"{name}_{step:07d}.png" for name in ("step", "energies", "chain") for step in (3, 6)
    }
    for path in png.iterdir():
        with Image.open(path) as picture:
            assert len(set(picture.convert("L").getdata())) > 2, f"{path} is empty"
    assert tags_of(board) >= {
        "samples", "energy/data", "energy/samples", "mean",
        "chain/energy_first", "chain/energy_last", "chain/gradient_norm", "chain/clipped_fraction",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["HMC", "MALA", "generator"])
def test_chains_of_every_sampler(tmp_path, name):
    """They tell different things, and a generator's samples come from no chain."""
    if name == "generator":
        model = tf_febm.BidirectionalEBM(
            tf_febm.networks.mlp(2, (4,)), tf_febm.networks.generator_mlp(2, 2, (4,)), 2,
            sampler=tf_febm.samplers.Langevin.from_epsilon(0.1, 3),
        )  # fmt: skip
    else:
        sampler = getattr(tf_febm.samplers, name)(0.1, num_steps=3)
        model = tf_febm.ContrastiveDivergence(tf_febm.networks.mlp(2, (4,)), sampler=sampler)
    model.compile(run_eagerly=True)
    x = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)
    more = {"num_steps": 8, "convergence": True} if name == "MALA" else {}
    callback = training.ChainDiagnostics(1, tmp_path / "board", tmp_path, num_chains=4, **more)
    history = model.fit(x, batch_size=16, verbose=0, callbacks=[callback]).history
    told = {"gradient_norm", "clipped_fraction" if name == "generator" else "acceptance"}
    if more:
        # At epochs' ends they are among the logs.
        figures = {"rhat", "effective_sample_size", "stein", "distance", "distance_at_start"}
        told |= figures
        assert all(np.isfinite(history[f"chain_{figure}"][0]) for figure in figures)
    assert tags_of(tmp_path / "board") >= {
        f"chain/{figure}" for figure in {"energy_first", "energy_last", *told}
    }
    assert (tmp_path / "chain_0000001.png").exists()


def test_quality_figures_reach_other_callbacks(make, images):
    """The best of the measured figures stops training two epochs after it."""
    figures = iter([3.0, 1.0, 2.0, 2.0, 2.0])
    quality = training.QualityMetrics(
        lambda samples: {"distance": next(figures)}, 1, num_samples=2, names=["distance"]
    )
    stop = keras.callbacks.EarlyStopping("distance", mode="min", patience=2)
    history = make(eager=True, sampler=ONE_STEP).fit(
        images, batch_size=64, epochs=5, verbose=0, callbacks=[quality, stop]
    )
    assert history.history["distance"] == [3.0, 1.0, 2.0, 2.0]


def test_pictures_need_images():
    model = tf_febm.ContrastiveDivergence(
        tf_febm.networks.mlp(2, (3,)), sampler=tf_febm.samplers.Langevin.from_epsilon(0.1, 1)
    )
    model.compile()
    with pytest.raises(ValueError, match=r"needs images .* shape \(2,\), bounds None"):
        model.fit(
            np.zeros((4, 2), np.float32), verbose=0, callbacks=[training.SampleGrids("grids", 1)]
        )


class TestAveragedWeights:
    def test_against_numpy(self, make, images, tmp_path):
        model, steps = make(eager=True, sampler=ONE_STEP), []
        first = model.energy_network.get_weights()[0]
        average = training.AveragedWeights(0.8, tmp_path / "below" / "m.keras")
        watch = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: steps.append(
                model.energy_network.get_weights()[0]
            )
        )
        model.fit(images, batch_size=16, epochs=2, verbose=0, callbacks=[average, watch])
        expected = first
        for n, weight in enumerate(steps):
            d = min(0.8, n / (n + 10))
            expected = d * expected + (1 - d) * weight
        found = model.energy_network.get_weights()[0]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert np.abs(found - steps[-1]).max() > 1e-5
        loaded = keras.models.load_model(tmp_path / "below" / "m.keras")
        np.testing.assert_allclose(loaded.energy(images), model.energy(images), rtol=1e-5)
        assert [path.name for path in (tmp_path / "below").iterdir()] == ["m.keras"]

    def test_of_a_model_that_keeps_one_it_is_the_models_own(self, make, images):
        model = make(average_decay=0.7, eager=True, sampler=ONE_STEP)
        average = training.AveragedWeights(swap_at_end=True)
        model.fit(images, batch_size=32, verbose=0, callbacks=[average])
        found = model.energy_network.get_weights()[0]
        np.testing.assert_array_equal(found, model.average.averages[0])
