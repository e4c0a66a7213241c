"""A saved model scores, samples and trains on as the one that was saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm


def test_keras_file_round_trip(make, images, tmp_path):
    """A compiled one; those of labels are saved in another process and by other methods' tests."""
    batches = tf.data.Dataset.from_tensor_slices(images).batch(32)
    model = make(average_decay=0.9, log_ratio_clip=5.0)
    model.fit(batches, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.energy(images), model.energy(images))
    np.testing.assert_array_equal(loaded.sample(4, seed=1), model.sample(4, seed=1))
    assert loaded.divergence.log_ratio_clip == 5.0
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) == 2
    with loaded.averaged_weights(), model.averaged_weights():
        np.testing.assert_array_equal(loaded.energy(images), model.energy(images))
    # Training goes on as if nothing had happened.
    for one in (model, loaded):
        one.fit(batches, verbose=0)
    for mine, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(loaded.buffer.samples, model.buffer.samples)


def test_an_uncompiled_model_is_saved_too(make, images, tmp_path):
    model = make(compile=False)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.energy(images), model.energy(images))


def test_a_divergence_that_loading_could_not_find_is_refused(make, tmp_path):
    own = tf_febm.divergences.from_generator(lambda u: (u - 1) ** 2 / (u + 1), name="js")
    with pytest.raises(ValueError, match="register"):
        make(own).save(tmp_path / "m.keras")
    model = make("alpha:1.2345678")
    model.save(tmp_path / "m.keras")
    assert keras.models.load_model(tmp_path / "m.keras").divergence.name == "alpha:1.2345678"


class TestAverage:
    def test_against_numpy(self, make, images):
        model = make(average_decay=0.8, eager=True)
        steps, average = [], None

        class Watch(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                steps.append(model.energy_network.get_weights()[0])

        model.fit(images[:24], batch_size=4, verbose=0, callbacks=[Watch()])
        for n, w in enumerate(steps):
            d = min(0.8, n / (n + 10))
            average = w if average is None else d * average + (1 - d) * w
        with model.averaged_weights():
            inside = model.energy_network.get_weights()[0]
        np.testing.assert_allclose(inside, average, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(model.energy_network.get_weights()[0], steps[-1])

    def test_the_weights_come_back_after_an_error(self, make, images):
        model = make(average_decay=0.8, eager=True)
        model.train_on_batch(images[:16])
        before = model.energy_network.get_weights()[0]
        with pytest.raises(RuntimeError), model.averaged_weights():
            raise RuntimeError
        np.testing.assert_array_equal(model.energy_network.get_weights()[0], before)

    def test_there_must_be_one(self, make):
        with pytest.raises(ValueError, match="average_decay"):
            make().averaged_weights()


def test_public_names_exist():
    for module in (tf_febm, tf_febm.samplers, tf_febm.networks, tf_febm.training, tf_febm.data):
        for name in module.__all__:
            assert hasattr(module, name), name
