"""No flag is silently without effect: the tables are whole, and each condition is one of a line."""

import effects
import evaluate
import pytest
import train_flags
from absl import flags

from tests.launch.conftest import resolve
from tf_febm import original_names as tables
from tf_febm.recipes import effects as rules


def parsed(define, *arguments):
    values = flags.FlagValues()
    define(values)
    values(["launcher", *arguments])
    return values


def test_every_flag_of_an_evaluation_is_in_its_table():
    """Or is one of the original's that original_flags refuses or tells of."""
    defined = set(parsed(evaluate.define)) - set(tables.EVALUATION_ORIGINAL)
    assert set(effects.RULES) | set(effects.ALWAYS) == defined
    assert not set(effects.RULES) & set(effects.ALWAYS)


def test_flags_and_settings_have_rules_of_one_kind():
    found = [
        rule for table in (effects.RULES, rules.RULES) for row in table.values() for rule in row
    ]
    assert all(type(rule) is rules.Rule for rule in found) and len(found) > 60


def notes(line):
    """Return what train.py tells of a line, before it sees the data; not what the original is."""
    return [n for n in resolve(*line.split()).notes if "original" not in n]


BOUNDS = "--method=bidirectional"
CD = "--method=contrastive_divergence"
SCORES = "--method=score_matching"
STILL = "--num_steps=0 --final_steps=0"
# Flag with a value -> the rest of a line in which it has an effect, and of lines in which it has
# none. Every flag that has rules is here.
LINES = {
    "--recipe=plane": ("--dataset=moons", ["--dataset=digits", "--dataset=cifar10"]),
    "--image_size=16": ("--dataset=folder", ["--dataset=csv", "--dataset=25gaussians"]),
    "--subfolders=splits": ("--dataset=folder", ["", "--dataset=csv"]),
    "--max_pixels=100": ("--dataset=folder", ["--dataset=csv", "--dataset=mnist"]),
    "--label_attribute=Smiling": ("--dataset=celeba", ["", "--dataset=folder"]),
    "--shuffle_buffer=9": ("--dataset=tfds:mnist", ["", "--dataset=folder"]),
    "--max_depth=3": ("--dataset=folder", ["--dataset=celeba", "--dataset=npz"]),
    "--table_header=yes": ("--dataset=csv", ["", "--dataset=moons"]),
    "--table_index=drop": ("--dataset=csv", ["", "--dataset=moons"]),
    "--cclass": (CD, [BOUNDS, SCORES]),
    "--num_replicas=2": ("--strategy=mirrored", ["", "--strategy=multi_worker"]),
    "--wait_seconds=9": ("--strategy=multi_worker", ["", "--strategy=mirrored"]),
    "--gamma=0.5": ("--method=pseudo_spherical", ["", CD, BOUNDS, SCORES]),
    "--kind=exact": (SCORES, ["", CD, "--method=energy_discrepancy"]),
    "--noise_stddev=0.2": ("--method=energy_discrepancy", ["", CD, SCORES + " --kind=sliced"]),
    "--levels=3": ("--method=recovery", ["", CD, BOUNDS]),
    "--chains_per_pair=3": ("--method=recovery", ["", CD, BOUNDS]),
    "--label_dropout=0.2": ("--method=multiscale --cclass", ["--method=multiscale", "", CD]),
    "--guidance=0.5": ("--method=multiscale --cclass", ["--method=multiscale", "", CD]),
    "--best_mode=max": ("--best_metric=bound", [""]),
    "--max_rollbacks=2": ("--guard", ["--noguard"]),
    "--divergence=js": ("--method=dual", [CD, BOUNDS]),
    "--suffix_exp": ("--exp=a", [CD + " --exp=a", BOUNDS + " --exp=a"]),
    "--variational_lr_ratio=1": ("", [CD, BOUNDS]),
    "--variational_steps=2": ("--method=dual", [CD, BOUNDS]),
    "--variational_l2_coeff=1": ("", [CD, BOUNDS]),
    "--leave_one_out": ("", [CD, BOUNDS]),
    "--class_weight_coeff=1": ("--cclass", ["", BOUNDS]),
    "--log_ratio_clip=5": ("", [CD, BOUNDS]),
    "--warmup_steps=10": ("", [CD, BOUNDS, "--l2_coeff=0", "--dataset=csv"]),
    "--slow_energy_decay=0.9": ("", [CD, BOUNDS, "--method=dual"]),
    "--shift_invariant": ("", [CD, BOUNDS, "--method=dual"]),
    "--random_flip": ("--dataset=svhn", ["--dataset=csv", "--dataset=rings"]),
    "--random_crop=2": ("", ["--dataset=csv"]),
    "--denoise_samples": ("", ["--data_noise=0", "--dataset=csv"]),
    "--augment": ("", ["--dataset=csv"]),
    "--large_model": ("", ["--dataset=csv"]),
    "--larger_model": ("", ["--dataset=csv"]),
    "--wider_model": ("", ["--dataset=csv"]),
    "--use_attention": ("--network=resnet128", ["", "--network=conv", "--dataset=csv"]),
    "--confinement=1": (
        "--dataset=csv",
        ["", "--dataset=celeba", BOUNDS + " --dataset=moons --network=published_bounds"],
    ),
    "--frequency=2": ("--dataset=moons", ["", "--dataset=csv", "--dataset=moons --network=mlp"]),
    "--step_lr=2": ("--num_steps=0", [STILL, STILL + " --sampler=mala"]),
    "--epsilon=0.01": ("--dataset=csv", [STILL, STILL + " --sampler=hmc"]),
    "--noise_scale=0.2": (
        "--sampler=mala",
        ["--sampler=mala --step_lr=0.1", "--sampler=hmc --step_lr=0.1", STILL],
    ),
    "--proj_norm=1": ("", ["--sampler=mala", "--sampler=hmc", STILL]),
    "--proj_norm_type=li": ("", ["--sampler=mala", "--proj_norm=0"]),
    "--leapfrog_steps=3": ("--hmc", ["", "--sampler=mala", STILL + " --hmc"]),
    "--schedule=cosine": ("", [STILL]),
    "--noise_schedule=linear": ("", ["--hmc", STILL]),
    "--num_temperatures=3": ("--sampler=parallel_tempering", ["", "--sampler=mala"]),
    "--smallest_inverse_temperature=0.2": ("--sampler=parallel_tempering", ["", "--hmc"]),
    "--chain_dtype=bfloat16": ("", [STILL, STILL + " --sampler=mala"]),
    "--num_parallel=2": (CD, [BOUNDS, "--method=recovery"]),
    "--burn_in=3": ("--sampler=mala", ["", STILL + " --sampler=mala"]),
    "--target_acceptance=0.5": (
        "--sampler=hmc --burn_in=1",
        ["", "--sampler=mala", "--hmc", "--sampler=mala --burn_in=0"],
    ),
    "--replay_batch": ("", [BOUNDS]),
    "--buffer_size=10": (CD, ["--noreplay_batch", "--pcd", BOUNDS]),
    "--buffer_storage=uint8": (CD, ["--noreplay_batch", "--pcd", BOUNDS]),
    "--buffer_replacement=random": (CD, ["--noreplay_batch", "--pcd", BOUNDS]),
    "--buffer_flip": (CD, ["--noreplay_batch", "--pcd", BOUNDS, "--dataset=csv"]),
    "--buffer_crop=1": (CD, ["--noreplay_batch", "--pcd", BOUNDS, "--dataset=csv"]),
    "--match_labels": ("--cclass --pcd", ["", "--pcd", "--cclass --noreplay_batch", BOUNDS]),
    "--nomatch_labels": ("--cclass", ["", "--pcd", "--cclass --noreplay_batch", BOUNDS]),
    "--pcd": ("", [BOUNDS]),
    "--network=conv": (CD, ["--dataset=csv"]),
    "--restart_probability=0.1": (CD, ["--noreplay_batch", "--pcd", BOUNDS]),
    "--latent_dim=4": (BOUNDS, ["", CD, "--method=dual"]),
    "--penalty=none": (BOUNDS, ["", CD]),
    "--penalty_weight=1": (BOUNDS, ["", BOUNDS + " --penalty=none"]),
    "--penalty_threshold=1": (
        BOUNDS,
        ["", BOUNDS + " --penalty=none", BOUNDS + " --penalty_weight=0"],
    ),
    "--entropy=auto": (BOUNDS, ["", CD]),
    "--entropy_weight=1": (BOUNDS, ["", CD]),
    "--entropy_iterations=3": (
        BOUNDS + " --latent_dim=33 --entropy=auto",
        ["", BOUNDS, BOUNDS + " --latent_dim=32", BOUNDS + " --latent_dim=33 --entropy=logdet"],
    ),
    "--generator=mlp": (BOUNDS, ["", "--method=dual"]),
    "--generator_lr_ratio=1": (BOUNDS, ["", CD]),
    "--generator_batch_norm": (BOUNDS, ["", BOUNDS + " --generator=monotone"]),
}


