"""Markov chains that draw from q(x) ∝ exp(−E(x)): kernels, the loop, where chains are kept."""

from tf_febm import catalogue
from tf_febm.renamed import earlier_names
from tf_febm.samplers.chain import ChainResult, StepInfo, run_chain
from tf_febm.samplers.descent import denoising_step, descend
from tf_febm.samplers.hamiltonian import HMC, MALA
from tf_febm.samplers.langevin import Langevin
from tf_febm.samplers.persistent_chains import PersistentChains
from tf_febm.samplers.preconditioned import Preconditioned
from tf_febm.samplers.replay_buffer import ReplayBuffer
from tf_febm.samplers.tempering import ParallelTempering

# What can be chosen by name is imported with the package: files of models name its classes.
for _entry in catalogue.SAMPLERS.values():
    catalogue.load(_entry.place)

__all__ = [
    "HMC",
    "MALA",
    "ChainResult",
    "Langevin",
    "ParallelTempering",
    "PersistentChains",
    "ReplayBuffer",
    "Preconditioned",
    "StepInfo",
    "denoising_step",
    "descend",
    "run_chain",
]

__getattr__ = earlier_names(
    __name__,
    {
        "MixedSamples": "tf_febm.models.chain_pools:PooledSamples",
        "standardised": "tf_febm.samplers.preconditioned",
        "Standardised": "tf_febm.samplers.preconditioned:Preconditioned",
        "mixed_chain": "tf_febm.models.chain_pools:pooled_chains",
        "mixed_chain_pools": "tf_febm.models.chain_pools:pooled_chains_by_pool",
    },
)
