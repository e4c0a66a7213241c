"""--method=bidirectional: what its flags become, what is refused, and a run from end to end."""

import numpy as np
import pytest

FAST = [
    "--method=bidirectional", "--steps=6", "--batch_size=8", "--num_filters=8", "--latent_dim=4",
    "--log_interval=3", "--sample_interval=3", "--save_interval=3", "--num_samples=20",
]  # fmt: skip


@pytest.fixture
def resolve():
    import train_flags
    from absl import flags

    def run(*arguments):
        values = flags.FlagValues()
        train_flags.define(values)
        values(["train.py", *arguments])
        return train_flags.resolve(values)

    return run


def test_flags_reach_the_model(resolve):
    import building

    from tf_febm import data

    options = resolve(
        *FAST, "--penalty_weight=0.3", "--penalty_threshold=0.2", "--entropy_weight=0.7",
        "--entropy=smallest_singular_value", "--entropy_iterations=3", "--penalty=data",
        "--generator_batch_norm", "--generator=dcgan", "--generator_lr_ratio=0.5", "--lr=1e-3",
    )  # fmt: skip
    model = building.build_model(options, data.load("digits"))
    assert (model.penalty_weight, model.penalty_threshold, model.entropy_weight) == (0.3, 0.2, 0.7)
    assert (model.entropy, model.entropy_iterations) == ("smallest_singular_value", 3)
    assert model.penalty == "data" and model.latent_dim == 4
    none = building.build_model(resolve(*FAST, "--penalty=none"), data.load("digits"))
    assert none.penalty is None
    names = [type(layer).__name__ for layer in model.generator_network.layers]
    assert "BatchNormalization" in names and "Conv2DTranspose" in names
    rates = [float(o.learning_rate) for o in (model.optimizer, model.generator_optimizer)]
    np.testing.assert_allclose(rates, [1e-3, 5e-4], rtol=1e-6)


def test_defaults_are_the_methods_own(resolve):
    options = resolve("--method=bidirectional")
    assert options["preset"] == "digits_bidirectional" and options["penalty"] == "latent"
    assert resolve("--method=bidirectional", "--dataset=svhn")["latent_dim"] == 128
    # The bed of narrow modes has a preset of its own, the others share one.
    narrow = resolve("--method=bidirectional", "--dataset=25gaussians")
    assert (narrow["preset"], narrow["generator"]) == ("25gaussians_bidirectional", "monotone")
    assert resolve("--method=bidirectional", "--dataset=moons")["preset"] == "plane_bidirectional"
    # Other methods keep their options, as runs of earlier versions wrote them.
    assert resolve()["preset"] == "digits" and resolve()["latent_dim"] is None
    # A preset of chains leaves the rest as the method's own.
    assert resolve("--method=bidirectional", "--preset=paper")["entropy"] == "auto"


def test_names_are_the_librarys(resolve):
    import train_flags

    from tf_febm import networks

    assert train_flags.GENERATORS == networks.GENERATOR_NAMES


def test_what_is_refused(resolve):
    import building

    from tf_febm import data

    with pytest.raises(ValueError, match="--penalty_weight=1.0 is for --method=bidirectional"):
        resolve("--penalty_weight=1")
    with pytest.raises(ValueError, match="--generator_lr_ratio must be positive"):
        building.check({**resolve(*FAST, "--generator_lr_ratio=0"), "exp": "run"})
    source = data.load("digits")
    with pytest.raises(ValueError, match="--cclass is for --method=febm or dual or contrastive"):
        resolve(*FAST, "--cclass")
    with pytest.raises(ValueError, match="latent_dim must be at most 64"):
        building.build_model(resolve(*FAST, "--latent_dim=65"), source)
    with pytest.raises(ValueError, match="--generator_batch_norm is for generators with hidden"):
        resolve(*FAST, "--generator=monotone", "--generator_batch_norm")
    with pytest.raises(ValueError, match="--generator=dcgan makes images"):
        building.make_generator(resolve(*FAST, "--generator=dcgan"), (2,), None)


def test_generators_of_vectors(resolve):
    import building

    generator = building.make_generator(resolve(*FAST), (2,), None)
    assert generator.output_shape == (None, 2)
    assert generator.layers[-1].activation.__name__ == "linear"
    options = resolve(*FAST, "--generator=monotone", "--latent_dim=2")
    assert building.make_generator(options, (2,), None).output_shape == (None, 2)


@pytest.mark.slow
def test_a_run_and_what_evaluate_makes_of_it(call, pictures, tmp_path):
    import building

    from tf_febm import training

    line = [*FAST, *pictures, "--preset=digits_bidirectional", f"--logdir={tmp_path}", "--exp=run"]
    code, output, errors = call("train", *line)
    assert code == 0, errors
    assert "examples and samples" in output
    assert "lower" in output and "upper" in output
    with np.load(tmp_path / "run" / "samples" / "final.npz") as arrays:
        samples = arrays["samples"]
    assert samples.shape == (20, 8, 8, 1)
    _, model, *_, step = building.restore(training.RunFolder(tmp_path / "run"))
    assert step == 6
    again, _ = training.draw_samples(model, 20, 0, seed=0)
    np.testing.assert_allclose(again, samples, atol=1e-6)
