"""Energy networks, from a batch to one number per example, and generators."""

from tf_febm.networks.attention import SelfAttention
from tf_febm.networks.conditioning import LabelScale, LabelShift
from tf_febm.networks.conv import conv
from tf_febm.networks.fourier import FourierFeatures, fourier_mlp
from tf_febm.networks.generators import (
    GENERATOR_NAMES,
    generator_coupling,
    generator_dcgan,
    generator_mlp,
    generator_resnet,
    get_generator,
)
from tf_febm.networks.layers import Conv2D
from tf_febm.networks.mlp import mlp
from tf_febm.networks.mnist import mnist_net
from tf_febm.networks.monotone import MonotoneSum, TriangularProduct, generator_monotone
from tf_febm.networks.preparation import PreparedLayer, prepared
from tf_febm.networks.quadratic import QuadraticEnergy, quadratic
from tf_febm.networks.registry import NAMES, get
from tf_febm.networks.resnets import (
    resnet32,
    resnet32_large,
    resnet32_larger,
    resnet32_wider,
    resnet128,
)
from tf_febm.networks.spectral import SpectralConv2D, SpectralDense, power_iteration
from tf_febm.networks.units import QuadraticWell, Standardise, confined, standardised

__all__ = [
    "GENERATOR_NAMES",
    "NAMES",
    "FourierFeatures",
    "Conv2D",
    "LabelScale",
    "LabelShift",
    "MonotoneSum",
    "PreparedLayer",
    "QuadraticEnergy",
    "QuadraticWell",
    "SelfAttention",
    "SpectralConv2D",
    "SpectralDense",
    "Standardise",
    "TriangularProduct",
    "confined",
    "conv",
    "fourier_mlp",
    "generator_coupling",
    "generator_dcgan",
    "generator_mlp",
    "generator_monotone",
    "generator_resnet",
    "get",
    "get_generator",
    "mlp",
    "mnist_net",
    "power_iteration",
    "prepared",
    "quadratic",
    "resnet32",
    "resnet32_large",
    "resnet32_larger",
    "resnet32_wider",
    "resnet128",
    "standardised",
]
