"""What data sets may hold, from the flags on: ids of classes, splits, questions about tables."""

import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

from tests.launch.conftest import resolve
from tf_febm import data

TINY = [
    "--steps=4", "--batch_size=8", "--num_steps=2", "--num_filters=8", "--log_interval=2",
    "--sample_interval=4", "--save_interval=4", "--num_samples=12", "--final_steps=2",
]  # fmt: skip
RNG = np.random.default_rng(0)
IDS = np.array([1, 3, 1_000_000])
PIXELS = RNG.integers(0, 256, (40, 4, 4, 1), np.uint8)


def loaded(*arguments):
    """Return both splits that a command line names."""
    return data.Source(**resolve(*arguments).source).load()


@pytest.fixture
def refused(launch):
    """Run train.py; return the one line that it ends with."""

    def run(*arguments):
        code, errors = launch(*arguments)
        assert code == 1 and "Traceback" not in errors
        (line,) = (line for line in errors.splitlines() if line.startswith("error: "))
        return line

    return run


@pytest.mark.slow
def test_ids_of_classes_go_with_the_run(launch, refused, call, tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, x=PIXELS, y=IDS[np.arange(40) % 3])
    arguments = ("--dataset=npz", f"--data_dir={path}", "--cclass", "--network=mlp")
    code, errors = launch(*arguments)
    assert code == 0, errors
    names = ["1", "3", "1000000"]
    folder = tmp_path / "run"
    assert json.loads((folder / "options.json").read_text())["data"]["class_names"] == names
    model = keras.models.load_model(folder / "model.keras")
    assert model.num_classes == 3 and model.class_names == tuple(names)
    with np.load(folder / "samples" / "final.npz") as arrays:
        assert set(arrays["labels"]) <= {0, 1, 2}
    code, _, errors = call("apply", f"--run={folder}", "--steps=2")
    assert code == 0, errors
    found = json.loads((folder / "applications" / "applications.json").read_text())
    # Rows 9, 19, 29 and 39 are held out: of the classes 0, 1, 2 and 0.
    assert found["classes"] == {"1": 2, "3": 1, "1000000": 1}
    # Other classes under the same numbers are not trained on.
    np.savez(path, x=PIXELS, y=(IDS + 1)[np.arange(40) % 3])
    message = refused(*arguments, "--steps=6")
    assert re.search(r"run has the classes \['1', '3', '1000000'\]; .* have \['2', '4'", message)
    assert "has the classes ['1', '3', '1000000']" in refused(*arguments, "--steps=6")


class TestBeforeTraining:
    def test_splits_of_different_shapes(self, refused, tmp_path):
        path = tmp_path / "v.npz"
        np.savez(path, x_train=RNG.normal(size=(40, 3)), x_test=RNG.normal(size=(9, 2)))
        line = refused("--dataset=npz", f"--data_dir={path}", "--preset=vectors")
        assert "must have one shape; received x_train [40, 3], x_test [9, 2]" in line
        assert not (tmp_path / "run").exists()

    def test_a_test_split_without_labels(self, refused, tmp_path):
        path = tmp_path / "v.npz"
        np.savez(path, x=PIXELS, y=np.arange(40) % 3, x_test=PIXELS[:5])
        line = refused("--dataset=npz", f"--data_dir={path}", "--cclass", "--network=mlp")
        assert "--cclass needs labels; " in line and "x_test" in line

    def test_columns_that_float32_cannot_hold(self, refused, tmp_path):
        path = tmp_path / "t.csv"
        x = np.stack([1.6e9 + RNG.uniform(-100, 100, 269), RNG.normal(size=269)], axis=1)
        np.savetxt(path, x, delimiter=",", header="time,b", comments="", fmt="%.17g")
        line = refused("--dataset=csv", f"--data_dir={path}")
        assert "time varies by" in line and "subtract that" in line
        x[:, 0] = 1e20 * x[:, 1]
        np.savetxt(path, x, delimiter=",", header="time,b", comments="", fmt="%.17g")
        assert "time has values up to" in refused("--dataset=csv", f"--data_dir={path}")
        assert not (tmp_path / "run").exists()

    def test_questions_about_tables(self, launch, refused, tmp_path):
        path = tmp_path / "t.csv"
        rows = [f"{i},{a},{b}" for i, (a, b) in enumerate(RNG.normal(size=(40, 2)))]
        path.write_text("\n".join([",0,1", *rows]))
        arguments = ("--dataset=csv", f"--data_dir={path}")
        assert "--table_header=yes or no" in refused(*arguments)
        assert "--table_index=drop or keep" in refused(*arguments, "--table_header=yes")
        for answer, width in (("drop", 2), ("keep", 3)):
            train, _ = loaded(*arguments, "--table_header=yes", f"--table_index={answer}")
            assert train.sample_shape == (width,) and len(train) == 36

    def test_folders_that_may_be_splits(self, refused, tmp_path):
        for name in ("train", "test", "extra"):
            for k in range(5):
                path = tmp_path / "p" / name / f"{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(RNG.integers(0, 256, (4, 4, 3), np.uint8)).save(path)
        arguments = ("--dataset=folder", f"--data_dir={tmp_path / 'p'}")
        line = refused(*arguments)
        assert "folders of splits, train, test, beside 'extra'" in line
        assert "--subfolders=splits or classes" in line
        assert not (tmp_path / "run").exists()
        for answer, counts in (("splits", (5, 5)), ("classes", (14, 1))):
            train, test = loaded(*arguments, f"--subfolders={answer}")
            assert (len(train), len(test)) == counts

    @pytest.mark.parametrize("key", ["X_test", "test", "validation_images"])
    def test_held_out_arrays_of_another_width(self, refused, tmp_path, key):
        path = tmp_path / "v.npz"
        np.savez(path, X_train=RNG.normal(size=(40, 3)), **{key: RNG.normal(size=(9, 2))})
        line = refused("--dataset=npz", f"--data_dir={path}", "--preset=vectors")
        assert f"must have one shape; received X_train [40, 3], {key} [9, 2]" in line
        assert not (tmp_path / "run").exists()
