"""The entropy of a generator x = G(z), z ~ N(0, I_d), from its Jacobian J = ∂G/∂z.

    H[p_g] = H[N(0, I_d)] + E[½ log det JᵀJ] ≥ H[N(0, I_d)] + d·E[log s_min(J)]

The equality holds for a G that is one to one; for any other it overstates H, because images that
fall upon each other are counted apart. `log_volume` is exact and needs all of J; the smallest
singular value needs a few products with J and Jᵀ.
"""

from tf_febm.entropy.linear_map import LinearMap
from tf_febm.entropy.singular import SingularValue, smallest_singular_value
from tf_febm.entropy.volume import jacobian, log_volume, normal_entropy, normal_log_density

__all__ = [
    "LinearMap",
    "SingularValue",
    "jacobian",
    "log_volume",
    "normal_entropy",
    "normal_log_density",
    "smallest_singular_value",
]
