"""Data parallelism: reductions over replicas, and state of each replica.

Inside the replicas of a `tf.distribute` strategy a batch is in parts. A step on N replicas is the
step of one device on the whole batch if every mean is that of the whole batch: losses are summed
over replicas as *shares*, so gradients are, and what enters non-linearly is added up first. Outside
of replicas, and with a single one, every function here does nothing and adds no operation.
"""

import concurrent.futures
import contextlib
import contextvars
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tf_febm import arguments, rendezvous
from tf_febm.renamed import earlier_names

__all__ = [
    "all_gather",
    "batch_mean",
    "batch_size",
    "check_batch_size",
    "check_spread",
    "copy_first",
    "distribute",
    "for_each_local_replica",
    "has_accelerator",
    "local",
    "make_strategy",
    "mean_and_std",
    "one_batch",
    "replica_number",
    "replicas",
    "take_gradients_as_given",
    "all_reduce_sum",
    "weight_shares",
]

STRATEGIES = ("default", "mirrored", "multi_worker")

# The size of the whole batch, in a replica. A context variable: replicas are traced in threads.
_SIZE: contextvars.ContextVar = contextvars.ContextVar("tf_febm_batch_size", default=None)


# --- inside a replica ---------------------------------------------------------------------------


def replicas() -> int:
    """Return the number of replicas that run the present step together; 1 outside of them."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def replica_number() -> int:
    """Return the number of the present replica among all, from 0; 0 outside of them."""
    if replicas() == 1:
        return 0
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    return int(tf.get_static_value(number))


@arguments.checked
def local(variable: Any) -> Any:
    """Return the present replica's component of a variable; the first outside of replicas.

    What is assigned to it stays in this replica.

    Args:
        variable: A `tf.Variable`, spread over devices or not.
    """
    if not isinstance(variable, tf.distribute.DistributedValues):
        return variable
    parts = variable.distribute_strategy.experimental_local_results(variable)
    # The replicas of a worker are numbered in a row.
    return parts[replica_number() % len(parts)]


@arguments.checking({"values": None})
def all_reduce_sum(values: arguments.Tensor) -> Any:
    """Return the sum over all replicas.

    Args:
        values: A tensor, or a list of tensors and None, which stays None.
    """
    if replicas() == 1:
        return values
    context = tf.distribute.get_replica_context()
    if not isinstance(values, (list, tuple)):
        return context.all_reduce(tf.distribute.ReduceOp.SUM, values)
    given = [value for value in values if value is not None]
    added = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, given))
    return [None if value is None else next(added) for value in values]


@arguments.checking({"values": None})
def all_gather(values: arguments.Tensor) -> tf.Tensor:
    """Return the parts of all replicas behind one another, [n₁ + n₂ + …, …]; of one, its own."""
    if replicas() == 1:
        return values
    return tf.distribute.get_replica_context().all_gather(values, axis=0)


@contextlib.contextmanager
@arguments.checked
def one_batch(count: arguments.Whole) -> Iterator[None]:
    """Let the means in a `with` block be those of the whole batch, all replicas together.

    Args:
        count: Examples of this replica, an int32 scalar; as many of the data as of the model.
    """
    if replicas() == 1:
        yield
        return
    token = _SIZE.set(all_reduce_sum(tf.cast(count, tf.float32)))
    try:
        yield
    finally:
        _SIZE.reset(token)


@arguments.checked
def batch_mean(values: arguments.Numbers, weights: arguments.Numbers | None = None) -> tf.Tensor:
    """Return this replica's share of a mean over the whole batch: all shares add up to it.

    Outside of a `one_batch` block it is the mean.

    Args:
        values: Floating, [n].
        weights: Constants ≥ 0, [n], for (1/n) Σ wᵢvᵢ; None for weights of 1.
    """
    if weights is not None:
        values = tf.cast(weights, values.dtype) * values
    size = _SIZE.get()
    if size is None:
        return tf.reduce_mean(values)
    return tf.reduce_sum(values) / tf.cast(size, values.dtype)


@arguments.checked
def weight_shares(weights: arguments.Numbers, dtype: arguments.DtypeLike = tf.float32) -> tf.Tensor:
    """Return wᵢ / Σ wⱼ, [n], the sum going over the whole batch; zeros if all weights are 0.

    Args:
        weights: Real, at least 0, [n].
        dtype: Of the result.
    """
    weights = tf.cast(weights, dtype)
    return tf.math.divide_no_nan(weights, all_reduce_sum(tf.reduce_sum(weights)))


@arguments.checked
def batch_size(values: arguments.Numbers) -> tf.Tensor:
    """Return the number of examples in the whole batch, of the dtype of `values`, [n]."""
    size = _SIZE.get()
    return tf.cast(tf.shape(values)[0] if size is None else size, values.dtype)


@arguments.checked
def mean_and_std(
    values: arguments.Numbers, shares: arguments.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return mean and standard deviation over all replicas.

    Args:
        values: Floating, [n].
        shares: What each counts for, [n], with a sum of 1 over all replicas; None for equal ones.
    """
    if shares is not None:
        mean = all_reduce_sum(tf.reduce_sum(shares * values))
        return mean, tf.sqrt(all_reduce_sum(tf.reduce_sum(shares * tf.square(values - mean))))
    if replicas() == 1:
        return tf.reduce_mean(values), tf.math.reduce_std(values)
    count, added = all_reduce_sum([tf.cast(tf.size(values), values.dtype), tf.reduce_sum(values)])
    mean = added / count
    return mean, tf.sqrt(all_reduce_sum(tf.reduce_sum(tf.square(values - mean))) / count)


