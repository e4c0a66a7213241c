"""Command lines of the original code: what each of its flags becomes, and both published lines."""

import json
import pickle
import shutil

import numpy as np
import original_flags
import pytest
import train_flags
from absl import flags
from PIL import Image

from tests.launch.conftest import launched
from tf_febm import data, recipes
from tf_febm import original_names as tables

# As its modules define them, read from the public code. Both programs import data.py, models.py and
# utils.py, the first hmc.py as well.
SHARED = {
    *("dsprites_path", "imagenet_datadir", "imagenet_path", "dshape_only", "dpos_only"),
    *("dsize_only", "drot_only", "dsprites_restrict"),
    *("cutout", "cutout_inside", "cutout_prob", "cutout_mask_size"),
    *("swish_act", "spec_iter", "spec_norm_val", "downsample", "spec_eval"),
}
TRAINING = SHARED | {
    *("datasource", "dataset", "batch_size", "single", "data_workers", "logdir", "exp"),
    *("log_interval", "save_interval", "test_interval", "resume_iter", "train", "epoch_num", "lr"),
    *("num_gpus", "divergence", "ml_coeff", "l2_coeff", "cclass", "model_cclass", "temperature"),
    *("objective", "zero_kl", "proj_norm", "proj_norm_type", "num_steps", "step_lr"),
    *("replay_batch", "hmc", "noise_scale", "pcd", "num_filters", "spec_norm", "use_attention"),
    *("large_model", "larger_model", "wider_model", "mixup", "augment", "rescale"),
    *("cond_shape", "cond_size", "cond_pos", "cond_rot", "proposal_debug"),
}
EVALUATION = SHARED | {
    *("logdir", "exp", "cclass", "bn", "spec_norm", "use_bias", "use_attention", "step_lr"),
    *("num_steps", "proj_norm", "batch_size", "resume_iter", "ensemble", "im_number"),
    *("repeat_scale", "noise_scale", "idx", "nomix", "scaled", "large_model", "larger_model"),
    *("wider_model", "single", "datasource", "dataset", "gamma_sr"),
}
TABLES = {
    "train": (tables.SAME, tables.MAPPED, tables.ORIGINAL),
    "evaluate": (
        tables.EVALUATION_SAME,
        tables.EVALUATION_MAPPED,
        tables.EVALUATION_OF_THE_RUN,
        tables.EVALUATION_ORIGINAL,
    ),
}
# As the public code's README has them.
TRAINING_LINE = (
    "--exp=cifar10_cond_febm_new --dataset=cifar10 --divergence=jensen_shannon --num_steps=60 "
    "--batch_size=128 --step_lr=10.0 --proj_norm=0.01 --zero_kl --replay_batch --cclass"
)
EVALUATION_LINE = (
    "--logdir=cachedir --exp=cifar10_cond_febm_new_jensen_shannon --batch_size=512 "
    "--resume_iter=45900 --cclass --im_number=50000 --step_lr=10.0 --num_steps=5 "
    "--repeat_scale=180 --nomix=140 --ensemble=1"
)


def parsed(program, line):
    """Return the flags of a command line."""
    values = flags.FlagValues()
    if program == "train":
        train_flags.define(values)
    else:
        import evaluate

        evaluate.define(values)
    values([f"{program}.py", *line.split()])
    return values


def parse(line):
    return parsed("train", line)


def resolve(line):
    """Return the recipe, on a machine with an accelerator, as the original needs one."""
    return train_flags.resolve(parse(line), accelerator=True).recipe


# What an evaluation holds a line against.
CIFAR = data.ImageData("cifar10", np.zeros((2, 32, 32, 3), np.uint8))
RUN = recipes.get("cifar10_paper")


@pytest.mark.parametrize(
    ("program", "own", "count"), [("train", TRAINING, 62), ("evaluate", EVALUATION, 43)]
)
def test_every_flag_is_in_exactly_one_table_and_parses(program, own, count):
    assert len(own) == count
    listed = [name for table in TABLES[program] for name in table]
    assert sorted(listed) == sorted(own)
    values = parsed(program, "")
    assert not own - set(values)
    for table in TABLES[program]:
        for name in table:
            assert values[name].help, name


@pytest.mark.parametrize("name", tables.SWITCHES)
def test_a_switch_is_what_its_table_says(name):
    says = tables.MAPPED[name]
    assert resolve(f"--{name}") == resolve(says)
    assert says in parse("")[name].help


def test_the_published_training_line():
    values = parse(TRAINING_LINE)
    (warning,) = original_flags.check(values)
    assert "--zero_kl has no effect" in warning
    plan = train_flags.resolve(values, accelerator=True)
    expected = {"num_steps": 60, "batch_size": 128, "step_size": 10.0, "grad_clip": 0.01}
    expected |= {"conditional": True, "chains": "replay"}
    assert expected.items() <= plan.recipe.as_dict().items()
    assert plan.source["name"] == "cifar10" and warning in plan.notes


