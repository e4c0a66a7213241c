"""Slow copy of an energy network: its exponential moving average as a network of its own."""

from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments, parallel
from tf_febm.models.averaging import averaged_variables, check_decay
from tf_febm.models.chains import Batch
from tf_febm.models.variational import VariationalModel

__all__ = ["SlowEnergyModel", "slow_copy", "update_slow_copy"]


class SlowEnergyModel(VariationalModel):
    """Base of the models that may subtract a slow average of E in the log ratio."""

    # What H is at its optimum.
    ROLE = "log p up to a constant"

    @property
    def _second_role(self) -> str:
        """What the variational network stands for."""
        return f"H, {self.ROLE}" + ", and the slow average of E" * (
            self.slow_energy_decay is not None
        )

    def _set_slow_energy(self, decay: float | None) -> None:
        """Take the decay; before the model's constructor, which builds."""
        self._slow_energy_decay = None if decay is None else check_decay("slow_energy_decay", decay)
        self.slow_energy_network: Any = None

    @property
    def slow_energy_decay(self) -> float | None:
        """The decay of the slow average of the energy, or None; it is settled with the model."""
        return self._slow_energy_decay

    def _add_networks(self) -> None:
        if self.slow_energy_decay is not None:
            self.slow_energy_network = slow_copy(self.energy_network)

    def _build_networks(self) -> None:
        super()._build_networks()
        if self.slow_energy_network is not None:
            self._evaluate(self.slow_energy_network, self._example())
            self.slow_energy_network.set_weights(self.energy_network.get_weights())

    def _slow_energies(self, data: Batch, model: Batch) -> tuple:
        if self.slow_energy_network is None:
            return super()._slow_energies(data, model)
        return tuple(self._evaluate(self.slow_energy_network, batch) for batch in (data, model))

    def _update_averages(self, before) -> None:
        super()._update_averages(before)
        if self.slow_energy_network is not None:
            changed = tf.convert_to_tensor(self.optimizer.iterations) > before[0]
            update_slow_copy(
                self.slow_energy_network, self.energy_network, self.slow_energy_decay, changed
            )

    def state_variables(self) -> dict:
        """Return all that training changes: group name -> list of `tf.Variable`."""
        state = super().state_variables()
        if self.slow_energy_network is not None:
            state["slow_energy"] = [v.value for v in self.slow_energy_network.variables]
        return state

    def _settings(self) -> dict:
        return {**super()._settings(), "slow_energy_decay": self.slow_energy_decay}


def slow_copy(network: arguments.Network) -> keras.Layer:
    """Return a network like another one, with weights of its own that are never trained.

    Raises:
        TypeError: The network cannot be made from its configuration.
    """
    try:
        copied = type(network).from_config(network.get_config())
    except (NotImplementedError, TypeError, ValueError) as error:
        raise TypeError(
            "slow_energy_decay needs an energy network that can be made from its get_config(), as "
            f"functional models can; {network.name} cannot: {str(error).splitlines()[0]}"
        ) from error
    copied.trainable = False
    return copied


def update_slow_copy(
    slow: arguments.Network, network: arguments.Network, decay: Any, changed: Any = True
) -> None:
    """Take the present weights into a slow copy: w̄ ← d w̄ + (1 − d) w.

    Args:
        slow: Result of `slow_copy`, built.
        network: What it is the copy of.
        decay: d, in [0, 1).
        changed: Whether the weights have changed; a scalar tensor, or True.
    """
    weight = tf.cast(changed, tf.float32) * (1.0 - decay)
    for target, source in zip(averaged_variables(slow), averaged_variables(network), strict=True):
        value = tf.convert_to_tensor(source)
        # Every replica has the same weights and updates its own copy: nothing need be sent.
        target = parallel.local(target.value)
        target.assign_add(tf.cast(weight, value.dtype) * (value - target))
