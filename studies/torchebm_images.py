"""Train an energy of images by TorchEBM: `studies.time_to_quality` has a Python do so.

    torchebm_images.py <folder> <JSON: options of the run>

Reads given.npz, images in [0, 1]; writes made.npz: samples at moments of processor time.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchebm.core import BaseModel
from torchebm.losses import ContrastiveDivergence
from torchebm.samplers import LangevinDynamics


class Strided(BaseModel):
    """The energy of `time_to_quality.plain_network`, of images [n, 3, height, width] in [0, 1]."""

    def __init__(self, channels: int, side: int):
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for filters in (32, 64, 128):
            layers += [nn.Conv2d(before, filters, 3, 2, padding=1), nn.SiLU()]
            before, side = filters, (side + 1) // 2
        layers += [nn.Flatten(), nn.Linear(before * side**2, 256), nn.SiLU(), nn.Linear(256, 1)]
        self.inner = nn.Sequential(*layers)

    def forward(self, x):
        """Return E(x), [n]."""
        return self.inner(2.0 * x - 1.0)[:, 0]


def main() -> None:
    """Train for so many seconds of the processor, and keep samples on the way."""
    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.manual_seed(options["seed"])
    with np.load(folder / "given.npz") as given:
        images = torch.from_numpy(given["images"]).permute(0, 3, 1, 2).contiguous()
    energy = Strided(images.shape[1], images.shape[2])
    step, noise = options["step_size"], options["noise"]
    # Its noise of a step is √(2·step) times the scale.
    sampler = LangevinDynamics(energy, step, noise / (2.0 * step) ** 0.5, clamp=(0.0, 1.0))
    loss = ContrastiveDivergence(
        energy, sampler, options["num_steps"], persistent=True, buffer_size=5000, init_steps=0
    )
    # Chains begin in uniform noise, as those of image energies do.
    loss.initialize_buffer(tuple(images.shape[1:]))
    loss.replay_buffer.copy_(torch.rand_like(loss.replay_buffer))
    optimizer = torch.optim.Adam(energy.parameters(), options["rate"], betas=(0.0, 0.999))
    kept: dict = {"seconds": [], "steps": []}
    moments, spent, count = [m * options["budget"] for m in options["moments"]], 0.0, 0
    while moments:
        began = time.process_time()
        batch = images[torch.randint(len(images), (options["batch"],))]
        optimizer.zero_grad()
        loss(batch)[0].backward()
        nn.utils.clip_grad_norm_(energy.parameters(), 1.0)
        optimizer.step()
        count, spent = count + 1, spent + time.process_time() - began
        if spent >= moments[0]:
            moments.pop(0)
            chains = loss.replay_buffer[torch.randperm(5000)[: options["samples"]]]
            found = chains.clamp(0.0, 1.0).permute(0, 2, 3, 1).numpy()
            kept[f"samples_{len(kept['seconds'])}"] = np.nan_to_num(found, nan=0.5)
            kept["seconds"].append(spent)
            kept["steps"].append(count)
            print(f"step {count}", flush=True)
    np.savez(folder / "made.npz", **kept)


if __name__ == "__main__":
    main()
