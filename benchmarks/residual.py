"""(c) The paper's network for 32×32 images: a Langevin step, and a training step around ten.

GFLOP/s count the multiplications and additions of the convolutions, forward and back to the image;
the share is of the fastest product of two large matrices, in TensorFlow or PyTorch, in the same
run. Spectral norms are estimated once per training step on both sides.
"""

import statistics

import timing

BATCHES = {32: 32, 64: 16, 128: 8}
STEP_SIZE, NOISE_SCALE, CLIP, STEPS, RATE = 10.0, 0.005, 0.01, 10, 1e-4


def build(filters: int):
    """Return the network, away from the zeros at which half of its kernels start."""
    import keras
    import tensorflow as tf

    import tf_febm

    keras.utils.set_random_seed(0)
    network = tf_febm.networks.resnet32(filters)
    for i, weight in enumerate(network.trainable_variables):
        weight.assign(weight + 0.01 * tf.random.stateless_normal(weight.shape, (i, 1)))
    return network


def operations(network) -> float:
    """Return the floating-point operations of the convolutions for one image, forward."""
    total = 0
    for layer in network.layers:
        if hasattr(layer, "kernel_size"):
            height, width, channels, filters = layer.kernel.shape
            places = layer.output.shape[1] * layer.output.shape[2]
            total += 2 * places * height * width * channels * filters
    return float(total)


def sampler(steps: int):
    """Return the published kernel."""
    import tf_febm

    return tf_febm.samplers.Langevin(STEP_SIZE, NOISE_SCALE, steps, CLIP)


def our_chain(network, x, steps: int, dtype: str = "float32"):
    """Return a function that runs a chain of some steps, whose network multiplies in a dtype."""
    import tensorflow as tf

    from tf_febm import networks

    data, chain = tf.constant(x), sampler(steps).with_dtype(dtype)

    @tf.function(autograph=False)
    def run(x):
        with networks.cached_weights(network):
            return chain(network, x, seed=(1, 2))

    return lambda: run(data).numpy()


def our_training(network, x, steps: int):
    """Return a function that takes a training step."""
    import tensorflow as tf

    import tf_febm

    model = tf_febm.ContrastiveDivergence(network, sampler=sampler(steps), seed=0)
    model.compile(tf_febm.optimizers.FusedAdam(RATE))
    step, data = tf.function(model.train_step, autograph=False), tf.constant(x)
    return lambda: step(data)["energy_data"].numpy()


def torch_chain(
    module, x, steps: int, kernels=None, step_size=STEP_SIZE, noise_scale=NOISE_SCALE, clip=CLIP
):
    """Return a function that runs the same chain in PyTorch, eagerly, channels last."""
    import torch

    def run():
        frozen = module.frozen() if kernels is None else kernels
        y = x
        for _ in range(steps):
            y = y + noise_scale * torch.randn_like(y)
            y.requires_grad_(True)
            (gradient,) = torch.autograd.grad(module(y, frozen).sum(), y)
            with torch.no_grad():
                y = (y - step_size * gradient.clamp_(-clip, clip)).clamp_(0.0, 1.0)
        return y

    return run


def torch_training(module, x, steps: int):
    """Return a function that takes the same training step."""
    import torch

    optimizer = torch.optim.Adam(module.parameters(), RATE)
    chain = torch_chain(module, x, steps)

    def step():
        for parameter in module.output.parameters():
            parameter.requires_grad_(False)
        y = chain()
        for parameter in module.output.parameters():
            parameter.requires_grad_(True)
        kernels = module.normalised(advance=True)
        data, model = module(x, kernels), module(y, kernels)
        loss = data.mean() - model.mean() + (data**2).mean() + (model**2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def matrix_products(size: int = 2048) -> dict:
    """Return functions that multiply two large matrices, and their operations."""
    import tensorflow as tf
    import torch

    a, b = tf.random.normal((size, size)), torch.randn(size, size)
    multiply = tf.function(lambda: tf.matmul(a, a), autograph=False)
    sides = {"product in TensorFlow": lambda: multiply(), "product in PyTorch": lambda: b @ b}
    return sides, 2.0 * size**3


def main() -> None:
    """Time the sides in turns, for each width."""
    given = timing.arguments(__doc__, filters="32,64,128")
    timing.import_quietly(given.threads)
    import numpy as np
    import torch
    from networks_in_torch import ResNet32

    report = timing.Report("(c) resnet32: one Langevin step, and a training step of ten")
    widths = [4] if given.quick else [int(width) for width in given.filters.split(",")]
    demands = {32: "≥ 1.2", 64: "≥ 1.15", 128: "≥ 1.0"}
    for width in widths:
        batch = BATCHES.get(width, 2)
        x = np.random.default_rng(0).random((batch, 32, 32, 3), dtype=np.float32)
        y = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        network = build(width)
        module = ResNet32(network).to(memory_format=torch.channels_last)
        with torch.no_grad():
            energies = module(y, module.frozen()).numpy()
        timing.check_agreement(report, "Energies", np.array(network(x))[:, 0], energies)
        chain = torch_chain(module, y, STEPS, module.frozen())

        def half_chain(chain=chain):
            with torch.autocast("cpu", torch.bfloat16):
                chain()

        products, product = matrix_products(256 if given.quick else 2048)
        sides = {
            "PyTorch chain": chain,
            "tf_febm chain": our_chain(network, x, STEPS),
            "PyTorch bfloat16 chain": half_chain,
            "tf_febm bfloat16 chain": our_chain(network, x, STEPS, "bfloat16"),
            "PyTorch training": torch_training(ResNet32(network), y, STEPS),
            "tf_febm training": our_training(network, x, STEPS),
        }
        times = timing.interleaved({**sides, **products}, given.rounds)
        rate = product / min(statistics.median(times[name]) for name in products)
        report.note(f"Fastest matrix product: {rate / 1e9:.0f} GFLOP/s.")
        work = 2 * batch * operations(network)
        for name in sides:
            per_step = STEPS if name.endswith("chain") else 1
            taken = [t / per_step for t in times[name]]
            extra = ""
            if per_step > 1:
                speed = work / statistics.median(taken)
                extra = f"{speed / 1e9:.0f} GFLOP/s, {speed / rate:.2f} of the matrix product"
            report.row(f"{width} filters, batch {batch}: {name}", taken, extra=extra)
        ours = work * STEPS / statistics.median(times["tf_febm chain"]) / rate
        report.number(
            f"{width} filters: share of the matrix product",
            ours,
            "≥ 0.90" if width == 128 else None,
        )
        halves = times["tf_febm chain"], times["tf_febm bfloat16 chain"]
        report.ratio(f"{width} filters: tf_febm, float32 / bfloat16, chain", *halves)
        for kind in ("chain", "bfloat16 chain", "training"):
            pair = times[f"PyTorch {kind}"], times[f"tf_febm {kind}"]
            demand = demands.get(width) if kind == "chain" else None
            report.ratio(f"{width} filters: PyTorch / tf_febm, {kind}", *pair, demand)
    report.write(given.json)


if __name__ == "__main__":
    main()
