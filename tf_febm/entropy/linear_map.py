"""A generator's Jacobian as a linear map: products with J and Jᵀ after a single forward pass."""

import tensorflow as tf

from tf_febm import arguments

__all__ = ["LinearMap", "check_latents"]

_ZERO = tf.UnconnectedGradients.ZERO


@arguments.checked
class LinearMap:
    """Hold J = ∂G/∂z at given points, and multiply with it.

    G is evaluated once. A product with Jᵀ is a backward pass, u ↦ ∇_z⟨u, G(z)⟩. That is linear in
    u, and its own transpose is v ↦ J v: so a product with J is a backward pass through the
    backward pass. `tf.autodiff.ForwardAccumulator` gives the same numbers but evaluates G anew for
    each product, and keeps nothing when its input is given again: inside a loop it was three and a
    half times as slow.

    Results are differentiable, for z and for what G depends on. It belongs to the graph, or the
    eager context, in which it was made; loops and branches inside are fine.

    Args:
        function: G, from [n, d] to [n, …]. Each row of its result may depend on the same row of z
            only: batch normalisation must be in inference mode.
        z: Floating [n, d].

    Attributes:
        output: G(z), [n, …].
        size: D, the number of entries of one G(z).

    Raises:
        ValueError: z is not floating [n, d], or G(z) has another batch size or no known shape.
    """

    def __init__(self, function: arguments.Function, z: arguments.Array):
        self.z = z = check_latents(z)
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as outer:
            with tf.GradientTape(persistent=True, watch_accessed_variables=False) as inner:
                inner.watch(z)
                self.output = tf.convert_to_tensor(function(z))
                self.size = self.output.shape[1:].num_elements()
                if self.size is None or not self.output.shape[:1].is_compatible_with(z.shape[:1]):
                    raise ValueError(
                        "A generator must return one example of known shape for each row of z; "
                        f"received shape {self.output.shape} for {z.shape}."
                    )
                flat = tf.reshape(self.output, [-1, self.size])
            # Any value would do: the backward pass is linear in it.
            cotangent = tf.zeros_like(flat)
            outer.watch(cotangent)
            pulled_back = inner.gradient(flat, z, cotangent, unconnected_gradients=_ZERO)
        self._inner, self._outer = inner, outer
        self._flat, self._cotangent, self._pulled_back = flat, cotangent, pulled_back

    def latent_dim(self) -> int:
        """Return d, or raise a ValueError if it exceeds D: no density is then left."""
        dimension = self.z.shape[1]
        if dimension > self.size:
            raise ValueError(
                "A generator must have at most as many latent dimensions as outputs; received one "
                f"from {dimension} to {self.size}."
            )
        return dimension

    def product(self, tangent: arguments.Tensor) -> tf.Tensor:
        """Return J·tangent, [n, D], for [n, d]."""
        return self._outer.gradient(
            self._pulled_back, self._cotangent, tangent, unconnected_gradients=_ZERO
        )

    def transposed_product(self, cotangent: arguments.Tensor) -> tf.Tensor:
        """Return Jᵀ·cotangent, [n, d], for [n, D]."""
        return self._inner.gradient(self._flat, self.z, cotangent, unconnected_gradients=_ZERO)

    def matrix(self) -> tf.Tensor:
        """Return J, [n, D, d], by d products, in one batch where compiled."""
        transposed = self._outer.batch_jacobian(
            self._pulled_back,
            self._cotangent,
            unconnected_gradients=_ZERO,
            # Run eagerly, one batch would be a new program at every call.
            experimental_use_pfor=not tf.executing_eagerly(),
        )
        return tf.transpose(transposed, [0, 2, 1])


def check_latents(z: arguments.Tensor) -> tf.Tensor:
    """Return z as a floating tensor [n, d] of known d, or raise a ValueError that echoes it."""
    z = tf.convert_to_tensor(z)
    if not z.dtype.is_floating or z.shape.rank != 2 or not z.shape[1]:
        raise ValueError(
            f"z must be floating, of shape [n, d]; received shape {z.shape}, {z.dtype.name}."
        )
    return z
