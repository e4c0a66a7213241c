"""Rollback to the last good checkpoint when training diverges."""

from collections.abc import Callable
from typing import Any

import keras

from tf_febm import arguments, workers
from tf_febm.training import numerical_checks as checks
from tf_febm.training.checkpoints import Checkpoints, DivergedError
from tf_febm.training.diagnosis import unusual_since, write_diagnosis
from tf_febm.training.logs import own_numbers
from tf_febm.training.rates import scale_rates
from tf_febm.training.schedule import steps_taken

__all__ = ["DivergenceGuard"]

# Chains that are too few say nothing about their spread.
FEWEST_CHAINS = 8
_GOLDEN = 0x9E3779B9
# Intervals that are looked back on: a run of weeks takes no more memory, or time, than one of days.
_REMEMBERED = 2000
# Checkpoints with which the beginning need not be kept.
_ENOUGH = 3

ADVICE = "Try lower learning rates, a higher l2_coeff, another seed."


def last_good(checkpoints: Checkpoints) -> str:
    """Return a sentence about what is left of a training that diverged."""
    steps = checkpoints.steps
    if not steps:
        return "There is no checkpoint yet."
    return f"The last good checkpoint is of step {steps[-1]}."


@arguments.checking({"reference": arguments.ARRAY})
class DivergenceGuard(keras.callbacks.Callback):
    """Watch a training, and go back when it diverges.

    At the end of every Keras epoch it looks for

        NaN or Inf          in any metric of the model's own, weight, optimizer slot or average
        steps not taken     the loss scale of float16 is beyond what gradients could need
        a runaway           |mean E(data) − mean E(model)| beyond 1000 and 100 times what it was in
                            the first three intervals of the run
        collapsed chains    the newest in the replay buffer are all alike, or at the bounds

    The state then goes back to the newest checkpoint (to the one before it, if that came to the
    same end without getting further), the random state gets a new seed, and all learning rates are
    multiplied by `rate_factor`. The state at the beginning of training is kept in memory until
    there are three checkpoints, and is what comes before the first of them. After `max_rollbacks`
    of these it gives up with a diagnosis. A callback that sets a rate whatever it was, at the next
    epoch, undoes that factor: let a `LearningRateScheduler` multiply the present rate.

    It only ever reads from a training that is well, which therefore is the same with it or without.
    Put it before the callback that saves: a broken state is gone before that is called. Chains are
    those of the replay buffer; without one there are none that last, and none are looked at. Slow
    failures, such as samples that get worse, are not its business.

    Args:
        checkpoints: The `Checkpoints` of the model.
        reference: Examples of the data, floating [n, …], to which the chains are compared, or None.
        max_rollbacks: How often to go back in a run, continued ones included, at least 0.
        rate_factor: In (0, 1].
        limits: From where on a figure is problem.
        diagnosis: Path of a JSON file, ending in ".json", to write before giving up, a picture
            beside it; or None.
        report: Takes a line about each return.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        *,
        reference: arguments.Reference | None = None,
        max_rollbacks: int = 3,
        rate_factor: float = 0.5,
        limits: checks.Limits | None = None,
        diagnosis: Any = None,
        report: Callable[[str], None] = lambda line: None,
    ):
        super().__init__()
        self._checkpoints, self._reference = checkpoints, reference
        self.max_rollbacks = arguments.whole_number("max_rollbacks", max_rollbacks)
        self.rate_factor = arguments.number("rate_factor", rate_factor, above=True)
        if self.rate_factor > 1.0:
            raise ValueError(f"rate_factor must lie in (0, 1]; received {rate_factor!r}.")
        self.limits = checks.Limits() if limits is None else limits
        self._diagnosis, self._report = diagnosis, report
        self._usual: dict | None = None
        self._initial: dict | None = None
        self._initial_skipped = 0
        # The gaps of the first intervals, and their size once it is known.
        self._first_gaps: list[float] = []
        self._usual_gap: float | None = None
        self._attempts = [checks.Past(_REMEMBERED)]
        self._rollbacks: list[dict] = []
        # Where the last attempt ended, and how many checkpoints to pass over.
        self._ended, self._skip = -1, 0
        # Whether the epoch that has just ended was taken back.
        self.went_back = False

    def on_train_begin(self, logs: arguments.Logs | None = None) -> None:
        """Keep what there is no checkpoint of; take up the learning rates of an earlier part."""
        # At step 0 also if there are checkpoints, which are then of what was given up.
        first = not steps_taken(self.model)
        if self._initial is None and (first or not self._checkpoints.steps):
            state = self.model.state_variables()
            self._initial = {name: [v.numpy() for v in group] for name, group in state.items()}
            self._initial_skipped = self._checkpoints.skipped
        if self._usual is None:
            self._usual = {}
            if self._reference is not None and len(self._reference) >= FEWEST_CHAINS:
                self._usual = checks.chain_figures(self._reference, self.model.bounds)
            self._take_up(self._checkpoints.notes, self._checkpoints.restored_notes)

    def _take_up(self, notes: dict, restored_notes: dict) -> None:
        """Go on where an earlier process ended.

        Args:
            notes: As of its end.
            restored_notes: Of the checkpoint, whose learning rates the model has.
        """
        self._rollbacks = list(notes.get("rollbacks", []))
        self._usual_gap = notes.get("usual_gap")
        self._ended, self._skip = notes.get("ended", -1), notes.get("skip", 0)
        scale = notes.get("rate_scale", 1.0)
        scale_rates(self.model, scale, held=restored_notes.get("rate_scale", 1.0))

    def on_epoch_begin(self, epoch: int, logs: arguments.Logs | None = None) -> None:
        """Begin anew."""
        self.went_back = False

    def on_epoch_end(self, epoch: int, logs: arguments.Logs | None = None) -> None:
        """Look at the state; go back, or give up, if it is broken.

        Raises:
            DivergedError: After the last attempt.
        """
        step = steps_taken(self.model)
        if len(self._usable(step)) >= _ENOUGH:
            self._initial = None
        # Not what other callbacks put there: a figure not measured yet is NaN, and no problem.
        figures = own_numbers(self.model, logs) | checks.scale_figures(self.model)
        figures |= self._chain_figures()
        past = self._attempts[-1]
        problem = checks.examine(figures, past, self._usual_figures(), self.limits)
        if problem is None:
            group = checks.nonfinite_variable(self.model)
            # Workers have buffers of their own, and go back together.
            strategy = self.model.distribute_strategy
            if workers.any_worker(strategy, group is not None):
                group = "state" if workers.spans_workers(strategy) else group
                text = f"the {group.replace('_', ' ')} holds numbers that are not finite"
                problem = checks.Problem(group, float("nan"), float("inf"), text)
                figures[group] = problem.value
        past.append({**figures, "step": step})
        if problem is None:
            self._learn_the_gap(figures)
            return
        if len(self._rollbacks) >= self.max_rollbacks:
            self._give_up(step, problem)
        self._go_back(step, problem)

    def _usual_figures(self) -> dict:
        gap = self._usual_gap
        gap = checks.gap_at_first(self._first_gaps) if gap is None else gap
        return {**(self._usual or {}), "energy_gap": gap}

    def _learn_the_gap(self, figures: dict) -> None:
        """Take note of what the gap is like at first, with every later checkpoint."""
        if self._usual_gap is not None or "energy_gap" not in figures:
            return
        self._first_gaps.append(figures["energy_gap"])
        if len(self._first_gaps) == checks.FIRST:
            self._usual_gap = checks.gap_at_first(self._first_gaps)
            self._checkpoints.notes["usual_gap"] = self._usual_gap

    def _chain_figures(self) -> dict:
        """Return the figures of the chains, of each the worst of all replicas."""
        buffer, strategy = self.model.buffer, self.model.distribute_strategy
        if buffer is None:
            return {}
        # A question to all: buffers of one run need not be equally full.
        fewest = min(int(written) for *_, written in buffer.parts())
        if workers.any_worker(strategy, fewest < FEWEST_CHAINS):
            return {}
        found = [
            checks.chain_figures(buffer.newest(checks.CHAINS, i), self.model.bounds)
            for i in range(len(buffer.parts()))
        ]
        here = checks.worst(found)
        rows = workers.worker_values(strategy, [*here.values()])
        return checks.worst([dict(zip(here, map(float, row), strict=True)) for row in rows])

    def _go_back(self, step: int, problem: checks.Problem) -> None:
        scale = self._checkpoints.notes.get("rate_scale", 1.0) * self.rate_factor
        self._skip = self._skip + 1 if step <= self._ended else 0
        self._ended = max(step, self._ended)
        steps = self._usable(step)
        index = len(steps) - 1 - self._skip
        if self._initial is not None and index < 0:
            restored = self._restore_initial()
        elif steps:
            restored = self._checkpoints.restore(before=steps[max(index, 0)] + 1)
        else:
            self._give_up(step, problem)
        held = self._checkpoints.restored_notes.get("rate_scale", 1.0)
        self._rollbacks.append(
            {"from": step, "to": restored, "reason": problem.text, "rate_scale": scale}
        )
        seed = self.model.seed_generator.state
        first, second = (int(part) for part in seed.numpy())
        seed.assign([(first + len(self._rollbacks) * _GOLDEN) % 2**31, second])
        # With every later checkpoint, so that a continued run knows; and if there is none, at once.
        notes = {
            "rate_scale": scale,
            "rollbacks": self._rollbacks,
            "ended": self._ended,
            "skip": self._skip,
        }
        if self._usual_gap is not None:
            notes["usual_gap"] = self._usual_gap
        self._checkpoints.notes = notes
        self._checkpoints.note_return(restored)
        scale_rates(self.model, scale, held)
        self._attempts.append(checks.Past(_REMEMBERED))
        self._report(
            f"Step {step}: {problem.text}. Going back to step {restored} with a new seed and the "
            f"learning rates times {scale:g} ({len(self._rollbacks)} of {self.max_rollbacks})."
        )
        self.went_back = True

    def _usable(self, step: int) -> list[int]:
        """Return the checkpoints up to a step: later ones are of what was given up before."""
        return [saved for saved in self._checkpoints.steps if saved <= step]

    def _restore_initial(self) -> int:
        for name, group in self.model.state_variables().items():
            for variable, value in zip(group, self._initial[name], strict=True):
                variable.assign(value)
        self._checkpoints.abandon()
        self._checkpoints.skipped = self._initial_skipped
        return steps_taken(self.model)

    def _give_up(self, step: int, problem: checks.Problem) -> None:
        since = unusual_since(self._attempts[-1], problem)
        tried = ", ".join(str(entry["to"]) for entry in self._rollbacks)
        message = f"Training diverged at step {step}: {problem.text}, unusual since step {since}. "
        if tried:
            message += (
                f"Going back to step {tried} did not help, with learning rates times "
                f"{self._rollbacks[-1]['rate_scale']:g} in the end. "
            )
        message += f"{last_good(self._checkpoints)} "
        if self._diagnosis is not None:
            write_diagnosis(self._diagnosis, self._attempts, problem, since, self._rollbacks)
            message += f"{self._diagnosis} and the picture beside it show how. "
        raise DivergedError(f"{message}{ADVICE}")
