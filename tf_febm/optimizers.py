"""The optimizer of the published code: Adam that clips gradients by its own second moment."""

import keras
from keras import ops

__all__ = ["ClippedAdam", "default"]


@keras.saving.register_keras_serializable(package="tf_febm")
class ClippedAdam(keras.optimizers.Adam):
    """Adam that bounds each gradient entry by what it has seen there before.

    Before an update each entry of the gradient is clipped to ±(3·√(v/(1 − β₂)) + 0.1), where v is
    Adam's running second moment before the update, not corrected for its start at zero. A spike
    much above the history of that very weight is thus cut; the first update is bounded by 0.1.

    Takes the arguments of `keras.optimizers.Adam`.

    Source: the optimizer of Du & Mordatch 2019, which the code of Yu et al. 2020 uses.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Clip, then update one variable."""
        velocity = self._velocities[self._get_variable_index(variable)]
        spread = ops.sqrt(ops.divide(velocity, 1.0 - self.beta_2))
        limit = ops.cast(3.0 * spread + 0.1, gradient.dtype)
        clipped = ops.minimum(ops.maximum(gradient, -limit), limit)
        super().update_step(clipped, variable, learning_rate)


def default() -> ClippedAdam:
    """Return the optimizer of the paper's image experiments: ClippedAdam(3e-4, β = (0, 0.999))."""
    return ClippedAdam(learning_rate=3e-4, beta_1=0.0, beta_2=0.999)
