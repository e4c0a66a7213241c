"""Metropolis-adjusted chains: a Hamiltonian proposal, its acceptance, and the loop of both."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tf_febm import arguments, energies, randomness
from tf_febm.samplers.chain import ChainResult, at_least, history, noted, step_count
from tf_febm.samplers.dual_averaging import DualAveraging

__all__ = ["Proposal", "leapfrog", "reflect", "run_metropolis"]

# Up to this many leapfrog steps are written out one after the other; more run in a loop, which
# takes less time to trace and a little more to run.
UNROLLED = 10


class Proposal(NamedTuple):
    """Where the chains stand, or may go.

    Attributes:
        state: x, [n, …].
        energy: E(x), [n].
        gradient: ∇E(x), of the shape of x.
    """

    state: tf.Tensor
    energy: tf.Tensor
    gradient: tf.Tensor


def reflect(
    state: arguments.Tensor, momentum: arguments.Tensor, bounds: arguments.Bounds | None
) -> tuple:
    """Let what has left the box [low, high] in each coordinate bounce off its walls.

    That is free motion in a box: it conserves volume and, run backwards, returns to where it began,
    so a leapfrog step with it is as good a proposal for q on the box as one without it is for q.

    Args:
        state: x + h·p, anywhere, floating.
        momentum: p, of the same shape.
        bounds: (low, high).

    Returns:
        The state inside the box, and the momentum, turned round after an odd number of bounces.
    """
    low, high = bounds
    width = high - low
    place = tf.math.floormod(state - low, 2.0 * width)
    odd = place > width
    # Rounding may end a hair outside.
    place = tf.clip_by_value(low + tf.where(odd, 2.0 * width - place, place), low, high)
    return place, tf.where(odd, -momentum, momentum)


def leapfrog(
    energy_fn: arguments.Function,
    start: Proposal,
    momentum: arguments.Tensor,
    step_size: Any,
    num_steps: int,
    bounds: arguments.Bounds | None = None,
) -> tuple:
    """Follow the dynamics of H = E(x) + ‖p‖²/2 by the leapfrog rule.

        p ← p − (h/2)∇E(x),  x ← x + h·p,  p ← p − (h/2)∇E(x)

    The loop carries h·p, which is an operation less for each gradient: on small problems starting
    operations is most of the time.

    Args:
        energy_fn: x -> E(x), [n] or [n, 1].
        start: Where it begins.
        momentum: p, of the shape of the state.
        step_size: h, a scalar.
        num_steps: How often.
        bounds: (low, high) of a box off whose walls x bounces, or None.

    Returns:
        The `Proposal` at the end, and the momentum there.
    """
    whole, half = step_size * step_size, 0.5 * step_size * step_size

    def step(point, motion, factor):
        state = point.state + motion
        if bounds is not None:
            state, motion = reflect(state, motion, bounds)
        point = Proposal(state, *energies.value_and_gradient(energy_fn, state))
        return _like(point, start), motion - factor * point.gradient

    motion = step_size * momentum - half * start.gradient
    point = start
    if num_steps <= UNROLLED:
        for _ in range(num_steps - 1):
            point, motion = step(point, motion, whole)
    else:
        _, point, motion = tf.while_loop(
            lambda i, *_: i < num_steps - 1,
            lambda i, point, motion: (i + 1, *step(point, motion, whole)),
            (tf.constant(0), point, motion),
            parallel_iterations=1,
        )
    # Two half steps in one, but for the last.
    point, motion = step(point, motion, half)
    return point, motion / step_size


def run_metropolis(
    energy_fn: arguments.Function,
    initial_state: arguments.Tensor,
    seed: arguments.Seed,
    *,
    num_steps: arguments.Whole,
    leapfrog_steps: int,
    step_size: float,
    burn_in: int = 0,
    target_acceptance: float = 0.65,
    bounds: arguments.Bounds | None = None,
    diagnostics: bool = False,
    trajectory: bool = False,
    exchange: Callable | None = None,
    scale: Callable | None = None,
) -> ChainResult:
    """Run Hamiltonian chains, each proposal accepted with probability min(1, e^(H − H')).

    One `tf.while_loop`, as `run_chain`; the gradient at the end of a proposal is that at the start
    of the next. A proposal with an energy that is no number is never accepted. A chain that ends
    where the energy is not finite, since it began there and found no way out, is returned as NaN:
    it has taken no step, and would look like a sample.

    Args:
        energy_fn: x -> E(x), [n] or [n, 1].
        initial_state: Floating [n, …], inside the bounds.
        seed: Integer tensor [2].
        num_steps: Number of proposals, at least 0; an int or an integer scalar tensor.
        leapfrog_steps: Gradients per proposal, at least 1.
        step_size: h, positive.
        burn_in: During so many of the steps, from the first, h adapts to the target.
        target_acceptance: The mean acceptance to reach.
        bounds: See `leapfrog`.
        diagnostics: Whether to record energies, gradients, acceptance and step size.
        trajectory: Whether to record every state.
        exchange: (number of the step from 0, Proposal) -> Proposal, what is done after each step,
            or None.
        scale: (number of the step from 0, number of steps, dtype) -> what h is multiplied with, a
            scalar, or None for 1. Both count from the end of the burn-in.

    Returns:
        A ChainResult.
    """
    x = tf.stop_gradient(initial_state)
    dtype, axes = x.dtype, list(range(1, x.shape.rank))
    num_steps = step_count(num_steps)
    seeds = randomness.split(seed, 2 * at_least(1, num_steps))
    start = _like(Proposal(x, *energies.value_and_gradient(energy_fn, x)))
    records: tuple = ()
    if diagnostics:
        nothing = tf.zeros_like(start.energy)
        records = history([nothing] * 3 + [tf.zeros([], dtype)], num_steps)
    states = tf.TensorArray(dtype, num_steps + 1 if trajectory else 0, element_shape=x.shape)
    if trajectory:
        states = states.write(0, x)

    def transition(i, here, size):
        momentum = randomness.normal(tf.shape(here.state), tf.gather(seeds, 2 * i), dtype)
        there, end = leapfrog(energy_fn, here, momentum, size, leapfrog_steps, bounds)
        kinetic = 0.5 * tf.reduce_sum(tf.square(momentum) - tf.square(end), axes)
        log_ratio = here.energy - there.energy + kinetic
        # From where the energy is not finite, any place where it is will do.
        escapes = ~tf.math.is_finite(here.energy) & tf.math.is_finite(there.energy)
        log_ratio = tf.where(escapes, tf.zeros_like(log_ratio), log_ratio)
        probability = tf.exp(tf.minimum(log_ratio, 0.0))
        # NaN compares as false.
        probability = tf.where(probability >= 0.0, probability, 0.0)
        threshold = tf.gather(seeds, 2 * i + 1)
        accepted = randomness.uniform(tf.shape(probability), threshold, dtype=dtype) < probability
        column = tf.reshape(accepted, [-1] + [1] * len(axes))
        following = Proposal(
            tf.where(column, there.state, here.state),
            tf.where(accepted, there.energy, here.energy),
            tf.where(column, there.gradient, here.gradient),
        )
        return _like(following, here), probability

    def body(i, here, adaptation, records, states):
        if burn_in:
            adapting = i < burn_in
            size = tf.exp(tf.where(adapting, adaptation.log_size, adaptation.log_average))
        else:
            size = tf.constant(step_size, dtype)
        if scale is not None:
            scaled = scale(tf.maximum(i - burn_in, 0), num_steps - burn_in, dtype)
            size *= tf.where(i < burn_in, tf.ones_like(scaled), scaled)
        following, probability = transition(i, here, size)
        if exchange is not None:
            following = _like(exchange(i, following), here)
        if burn_in:
            # Chains that stand where the energy is no number accept nothing at any size.
            alive = tf.cast(tf.math.is_finite(here.energy), dtype)
            accepted = tf.math.divide_no_nan(
                tf.reduce_sum(alive * probability), tf.reduce_sum(alive)
            )
            updated = adaptation.update(accepted, target_acceptance)
            adaptation = DualAveraging(
                *(tf.where(adapting, *pair) for pair in zip(updated, adaptation, strict=True))
            )
        if diagnostics:
            norm = tf.sqrt(tf.reduce_sum(tf.square(here.gradient), axes))
            values = (here.energy, norm, probability, size)
            records = noted(records, i, values)
        if trajectory:
            states = states.write(i + 1, following.state)
        return i + 1, following, adaptation, records, states

    adaptation = DualAveraging.start(step_size, dtype) if burn_in else ()
    _, end, _, records, states = tf.while_loop(
        lambda i, *_: i < num_steps,
        body,
        (tf.constant(0), start, adaptation, records, states),
        parallel_iterations=1,
        maximum_iterations=num_steps,
    )
    found = {}
    if diagnostics:
        names = ("energy", "gradient_norm", "acceptance", "step_size")
        parts = (tf.stop_gradient(array.stack()[1:]) for array in records)
        found = dict(zip(names, parts, strict=True))
    if trajectory:
        found["trajectory"] = tf.stop_gradient(states.stack())
    stuck = ~tf.math.is_finite(end.energy) & (num_steps > 0)
    samples = tf.where(
        tf.reshape(stuck, [-1] + [1] * len(axes)), tf.constant(float("nan"), dtype), end.state
    )
    return ChainResult(tf.stop_gradient(samples), **found)


def _like(point: Proposal, model: Proposal | None = None) -> Proposal:
    """Return a proposal in the dtype and static shapes of its state, as a loop must keep them."""
    model = point if model is None else model
    dtype, shape = model.state.dtype, model.state.shape
    energy = point.energy if point.energy.dtype == dtype else tf.cast(point.energy, dtype)
    return Proposal(
        _with_shape(point.state, shape),
        _with_shape(energy, shape[:1]),
        _with_shape(point.gradient, shape),
    )


def _with_shape(x, shape):
    """Return x with a static shape; an operation only where it has another one."""
    same = x.shape.rank is not None and x.shape.as_list() == shape.as_list()
    return x if same else tf.ensure_shape(x, shape)
