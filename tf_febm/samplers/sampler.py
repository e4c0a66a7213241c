"""Base of the samplers: one form of call, and settings that can be written to a file."""

import contextlib
import copy
import inspect
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments
from tf_febm.networks.cached_weights import cached_weights, products_in
from tf_febm.samplers.chain import ChainResult

__all__ = ["DTYPES", "Sampler", "serialised_part"]

# What networks may multiply in, inside chains.
DTYPES = ("float32", "bfloat16")


@arguments.checked
class Sampler(arguments.Configured):
    """Base of the samplers, which keep each argument of their constructor under its name.

    A subclass says in `_run` what a call does.

    Args:
        num_steps: Steps per call, at least 0.
        bounds: (low, high) of each coordinate, or None.
        dtype: What the library's layers multiply in, "float32" or "bfloat16": factors and sums of
            the products by their weights, once rounded to 8 bits, are then half as many bytes, and
            twice as many a second where the processor has instructions for that. Elsewhere it is
            slower. States, noise, energies, acceptance and activations are in float32 all the same,
            and so is all that is outside of chains. The law of a chain is that of the
            rounded network: see `networks.cached_weights.products_in`. It holds for a Keras model
            given as the energy, and for those in an enclosing `networks.cached_weights` block, as
            models have it; other layers and functions compute as ever.
        num_parallel: Parts, at least 1, in which models run the chains of a training step, side by
            side on as many cores, each with seeds of its own; step sizes that adapt do so in each
            part. It is for networks so small that a step of a chain keeps one core busy, and
            changes which random numbers are drawn, nothing else. All other calls have one part.

    Raises:
        ValueError: A setting is out of its range.
    """

    # `num_steps` of a call may be a tensor, for which nothing is traced anew.
    takes_step_tensors = True
    # Whether its steps are smooth, so that gradients may flow through chains.
    smooth = False

    def __init__(
        self,
        num_steps: int,
        bounds: tuple[float, float] | None,
        dtype: str = "float32",
        num_parallel: int = 1,
    ):
        self.num_steps = arguments.whole_number("num_steps", num_steps)
        self.bounds = None if bounds is None else arguments.interval("bounds", bounds)
        self.dtype = arguments.choice("dtype", dtype, DTYPES)
        most = arguments.MOST_PARALLEL
        self.num_parallel = arguments.count_up_to("num_parallel", num_parallel, most)

    def with_dtype(self, dtype: str) -> "Sampler":
        """Return the same sampler, in whose chains networks multiply in a dtype.

        Args:
            dtype: "float32" or "bfloat16".
        """
        made = copy.copy(self)
        made.dtype = arguments.choice("dtype", dtype, DTYPES)
        return made

    def __call__(
        self,
        energy_fn: arguments.Function,
        initial_state: arguments.Array,
        seed: arguments.Seed,
        *,
        num_steps: arguments.Whole | None = None,
        return_diagnostics: bool = False,
        return_trajectory: bool = False,
        differentiable: bool = False,
    ) -> Any:
        """Run chains of the shape of `initial_state`.

        Works eagerly and inside a `tf.function`, where it becomes one compiled loop; wrap it in
        one when a chain is long. Equal seeds give equal chains, eagerly and compiled; under XLA
        (jit_compile) TensorFlow draws other numbers.

        Args:
            energy_fn: Any callable x -> E(x), [n] or [n, 1], differentiable in x.
            initial_state: Where the chains start, floating [n, …]; NumPy arrays as well. Calibrated
                samplers clip it to the bounds.
            seed: An int, a pair of ints, or an integer tensor [2].
            num_steps: Overrides the sampler's own number of steps, an int or a scalar tensor; for
                another value of a tensor, a compiled program is not traced again.
            return_diagnostics: Whether to record energy and gradient norm of each step, and the
                clipped share of `Langevin`, or probability of acceptance and step size of others.
            return_trajectory: Whether to record every state.
            differentiable: Whether gradients flow through the chains, see `run_chain`; `Langevin`
                alone can do that. Clipping has the gradient of what it leaves as it is, else 0.

        Returns:
            The final states, of the shape and dtype of `initial_state`; or, if a history was asked
            for, a ChainResult, whose first field is `samples`.

        Raises:
            ValueError: `initial_state` is not floating or has no batch axis, or the energy does
                not return one value per chain; or the sampler has steps without a gradient.
        """
        x = tf.convert_to_tensor(initial_state)
        if not x.dtype.is_floating or not x.shape.rank:
            raise ValueError(
                f"initial_state must be a floating tensor [n, …]; received shape {x.shape}, "
                f"dtype {x.dtype.name}."
            )
        num_steps = self.num_steps if num_steps is None else num_steps
        history = {"diagnostics": return_diagnostics, "trajectory": return_trajectory}
        if differentiable:
            if not self.smooth:
                raise ValueError(
                    f"differentiable=True is for Langevin; received it for {type(self).__name__}, "
                    "whose steps are accepted or rejected, and have no gradient for that."
                )
            history["differentiable"] = True
        with contextlib.ExitStack() as stack:
            if self.dtype != "float32":
                # Where a model has cached them already, these take their place.
                own = [energy_fn] if isinstance(energy_fn, keras.Layer) else []
                stack.enter_context(cached_weights(*own))
                stack.enter_context(products_in(self.dtype))
            result = self._run(energy_fn, x, seed, num_steps, **history)
        return result if return_diagnostics or return_trajectory else result.samples

    def _run(
        self, energy_fn, x: tf.Tensor, seed, num_steps, *, diagnostics: bool, trajectory: bool
    ) -> ChainResult:
        """Return the end of chains that start at x, [n, …], and the history asked for."""
        raise NotImplementedError


def serialised_part(what: str, part: Callable) -> Any:
    """Return something that is called, as a config holds it.

    Args:
        what: What it is to its owner, for the message.
        part: A function, or an object that Keras can serialise.

    Raises:
        TypeError: It is a function that no file could name, as it is not registered with Keras.
    """
    if inspect.isfunction(part):
        name = keras.saving.get_registered_name(part)
        if keras.saving.get_registered_object(name) is not part:
            raise TypeError(
                f"A model whose {what} is the function {part.__qualname__} cannot be saved: give "
                "it @keras.saving.register_keras_serializable()."
            )
    return keras.saving.serialize_keras_object(part)
