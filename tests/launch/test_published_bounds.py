"""--preset=bounds_paper: settings and networks of the public code, and a few steps of both."""

import keras
import numpy as np
import pytest

from tests.launch.conftest import resolve
from tf_febm import data

BIDIRECTIONAL = ("--method=bidirectional", "--preset=bounds_paper")


IMAGES = np.zeros((2, 32, 32, 3), np.uint8)


def build(plan, source):
    return plan.recipe.build(source)


def kinds(network):
    """Return the names of the layers' classes, without the input."""
    return [type(layer).__name__ for layer in network.layers[1:]]


class TestSettings:
    def test_of_images(self):
        recipe = resolve(*BIDIRECTIONAL, "--dataset=cifar10").recipe
        expected = {
            "name": "bounds_paper", "batch_size": 64, "learning_rate": 2e-4, "beta_2": None,
            "generator_learning_rate_ratio": 1.0, "beta_1": 0.0, "adam_epsilon": 1e-6,
            "clip_gradients": False, "average_decay": None, "latent_dim": 128,
            "entropy": "smallest_singular_value", "entropy_iterations": 2, "entropy_weight": 1.0,
            "penalty": "latent", "penalty_weight": 1e-3, "penalty_threshold": 0.0,
            "l2_coeff": 0.0, "network": "published_bounds", "generator": "published_bounds",
            "generator_batch_norm": True, "random_flip": True, "width": None,
        }  # fmt: skip
        assert {name: getattr(recipe, name) for name in expected} == expected

    @pytest.mark.parametrize("dataset", ["25gaussians", "swiss_roll", "moons"])
    def test_of_points(self, dataset):
        recipe = resolve(*BIDIRECTIONAL, f"--dataset={dataset}").recipe
        expected = {
            "name": "bounds_paper_plane", "batch_size": 200, "steps": 150_000,
            "learning_rate": 2e-4, "beta_2": None, "adam_epsilon": 1e-6, "width": 100,
            "latent_dim": 2,
            "penalty_weight": 1e-3, "entropy_weight": 1.0, "generator_batch_norm": True,
            "random_flip": False,
        }  # fmt: skip
        assert {name: getattr(recipe, name) for name in expected} == expected

    def test_the_other_preset_is_what_it_was(self):
        recipe = resolve("--method=bidirectional", "--dataset=svhn").recipe
        expected = {
            "name": "bidirectional", "clip_gradients": True, "beta_2": None, "generator": "dcgan",
            "generator_batch_norm": False, "penalty_weight": 1.0, "entropy_iterations": 10,
            "average_decay": 0.999, "random_flip": False,
        }  # fmt: skip
        assert {name: getattr(recipe, name) for name in expected} == expected

    @pytest.mark.parametrize("preset", ["bounds_paper", "bidirectional", "plane_bidirectional"])
    def test_other_methods_are_refused(self, preset):
        with pytest.raises(ValueError, match=f"--recipe={preset} is for --method=bidirectional"):
            resolve(f"--preset={preset}", "--method=febm")

    def test_labels_and_attention_are_refused(self):
        flags_of = ("--dataset=cifar10", "--network=published_bounds")
        with pytest.raises(
            ValueError, match="--use_attention is for --network=resnet32 or .*, not publi"
        ):
            resolve(*flags_of, "--use_attention")
        with pytest.raises(ValueError, match="published_bounds' takes no num_classes"):
            build(resolve(*flags_of, "--cclass"), data.load("digits"))

    @pytest.mark.parametrize("given", [[], ["--latent_dim=100"]])
    def test_more_latent_variables_than_pixels_are_explained(self, given, refused):
        """Of the digits, 8×8, where the recipe is made for 32×32×3."""
        whose = "=100" if given else "=128 (of the recipe)"
        line = refused("train", *BIDIRECTIONAL, *given, "--dry_run")
        assert f"--latent_dim{whose} is too large for examples of shape (8, 8, 1)" in line
        assert "give --latent_dim=64 or less" in line

    def test_recipes_of_images_on_vectors_are_explained(self, refused, tmp_path):
        path = tmp_path / "t.csv"
        np.savetxt(path, np.random.default_rng(0).normal(size=(40, 2)), delimiter=",")
        line = [*BIDIRECTIONAL, "--dataset=csv", f"--data_dir={path}", "--table_header=no"]
        message = "--random_flip (of the recipe) is for images, not for vectors"
        assert message in refused("train", *line, "--dry_run")


def test_adam_is_the_published_one():
    model = build(resolve(*BIDIRECTIONAL, "--dataset=moons"), data.load("moons"))
    for optimizer in (model.optimizer, model.generator_optimizer):
        assert type(optimizer).__name__ == "FusedAdam"
        found = (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon)
        assert found == (0.0, 0.9, 1e-6)
        assert float(optimizer.learning_rate) == pytest.approx(2e-4)
    assert model.average is None and model.entropy_iterations == 2


@pytest.mark.slow
class TestTraining:
    def check(self, model, stream, tmp_path):
        weights = [w for network in model.networks for w in network.trainable_variables]
        before = [np.array(weight) for weight in weights]
        history = model.fit(stream, steps_per_epoch=3, epochs=1, verbose=0).history
        for name in ("lower_bound", "upper_bound", "entropy", "penalty", "energy_gap"):
            assert np.isfinite(history[name]).all(), name
        still = [w for w, b in zip(weights, before, strict=True) if np.array_equal(w, b)]
        # A constant added to the energy changes no loss: it has no gradient.
        assert [weight.shape for weight in still] == [(1,)]
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        x = np.asarray(model.sample(6, seed=0))
        np.testing.assert_allclose(loaded.energy(x), model.energy(x), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(loaded.sample(6, seed=0), x, atol=1e-6)

    @pytest.mark.thorough  # Of images below, with the same settings and more layers.
    def test_points(self, tmp_path):
        recipe = resolve(*BIDIRECTIONAL, "--dataset=25gaussians").recipe
        source = data.load("25gaussians")
        self.check(recipe.build(source), recipe.stream(source), tmp_path)

    def test_images(self, tmp_path):
        # Small ones, but with all of the settings.
        line = ("--batch_size=8", "--num_filters=4", "--latent_dim=6")
        recipe = resolve(*BIDIRECTIONAL, *line).recipe
        source = data.load("digits")
        model = recipe.build(source)
        assert model.entropy == "smallest_singular_value"
        self.check(model, recipe.stream(source), tmp_path)
