"""The divergence guard: what it notices, where it goes back to, and that it never disturbs."""

import contextlib
import json
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from traced_models import Traced, before_each_step, state_of

import tf_febm
from tf_febm import data, training
from tf_febm.training.rates import ScaledSchedule


@pytest.fixture(scope="module")
def image_data(images):
    return data.ImageData("toy", (255 * images).astype(np.uint8), None, None, "made up")


def build(rate=1e-3, eager=False):
    keras.utils.set_random_seed(7)
    model = tf_febm.ContrastiveDivergence(
        tf_febm.networks.mlp((4, 4, 1), (16,), "swish", name="energy"),
        sampler=tf_febm.samplers.Langevin(num_steps=2),
        buffer=tf_febm.ReplayBuffer(100),
        l2_coeff=0.1,
        average_decay=0.9,
        seed=3,
    )
    model.compile(keras.optimizers.Adam(rate), run_eagerly=eager)
    return model


@pytest.fixture(scope="module")
def traced():
    return Traced(build())


@pytest.fixture(scope="module")
def batches(image_data):
    """Forty different batches of 8."""
    x, rng = np.asarray(data.dequantise(image_data.images)), np.random.default_rng(3)
    return np.stack([x[rng.choice(len(x), 8, replace=False)] for _ in range(40)])


@pytest.fixture
def runner(traced, batches, image_data, tmp_path):
    """Return a function that makes a small run and calls `disturb(model, step)` before each fit.

    And `each(model, step)` before each step. The model is that of all tests, as it was when new.
    """

    def run(
        name,
        steps,
        disturb=lambda model, step: None,
        each=None,
        guarded=True,
        model=None,
        drawn=False,
        **settings,
    ):
        model, lines = traced.fresh() if model is None else model, []
        folder = training.RunFolder(tmp_path / name)
        if not folder.path.exists():
            folder.prepare({}, ())
        checkpoints = training.Checkpoints(folder.checkpoints, model)
        checkpoints.restore()
        guard = training.DivergenceGuard(
            checkpoints,
            reference=data.dequantise(image_data.images),
            diagnosis=folder.diagnosis if drawn else None,
            report=lines.append,
            **settings,
        )

        def stream(step):
            disturb(model, step)
            return tf.data.Dataset.from_tensor_slices(batches[step:])

        with contextlib.nullcontext() if each is None else before_each_step(model, each):
            try:
                training.train(
                    model, stream, folder, checkpoints, total_steps=steps, log_interval=5,
                    sample_interval=100, save_interval=5, guard=guard if guarded else None,
                )  # fmt: skip
            except training.DivergedError as error:
                lines.append(str(error))
        return model, folder, lines

    return run


def everything(model):
    return [*state_of(model).values()]


def poison(model):
    model.energy_network.layers[-1].bias.assign([np.nan])


def test_a_training_that_is_well_is_the_same_with_it(runner):
    with_it, folder, lines = runner("with", 10)
    seen = everything(with_it)
    without, *_ = runner("without", 10, guarded=False)
    assert lines == []
    for one, other in zip(seen, everything(without), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("schedule", [False, True])
def test_one_disturbance_is_got_over(runner, schedule):
    """A schedule is held by the trace: its models are built anew, as in processes of their own."""
    rate = keras.optimizers.schedules.CosineDecay(1e-3, 100) if schedule else 1e-3
    model, seen = build(rate) if schedule else None, []

    def disturb(model, step):
        seen.append((step, model.seed_generator.state.numpy()[0]))
        if len(seen) == 2:
            poison(model)

    runner("run", 5, disturb, model=model)
    # The model of a schedule goes on within its process.
    model, folder, lines = runner("run", 20, disturb, model=model)
    assert [step for step, _ in seen] == [0, 5, 5]
    assert seen[1][1] != seen[2][1]
    assert len(lines) == 1 and "Step 10: " in lines[0] and "Going back to step 5" in lines[0]
    assert int(model.optimizer.iterations) == 20
    checkpoints = training.Checkpoints(folder.checkpoints, model)
    assert checkpoints.steps == [10, 15, 20]
    assert all(np.isfinite(value).all() for value in everything(model) if value.dtype.kind == "f")
    (rollback,) = checkpoints.facts(20)["notes"]["rollbacks"]
    assert rollback["from"] == 10 and rollback["to"] == 5 and rollback["rate_scale"] == 0.5
    if schedule:
        expected = 0.5 * rate(20)
        assert isinstance(model.optimizer._learning_rate, ScaledSchedule)
    else:
        expected = 0.5e-3
    assert float(model.optimizer.learning_rate) == pytest.approx(float(expected))
    # A continued run goes on at the reduced rate, once reduced.
    again, *_ = runner("run", 25, model=build(rate) if schedule else None)
    expected = 0.5 * rate(25) if schedule else 0.5e-3
    assert float(again.optimizer.learning_rate) == pytest.approx(float(expected))
    rows = (folder.metrics).read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "5", "10", "15", "20", "25"]


