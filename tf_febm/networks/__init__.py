"""Energy networks, from a batch to one number per example, and generators."""

from tf_febm import catalogue
from tf_febm.networks.attention import SelfAttention
from tf_febm.networks.cached_weights import CachedWeightsLayer, cached_weights
from tf_febm.networks.composed import ComposedEnergy
from tf_febm.networks.conditioning import LabelScale, LabelShift
from tf_febm.networks.conv import conv
from tf_febm.networks.fourier import FourierFeatures, fourier_mlp
from tf_febm.networks.generators import (
    generator_coupling,
    generator_dcgan,
    generator_mlp,
    generator_resnet,
)
from tf_febm.networks.layers import Conv2D, Dense
from tf_febm.networks.mlp import mlp
from tf_febm.networks.mnist import mnist_net
from tf_febm.networks.monotone import MonotoneSum, TriangularProduct, generator_monotone
from tf_febm.networks.noise_conditional import (
    IndexFeatures,
    Modulation,
    SumOfPlaces,
    noise_conditional,
)
from tf_febm.networks.normalised import NormalisedEnergy
from tf_febm.networks.published_bounds import generator_published_bounds, published_bounds
from tf_febm.networks.quadratic import QuadraticEnergy, quadratic
from tf_febm.networks.reference import GaussianReference
from tf_febm.networks.registry import (
    GENERATOR_NAMES,
    NAMES,
    build,
    build_generator,
    get,
    get_generator,
)
from tf_febm.networks.resnets import (
    resnet32,
    resnet32_large,
    resnet32_larger,
    resnet32_wider,
    resnet128,
)
from tf_febm.networks.spectral import SpectralConv2D, SpectralDense, power_iteration
from tf_febm.networks.strided import strided
from tf_febm.networks.units import (
    QuadraticConfinement,
    Standardise,
    standardised,
    with_confinement,
)
from tf_febm.networks.whiten import Whiten
from tf_febm.renamed import earlier_names

# What can be chosen by name is imported with the package: files of models name its layers.
for _entry in (*catalogue.NETWORKS.values(), *catalogue.GENERATORS.values()):
    catalogue.load(_entry.place)

__all__ = [
    "ComposedEnergy",
    "NormalisedEnergy",
    "GENERATOR_NAMES",
    "NAMES",
    "FourierFeatures",
    "Conv2D",
    "Dense",
    "GaussianReference",
    "IndexFeatures",
    "LabelScale",
    "LabelShift",
    "Modulation",
    "MonotoneSum",
    "CachedWeightsLayer",
    "QuadraticEnergy",
    "QuadraticConfinement",
    "SelfAttention",
    "SpectralConv2D",
    "SpectralDense",
    "Standardise",
    "SumOfPlaces",
    "TriangularProduct",
    "Whiten",
    "build",
    "build_generator",
    "cached_weights",
    "conv",
    "fourier_mlp",
    "generator_coupling",
    "generator_dcgan",
    "generator_mlp",
    "generator_monotone",
    "generator_published_bounds",
    "generator_resnet",
    "get",
    "get_generator",
    "mlp",
    "mnist_net",
    "noise_conditional",
    "power_iteration",
    "published_bounds",
    "quadratic",
    "resnet32",
    "resnet32_large",
    "resnet32_larger",
    "resnet32_wider",
    "resnet128",
    "standardised",
    "strided",
    "with_confinement",
]

__getattr__ = earlier_names(
    __name__,
    {
        "PreparedLayer": "tf_febm.networks.cached_weights:CachedWeightsLayer",
        "QuadraticWell": "tf_febm.networks.units:QuadraticConfinement",
        "confined": "tf_febm.networks.units:with_confinement",
        "preparation": "tf_febm.networks.cached_weights",
        "convolution_matrix": "tf_febm.networks.convolution",
        "prepared": "tf_febm.networks.cached_weights:cached_weights",
        "residual": "tf_febm.networks.resnets",
    },
)
