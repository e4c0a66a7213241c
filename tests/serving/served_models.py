"""Small models of every kind, and inputs for them."""

import keras
import numpy as np
import tensorflow as tf

import tf_febm

SHAPE = (4, 4, 1)
N, SEED = 5, 2**40 + 7


def nets(classes=None):
    return [
        tf_febm.networks.mlp(SHAPE, (8,), "swish", num_classes=classes, name=name)
        for name in ("energy", "variational")
    ]


def spectral(classes):
    """Convolutions whose norms are state, and labels that shift and scale: the resnets' layers."""

    def network(name):
        x = keras.Input((6, 6, 3))
        label = keras.Input((classes,))
        y = tf_febm.networks.spectral.SpectralConv2D(4, 3)(x)
        y = keras.activations.swish(y)
        y = keras.layers.GlobalAveragePooling2D()(y)
        shift = keras.layers.Dense(4)(label)
        y = tf_febm.networks.spectral.SpectralDense(1)(y * shift)
        return keras.Model((x, label), y, name=name)

    return [network("energy"), network("variational")]


def settings(**further):
    sampler = tf_febm.samplers.Langevin(num_steps=3, noise_scale=0.1)
    return {"sampler": sampler, "buffer": tf_febm.ReplayBuffer(1234), "seed": 1, **further}


def of_vectors():
    """Networks and chains in units of the data, as the launcher makes them for tables."""
    mean, scale = [30.0, -2.0, 0.0], [5.0, 0.5, 1.0]
    energy, variational = (tf_febm.networks.mlp(3, (8,), "swish", name=n) for n in ("e", "h"))
    langevin = tf_febm.samplers.Langevin.from_epsilon(0.1, num_steps=3)
    return tf_febm.FEBM(
        tf_febm.networks.standardised(tf_febm.networks.with_confinement(energy, 1.0), mean, scale),
        tf_febm.networks.standardised(variational, mean, scale),
        **settings(
            sampler=tf_febm.samplers.Preconditioned(
                langevin, tf_febm.networks.GaussianReference.from_moments(mean, scale)
            )
        ),
    )


def bidirectional():
    """A generator with batch normalisation, whose statistics are state."""
    generator = tf_febm.networks.generator_mlp(
        2, SHAPE, (8,), output_activation="sigmoid", batch_norm=True
    )
    sampler = tf_febm.samplers.Langevin(num_steps=3, noise_scale=0.1)
    return tf_febm.BidirectionalEBM(nets()[0], generator, 2, sampler=sampler, seed=1)


def under_a_strategy():
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = tf_febm.FEBM(*nets(), **settings())
        model.compile()
    return model


# Of every class of models one or two: labels are passed on in the same way by all that have them.
MODELS = {
    "febm": lambda: tf_febm.FEBM(*nets(), **settings()),
    "febm_of_labels": lambda: tf_febm.FEBM(*nets(3), **settings()),
    "contrastive_divergence": lambda: tf_febm.ContrastiveDivergence(nets()[0], **settings()),
    "pseudo_spherical_of_labels": lambda: tf_febm.PseudoSpherical(nets(3)[0], **settings()),
    "score_matching": lambda: tf_febm.ScoreMatching(
        nets()[0], sampler=tf_febm.samplers.Langevin(num_steps=3), seed=1
    ),
    "dual_of_labels": lambda: tf_febm.DualFEBM(*nets(3), **settings()),
    "bidirectional": bidirectional,
    "vectors": of_vectors,
    "spectral": lambda: tf_febm.FEBM(*spectral(3), **settings()),
    "strategy": under_a_strategy,
}


def examples_for(model):
    rng = np.random.default_rng(0)
    x = rng.random((N, *model.sample_shape), dtype=np.float32)
    return x, np.array([0, 2, 1, 1, 0], np.int32) if model.conditional else None
