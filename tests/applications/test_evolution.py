"""The evolution of chains: which moments, the same chains as `sample`, the picture."""

import numpy as np
import pytest

from tf_febm.applications import Evolution, chain_evolution, evolution_picture


@pytest.fixture
def model(make):
    model = make()
    model.build((None, 4, 4, 1))
    return model


def test_frames_are_moments_of_the_chains_of_sample(model):
    result = chain_evolution(model, 5, 4, seed=7, num_steps=9)
    assert result.frames.shape == (4, 5, 4, 4, 1)
    np.testing.assert_array_equal(result.steps, [0, 3, 6, 9])
    for frame, steps in ((0, 0), (3, 9)):
        samples = model.sample(5, seed=7, num_steps=steps)
        np.testing.assert_array_equal(result.frames[frame], samples)
    assert result.labels is None
    assert not np.array_equal(result.frames[1], result.frames[2])


def test_all_states_and_no_more(model):
    np.testing.assert_array_equal(
        chain_evolution(model, 2, 4, seed=7, num_steps=3).steps, np.arange(4)
    )
    with pytest.raises(ValueError, match="num_frames must be at most 4.*received 5"):
        chain_evolution(model, 2, 5, seed=7, num_steps=3)
    with pytest.raises(ValueError, match="num_frames must be a whole number ≥ 2; received 1"):
        chain_evolution(model, 2, 1)


def test_labels_are_kept(make):
    model = make(classes=3)
    model.build((None, 4, 4, 1))
    result = chain_evolution(model, 4, 2, labels=[0, 1, 2, 0], seed=7)
    np.testing.assert_array_equal(result.labels, [0, 1, 2, 0])
    assert chain_evolution(model, 4, 2, seed=7).labels.shape == (4,)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_has_a_row_for_each_chain_and_time_to_the_right(channels):
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (3, 2, 4, 5, channels))
    # Middles of the intervals that become the levels, in [−1, 1].
    frames = (2 * (levels + 0.5) / 256 - 1).astype(np.float32)
    evolution = Evolution(frames, np.arange(3), None)
    picture = evolution_picture(evolution, bounds=(-1.0, 1.0), padding=0, upscale=1)
    assert picture.shape == (8, 15, channels)
    for chain in range(2):
        for moment in range(3):
            cell = picture[4 * chain : 4 * chain + 4, 5 * moment : 5 * moment + 5]
            np.testing.assert_array_equal(cell, levels[moment, chain])


def test_values_outside_the_bounds_are_clipped():
    frames = np.array([-9.0, 9.0], np.float32).reshape(2, 1, 1, 1, 1)
    evolution = Evolution(frames, np.arange(2), None)
    picture = evolution_picture(evolution, padding=0, upscale=1)
    assert picture.ravel().tolist() == [0, 255]


def test_only_images_make_a_picture():
    evolution = Evolution(np.zeros((2, 3, 4), np.float32), np.arange(2), None)
    with pytest.raises(ValueError, match=r"frames must be .*received shape \(2, 3, 4\)"):
        evolution_picture(evolution)
