"""Numbers that float32 cannot tell apart, at every door; the truth is counted with NumPy."""

import numpy as np
import pytest
from loading import fails

from tf_febm import data

RNG = np.random.default_rng(0)
# Seconds since 1970 over three minutes: of 269 values, float32 has five.
SECONDS = 1.6e9 + RNG.uniform(-100, 100, 269)
OTHER = RNG.normal(size=269)


def column(values):
    return np.stack([OTHER, values], axis=1)


def test_what_is_at_stake():
    assert len(np.unique(SECONDS)) == 269
    assert len(np.unique(SECONDS.astype(np.float32))) <= 5


COARSE = {
    "seconds": SECONDS,
    "whole": SECONDS.astype(np.int64),
    "already cast": SECONDS.astype(np.float32).astype(np.float64),
    # One missing value, written as 0, makes the deviation a hundred million.
    "a stray zero": np.where(np.arange(269) == 5, 0.0, SECONDS),
    "small numbers": 1.0 + 1e-7 * OTHER,
    "negative": -SECONDS,
}
FINE = {
    "a day": 1.6e9 + RNG.uniform(-43200, 43200, 269),
    "centred": SECONDS - 1.6e9,
    "heavy tails": np.exp(5 * OTHER),
    "counts": RNG.integers(0, 3, 269).astype(float),
    "mostly zero": np.where(np.arange(269) == 5, 1.0, 0.0),
    "millions": 5e6 + 100 * OTHER,
    "tiny": 1e-12 * OTHER,
}
BEYOND = {
    "large": 1e20 * OTHER,
    "offset": 1e20 * (1 + 0.01 * OTHER),
    "one": np.where(OTHER > 2, 1e18, OTHER),
}


def doors(tmp_path, values):
    """(door, what it does with a table whose second column are these values)."""
    table = column(values)
    csv, npz = tmp_path / "t.csv", tmp_path / "t.npz"
    np.savetxt(csv, table, delimiter=",", header="other,time", comments="", fmt="%.17g")
    np.savez(npz, x_train=table, x_test=table[:20])
    return [("csv", csv, "time"), ("npz", npz, "column 2")]


@pytest.mark.parametrize("name", COARSE)
@pytest.mark.parametrize("split", ["train", "test"])
def test_coarse_columns_are_refused(tmp_path, name, split):
    for door, path, called in doors(tmp_path, COARSE[name]):
        line = fails(ValueError, "subtract that", door, path, split)
        assert called in line and str(path) in line
    with pytest.raises(ValueError, match="x: column 2 varies by .*: subtract that, in float64"):
        data.check_float32_resolution(column(COARSE[name]))


@pytest.mark.parametrize("name", FINE)
def test_fine_columns_pass(tmp_path, name):
    values = FINE[name]
    data.check_float32_resolution(column(values))
    for door, path, _ in doors(tmp_path, values):
        loaded = data.load(door, path)
        # What the rule promises: rounding is below a hundredth of a deviation.
        rows = np.arange(269) % 10 != 9 if door == "csv" else slice(None)
        error = np.abs(loaded.vectors[:, 1] - values[rows]).max()
        assert error <= 0.01 * values.std()


@pytest.mark.parametrize("name", BEYOND)
def test_numbers_whose_squares_overflow_are_refused(tmp_path, name):
    for door, path, called in doors(tmp_path, BEYOND[name]):
        line = fails(ValueError, "Divide it by its standard deviation", door, path)
        assert called in line
        assert "cannot hold the squares" in line


def test_numbers_whose_inverse_squares_overflow_are_refused():
    with pytest.raises(ValueError, match="column 2 has a standard deviation of .*e-20"):
        data.check_float32_resolution(column(1e-20 * OTHER))


# Of four rows on: fewer may be near each other by chance.
@pytest.mark.parametrize("count", [4, 5, 9])
def test_few_rows_are_judged_at_every_door(tmp_path, count):
    # Evenly spread over three minutes, so that any of them have a deviation of a minute or so.
    few = np.stack([OTHER[:count], 1.6e9 + np.linspace(-100, 100, count)], axis=1)
    assert np.spacing(np.float32(few[0, 1])) > few[:, 1].std() / 64
    np.savetxt(
        tmp_path / "t.csv", few, delimiter=",", header="other,time", comments="", fmt="%.17g"
    )
    np.savez(tmp_path / "t.npz", x=few)
    np.savez(tmp_path / "u.npz", x_train=np.tile(few, (9, 1)), x_test=few)
    for door, path, split in (
        ("csv", "t.csv", "train"),
        ("npz", "t.npz", "train"),
        ("npz", "u.npz", "test"),
    ):
        assert path in fails(ValueError, "subtract that", door, tmp_path / path, split)
    with pytest.raises(ValueError, match="v: column 2 varies by .*: subtract that"):
        data.VectorData("v", few.astype(np.float32), source="v")
    data.VectorData("v", (few - [0, 1.6e9]).astype(np.float32))


def test_what_is_not_judged():
    data.check_float32_resolution(column(SECONDS)[:3])
    data.check_float32_resolution(np.full((20, 3), 1.6e9))
    data.check_float32_resolution(np.array([["a"]] * 20))
    data.check_float32_resolution(np.full((20, 2), np.nan))
    data.check_float32_resolution(SECONDS)
    with pytest.raises(ValueError, match=r"clip: coordinate \[1, 0\] varies by"):
        clip = RNG.normal(size=(269, 2, 1))
        clip[:, 1, 0] = SECONDS
        data.check_float32_resolution(clip, "clip")
