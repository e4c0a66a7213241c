"""Sample from a trained energy by the samplers of TensorFlow Probability.

    python examples/tfp_sampling.py

A log density known up to a constant is all that `tfp.mcmc` asks for, and −E is one. Hamiltonian
Monte Carlo is exact where the short Langevin chains of training are not. The energy here is
quadratic, so that q is Gaussian and the answer is known.
"""

# isort: off
import quiet  # noqa: F401  (before TensorFlow, whose lines it holds back)

# isort: on
import argparse

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tf_febm


def train(data, epochs):
    """Fit a Gaussian energy to data, [n, 1]."""
    model = tf_febm.FEBM(
        tf_febm.networks.quadratic(1, mean=1.0),
        tf_febm.networks.mlp(1, (32, 32), "tanh"),
        "js",
        sampler=tf_febm.samplers.Langevin.from_epsilon(0.1, num_steps=50),
        l2_coeff=0.0,
        seed=0,
    )
    model.compile(keras.optimizers.Adam(0.02), keras.optimizers.Adam(0.02))
    model.fit(data, batch_size=500, epochs=epochs, verbose=0)
    return model


def hamiltonian_samples(model, num_chains, num_results, seed=0):
    """Return samples [num_results, num_chains, 1] of q(x) ∝ exp(−E(x)), and the share accepted."""
    kernel = tfp.mcmc.HamiltonianMonteCarlo(
        # The one line that hands the energy over: [num_chains, 1] -> [num_chains].
        target_log_prob_fn=lambda x: -model.energy(x),
        step_size=0.5,
        num_leapfrog_steps=5,
    )
    kernel = tfp.mcmc.SimpleStepSizeAdaptation(kernel, num_adaptation_steps=100)

    @tf.function(autograph=False)
    def run():
        return tfp.mcmc.sample_chain(
            num_results,
            current_state=tf.zeros([num_chains, 1]),
            kernel=kernel,
            num_burnin_steps=200,
            trace_fn=lambda _, results: results.inner_results.is_accepted,
            seed=tfp.random.sanitize_seed(seed),
        )

    samples, accepted = run()
    return samples.numpy(), float(tf.reduce_mean(tf.cast(accepted, tf.float32)))


def main():
    """Train, sample, compare with the exact answer."""
    parser = argparse.ArgumentParser(description="HMC on a trained energy.")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--chains", type=int, default=50)
    parser.add_argument("--results", type=int, default=200)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    data = np.random.default_rng(0).normal(2.0, 1.5, (10_000, 1)).astype(np.float32)
    model = train(data, options.epochs)
    samples, accepted = hamiltonian_samples(model, options.chains, options.results)
    # E(0), E(1) and E(2) tell a parabola's minimum and width.
    e0, e1, e2 = model.energy(np.array([[0.0], [1.0], [2.0]], np.float32)).numpy()
    variance = 1.0 / (e2 - 2.0 * e1 + e0)
    mean = 0.5 - variance * (e1 - e0)
    print(f"exact law of the energy   mean {mean:.4f}  deviation {np.sqrt(variance):.4f}")
    print(f"Hamiltonian Monte Carlo   mean {samples.mean():.4f}  deviation {samples.std():.4f}")
    print(f"accepted {accepted:.3f}")


if __name__ == "__main__":
    main()