def test_it_gives_up_with_a_diagnosis_and_the_good_checkpoints_stay(runner):
    _, folder, _ = runner("run", 10)
    before = {path: path.read_bytes() for path in folder.checkpoints.glob("step-*")}
    broken = {"disturb": lambda model, step: poison(model), "max_rollbacks": 2}
    model, folder, lines = runner("run", 30, drawn=True, **broken)
    # The second time it goes one further back, as the newest led to the same end.
    assert len(lines) == 3
    assert "Going back to step 10" in lines[0] and "(1 of 2)" in lines[0]
    assert "Going back to step 5" in lines[1] and "times 0.25" in lines[1]
    assert lines[2].startswith("Training diverged at step 10: energy_data is not finite")
    assert "unusual since step 10" in lines[2] and "last good checkpoint is of step 10" in lines[2]
    assert {path: path.read_bytes() for path in folder.checkpoints.glob("step-*")} == before
    written = json.loads(folder.diagnosis.read_text())
    assert written["quantity"] == "energy_data" and written["since_step"] == 10
    assert [entry["to"] for entry in written["rollbacks"]] == [10, 5]
    with Image.open(folder.diagnosis.with_suffix(".png")) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(10**6)}
    assert {(0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)} <= colours


@pytest.mark.parametrize("first", [5, 0])
def test_a_process_that_ends_after_it_went_back_is_continued_as_if_it_had_not(runner, first):
    """Ended right after the return to step 5, or to the beginning, before the next checkpoint."""
    taken = []

    def each(model, step):
        taken.append(step)
        if taken[-1] == first + 2 and taken.count(first + 2) == 1:
            poison(model)

    def end(model, step):
        if taken and step == first and taken[-1] == first + 4 and not ended:
            ended.append(step)
            raise KeyboardInterrupt

    ended = [None]
    whole = everything(runner("whole", 15, each=each)[0])
    ended, taken = [], []
    with pytest.raises(KeyboardInterrupt):
        runner("ended", 15, end, each)
    # Of one of them, what goes on is a model built and traced anew.
    another = None if first else build()
    model, folder, lines = runner("ended", 15, each=each, model=another)
    assert lines == []
    assert taken == [*range(first + 5), *range(first, 15)]
    for one, other in zip(everything(model), whole, strict=True):
        np.testing.assert_array_equal(one, other)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.5e-3)
    (rollback,) = training.Checkpoints(folder.checkpoints, model).facts(15)["notes"]["rollbacks"]
    assert rollback["to"] == first
    assert not (folder.checkpoints / "returned.json").exists()


def test_from_the_beginning_it_does_not_go_back_to_what_came_later(runner):
    """Checkpoint 5 was given up for the beginning; the next process diverges before step 5."""
    taken = []

    def each(model, step):
        taken.append(step)
        if taken[-1] == 7 or (taken[-1] == 2 and ended and taken.count(2) == 2):
            poison(model)

    def end(model, step):
        if step == 0 and taken and not ended:
            ended.append(step)
            raise KeyboardInterrupt

    ended = []
    with pytest.raises(KeyboardInterrupt):
        runner("run", 10, end, each)
    assert taken == [*range(10), *range(5, 10)]
    _, _, lines = runner("run", 10, each=each, max_rollbacks=3)
    assert "Step 5: " in lines[0] and "Going back to step 0" in lines[0] and "(3 of 3)" in lines[0]
    assert "Training diverged at step 10" in lines[1]
    assert taken[15:] == [*range(5), *range(10)]


def test_rollbacks_are_counted_across_processes(runner):
    """Each process ends at once after it went back; the third may not go back again."""
    runner("run", 5)
    ends = []

    def end(model, step):
        if ends and ends[-1]:
            raise KeyboardInterrupt
        ends.append(True)
        poison(model)

    for _ in range(2):
        ends.clear()
        with pytest.raises(KeyboardInterrupt):
            runner("run", 10, end, max_rollbacks=2)
    _, _, lines = runner("run", 10, lambda model, step: poison(model), max_rollbacks=2)
    assert len(lines) == 1 and lines[0].startswith("Training diverged at step 10")


def test_before_the_first_checkpoint_it_goes_back_to_the_beginning(runner):
    epochs = []

    def each(model, step):
        epochs.append(step)
        if len(epochs) == 3:
            poison(model)

    model, folder, lines = runner("run", 5, each=each, max_rollbacks=1)
    assert len(lines) == 1 and "Going back to step 0" in lines[0]
    assert epochs == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert training.Checkpoints(folder.checkpoints, model).steps == [5]
    assert float(model.optimizer.learning_rate) == pytest.approx(0.5e-3)


def test_before_the_only_checkpoint_comes_the_beginning(runner):
    """A checkpoint that twice leads to the same end is passed over, and then replaced."""
    taken = []

    def each(model, step):
        taken.append(step)
        if taken[-1] == 7 and taken.count(7) <= 2:
            poison(model)

    model, folder, lines = runner("run", 10, each=each)
    assert taken == [*range(10), *range(5, 10), *range(10)]
    assert "Going back to step 5" in lines[0] and "Going back to step 0" in lines[1]
    assert len(lines) == 2
    checkpoints = training.Checkpoints(folder.checkpoints, model)
    assert checkpoints.steps == [5, 10]
    assert len(checkpoints.facts(5)["notes"]["rollbacks"]) == 2
    assert float(model.optimizer.learning_rate) == pytest.approx(0.25e-3)


