"""Cost of the input pipeline to a training step: `python benchmarks/input_pipeline.py`.

For each data set: the time of a batch drawn by the pipeline alone, and the time of a training step
fed by the pipeline against one fed with a batch that is there already. Their difference, as a share
of the step, is what the pipeline costs. The step is a small one (ten Langevin steps); with more,
the share falls.
"""

import argparse
import statistics
import sys
from pathlib import Path

import timing

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "launch"))

BATCHES, ROUNDS = 200, 7


def recipe_of():
    """Return a recipe with the small network and random flips and crops."""
    from tf_febm import recipes

    return recipes.get("paper").replace(width=16, num_steps=10, random_flip=True, random_crop=2)


def measure(dataset: str, data_dir: str | None, steps: int) -> None:
    """Print the figures of one data set."""
    import keras
    import tensorflow as tf

    from tf_febm.data import Source

    recipe = recipe_of()
    keras.utils.set_random_seed(0)
    data, _ = Source(dataset, data_dir).load()
    model = recipe.build(data)
    batches = recipe.stream(data)

    iterator = iter(batches)
    batch = next(iterator)
    held = tf.data.Dataset.from_tensors(batch).cache().repeat()

    def fit(stream):
        return lambda: model.fit(stream, steps_per_epoch=steps, epochs=1, verbose=0)

    sides = {
        "alone": lambda: [next(iterator) for _ in range(BATCHES)],
        "fed": fit(batches),
        "ready": fit(held),
    }
    times = timing.interleaved(sides, ROUNDS, seconds=0.0).values()
    alone, fed, ready = (
        statistics.median(taken) / count
        for taken, count in zip(times, (BATCHES, steps, steps), strict=True)
    )
    size = len(batch[0] if isinstance(batch, tuple) else batch)
    print(
        f"{data.name}: {len(data.images)} images {data.image_shape}, batch {size}: pipeline alone "
        f"{1e3 * alone:.2f} ms a batch; step {1e3 * fed:.1f} ms with it, {1e3 * ready:.1f} ms "
        f"without: share {max(0.0, 1 - ready / fed):.1%}"
    )


def main() -> None:
    """Measure every data set that is given."""
    import console

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "datasets", nargs="*", default=["digits"], help="name or name=path, such as celeba=img/"
    )
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    console.import_quietly()
    for text in given.datasets:
        name, _, path = text.partition("=")
        measure(name, path or None, given.steps)


if __name__ == "__main__":
    main()
