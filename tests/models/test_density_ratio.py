"""Log density ratios of two samples, against pairs of Gaussians."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tests.launch import forks
from tf_febm import applications, divergences, networks

MEAN = np.array([0.4, -0.2])


def exact(x):
    """log N(x; m, I)/N(x; 0, I) = m·x − ‖m‖²/2."""
    return x @ MEAN - 0.5 * MEAN @ MEAN


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    p, q = rng.standard_normal((2, 16_000, 2))
    return (p + MEAN).astype(np.float32), q.astype(np.float32)


def linear():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="zeros")])


def standard_errors(divergence, count):
    """Return those of the three parameters of a linear r, of so many samples: the sandwich formula.

    Of L = E_p[a(r)] − E_q[b(r)] by differences: the Hessian is A = E_p[a''] − E_q[b''], of features
    (x, 1), and the gradient's covariance B = Var_p[a'] + Var_q[b'].
    """
    step, z = 1e-3, np.random.default_rng(1).standard_normal((200_000, 2))
    found, covariance = 0.0, 0.0
    for x, function, sign in (
        (z + MEAN, divergence.derivative, 1.0),
        (z, divergence.conjugate, -1.0),
    ):
        features = np.c_[x, np.ones(len(x))]
        r = exact(x)
        low, middle, high = (function(tf.constant(r + s)).numpy() for s in (-step, 0.0, step))
        slope, curvature = (high - low) / (2 * step), (high - 2 * middle + low) / step**2
        found = found + sign * (features.T * curvature) @ features / len(x)
        covariance = covariance + np.cov((features * slope[:, None]).T) / count
    inverse = np.linalg.inv(found)
    return np.sqrt(np.diag(inverse @ covariance @ inverse))


@pytest.mark.parametrize("name", divergences.names())
def test_learns_the_ratio_of_two_gaussians(samples, name):
    """In a family that has it the estimate is as near as its own statistics let it be."""
    p, q = samples
    model = tf_febm.DensityRatio(linear(), name)
    rate = keras.optimizers.schedules.CosineDecay(0.05, 200)
    model.compile(keras.optimizers.Adam(rate))
    model.fit(p, q, batch_size=16_000, epochs=200, seed=0, verbose=0)
    kernel, bias = (w.numpy().ravel() for w in model.network.weights)
    errors = standard_errors(model.divergence, len(p))
    off = np.abs(np.r_[kernel, bias] - np.r_[MEAN, -0.5 * MEAN @ MEAN]) / errors
    # 3.5 deviations of 33 numbers: one in two thousand is further out.
    print(name, off, errors)
    assert off.max() < 3.5
    assert errors.max() < 0.15
    history = model.history.history
    assert history["bound"][-1] > history["bound"][0]
    np.testing.assert_allclose(history["loss"], -np.array(history["bound"]), rtol=1e-6)
    # The bound is near D_f of both, of which that of KL is ‖m‖²/2.
    if name == "kl":
        assert history["bound"][-1] == pytest.approx(0.5 * MEAN @ MEAN, abs=0.04)


@pytest.fixture(scope="module")
def fitted(samples):
    keras.utils.set_random_seed(0)
    p, q = samples
    model = tf_febm.DensityRatio(networks.mlp((2,), (16,), "swish"))
    model.compile(keras.optimizers.Adam(0.01))
    return model.fit(p[:3000], q[:2000], epochs=6, seed=1, validation_data=(p[3000:], q[2000:]),
                     verbose=0)  # fmt: skip


def test_a_network_comes_near_and_weighs_samples(fitted, samples):
    p, q = samples
    r = fitted.log_ratio(q).numpy()
    assert np.abs(r - exact(q)).mean() < 0.1
    # Compiled code rounds in its own way.
    np.testing.assert_allclose(r, fitted.predict(q, verbose=0), atol=1e-5)
    # The mean of p from samples of q, for covariate shift; its error by the effective size.
    weights = applications.importance_weights(fitted, q)
    near = 4.0 / np.sqrt(weights.effective_sample_size)
    np.testing.assert_allclose(weights.expectation(q), MEAN, atol=near)
    assert np.abs(q.mean(axis=0) - MEAN).max() > 0.35 > near
    assert weights.log_normaliser == pytest.approx(0.0, abs=0.1)


def test_held_out_samples_and_callbacks(fitted, samples):
    history = fitted.history.history
    assert len(history["val_loss"]) == 6
    p, q = samples
    r_p, r_q = fitted.log_ratio(p[3000:]), fitted.log_ratio(q[2000:])
    # Of "js", f'(u) = log u/(1 + u) up to a constant: logistic regression, 2 log 2 at chance.
    logistic = tf.reduce_mean(tf.nn.softplus(-r_p)) + tf.reduce_mean(tf.nn.softplus(r_q))
    expected = float(logistic) - 2.0 * np.log(2.0)
    assert history["val_loss"][-1] == pytest.approx(expected, abs=1e-5)


def test_the_same_seed_gives_the_same_ratio(samples):
    def ratio():
        keras.utils.set_random_seed(5)
        model = tf_febm.DensityRatio(networks.mlp((2,), (4,)), "kl", log_ratio_clip=3.0)
        model.fit(samples[0][:300], samples[1][:100], batch_size=50, epochs=2, seed=3, verbose=0)
        return model.log_ratio(samples[0]).numpy()

    np.testing.assert_array_equal(ratio(), ratio())


def test_it_is_saved_and_trains_on(fitted, samples, tmp_path):
    p, q = samples
    fitted.save(tmp_path / "ratio.keras")
    loaded = keras.models.load_model(tmp_path / "ratio.keras")
    np.testing.assert_array_equal(loaded.log_ratio(q), fitted.log_ratio(q))
    steps = int(loaded.optimizer.iterations)
    loaded.fit(p, q, verbose=0)
    assert int(loaded.optimizer.iterations) == steps + 63


def test_a_ratio_is_exported(fitted, samples, tmp_path):
    """Of vectors, and of images, of which there are no units to refuse."""
    x = tf.constant(samples[0][:5])
    shape = (2, 1, 1)
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(1)]
    image = tf_febm.DensityRatio(keras.Sequential(layers))
    for model, given in ((fitted, x), (image, tf.reshape(x, (-1, *shape)))):
        tf_febm.export(model, tmp_path / str(given.shape.rank))
        served = tf.saved_model.load(str(tmp_path / str(given.shape.rank))).signatures
        assert {*served} == {"log_density_ratio", "serving_default"}
        found = served["log_density_ratio"](x=given)["log_density_ratio"]
        np.testing.assert_allclose(found, model.log_ratio(given), rtol=1e-5, atol=1e-6)


def test_what_a_network_takes_is_said_beforehand(samples):
    ratio = tf_febm.DensityRatio(networks.mlp((3,), (4,)))
    with pytest.raises(ValueError, match=r"p_samples must have shape \('n', 3\); received"):
        ratio.fit(*samples, verbose=0)
    with pytest.raises(ValueError, match="network must take x alone"):
        tf_febm.DensityRatio(networks.mlp((2,), (4,), num_classes=3))


MIRRORED = """
import sys
import keras, numpy as np, tensorflow as tf
import tf_febm

cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
p, q = np.load(sys.argv[1])
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    with strategy.scope():
        network = [keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="zeros")]
        model = tf_febm.DensityRatio(keras.Sequential(network), "kl")
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    model.fit(p, q, batch_size=40, epochs=3, seed=0, verbose=0)
    print(*model.log_ratio(p[:3]).numpy())
