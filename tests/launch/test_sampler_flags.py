"""--sampler and --pcd: what the flags become, what is refused, and runs that use each."""

import json
import math

import numpy as np
import pytest

from tests.launch.conftest import resolve
from tf_febm import data, recipes, samplers, training
from tf_febm.recipes import building, ranges
from tf_febm.samplers import schedules

FAST = [
    "--steps=4", "--batch_size=8", "--num_steps=2", "--num_filters=8", "--log_interval=2",
    "--sample_interval=4", "--save_interval=2", "--num_samples=20", "--final_steps=2",
]  # fmt: skip


def sampler_of(*arguments, source=None):
    return building.make_sampler(resolve(*arguments).recipe, source or data.load("digits"))


def built(*arguments):
    return resolve(*arguments).recipe.build(data.load("digits"))


class TestWhatFlagsMean:
    def test_langevin_is_the_default(self):
        sampler = sampler_of("--step_lr=3", "--noise_scale=0.01", "--proj_norm=0.1")
        assert isinstance(sampler, samplers.Langevin)
        assert (sampler.step_size, sampler.noise_scale, sampler.grad_clip) == (3.0, 0.01, 0.1)

    def test_mala(self):
        sampler = sampler_of(
            "--sampler=mala", "--step_lr=0.02", "--num_steps=7", "--burn_in=3",
            "--target_acceptance=0.6", "--schedule=linear", "--chain_dtype=bfloat16",
        )  # fmt: skip
        assert isinstance(sampler, samplers.MALA)
        expected = {
            "step_size": 0.02, "num_steps": 7, "burn_in": 3, "target_acceptance": 0.6,
            "bounds": (0.0, 1.0), "schedule": "linear",
            "dtype": "bfloat16", "num_parallel": 1,
        }  # fmt: skip
        assert sampler.get_config() == expected

    def test_hmc(self):
        for line in (["--sampler=hmc"], ["--hmc"]):
            sampler = sampler_of(*line, "--step_lr=0.02", "--leapfrog_steps=4")
            assert isinstance(sampler, samplers.HMC)
            assert (sampler.step_size, sampler.num_leapfrog_steps) == (0.02, 4)
        defaults = samplers.HMC().get_config()
        names = ("num_leapfrog_steps", "burn_in", "target_acceptance")
        found = sampler_of("--sampler=hmc").get_config()
        assert {n: found[n] for n in names} == {n: defaults[n] for n in names}
        mala = sampler_of("--sampler=mala").get_config()
        assert mala["target_acceptance"] == samplers.MALA().target_acceptance

    def test_parallel_tempering(self):
        sampler = sampler_of(
            "--sampler=parallel_tempering", "--step_lr=0.02", "--num_temperatures=3",
            "--smallest_inverse_temperature=0.25",
        )  # fmt: skip
        assert isinstance(sampler, samplers.ParallelTempering)
        assert sampler.step_size == 0.02 and sampler.bounds == (0.0, 1.0)
        assert sampler.inverse_temperatures == pytest.approx((1.0, 0.5, 0.25))
        usual = sampler_of("--sampler=parallel_tempering").get_config()
        defaults = samplers.ParallelTempering().get_config()
        for name in ("inverse_temperatures", "burn_in", "target_acceptance"):
            assert usual[name] == defaults[name]

    def test_schedules(self):
        names = {"schedule": "cosine", "noise_schedule": "geometric"}
        line = [f"--{name}={value}" for name, value in names.items()]
        assert (*schedules.SCHEDULES, None) == ranges.SCHEDULES
        # Also of the exponential steps of a model with a reference.
        for more in ([], ["--reference=auto", "--epsilon=0.1"]):
            config = sampler_of(*line, *more).get_config()
            assert names.items() <= config.items()
        assert sampler_of().schedule is None

    def test_steps_by_default_have_the_noise_of_the_preset(self):
        """Of the digits, 0.05: mala adds √(2τ)ξ, a leapfrog step h·p."""
        assert math.sqrt(2 * sampler_of("--sampler=mala").step_size) == pytest.approx(0.05)
        assert sampler_of("--sampler=hmc").step_size == pytest.approx(0.05)
        found = sampler_of("--sampler=hmc", "--noise_scale=0.02")
        assert found.step_size == pytest.approx(0.02)

    @pytest.mark.parametrize(("name", "step"), [("mala", 0.005), ("hmc", 0.1)])
    def test_epsilon(self, name, step):
        """ε = 0.01: τ = ε/2 and h = √ε are one and the same proposal."""
        assert sampler_of(f"--sampler={name}", "--epsilon=0.01").step_size == pytest.approx(step)
        moons = data.load("moons")
        plane = sampler_of(f"--sampler={name}", "--dataset=moons", source=moons).sampler
        epsilon = resolve("--dataset=moons").recipe.epsilon
        assert plane.step_size == pytest.approx(epsilon / 2 if name == "mala" else epsilon**0.5)

    def test_vectors_have_their_units(self):
        source = data.load("moons")
        sampler = sampler_of("--sampler=hmc", "--dataset=moons", source=source)
        assert isinstance(sampler, samplers.Preconditioned)
        assert isinstance(sampler.sampler, samplers.HMC) and sampler.sampler.bounds is None
        one, zero = np.ones((1, 2)), np.zeros((1, 2))
        scale = sampler.reference.color(one) - sampler.reference.color(zero)
        np.testing.assert_allclose(scale[0], source.scale)

    def test_a_step_that_is_given_wins_over_the_presets_epsilon(self):
        recipe = resolve("--dataset=moons", "--step_lr=0.1", "--noise_scale=0.1").recipe
        assert (recipe.epsilon, recipe.step_size, recipe.noise_scale) == (None, 0.1, 0.1)

    def test_pcd(self):
        for line in (["--pcd"], ["--pcd", "--noreplay_batch"]):
            model = built(*FAST, *line)
            assert isinstance(model.buffer, samplers.PersistentChains)
            assert model.buffer.capacity == 8 and model.buffer.restart_probability == 0.0
        model = built(*FAST)
        assert type(model.buffer) is samplers.ReplayBuffer


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "--sampler=mala --proj_norm=0.1",
            "--proj_norm=0.1 is for --sampler=langevin, not mala: leave",
        ),
        (
            "--sampler=hmc --step_lr=0.1 --noise_scale=0.2",
            "--noise_scale=0.2 is for --sampler=langevin, not hmc with --step_lr=0.1: leave one",
        ),
        ("--large_model --wider_model", "--large_model and --wider_model exclude each other"),
        ("--burn_in=3", "--burn_in=3 is for --sampler=mala or hmc or parallel_tempering,"),
        ("--target_acceptance=0.5", "--target_acceptance=0.5 is for --sampler=mala or hmc"),
        ("--sampler=mala --noise_schedule=cosine", "--noise_schedule=cosine is for --sampler=lang"),
        ("--num_temperatures=3", "--num_temperatures=3 is for --sampler=parallel_tempering, not"),
        ("--sampler=mala --leapfrog_steps=3", "--leapfrog_steps=3 is for --sampler=hmc, not mala"),
        (
            "--epsilon=0.1 --step_lr=0.1",
            "--step_lr=0.1 is for steps that epsilon does not set",
        ),
        (
            "--epsilon=0.1 --noise_scale=0.1",
            "--noise_scale=0.1 is for steps that epsilon does not set",
        ),
        (
            "--pcd --method=bidirectional",
            "--pcd is for --method=febm or contrastive",
        ),
        ("--noleave_one_out --method=contrastive_divergence", "--noleave_one_out is for --method"),
        (
            "--warmup_steps=0 --method=bidirectional",
            "--warmup_steps=0 is for --method=febm or dual",
        ),
    ],
)
def test_what_excludes_each_other(line, message):
    with pytest.raises(ValueError, match=message):
        resolve(*line.split())


