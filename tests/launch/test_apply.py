"""launch/apply.py on a tiny run of the digits."""

import json
import math
from functools import partial

import pytest
from PIL import Image


@pytest.fixture
def apply(call):
    return partial(call, "apply")


@pytest.fixture
def refuse(refused):
    return partial(refused, "apply")


FEW = ["--num_images=20", "--final_steps=3"]


@pytest.mark.slow
def test_everything_is_done_and_written(apply, run_folder):
    code, output, errors = apply(f"--run={run_folder}", "--against=digits", *FEW)
    assert code == 0, errors
    out = run_folder / "applications"
    names = {"applications.json", "denoised.png", "inpainted.png", "evolution.png", "energies.png"}
    assert {path.name for path in out.iterdir()} == names
    # 12 images in three rows, at 32 pixels and a line.
    assert Image.open(out / "denoised.png").size == (12 * 33 + 1, 3 * 33 + 1)
    found = json.loads((out / "applications.json").read_text())
    assert found["step"] == 6 and found["num_images"] == 20
    # The mean over images of −10 log10(mean of 64 squares of N(0, 0.3²)): 10.46 dB and 0.07 for the
    # logarithm's bend; the standard error over 20 images is 0.17.
    assert found["denoising"]["psnr_noisy"] == pytest.approx(-20 * math.log10(0.3) + 0.07, abs=0.7)
    assert found["denoising"]["psnr_clipped"] > found["denoising"]["psnr_noisy"]
    assert found["inpainting"] == {"known_pixels_equal": True}
    figures = found["out_of_distribution"]
    # The same 360 images, but for their dequantisation: no score can tell them apart.
    for score in ("energy", "gradient_norm", "negative_log_density_ratio"):
        assert figures["digits"][score]["auroc"] == pytest.approx(0.5, abs=0.02)
    assert set(figures["mean_energy"]) == {"digits", "inverted", "noisy", "uniform noise"}


def test_bad_input(refuse, run_folder, tmp_path):
    assert "--run= must name" in refuse()
    assert "holds no run" in refuse(f"--run={tmp_path / 'gone'}")
    run = f"--run={run_folder}"
    assert "--noise must be positive; received 0.0" in refuse(run, "--noise=0")
    assert "'nothing'" in refuse(run, "--against=nothing")
    assert "no-such.npz" in refuse(run, f"--against=npz={tmp_path / 'no-such.npz'}")
    assert not (run_folder / "applications").exists()
    (tmp_path / "file").touch()
    assert "Cannot write to" in refuse(run, f"--out={tmp_path / 'file' / 'out'}")