@pytest.mark.slow
class TestPublishedLinesFromEndToEnd:
    """Both, with numbers at the end that make them small; the last one of a flag counts."""

    SMALL = [
        "--steps=2", "--num_steps=1", "--batch_size=4", "--num_filters=4", "--num_samples=10",
        "--final_steps=1", "--save_interval=1", "--log_interval=1", "--network=mlp",
    ]  # fmt: skip

    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        """Train as published, in a folder of its own, on noise in the form of CIFAR-10."""
        folder = tmp_path_factory.mktemp("published")
        generator = np.random.default_rng(0)
        self._write_cifar(folder / "cifar-10-batches-py", generator)
        line = [*TRAINING_LINE.split(), f"--data_dir={folder / 'cifar-10-batches-py'}", *self.SMALL]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            assert launched("train", *line) == 0
        return folder

    @staticmethod
    def _write_cifar(folder, generator):
        folder.mkdir()
        for name, count in (("data_batch_1", 60), ("test_batch", 40)):
            batch = {
                b"data": generator.integers(0, 256, (count, 3072), dtype=np.uint8),
                b"labels": [int(i % 10) for i in range(count)],
            }
            (folder / name).write_bytes(pickle.dumps(batch))

    def test_the_line_finds_the_run_that_its_training_line_made(self, folder, call, monkeypatch):
        monkeypatch.chdir(folder)
        small = [
            "--resume_iter=2", "--im_number=12", "--pool_size=12", "--num_steps=1",
            "--repeat_scale=3", "--nomix=2",
        ]  # fmt: skip
        code, output, errors = call("evaluate", *EVALUATION_LINE.split(), *small)
        assert code == 0, errors
        assert "taking runs/cifar10_cond_febm_new." in output
        assert "round 6 of 6" in output
        assert "warning: --batch_size=512 is more than --pool_size=12" in output
        out = folder / "runs" / "cifar10_cond_febm_new" / "evaluation"
        found = json.loads((out / "evaluation.json").read_text())
        assert found["step"] == 2
        expected = {"num_samples": 12, "rounds": 6, "nomix": 2, "num_steps": 1, "batch_size": 12}
        assert expected.items() <= found["sampling"].items()
        assert Image.open(out / "samples.png").size[0] > 32

    def test_the_run_may_lie_where_the_line_says(self, folder, monkeypatch):
        """As with --logdir=cachedir --suffix_exp, and as the original itself leaves it."""
        import original_evaluation

        monkeypatch.chdir(folder)
        run = folder / "runs" / "cifar10_cond_febm_new"
        for name in ("cifar10_cond_febm_new_jensen_shannon", "cifar10_cond_febm_new"):
            place = folder / "cachedir" / name
            shutil.copytree(run, place)
            said = []
            found = original_evaluation.folder_of(parsed("evaluate", EVALUATION_LINE), said.append)
            assert found.absolute() == place
            assert any("taking" in line for line in said) == (name == "cifar10_cond_febm_new")
            shutil.rmtree(folder / "cachedir")

    @pytest.mark.parametrize(
        ("argument", "message"),
        [
            ("--nocclass", "--cclass=False is not what the run has, cclass=True"),
            ("--dataset=mnist", "--dataset=mnist is not what the run has"),
            ("--large_model", "--large_model=True is not what the run has, network=mlp"),
            ("--exp=cifar10_cond_febm_new_kl", "There is no run in cachedir/cifar10_cond_febm_new"),
            ("--run=runs/cifar10_cond_febm_new", "--run and --exp exclude each other"),
            ("--rounds=5", "--repeat_scale=180 is --rounds=360; received --rounds=5"),
            ("--nospec_norm", "--spec_norm=False of the original code is not supported"),
            ("--resume_iter=45900", "no checkpoint of step 45900"),
        ],
    )
    def test_what_the_run_is_not(self, folder, refused, monkeypatch, argument, message):
        monkeypatch.chdir(folder)
        line = [*EVALUATION_LINE.split(), "--resume_iter=2", argument]
        assert message in refused("evaluate", *line)


def test_the_published_evaluation_line_parses():
    values = parsed("evaluate", EVALUATION_LINE)
    assert (values.num_samples, values.final_steps, values.nomix) == (50_000, 5, 140)
    import original_evaluation

    # int(1000 / 500 · 180) rounds of a pool.
    assert original_evaluation.rounds_of(values) == 360
    assert original_evaluation.check(values, RUN.replace(conditional=True), CIFAR) == []


def test_flags_of_evaluation_that_have_no_effect():
    import original_evaluation

    line = "--bn --idx=3 --noscaled --gamma_sr=2 --spec_eval --cutout --datasource=default"
    warnings = original_evaluation.check(parsed("evaluate", line), RUN, CIFAR)
    assert len(warnings) == 7 and all("has no effect" in warning for warning in warnings)
    original_evaluation.check(parsed("evaluate", "--nolarge_model --dataset=cifar10"), RUN, CIFAR)


