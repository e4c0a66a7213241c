"""Load saved models with nothing but `import tf_febm`, use them, train on; started by a test."""

import sys

import tf_febm

# A divergence of the user's own is known after this line, as in the program that saved it.
tf_febm.divergences.register(
    tf_febm.divergences.from_generator(lambda u: (u - 1) ** 2 / (u + 1), name="le_cam")
)

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

folder = sys.argv[1]
given = np.load(f"{folder}/given.npz")
for name in sys.argv[2:]:
    model = keras.models.load_model(f"{folder}/{name}.keras")
    x, labels = given["x"], given["labels"] if model.conditional else None
    results = {
        "energy": model.energy(x, labels),
        "samples": model.sample(4, seed=1),
        "next": model.sample(4),
        "steps": model.optimizer.iterations.numpy(),
    }
    data = x if labels is None else (x, labels)
    batches = tf.data.Dataset.from_tensor_slices(data).batch(16)
    metrics = model.fit(batches, verbose=0).history
    results |= {f"metric {name}": values for name, values in metrics.items()}
    results |= {f"weight {i}": weight for i, weight in enumerate(model.get_weights())}
    np.savez(f"{folder}/{name}.npz", **results)