class TestWhatTheBufferIsTold:
    @pytest.fixture
    def told(self, monkeypatch):
        """Return what the buffer's constructor is given."""

        def run(*arguments):
            found = {}
            for name in ("ReplayBuffer", "PersistentChains"):
                monkeypatch.setattr(
                    building.samplers,
                    name,
                    lambda size, *_, _n=name, **kw: found.update(kw, kind=_n, size=size),
                )
            building.make_buffer(resolve(*arguments).recipe)
            return found

        return run

    def test_defaults(self, told):
        expected = {"match_labels": True, "storage": "auto", "restart_probability": 0.05}
        expected |= {"replacement": "oldest", "random_flip": False, "random_crop": 0}
        assert told("--cclass") == {**expected, "size": 10_000, "kind": "ReplayBuffer"}
        found = told("--pcd", "--batch_size=12")
        assert found == {"match_labels": True, "size": 12, "kind": "PersistentChains"}

    def test_replacement_and_moves(self, told):
        found = told("--buffer_replacement=reservoir", "--buffer_flip", "--buffer_crop=2")
        assert (found["replacement"], found["random_flip"], found["random_crop"]) == (
            *("reservoir", True, 2),
        )

    def test_as_published(self, told):
        found = told("--cclass", "--nomatch_labels", "--buffer_storage=uint8_published")
        assert (found["match_labels"], found["storage"]) == (False, "uint8_published")
        assert told("--cclass", "--nomatch_labels", "--pcd")["match_labels"] is False

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("--nomatch_labels", "--nomatch_labels is for chains with labels and a past"),
            ("--nomatch_labels --cclass --noreplay_batch", "--nomatch_labels is for chains"),
            ("--buffer_storage=uint8 --pcd", "--buffer_storage=uint8 is for the replay buffer"),
            (
                "--buffer_storage=float32 --noreplay_batch",
                "is for the replay buffer, --replay_batch, not fresh: leave it out",
            ),
            (
                "--buffer_storage=uint8 --method=bidirectional",
                "--buffer_storage=uint8 is for --method=",
            ),
        ],
    )
    def test_what_would_have_no_effect_is_refused(self, line, message):
        with pytest.raises(ValueError, match=message):
            resolve(*line.split())

    def test_the_model_has_it(self):
        line = ["--cclass", "--nomatch_labels", "--buffer_storage=uint8_published"]
        model = built(*FAST, *line)
        assert model.buffer.match_labels is False and model.buffer.storage == "uint8_published"


