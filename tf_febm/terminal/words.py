"""Results and errors as sentences, for the console. Nothing but the standard library."""

import textwrap
from collections.abc import Mapping
from typing import Any

__all__ = ["error_line", "is_interrupt", "of_applications", "of_rows", "of_samples", "stopped"]

_WIDTH = 100
_AUROC = "AUROC; 1 is always, 0.5 is chance"


def of_samples(result: Mapping[str, Any]) -> list[str]:
    """Return what `training.evaluate_run` found, a sentence an entry.

    Args:
        result: What it returns.
    """
    told = []
    if "samples" in result:
        found, real = result["samples"], result["held_out"]
        told.append(
            f"Fréchet distance of the samples from the {found['reference']} images: "
            f"{found['frechet_distance']:.4g}; real images ({real['images']}) are "
            f"{real['frechet_distance']:.4g} from theirs. Lower is better; features of "
            f"{found['feature_network']}."
        )
        told.append(
            f"Of the samples {found['precision']:.0%} look like real images (precision), of real "
            f"images {found['recall']:.0%} have samples like them (recall); among real images it "
            f"is {real['precision']:.0%} and {real['recall']:.0%}."
        )
    quality = result.get("quality", {})
    if "frechet_to_held_out" in quality:
        told.append(
            f"The Fréchet ratio, as in the report, is of distances from held-out images: "
            f"{quality['frechet_to_held_out']:.4g} of the samples over "
            f"{quality['frechet_train_to_held_out']:.4g} of all training images."
        )
    for place, near in result.get("nearest", {}).items():
        if isinstance(near, Mapping):
            copies = near["samples"] < 0.5 * near["held_out"]
            says = "samples may be copies" if copies else "samples are no copies"
            told.append(
                f"The nearest training image of a sample is {near['samples']:.3g} away in {place}, "
                f"that of a held-out image {near['held_out']:.3g}: {says}."
            )
    return _wrapped(told)


def of_rows(result: Mapping[str, Any]) -> list[str]:
    """Return what `applications.score_rows` found, a sentence an entry.

    Args:
        result: What it returns.
    """
    told = []
    if result.get("note"):
        told.append(result["note"].replace("odd=", "--odd="))
    else:
        told.append(
            f"{result['num_odd']} of {result['num_rows']:,} rows are called odd: their p_value, "
            "the share of usual rows that are as odd as this one or odder, is at most --odd="
            f"{result['odd']:g}, the limit for all; the energy is {result['threshold']:.4g} or "
            "more."
        )
    odd = [
        f"row {row['row']}{_of(row.get('class'))}, furthest out in {row['furthest']}"
        for row in result["oddest"][:3]
    ]
    told.append(f"The oddest: {'; '.join(odd)}. scores.csv ranks them all.")
    for name, found in list(result.get("classes", {}).items())[:_CLASSES]:
        told.append(f"Class {name} is told from other rows to {found['auroc']:.3f} ({_AUROC}).")
    return _wrapped(told)


def of_applications(result: Mapping[str, Any]) -> list[str]:
    """Return what `applications.demonstrate` found, a sentence an entry.

    Args:
        result: What it returns.
    """
    noise, told = result["denoising"], []
    gain = noise["psnr_denoised"] - noise["psnr_clipped"]
    does = "Removing noise works" if gain > 0.0 else "Removing noise does not work"
    told.append(
        f"{does}: {noise['psnr_clipped']:.1f} dB with noise of {noise['noise']:g}, "
        f"{noise['psnr_denoised']:.1f} dB without (PSNR; higher is better)."
    )
    if not result["inpainting"]["known_pixels_equal"]:
        told.append("Filling in changed pixels that were known.")
    if not result["inpainting"].get("finite", True):
        told.append(
            "Filling in ran away and shows nothing: the steps of this run's chains are too long "
            "where a part of an image is held fixed."
        )
    for name, scores in result["out_of_distribution"].items():
        if name != "mean_energy":
            score = max(scores, key=lambda score: scores[score]["auroc"])
            told.append(
                f"By energy {name} images are told from held-out ones to "
                f"{scores['energy']['auroc']:.3f} ({_AUROC}); the best score is {score}, "
                f"{scores[score]['auroc']:.3f}."
            )
    return _wrapped(told)


# Classes that are told one by one.
_CLASSES = 6


def _of(name: str | None) -> str:
    return "" if name is None else f" ({name})"


def _wrapped(lines: list[str]) -> list[str]:
    return [textwrap.fill(line, _WIDTH, break_long_words=False) for line in lines]


def stopped(step: int, without: str = "") -> str:
    """Return what to say of training that was ended early.

    Args:
        step: At which its state is saved; 0 if none was taken.
        without: What the same command has to leave out, in words, or nothing.
    """
    if not step:
        return "Stopped before the first step; the same command begins anew."
    return f"Stopped at step {step}; the same command{without} continues from there."


def is_interrupt(error: BaseException | None) -> bool:
    """Return whether an error is what became of a KeyboardInterrupt.

    Python makes a SystemError of one that comes within a function written in C.
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ if isinstance(error, SystemError) else None
    return False


def error_line(error: Exception, more: str) -> str:
    """Return an error as one line for people.

    Args:
        error: A ValueError, TypeError, OSError, ArithmeticError or ImportError is taken to be meant
            for them; any other one is named as unexpected.
        more: How to see all of it, where that is more than the line.
    """
    text = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        # As people say it: the system's own form begins with a number.
        text = f"{error.filename}: {error.strerror}"
    lines = text.strip().splitlines() or ["no message"]
    expected = isinstance(error, (ValueError, TypeError, OSError, ArithmeticError, ImportError))
    what = "" if expected else f"unexpected {type(error).__name__}: "
    hint = "" if expected and len(lines) == 1 else f" ({more})"
    return f"error: {what}{lines[0]}{hint}"
