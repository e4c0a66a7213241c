"""Training and test steps of a model: checks of a batch, losses, metrics."""

from collections.abc import Callable

import tensorflow as tf

from tf_febm import arguments, parallel, workers
from tf_febm import networks as network_library
from tf_febm.models import inputs, updates
from tf_febm.models.averaging import update_with
from tf_febm.models.chains import Batch
from tf_febm.models.noticing import Noticing
from tf_febm.models.sample_distance import sample_distance

__all__ = ["Steps"]


class Steps(Noticing):
    """The part of a model that takes one step, on a batch that it has checked."""

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The range of the data: the sampler's bounds, or [0, 1] and what the reference saw."""
        found = None if self.reference is None else self.reference.value_range
        if self.bounds is not None or found is None:
            return self.bounds
        # Of data that are not in memory that is a sample, which may be of dark images alone.
        return min(found[0], 0.0), max(found[1], 1.0)

    def train_step(self, data: arguments.Data) -> dict:
        """Take one step on a batch, x or (x, labels)."""
        data = self._checked_batch(data)
        if data.weights is not None and not self._weights_are_relative:
            data = data._replace(weights=self.mean_weight.relative(data.weights))
        if data.labels is not None:
            self.class_counts.add(data)
        # Spectral norms are estimated once for the whole step, chains included.
        with (
            parallel.one_batch(tf.shape(data.samples)[0]),
            network_library.power_iteration(*self.networks),
        ):
            try:
                return self._train_on(data)
            finally:
                updates.forget_losses(*self.networks)

    def test_step(self, data: arguments.Data) -> dict:
        """Measure on a held-out batch, against chains that leave no trace."""
        data = self._checked_batch(data)
        with parallel.one_batch(tf.shape(data.samples)[0]):
            try:
                return self._test_on(data)
            finally:
                updates.forget_losses(*self.networks)

    def _train_on(self, data: Batch) -> dict:
        """Change the weights by one step on a checked batch and return the metrics."""
        raise NotImplementedError

    def _test_on(self, data: Batch) -> dict:
        """Return the metrics of a checked batch."""
        raise NotImplementedError

    def _checked_samples(self, x, what: str = "x") -> tf.Tensor:
        if self.sample_shape is None:
            self.build(tf.convert_to_tensor(x).shape)
        inputs.check_resolution(x, self.bounds, what)
        x = inputs.check_samples(x, self.sample_shape, what)
        return inputs.check_units(x, self.value_range, what)

    def _checked_batch(self, data) -> Batch:
        x, labels, weights = inputs.split_labels(data, self.conditional)
        if not self.built:
            self.build(tf.convert_to_tensor(x).shape)
        x = inputs.check_samples(x, self.sample_shape)
        judged = not inputs.is_fine_by_bounds(self.bounds, x.shape.rank)
        if judged and x.dtype in (tf.float32, tf.float64):
            x = inputs.assert_float32_resolution(x)
        if self.bounds is None:
            x = inputs.check_units(x, self.value_range)
        x = inputs.assert_valid_values(x, self.bounds, labels, self.num_classes)
        if labels is not None:
            # Behind the assertions about them.
            with tf.control_dependencies([x]):
                labels = tf.identity(labels)
        return Batch(x, labels, weights)

    def _update_metrics(self, data: Batch, **values) -> dict:
        """Add scalars of a batch, some of them `Counted`, to the running means; return those."""
        size = tf.cast(tf.shape(data.samples)[0], tf.float32)
        weight = parallel.all_reduce_sum(
            size if data.weights is None else tf.reduce_sum(data.weights)
        )
        some = {n: v for n, v in values.items() if isinstance(v, updates.Counted)}
        values |= {name: found.value for name, found in some.items()}
        counted = {name: found.counted for name, found in some.items()}
        self._means.update_state(values, counted, weight)
        means = self._means.result()
        if workers.spans_workers():
            # Keras reduces what the workers return along an axis, which scalars lack.
            means = {name: value[None] for name, value in means.items()}
        return means

    def _step_of_energy(self, data: Batch, loss_and_metrics: Callable[[], tuple]) -> dict:
        """Let θ alone descend along a loss; return the metrics, the gradients' norm among them."""
        before = self._iterations()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in self.energy_network.trainable_variables])
            loss, described = loss_and_metrics()
        norm = updates.take_step(tape, loss, self.energy_network, self.optimizer, self._fresh)
        self._update_averages(before)
        return self._update_metrics(data, **described, energy_gradient_norm=norm)

    def _iterations(self) -> list[tf.Tensor]:
        """Return of each network that is trained how often its weights were updated so far."""
        return [tf.convert_to_tensor(optimizer.iterations) + 0 for _, optimizer in self._players()]

    def _update_averages(self, before) -> None:
        """Take weights into the averages of the networks that were updated since `before`."""
        averages = {id(network): average for average, network in self._averages().values()}
        for (network, optimizer), count in zip(self._players(), before, strict=True):
            if id(network) in averages:
                update_with(averages[id(network)], optimizer, count)

    def _sample_distance(self, data: Batch, model: Batch):
        """Return the metric `sample_distance` of the whole batch."""
        parts = (data.samples, model.samples, data.weights, model.weights)
        whole = (None if part is None else parallel.all_gather(part) for part in parts)
        return sample_distance(*whole)
