"""The features that meet, and which of them cannot.

The suite has fewer cases than there are pairs: some features stand for others of the same code, and
some come two at a time, as in "schedule+averaged_weights". All of them meet where the environment
says PAIRWISE=all, which takes four minutes.
"""

import os

from pairwise.covering import covering_array, is_legal

__all__ = [
    "ALL",
    "AXES",
    "BASE",
    "CASES",
    "MOST_CASES",
    "REMEMBERED",
    "RULES",
    "is_hybrid",
    "text_of",
    "values_of",
]

ALL = os.environ.get("PAIRWISE") == "all"

AXES = {
    "model": (
        *("febm_js", "febm_kl", "contrastive_divergence", "dual", "bidirectional"),
        *("noise_contrastive", "pseudo_spherical", "score_matching", "energy_discrepancy"),
        *("recovery", "multiscale"),
    ),
    "sampler": (
        *("langevin", "published", "mala", "hmc", "standardised"),
        *("parallel_tempering", "scheduled", "bfloat16_in_parts"),
    ),
    "buffer": ("none", "replay", "persistent", "reservoir"),
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
    "made": ("by_hand", "recipe"),
    # "relative": to a Gaussian reference, and for f-EBM with the slow average of E inside H.
    "energy": ("whole", "relative"),
    # "hybrid": with class_weight_coeff.
    "classes": ("plain", "hybrid"),
}

FEWER = {
    # Every divergence trains in tests/models/test_febm.py; this one has the shift-invariant step.
    # Energy discrepancy is score matching with another mean over examples; multiscale is score
    # matching at the levels of recovery.
    "model": (
        *("febm_kl", "contrastive_divergence", "dual", "bidirectional", "noise_contrastive"),
        *("pseudo_spherical", "score_matching", "recovery"),
    ),
    # "published" has bounds, as "hmc" has; "mala" rejects, as "hmc" does.
    "sampler": ("langevin", "hmc", "standardised"),
    # A reservoir is the ring until it is full, and draws its places then.
    "buffer": ("none", "reservoir", "persistent"),
    # Training in bfloat16 is float16's without a scaled loss: tests/models/test_mixed_precision.py.
    "policy": ("float32", "mixed_float16", "float64_data"),
    # The recorders bring a guard.
    "callback": ("none", "recorders+terminate_on_nan", "schedule+averaged_weights"),
    "saving": ("keras", "weights_h5", "checkpoints+saved_model"),
}
if not ALL:
    AXES |= FEWER
    # Models of one-hot labels are hybrid; see `is_hybrid`.
    del AXES["classes"]

# What a failing case is brought back to, axis by axis, to see which features it takes.
BASE = {axis: values[0] for axis, values in AXES.items()}

_CHAINLESS = {
    *("bidirectional", "noise_contrastive", "score_matching", "energy_discrepancy"),
    *("recovery", "multiscale"),
}
RULES = (
    # A generator takes no label, and there are no chains that a buffer could keep.
    (("model", {"bidirectional"}), ("conditional", {"integers", "one_hot"})),
    (("model", _CHAINLESS), ("buffer", {*AXES["buffer"]} - {"none"})),
    # Without classes there is nothing to weigh by class, and nothing to tell apart.
    (("weighting", {"class_weight"}), ("conditional", {"no"})),
    *[(("classes", {"hybrid"}), ("conditional", {"no"}))] * ALL,
    # Keras' `train_on_batch` has no callbacks, and gives each replica the whole batch.
    (("steps", {"train_on_batch"}), ("callback", {*AXES["callback"]} - {"none"})),
    (("steps", {"train_on_batch"}), ("strategy", {"mirrored"})),
    # TensorFlow does not; the library says so.
    (("accumulation", {2}), ("strategy", {"mirrored"})),
    # That sampler has a reference of its own.
    (("energy", {"relative"}), ("sampler", {"standardised"})),
    # In a recipe methods without chains have no labels, and the noise of one is the reference.
    (("model", _CHAINLESS - {"bidirectional"}), ("made", {"recipe"})),
    # Its chains move in units of its noise, relative to a Gaussian of its own.
    (("model", {"recovery", "multiscale"}), ("sampler", {"published", "standardised"})),
    (("model", {"multiscale"}), ("energy", {"relative"})),
    # Its second derivatives at levels of little noise take more than float16 has; see the class.
    (("model", {"multiscale"}), ("policy", {"mixed_float16"})),
    # No recipe has regularised networks.
    (("made", {"recipe"}), ("regulariser", {"l2"})),
)
if not ALL:
    # Steps of replicas take longer than all else together; tests/test_parallel.py compares them for
    # every model. Two stand for all here, one of them with the most that there can be of chains.
    stand = {"contrastive_divergence", "bidirectional", "noise_contrastive"}
    RULES += ((("strategy", {"mirrored"}), ("model", {*AXES["model"]} - stand)),)
    # One case more, for what the whole array has and tests/models/test_multiscale.py.
    RULES += ((("model", {"recovery"}), ("energy", {"relative"})),)

# Where three features met, something was wrong once: those cases stay, whatever the array has.
REMEMBERED = (
    # Chains that start again at the data start at that of weight 0 as well.
    {"model": "contrastive_divergence", "buffer": AXES["buffer"][1], "weighting": "sample_weight"},
    # Chains with labels have more to be stored.
    {"buffer": "persistent", "conditional": "one_hot", "weighting": "class_weight"},
)

# Cases that annealing found, which takes minutes: fewer, and fewer of them with replicas, than the
# greedy search comes to. A digit for each axis of `FEWER`'s, the number of its value. What a new
# value or axis adds to the pairs, the greedy search adds to the cases.
FOUND = (
    "00121200011020111", "01012100021010000", "01202010110120101", "02112020220000010",
    "02220020001001010", "10100000021111101", "10222101120000000", "11010221210101000",
    "12111111100021110", "20210120110020101", "21100010020001110", "21221200201011001",
    "22022210121121000", "30002110201120100", "31001021000101101", "32000000110010010",
    "50000000001111001", "51111110110020110", "52222220220000000", "60001000000111001",
    "61010110111020100", "62022220220000000", "70000000000010000", "71011110111121100",
    "70022220220000000",
)  # fmt: skip


def _known() -> list[dict]:
    """Return the cases of `FOUND` that are legal, with the first value of axes that came later."""
    found = []
    for row in FOUND:
        case = dict(BASE)
        for (axis, values), digit in zip(AXES.items(), row, strict=False):
            case[axis] = values[min(int(digit), len(values) - 1)]
        found.append(case)
    return [case for case in found if is_legal(case, RULES)]


# Of the first few seeds the one whose cases take the least time.
CASES = covering_array(AXES, RULES, seed=3) if ALL else covering_array(AXES, RULES, first=_known())
if ALL:
    CASES += [{**BASE, **features, "steps": "run_eagerly"} for features in REMEMBERED]
# More would take too long.
MOST_CASES = 90 if ALL else 30


def values_of(case: dict, axis: str) -> set[str]:
    """Return the features of an axis: those of "one+other" are two."""
    return {*case[axis].split("+")}


def is_hybrid(case: dict) -> bool:
    """Return whether the loss of a case has the classes in it."""
    return case.get("classes", case["conditional"]) in ("hybrid", "one_hot")


def text_of(case: dict) -> str:
    """Return a case in one line, without what is as in `BASE`."""
    return " ".join(f"{axis}={value}" for axis, value in case.items() if value != BASE[axis])
