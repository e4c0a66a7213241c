"""The figures of a run in words: each beside what it is read against, and one sentence of all."""

import math
from collections.abc import Callable
from typing import NamedTuple

from tf_febm import arguments

__all__ = ["Reading", "Verdict", "readings", "verdict"]

# Log-likelihoods nearer to one another than this, in nats, are called equal.
EQUAL_NATS = 0.05
# Chains of annealed importance sampling that must carry weight for log Z to be believed.
ENOUGH_CHAINS = 10.0
# What to do about a table that a Gaussian fits better.
ADVICE_OF_TABLES = (
    "Take the settings of EnergyDetector (method=noise_contrastive), which begin near that fit, "
    "or the fit itself."
)
# Classes with less than this part of an even share count as missing.
MISSING = 0.1
# Of the way from an untrained model to real images, what is as good as nothing.
HARDLY = 0.1
# Held-out images below which a comparison of two sets of samples often tells nothing.
FEW_IMAGES = 100
_LOOK = (
    "Whether they look right no figure here tells: look at the pictures, or give "
    "launch/evaluate.py a feature network."
)


class Verdict(NamedTuple):
    """How good the samples or the energy of a run are.

    Attributes:
        kind: "good", near what real data reach; "fair", better than the simplest model; "poor",
            no better than that; "open", no figure tells.
        sentence: The same for people, with the figures that it rests on.
    """

    kind: str
    sentence: str


class Reading(NamedTuple):
    """A figure and its scale.

    Attributes:
        name: What it is called.
        meaning: What it is.
        value: The run's.
        best: What real data or the truth reach, and None where nothing is known.
        simple: What the simplest model reaches, likewise.
        better: "lower", "higher" or "equal", to `best`.
    """

    name: str
    meaning: str
    value: float
    best: float | None
    simple: float | None
    better: str


@arguments.checked
def verdict(quality: dict) -> Verdict:
    """Say in a sentence how good a run is.

    Args:
        quality: What `run_figures` returns.

    Returns:
        The verdict; "open" where the figures are of no kind that is known here.
    """
    if "skipped" in quality:
        return Verdict("open", f"Not measured: {quality['skipped']}. Look at the pictures.")
    for name, (_, judge) in _KINDS.items():
        if name in quality:
            return judge(quality)
    return Verdict("open", "Nothing tells how good it is. Look at the pictures.")


@arguments.checked
def readings(quality: dict) -> list[Reading]:
    """Return the figures that tell most, each with its scale.

    Args:
        quality: What `run_figures` returns.

    Returns:
        The readings whose figures are there; none of figures of an unknown kind.
    """
    for name, (rows, _) in _KINDS.items():
        if name in quality:
            made = (_reading(quality, *row) for row in rows)
            return [reading for reading in made if reading is not None]
    return []


def _reading(quality, name, meaning, key, best, simple, better) -> Reading | None:
    value = quality.get(key)
    if value is None:
        return None
    low, high = (quality.get(end) if isinstance(end, str) else end for end in (best, simple))
    return Reading(name, meaning, value, low, high, better)


def _of_classified(quality: dict) -> Verdict:
    ratio, best = quality["frechet_ratio"], quality["frechet_ratio_resampled"]
    spread = quality["frechet_ratio_resampled_std"]
    reach = f"training images reach {best:.1f} ± {spread:.1f}"
    shares = quality["class_shares"]
    absent = [str(k) for k, share in enumerate(shares) if share * len(shares) < MISSING]
    lacks = f" Hardly any of class {', '.join(absent)}." if absent else ""
    simple, noise = (quality.get(f"frechet_ratio_{name}") for name in ("gaussian", "noise"))
    if not math.isfinite(ratio):
        return Verdict("poor", "The samples are not finite.")
    if simple is None or noise is None:
        # An earlier version measured neither.
        return Verdict("open", f"Fréchet ratio {ratio:.1f}; {reach}.{lacks}")
    if ratio <= best + 3 * spread:
        text = f"Nearly as near to unseen images as training images: Fréchet ratio {ratio:.1f}"
        return Verdict("fair" if absent else "good", f"{text}; {reach}.{lacks}")
    if ratio >= 0.5 * noise and noise > simple:
        text = f"Little better than noise: Fréchet ratio {ratio:.1f} against {noise:.1f}"
    elif ratio >= simple:
        text = f"No better than a Gaussian fit to the pixels: Fréchet ratio {ratio:.1f} against "
        text += f"{simple:.1f}"
    else:
        text = f"Beats a Gaussian fit to the pixels: Fréchet ratio {ratio:.1f} against {simple:.1f}"
    return Verdict("fair" if ratio < simple else "poor", f"{text}; {reach}.{lacks}")


