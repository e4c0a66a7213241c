"""Measure the smallest singular value by LOBPCG: how near, after how many iterations, how fast.

Part one takes linear maps from 128 to 3072 dimensions with known singular values, and prints the
estimate over the truth: mean and worst of 8, or of 40 with --maps=40. Beside LOBPCG stands the best
that any method can do with as many products by JᵀJ from one start, the Krylov space, which keeps
all of its vectors. Part two times both entropies of a convolutional generator of 128 latent
variables and 32×32×3 pixels: the iterations against the whole Jacobian, in seconds of the
processor, to which other work on the machine does not count. Run it as
`python benchmarks/entropy.py`.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import timing

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "launch"))

import console

LATENT, SIZE = 128, 3072
KRYLOV = (2, 5, 10, 15, 20, 30, 60, 80, 100, 110, 120, LATENT)
ITERATIONS = (2, 5, 10, 15, 20, 30, 60, 100, 150, 200, 300, 400, 500, 600, 700)
# A worst case this near ends a row.
NEAR = 1.01


def main() -> None:
    """Print both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maps", type=int, default=8, help="linear maps of each kind")
    parser.add_argument("--batch_size", type=int, default=8, help="examples of the generator")
    parser.add_argument("--skip_iterations", action="store_true", help="part two alone")
    arguments = parser.parse_args()
    console.import_quietly(intra_op_threads=1)
    if not arguments.skip_iterations:
        measure_iterations(arguments.maps)
    measure_time(arguments.batch_size)


def measure_iterations(count: int) -> None:
    """Print how far estimates are above the truth."""
    import numpy as np

    rng = np.random.default_rng(0)

    def spread(values):
        left, right = (np.linalg.qr(rng.standard_normal((n, LATENT)))[0] for n in (SIZE, LATENT))
        return left * values @ right.T

    kinds = {
        "Gaussian": lambda: rng.standard_normal((SIZE, LATENT)),
        "condition 100, evenly": lambda: spread(np.linspace(0.01, 1.0, LATENT)),
        "condition 100, in logarithms": lambda: spread(np.geomspace(0.01, 1.0, LATENT)),
    }
    console.log("estimate / s_min: mean, worst; mean of (d·log estimate − ½ log det JᵀJ)")
    for name, draw in kinds.items():
        matrices = np.stack([draw() for _ in range(count)])
        exact = np.linalg.svd(matrices, compute_uv=False)
        volume = np.log(exact).sum(axis=1)
        for iterations in ITERATIONS:
            values = estimate(matrices.astype(np.float32), iterations)
            ratio = values / exact[:, -1]
            surplus = np.mean(LATENT * np.log(values) - volume)
            console.log(
                f"{name:30} {iterations:4} iterations  {ratio.mean():8.4f} {ratio.max():8.4f} "
                f"{surplus:+9.1f}"
            )
            if ratio.max() < NEAR:
                break
        best = np.stack([krylov(matrix, rng) for matrix in matrices]) / exact[:, -1:]
        for iterations in KRYLOV:
            ratio = best[:, iterations - 1]
            console.log(
                f"{name:30} {iterations:4} in Krylov   {ratio.mean():8.4f} {ratio.max():8.4f}"
            )
            if ratio.max() < NEAR:
                break


def krylov(matrix, rng):
    """Return the least singular value of a matrix [D, d] on each of its d Krylov spaces.

    Golub–Kahan bidiagonalisation, all vectors orthogonalised twice.
    """
    import numpy as np

    v = rng.standard_normal(matrix.shape[1])
    basis = [v / np.linalg.norm(v)]
    u, diagonal, above, values = matrix @ basis[0], [], [], []
    for _ in range(matrix.shape[1]):
        diagonal.append(np.linalg.norm(u))
        u = u / diagonal[-1]
        bidiagonal = np.diag(diagonal) + np.diag(above, 1)
        values.append(np.linalg.svd(bidiagonal, compute_uv=False)[-1])
        v = matrix.T @ u
        for _ in range(2):
            v -= np.stack(basis, axis=1) @ (np.stack(basis) @ v)
        above.append(np.linalg.norm(v))
        basis.append(v / above[-1])
        u = matrix @ basis[-1] - above[-1] * u
    return np.array(values)


def estimate(matrices, iterations: int):
    """Return LOBPCG's estimates for linear maps [n, D, d]."""
    import tensorflow as tf

    from tf_febm import entropy

    @tf.function(autograph=False)
    def compute(matrices):
        z = tf.zeros([matrices.shape[0], LATENT])
        found = entropy.smallest_singular_value(
            lambda z: tf.linalg.matvec(matrices, z), z, iterations, seed=1
        )
        return found.value

    return compute(tf.constant(matrices)).numpy()


def measure_time(count: int) -> None:
    """Print the time of an evaluation on a batch, and of one with its gradient."""
    import tensorflow as tf

    from tf_febm import entropy, networks

    generator = networks.generator_dcgan(LATENT, (32, 32, 3), 16)
    weights = [weight.value for weight in generator.trainable_variables]
    z = tf.random.stateless_normal([count, LATENT], (0, 1))
    methods = {"whole Jacobian, ½ log det JᵀJ": lambda: entropy.log_volume(generator, z)}
    for iterations in (2, 10, 30, 100):
        methods[f"LOBPCG, {iterations} iterations"] = lambda n=iterations: tf.math.log(
            entropy.smallest_singular_value(generator, z, n).value
        )
    console.log(f"ms for {count} examples of {generator.count_params():,} parameters: median of 5")
    sides = {}
    for name, method in methods.items():

        def value_and_gradient(method=method):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(weights)
                value = tf.reduce_mean(method())
            return value, [g for g in tape.gradient(value, weights) if g is not None]

        for kind, function in (("", method), (" with its gradient", value_and_gradient)):
            sides[name + kind] = tf.function(function, autograph=False)
    taken = timing.interleaved(sides, 5, seconds=0.0, clock=time.process_time)
    for name, seconds in taken.items():
        console.log(f"{name:52} {1e3 * statistics.median(seconds):9.1f}")


if __name__ == "__main__":
    main()
