"""A source of proposals that remembers what it proposed."""

import numpy as np


class Recorder:
    """Propose samples of N(0, I), and remember them."""

    def __init__(self, shape, labels=None):
        self.shape, self.labels, self.drawn, self.seeds = shape, labels, [], []

    def __call__(self, count, seed):
        self.seeds.append(seed)
        x = np.random.default_rng(seed).standard_normal((count, *self.shape)).astype(np.float32)
        self.drawn.append(x)
        return x if self.labels is None else (x, self.labels(count, seed))
