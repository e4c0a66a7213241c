"""Runs on vectors, from the flags to the summary."""

import json
import math

import keras
import numpy as np
import pytest

TINY = [
    "--steps=4", "--batch_size=64", "--num_steps=2", "--num_filters=8", "--log_interval=2",
    "--sample_interval=4", "--save_interval=4", "--num_samples=30", "--final_steps=2",
]  # fmt: skip


@pytest.fixture
def smaller(monkeypatch):
    """Let toy datasets be small, and their grids coarse."""
    from tf_febm.data import toy_datasets

    monkeypatch.setattr(toy_datasets, "SIZES", {"train": 2000, "test": 500})


@pytest.mark.parametrize(
    ("method", "dataset"),
    [
        # One method and one set of points stand for all; modes are counted in test_grid.
        pytest.param("contrastive_divergence", "8gaussians", marks=pytest.mark.thorough),
        *(
            pytest.param(method, "moons", marks=pytest.mark.thorough)
            for method in ("dual", "score_matching", "energy_discrepancy")
        ),
        ("pseudo_spherical", "moons"),
    ],
)
def test_a_toy_dataset(launch, tmp_path, smaller, method, dataset):
    code, errors = launch(f"--dataset={dataset}", f"--method={method}")
    assert code == 0, errors
    folder = tmp_path / "run"
    for name in ("step_0000004.png", "final.png"):
        assert (folder / "samples" / name).is_file()
    summary = json.loads((folder / "summary.json").read_text())
    assert math.isfinite(summary["quality"]["kl"]) and summary["quality"]["kl"] > 0
    quality = summary["quality"]
    if dataset == "moons":
        # Two half circles are no mixture of round modes.
        assert quality["modes"] is None
    else:
        assert quality["modes"] == 8 and 0 <= quality["modes_covered"] <= 8
        assert 0.0 <= quality["share_near_modes"] <= 1.0
    with np.load(folder / "samples" / "final.npz") as arrays:
        samples = arrays["samples"]
    assert samples.shape == (30, 2)
    # In raw units, without a clip to [0, 1]: chains start 1.5 standard deviations wide.
    assert samples.min() < 0.0 and samples.max() > 1.0


class TestTable:
    @pytest.fixture
    def table(self, tmp_path_factory):
        """Four columns of very different units, and correlated."""
        rng = np.random.default_rng(0)
        z = rng.normal(size=(200, 4)) @ np.linalg.cholesky(0.5 * np.eye(4) + 0.5).T
        x = [1e4, -2.0, 0.0, 30.0] + z * [100.0, 0.01, 1.0, 5.0]
        path = tmp_path_factory.mktemp("table") / "t.csv"
        np.savetxt(path, x, delimiter=",", header="a,b,c,d", comments="")
        return path, x

    def test_samples_and_energies_are_in_raw_units(self, launch, call, tmp_path, table):
        path, x = table
        code, errors = launch("--dataset=csv", f"--data_dir={path}", "--num_samples=300")
        assert code == 0, errors
        with np.load(tmp_path / "run" / "samples" / "final.npz") as arrays:
            z = (arrays["samples"].astype(np.float64) - x.mean(0)) / x.std(0)
        assert z.shape == (300, 4)
        # Four steps of training leave chains near their starts, 1.5 standard deviations wide. They
        # all go back to about the 64 of the first batch: four standard errors of that mean.
        assert np.abs(z.mean(0)).max() < 4 * 1.5 / math.sqrt(64)
        assert (z.std(0) > 0.4).all() and (z.std(0) < 2.5).all()
        # A histogram of each column over time, and the energies of chains from noise.
        pictures = {path.name for path in (tmp_path / "run" / "samples").glob("*.png")}
        assert pictures >= {"step_0000004.png", "final.png", "evolution.png"}
        report = (tmp_path / "run" / "report.html").read_text()
        assert "Samples of the model, beside data" in report and "Chains from noise" in report
        # Names of columns are in the options, the model, and so in pictures and exports.
        options = json.loads((tmp_path / "run" / "options.json").read_text())
        assert options["data"]["columns"] == ["a", "b", "c", "d"]
        model = keras.models.load_model(tmp_path / "run" / "model.keras")
        assert model.column_names == ("a", "b", "c", "d")
        energy = model.energy(x.astype(np.float32)).numpy()
        far = model.energy((x + 1000.0 * x.std(0)).astype(np.float32)).numpy()
        # The quadratic well: ½ · 4 · 1000².
        assert far.min() > energy.max() + 1e4
        quality = json.loads((tmp_path / "run" / "summary.json").read_text())["quality"]
        covariance = np.cov(x, rowvar=False)
        entropy = 0.5 * np.linalg.slogdet(2 * math.pi * math.e * covariance)[1]
        # The Gaussian fit of Gaussian data: minus its entropy, on 20 held-out rows of deviation
        # √(d/2/20) = 0.32 on average; four of these.
        assert abs(quality["gaussian_log_likelihood"] + entropy) < 1.3
        # An energy that is hardly trained is near its reference, which is that fit.
        difference = quality["gaussian_log_likelihood"] - quality["held_out_log_likelihood"]
        assert abs(difference) < 0.5
        assert quality["log_z_standard_error"] < 0.5

        code, words, errors = call("evaluate", f"--run={tmp_path / 'run'}", "--odd=0.1")
        assert code == 0 and "of 200 rows are called odd: their p_value" in words, errors
        assert "The oddest: row" in words
        found = json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text())
        assert found["quality"] == quality and found["step"] == 4
        code, _, errors = call("evaluate", f"--run={tmp_path / 'run'}", "--rounds=12")
        assert code == 1 and "--rounds=12 is for images, not for vectors: leave it out" in errors

        code, words, errors = call("apply", f"--run={tmp_path / 'run'}", "--odd=0.1")
        assert code == 0, errors
        results = json.loads((tmp_path / "run" / "applications" / "applications.json").read_text())
        assert (results["oddest"], results["threshold"]) == (found["oddest"], found["threshold"])
        assert len(results["oddest"]) == 10 and set(results["oddest"][0]["values"]) == set("abcd")
        for name in ("applications", "evaluation"):
            assert (tmp_path / "run" / name / "scores.csv").is_file()
        code, _, errors = call("apply", f"--run={tmp_path / 'run'}", "--noise=0.1")
        assert code == 1 and "--noise is for a run on images, not on vectors" in errors

    def test_bad_files_are_one_line(self, launch, tmp_path):
        bad = tmp_path / "bad.csv"
        bad.write_text("a,b\n1,2\n3,x\n")
        code, errors = launch("--dataset=csv", f"--data_dir={bad}")
        assert code == 1 and "Traceback" not in errors
        assert [line for line in errors.splitlines() if line.startswith("error: ")] == [
            f"error: {bad}: every field must be a finite number; line 3, b, holds 'x'. Remove such "
            "rows or columns, or fill them in; label_column (--label_column) takes a column for "
            "the class of each row, drop_columns (--drop_columns) leaves columns out."
        ]

    @pytest.mark.parametrize(
        ("flag", "message"),
        [
            ("--network=conv", "--network=conv is for images"),
            ("--cclass", "--cclass needs labels"),
            ("--random_flip", "--random_flip is for images, not for vectors"),
            ("--use_attention", "--use_attention is for images, not for vectors"),
            ("--image_size=8", "--image_size=8 is for images"),
        ],
    )
    def test_flags_of_images(self, launch, table, flag, message):
        code, errors = launch("--dataset=csv", f"--data_dir={table[0]}", flag, "--dry_run")
        assert code == 1 and message in errors
