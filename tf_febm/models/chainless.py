"""Base of the models whose loss is of the data alone: no negatives, no chains, no second player."""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tf_febm import arguments, energies, parallel
from tf_febm.models import updates
from tf_febm.models.base import EnergyModel
from tf_febm.models.chains import Batch
from tf_febm.models.weights import of_batches

__all__ = ["ChainlessModel", "positive"]


def positive(name: str, value: Any) -> float:
    """Return `value` as a finite float above 0, or raise a ValueError."""
    return arguments.number(name, value, above=True)


@arguments.checked
class ChainlessModel(EnergyModel):
    """Base of `ScoreMatching` and `EnergyDiscrepancy`: θ descends a mean over examples.

    Derivatives and noise are in the coordinates in which the sampler moves: z of a reference or of
    a `samplers.Preconditioned`, else x. A subclass has `l2_coeff`, `class_weight_coeff` and
    `_objective`.
    """

    METRICS: tuple[str, ...] = ("loss", "objective", "energy_data", "energy_gradient_norm")
    SHOWN = ("loss",)
    SETTINGS = dict.fromkeys(("l2_coeff", "class_weight_coeff"), arguments.number)

    l2_coeff: float

    def _objective(self, energy_fn: Callable, z, labels, seed) -> tf.Tensor:
        """Return what θ descends the mean of, [n].

        Args:
            energy_fn: labels -> (z -> E), the labels those of what it is called with.
            z: The examples in the coordinates of the chains, float32 [n, …].
            labels: Integers [n], rows over the classes, or None.
            seed: Integer tensor [2].
        """
        raise NotImplementedError

    @property
    def monitor(self) -> str:
        """The number in the logs of `fit` that falls as the model gets better, `val_loss`."""
        return "val_loss"

    def _train_on(self, data: Batch) -> dict:
        """Take one step of the energy."""
        seed = self.next_seed()
        return self._step_of_energy(data, lambda: self._loss(data, seed, training=True))

    def _test_on(self, data: Batch) -> dict:
        """Measure the objective."""
        return self._update_metrics(data, **self._loss(data, self.evaluation_seed())[1])

    def _loss(self, data: Batch, seed, training: bool = False) -> tuple:
        """Return this replica's share of what θ descends, and the metrics."""
        reference = getattr(self.sampler, "reference", None)
        x = tf.cast(data.samples, tf.float32)

        def energy_fn(labels):
            given = self._energy_given(labels, training)
            return given if reference is None else energies.in_white(given, reference)

        z = x if reference is None else reference.whiten(x)
        each = self._objective(energy_fn, z, data.labels, seed)
        # Last, for the losses that this call adds.
        relative = self._evaluate(self.energy_network, data, training)
        own = updates.losses_of(self.energy_network)
        weights = of_batches(data.weights, data.weights)
        objective = parallel.batch_mean(each, weights.data)
        # Of weight 0, too: a constant in the energy has a gradient then, which is 0.
        penalty = self.l2_coeff * parallel.batch_mean(tf.square(relative), weights.data)
        class_term, classes = self._class_term(data, weights, training)
        penalty += class_term
        energy = parallel.batch_mean(self._whole(relative, data), weights.data)
        told = [weights.told(value) for value in (objective + penalty, objective, energy)]
        total, told_objective, energy = parallel.all_reduce_sum([told[0] + own, *told[1:]])
        return objective + penalty + own, {
            "loss": total,
            "objective": told_objective,
            "energy_data": energy,
            **classes,
        }

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        config = super().get_config()
        # Nothing is drawn in training.
        del config["buffer"]
        return config


def along_rows(x) -> list[int]:
    """Return the axes of what belongs to one example."""
    return list(range(1, x.shape.rank))


def repeated(values, count: int) -> tf.Tensor | None:
    """Return each row `count` times in turn, [n·count, …]; None for None."""
    return None if values is None else tf.repeat(values, count, axis=0)


def mean_of_each(values, count: int) -> tf.Tensor:
    """Return the means of `count` values in turn, [n]."""
    return tf.reduce_mean(tf.reshape(values, [-1, count]), axis=1)


def size_of(shape) -> int:
    """Return how many numbers an example has."""
    return math.prod(shape)
