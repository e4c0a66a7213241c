"""What theory says of a model or problem, in numbers."""

from tf_febm.analysis.stability import Stability, stability

__all__ = ["Stability", "stability"]
