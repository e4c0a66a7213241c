"""(a) One training iteration of the mixture study against an eager PyTorch loop.

Both run Algorithm 1 with the same batch of 1000, the same networks and exact samples of the model,
in turns, in one process; the ratio is that of the medians. `make bench` sets up an environment with
PyTorch and runs it. The PyTorch side is written as the published loop is: eager, with plain SGD and
four passes of the variational network, two of them after its update. Ours is the study's iteration:
Adam, averaged weights, metrics, stratified samples, and simultaneous updates, which do without the
last two passes; with --alternating=1 it makes them too.
"""

import timing

# Iterations of a turn.
STEPS, TORCH_STEPS = 2500, 500


def make_torch_step(batch: int = 1000):
    """Return a function that takes one iteration in PyTorch."""
    import numpy as np
    import torch

    rng = np.random.RandomState(0)
    mean = torch.zeros((), requires_grad=True)
    scale = torch.ones((), requires_grad=True)
    network = torch.nn.Sequential(
        torch.nn.Linear(1, 64),
        torch.nn.Tanh(),
        torch.nn.Linear(64, 64),
        torch.nn.Tanh(),
        torch.nn.Linear(64, 1),
    )
    optimizer = torch.optim.SGD([mean, scale], lr=1e-3)
    variational_optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    log_2 = float(np.log(2.0))

    def as_tensor(values):
        return torch.tensor(values).float()

    def energy(x):
        return 0.5 * ((x - mean) / scale) ** 2

    def variational(x):
        return network(x[:, None]).squeeze()

    def derivative(r):
        return log_2 + r - torch.log(1.0 + torch.exp(r))

    def conjugate(r):
        return -log_2 + torch.log(1.0 + torch.exp(r))

    def step():
        narrow = rng.normal(-1.0, 0.25, int(0.33 * batch))
        wide = rng.normal(2.0, 2.0**0.5, batch - len(narrow))
        data = as_tensor(np.concatenate([narrow, wide]))
        model = as_tensor(rng.normal(mean.item(), scale.item(), batch))

        ratio_data = variational(data) + energy(data)
        ratio_model = variational(model) + energy(model)
        loss = -(derivative(ratio_data) - conjugate(ratio_model)).mean()
        variational_optimizer.zero_grad()
        loss.backward()
        variational_optimizer.step()

        energy_data, energy_model = energy(data), energy(model)
        slope = derivative(variational(data) + energy_data)
        value = conjugate(variational(model) + energy_model)
        covariance = (energy_model * value.detach()).mean() - (
            energy_model.mean() * value.mean().detach()
        )
        optimizer.zero_grad()
        (slope.mean() - value.mean() + covariance).backward()
        optimizer.step()

    return step


def main() -> None:
    """Time both in turns."""
    # One thread is the fastest for both: the operations are small.
    given = timing.arguments(__doc__, alternating=0)
    timing.import_quietly(1)
    from tf_febm import analysis
    from tf_febm.analysis import mixture_fit

    steps, torch_steps = (100, 10) if given.quick else (STEPS, TORCH_STEPS)
    target = analysis.gaussian_mixture([0.33, 0.67], [-1.0, 2.0], [0.0625, 2.0])
    options = {"steps": 10**6, "batch_size": 1000, "sampler": "exact", "seed": 0, "rule": "library"}
    model = mixture_fit.build("febm", "js", options)
    model.simultaneous = not given.alternating
    data = mixture_fit.stream(target, 1000, 0)
    torch_step = make_torch_step()

    def theirs():
        for _ in range(torch_steps):
            torch_step()

    report = timing.Report("(a) The 1-D study: one iteration of batches of 1000")
    sides = {
        "PyTorch, eager, as published": theirs,
        "tf_febm": lambda: model.fit(data, steps_per_epoch=steps, verbose=0),
    }
    times = timing.interleaved(sides, given.rounds)
    taken = {
        name: [t / count for t in times[name]]
        for name, count in zip(sides, (torch_steps, steps), strict=True)
    }
    for name, values in taken.items():
        report.row(name, values)
    report.ratio("PyTorch / tf_febm", *taken.values(), "≥ 5")
    report.write(given.json)


if __name__ == "__main__":
    main()
