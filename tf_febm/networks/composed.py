"""Energies made of other energies: weighted sums, and mixtures of their densities."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, energies
from tf_febm.networks.precision import FullPrecision
from tf_febm.networks.reference import GaussianReference

__all__ = ["ComposedEnergy"]

RULES = ("sum", "mixture")


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class ComposedEnergy(FullPrecision, keras.layers.Layer):
    """Combine the energies E_k of several networks, float32.

        "sum"      E(x) = Σ w_k E_k(x):               q ∝ Π q_k^w_k
        "mixture"  E(x) = −log Σ w_k exp(−E_k(x))/Z_k: q ∝ Σ w_k exp(−E_k)/Z_k

    Args:
        networks: Keras models or layers from x, or (x, one_hot), to [n, 1] or [n].
        rule: "sum" or "mixture".
        weights: One finite number for each; positive ones for a mixture.
        references: For each its `GaussianReference`, whose part is added to E_k, or None.
        classes: For each the number of its classes, or None for one without labels.
        labels: For each the class that it is given, or None for the label that comes with x.
        log_partitions: For each log Z_k, of a mixture; 0 if None.
    """

    def __init__(
        self,
        networks: Sequence[keras.layers.Layer],
        rule: str,
        weights: Sequence[float],
        references: Sequence[GaussianReference | None],
        classes: Sequence[int | None],
        labels: Sequence[int | None],
        log_partitions: Sequence[float] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        revive = keras.saving.deserialize_keras_object
        self.networks = [revive(n) if isinstance(n, dict) else n for n in networks]
        self.references = [revive(r) if isinstance(r, dict) else r for r in references]
        self.rule = arguments.choice("rule", rule, RULES)
        self.weights_of_terms = [float(w) for w in weights]
        self.classes, self.labels = list(classes), list(labels)
        given = [0.0] * len(self.networks) if log_partitions is None else log_partitions
        self.log_partitions = [float(log_z) for log_z in given]

    def build(self, input_shape: arguments.Shape | None = None) -> None:
        """Nothing is left to build: networks build themselves at their first call."""

    def call(self, inputs: arguments.Tensor, training: bool = False) -> Any:
        """Return E(x), [n]."""
        x, rows = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        terms = []
        for network, reference, classes, label in zip(
            self.networks, self.references, self.classes, self.labels, strict=True
        ):
            own = rows
            if label is not None:
                own = tf.one_hot(tf.fill([tf.shape(x)[0]], label), classes)
            given = x if classes is None else (x, own)
            term = tf.cast(energies.per_example(network(given, training=training), x), tf.float32)
            if reference is not None:
                term += tf.cast(reference.energy(x), tf.float32)
            terms.append(term)
        stacked = tf.stack(terms, axis=1)
        if self.rule == "sum":
            return tf.linalg.matvec(stacked, tf.constant(self.weights_of_terms, tf.float32))
        # As logarithms: what weighs e^(−200) may have energies of −200.
        shares = np.log(self.weights_of_terms) - self.log_partitions
        return -tf.reduce_logsumexp(tf.constant(shares, tf.float32) - stacked, axis=1)

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        serialise = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "networks": [serialise(network) for network in self.networks],
            "rule": self.rule,
            "weights": self.weights_of_terms,
            "references": [None if r is None else serialise(r) for r in self.references],
            "classes": self.classes,
            "labels": self.labels,
            "log_partitions": self.log_partitions,
        }
