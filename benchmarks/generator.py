"""(h) Images a second: one pass of a generator against Langevin chains, at the presets' networks.

Digits and MNIST-sized images with the networks of the presets of both methods. The chains are those
of f-EBM's training, from noise; what a chain needs to forget its start is longer. The weights are
untrained: speed does not depend on them.
"""

import sys
from pathlib import Path

import timing

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "launch"))

IMAGES = 250


def model_of(method: str, dataset: str, shape):
    """Return the compiled model of a method's preset for a data set, without the data."""
    import building
    import numpy as np
    import train_flags
    from absl import flags

    from tf_febm import data

    values = flags.FlagValues()
    train_flags.define(values)
    values(["train.py", f"--method={method}", f"--dataset={dataset}"])
    labels = np.zeros(2, np.int32)
    images = data.ImageData(dataset, np.zeros((2, *shape), np.uint8), labels, 10)
    options = train_flags.resolve(values)
    return building.build_model(options, images), options


def main():
    """Time all of it."""
    given = timing.arguments(__doc__)
    timing.import_quietly(given.threads, torch_too=False)
    report = timing.Report("(h) Images a second, generator against Langevin chains")
    count = 8 if given.quick else IMAGES
    for dataset, shape in (("digits", (8, 8, 1)), ("mnist", (28, 28, 1))):
        maker, _ = model_of("bidirectional", dataset, shape)
        chains, options = model_of("febm", dataset, shape)
        steps = 2 if given.quick else options["num_steps"]
        sides = {
            f"{dataset}: generator": lambda m=maker: m.sample(count, seed=1).numpy(),
            f"{dataset}: generator, 20 steps on top": lambda m=maker: m.sample(
                count, seed=1, refine_steps=20
            ).numpy(),
            f"{dataset}: f-EBM, {steps} Langevin steps": lambda m=chains, n=steps: m.sample(
                count, seed=1, initial="noise", num_steps=n
            ).numpy(),
        }
        times = timing.interleaved(sides, given.rounds)
        for name, own in times.items():
            speeds = f"{count / sorted(own)[len(own) // 2]:,.0f} images/s"
            report.row(f"{name} ({count} images)", own, extra=speeds)
        first, _, last = times.values()
        report.ratio(f"{dataset}: chains / generator", last, first)
    report.write(given.json)


if __name__ == "__main__":
    main()
