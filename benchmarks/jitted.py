"""(jax) Chains beside JAX's: one jitted program, a `lax.scan` over a kernel, as BlackJAX has it.

The four strided convolutions of (b), 128 images of 28×28, and the perceptron of the digits, 64
images of 8×8. Kernels, noise and clipping are the same on both sides, and so are the weights.
"""

import timing

STEP_SIZE, NOISE_SCALE, CLIP = 10.0, 0.005, 0.01


def perceptron():
    """Return the energy network of the digits' recipe."""
    import keras

    import tf_febm

    keras.utils.set_random_seed(0)
    return tf_febm.networks.mlp((8, 8, 1), (256, 256), "swish")


def in_jax(network):
    """Return the energies of a network of this library as a function of JAX, [n] of [n, …]."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    layers = [layer for layer in network.layers if layer.weights]
    weights = [[jnp.array(weight.numpy()) for weight in layer.weights] for layer in layers]
    strides = [getattr(layer, "strides", None) for layer in layers]

    def energy(x):
        for i, ((kernel, bias), stride) in enumerate(zip(weights, strides, strict=True)):
            if stride is not None:
                dimensions = ("NHWC", "HWIO", "NHWC")
                x = lax.conv_general_dilated(
                    x, kernel, stride, "SAME", dimension_numbers=dimensions
                )
            else:
                x = x.reshape(x.shape[0], -1) @ kernel
            x = x + bias
            if i + 1 < len(weights):
                x = jax.nn.silu(x)
        return x[:, 0]

    return energy


def jax_chain(energy, x, steps: int):
    """Return a function that runs the published kernel in one jitted program."""
    import jax
    import jax.numpy as jnp

    gradient = jax.grad(lambda x: energy(x).sum())

    def kernel(x, key):
        x = x + NOISE_SCALE * jax.random.normal(key, x.shape)
        return jnp.clip(x - STEP_SIZE * jnp.clip(gradient(x), -CLIP, CLIP), 0.0, 1.0), None

    @jax.jit
    def run(x, key):
        return jax.lax.scan(kernel, x, jax.random.split(key, steps))[0]

    x, key = jnp.array(x), jax.random.key(0)
    return lambda: run(x, key).block_until_ready()


def our_chain(network, x, steps: int, dtype: str):
    """Return a function that runs the same chain here."""
    import tensorflow as tf

    from tf_febm import networks, samplers

    sampler = samplers.Langevin(STEP_SIZE, NOISE_SCALE, steps, CLIP, dtype=dtype)
    data = tf.constant(x)

    @tf.function(autograph=False)
    def run(x):
        with networks.cached_weights(network):
            return sampler(network, x, seed=(1, 2))

    return lambda: run(data).numpy()


def main() -> None:
    """Time the sides in turns, for each network."""
    given = timing.arguments(__doc__)
    timing.import_quietly(given.threads, torch_too=False)
    import jax
    import numpy as np
    import small_images

    jax.config.update("jax_platforms", "cpu")
    report = timing.Report("(jax) a step of a chain, jitted by JAX")
    cases = {
        "28×28, convolutions": (small_images.build(), 128, 10),
        "8×8, perceptron": (perceptron(), 64, 40),
    }
    for name, (network, batch, steps) in cases.items():
        batch, steps = (4, 2) if given.quick else (batch, steps)
        shape = (batch, *network.input_shape[1:])
        x = np.random.default_rng(0).random(shape, dtype=np.float32)
        energy = in_jax(network)
        ours = np.array(network(x))[:, 0]
        timing.check_agreement(report, f"Energies ({name})", ours, np.array(energy(x)))
        sides = {
            "JAX": jax_chain(energy, x, steps),
            "tf_febm": our_chain(network, x, steps, "float32"),
            "tf_febm, bfloat16": our_chain(network, x, steps, "bfloat16"),
        }
        times = timing.interleaved(sides, given.rounds)
        for side, taken in times.items():
            report.row(f"{name}: {side}", [t / steps for t in taken])
        for side in list(sides)[1:]:
            report.ratio(f"{name}: JAX / {side}", times["JAX"], times[side])
    report.write(given.json)


if __name__ == "__main__":
    main()
