"""What is compiled once serves all later calls: other images, numbers, steps; no other sampler."""

import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import applications, models, networks, samplers

X = np.random.default_rng(0).standard_normal((7, 2)).astype(np.float32)
KNOWN = [True, False]
SAMPLERS = {
    "langevin": lambda: samplers.Langevin.from_epsilon(0.1, 3),
    "mala": lambda: samplers.MALA(0.1, num_steps=3),
    "hmc": lambda: samplers.HMC(0.1, num_leapfrog_steps=2, num_steps=3, burn_in=1),
    "standardised": lambda: samplers.Preconditioned(
        samplers.Langevin.from_epsilon(0.1, 3),
        networks.GaussianReference.from_moments([0.0, 1.0], [1.0, 2.0]),
    ),
}
USES = {
    "sample": lambda m, n, steps: m.sample(n, seed=1, num_steps=steps),
    "sample with diagnostics": lambda m, n, steps: m.sample(
        n, seed=1, num_steps=steps, return_diagnostics=True, return_trajectory=True
    ),
    "chain_evolution": lambda m, n, steps: applications.chain_evolution(
        m, n, 2, seed=1, num_steps=steps
    ),
    "inpaint": lambda m, n, steps: applications.inpaint(m, X[:n], KNOWN, seed=1, num_steps=steps),
    "denoise": lambda m, n, steps: applications.denoise(
        m, X[:n], 0.1 * steps, seed=1, num_steps=steps
    ),
    "pooled_chains": lambda m, n, steps: models.pooled_chains(
        m, n, 1, pool_size=8, batch_size=4, num_rounds=4, nomix=1, num_steps=steps,
        restart_probability=0.1 * steps,
    ),
    "ood_scores": lambda m, n, steps: applications.ood_scores(m, X[:n], batch_size=steps),
}  # fmt: skip


# Every use with one sampler, and every sampler in those two that call it in different ways.
PAIRS = [(use, "langevin") for use in USES]
# mala takes the steps of hmc.
PAIRS += [
    pytest.param(use, kind, marks=pytest.mark.thorough) if kind == "mala" else (use, kind)
    for use in ("sample with diagnostics", "denoise")
    for kind in SAMPLERS
    if kind != "langevin"
]


@pytest.mark.parametrize(("use", "kind"), PAIRS)
def test_nothing_is_traced_anew(gaussian, use, kind):
    """Python runs the energy while it is traced, and only then."""
    model = gaussian((2,), sampler=SAMPLERS[kind]())
    USES[use](model, 5, 4)
    before = model.energy_network.traces
    for count, steps in ((5, 4), (5, 3), (6, 2), (3, 7)):
        USES[use](model, count, steps)
    assert model.energy_network.traces == before


@pytest.mark.parametrize("use", ["sample", "inpaint", "denoise", "ood_scores", "chain_evolution"])
def test_nor_with_labels(gaussian, use):
    model = gaussian((2,), means=[[-1.0, 0.0], [1.0, 0.0]])
    calls = {
        "sample": lambda n, y: model.sample(n, y, seed=1),
        "chain_evolution": lambda n, y: applications.chain_evolution(model, n, 2, y, seed=1),
        "inpaint": lambda n, y: applications.inpaint(model, X[:n], KNOWN, y, seed=1, num_steps=2),
        "denoise": lambda n, y: applications.denoise(model, X[:n], 0.1, y, seed=1, num_steps=2),
        "ood_scores": lambda n, y: applications.ood_scores(model, X[:n], y),
    }
    calls[use](4, [0, 1, 0, 1])
    before = model.energy_network.traces
    calls[use](5, [0, 1, 0, 1, 1])
    calls[use](3, [0, 1, 0])
    assert model.energy_network.traces == before


@pytest.mark.parametrize("kind", SAMPLERS)
def test_steps_given_are_those_of_the_sampler(gaussian, kind):
    """The numbers drawn are the same for three steps, whoever says so, as a tensor or not."""
    sampler = SAMPLERS[kind]()
    model = gaussian((2,), sampler=sampler)
    own, given, none = (model.sample(5, seed=1, num_steps=n).numpy() for n in (None, 3, 0))
    np.testing.assert_array_equal(own, given)
    assert not np.array_equal(own, none)

    def energy(x):
        return 0.5 * tf.reduce_sum(tf.square(x), axis=1)

    whole = sampler(energy, X, 2, num_steps=5, return_trajectory=True, return_diagnostics=True)
    run = tf.function(
        lambda n: sampler(
            energy, X, 2, num_steps=n, return_trajectory=True, return_diagnostics=True
        ),
        autograph=False,
    )
    compiled = run(tf.constant(5))
    np.testing.assert_allclose(compiled.trajectory, whole.trajectory, atol=1e-5)
    np.testing.assert_allclose(compiled.energy, whole.energy, atol=1e-5)
    assert run(tf.constant(0)).trajectory.shape == (1, 7, 2)
    np.testing.assert_array_equal(run(tf.constant(0)).samples, whole.trajectory[0])
    eager = sampler(energy, X, 2, num_steps=tf.constant(5, tf.int64))
    np.testing.assert_allclose(eager, whole.samples, atol=1e-5)


