"""Train with an optimizer and a learning-rate schedule of one's own, save, load and go on.

    python examples/own_optimizer.py

Anything that is a Keras optimizer serves, one for each network. Registered classes come back when a
model is loaded, with their state.
"""

# isort: off
import quiet  # noqa: F401  (before TensorFlow, whose lines it holds back)

# isort: on
import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

import tf_febm


@keras.saving.register_keras_serializable(package="examples")
class SignDescent(keras.optimizers.Optimizer):
    """Step by the sign of a running mean of the gradient.

    Args:
        learning_rate: A number or a schedule.
        momentum: Decay of the mean, in [0, 1).
    """

    def __init__(self, learning_rate=1e-3, momentum=0.9, name="sign_descent", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum

    def build(self, variables):
        """Create a mean for each variable."""
        if self.built:
            return
        super().build(variables)
        self.means = self.add_optimizer_variables(variables, "mean")

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable."""
        mean = self.means[self._get_variable_index(variable)]
        self.assign(mean, self.momentum * mean + (1.0 - self.momentum) * gradient)
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * ops.sign(mean))

    def get_config(self):
        """Return the settings."""
        return {**super().get_config(), "momentum": self.momentum}


@keras.saving.register_keras_serializable(package="examples")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rise in a line to the peak, then fall as 1/√step.

    Args:
        peak: The highest rate.
        steps: At which step it is reached.
    """

    def __init__(self, peak, steps):
        self.peak, self.steps = peak, steps

    def __call__(self, step):
        """Return the rate of a step."""
        ratio = (ops.cast(step, "float32") + 1.0) / self.steps
        return self.peak * ops.minimum(ratio, 1.0 / ops.sqrt(ratio))

    def get_config(self):
        """Return the settings."""
        return {"peak": self.peak, "steps": self.steps}


def main():
    """Train, save, load, train on."""
    parser = argparse.ArgumentParser(description="An optimizer of one's own.")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    x = np.asarray(tf_febm.data.dequantise(tf_febm.data.load("digits").images))
    networks = [
        tf_febm.networks.mlp(x.shape[1:], (64, 64), "swish", name=name)
        for name in ("energy", "variational")
    ]
    model = tf_febm.FEBM(
        *networks,
        sampler=tf_febm.samplers.Langevin(num_steps=20),
        buffer=tf_febm.ReplayBuffer(2000),
        l2_coeff=0.1,
        seed=0,
    )
    model.compile(SignDescent(WarmUp(1e-3, 50)), SignDescent(WarmUp(5e-4, 50)))
    model.fit(x, batch_size=64, epochs=options.epochs, verbose=2)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        loaded = keras.models.load_model(Path(folder) / "model.keras")
    loaded.fit(x, batch_size=64, epochs=1, verbose=2)
    optimizer = loaded.optimizer
    print(f"{type(optimizer).__name__} at step {int(optimizer.iterations)}, ", end="")
    print(f"rate {float(optimizer.learning_rate):.3g}")


if __name__ == "__main__":
    main()
