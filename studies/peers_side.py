"""Train an energy of TorchEBM or ebmkit, by a Python that has them: `studies.all_methods` calls it.

    peers_side.py <folder> <JSON: options of the run>

Reads given.npz, with the data and their white coordinates, and writes made.npz.
"""

import json
import math
import re
import sys
import time
from pathlib import Path

import numpy as np


def main() -> None:
    """Train, and write the weights, some energies, samples, seconds and memory."""
    import torch

    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    torch.manual_seed(options["seed"])
    with np.load(folder / "given.npz") as given:
        x, mean, factor = given["x"], given["mean"], given["factor"]
    # In white coordinates, as ours: their samplers have no preconditioning.
    white = torch.from_numpy(np.linalg.solve(factor, (x - mean).T).T.astype(np.float32))
    options["dimension"] = x.shape[1]
    package, _, method = options["method"].partition("_")
    energy = perceptron(torch, x.shape[1], package, options["width"])
    step, chain = SIDES[package](torch, energy, method, options)
    optimizer = torch.optim.Adam(energy.parameters(), options["rate"], betas=(0.0, 0.99))
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, options["steps"], 0.02 * options["rate"]
    )
    averaged = torch.optim.swa_utils.AveragedModel(
        energy, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    )
    before = peak(reset=True)
    began = time.process_time()
    for _ in range(options["steps"]):
        batch = white[torch.randint(len(white), (options["batch"],))]
        optimizer.zero_grad()
        step(batch).backward()
        optimizer.step()
        rates.step()
        averaged.update_parameters(energy)
    seconds = time.process_time() - began
    memory = peak()
    made = averaged.module
    z = chain(made, torch.randn(options["samples"], x.shape[1])).detach().numpy()
    with torch.no_grad():
        energies = made(white[:100]).reshape(-1).numpy()
    weights = [weight.detach().numpy() for weight in made.parameters()]
    buffers = {name.split(".")[-1]: buffer.numpy() for name, buffer in made.named_buffers()}
    np.savez(
        folder / "made.npz",
        energies=energies,
        samples=(z @ factor.T + mean).astype(np.float32),
        seconds=seconds,
        peak=memory,
        before=before,
        **{f"weight_{i}": weight for i, weight in enumerate(weights)},
        **buffers,
    )


def peak(reset: bool = False) -> float:
    """Return the largest memory of this process in MiB, since now if it is reset; NaN if unknown.

    As `studies.method_rows` does it, which this Python cannot import.
    """
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        text = Path("/proc/self/status").read_text()
    except OSError:
        return math.nan
    return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) / 1024.0


def perceptron(torch, dimension: int, package: str, hidden: int):
    """Return E(z) = f(z) + ½‖z‖² with a perceptron f, as a module of a package."""
    if package == "torchebm":
        from torchebm.core import BaseModel as Base
    else:
        Base = torch.nn.Module

    class Energy(Base):
        def __init__(self):
            super().__init__()
            layers, width = [], dimension
            if dimension == 2:
                # As `networks.fourier_mlp`: 64 frequencies of deviation 3.
                layers.append(Fourier(torch, 64, 3.0))
                width = 2 * 64 + 2
            for size in (hidden, hidden):
                layers += [torch.nn.Linear(width, size), torch.nn.SiLU()]
                width = size
            self.inner = torch.nn.Sequential(*layers, torch.nn.Linear(width, 1))

        def forward(self, z):
            return self.inner(z).squeeze(-1) + 0.5 * z.square().sum(-1)

    return Energy()


def Fourier(torch, count: int, deviation: float):
    """Return the layer z -> (z, sin Az, cos Az)."""

    class Features(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("frequencies", deviation * torch.randn(2, count))

        def forward(self, z):
            angles = z @ self.frequencies
            return torch.cat([z, angles.sin(), angles.cos()], dim=-1)

    return Features()


def of_torchebm(torch, energy, method: str, options: dict) -> tuple:
    """Return the loss of a batch, and a function that runs chains."""
    from torchebm import losses
    from torchebm.samplers import LangevinDynamics

    epsilon = options["epsilon"]

    def sampler(model):
        return LangevinDynamics(model, epsilon / 2, noise_scale=1.0)

    if method == "contrastive_divergence":
        loss = losses.ContrastiveDivergence(
            energy, sampler(energy), options["chain_steps"], persistent=True, buffer_size=5000
        )
        step = lambda batch: loss(batch)[0]  # noqa: E731
    else:
        loss = losses.DenoisingScoreMatching(energy, noise_scale=options["noise"])
        step = loss

    def chain(model, z):
        return sampler(model).sample(x=z, n_steps=options["final_steps"])

    return step, chain


def of_ebmkit(torch, energy, method: str, options: dict) -> tuple:
    """Return the same of ebmkit."""
    import ebm

    sampler = ebm.LangevinDynamics(options["epsilon"] / 2, options["chain_steps"])
    if method == "contrastive_divergence":
        buffer = ebm.ReplayBuffer(5000, (options["dimension"],), reinit_prob=0.05)
        loss = ebm.ContrastiveDivergence(sampler, buffer)
    elif method == "energy_discrepancy":
        loss = ebm.EnergyDiscrepancy(options["far"], m_particles=16)
    else:
        loss = ebm.DenoisingScoreMatching(options["noise"])

    def chain(model, z):
        return sampler.sample(model, z, steps=options["final_steps"])

    return lambda batch: loss(energy, batch).loss, chain


SIDES = {"torchebm": of_torchebm, "ebmkit": of_ebmkit}


if __name__ == "__main__":
    main()
