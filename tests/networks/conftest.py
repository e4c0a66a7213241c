"""What tests of networks share."""

import keras
import pytest


@pytest.fixture
def keras_settings():
    """Return `keras.config`, with Keras' global settings restored afterwards."""
    config = keras.config
    before = config.image_data_format(), config.floatx(), config.epsilon(), config.dtype_policy()
    yield config
    config.set_image_data_format(before[0])
    config.set_floatx(before[1])
    config.set_epsilon(before[2])
    config.set_dtype_policy(before[3])
