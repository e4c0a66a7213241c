"""Loop that runs any one-step kernel, with diagnostics."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tf_febm import arguments, randomness

__all__ = ["ChainResult", "StepInfo", "placed", "run_chain", "step_argument", "step_count"]


class StepInfo(NamedTuple):
    """What one step of a kernel saw, per chain.

    Attributes:
        energy: E at the point where the gradient was taken, [n].
        gradient_norm: ‖∇E‖₂ there, before clipping, [n].
        clipped_fraction: Share of coordinates that gradient clipping changed, in [0, 1], [n].
    """

    energy: tf.Tensor
    gradient_norm: tf.Tensor
    clipped_fraction: tf.Tensor


class ChainResult(NamedTuple):
    """The end of a set of chains and, where asked for, their history.

    Attributes:
        samples: Final states, [n, …].
        energy: E before each step, [num_steps, n], or None.
        gradient_norm: ‖∇E‖₂ before each step, [num_steps, n], or None.
        clipped_fraction: Share of clipped coordinates at each step, [num_steps, n], or None.
        trajectory: All states from the initial one, [num_steps + 1, n, …], or None.
        acceptance: Probability with which each step was accepted, [num_steps, n], or None; of
            Metropolis-adjusted chains only.
        step_size: The step size of each step, [num_steps], or None; likewise.
        swap_acceptance: Probability with which neighbours of `ParallelTempering` are exchanged, at
            each step and of each pair, [num_steps, num_temperatures − 1, n], or None.
    """

    samples: tf.Tensor
    energy: tf.Tensor | None = None
    gradient_norm: tf.Tensor | None = None
    clipped_fraction: tf.Tensor | None = None
    trajectory: tf.Tensor | None = None
    acceptance: tf.Tensor | None = None
    step_size: tf.Tensor | None = None
    swap_acceptance: tf.Tensor | None = None


def placed(result: Any, place: Callable) -> Any:
    """Return what a sampler returned with its states, and any trajectory of them, in other units.

    Args:
        result: States [n, …], or a NamedTuple such as `ChainResult`.
        place: From states [n, …] or [steps, n, …] to such states.
    """
    if not hasattr(result, "samples"):
        return place(result)
    states = {name: getattr(result, name, None) for name in ("samples", "trajectory")}
    return result._replace(**{name: place(x) for name, x in states.items() if x is not None})


def step_count(num_steps: arguments.Whole) -> int | tf.Tensor:
    """Return a number of steps as an int, or as an int32 scalar where its value is not known yet.

    Args:
        num_steps: A whole number ≥ 0, or an integer scalar tensor.

    Raises:
        ValueError: It is anything else; a negative one inside a compiled function fails when
            that runs.
    """
    if not tf.is_tensor(num_steps):
        return arguments.whole_number("num_steps", num_steps)
    if num_steps.shape.rank != 0 or not num_steps.dtype.is_integer:
        raise ValueError(
            "num_steps must be a whole number ≥ 0, or an integer scalar tensor; received shape "
            f"{num_steps.shape}, dtype {num_steps.dtype.name}."
        )
    if tf.executing_eagerly():
        return arguments.whole_number("num_steps", int(num_steps))
    count = tf.cast(num_steps, tf.int32)
    # Models show the framed message as a ValueError.
    message = ["tf_febm:num_steps must be a whole number ≥ 0, received", count, ";"]
    with tf.control_dependencies([tf.debugging.Assert(count >= 0, message)]):
        return tf.identity(count)


def step_argument(sampler: arguments.Sampler, num_steps: arguments.Whole) -> int | tf.Tensor | None:
    """Return a number of steps as a compiled function is to be given it for a sampler.

    Args:
        sampler: Whatever runs the chains.
        num_steps: A whole number ≥ 0, an integer scalar tensor, or None.

    Returns:
        An int32 tensor, for which nothing is traced anew, for samplers of this library; a Python
        int for others, which may need one; None for None.
    """
    if num_steps is None:
        return None
    steps = step_count(num_steps)
    return tf.constant(steps) if getattr(sampler, "takes_step_tensors", False) else steps


def at_least(minimum: int, count):
    """Return the larger of two numbers, the second an int or an integer scalar tensor."""
    return tf.maximum(minimum, count) if tf.is_tensor(count) else max(minimum, count)


def history(first: Sequence[tf.Tensor], num_steps) -> tuple[tf.TensorArray, ...]:
    """Return arrays that take a tensor of each step, like the first ones, which they begin with.

    Those are to be taken off after: an array without any element could not be stacked.
    """
    return tuple(
        tf.TensorArray(value.dtype, num_steps + 1, element_shape=value.shape).write(0, value)
        for value in first
    )


def noted(arrays: tuple, step, values) -> tuple[tf.TensorArray, ...]:
    """Return the arrays of `history` with the values of a step, which are counted from 0."""
    return tuple(array.write(step + 1, v) for array, v in zip(arrays, values, strict=True))


@arguments.checked
def run_chain(
    step: Callable[..., tuple[tf.Tensor, StepInfo]],
    initial_state: tf.Tensor,
    num_steps: arguments.Whole,
    seed: arguments.Seed,
    *,
    diagnostics: bool = False,
    trajectory: bool = False,
    numbered: bool = False,
    differentiable: bool = False,
) -> ChainResult:
    """Run a kernel for a number of steps, each with a seed of its own.

    The loop is one `tf.while_loop`: no Python and no host round trip in it when compiled, and
    memory that does not depend on `num_steps` unless a history is asked for. No gradient flows
    through it, unless that is asked for: samples are constants to whoever trains on them.

    Args:
        step: (state [n, …], seed [2]) -> (next state, StepInfo).
        initial_state: Floating tensor [n, …].
        num_steps: How often to step, at least 0; an int or an integer scalar tensor.
        seed: An int, a pair of ints, or an integer tensor [2].
        diagnostics: Whether to keep every StepInfo.
        trajectory: Whether to keep every state.
        numbered: Whether `step` takes the number of the step as a third argument, an int32 scalar
            from 0.
        differentiable: Whether a `tf.GradientTape` around the call gives gradients of the states
            for the initial ones and for what the kernel depends on, through every step, with the
            noise of the seed held as it is (Eq. 13 of Yu et al., 2020). All steps are then kept:
            memory grows with num_steps, and a step back costs about two steps forward or more. The
            kernel must be differentiable; other histories are constants.

    Returns:
        A ChainResult; its history fields are None unless asked for.
    """
    cut = tf.identity if differentiable else tf.stop_gradient
    state = cut(tf.convert_to_tensor(initial_state))
    num_steps = step_count(num_steps)
    seeds = randomness.split(randomness.as_seed(seed), at_least(1, num_steps))
    nothing = tf.zeros(tf.shape(state)[:1], state.dtype)
    nothing = tf.ensure_shape(nothing, state.shape[:1])
    infos = history([nothing] * len(StepInfo._fields), num_steps) if diagnostics else ()
    states = tf.TensorArray(
        state.dtype, num_steps + 1 if trajectory else 0, element_shape=state.shape
    )
    if trajectory:
        states = states.write(0, state)

    def body(i, state, infos, states):
        following, info = step(state, seeds[i], *([i] if numbered else []))
        following = tf.ensure_shape(following, state.shape)
        if diagnostics:
            infos = noted(infos, i, info)
        if trajectory:
            states = states.write(i + 1, following)
        return i + 1, following, infos, states

    _, state, infos, states = tf.while_loop(
        lambda i, *_: i < num_steps,
        body,
        (tf.constant(0), state, infos, states),
        parallel_iterations=1,
        maximum_iterations=num_steps,
    )
    parts = (tf.stop_gradient(array.stack()[1:]) for array in infos)
    return ChainResult(
        samples=cut(state),
        trajectory=cut(states.stack()) if trajectory else None,
        **dict(zip(StepInfo._fields, parts, strict=False)),
    )
