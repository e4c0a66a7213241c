"""f-divergences, as functions of the log density ratio.

An f-divergence D_f(p‖q) = E_q[f(p/q)] has a strictly convex generator f with f(1) = 0. Training an
energy-based model needs two functions of the log ratio r = log p/q (Yu et al., ICML 2020):

    derivative(r) = f'(eʳ)            conjugate(r) = f*(f'(eʳ)) = eʳ f'(eʳ) − f(eʳ)

Each is written in log space, from `expm1` and `log1p`, never from eʳ itself: for |r| ≤ 50 values
and first derivatives are exact to 1e-5 relative in float32, also where they vanish. Where the true
value exceeds the dtype's range the result is ±inf, never NaN.
"""

from tf_febm.divergences import standard  # noqa: F401  (registers them)
from tf_febm.divergences.base import Divergence, get, is_known, names, register
from tf_febm.divergences.generators import from_generator
from tf_febm.renamed import earlier_names

__all__ = ["Divergence", "from_generator", "get", "is_known", "names", "register"]


__getattr__ = earlier_names(
    __name__,
    {
        "divergence": "tf_febm.divergences.base",
        "registry": "tf_febm.divergences.base",
    },
)
