"""Feature networks under other global settings and random states of Keras: the same features."""

import keras
import numpy as np
import pytest

from tf_febm import evaluation


@pytest.fixture
def others():
    """Return what sets everything otherwise, with all restored afterwards."""
    config = keras.config
    before = config.image_data_format(), config.floatx(), config.dtype_policy()

    def change():
        config.set_image_data_format("channels_first")
        config.set_floatx("float64")
        config.set_dtype_policy("mixed_bfloat16")
        # The seed of the classifier alone decides.
        keras.utils.set_random_seed(7)

    yield change
    config.set_image_data_format(before[0])
    config.set_floatx(before[1])
    config.set_dtype_policy(before[2])


def trained():
    rng = np.random.default_rng(0)
    x, y = rng.random((32, 6, 9, 2)), np.arange(32) % 2
    return evaluation.train_classifier(x, y, 2, seed=0, num_steps=3, batch_size=16, filters=4)


@pytest.mark.parametrize("kind", ["classifier", "squeezenet", "keras"])
def test_features_are_the_same(kind, others, small_inception, tmp_path):
    keras.utils.set_random_seed(1)
    if kind == "classifier":
        make, network, shape = trained, trained(), (6, 9, 2)
    elif kind == "squeezenet":
        path = tmp_path / "some.weights.h5"
        evaluation.SqueezeNet.build().save_weights(path)
        make, shape = lambda: evaluation.SqueezeNet(path, side=48), (16, 20, 3)
        network = make()
    else:
        make, shape = lambda: evaluation.KerasInception(small_inception), (16, 20, 3)
        network = make()
    images = np.random.default_rng(1).random((2, *shape)).astype(np.float32)
    expected = network.features(images)
    others()
    found = make().features(images)
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert keras.config.image_data_format() == "channels_first"
    assert keras.config.floatx() == "float64"
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