@pytest.mark.parametrize("line", ["--sampler=hmc --proj_norm=0", "--nopcd --method=bidirectional"])
def test_what_says_nothing_is_accepted(line):
    resolve(*line.split())


def test_options_of_training_reach_the_model():
    model = built(
        *FAST, "--noleave_one_out", "--warmup_steps=11", "--noclip_gradients", "--beta_2=0.99",
        "--adam_epsilon=1e-8",
    )  # fmt: skip
    assert model.leave_one_out is False and model.warmup_steps == 11
    for optimizer in (model.optimizer, model.variational_optimizer):
        assert type(optimizer).__name__ == "FusedAdam"
        assert (optimizer.beta_2, optimizer.epsilon) == (0.99, 1e-8)
    usual = built(*FAST)
    assert type(usual.optimizer).__name__ == "ClippedAdam" and usual.leave_one_out
    assert (usual.optimizer.beta_2, usual.optimizer.epsilon) == (0.999, 1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        # Both are of one path; of this one, the flags' meaning is above.
        pytest.param(["--sampler=mala", "--burn_in=1"], marks=pytest.mark.thorough),
        ["--hmc", "--leapfrog_steps=2", "--method=contrastive_divergence", "--cclass", "--pcd"],
    ],
)
def test_a_run_and_what_else_is_made_of_it(call, pictures, tmp_path, line):
    """The second has all that the first has not; test_hmc has the other spelling."""
    line = [*line, *pictures, "--preset=digits", "--network=mlp"]
    command = ["train", *FAST, *line, f"--logdir={tmp_path}", "--exp=run"]
    code, _, errors = call(*command)
    assert code == 0, errors
    run = tmp_path / "run"
    kind = "mala" if "--sampler=mala" in line else "hmc"
    recipe = json.loads((run / "options.json").read_text())["recipe"]
    assert recipe["sampler"] == kind and (recipe["chains"] == "persistent") == ("--pcd" in line)
    code, output, errors = call(*command, "--steps=6")
    assert code == 0 and "Continuing from step 4 of 6" in output, errors

    model = recipes.restore(training.RunFolder(run)).model
    assert type(model.sampler).__name__ == kind.upper()
    # Of the chains' ends themselves, not of samples that are refined.
    assert np.isfinite(model.sample(4, seed=0).numpy()).all()

    steps = [] if "--pcd" in line else ["--step_lr=0.01"]
    code, output, errors = call(
        "evaluate", f"--run={run}", "--num_samples=12", "--rounds=4", "--nomix=1", "--pool_size=12",
        *steps,
    )  # fmt: skip
    assert code == 0, errors
    code, _, errors = call("evaluate", f"--run={run}", "--proj_norm=0.1")
    assert code == 1 and "--proj_norm=0.1 is for Langevin dynamics; the sampler is" in errors
    if kind == "mala":  # Applications with hmc are in tests/applications/test_programs.py.
        code, _, errors = call("apply", f"--run={run}", "--num_images=12", "--final_steps=3")
        assert code == 0, errors
        found = json.loads((run / "applications" / "applications.json").read_text())
        assert found["inpainting"]["known_pixels_equal"]
    code, output, errors = call("export", f"--run={run}")
    assert code == 0, errors


def test_settings_for_an_evaluation():
    changed = recipes.change_sampler
    langevin = samplers.Langevin(grad_clip_norm=0.2, grad_clip=None, num_steps=3)
    found = changed(langevin, step_lr=2.0, noise_scale=0.007, proj_norm=0.05)
    assert (found.step_size, found.noise_scale, found.num_steps) == (2.0, 0.007, 3)
    # The run's kind of bound.
    assert (found.grad_clip, found.grad_clip_norm) == (None, 0.05)
    assert changed(langevin, proj_norm=0.0).grad_clip_norm is None
    assert changed(langevin) is langevin
    hmc = samplers.HMC(num_leapfrog_steps=3)
    assert changed(hmc, step_lr=0.3).get_config()["step_size"] == 0.3
    with pytest.raises(ValueError, match=r"noise_scale=0\.1 is for Langevin dynamics; .* HMC"):
        changed(hmc, noise_scale=0.1)
