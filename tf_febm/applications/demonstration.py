"""Every application of an energy of images at once, with figures and pictures in a folder."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tf_febm import arguments, data, evaluation
from tf_febm.applications.denoising import denoise
from tf_febm.applications.evolution import chain_evolution, evolution_picture, most_frames
from tf_febm.applications.inpainting import inpaint
from tf_febm.applications.out_of_distribution import ood_scores

__all__ = ["demonstrate"]

# Images in the pictures, and those whose mean energy is told.
SHOWN, SCORED = 12, 1000


@arguments.checking({"held_out": arguments.IMAGES})
def demonstrate(
    model: arguments.Model,
    held_out: arguments.Data,
    out: arguments.Path,
    *,
    num_images: int = 256,
    noise: float = 0.3,
    num_steps: int = 400,
    others: Mapping[str, data.ImageData] | None = None,
    noise_removed: float = 0.0,
    seed: int = 0,
    report: Callable[[str], None] = lambda line: None,
) -> dict:
    """Remove noise, fill in halves, show chains on their way, and tell images from others.

    Writes denoised.png, inpainted.png, evolution.png and energies.png.

    Args:
        model: A trained model of images in [0, 1].
        held_out: `data.ImageData` that it was not trained on.
        out: Folder of the pictures.
        num_images: How many of these are used.
        noise: Standard deviation of the noise that is added and removed, above 0.
        num_steps: Langevin steps of filling in and of chains from noise.
        others: Name -> `data.ImageData` of the same shape, to tell from the model's own. Inverted
            images, noisy ones and uniform noise are always among them.
        noise_removed: Standard deviation of the noise that the model was trained with, which
            `model.denoise` takes off what is filled in, for showing; at least 0.
        seed: Of all of it.
        report: Takes lines about progress.

    Returns:
        "denoising", "inpainting" and "out_of_distribution", figures by name; "finite" is False
        among the second where chains of filling in ran away.
    """
    num_images = arguments.whole_number("num_images", num_images, 1)
    noise_removed = arguments.number("noise_removed", noise_removed)
    out, num_images = Path(out), min(num_images, len(held_out))
    images = data.dequantise(held_out.images[:num_images], seed=seed).numpy()
    labels = held_out.labels[:num_images] if model.conditional else None
    results: dict = {"num_images": num_images}
    if labels is not None:
        named = [held_out.class_names[k] for k in labels]
        results["classes"] = {name: named.count(name) for name in held_out.class_names}
    with model.best_weights():
        report(f"Removing noise of {noise} from {num_images} images …")
        results["denoising"] = _denoise(model, images, labels, noise, seed, out)
        report(f"Filling in the lower half of {min(SHOWN, num_images)} images …")
        results["inpainting"] = _inpaint(model, images, labels, num_steps, noise_removed, seed, out)
        frames = min(SHOWN, most_frames(model, num_steps))
        # Walks down levels of noise are as long as these are many.
        steps = None if hasattr(model, "levels") else num_steps
        ways = chain_evolution(model, 8, frames, seed=(seed, 3), num_steps=steps)
        evaluation.save_png(out / "evolution.png", evolution_picture(ways, model.bounds))
        results["out_of_distribution"] = _tell_apart(
            model, held_out, others or {}, seed, out, report
        )
    return results


def _denoise(model, images, labels, noise: float, seed: int, out: Path) -> dict:
    """Remove noise; return mean peak signal-to-noise ratios in dB, peak 1."""
    rng = np.random.default_rng(seed)
    noisy = (images + rng.normal(0.0, noise, images.shape)).astype(np.float32)
    result = denoise(model, noisy, noise, labels, seed=(seed, 1))

    def ratio(estimates) -> float:
        errors = np.mean(np.square(estimates - images), axis=(1, 2, 3))
        return float(np.mean(-10.0 * np.log10(errors)))

    clipped = np.clip(noisy, 0.0, 1.0)
    _write_rows(out / "denoised.png", images, clipped, result.images)
    return {
        "noise": noise,
        "psnr_noisy": ratio(noisy),
        "psnr_clipped": ratio(clipped),
        "psnr_denoised": ratio(result.images),
        "energy_weight": result.energy_weight,
    }


def _inpaint(model, images, labels, num_steps, noise_removed, seed: int, out: Path) -> dict:
    """Fill in the lower halves of some images; return whether the upper ones were left alone."""
    images, labels = images[:SHOWN], None if labels is None else labels[:SHOWN]
    half = images.shape[1] // 2
    known = np.arange(images.shape[1])[:, None, None] < half
    filled = inpaint(model, images, known, labels, seed=(seed, 2), num_steps=num_steps)
    finite = bool(np.isfinite(filled).all())
    if finite and noise_removed > 0.0:
        filled = np.where(known, filled, model.denoise(filled, noise_removed, labels).numpy())
    filled = np.nan_to_num(filled, nan=0.5)
    _write_rows(out / "inpainted.png", images, np.where(known, images, np.float32(0.5)), filled)
    equal = bool(np.array_equal(filled[:, :half], images[:, :half]))
    return {"known_pixels_equal": equal} | ({} if finite else {"finite": False})


def _tell_apart(model, held_out, others: Mapping, seed: int, out: Path, report) -> dict:
    """Score held-out images against others; return the figures of each score and set."""
    # Not those that were denoised: the mean energies are of 1,000 images, if there are so many.
    own = data.dequantise(held_out.images[-SCORED:], seed=seed + 1).numpy()
    rng = np.random.default_rng(seed + 2)
    sets = {
        "inverted": 1.0 - own,
        "noisy": np.clip(own + rng.normal(0.0, 0.2, own.shape), 0.0, 1.0).astype(np.float32),
        "uniform noise": rng.random(own.shape, np.float32),
        **{
            name: data.dequantise(other.images[:SCORED], seed=1).numpy()
            for name, other in others.items()
        },
    }
    report(f"Telling {held_out.name} from {', '.join(sets)} …")
    usual = ood_scores(model, own)
    energies = {held_out.name: usual["energy"]}
    results: dict = {"mean_energy": {held_out.name: float(usual["energy"].mean())}}
    for name, images in sets.items():
        strange = ood_scores(model, images)
        energies[name] = strange["energy"]
        results["mean_energy"][name] = float(strange["energy"].mean())
        results[name] = {
            score: evaluation.ood_metrics(-usual[score], -strange[score])._asdict()
            for score in usual
        }
    chart = evaluation.histogram_chart(energies, "Energies of images", "energy")
    evaluation.save_png(out / "energies.png", chart)
    return results


def _write_rows(path: Path, *rows) -> None:
    """Write rows of as many images as fit; what a model without bounds made is clipped."""
    shown = np.clip(np.concatenate([row[:SHOWN] for row in rows]), 0.0, 1.0)
    evaluation.save_png(path, evaluation.image_grid(shown, columns=len(rows[0][:SHOWN])))
