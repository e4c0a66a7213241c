"""--method=bidirectional: what its flags become, what is refused, and a run from end to end."""

import numpy as np
import pytest

from tests.launch.conftest import resolve
from tf_febm import data, recipes, training

FAST = [
    "--method=bidirectional", "--steps=6", "--batch_size=8", "--num_filters=8", "--latent_dim=4",
    "--log_interval=3", "--sample_interval=3", "--save_interval=3", "--num_samples=20",
]  # fmt: skip


def test_flags_reach_the_model():
    plan = resolve(
        *FAST, "--penalty_weight=0.3", "--penalty_threshold=0.2", "--entropy_weight=0.7",
        "--entropy=smallest_singular_value", "--entropy_iterations=3", "--penalty=data",
        "--generator_batch_norm", "--generator=dcgan", "--generator_lr_ratio=0.5", "--lr=1e-3",
    )  # fmt: skip
    model = plan.recipe.build(data.load("digits"))
    assert (model.penalty_weight, model.penalty_threshold, model.entropy_weight) == (0.3, 0.2, 0.7)
    assert (model.entropy, model.entropy_iterations) == ("smallest_singular_value", 3)
    assert model.penalty == "data" and model.latent_dim == 4
    none = resolve(*FAST, "--penalty=none").recipe.build(data.load("digits"))
    assert none.penalty is None
    names = [type(layer).__name__ for layer in model.generator_network.layers]
    assert "BatchNormalization" in names and "Conv2DTranspose" in names
    rates = [float(o.learning_rate) for o in (model.optimizer, model.generator_optimizer)]
    np.testing.assert_allclose(rates, [1e-3, 5e-4], rtol=1e-6)


def test_defaults_are_the_methods_own():
    recipe = resolve("--method=bidirectional").recipe
    assert recipe.name == "digits_bidirectional" and recipe.penalty == "latent"
    # A recipe of chains leaves the rest as the method's own.
    assert resolve("--method=bidirectional", "--preset=paper").recipe.entropy == "auto"


def test_what_is_refused():
    with pytest.raises(ValueError, match="--penalty_weight=1.0 is for --method=bidirectional"):
        resolve("--penalty_weight=1")
    with pytest.raises(ValueError, match="--generator_lr_ratio must be a finite number > 0"):
        resolve(*FAST, "--generator_lr_ratio=0")
    source = data.load("digits")
    with pytest.raises(ValueError, match="--cclass is for --method=febm or contrastive"):
        resolve(*FAST, "--cclass")
    with pytest.raises(ValueError, match="latent_dim=65 is too large .* must be at most 64"):
        resolve(*FAST, "--latent_dim=65").recipe.build(source)
    with pytest.raises(ValueError, match="--generator_batch_norm is for --generator="):
        resolve(*FAST, "--generator=monotone", "--generator_batch_norm")
    with pytest.raises(ValueError, match="--generator=dcgan is for images, not for vectors"):
        resolve(*FAST, "--generator=dcgan", "--dataset=moons")


@pytest.mark.slow
def test_a_run_and_what_evaluate_makes_of_it(call, pictures, tmp_path):
    line = [*FAST, *pictures, "--preset=digits_bidirectional", f"--logdir={tmp_path}", "--exp=run"]
    code, output, errors = call("train", *line)
    assert code == 0, errors
    assert "examples and samples" in output
    assert "lower" in output and "upper" in output
    with np.load(tmp_path / "run" / "samples" / "final.npz") as arrays:
        samples = arrays["samples"]
    assert samples.shape == (20, 8, 8, 1)
    found = recipes.restore(tmp_path / "run")
    assert found.step == 6
    again, _ = training.draw_samples(found.model, 20, 0, seed=0)
    np.testing.assert_allclose(again, samples, atol=1e-6)
