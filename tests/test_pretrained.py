"""The model that comes with the library: what it is made of, and what it is good for."""

import hashlib
import json

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from tf_febm import applications, data, evaluation, pretrained, recipes, untrusted_files


@pytest.fixture(scope="module")
def model():
    return pretrained.load("digits")


@pytest.fixture(scope="module")
def held_out():
    return np.asarray(data.dequantise(data.load("digits", split="test").images, seed=0))


def test_it_is_the_recipe_on_the_data_of_make_train():
    assert pretrained.names() == ("digits",)
    about = pretrained.describe("digits")
    assert about.recipe == recipes.get("digits") and about.steps == about.recipe.steps
    train, digest = data.load("digits"), hashlib.sha256()
    for array in (train.images, train.labels):
        digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    assert about.data["hash"] == digest.hexdigest()
    assert about.data["num_examples"] == len(train) and about.versions["keras"]
    size = sum(p.stat().st_size for p in (pretrained.stored._HERE).glob("digits.*"))
    assert 100_000 < size < 2_000_000


@pytest.mark.parametrize("initial", ["noise", "buffer"])
def test_samples_are_digits(model, held_out, initial):
    """Near training digits of one class, of all ten classes; noise of 100 steps is not yet."""
    train = data.load("digits")
    judge = KNeighborsClassifier(10).fit(train.images.reshape(-1, 64) / 255.0, train.labels)

    def judged(images):
        x = np.asarray(images).reshape(-1, 64)
        near, agreed = judge.kneighbors(x)[0][:, 0], judge.predict_proba(x).max(axis=1)
        return np.median(near), agreed.mean(), np.bincount(judge.predict(x), minlength=10)

    steps = {"noise": None, "buffer": 5}[initial]
    near, agreed, classes = judged(model.sample(200, seed=1, initial=initial, num_steps=steps))
    usual, usually, _ = judged(held_out)
    assert near < 1.2 * usual and agreed > 0.92 * usually
    assert classes.min() >= 5 and classes.max() <= 50


def test_it_tells_digits_from_noise_and_takes_noise_off(model, held_out):
    noise = np.random.default_rng(0).random(held_out.shape, np.float32)
    usual, strange = model.energy(held_out).numpy(), model.energy(noise).numpy()
    assert evaluation.ood_metrics(-usual, -strange).auroc > 0.999
    few = held_out[:40]
    noisy = few + 0.3 * np.random.default_rng(1).standard_normal(few.shape, np.float32)
    weight = pretrained.describe("digits").figures["denoising"]["energy_weight"]
    found = applications.denoise(model, noisy, 0.3, energy_weight=weight, num_steps=60, seed=0)
    error, before = (np.mean((x - few) ** 2) for x in (found.images, noisy))
    # 10.6 dB to 18.1 dB over all of them with more steps.
    assert error < before / 4


def test_the_figures_of_the_page_are_those_of_the_description(project):
    page = (project / "docs" / "concepts" / "recipes.md").read_text("utf-8")
    text = " ".join(page.split("## A model without training")[1].split())
    found = pretrained.describe("digits").figures
    kept, fresh = found["samples_from_buffer"], found["samples_from_noise"]
    energy, noise = found["energy"], found["denoising"]
    for words in (
        f"is {kept['frechet_ratio']:.1f} from the chains that come along",
        f"{fresh['frechet_ratio']:.1f} of fresh chains, where a Gaussian fit has "
        f"{kept['frechet_ratio_gaussian']:.1f}",
        f"it brings {noise['psnr_noisy']:.1f} dB to {noise['psnr_denoised']:.1f} dB",
        f"with an AUROC of {energy['inverted']['auroc']:.3f}, digits with noise of 0.2 with "
        f"{energy['noisy']['auroc']:.3f}",
    ):
        assert words in text
    assert energy["uniform noise"]["auroc"] == energy["inverted"]["auroc"]


def test_names_and_files_that_are_not_right(tmp_path):
    with pytest.raises(ValueError, match="Unknown pretrained model 'digit'; there are: digits"):
        pretrained.load("digit")
    with pytest.raises(ValueError, match="there are: none"):
        pretrained.describe("digits", tmp_path)
    for suffix in (".npz", ".json"):
        source = pretrained.stored._HERE / f"digits{suffix}"
        (tmp_path / source.name).write_bytes(source.read_bytes())
    record = untrusted_files.read_record(tmp_path / "digits.json")
    narrow = {**record, "recipe": {**record["recipe"], "width": 8}}
    untrusted_files.write_record(tmp_path / "digits.json", narrow)
    with pytest.raises(OSError, match="has not the weights of the recipe beside it"):
        pretrained.load("digits", tmp_path)
    # What has no checksum is read by its schema alone.
    crafted = [{"recipe": {**record["recipe"], "more": 1}}, {"data": {}}]
    crafted += [{"data": {**record["data"], "sample_shape": [2**20, 2**20, 3]}}]
    for change in crafted:
        (tmp_path / "digits.json").write_text(json.dumps({**record, **change}))
        with pytest.raises(OSError, match="digits.json is damaged"):
            pretrained.load("digits", tmp_path)
    (tmp_path / "digits.json").write_text(json.dumps(record))
    with np.load(pretrained.stored._HERE / "digits.npz") as arrays:
        renamed = {name.replace("weight_0", "weight_x"): arrays[name] for name in arrays}
    np.savez(tmp_path / "digits.npz", **renamed)
    with pytest.raises(OSError, match="has not the weights of the recipe beside it"):
        pretrained.load("digits", tmp_path)
    (tmp_path / "digits.json").write_text(json.dumps({**record, "checksum": "0" * 64}))
    with pytest.raises(OSError, match="digits.json is damaged"):
        pretrained.load("digits", tmp_path)


def test_damaged_arrays_are_named(tmp_path):
    """Cuts and changed bytes of the archive, and weights and chains that cannot be."""
    for suffix in (".npz", ".json"):
        source = pretrained.stored._HERE / f"digits{suffix}"
        (tmp_path / source.name).write_bytes(source.read_bytes())
    path, rng = tmp_path / "digits.npz", np.random.default_rng(0)
    whole = path.read_bytes()
    for case in range(20):
        changed = bytearray(whole)
        if case % 2:
            del changed[int(rng.integers(len(whole))) :]
        else:
            for place in rng.integers(len(whole), size=30):
                changed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        with pytest.raises(OSError, match="digits.npz"):
            untrusted_files.read_arrays(path)
    with np.load(pretrained.stored._HERE / "digits.npz") as arrays:
        arrays = dict(arrays)
    for name, value, message in (
        ("weight_0", arrays["weight_0"] * np.nan, "weights that are no finite numbers"),
        ("weight_0", arrays["weight_0"].astype(complex), "weights that are no finite numbers"),
        ("buffer_written", np.int64(-1), "damaged chains"),
    ):
        np.savez(path, **{**arrays, name: value})
        with pytest.raises(untrusted_files.DamagedError, match=f"digits.npz has {message}"):
            pretrained.load("digits", tmp_path)
