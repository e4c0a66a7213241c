"""Adam with one operation per variable, and the published code's, which clips what it is given."""

from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments

__all__ = ["ClippedAdam", "FusedAdam", "default"]


@keras.saving.register_keras_serializable(package="tf_febm")
class FusedAdam(keras.optimizers.Adam):
    """Take Adam's update of a variable in one operation of TensorFlow.

    `keras.optimizers.Adam` composes the same update from some fifteen operations per variable,
    which take longer than the numbers where a network is small; the same holds for
    `global_clipnorm`. Arguments, slots and results are Keras' own, up to rounding. With `amsgrad`
    and for variables that are spread over devices it does what Keras does. A sparse gradient is
    made dense first: Keras squares the parts of a row that occurs twice one by one, and v is wrong.
    """

    def _clip_gradients(self, grads):
        if not self.global_clipnorm or any(g is None for g in grads):
            return super()._clip_gradients(grads)
        return tf.clip_by_global_norm(grads, self.global_clipnorm)[0]

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        # Once for all variables, not once for each.
        self._powers = self._powers_now()
        try:
            super()._backend_update_step(grads, trainable_variables, learning_rate)
        finally:
            self._powers = None

    # What `update_step` finds while `_backend_update_step` runs, and not when called by itself.
    _powers = None

    def _powers_now(self):
        """Return β₁ᵗ and β₂ᵗ of the update t that is being taken, float32.

        `iterations` counts updates, not batches, where Keras accumulates gradients over several
        batches, and stands still at a step that a loss scale skips.
        """
        if self._powers is not None:
            return self._powers
        step = tf.cast(self.iterations + 1, tf.float32)
        return tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)

    def update_step(
        self, gradient: arguments.Tensor, variable: Any, learning_rate: arguments.Tensor
    ) -> None:
        """Update one variable."""
        index = self._get_variable_index(variable)
        state = [variable, self._momentums[index], self._velocities[index]]
        state = [v.value if isinstance(v, keras.Variable) else v for v in state]
        spread = any(isinstance(v, tf.distribute.DistributedValues) for v in state)
        gradient = tf.convert_to_tensor(gradient)
        if self.amsgrad or spread:
            super().update_step(gradient, variable, learning_rate)
            return
        dtype = state[0].dtype
        powers = self._powers_now()

        def scalar(value):
            return tf.cast(value, dtype)

        tf.raw_ops.ResourceApplyAdam(
            var=state[0].handle,
            m=state[1].handle,
            v=state[2].handle,
            beta1_power=scalar(powers[0]),
            beta2_power=scalar(powers[1]),
            lr=scalar(learning_rate),
            beta1=scalar(self.beta_1),
            beta2=scalar(self.beta_2),
            epsilon=scalar(self.epsilon),
            grad=scalar(gradient),
        )


@keras.saving.register_keras_serializable(package="tf_febm")
class ClippedAdam(FusedAdam):
    """Adam that bounds each gradient entry by what it has seen there before.

    In update t = 1, 2, … each entry g of the gradient is first clipped to

        |g| ≤ 3·√(v/(1 − β₂ᵗ)) + 0.1

    where v is Adam's second moment before the update. Apart from its start, v/(1 − β₂ᵗ) is the mean
    square of the earlier gradients of that very weight, the later ones weighing more: a spike of
    more than three times their root mean square is cut. v begins at zero, so that the first update
    is bounded by 0.1, and the bound of the second is too small by a factor of about √2.

    Takes the arguments of `keras.optimizers.Adam`.

    Source: the optimizer of Du & Mordatch 2019, which the code of Yu et al. 2020 uses.
    """

    def update_step(
        self, gradient: arguments.Tensor, variable: Any, learning_rate: arguments.Tensor
    ) -> None:
        """Clip, then update one variable."""
        velocity = tf.convert_to_tensor(self._velocities[self._get_variable_index(variable)])
        # In float32, for 16 bits cannot tell β₂ᵗ from one.
        unseen = tf.cast(1.0 - self._powers_now()[1], velocity.dtype)
        gradient = tf.cast(tf.convert_to_tensor(gradient), velocity.dtype)
        limit = 3.0 * tf.sqrt(velocity / unseen) + 0.1
        super().update_step(tf.clip_by_value(gradient, -limit, limit), variable, learning_rate)


def default() -> ClippedAdam:
    """Return the optimizer of the paper's image experiments: ClippedAdam(3e-4, β = (0, 0.999))."""
    return ClippedAdam(learning_rate=3e-4, beta_1=0.0, beta_2=0.999)