"""


def test_two_replicas_take_the_step_of_one(samples, tmp_path):
    (tmp_path / "mirrored.py").write_text(MIRRORED)
    np.save(tmp_path / "samples.npy", np.stack(samples)[:, :40])
    done = forks.run([sys.executable, tmp_path / "mirrored.py", tmp_path / "samples.npy"])
    one, other = (np.array(line.split(), float) for line in done.stdout.splitlines())
    np.testing.assert_allclose(other, one, rtol=1e-5)
    assert np.abs(one).min() > 1e-3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, p, q: m.fit(p.astype(int), q), TypeError, "p_samples must be floating"),
        (lambda m, p, q: m.fit(p, q[:0]), ValueError, "q_samples must have shape"),
        (lambda m, p, q: m.fit(p, q[:, :1]), ValueError, r"q_samples must have shape \('n', 2\)"),
        (lambda m, p, q: m.fit(p, q, batch_size=0), ValueError, "batch_size must be"),
        (lambda m, p, q: m.fit(p * np.nan, q), ValueError, "p_samples must be finite"),
        (lambda m, p, q: m.fit(p, q, epochs=0), ValueError, "epochs must be a whole number ≥ 1"),
        (lambda m, p, q: m.fit(p, q, initial_epoch=-1), ValueError, "initial_epoch must be"),
        (lambda m, p, q: m.fit(p, q, callbacks=[1]), TypeError, "callbacks must be"),
        (lambda m, p, q: m.fit(p, q, verbose="x"), ValueError, "verbose must be 'auto'"),
        (lambda m, p, q: m.fit(p, q, validation_data=3), ValueError, "validation_data must be"),
        (lambda m, p, q: m.fit(p, q, validation_data=(p,)), ValueError, "validation_data must be"),
        (
            lambda m, p, q: m.fit(p, q, validation_data=(p, q[:, :1])),
            ValueError,
            r"validation_data must have shape \('n', 2\)",
        ),
        (
            lambda m, p, q: m.fit(p, q, validation_data=(p * np.nan, q)),
            ValueError,
            "validation_data must be finite",
        ),
        (lambda m, p, q: m.log_ratio(p[:, :1]), ValueError, r"x must have shape \('n', 2\)"),
        (lambda m, p, q: m.log_density_ratio(p, p), ValueError, "labels were given"),
        (lambda m, p, q: tf_febm.DensityRatio("net"), TypeError, "network must be a Keras"),
        (
            lambda m, p, q: tf_febm.DensityRatio(keras.layers.Dense(1)).log_ratio(p),
            ValueError,
            "no shape yet: fit it first",
        ),
    ],
)
def test_bad_arguments(fitted, samples, call, error, message):
    with pytest.raises(error, match=message):
        call(fitted, *samples)


@pytest.mark.parametrize("call", ["train_on_batch", "test_on_batch", "evaluate"])
def test_a_batch_is_a_pair(call):
    """Keras' own doors lead to the same steps: they used to fail in Python's words."""
    x = np.zeros((8, 3), np.float32)
    ratio = tf_febm.DensityRatio(tf_febm.networks.mlp(3, (4,)))
    ratio.compile()
    for given, error in (
        ((x,), "must be .p_samples, q_samples.*one array"),
        ((x, x[:, :2]), r"q_samples must have shape \('n', 3\)"),
    ):
        with pytest.raises(ValueError, match=error):
            getattr(ratio, call)(*given)
    assert np.isfinite(getattr(ratio, call)(x, x)).all()
    before = [weight.numpy() for weight in ratio.weights]
    bad = x.copy()
    bad[3, 1] = np.nan
    for given, name in (((bad, x), "p_samples"), ((x, np.full_like(x, np.inf)), "q_samples")):
        with pytest.raises(ValueError, match=f"Stopped at a bad batch: NaN or Inf in {name}"):
            getattr(ratio, call)(*given)
    np.testing.assert_equal([weight.numpy() for weight in ratio.weights], before)
