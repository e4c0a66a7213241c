"""Results as sentences."""

from tf_febm.terminal import words


def said(lines):
    assert all(len(line) <= 100 for text in lines for line in text.splitlines())
    return [line.replace("\n", " ") for line in lines]


def test_samples_stand_beside_real_images():
    figures = {"feature_network": "f", "reference": "train", "precision": 0.5, "recall": 0.25}
    real = {"images": "test", "frechet_distance": 3.0, "precision": 0.9, "recall": 0.8}
    near = {"reference": "train", "pixels": {"samples": 1.0, "held_out": 3.0}}
    result = {
        "samples": {**figures, "frechet_distance": 12.3456789},
        "held_out": real,
        "nearest": near,
        "quality": {"frechet_to_held_out": 8.0, "frechet_train_to_held_out": 2.0},
    }
    first, second, ratio, copies = said(words.of_samples(result))
    assert "from the train images: 12.35; real images (test) are 3 from theirs" in first
    assert "50% look like real images" in second and "90% and 80%" in second
    assert "8 of the samples over 2 of all training images" in ratio
    assert copies.endswith("samples may be copies.")
    near["pixels"]["samples"] = 2.0
    assert said(words.of_samples({"nearest": near}))[0].endswith("samples are no copies.")


def test_rows():
    row = {"row": 7, "furthest": "a (+4.0 σ)", "class": "broken"}
    result = {
        "num_rows": 1200, "odd": 0.05, "num_odd": 61, "threshold": 3.14159, "oddest": [row] * 10,
        "classes": {"broken": {"auroc": 0.98765}},
    }  # fmt: skip
    level, oddest, apart = said(words.of_rows(result))
    assert level.startswith("61 of 1,200 rows are called odd: their p_value, the share of usual")
    assert level.endswith("is at most --odd=0.05, the limit for all; the energy is 3.142 or more.")
    assert oddest.count("row 7 (broken), furthest out in a (+4.0 σ)") == 3
    assert apart.startswith("Class broken is told from other rows to 0.988 (AUROC")
    few = {**result, "note": "Ask for odd=0.1.", "threshold": None, "num_odd": 0}
    assert said(words.of_rows(few))[0] == "Ask for --odd=0.1."


def test_applications():
    result = {
        "denoising": {"noise": 0.3, "psnr_clipped": 12.0, "psnr_denoised": 17.0},
        "inpainting": {"known_pixels_equal": True},
        "out_of_distribution": {
            "mean_energy": {},
            "noisy": {"energy": {"auroc": 0.25}, "score_norm": {"auroc": 0.75}},
        },
    }
    noise, apart = said(words.of_applications(result))
    assert noise.startswith("Removing noise works: 12.0 dB with noise of 0.3, 17.0 dB without")
    assert "to 0.250 (AUROC" in apart and "the best score is score_norm, 0.750" in apart
    result["inpainting"]["finite"] = False
    assert said(words.of_applications(result))[1].startswith("Filling in ran away")
    result["denoising"]["psnr_denoised"] = 11.0
    assert said(words.of_applications(result))[0].startswith("Removing noise does not work")


def test_training_that_was_stopped():
    assert words.stopped(7) == "Stopped at step 7; the same command continues from there."
    without = words.stopped(7, " without --overwrite")
    assert "the same command without --overwrite continues" in without
    # There is nothing to continue from.
    assert words.stopped(0, " without --overwrite") == (
        "Stopped before the first step; the same command begins anew."
    )
