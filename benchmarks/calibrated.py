"""(d) Unadjusted and Metropolis-adjusted Langevin and HMC: effective samples per second.

Targets: a Gaussian of 100 dimensions with standard deviations from 0.5 to 2, and a perceptron on 20
dimensions held together by ‖x‖²/2. All sides take the same steps of the same lengths, compiled
where they can be, and return whole trajectories; effective samples are counted on these, summed
over chains, as the mean over dimensions. TorchEBM has no adjusted Langevin.
"""

import statistics

import timing

HMC_LENGTH = 5
# Length of a step, h, on each target: (Langevin, HMC).
LENGTHS = {"gaussian": (0.35, 0.35), "network": (0.5, 0.5)}


def targets(dimensions: int):
    """Return name -> (energy in TensorFlow, energy in PyTorch, dimensions)."""
    import numpy as np
    import tensorflow as tf
    import torch
    from networks_in_torch import perceptron

    import tf_febm

    scales = np.linspace(0.5, 2.0, dimensions, dtype=np.float32)
    there = torch.from_numpy(scales)
    small = max(2, dimensions // 5)
    network = tf_febm.networks.mlp(small, (64, 64), "tanh")
    module = perceptron(network)
    return {
        "gaussian": (
            lambda x: 0.5 * tf.reduce_sum(tf.square(x / scales), -1),
            lambda x: 0.5 * ((x / there) ** 2).sum(-1),
            dimensions,
        ),
        "network": (
            lambda x: 0.5 * tf.reduce_sum(tf.square(x), -1) + network(x)[:, 0],
            lambda x: 0.5 * (x**2).sum(-1) + module(x),
            small,
        ),
    }


def ours(kind: str, energy, x, steps: int, length: float, jit: bool):
    """Return a function that runs our chains and returns their trajectory, [steps, n, d]."""
    import tensorflow as tf

    from tf_febm import samplers

    sampler = {
        "ULA": samplers.Langevin.from_epsilon(length**2, steps),
        "MALA": samplers.MALA(0.5 * length**2, steps),
        "HMC": samplers.HMC(length, HMC_LENGTH, steps),
    }[kind]

    @tf.function(autograph=False, jit_compile=jit)
    def run(x):
        return sampler(energy, x, seed=(1, 2), return_trajectory=True).trajectory[1:]

    start = tf.constant(x)
    return lambda: run(start).numpy()


def of_tfp(kind: str, energy, x, steps: int, length: float, jit: bool):
    """Return the same with tfp.mcmc."""
    import tensorflow as tf
    import tensorflow_probability as tfp

    def log_density(x):
        return -energy(x)

    kernel = {
        # Its step size of Langevin is ε = h².
        "ULA": lambda: tfp.mcmc.UncalibratedLangevin(log_density, length**2),
        "MALA": lambda: tfp.mcmc.MetropolisAdjustedLangevinAlgorithm(log_density, length**2),
        "HMC": lambda: tfp.mcmc.HamiltonianMonteCarlo(log_density, length, HMC_LENGTH),
    }[kind]()

    @tf.function(autograph=False, jit_compile=jit)
    def run(x):
        return tfp.mcmc.sample_chain(
            steps, x, kernel=kernel, trace_fn=None, seed=tf.constant([1, 2])
        )

    start = tf.constant(x)
    return lambda: run(start).numpy()


def of_torchebm(kind: str, energy, x, steps: int, length: float):
    """Return the same with TorchEBM, or None where it has no such sampler."""
    import torch
    from torchebm.core import BaseModel
    from torchebm.samplers import HamiltonianMonteCarlo, LangevinDynamics

    class Energy(BaseModel):
        def forward(self, x):
            return energy(x)

    sampler = {
        "ULA": lambda: LangevinDynamics(Energy(), 0.5 * length**2),
        "MALA": lambda: None,
        "HMC": lambda: HamiltonianMonteCarlo(Energy(), length, HMC_LENGTH),
    }[kind]()
    if sampler is None:
        return None
    start = torch.from_numpy(x)

    def run():
        path = sampler.sample(x=start.clone(), n_steps=steps, return_trajectory=True)
        return path.detach().numpy().swapaxes(0, 1)

    return run


def effective(path) -> float:
    """Return the effective samples of a trajectory, after its first tenth."""
    import tensorflow_probability as tfp

    counts = tfp.mcmc.effective_sample_size(path[len(path) // 10 :], filter_beyond_positive_pairs=1)
    return float(counts.numpy().sum(axis=0).mean())


def main() -> None:
    """Time the sides in turns, for each target and sampler."""
    given = timing.arguments(__doc__)
    timing.import_quietly(given.threads)
    import numpy as np
    import torch

    chains, steps, dimensions = (8, 50, 10) if given.quick else (64, 1000, 100)
    report = timing.Report(f"(d) {chains} chains of {steps} steps: effective samples per second")
    for name, (energy, theirs, size) in targets(dimensions).items():
        x = np.random.default_rng(0).normal(size=(chains, size)).astype(np.float32)
        with torch.no_grad():
            expected = theirs(torch.from_numpy(x)).numpy()
        timing.check_agreement(report, f"Energies ({name})", energy(x).numpy(), expected)
        for kind in ("ULA", "MALA", "HMC"):
            length = LENGTHS[name][kind == "HMC"]
            settings = kind, energy, x, steps, length
            sides = {
                "tf_febm": ours(*settings, False),
                "tfp": of_tfp(*settings, False),
                "torchebm": of_torchebm(kind, theirs, x, steps, length),
            }
            if not given.quick:
                sides["tf_febm, XLA"] = ours(*settings, True)
                sides["tfp, XLA"] = of_tfp(*settings, True)
            sides = {side: run for side, run in sides.items() if run is not None}
            counts = {side: effective(run()) for side, run in sides.items()}
            times = timing.interleaved(sides, given.rounds)
            for side, taken in times.items():
                rate = counts[side] / statistics.median(taken)
                extra = f"{counts[side]:.0f} effective samples, {rate:.0f} per second"
                report.row(f"{name} {kind}: {side}", taken, extra=extra)
            for theirs_, mine, demand in (
                ("tfp", "tf_febm", "≥ 1.2"),
                ("tfp, XLA", "tf_febm, XLA", None),
                ("torchebm", "tf_febm", None),
            ):
                if theirs_ in times and mine in times:
                    # Effective samples per second, as a ratio of the times that one takes.
                    each = [[t / counts[side] for t in times[side]] for side in (theirs_, mine)]
                    report.ratio(f"{name} {kind}: {mine} against {theirs_}", *each, demand)
    report.write(given.json)


if __name__ == "__main__":
    main()