# --- around the replicas ------------------------------------------------------------------------


@arguments.checked
def take_gradients_as_given(optimizer: arguments.Optimizer) -> None:
    """Keep an optimizer from adding up gradients over replicas: the model has done so.

    Keras' optimizers clip before they add up, which on N replicas is another clipping than on one,
    and gradient norms could not be told without adding up twice.

    Args:
        optimizer: A Keras optimizer.

    Raises:
        ValueError: It was made outside of the strategy's scope, or accumulates gradients over
            steps, which TensorFlow does not do there.
    """
    strategy = tf.distribute.get_strategy()
    if strategy.num_replicas_in_sync == 1:
        return
    # An optimizer that scales losses has the one inside it take the step.
    for part in (optimizer, getattr(optimizer, "inner_optimizer", None)):
        if part is None:
            continue
        if part._distribution_strategy is not strategy:
            raise ValueError(
                "Make the optimizers inside strategy.scope(), where the model is made."
            )
        if part.gradient_accumulation_steps:
            raise ValueError(
                "gradient_accumulation_steps needs a single replica; received "
                f"{part.gradient_accumulation_steps} with {strategy.num_replicas_in_sync} replicas:"
                " take batches that much larger."
            )
        # Keras offers no public way; tests compare with one replica, and would notice a change.
        part._all_reduce_sum_gradients = _as_given


def _as_given(gradients_and_variables):
    return list(gradients_and_variables)


@arguments.checked
def for_each_local_replica(create: Callable) -> list:
    """Make something on the device of every replica of this process that is its alone.

    Variables that it makes are not the strategy's: they hold what they are given, on this device,
    and are not kept equal. A strategy across workers cannot have that otherwise, as it would send
    the first worker's initial value to all, which works for few dtypes.

    Args:
        create: Called for each replica, or once if there is no strategy.

    Returns:
        A list of what was returned.
    """
    if not tf.distribute.has_strategy():
        return [create()]

    def run(device):
        with tf.device(device):
            return create()

    # The scope of a strategy is that of a thread.
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        devices = tf.distribute.get_strategy().extended.worker_devices
        return [pool.submit(run, device).result() for device in devices]


@arguments.checked
def check_spread(name: str, variables: Any, strategy: arguments.Strategy | None) -> None:
    """Raise a ValueError if variables were not made inside the scope of a strategy."""
    if strategy.num_replicas_in_sync == 1:
        return
    for variable in variables:
        if not isinstance(variable.value, tf.distribute.DistributedValues):
            raise ValueError(
                f"The network {name} must be made inside strategy.scope(), like the model; its "
                f"variable {variable.path} was not."
            )


@arguments.checked
def copy_first(variable: Any) -> None:
    """Give all components of a variable the value of the first."""
    if isinstance(variable, tf.distribute.DistributedValues):
        first, *others = variable.distribute_strategy.experimental_local_results(variable)
        for other in others:
            other.assign(first)