class StuckAt:
    """Chains that end at one value, wherever they start."""

    bounds = (0.0, 1.0)

    def __init__(self, value):
        self.value = value

    def __call__(self, energy_fn, initial_state, seed):
        return 0.0 * initial_state + self.value


@pytest.mark.parametrize("value", [0.3, 1.0])
def test_collapsed_chains_are_noticed(runner, value):
    model = build(eager=True)
    model.sampler = StuckAt(value)
    _, _, lines = runner("run", 5, model=model, max_rollbacks=0)
    assert "diverged at step 5: the chains have collapsed into one" in lines[0]


def test_a_runaway_is_no_measure_for_what_comes_after_it(runner):
    model, folder, _ = runner("run", 5)
    lines = []
    checkpoints = training.Checkpoints(folder.checkpoints, model)
    checkpoints.restore()
    guard = training.DivergenceGuard(checkpoints, report=lines.append, max_rollbacks=5)
    guard.set_model(model)

    def intervals(*gaps):
        for gap in gaps:
            guard.on_epoch_end(0, {"energy_gap": gap})
        return len(lines)

    guard.on_train_begin()
    assert intervals(2.0, -1.0, 3.0, 990.0) == 0
    assert intervals(1010.0) == 1
    # Gone back; the intervals since then are no measure either, nor those of a continued run.
    assert intervals(990.0, 990.0, 990.0, 1010.0) == 2
    assert checkpoints.notes["usual_gap"] == 2.0
    again = training.DivergenceGuard(checkpoints, report=lines.append, max_rollbacks=5)
    again.set_model(model)
    again.on_train_begin()
    again.on_epoch_end(0, {"energy_gap": 990.0})
    again.on_epoch_end(0, {"energy_gap": 1010.0})
    assert len(lines) == 3


def test_numbers_that_no_metric_shows_are_noticed(runner):
    def disturb(model, step):
        model.average.averages[0].assign(np.inf * np.ones((16, 16), np.float32))

    _, _, lines = runner("run", 5, disturb, max_rollbacks=0)
    assert "diverged at step 5: the average holds numbers that are not finite" in lines[0]


def test_data_that_ends_early_is_said_and_nothing_is_lost(runner, image_data, tmp_path):
    model, folder, _ = runner("run", 5)
    checkpoints = training.Checkpoints(folder.checkpoints, model)
    with pytest.raises(ValueError, match="The data ended at step 8 of 20"):
        training.train(
            model, lambda step: data.stream(image_data, 8, start_step=step).take(3), folder,
            checkpoints, total_steps=20, log_interval=5, sample_interval=100, save_interval=5,
        )  # fmt: skip
    assert checkpoints.steps == [5, 8]


def test_a_batch_of_nan_stops_the_run_before_it_does_harm(runner, image_data):
    model, folder, _ = runner("run", 5)
    checkpoints = training.Checkpoints(folder.checkpoints, model)

    def stream(step):
        batches = data.stream(image_data, 8, start_step=step).enumerate(step)
        return batches.map(lambda i, x: tf.where(i == 7, np.nan, x))

    with pytest.raises(ValueError, match="NaN or Inf in x"):
        training.train(
            model, stream, folder, checkpoints, total_steps=20, log_interval=5,
            sample_interval=100, save_interval=5, guard=training.DivergenceGuard(checkpoints),
        )  # fmt: skip
    assert checkpoints.steps == [5] and checkpoints.restore() == 5


def test_a_clock_that_jumps_back_changes_nothing(runner, monkeypatch):
    now = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    model, folder, _ = runner("run", 10)
    rows = [row.split(",") for row in folder.metrics.read_text().splitlines()[1:]]
    assert [row[0] for row in rows] == ["5", "10"]
    assert 0.0 <= float(rows[0][1]) <= float(rows[1][1])
    checkpoints = training.Checkpoints(folder.checkpoints, model)
    assert checkpoints.steps == [5, 10] and checkpoints.restore() == 10


def test_in_plain_keras(runner, images, tmp_path):
    """The state is back after a broken epoch, and `fit` goes on with what comes next."""
    model, folder, _ = runner("run", 5)
    lines = []
    checkpoints = training.Checkpoints(folder.checkpoints, model)
    guard = training.DivergenceGuard(checkpoints, report=lines.append)

    class Poison(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                checkpoints.save()
                poison(model)

    model.fit(images[:16], batch_size=8, epochs=3, verbose=0, callbacks=[Poison(), guard])
    assert "Step 9: " in lines[0] and "Going back to step 7" in lines[0]
    assert int(model.optimizer.iterations) == 9 and np.isfinite(model.energy(images)).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"max_rollbacks": -1}, "max_rollbacks"), ({"rate_factor": 0.0}, "rate_factor"),
     ({"rate_factor": 1.5}, r"rate_factor must lie in \(0, 1\]; received 1.5")],
)  # fmt: skip
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        training.DivergenceGuard(None, **settings)
