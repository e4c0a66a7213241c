"""launch/evaluate.py as its users run it, on a tiny run of the digits."""

import csv
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

from tf_febm import evaluation, training, untrusted_files


@pytest.fixture
def evaluate(call):
    return partial(call, "evaluate")


@pytest.fixture
def refuse(refused):
    return partial(refused, "evaluate")


@pytest.mark.slow
def change_options(folder, part, name, value):
    """Change an option of a run, in the folder and in its checkpoints."""
    for path in (folder / "options.json", *(folder / "checkpoints").glob("step-*.json")):
        facts = untrusted_files.read_record(path)
        for row in (facts, *facts.get("segments", ()), *facts.get("history", ())):
            if part in row:
                row[part][name] = value
        untrusted_files.write_record(path, facts)


class TestResults:
    def test_with_nothing_but_the_run(self, evaluate, run_folder):
        before = {p: p.read_bytes() for p in run_folder.rglob("*") if p.is_file()}
        code, _, errors = evaluate(f"--run={run_folder}")
        assert code == 0, errors
        out = run_folder / "evaluation"
        assert {p.name for p in out.iterdir()} == {
            "evaluation.json", "samples.png", "neighbours_pixels.png", "neighbours_features.png",
            "cache",
        }  # fmt: skip
        for path, contents in before.items():
            assert path.read_bytes() == contents, path
        found = json.loads((out / "evaluation.json").read_text())
        assert found["step"] == 6
        assert found["sampling"] == {
            "num_samples": 40, "num_steps": 2, "seed": 0, "descent_steps": 0,
            "noise_removed": 0.0, "rounds": 0,
            "ensemble": 1, "nomix": 10,
            "pool_size": 1000, "restart_probability": 0.01, "label_probability": 0.1,
            "averaged": True, "batch_size": 512,
        }  # fmt: skip
        # What each figure was measured against stands beside it.
        references = {
            "samples": "train",
            "held_out": "train",
            "nearest": "train",
            "quality": "test",
        }
        assert {name: found[name]["reference"] for name in references} == references
        assert found["held_out"]["images"] == "test"
        report = (run_folder / "report.html").read_text()
        assert "<tr><th>reference</th><td>test</td></tr>" in report
        assert 0 <= found["samples"]["prd_f8"] < found["held_out"]["prd_f8"] <= 1
        assert found["samples"]["feature_network"].startswith("classifier:digits-8x8x1")
        assert found["samples"]["published_names"] == {}
        assert found["samples"]["num_real"] == 1437
        # Nearly untrained: far from the data, in all figures.
        assert found["samples"]["frechet_distance"] > 4 * found["held_out"]["frechet_distance"]
        assert found["nearest"]["pixels"]["samples"] > found["nearest"]["pixels"]["held_out"]
        assert found["held_out"]["num_samples"] == 40
        assert {"tensorflow", "keras", "git"} <= found["versions"].keys()
        # The samples are those that the run drew at its end, and so is its figure.
        summary = json.loads((run_folder / "summary.json").read_text())
        expected = summary["quality"]["frechet_to_held_out"]
        assert found["quality"]["frechet_to_held_out"] == pytest.approx(expected, rel=1e-3)
        with np.load(run_folder / "samples" / "final.npz") as arrays:
            grid = evaluation.image_grid(arrays["samples"])
        np.testing.assert_array_equal(np.asarray(Image.open(out / "samples.png")), grid[..., 0])
        # 12 samples, each with 7 neighbours, at 32 pixels and a line.
        assert Image.open(out / "neighbours_features.png").size == (8 * 33 + 1, 12 * 33 + 1)
        # It belongs to the run: whoever starts the run anew does not keep its figures.
        training.RunFolder(run_folder).clear()
        assert list(run_folder.iterdir()) == []

    def test_flags_change_what_they_say(self, evaluate, run_folder, tmp_path):
        weights = tmp_path / "squeezenet.weights.h5"
        evaluation.SqueezeNet.build().save_weights(weights)
        out, cache = tmp_path / "out", tmp_path / "cache"
        flags = [
            f"--run={run_folder}", f"--squeezenet={weights}", "--num_samples=12", "--num_real=20",
            "--final_steps=1", "--seed=5", "--resume_iter=3", f"--out={out}",
            f"--cache_dir={cache}",
        ]  # fmt: skip
        code, output, errors = evaluate(*flags)
        assert code == 0, errors
        assert "warning: samples has 12 rows for 512 features" in output
        found = json.loads((out / "evaluation.json").read_text())
        assert found["step"] == 3 and "quality" not in found
        sampling = {"num_samples": 12, "num_steps": 1, "seed": 5}
        assert sampling.items() <= found["sampling"].items()
        figures = found["samples"]
        assert figures["feature_network"] == "squeezenet-1.1-128px"
        assert (figures["num_samples"], figures["num_real"]) == (12, 20)
        assert figures["class_score"] is None
        assert len(list(cache.iterdir())) == 1
        assert not (run_folder / "evaluation").exists()

    def test_a_curve_over_the_checkpoints_against_all_images(self, evaluate, run_folder):
        """The default is in the first test, and "test" below."""
        code, output, errors = evaluate(f"--run={run_folder}", "--curve", "--compare_with=all")
        assert code == 0, errors
        assert "images (all) …" in output
        out = run_folder / "evaluation"
        rows = list(csv.DictReader((out / "curve.csv").open()))
        assert [row["step"] for row in rows] == ["3", "6"]
        assert {row["reference"] for row in rows} == {"all"}
        assert 0 < float(rows[0]["seconds"]) < float(rows[1]["seconds"])
        assert Image.open(out / "curve.png").size[0] > 400
        # The last point is the run itself, measured the same way.
        found = json.loads((out / "evaluation.json").read_text())
        last = float(rows[-1]["frechet_distance"])
        assert last == pytest.approx(found["samples"]["frechet_distance"], rel=1e-6)
        assert float(rows[0]["held_out"]) == pytest.approx(found["held_out"]["frechet_distance"])
        assert rows[0]["frechet_distance"] != rows[1]["frechet_distance"]
        assert found["samples"]["reference"] == "all" and found["samples"]["num_real"] == 1797
        # The test images are among all: against those their distance would say nothing.
        scale = {"images": "test", "reference": "train", "num_real": 1437}
        assert scale.items() <= found["held_out"].items()
        # Copies are looked for where the model has been.
        assert found["nearest"]["reference"] == "train" and found["nearest"]["num_real"] == 1437

    def test_rounds_of_a_pool_by_an_ensemble(self, evaluate, run_folder):
        few = ["--num_samples=12", "--num_real=20", "--rounds=12"]
        grids = []
        published = ["--nomix=3", "--pool_size=20", "--restart_share=0.5", "--proj_norm=0.05"]
        cases = {"one": ["--ensemble=2"], "two": [*published, "--noaveraged"]}
        for name, more in cases.items():
            out = run_folder.parent / name
            code, output, errors = evaluate(f"--run={run_folder}", f"--out={out}", *few, *more)
            assert code == 0, errors
            assert "round 12 of 12" in output
            grids.append(np.asarray(Image.open(out / "samples.png")))
            sampling = json.loads((out / "evaluation.json").read_text())["sampling"]
            expected = (
                {"ensemble": 2, "nomix": 10, "averaged": True, "rounds": 12}
                if name == "one"
                else {"ensemble": 1, "nomix": 3, "pool_size": 20, "averaged": False}
            )
            assert expected.items() <= sampling.items()
            assert sampling["restart_probability"] == (0.01 if name == "one" else 0.5)
        assert (grids[0] != grids[1]).any()