def test_every_setting_with_a_rule_has_lines():
    named = {flag.split("=")[0].lstrip("-") for flag in LINES}
    fields = {train_flags.original_names.FIELDS.get(name, name) for name in named}
    # Set by flags of other names.
    fields |= {"chains", "grad_clip_norm"}
    assert set(rules.RULES) <= fields


@pytest.mark.parametrize("flag", LINES)
def test_a_flag_has_an_effect_or_is_refused(flag):
    good, bad = LINES[flag]
    assert notes(f"{flag} {good}") == []
    for line in bad:
        with pytest.raises(ValueError, match=f"^{flag.split('=')[0]}.* is for .*: ") as caught:
            notes(f"{flag} {line}")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--pcd --noreplay_batch", ["--noreplay_batch"]),
        ("--pcd --replay_batch", ["--replay_batch"]),
        ("--noreplay_batch --method=bidirectional", ["--noreplay_batch"]),
        ("--nopcd --method=bidirectional", ["--nopcd"]),
        ("--noshift_invariant --method=dual", ["--noshift_invariant"]),
        ("--table_header=auto", ["--table_header=auto"]),
        ("--confinement=0", ["--confinement=0.0"]),
        (
            "--method=bidirectional --penalty_weight=0 --penalty_threshold=0",
            ["--penalty_threshold=0.0"],
        ),
        ("--random_crop=0 --dataset=csv", ["--random_crop=0"]),
        ("--sampler=mala --proj_norm=0 --burn_in=0", ["--proj_norm=0.0"]),
        # As lines of the original have them.
        (
            "--hmc --noise_scale=1 --proj_norm=0.01 --proj_norm_type=li",
            ["--proj_norm=0.01", "--noise_scale=1.0", "--proj_norm_type=li"],
        ),
    ],
)
def test_what_says_no_more_than_what_is_done_is_told(line, told):
    found = notes(line)
    assert [text.split(" has no effect: it is for ")[0] for text in found] == told


