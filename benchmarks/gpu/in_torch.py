"""The chain of an exported program in PyTorch, with the weights of the program."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from networks_in_torch import ResNet32
from residual import torch_chain

__all__ = ["chain_and_energy"]


class Weight(np.ndarray):
    """An array that looks like a weight of Keras."""

    def numpy(self) -> np.ndarray:
        """Return the array itself."""
        return np.asarray(self)


def network_of(parts: list[dict], values: list[np.ndarray]) -> SimpleNamespace:
    """Return what `ResNet32` asks of a Keras network, from the names and values of its weights."""
    layers: dict[str, SimpleNamespace] = {}
    for part, value in zip(parts, values, strict=True):
        *_, layer, weight = part["path"].split("/")
        made = layers.setdefault(layer, SimpleNamespace(name=layer, weights=[]))
        value = np.asarray(value, np.float32).view(Weight)
        made.weights.append(value)
        setattr(made, weight, value)
        if weight == "vector":
            made.bounded = True
    # The dense layer, the only one with a bias, comes last.
    return SimpleNamespace(layers=sorted(layers.values(), key=lambda one: hasattr(one, "bias")))


def chain_and_energy(manifest: dict, values: list[np.ndarray], x: np.ndarray, half: bool):
    """Return a function that runs the chain and waits for it, and the energies of x, [n].

    Args:
        manifest: That of a "chain" of the paper's network.
        values: Its state.
        x: Images, float32 [n, height, width, channels].
        half: Whether networks compute in bfloat16.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module = ResNet32(network_of(manifest["state"], values)).to(device)
    module.vectors = {name: vector.to(device) for name, vector in module.vectors.items()}
    module.requires_grad_(False)
    images = torch.from_numpy(x).permute(0, 3, 1, 2).to(device)
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        energies = module(images, module.frozen()).cpu().numpy()
    recipe = manifest["recipe"]
    chain = torch_chain(
        module,
        images,
        recipe["num_steps"],
        step_size=recipe["step_size"],
        noise_scale=recipe["noise_scale"],
        clip=recipe["grad_clip"],
    )

    def run() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=half):
            chain()
        if device == "cuda":
            torch.cuda.synchronize()

    return run, energies