@pytest.mark.slow
class TestReference:
    """Train 1,437 images, test 360; `evaluate.References` says what is compared with what."""

    def test_the_images_are_those_of_the_splits(self):
        from tf_febm import data
        from tf_febm.training.evaluating import _references

        train, test = (data.load("digits", split=split) for split in ("train", "test"))
        sets = _references("all", train, test, 30)
        np.testing.assert_array_equal(sets.images, np.concatenate([train.images, test.images]))
        np.testing.assert_array_equal(sets.against_images, train.images)
        assert len(sets.scale_images) == 30
        sets = _references("test", train, test, 30, 50)
        assert len(sets.images) == 50 and sets.scale_name == "train"
        known = {image.tobytes() for image in test.images}
        assert all(image.tobytes() in known for image in sets.images)


class TestBadInput:
    def test_folders_that_hold_no_run(self, refuse, tmp_path):
        assert "--run= must name" in refuse()
        assert "holds no run: there is no options.json" in refuse(f"--run={tmp_path / 'gone'}")
        (tmp_path / "options.json").write_text("{broken")
        assert "options.json is damaged" in refuse(f"--run={tmp_path}")

    def test_runs_without_a_usable_checkpoint(self, refuse, run_folder):
        assert "no checkpoint of step 5" in refuse(f"--run={run_folder}", "--resume_iter=5")
        for file in run_folder.glob("checkpoints/*"):
            file.unlink()
        assert "There is no checkpoint in" in refuse(f"--run={run_folder}")

    def test_ensembles_that_cannot_be(self, refuse, run_folder):
        line = refuse(f"--run={run_folder}", "--ensemble=2")
        assert "--ensemble=2 is for sampling in rounds" in line and "give --rounds=" in line
        line = refuse(f"--run={run_folder}", "--ensemble=3", "--rounds=12")
        assert "up to step 6; 2 were kept (see keep_checkpoints of the recipe)" in line
        line = refuse(f"--run={run_folder}", "--ensemble=2", "--rounds=12", "--resume_iter=3")
        assert "up to step 3; 1 were kept" in line
        line = refuse(f"--run={run_folder}", "--ensemble=2", "--rounds=12", "--curve")
        assert "excludes --ensemble" in line

    def test_rounds_that_cannot_be(self, refuse, run_folder):
        line = refuse(f"--run={run_folder}", "--rounds=5")
        assert "--rounds must be at least --nomix=10; received 5" in line
        line = refuse(f"--run={run_folder}", "--noaveraged")
        assert "--noaveraged is for sampling in rounds" in line

    def test_options_of_another_version(self, refuse, run_folder):
        change_options(run_folder, "recipe", "temperature", 1.0)
        assert "has the unknown temperature: another vers" in refuse(f"--run={run_folder}")

    def test_networks_without_their_files(self, refuse, run_folder, tmp_path):
        run = f"--run={run_folder}"
        assert "give --inception=" in refuse(run, "--features=inception_graph")
        assert "--squeezenet=" in refuse(run, "--features=squeezenet")
        gone = tmp_path / "gone"
        assert f"{gone} can not be read" in refuse(run, f"--inception={gone}")
        assert f"no weights file {gone}" in refuse(run, f"--squeezenet={gone}")
        assert f"no weights file {gone}" in refuse(
            run, "--features=keras_inception", f"--keras_weights={gone}"
        )
        text = tmp_path / "graph.pb"
        text.write_text("<html>")
        assert "is no frozen TensorFlow graph" in refuse(run, f"--inception={text}")
        assert not (run_folder / "evaluation").exists()

    def test_data_without_a_network(self, refuse, evaluate, run_folder, tmp_path):
        images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
        np.savez(tmp_path / "images.npz", x=images)
        change_options(run_folder, "data", "name", "npz")
        run = [f"--run={run_folder}", f"--data_dir={tmp_path / 'images.npz'}"]
        assert "A classifier needs labels" in refuse(*run, "--features=classifier")
        assert "--curve needs features" in refuse(*run, "--curve")
        line = refuse(*run, "--reference=all")
        assert "--compare_with=all is for figures, and there is no feature network" in line
        line = refuse(*run, "--label_share=0.2", "--rounds=12")
        assert "--label_share=0.2 is for runs with labels (--cclass)" in line
        assert not (run_folder / "evaluation").exists()
        # Pictures and distances in pixels need none.
        given = ["--num_samples=12", "--num_real=50", "--nomix=140"]
        code, output, errors = evaluate(*run, *given)
        assert code == 0, errors
        assert "warning: --nomix=140 has no effect: it is for sampling in rounds" in output
        assert "warning: --num_real=50 is more than there are: 36 images" in output
        assert "--features=auto has no network for npz: give --inception=" in output
        found = json.loads((run_folder / "evaluation" / "evaluation.json").read_text())
        assert "samples" not in found and found["nearest"].keys() == {
            "reference", "num_real", "pixels"
        }  # fmt: skip
        assert (run_folder / "evaluation" / "samples.png").exists()

    def test_places_that_cannot_be_written(self, refuse, run_folder, tmp_path):
        (tmp_path / "file").write_text("in the way")
        assert f"Cannot write to {tmp_path / 'file'}" in refuse(
            f"--run={run_folder}", f"--out={tmp_path / 'file'}"
        )