def _of_pixels(quality: dict) -> Verdict:
    rough = quality["roughness"] / max(quality["held_out_roughness"], 1e-12)
    spread = quality["spread"] / max(quality["held_out_spread"], 1e-12)
    if rough > 4.0:
        text = "The samples are noise, or full of it: neighbouring pixels differ"
        return Verdict("poor", f"{text} {rough:.1f} times as much as in real images.")
    if spread < 0.2:
        text = "The samples are nearly all alike: they vary"
        return Verdict("poor", f"{text} {spread:.2f} times as much as real images.")
    if rough < 0.1:
        text = "The samples are nearly flat: neighbouring pixels differ"
        return Verdict("poor", f"{text} {rough:.2f} times as much as in real images.")
    if "edge_gain" not in quality:
        return Verdict("open", "Measured by an earlier version: evaluate the run anew.")
    far, noise = (quality[f"{of}coarse_sample_distance"] for of in ("", "noise_"))
    if far > 0.5 * noise:
        text = "Seen from afar the samples are hardly nearer to the data than noise is"
        return Verdict("poor", f"{text}: {far / max(noise, 1e-12):.2f} of its distance.")
    gain, error = quality["edge_gain"], 2.0 * quality["edge_gain_standard_error"]
    found, real, simple = (quality[f"{of}edge_sample_distance"] for of in ("", "train_", "simple_"))
    # An estimate without bias is below 0 at times, which a distance is not.
    scale = f"edge distance {found:.3f}, untrained {simple:.3f}, real images {max(real, 0.0):.3f}"
    count = quality["num_held_out"]
    if abs(gain) <= error:
        most = (gain + error) / simple if simple > 0.0 else 1.0
        if most < HARDLY:
            text = "Training has hardly helped, or not yet: it has brought the samples at most "
            way = f"{most:.1%} of the way from those of an untrained model to unseen images"
            return Verdict("poor", f"{text}{way} ({scale}). {_LOOK}")
        few = f"; {count} held-out images are few" if count < FEW_IMAGES else ""
        text = (
            "Whether training helped cannot be told: samples are as near to unseen images as those"
        )
        return Verdict("open", f"{text} of an untrained model ({scale}{few}). {_LOOK}")
    if gain < 0.0:
        text = "Training has not helped, or not yet: an untrained model's samples are nearer to"
        return Verdict("poor", f"{text} unseen images ({scale}). {_LOOK}")
    text = "Training helped: samples are nearer to unseen images than those of an untrained model"
    return Verdict("fair", f"{text} ({scale}). {_LOOK}")


def _of_likelihood(quality: dict) -> Verdict:
    found, simple = quality["held_out_log_likelihood"], quality["gaussian_log_likelihood"]
    gain = found - simple
    error = 2.0 * quality.get("log_z_standard_error", 0.0)
    carry = quality.get("effective_sample_size")
    if not math.isfinite(gain):
        return Verdict("poor", "The density of held-out rows is not finite.")
    if carry is not None and carry < ENOUGH_CHAINS:
        return Verdict(
            "open",
            f"Not known: log Z, and with it the density, rests on {carry:.1f} chains. The scores "
            "rank rows all the same.",
        )
    chosen = quality.get("weights_of_step")
    how = "" if chosen is None else f" The weights are of step {chosen:,}, by rows kept aside."
    if abs(gain) <= max(EQUAL_NATS, error):
        text = f"As good as a Gaussian fit: {gain:+.2f} nats a held-out row."
        return Verdict("fair", f"{text}{how}")
    if gain < 0:
        text = f"Worse than a Gaussian fit by {-gain:.2f} nats a held-out row."
        return Verdict("poor", f"{text}{how} {ADVICE_OF_TABLES}")
    return Verdict("good", f"Beats a Gaussian fit by {gain:.2f} nats a held-out row.{how}")