def has_accelerator() -> bool:
    """Return whether TensorFlow finds a GPU or a TPU on this machine."""
    return any(device.device_type != "CPU" for device in tf.config.list_physical_devices())


@arguments.checked
def make_strategy(
    name: str = "default", num_replicas: int | None = None, *, wait_seconds: float = 600.0
) -> tf.distribute.Strategy:
    """Return a `tf.distribute` strategy; call it before the first operation of TensorFlow.

    Args:
        name: "default", one device; "mirrored", all GPUs of this machine, or logical CPUs;
            "multi_worker", all GPUs, or the CPU, of every process that TF_CONFIG names.
        num_replicas: For "mirrored": so many GPUs, or so many logical CPUs if there is no GPU.
        wait_seconds: For "multi_worker": how long to wait for the other processes.

    Raises:
        ValueError: The name is unknown, a number does not go with it, or TF_CONFIG is bad.
        OSError: The port of this worker is taken, or another worker has not come in time.
    """
    if name not in STRATEGIES:
        raise ValueError(f"name must be one of {', '.join(STRATEGIES)}; received {name!r}.")
    if num_replicas is not None and name != "mirrored":
        raise ValueError(f"num_replicas goes with strategy mirrored, not with {name}.")
    if name == "default":
        return tf.distribute.get_strategy()
    if name == "multi_worker":
        rendezvous.wait_for_all(*_addresses(), arguments.number("wait_seconds", wait_seconds))
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_physical_devices("GPU")
    if num_replicas is None or gpus:
        if num_replicas is not None and num_replicas > len(gpus):
            raise ValueError(f"num_replicas must be at most {len(gpus)}, the number of GPUs here.")
        devices = None if num_replicas is None else [f"GPU:{i}" for i in range(num_replicas)]
        return tf.distribute.MirroredStrategy(devices)
    try:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * num_replicas,
        )
    except RuntimeError:
        if len(tf.config.list_logical_devices("CPU")) < num_replicas:
            raise ValueError(
                f"{num_replicas} logical CPUs must be asked for before TensorFlow starts."
            ) from None
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(num_replicas)])


def _addresses() -> tuple[list[str], int]:
    """Return the addresses of the workers in TF_CONFIG, and the number of this one."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        # Others, such as parameter servers, would be waited for without end.
        good = [*cluster] == ["worker"] and task["type"] == "worker"
        addresses, index = cluster["worker"], task["index"]
        good = good and isinstance(index, int) and 0 <= index < len(addresses)
        ports = [int(address.rpartition(":")[2]) for address in addresses if ":" in address]
        good = good and len(ports) == len(addresses) and all(0 < port < 2**16 for port in ports)
    except (ValueError, KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise ValueError(
            'multi_worker needs TF_CONFIG={"cluster": {"worker": ["host:port", …]}, "task": '
            f'{{"type": "worker", "index": <this one>}}}}; received {text!r}.'
        )
    return addresses, index


@arguments.checking({"strategy": arguments.STRATEGY})
def check_batch_size(batch_size: int, strategy: arguments.Strategy | None) -> None:
    """Raise a ValueError if a batch cannot be split evenly over the replicas of a strategy."""
    count = strategy.num_replicas_in_sync
    if batch_size % count:
        raise ValueError(
            f"The batch size must be a multiple of the number of replicas; received {batch_size} "
            f"and {count}."
        )


@arguments.checked
def distribute(
    make: Callable[[tuple[int, int]], tf.data.Dataset],
    batch_size: int,
    strategy: arguments.Strategy | None,
) -> tf.data.Dataset:
    """Return data for `fit`: the i-th part of each batch goes to the i-th replica.

    Args:
        make: shard (index, count) -> dataset of that part of every batch of `batch_size`.
        batch_size: Of all replicas together, a multiple of their number.
        strategy: As `make_strategy` returned it.

    Raises:
        ValueError: The batch cannot be split evenly.
    """
    check_batch_size(batch_size, strategy)
    count = strategy.num_replicas_in_sync
    if count == 1:
        return make((0, 1))

    def part(context):
        dataset = make((context.input_pipeline_id, context.num_input_pipelines))
        return dataset.rebatch(batch_size // count, drop_remainder=True)

    return strategy.distribute_datasets_from_function(part)


__getattr__ = earlier_names(__name__, {"total": f"{__name__}:all_reduce_sum"})
