"""How the samples of a run became better: a Fréchet distance per checkpoint, table and picture."""

import csv
import io


def seconds_of_training(metrics) -> dict[int, float]:
    """Return step -> seconds of training until then, from a run's metrics.csv; nothing without."""
    try:
        with open(metrics, encoding="utf-8", newline="") as file:
            return {int(row["step"]): float(row["seconds"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError, TypeError):
        return {}


def measure(
    checkpoints, draw, sets, network, cache_dir, report, seconds: dict[int, float]
) -> list[dict]:
    """Return a row for each checkpoint: step, time, Fréchet distance of its samples to real images.

    Args:
        checkpoints: `training.Checkpoints`; its model is left at the last of them.
        draw: () -> samples of the model as it is, [n, height, width, channels].
        sets: `evaluate.References`: images to compare with, and those whose distance from real
            images is what there is to reach.
        network: `evaluation.FeatureNetwork`.
        cache_dir: Folder for the features of real images.
        report: Takes a line per checkpoint.
        seconds: Of training until a step.
    """
    from tf_febm import evaluation

    def features_of(images):
        return evaluation.feature_statistics(images, network, cache_dir).features

    def distance(images, reference):
        return evaluation.frechet_distance(network.features(images), reference)

    reachable = distance(sets.scale_images, features_of(sets.against_images))
    reference = features_of(sets.images)
    rows = []
    for step in checkpoints.steps:
        checkpoints.restore(step)
        row = {"step": step, "seconds": seconds.get(step), "reference": sets.name}
        found = distance(draw(), reference)
        rows.append(row | {"frechet_distance": found, "held_out": reachable})
        report(f"step {step}: Frechet distance {rows[-1]['frechet_distance']:.2f}")
    return rows


def write(out, rows: list[dict], feature_network: str) -> None:
    """Write curve.csv and curve.png into the folder `out`."""
    import matplotlib

    from tf_febm import files

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    text = io.StringIO(newline="")
    table = csv.DictWriter(text, rows[0])
    table.writeheader()
    table.writerows(rows)
    files.write_atomically(out / "curve.csv", lambda file: file.write(text.getvalue().encode()))

    plt.rcParams.update({"font.size": 12, "axes.spines.top": False, "axes.spines.right": False})
    figure, axis = plt.subplots(figsize=(6, 3.8))
    # Over time where it is known: what a step costs differs from run to run.
    timed = all(row["seconds"] for row in rows)
    along = [row["seconds"] / 60 if timed else row["step"] for row in rows]
    axis.plot(along, [row["frechet_distance"] for row in rows], "o-", color="#0072B2", lw=2)
    axis.axhline(rows[0]["held_out"], ls="--", color="#D55E00", label="other real images")
    axis.set_ylim(bottom=0)
    last = rows[-1]["step"]
    axis.set_xlabel(f"minutes of training ({last:,} steps)" if timed else "training step")
    axis.set_ylabel(f"Fréchet distance from {rows[-1]['reference']}")
    axis.set_title(f"in the features of {feature_network}", fontsize=10)
    axis.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(out / "curve.png", dpi=110)
    plt.close(figure)