def test_samplers_of_ones_own_get_whole_numbers(gaussian):
    received = []

    def own(energy_fn, initial_state, seed, num_steps=1):
        received.append(num_steps)
        for _ in range(num_steps):
            initial_state = initial_state + 1.0
        return initial_state

    model = gaussian((2,), sampler=own)
    for use in ("sample", "inpaint", "pooled_chains"):
        USES[use](model, 3, 2)
    assert received == [2, 2, 2]


@pytest.mark.parametrize("use", ["sample", "inpaint", "pooled_chains", "denoise"])
def test_another_sampler_is_another_program(gaussian, use):
    """In other bounds, no result of the first sampler may come back."""
    model = gaussian((2,), sampler=samplers.Langevin(num_steps=3, bounds=(0.0, 1.0)))

    def values():
        result = USES[use](model, 5, 4)
        result = getattr(result, "samples", getattr(result, "images", result))
        return np.asarray(result)[:, 1]

    assert values().max() <= 1.0
    model.sampler = samplers.Langevin(num_steps=3, bounds=(5.0, 6.0))
    assert values().min() >= 5.0


@pytest.mark.parametrize("kind", SAMPLERS)
def test_bad_steps(gaussian, kind):
    model, sampler = gaussian((2,), sampler=SAMPLERS[kind]()), SAMPLERS[kind]()
    for bad in (-1, 2.5, True, "3"):
        for use in ("sample", "inpaint", "pooled_chains"):
            with pytest.raises((ValueError, TypeError), match="num_steps must be a whole number"):
                USES[use](model, 3, bad) if use != "pooled_chains" else models.pooled_chains(
                    model, 3, 1, pool_size=4, batch_size=4, num_rounds=2, nomix=1, num_steps=bad
                )
    for bad in (tf.constant([3]), tf.constant(3.0)):
        with pytest.raises(ValueError, match="integer scalar tensor; received shape"):
            sampler(lambda x: x[:, 0], X, 1, num_steps=bad)
    with pytest.raises(ValueError, match="num_steps must be a whole number ≥ 0; received -1"):
        sampler(lambda x: x[:, 0], X, 1, num_steps=tf.constant(-1))
    run = tf.function(lambda n: sampler(lambda x: x[:, 0], X, 1, num_steps=n), autograph=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="num_steps must be a whole number"):
        run(tf.constant(-1))


def standing(energy_fn, initial_state, seed):
    """Leave the chains where they start, which is what a seed drew."""
    return initial_state


@pytest.mark.parametrize(
    "draw",
    [
        lambda model, seed: model.sample(8, seed=seed),
        lambda model, seed: applications.inpaint(model, np.zeros((8, 2)), [False] * 2, seed=seed),
        lambda model, seed: (
            models.pooled_chains(
                model, 8, seed, pool_size=8, batch_size=8, num_rounds=1, nomix=0
            ).samples
        ),
    ],
)
@pytest.mark.parametrize("given", [int, lambda k: (0, k)])
def test_seeds_of_users_are_not_those_of_training(gaussian, draw, given):
    """Where chains of the first training steps of a model with seed 0 start, no sample does."""
    model = gaussian((2,), sampler=standing, seed=0)
    trained = {v for _ in range(6) for v in model.negative_batch(8).samples.numpy().ravel()}
    drawn = [np.asarray(draw(model, given(k))) for k in range(6)]
    assert not trained.intersection(np.stack(drawn).ravel())
    # They still are one and the same for one seed, and others for another.
    np.testing.assert_array_equal(drawn[3], draw(model, given(3)))
    assert len(np.unique(np.stack(drawn))) == np.stack(drawn).size


def test_numbers_of_training_have_stayed_as_they_were(gaussian):
    """Step k of a model with seed s draws from (s, k); by the definitions of TensorFlow."""
    model = gaussian((2,), sampler=standing, seed=5)
    for k in range(3):
        fresh = tf.random.split((5, k), 3)[0]
        noise = tf.random.split(fresh, 2)[0]
        expected = tf.random.stateless_normal([8, 2], noise, alg="philox")
        np.testing.assert_array_equal(model.negative_batch(8).samples, expected)
    assert isinstance(model, tf_febm.ContrastiveDivergence)
