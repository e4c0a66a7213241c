"""(e) The replay buffer: time per step for capacities from 1,000 to 1,000,000 images of 28×28."""

import timing

CAPACITIES, BATCH = (1_000, 10_000, 100_000, 1_000_000), 128


def full_buffer(capacity: int):
    """Return a buffer whose places have all been written, so that reads go anywhere in it."""
    import tensorflow as tf

    import tf_febm

    buffer = tf_febm.ReplayBuffer(capacity)
    buffer.build((28, 28, 1), (0.0, 1.0))
    # In parts, for want of memory, and other than zero, so that every page is there.
    for i in range(0, capacity, 10_000):
        size = min(10_000, capacity - i)
        buffer.samples[i : i + size].assign(tf.fill([size, 28, 28, 1], tf.constant(127, tf.uint8)))
    buffer.written.assign(capacity)
    return buffer


def exchange(buffer, batch: int):
    """Return a function that starts a batch of chains from the buffer and writes their ends."""
    import tensorflow as tf

    fresh = tf.random.stateless_uniform([batch, 28, 28, 1], (0, 1))

    @tf.function(autograph=False)
    def step(seed):
        start = buffer.start(fresh, seed)
        buffer.write(start)
        return start[0, 0, 0, 0]

    seeds = iter(range(2**31))
    return lambda: step(tf.constant([0, next(seeds)])).numpy()


def training(buffer, batch: int):
    """Return a function that takes a training step of a small network with short chains."""
    import tensorflow as tf

    import tf_febm

    network = tf_febm.networks.mlp((28, 28, 1), (64,), "swish")
    model = tf_febm.ContrastiveDivergence(
        network, sampler=tf_febm.samplers.Langevin(num_steps=5), buffer=buffer, seed=0
    )
    model.compile(tf_febm.optimizers.FusedAdam(1e-4))
    step = tf.function(model.train_step, autograph=False)
    data = tf.random.stateless_uniform([batch, 28, 28, 1], (0, 1))
    return lambda: step(data)["energy_data"].numpy()


def main() -> None:
    """Time the capacities in turns."""
    given = timing.arguments(__doc__)
    timing.import_quietly(given.threads, torch_too=False)
    capacities = (1_000, 5_000) if given.quick else CAPACITIES
    report = timing.Report(f"(e) Replay buffer, batches of {BATCH}")
    for what, make in (("start and write", exchange), ("training step", training)):
        sides = {capacity: make(full_buffer(capacity), BATCH) for capacity in capacities}
        times = timing.interleaved(sides, given.rounds)
        for capacity, taken in times.items():
            report.row(f"{what}, capacity {capacity:,}", taken)
        report.ratio(
            f"{what}: {capacities[-1]:,} / {capacities[0]:,}",
            times[capacities[-1]],
            times[capacities[0]],
            "≤ 1.1",
        )
    report.write(given.json)


if __name__ == "__main__":
    main()