def _of_plane(quality: dict) -> Verdict:
    found, truth = quality["held_out_log_likelihood"], quality["true_log_likelihood"]
    simple = quality.get("gaussian_log_likelihood", -math.inf)
    if not math.isfinite(found):
        return Verdict("poor", "The density of held-out points is not finite.")
    kind = "poor" if found <= simple else "good" if truth - found <= 2 * EQUAL_NATS else "fair"
    text = f"{truth - found:.2f} nats a point from the true density"
    if math.isfinite(simple):
        beats = "Worse than" if kind == "poor" else "Beats"
        text = f"{beats} a Gaussian fit by {abs(found - simple):.2f} nats a point; {text}"
    if quality.get("modes"):
        covered, near = quality["modes_covered"], quality["share_near_modes"]
        text += f"; samples reach {covered} of {quality['modes']} modes, {near:.0%} lie near one"
        if kind == "good" and (covered < quality["modes"] or near < 0.9):
            kind = "fair"
    return Verdict(kind, f"{text}.")


def _of_stacked(quality: dict) -> Verdict:
    found, total = quality["modes_found"], quality["modes"]
    expected = quality["expected_modes_of_uniform"]
    confidence, real = quality["mean_confidence"], quality["held_out_confidence"]
    text = (
        f"The samples show {found} of {total} modes, as many perfect ones {expected:.0f}; the "
        f"classifier is sure of them to {confidence:.0%}, of real digits to {real:.0%}"
    )
    if confidence < 0.5 * (real + 0.1):
        return Verdict("poor", f"{text}: they are no digits.")
    near = found >= 0.95 * expected and confidence >= real - 0.05
    return Verdict("good" if near else "fair", f"{text}.")


# A figure that marks the kind -> rows (name, meaning, its key, key of best, key of simple, better)
# and the judge.
_KINDS: dict[str, tuple[tuple, Callable[[dict], Verdict]]] = {
    "frechet_ratio": (
        (
            (
                "Fréchet ratio",
                "how many times further from unseen images than the training images are, in the "
                "features of a classifier",
                *("frechet_ratio", "frechet_ratio_resampled", "frechet_ratio_gaussian", "lower"),
            ),
            (
                "Confidence",
                "of the classifier in the class that it sees, mean over samples",
                *("mean_confidence", "held_out_confidence", None, "equal"),
            ),
        ),
        _of_classified,
    ),
    "roughness": (
        (
            (
                "Roughness",
                "mean squared difference of neighbouring pixels",
                *("roughness", "held_out_roughness", "noise_roughness", "equal"),
            ),
            (
                "Spread",
                "variance of a pixel from image to image",
                *("spread", "held_out_spread", 0.0, "equal"),
            ),
            (
                "Coarse distance",
                "energy distance from training images, all averaged over large cells; 0 of equal "
                "laws; the simplest is noise",
                "coarse_sample_distance",
                "held_out_coarse_sample_distance",
                "noise_coarse_sample_distance",
                "lower",
            ),
            (
                "Edge distance",
                "energy distance from held-out images, in how strong and how rare edges are; 0 of "
                "equal laws; the simplest is the untrained model",
                "edge_sample_distance",
                "train_edge_sample_distance",
                "simple_edge_sample_distance",
                "lower",
            ),
        ),
        _of_pixels,
    ),
    "true_log_likelihood": (
        (
            (
                "Log-likelihood",
                "of held-out points, nats a point; the best is that of the true density",
                "held_out_log_likelihood",
                "true_log_likelihood",
                "gaussian_log_likelihood",
                "higher",
            ),
            ("KL(data‖model)", "in nats, by a grid", "kl", 0.0, None, "lower"),
            (
                "Modes covered",
                "which samples come near to",
                *("modes_covered", "modes", None, "higher"),
            ),
            ("Near a mode", "share of the samples", "share_near_modes", 1.0, None, "higher"),
        ),
        _of_plane,
    ),
    "gaussian_log_likelihood": (
        (
            (
                "Log-likelihood",
                "of held-out rows, nats a row",
                *("held_out_log_likelihood", None, "gaussian_log_likelihood", "higher"),
            ),
        ),
        _of_likelihood,
    ),
    "modes_found": (
        (
            (
                "Modes found",
                "classes of three digits among the samples",
                *("modes_found", "expected_modes_of_uniform", None, "higher"),
            ),
            (
                "KL from even modes",
                "in nats",
                *("kl_to_uniform", "expected_kl_of_uniform", None, "lower"),
            ),
            (
                "Confidence",
                "of the classifier in the class that it sees, mean over samples",
                *("mean_confidence", "held_out_confidence", None, "equal"),
            ),
        ),
        _of_stacked,
    ),
}
