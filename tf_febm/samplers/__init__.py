"""Markov chains that draw from q(x) ∝ exp(−E(x)): kernels, the loop, where chains are kept."""

from tf_febm.samplers.chain import ChainResult, StepInfo, run_chain
from tf_febm.samplers.hamiltonian import HMC, MALA
from tf_febm.samplers.langevin import Langevin
from tf_febm.samplers.mixed_chain import MixedSamples, mixed_chain, mixed_chain_pools
from tf_febm.samplers.persistent_chains import PersistentChains
from tf_febm.samplers.replay_buffer import ReplayBuffer
from tf_febm.samplers.standardised import Standardised

__all__ = [
    "HMC",
    "MALA",
    "ChainResult",
    "Langevin",
    "MixedSamples",
    "PersistentChains",
    "ReplayBuffer",
    "Standardised",
    "StepInfo",
    "mixed_chain",
    "mixed_chain_pools",
    "run_chain",
]
