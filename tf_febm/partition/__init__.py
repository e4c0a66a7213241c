"""Partition functions of energies: by a grid, by annealing there and back."""

from tf_febm.partition.annealing import AnnealedPartition, annealed_log_partition
from tf_febm.partition.bracket import BracketedPartition, bracketed_log_partition
from tf_febm.partition.grid import (
    GridDivergence,
    GridPartition,
    divergence_on_grid,
    log_partition_on_grid,
)
from tf_febm.partition.likelihood import HeldOutLogLikelihood, held_out_log_likelihood

__all__ = [
    "AnnealedPartition",
    "BracketedPartition",
    "GridDivergence",
    "GridPartition",
    "HeldOutLogLikelihood",
    "annealed_log_partition",
    "bracketed_log_partition",
    "divergence_on_grid",
    "held_out_log_likelihood",
    "log_partition_on_grid",
]
