"""The features that meet, and which of them cannot."""

from pairwise.covering import covering_array

__all__ = ["AXES", "BASE", "CASES", "REMEMBERED", "RULES", "text_of"]

AXES = {
    "model": ("febm_js", "febm_kl", "contrastive_divergence", "dual", "bidirectional"),
    "sampler": ("langevin", "published", "mala", "hmc", "standardised"),
    "buffer": ("none", "replay", "persistent"),
    "conditional": ("no", "integers", "one_hot"),
    "policy": ("float32", "mixed_bfloat16", "mixed_float16", "float64_data"),
    "weighting": ("none", "sample_weight", "class_weight"),
    "callback": ("none", "guard", "recorders", "schedule", "averaged_weights", "terminate_on_nan"),
    "strategy": ("default", "mirrored"),
    "saving": ("keras", "weights_h5", "checkpoints", "saved_model"),
    "average": ("none", "average_decay", "use_ema"),
    "accumulation": (1, 2),
    "regulariser": ("none", "l2"),
    "steps": ("fit", "train_on_batch", "run_eagerly"),
    "validation": ("no", "yes"),
    "optimizer": ("sgd", "clipped_adam"),
}

# What a failing case is brought back to, axis by axis, to see which features it takes.
BASE = {axis: values[0] for axis, values in AXES.items()}

RULES = (
    # A generator takes no label, and there are no chains that a buffer could keep.
    (("model", {"bidirectional"}), ("conditional", {"integers", "one_hot"})),
    (("model", {"bidirectional"}), ("buffer", {"replay", "persistent"})),
    # Without classes there is nothing to weigh by class.
    (("weighting", {"class_weight"}), ("conditional", {"no"})),
    # Keras' `train_on_batch` has no callbacks, and gives each replica the whole batch.
    (("steps", {"train_on_batch"}), ("callback", {*AXES["callback"]} - {"none"})),
    (("steps", {"train_on_batch"}), ("strategy", {"mirrored"})),
    # TensorFlow does not; the library says so.
    (("accumulation", {2}), ("strategy", {"mirrored"})),
)

# Where three features met, something was wrong once: those cases stay, whatever the array has.
REMEMBERED = (
    # Chains that start again at the data start at that of weight 0 as well.
    {"model": "contrastive_divergence", "buffer": "replay", "weighting": "sample_weight"},
    # Chains with labels have more to be stored.
    {"buffer": "persistent", "conditional": "one_hot", "weighting": "class_weight"},
)

# Of the first few seeds the one with the fewest cases.
CASES = covering_array(AXES, RULES, seed=3)
CASES += [{**BASE, **features, "steps": "run_eagerly"} for features in REMEMBERED]


def text_of(case: dict) -> str:
    """Return a case in one line, without what is as in `BASE`."""
    return " ".join(f"{axis}={value}" for axis, value in case.items() if value != BASE[axis])
