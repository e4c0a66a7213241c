"""Train an energy on the features of a network of keras.applications, and score strangers by it.

    python examples/keras_features.py --weights=imagenet

Without --weights the features are those of an untrained network, which needs no download and tells
digits from strangers all the same, if less well. Trained on some digits, the energy shall be higher
on images that are none.
"""

# isort: off
import quiet  # noqa: F401  (before TensorFlow, whose lines it holds back)

# isort: on
import argparse

import keras
import numpy as np

import tf_febm

SIDE = 32


def features_of(network, images, mean=None, deviation=None):
    """Return standardised features, float32 [n, width], with the mean and deviation used."""
    rgb = np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
    rgb = keras.ops.image.resize(rgb.astype("float32"), (SIDE, SIDE))
    values = network.predict(keras.applications.mobilenet_v2.preprocess_input(rgb), verbose=0)
    if mean is None:
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        # Some features hardly vary; those of an untrained network are small altogether.
        deviation = deviation + 0.1 * deviation.mean()
    return ((values - mean) / deviation).astype(np.float32), mean, deviation


def train(features, epochs):
    """Return an f-EBM of vectors."""
    width = features.shape[1]
    networks = [
        tf_febm.networks.mlp(width, (128,), "swish", name=name) for name in ("energy", "other")
    ]
    model = tf_febm.FEBM(
        *networks,
        sampler=tf_febm.samplers.Langevin.from_epsilon(0.05, num_steps=20),
        buffer=tf_febm.ReplayBuffer(2000),
        l2_coeff=0.01,
        seed=0,
    )
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    model.fit(features, batch_size=64, epochs=epochs, verbose=0)
    return model


def main():
    """Compute features, train, score held-out digits and strangers."""
    parser = argparse.ArgumentParser(description="An energy on features.")
    parser.add_argument("--weights", default=None, help="imagenet, a file, or none")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--images", type=int, default=1000, help="how many to train on")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNetV2(
        (SIDE, SIDE, 3), alpha=0.35, include_top=False, pooling="avg", weights=options.weights
    )
    train_images = tf_febm.data.load("digits", split="train").images[: options.images]
    digits = tf_febm.data.load("digits", split="test").images[:200]
    # The same grey levels in another order: pictures of nothing.
    shuffled = np.random.default_rng(0).permuted(digits.reshape(len(digits), -1), axis=1)
    features, mean, deviation = features_of(network, train_images)
    model = train(features, options.epochs)
    usual, strange = (
        -model.energy(features_of(network, images, mean, deviation)[0]).numpy()
        for images in (digits, shuffled.reshape(digits.shape))
    )
    auroc = tf_febm.evaluation.ood_metrics(usual, strange).auroc
    print(f"features {features.shape[1]}, AUROC of the energy {auroc:.3f}")


if __name__ == "__main__":
    main()