class TestRunsByName:
    @pytest.fixture
    def make(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

        def run(path, divergence):
            folder = tmp_path / path
            folder.mkdir(parents=True)
            flags_of = {"flags": {"divergence": divergence}}
            (folder / "options.json").write_text(json.dumps(flags_of))

        return run

    def find(self, line):
        import original_evaluation

        said = []
        found = original_evaluation.folder_of(parsed("evaluate", line), said.append)
        return str(found), said

    def test_ours_by_logdir_and_exp(self, make):
        make("runs/a", "js")
        assert self.find("--exp=a") == ("runs/a", [])
        make("elsewhere/a", "js")
        assert self.find("--exp=a --logdir=elsewhere") == ("elsewhere/a", [])

    def test_a_divergence_in_the_name_must_be_the_runs(self, make):
        make("runs/a", "js")
        found, said = self.find("--exp=a_jensen_shannon --logdir=cachedir")
        assert found == "runs/a" and len(said) == 1
        for line in ("--exp=a_kl", "--exp=a_b", "--exp=b_js", "--exp=a_js --logdir=elsewhere"):
            with pytest.raises(FileNotFoundError, match="There is no run in"):
                self.find(line)

    def test_what_the_line_names_comes_first(self, make):
        make("cachedir/a_kl", "kl")
        make("cachedir/a", "kl")
        make("runs/a_kl", "kl")
        assert self.find("--exp=a_kl --logdir=cachedir") == ("cachedir/a_kl", [])


def test_flags_that_are_not_given_say_nothing():
    assert original_flags.check(parse("--seed=1")) == []


@pytest.mark.parametrize(
    "argument",
    [
        *("--rescale=2", "--nospec_norm", "--cutout --augment", "--noswish_act", "--mixup"),
        *(
            "--temperature=2 --hmc",
            "--single",
            "--notrain",
            "--datasource=default",
            "--spec_iter=2",
        ),
    ],
)
def test_what_would_train_something_else_is_refused(argument):
    with pytest.raises(ValueError, match="of the original code is not supported"):
        original_flags.check(parse(argument))


@pytest.mark.parametrize(
    "argument",
    [
        *("--rescale=1", "--spec_norm", "--swish_act", "--dshape_only", "--proposal_debug"),
        # Without --augment, and without --hmc, these change nothing there either.
        *("--cutout", "--temperature=3"),
    ],
)
def test_what_changes_nothing_is_warned_about(argument):
    (warning,) = original_flags.check(parse(argument))
    assert "has no effect" in warning


class TestShorthands:
    @pytest.mark.parametrize("size", ["large", "larger", "wider"])
    def test_model_switches(self, size):
        assert resolve(f"--{size}_model").network == f"resnet32_{size}"
        with pytest.raises(ValueError, match="exclude each other"):
            resolve(f"--{size}_model --network=conv")

    def test_augment(self):
        recipe = resolve("--augment")
        assert (recipe.random_flip, recipe.random_crop) == (True, 4)
        assert "mirror image" in original_flags.check(parse("--augment"))[0]
        assert resolve("--augment --random_flip --random_crop=4").random_crop == 4
        for other in ("--norandom_flip", "--random_crop=2"):
            with pytest.raises(ValueError, match=f"it and {other} exclude each other"):
                resolve(f"--augment {other}")
        assert resolve("").random_flip is False and resolve("").random_crop == 0

    def test_hmc_in_a_line_of_the_original(self):
        line = TRAINING_LINE + " --hmc"
        recipe = resolve(line)
        assert recipe.sampler == "hmc" and recipe.step_size == 10.0
        warnings = train_flags.resolve(parse(line)).notes
        assert any(
            "--proj_norm=0.01 has no effect: it is for --sampler=lang" in w for w in warnings
        )
        assert any("the original fixes at 15" in w for w in warnings)
        with pytest.raises(ValueError, match="--hmc and --sampler=mala exclude"):
            resolve("--hmc --sampler=mala")

    def test_names_with_the_divergence(self):
        for divergence, ending in (("jensen_shannon", "jensen_shannon"), ("alpha:-1", "alpha_-1")):
            line = f"--exp=a --suffix_exp --divergence={divergence}"
            assert train_flags.resolve(parse(line)).exp == f"a_{ending}"
        with pytest.raises(ValueError, match="--suffix_exp needs --exp"):
            resolve("--suffix_exp")
        with pytest.raises(
            ValueError, match="--suffix_exp is for --method=febm or dual, not contrastive"
        ):
            resolve("--suffix_exp --exp=a --method=contrastive_divergence")


@pytest.mark.parametrize(
    ("line", "filters"),
    [
        ("--dataset=cifar10 --large_model", 128),
        ("--dataset=cifar10 --wider_model", 256),
        ("--dataset=cifar10 --wider_model --num_filters=32", 32),
        ("--dataset=digits --network=mnist_net", 64),
        ("--dataset=digits", 256),
    ],
)
def test_filters_of_a_network_that_is_not_the_presets(line, filters):
    recipe = resolve(line)
    width = train_flags.catalogue.NETWORKS[recipe.network].default_width
    assert (width if recipe.width is None else recipe.width) == filters


def test_recipes_give_way_to_flags():
    recipe = resolve("--preset=cifar10_paper --num_filters=32")
    assert (recipe.network, recipe.width, recipe.num_steps) == ("resnet32", 32, 60)
