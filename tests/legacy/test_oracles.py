"""What the original code computed from its checkpoints is what the loaded networks compute."""

import numpy as np
import original_code
import pytest
import tensorflow as tf

from tf_febm import energies, legacy, networks, samplers

# Network and num_filters of each reference case; those with labels end in _cond.
CASES = {
    "resnet32_cond": ("resnet32", 8),
    "resnet32_uncond": ("resnet32", 8),
    "resnet32_large_cond": ("resnet32_large", 4),
    "resnet32_larger_uncond": ("resnet32_larger", 4),
    "resnet32_wider_cond": ("resnet32_wider", 4),
    "mnist_uncond": ("mnist_net", 8),
}


@pytest.fixture(params=CASES)
def case(request, project):
    """Return name, checkpoint, arrays and the arguments of the network of a reference case."""
    folder = project.parent / "shared" / "oracles" / "networks" / request.param
    if not folder.is_dir():
        pytest.skip("the folder of reference values is not beside this checkout")
    name, filters = CASES[request.param]
    arrays = dict(np.load(folder / "case.npz"))
    classes = 10 if request.param.endswith("_cond") else None
    return name, folder / "model_0", arrays, filters, classes


def test_energies_gradients_and_chains(case):
    name, checkpoint, arrays, filters, classes = case
    network = legacy.load_network(checkpoint)
    assert network.get_layer("c1_pre").kernel.shape[2] == arrays["x"].shape[3]
    if name in ("resnet32", "mnist_net"):
        explicit = legacy.load_network(checkpoint, name, filters, classes)
        assert [w.shape for w in explicit.get_weights()] == [w.shape for w in network.get_weights()]
    labels = tf.constant(arrays["y"], tf.float32)

    def energy_fn(x):
        return network(x if classes is None else (x, labels))

    def run(x):
        sampler = samplers.Langevin(10.0, noise_scale=0.0, num_steps=5, grad_clip=0.01)
        with networks.cached_weights(network):
            chain = sampler(energy_fn, x, seed=0)
        return *energies.value_and_gradient(energy_fn, x), chain

    # Compiled in one case, for a trace takes longer than these few steps.
    if (name, classes) == ("resnet32", 10):
        run = tf.function(run, autograph=False)
    energy, gradient, chain = run(tf.constant(arrays["x"]))
    np.testing.assert_allclose(energy, arrays["energy"][:, 0], rtol=1e-4)
    largest = np.abs(arrays["grad"]).max()
    np.testing.assert_allclose(gradient, arrays["grad"], rtol=0, atol=1e-4 * largest)
    assert np.abs(arrays["chain5"] - arrays["x"]).max() > 1e-3
    np.testing.assert_allclose(chain, arrays["chain5"], rtol=0, atol=1e-4)


def test_the_reference_functions_of_these_tests(case):
    name, checkpoint, arrays, _, classes = case
    reader = tf.train.load_checkpoint(str(checkpoint))
    variables = {
        key.removeprefix("context_energy/"): reader.get_tensor(key)
        for key in reader.get_variable_to_shape_map()
    }
    label = None if classes is None else tf.constant(arrays["y"], tf.float32)
    energy = original_code.energy(variables, name, tf.constant(arrays["x"]), label)
    np.testing.assert_allclose(energy, arrays["energy"], rtol=1e-4)
