"""launch/train.py as its users run it: processes, signals, files, and every kind of bad input."""

import csv
import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.launch import forks
from tests.launch.conftest import resolve
from tf_febm import data

FAST = [
    "--steps=20", "--batch_size=8", "--num_steps=2", "--num_filters=8", "--log_interval=5",
    "--sample_interval=10", "--save_interval=5", "--num_samples=20", "--final_steps=2",
]  # fmt: skip


@pytest.fixture
def command(project, tmp_path):
    """Return the command line of a small run below tmp_path."""

    def build(*arguments):
        script = str(project / "launch" / "train.py")
        return [sys.executable, script, f"--logdir={tmp_path}", "--exp=run", *FAST, *arguments]

    return build


@pytest.fixture
def here(call, tmp_path):
    """Run the launcher in this process: return its exit code, output and errors."""

    def run(*arguments):
        return call("train", f"--logdir={tmp_path}", "--exp=run", *FAST, *arguments)

    return run


@pytest.mark.slow
class TestRun:
    def test_a_signal_leaves_a_run_that_goes_on(self, command, here, tmp_path):
        """In the process that the signal ends, as its users start it, and then in this one.

        SIGINT comes first in the next test: all that is heeded of either is its name.
        """
        flags = ["--divergence=Jensen-Shannon", "--cclass"]
        process = subprocess.Popen(
            command(*flags, "--steps=100000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd=tmp_path,
        )  # fmt: skip
        told = ""
        for line in process.stdout:
            told += line
            if "/100000" in line:
                break
        assert "ETA" in told
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 3, errors
        assert "SIGTERM: finishing this step" in output
        assert "the same command continues from there" in output
        assert "Traceback" not in errors
        step = int(output.split("Stopped at step ")[1].split(";")[0])

        total = 5 * (step // 5 + 2)
        code, _, errors = here("--divergence=kl", "--cclass", f"--steps={total}")
        assert code == 1 and "--overwrite" in errors
        # The same run, spelled otherwise, goes on.
        code, output, errors = here("--divergence=js", "--cclass", f"--steps={total}")
        assert code == 0, errors
        assert f"Continuing from step {step} of {total}" in output and f"{total}/{total}" in output
        folder = tmp_path / "run"
        assert {p.name for p in folder.iterdir()} == {
            "options.json", "metrics.csv", "tensorboard", "samples", "checkpoints", "model.keras",
            "summary.json", "report.html",
        }  # fmt: skip
        options = json.loads((folder / "options.json").read_text())
        assert options["recipe"]["batch_size"] == 8 and options["recipe"]["conditional"] is True
        assert options["data"]["name"] == "digits" and len(options["data"]["hash"]) == 64
        assert {"tensorflow", "keras", "git", "python"} <= options["versions"].keys()
        with np.load(folder / "samples" / "final.npz") as arrays:
            assert arrays["samples"].shape == (20, 8, 8, 1)
            assert arrays["labels"].shape == (20,)
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["steps"] == total and summary["steps_per_second"] > 0
        assert {"frechet_ratio", "mean_confidence"} <= summary["quality"].keys()

        with open(folder / "metrics.csv", newline="") as file:
            rows = [int(row["step"]) for row in csv.DictReader(file)]
        # Where it was stopped there is a row of its own.
        assert rows == sorted({*range(5, total + 1, 5), step})

    def test_a_second_signal_stops_at_once_and_leaves_the_checkpoint_whole(self, command, tmp_path):
        from tf_febm.training import checkpoint_files

        process = forks.Process(
            # Steps of seconds: the second signal comes before the first one is heeded.
            command("--steps=999", "--log_interval=1", "--save_interval=1", "--num_steps=5000"),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
        )  # fmt: skip
        try:
            for line in process.stdout:
                # A step's checkpoint comes after its line: by the second, that of the first.
                if re.search(r"\b([2-9]|\d\d+)/999", line):
                    process.send_signal(signal.SIGINT)
                if "SIGINT: finishing this step" in line:
                    process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        finally:
            process.kill()
        # By the signal itself, or, in the middle of a step, as shells report that.
        assert process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)
        folder = tmp_path / "run" / "checkpoints"
        assert checkpoint_files.steps_in(folder)
        for step in checkpoint_files.steps_in(folder):
            checkpoint_files.verify(folder, step)

    def test_dry_run_writes_nothing(self, here, tmp_path):
        code, output, errors = here("--dry_run", "--divergence=alpha:-0.5")
        assert code == 0, errors
        assert "alpha:-0.5" in output and "1437 images (8, 8, 1)" in output
        assert list(tmp_path.iterdir()) == []


def test_augmentation_flags_reach_the_stream():
    line = ("--random_flip", "--random_crop=3", "--seed=4", "--data_noise=0")
    recipe, source = resolve(*line).recipe, data.load("digits")
    (received,) = recipe.stream(source, start_step=5).take(1)
    batches = data.stream(
        source, recipe.batch_size, seed=4, start_step=5, random_flip=True, random_crop=3
    )
    (expected,) = batches.take(1)
    np.testing.assert_array_equal(received, expected)


class TestBadInput:
    """In this process, for speed: main() with flags of its own, as absl would parse them."""

    @pytest.fixture
    def refuse(self, here, tmp_path):
        def run(*arguments):
            before = sorted(tmp_path.rglob("*"))
            code, _, error = here(*arguments)
            assert code == 1, error
            assert "Traceback" not in error
            lines = [line for line in error.splitlines() if line.startswith("error: ")]
            assert len(lines) == 1, error
            assert sorted(tmp_path.rglob("*")) == before
            return lines[0]

        return run

    def test_unknown_names(self, refuse):
        assert "Unknown divergence 'tv'" in refuse("--divergence=tv")
        assert "--cclass needs labels" in refuse("--dataset=npz", "--cclass", self.npz(refuse))

    @pytest.fixture(autouse=True)
    def _files(self, tmp_path_factory):
        self.files = tmp_path_factory.mktemp("data")

    def npz(self, _=None, **changes):
        arrays = {"x": np.zeros((20, 8, 8, 1), np.uint8), **changes}
        path = self.files / "images.npz"
        np.savez(path, **arrays)
        return f"--data_dir={path}"

    def test_values_out_of_range(self, refuse):
        assert "--step_lr" in refuse("--step_lr=-1")
        assert "--proj_norm" in refuse("--proj_norm=-0.1")
        assert "average_decay" in refuse("--average_decay=1.0")
        assert "--beta_1" in refuse("--beta_1=1")
        assert "--lr must be a finite number > 0" in refuse("--lr=0")
        assert "--lr_final must be a finite" in refuse("--lr_final=nan")
        assert "--data_noise" in refuse("--data_noise=nan")
        assert "log_ratio_clip" in refuse("--log_ratio_clip=-5")

    def test_a_crop_larger_than_the_images(self, refuse):
        assert "--random_crop must be below 8" in refuse("--random_crop=8")

    def test_bad_images(self, refuse):
        nan = np.full((20, 8, 8, 1), np.nan, np.float32)
        assert "from nan to nan" in refuse("--dataset=npz", self.npz(x=nan))
        bright = np.full((20, 8, 8, 1), 3.0)
        assert "from 3.0 to 3.0" in refuse("--dataset=npz", self.npz(x=bright))
        labels = np.full(20, -2)
        assert "label" in refuse("--dataset=npz", "--cclass", self.npz(y=labels))

    def test_two_channels(self, refuse):
        two = np.zeros((20, 8, 8, 2), np.uint8)
        assert "1 or 3 channels" in refuse("--dataset=npz", self.npz(x=two))

    @pytest.mark.parametrize("name", ["", "..", "../escape", "a\nb"])
    def test_names_that_are_no_folder(self, refuse, name):
        assert "--exp" in refuse(f"--exp={name}")

    def test_too_much_memory(self, refuse):
        assert "--buffer_size must be a whole number" in refuse("--buffer_size=1000000000000")
        assert "GiB" in refuse("--buffer_size=2000000000")

    def test_bad_folders(self, refuse):
        empty = self.files / "empty"
        empty.mkdir()
        assert str(empty) in refuse("--dataset=folder", f"--data_dir={empty}")
        assert "nowhere" in refuse("--dataset=folder", f"--data_dir={self.files / 'nowhere'}")
        pictures = self.files / "pictures"
        pictures.mkdir()
        # One of fifty: more than the one in a hundred that is left out with a warning.
        for i in range(50):
            Image.new("L", (9, 9), i).save(pictures / f"{i:04d}.png")
        (pictures / "0012.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
        assert "0012.png" in refuse("--dataset=folder", f"--data_dir={pictures}")

    def test_places_that_cannot_be_written(self, refuse, tmp_path):
        (tmp_path / "file").write_text("in the way")
        assert "Cannot write to" in refuse(f"--logdir={tmp_path / 'file'}")
        # Not even root can make a folder there. The flags are the launcher's to name.
        line = refuse("--logdir=/proc")
        assert "Cannot write to /proc/run: " in line and "--logdir and --exp name" in line
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "thesis.tex").write_text("mine")
        assert "holds no run" in refuse()
        assert "holds no run" in refuse("--overwrite")

    def test_a_folder_in_use(self, refuse, tmp_path):
        from tf_febm import training

        with training.RunFolder(tmp_path / "run").locked():
            assert "in use by another run, process" in refuse()

    def test_strategies_that_cannot_be(self, refuse, monkeypatch):
        monkeypatch.delenv("TF_CONFIG", raising=False)
        assert "multi_worker needs TF_CONFIG" in refuse("--strategy=multi_worker")
        assert "--num_replicas=2 is for --strategy=mirrored, not default" in refuse(
            "--num_replicas=2"
        )

    @pytest.mark.parametrize("how", [[], ["--dry_run"], ["--dataset=csv", "--data_dir=no"]])
    def test_a_metric_that_is_not_there(self, refuse, how):
        """Before any data are read, and before a plan is told."""
        assert "--best_metric must be one of loss, bound" in refuse("--best_metric=fid", *how)

    def test_a_missing_checkpoint(self, refuse):
        assert "no checkpoint of step 999" in refuse("--resume_iter=999")
        assert "exclude each other" in refuse("--resume_iter=999", "--overwrite")

    def test_a_start_that_cannot_be(self, refuse):
        assert "--init_chains needs --init_from" in refuse("--init_chains")
        told = refuse("--init_from=no", "--resume_iter=3")
        assert "--init_from=no and --resume_iter=3 exclude each other" in told
        assert "no holds no run" in refuse("--init_from=no")


@pytest.mark.slow
def test_flags_that_do_not_parse(command, tmp_path):
    """absl says so, before anything of ours is called."""
    for flag in (
        "--steps=many",
        "--method=gan",
        "--batch_size=1",
        "--no_such_flag=1",
        "--dataset=imagenet",
        "stray",
    ):
        result = subprocess.run(command(flag), capture_output=True, text=True, cwd=tmp_path)
        assert result.returncode != 0
        assert "Traceback" not in result.stderr
        assert flag.split("=")[0].lstrip("-") in result.stderr + result.stdout
