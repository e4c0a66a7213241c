"""(b) A contrastive-divergence step on 28×28 images: 128 of them, 60 Langevin steps.

The network is four strided convolutions with swish. All sides start their chains at the data, take
the same steps (no clipping of gradients, which TorchEBM does not have; states are clipped to
[0, 1]), minimise the same loss with Adam, and start from the same weights.
"""

import timing

STEP_SIZE, NOISE_SCALE, PENALTY, RATE = 1.0, 0.005, 1e-3, 1e-4


def build():
    """Return the network in this library's own layers, for its fast path."""
    import keras

    import tf_febm

    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((28, 28, 1))
    for filters, size in ((32, 4), (64, 4), (128, 3), (128, 4)):
        x = tf_febm.networks.Conv2D(filters, size, 2, "same", activation="swish")(x)
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(x)))


def of_keras(network):
    """Return the same network in Keras' own layers."""
    import keras

    import tf_febm

    twin = keras.models.clone_model(
        network,
        clone_function=lambda layer: (
            keras.layers.Conv2D.from_config(layer.get_config())
            if isinstance(layer, tf_febm.networks.Conv2D)
            else type(layer).from_config(layer.get_config())
        ),
    )
    twin.set_weights(network.get_weights())
    return twin


def ours(network, x, steps: int, dtype: str = "float32"):
    """Return a function that takes one training step of `ContrastiveDivergence`.

    Args:
        network: What is trained.
        x: Images.
        steps: Langevin steps.
        dtype: What its chains multiply in.
    """
    import tensorflow as tf

    import tf_febm

    sampler = tf_febm.samplers.Langevin(
        STEP_SIZE,
        NOISE_SCALE,
        steps,
        grad_clip=None,
        bounds=(0.0, 1.0),
        noise_first=False,
        dtype=dtype,
    )
    model = tf_febm.ContrastiveDivergence(network, sampler=sampler, l2_coeff=PENALTY, seed=0)
    model.compile(tf_febm.optimizers.FusedAdam(RATE))
    step = tf.function(model.train_step, autograph=False)
    data = tf.constant(x)
    return lambda: step(data)["energy_data"].numpy()


def eager_step(module, x, steps: int, energy=None, half: bool = False):
    """Return a function that takes the same step in an eager PyTorch loop.

    Args:
        module: The network; its parameters are trained.
        x: Images, [n, 1, height, width].
        steps: Langevin steps.
        energy: What evaluates it; `module`, or its compiled form.
        half: Whether chains are in bfloat16.
    """
    import torch

    energy = module if energy is None else energy
    optimizer = torch.optim.Adam(module.parameters(), RATE)

    def step():
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        y = x.clone()
        for _ in range(steps):
            y.requires_grad_(True)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                value = energy(y).sum()
            (gradient,) = torch.autograd.grad(value, y)
            with torch.no_grad():
                y = y - STEP_SIZE * gradient + NOISE_SCALE * torch.randn_like(y)
                y.clamp_(0.0, 1.0)
        for parameter in module.parameters():
            parameter.requires_grad_(True)
        data, model = energy(x), energy(y)
        penalty = (data**2).mean() + (model**2).mean()
        loss = data.mean() - model.mean() + PENALTY * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def torchebm_step(module, x, steps: int):
    """Return a function that takes the same step with TorchEBM's loss and sampler."""
    import torch
    from torchebm.core import BaseModel
    from torchebm.losses import ContrastiveDivergence
    from torchebm.samplers import LangevinDynamics

    class Energy(BaseModel):
        def __init__(self):
            super().__init__()
            self.module = module

        def forward(self, x):
            return self.module(x)

    energy = Energy()
    sampler = LangevinDynamics(
        energy, STEP_SIZE, noise_scale=NOISE_SCALE / (2 * STEP_SIZE) ** 0.5, clamp=(0.0, 1.0)
    )
    loss_of = ContrastiveDivergence(energy, sampler, steps, energy_reg_weight=PENALTY)
    optimizer = torch.optim.Adam(module.parameters(), RATE)

    def step():
        optimizer.zero_grad()
        loss, _ = loss_of(x)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def main() -> None:
    """Time the sides in turns."""
    given = timing.arguments(__doc__, compile=1)
    timing.import_quietly(given.threads)
    import numpy as np
    import torch
    from networks_in_torch import FourConvolutions

    count, steps = (16, 3) if given.quick else (128, 60)
    report = timing.Report(f"(b) 28×28, batch {count}, {steps} Langevin steps: a training step")
    x = np.random.default_rng(0).random((count, 28, 28, 1), dtype=np.float32)
    y = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous()
    last = y.contiguous(memory_format=torch.channels_last)
    network = build()
    with torch.no_grad():
        energies = FourConvolutions(network)(y).numpy()
    timing.check_agreement(report, "Energies", np.array(network(x))[:, 0], energies)

    def module(channels_last=False):
        made = FourConvolutions(network)
        return made.to(memory_format=torch.channels_last) if channels_last else made

    plain = of_keras(network)
    sides = {
        "torchebm": torchebm_step(module(), y, steps),
        "PyTorch eager": eager_step(module(), y, steps),
        "PyTorch eager, channels last": eager_step(module(True), last, steps),
    }
    if given.compile and not given.quick:
        made = module()
        sides["PyTorch compiled"] = eager_step(made, y, steps, torch.compile(made))
    sides["tf_febm, layers of Keras"] = ours(plain, x, steps)
    sides["PyTorch eager, channels last, bfloat16 chains"] = eager_step(
        module(True), last, steps, half=True
    )
    short = build()
    short.set_weights(network.get_weights())
    sides["tf_febm"] = ours(network, x, steps)
    sides["tf_febm, bfloat16 chains"] = ours(short, x, steps, "bfloat16")
    times = timing.interleaved(sides, given.rounds)
    for name, taken in times.items():
        report.row(name, taken)
    demands = {"torchebm": "≥ 1.8", "PyTorch eager": "≥ 1.8", "PyTorch compiled": "≥ 1.2"}
    of_ours = [name for name in sides if name.startswith("tf_febm") and "Keras" not in name]
    for name in sides:
        if "bfloat16" in name and name not in of_ours:
            pair = times[name], times["tf_febm, bfloat16 chains"]
            report.ratio(f"{name} / tf_febm, likewise", *pair)
        elif name not in of_ours:
            report.ratio(f"{name} / tf_febm", times[name], times["tf_febm"], demands.get(name))
    report.ratio("tf_febm: float32 / bfloat16 chains", *(times[name] for name in of_ours))
    report.write(given.json)


if __name__ == "__main__":
    main()