def test_a_told_flag_changes_nothing():
    assert resolve("--hmc").recipe == resolve(*["--hmc", "--noise_scale=3"]).recipe


def test_what_the_data_are_is_known_once_they_are_read():
    plan = resolve("--dataset=npz", "--random_flip")
    assert plan.recipe.without_effect(plan.chosen, "images") == []
    with pytest.raises(ValueError, match="random_flip=True is for images, not for vectors"):
        plan.recipe.without_effect(plan.chosen, "vectors")


class TestEvaluation:
    @pytest.mark.parametrize(
        "flag", ["--pool_size=20", "--restart_share=0.1", "--label_share=0.1", "--ensemble=2"]
    )
    def test_without_rounds(self, refused, flag):
        name = flag.split("=")[0]
        line = refused("evaluate", "--run=a", flag)
        assert f"error: {name}" in line and "is for sampling in rounds" in line

    def test_of_lines_of_the_original_they_are_told(self):
        values = parsed(evaluate.define, "--nomix=140", "--batch_size=512", "--ensemble=1")
        told = effects.check(values, {"rounds": 0})
        assert [line.split(" has no")[0] for line in told] == [
            "--nomix=140", "--batch_size=512", "--ensemble=1"
        ]  # fmt: skip
        assert all("the training go on" in line or "of training go on" in line for line in told)
        assert effects.check(values, {"rounds": 360}) == []

    def test_rounds_that_never_mix(self, refused):
        line = refused("evaluate", "--run=a", "--rounds=10", "--nomix=10", "--restart_share=0.1")
        assert "--restart_share=0.1 is for rounds before the last --nomix" in line

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("--final_steps=3 --num_steps=3", "--num_steps and --final_steps are one flag"),
            ("--num_steps=3 --final_steps=5", "--num_steps and --final_steps are one flag"),
            ("--im_number=30 --num_samples=20", "--im_number and --num_samples are one flag"),
            ("--logdir=there", "--logdir=there is for runs named by --exp="),
            ("--features=classifier --inception=a", "--inception=a is for --features=auto or"),
            ("--inception=a --squeezenet=b", "--squeezenet=b is for --features=squeezenet, or"),
            ("--keras_weights=w", "--keras_weights=w is for --features=keras_inception, not auto"),
        ],
    )
    def test_of_names_and_networks(self, refused, line, message):
        assert message in refused("evaluate", "--run=a", *line.split())

    def test_one_name_twice_is_the_last(self):
        values = parsed(evaluate.define, "--num_steps=3", "--num_steps=5")
        effects.check_names(values, evaluate.ALIASES)
        assert values.final_steps == 5

    def test_what_depends_on_the_run(self):
        known = {"rounds": 12, "nomix": 2, "cclass": False, "has_average": False}
        known |= {"has_features": False, "num_steps": 0}
        for flag in (
            *("--label_share=0.1", "--averaged", "--step_lr=1", "--noise_scale=0.1"),
            *("--proj_norm=1", "--compare_with=all", "--cache_dir=a"),
        ):
            values = parsed(evaluate.define, flag)
            with pytest.raises(ValueError, match=flag.split("=")[0]):
                effects.check(values, known)
            better = {**known, "num_steps": 1}
            better |= dict.fromkeys(("cclass", "has_average", "has_features"), True)
            assert effects.check(values, better) == []


def test_export(refused):
    line = refused("export", "--run=a", "--format=onnx", "--num_steps=4")
    assert "--num_steps=4 is for --format=saved_model, not onnx: leave it out" in line
