"""Bounds for the eigenvalues of the training dynamics: this library's and those of Theorem 5."""

from typing import NamedTuple

import numpy as np

from tf_febm import arguments

__all__ = ["EigenvalueBounds", "eigenvalue_bounds"]


class EigenvalueBounds(NamedTuple):
    """Hold upper bounds of the real parts of a Jacobian's eigenvalues; see `eigenvalue_bounds`.

    Attributes:
        real: Of every real eigenvalue, and of the real part of any other.
        complex: Of the real part of every eigenvalue that is not real.
        real_paper: Of every real eigenvalue, as printed.
        complex_paper: Of the real part of every eigenvalue that is not real, as printed.
        real_paper_nonzero: As `real_paper`, with smallest eigenvalues that are not zero.
        complex_paper_nonzero: As `complex_paper`, likewise.
    """

    real: np.ndarray
    complex: np.ndarray
    real_paper: np.ndarray
    complex_paper: np.ndarray
    real_paper_nonzero: np.ndarray
    complex_paper_nonzero: np.ndarray


@arguments.checked
def eigenvalue_bounds(
    energy_block: arguments.Array,
    cross_block: arguments.Array,
    variational_block: arguments.Array,
    second_derivative: float = 1.0,
    rounding: float = 2.0**-52,
) -> EigenvalueBounds:
    """Bound the eigenvalues of J = f''(1) [[−A, B], [−Bᵀ, −C]] by those of its blocks.

    With A = K_EE, B = K_EH, C = K_HH, and λ₁ and λ_max the smallest and largest eigenvalue:

        real    = −f''(1) min(λ₁(A), λ₁(C))
        complex = −f''(1) (λ₁(A) + λ₁(C)) / 2

        real_paper    = −f''(1) λ₁(C) λ₁(BBᵀ) / (λ₁(C) max(λ_max(A), λ_max(C)) + λ₁(BBᵀ))
        complex_paper = complex

    **Ours** assume nothing but that A and C are symmetric. Proof: let (a, b) be a unit eigenvector
    of J for λ. In λ = (a, b)* J (a, b) the two cross terms are minus the conjugates of one another,
    so Re λ = −f''(1) (a* A a + b* C b), at most −f''(1) (λ₁(A) |a|² + λ₁(C) |b|²): the first bound.
    With S = diag(I, −I), S J is symmetric, so (a, b)* S J (a, b) = λ (|a|² − |b|²) is real. If λ
    is not, then |a|² = |b|² = ½: the second.

    **The printed ones** speak of positive semi-definite blocks, and are NaN where A or C has a
    negative eigenvalue beyond rounding. The paper's λ of a non-zero positive semi-definite matrix
    can be read in two ways.

    - The smallest eigenvalue, which may be 0. Both bounds then hold for semi-definite A and C, the
      real one strictly where it is not 0. Proof of that: let λ = −f''(1) t be real and less than
      λ₁(C) in size. Then b = −(C − t)⁻¹Bᵀa, hence t|a|² = aᵀAa + aᵀB(C − t)⁻¹Bᵀa, which is at
      least λ₁(BBᵀ)|a|²/λ_max(C). So t is at least the smaller of λ₁(C) and λ₁(BBᵀ)/λ_max(C), and
      the printed bound is that of half their harmonic mean, or less. It is vacuous, 0, wherever C
      or BBᵀ is singular; and K_EH = E[∇E] E[∇H]ᵀ has rank one, so that BBᵀ, of the size of the
      energy's weights, is singular for every energy of two weights or more. For an energy of one
      weight it may say more than ours, which is 0 or worse unless A is positive definite.
    - The smallest eigenvalue that is not zero. It makes neither bound vacuous, and both wrong:
      tests/analysis/test_eigenvalue_bounds.py has blocks of three weights, moments of a real
      distribution, whose eigenvalues exceed them. `real_paper_nonzero` fails even where A and C
      are positive definite, as K_EH has rank one, `complex_paper_nonzero` where A is singular.

    The paper's Assumptions 5 and 6, which it has in a supplement, are not taken into account.

    Args:
        energy_block: A, real symmetric [..., P, P].
        cross_block: B, real [..., P, W].
        variational_block: C, real symmetric [..., W, W].
        second_derivative: f''(1) > 0.
        rounding: Eigenvalues smaller than this share of a block's largest count as zero.

    Returns:
        An `EigenvalueBounds` of arrays [...]. Where no eigenvalue differs from zero, those with
        `_nonzero` are NaN.

    Source: Theorem 5 of Yu, Song, Song, Ermon 2020.
    """
    a, b, c = (np.asarray(x, np.float64) for x in (energy_block, cross_block, variational_block))
    energy, variational = np.linalg.eigvalsh(a), np.linalg.eigvalsh(c)
    cross = np.linalg.eigvalsh(b @ np.swapaxes(b, -1, -2))
    largest = np.maximum(energy[..., -1], variational[..., -1])
    slope = float(second_derivative)

    printed = []
    for nonzero in (False, True):
        low_a, low_b, low_c = (
            _smallest(values, rounding, nonzero) for values in (energy, cross, variational)
        )
        above, below = low_c * low_b, low_c * largest + low_b
        with np.errstate(invalid="ignore", divide="ignore"):
            real = np.where(above == 0.0, 0.0, -slope * above / below)
        # The real bound does not name λ₁(A) but assumes that it is not negative.
        real = np.where(energy[..., 0] < -rounding * np.abs(energy).max(-1), np.nan, real)
        printed.append((real, -slope * (low_a + low_c) / 2.0))
    return EigenvalueBounds(
        real=-slope * np.minimum(energy[..., 0], variational[..., 0]),
        complex=-slope * (energy[..., 0] + variational[..., 0]) / 2.0,
        real_paper=printed[0][0],
        complex_paper=printed[0][1],
        real_paper_nonzero=printed[1][0],
        complex_paper_nonzero=printed[1][1],
    )


def _smallest(values: np.ndarray, rounding: float, nonzero: bool) -> np.ndarray:
    """Return the smallest of rising eigenvalues [..., k], or the smallest that is not zero.

    NaN where one is negative, or none is left.
    """
    zero = rounding * np.abs(values).max(axis=-1, keepdims=True)
    if nonzero:
        smallest = np.min(np.where(values > zero, values, np.inf), axis=-1)
        smallest = np.where(np.isinf(smallest), np.nan, smallest)
    else:
        smallest = np.where(values > zero, values, 0.0)[..., 0]
    return np.where(values[..., 0] < -zero[..., 0], np.nan, smallest)
