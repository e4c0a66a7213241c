"""Models that come with the library, trained by its recipes: to sample and score at once."""

from tf_febm.pretrained.stored import Pretrained, describe, load, names, write

__all__ = ["Pretrained", "describe", "load", "names", "write"]
