"""Small models that train in moments.

Nothing imports TensorFlow before it is asked for: the process that hands tests to the workers has
this module as well, and does not begin before it.
"""

import numpy as np
import pytest

SHAPE = (4, 4, 1)


@pytest.fixture(scope="session")
def images():
    """64 images in [0, 1] with structure: one bright row each."""
    rng = np.random.default_rng(0)
    x = 0.1 * rng.random((64, *SHAPE), dtype=np.float32)
    x[np.arange(64), rng.integers(0, 4, 64)] += 0.8
    x.setflags(write=False)
    return x


@pytest.fixture(scope="session")
def labels():
    found = np.random.default_rng(1).integers(0, 3, 64).astype(np.int32)
    found.setflags(write=False)
    return found


@pytest.fixture(scope="session")
def make():
    """Return a factory of small models, whose few steps may run eagerly: a trace takes longer."""
    import keras

    import tf_febm

    def build(divergence="js", networks=None, compile=True, eager=False, **settings):
        keras.utils.set_random_seed(7)
        classes = settings.pop("classes", None)
        energy, variational = networks or (
            tf_febm.networks.mlp(SHAPE, (16,), "swish", num_classes=classes, name=name)
            for name in ("energy", "variational")
        )
        settings = {
            "sampler": tf_febm.samplers.Langevin(num_steps=3),
            "buffer": tf_febm.ReplayBuffer(100),
            "l2_coeff": 0.1,
            "seed": 3,
            **settings,
        }
        model = tf_febm.FEBM(energy, variational, divergence, **settings)
        if compile:
            model.compile(run_eagerly=eager)
        return model

    return build


@pytest.fixture(scope="module")
def no_curves():
    """Leave the curves out of reports: to draw them takes most of a second in each run.

    tests/training/test_report.py looks at them.
    """
    from tf_febm.training import report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_curves", lambda rows: "")
        yield


@pytest.fixture(scope="module")
def blank_charts(no_curves):
    """Leave all other charts empty, too.

    tests/training/test_callbacks.py and tests/evaluation look at them.
    """
    from tf_febm.evaluation import charts

    def blank(figure):
        width, height = (figure.get_size_inches() * figure.get_dpi()).astype(int)
        return np.full((height, width, 3), 255, np.uint8)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "pixels", blank)
        yield


class FixedSampler:
    """Return the same samples whatever the chain, so that a step can be computed by hand."""

    def __init__(self, samples, bounds=None):
        import tensorflow as tf

        self.samples, self.bounds = tf.constant(samples), bounds

    def __call__(self, energy_fn, initial_state, seed, **options):
        import tensorflow as tf

        return tf.ensure_shape(self.samples, initial_state.shape)


@pytest.fixture
def fixed_sampler():
    return FixedSampler
