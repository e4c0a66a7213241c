"""Rows of a table that are kept aside choose the weights that its run ends with."""

import keras
import numpy as np
import pytest

from tf_febm import evaluation, recipes, training
from tf_febm.training import chosen_weights
from tf_febm.training.recorders import read_metrics

pytestmark = pytest.mark.usefixtures("blank_charts")
STEPS = 12
# So fast that late steps lose what early ones gained.
FAST = recipes.get("noise_contrastive").replace(
    steps=STEPS, batch_size=16, learning_rate=0.1, width=8, log_interval=2, save_interval=2,
    sample_interval=STEPS, num_samples=20, final_steps=2, average_decay=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def table():
    """A ring, of which no Gaussian is a good fit, with few rows."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0.0, 2.0 * np.pi, 90)
    ring = np.stack([np.cos(angle), 3.0 * np.sin(angle)], axis=1)
    return (ring + rng.normal(scale=[0.1, 0.3], size=(90, 2))).astype(np.float32)


def test_a_run_ends_with_the_weights_under_which_rows_kept_aside_are_likeliest(table, tmp_path):
    lines = []
    result = training.run(FAST, table, tmp_path / "run", report=lines.append)
    rows = read_metrics(result.folder.metrics)
    gains = {int(row["step"]): float(row["held_out_gain"]) for row in rows}
    quality = result.summary["quality"]
    best = max(gains, key=lambda step: gains[step])
    assert max(gains.values()) > 0.0 and best < STEPS
    assert quality["weights_of_step"] == best
    assert quality["gain_of_rows_aside"] == pytest.approx(gains[best], rel=1e-4)
    assert f"weights are of step {best}" in evaluation.verdict(quality).sentence

    # The model, the file of it and the last checkpoint have these weights and no others.
    train = table[np.arange(90) % 10 != 0]
    seen, aside = chosen_weights.rows_aside(len(train), FAST.seed)
    assert sorted([*seen, *aside]) == list(range(len(train))) and len(aside) == 16
    with result.model.best_weights():
        found = evaluation.gain_over_reference(result.model, train[aside]).gain
    assert found == pytest.approx(gains[best], abs=1e-4)
    energies = result.model.energy(table).numpy()
    other = FAST.build(train)
    assert training.Checkpoints(result.folder.checkpoints, other).restore() == STEPS
    np.testing.assert_array_equal(other.energy(table).numpy(), energies)
    stored = keras.models.load_model(result.folder.model)
    with result.model.best_weights():
        best_energies = result.model.energy(table).numpy()
    np.testing.assert_allclose(stored.energy(table).numpy(), best_energies, rtol=1e-5)

    # A run that was killed before its results were there chooses the same once more.
    result.folder.summary.unlink()
    again = training.run(FAST, table, tmp_path / "run")
    assert again.summary["quality"]["weights_of_step"] == best
    np.testing.assert_array_equal(again.model.energy(table).numpy(), energies)


def test_what_loses_from_the_first_step_on_ends_as_it_began(tmp_path):
    # Rows of a Gaussian: there is nothing to gain but what is learned by heart.
    x = np.random.default_rng(3).normal(size=(40, 2)).astype(np.float32)
    recipe = FAST.replace(steps=4, learning_rate=3.0)
    result = training.run(recipe, x, tmp_path / "run")
    assert result.summary["quality"]["weights_of_step"] == 0
    keras.utils.set_random_seed(recipe.seed)
    new = recipe.build(x[np.arange(40) % 10 != 0])
    np.testing.assert_array_equal(result.model.energy(x), new.energy(x))


def test_rows_too_few_choose_nothing(tmp_path):
    x = np.random.default_rng(3).normal(size=(20, 2)).astype(np.float32)
    assert "weights_of_step" not in training.run(FAST, x, tmp_path / "run").summary["quality"]
    with pytest.raises(ValueError, match="best_metric=held_out_gain is for tables of 20 rows"):
        training.run(FAST, x, tmp_path / "two", chosen={"best_metric": "held_out_gain"})
