"""The networks of the comparisons in PyTorch, with the weights of their Keras twins."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

__all__ = ["FourConvolutions", "ResNet32", "perceptron"]


def tensor(weight) -> torch.Tensor:
    """Return the value of a Keras weight."""
    return torch.from_numpy(np.array(weight.numpy()))


class FourConvolutions(nn.Module):
    """Four strided convolutions with swish, and a linear output, as in `small_images.build`."""

    def __init__(self, network):
        super().__init__()
        self.convolutions = nn.ModuleList()
        *convolutions, dense = [layer for layer in network.layers if layer.weights]
        for layer in convolutions:
            height, _, channels, filters = layer.kernel.shape
            mine = nn.Conv2d(channels, filters, height, 2, padding=1)
            with torch.no_grad():
                mine.weight.copy_(tensor(layer.kernel).permute(3, 2, 0, 1))
                mine.bias.copy_(tensor(layer.bias))
            self.convolutions.append(mine)
        side = 2
        self.output = nn.Linear(dense.kernel.shape[0], 1)
        with torch.no_grad():
            # Flattened [height, width, channels] there, [channels, height, width] here.
            kernel = tensor(dense.kernel).reshape(side, side, -1).permute(2, 0, 1)
            self.output.weight.copy_(kernel.reshape(1, -1))
            self.output.bias.copy_(tensor(dense.bias))

    def forward(self, x):
        """Return the energies, [n]."""
        for convolution in self.convolutions:
            x = functional.silu(convolution(x))
        return self.output(x.flatten(1))[:, 0]


def perceptron(network) -> nn.Module:
    """Return a tanh perceptron with one output, [n] from [n, d], of a Keras `mlp`."""
    layers = []
    for layer in (layer for layer in network.layers if layer.weights):
        mine = nn.Linear(*layer.kernel.shape)
        with torch.no_grad():
            mine.weight.copy_(tensor(layer.kernel).T)
            mine.bias.copy_(tensor(layer.bias))
        layers += [mine, nn.Tanh()]
    return nn.Sequential(*layers[:-1], nn.Flatten(0))


class ResNet32(nn.Module):
    """`tf_febm.networks.resnet32`, with spectral norms estimated once per training step."""

    STAGES = (("optim", True), ("1", False), ("2", True), ("3", False), ("4", True), ("5", False))

    def __init__(self, network):
        super().__init__()
        self.kernels, self.vectors = nn.ParameterDict(), {}
        for layer in network.layers:
            if len(getattr(layer, "weights", ())) and hasattr(layer, "bounded"):
                kernel = tensor(layer.kernel).permute(3, 2, 0, 1).contiguous()
                self.kernels[layer.name] = nn.Parameter(kernel)
                self.vectors[layer.name] = tensor(layer.vector)[0]
        dense = network.layers[-1]
        self.output = nn.Linear(dense.kernel.shape[0], 1)
        with torch.no_grad():
            self.output.weight.copy_(tensor(dense.kernel).T)
            self.output.bias.copy_(tensor(dense.bias))

    def normalised(self, advance: bool = False) -> dict:
        """Return the normalised kernels after one power iteration each.

        Args:
            advance: Whether to keep the vectors of the iteration for the next one.
        """
        kernels = {}
        for name, kernel in self.kernels.items():
            # [out, in, height, width] with out as the rows; the order of columns does not matter.
            matrix = kernel.flatten(1)
            with torch.no_grad():
                left = functional.normalize(self.vectors[name] @ matrix, dim=0)
                following = functional.normalize(matrix @ left, dim=0)
                if advance:
                    self.vectors[name] = following
            sigma = following @ (matrix @ left)
            if name.endswith("c2"):
                sigma = sigma + 1e-6
                kernels[name] = kernel / sigma * sigma.clamp(max=1.0)
            else:
                kernels[name] = kernel / sigma
        return kernels

    def frozen(self) -> dict:
        """Return the normalised kernels as constants, in the layout of the images of a chain."""
        return {
            name: kernel.detach().to(memory_format=torch.channels_last)
            for name, kernel in self.normalised().items()
        }

    def forward(self, x, kernels):
        """Return the energies, [n], of images [n, channels, height, width]."""

        def convolve(x, name):
            return functional.conv2d(x, kernels[name], padding=1)

        def activate(x):
            return functional.leaky_relu(x, 0.2)

        x = activate(convolve(x, "c1_pre"))
        for stage, halve in self.STAGES:
            name = f"res_{stage}_res"
            h = convolve(activate(convolve(x, f"{name}_c1")), f"{name}_c2")
            if f"{name}_adaptive" in kernels:
                x = convolve(x, f"{name}_adaptive")
            x = h + x
            x = activate(functional.avg_pool2d(x, 2) if halve else x)
        return self.output(functional.relu(x).sum((2, 3)))[:, 0]
