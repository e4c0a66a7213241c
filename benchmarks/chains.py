"""(chains) What chains in bfloat16 and chains in parts gain here, network by network.

A step of a chain of 64 images, by networks of the recipes and of the paper, with products in
float32 and in bfloat16; and a training step of the recipes of the digits and of MNIST, whose chains
run in one part and in two. Data are noise: their values do not change the time.
"""

import timing

DTYPES = ("float32", "bfloat16")
BATCH = 64


def networks(quick: bool) -> dict:
    """Return name -> (network, steps of a chain)."""
    from residual import build

    from tf_febm import networks as made

    if quick:
        return {"mlp of the digits": (made.mlp((8, 8, 1), (256, 256), "swish"), 2)}
    return {
        **{f"resnet32, {width} filters": (build(width), 1) for width in (32, 64, 128)},
        "strided, of faces": (made.strided((32, 32, 3)), 20),
        "conv, 28×28 pixels": (made.conv((28, 28, 1), 64), 4),
        "mlp of MNIST": (made.mlp((28, 28, 1), (512, 512), "swish"), 20),
        "mlp of the digits": (made.mlp((8, 8, 1), (256, 256), "swish"), 40),
    }


def chain(network, steps: int, dtype: str):
    """Return a function that runs a chain."""
    import numpy as np
    from jitted import our_chain

    shape = (BATCH, *network.input_shape[1:])
    return our_chain(
        network, np.random.default_rng(0).random(shape, dtype=np.float32), steps, dtype
    )


def training_step(recipe: str, side: int, num_parallel: int):
    """Return a function that takes a training step of a recipe."""
    import numpy as np
    import tensorflow as tf

    from tf_febm import data, recipes

    levels = np.random.default_rng(0).integers(0, 256, (256, side, side, 1), dtype=np.uint8)
    images = data.as_data(levels)
    made = recipes.get(recipe).replace(num_parallel=num_parallel)
    model = made.build(images)
    step, batch = tf.function(model.train_step, autograph=False), next(iter(made.stream(images)))
    return lambda: {name: value.numpy() for name, value in step(batch).items()}


def main() -> None:
    """Time the sides in turns, for each network and recipe."""
    given = timing.arguments(__doc__)
    timing.import_quietly(given.threads, torch_too=False)
    report = timing.Report(f"(chains) bfloat16, and parts: chains of {BATCH} images")
    for name, (network, steps) in networks(given.quick).items():
        sides = {dtype: chain(network, steps, dtype) for dtype in DTYPES}
        times = timing.interleaved(sides, given.rounds, 0.2)
        for dtype, taken in times.items():
            report.row(f"{name}, {dtype}", [t / steps for t in taken])
        report.ratio(f"{name}: float32 / bfloat16", *times.values())
    recipes = {"digits": 8} if given.quick else {"digits": 8, "digits_quick": 8, "mnist": 28}
    for recipe, side in recipes.items():
        sides = {parts: training_step(recipe, side, parts) for parts in (1, 2)}
        times = timing.interleaved(sides, given.rounds, 0.2)
        for parts, taken in times.items():
            report.row(f"training step of {recipe}, parts: {parts}", taken)
        report.ratio(f"training step of {recipe}: one part / two", *times.values())
    report.write(given.json)


if __name__ == "__main__":
    main()
