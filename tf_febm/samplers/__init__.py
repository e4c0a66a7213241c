"""Markov chains that draw from q(x) ∝ exp(−E(x)): kernels, the loop, the replay buffer."""

from tf_febm.samplers.chain import ChainResult, StepInfo, run_chain
from tf_febm.samplers.langevin import Langevin
from tf_febm.samplers.replay_buffer import ReplayBuffer

__all__ = ["ChainResult", "Langevin", "ReplayBuffer", "StepInfo", "run_chain"]
