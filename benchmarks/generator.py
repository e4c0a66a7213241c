"""(h) Images a second: one pass of a generator against Langevin chains, by the recipes' networks.

Digits and MNIST-sized images with the recipes of both methods. The chains are those
of f-EBM's training, from noise; what a chain needs to forget its start is longer. The weights are
untrained: speed does not depend on them.
"""

import timing

IMAGES = 250


def model_of(method: str, dataset: str, shape):
    """Return the compiled model of a method's recipe for a data set, and the recipe."""
    import numpy as np

    from tf_febm import recipes

    recipe = recipes.for_dataset(dataset, method)
    return recipe.build(np.zeros((2, *shape), np.uint8)), recipe


def main():
    """Time all of it."""
    given = timing.arguments(__doc__)
    timing.import_quietly(given.threads, torch_too=False)
    report = timing.Report("(h) Images a second, generator against Langevin chains")
    count = 8 if given.quick else IMAGES
    for dataset, shape in (("digits", (8, 8, 1)), ("mnist", (28, 28, 1))):
        maker, _ = model_of("bidirectional", dataset, shape)
        chains, recipe = model_of("febm", dataset, shape)
        steps = 2 if given.quick else recipe.num_steps
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
