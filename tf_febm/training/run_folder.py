"""The folder of one run: its layout, its options, and when it may be used again."""

import contextlib
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from tf_febm import arguments, original_names
from tf_febm.training.checkpoint_files import check_segments, steps_in
from tf_febm.training.lock import LOCK_NAME, locked
from tf_febm.untrusted_files import DamagedError, opened, read_record, records, write_record

__all__ = ["RunFolder"]

# Everything that a run writes, as patterns; `clear` removes these and nothing else.
_FILES = (
    "options.json",
    "metrics.csv",
    "metrics.damaged.csv",
    "summary.json",
    "model.keras",
    "report.html",
    "samples/step_*.png",
    "samples/energies_*.png",
    "samples/evolution.png",
    "samples/final.*",
    "samples/data.png",
    "checkpoints/step-*",
    "checkpoints/checkpoint",
    "checkpoints/returned.json",
    "checkpoints/abandoned*/step-*",
    "checkpoints/.saving/*",
    "diagnosis.json",
    "diagnosis.png",
    "tensorboard/events.out.tfevents.*",
    "evaluation/evaluation.json",
    "evaluation/*.png",
    "evaluation/scores.csv",
    "evaluation/cache/*.npz",
    "evaluation/curve.csv",
    "evaluation/.new.*/*",
    "applications/.new.*/*",
    "applications/applications.json",
    "applications/*.png",
    "applications/scores.csv",
    "saved_model/*.pb",
    "saved_model/variables/variables.*",
    "energy.onnx",
    "energy.tflite",
)
_FOLDERS = (
    "samples",
    "checkpoints/.saving",
    "checkpoints",
    "tensorboard",
    "evaluation/cache",
    "evaluation",
    "applications",
    "saved_model/assets",
    "saved_model/variables",
    "saved_model",
)


def _number_or_none(value) -> None:
    if value is not None:
        records.number(value)


def _group_or_none(value) -> None:
    if value is not None:
        records.mapping()(value)


_GROUP = records.Field(records.mapping(), needed=False)
# Version 0.1 had flags in the place of recipe and data.
_SEGMENTS = records.Field(check_segments, needed=False)
_OPTIONS = {
    **dict.fromkeys(("recipe", "data", "start", "versions", "flags", "command"), _GROUP),
    "segments": _SEGMENTS,
}
_SUMMARY = {
    **{
        name: records.Field(_number_or_none, needed=False)
        for name in ("seconds", "steps_per_second")
    },
    "steps": records.Field(records.whole, needed=False),
    **dict.fromkeys(("metrics", "sampling"), _GROUP),
    **dict.fromkeys(("quality", "chains"), records.Field(_group_or_none, needed=False)),
    "segments": _SEGMENTS,
}


# What the options of a run say of its start, if it began with weights of its own.
NO_START: dict[str, Any] = {"init_from": None, "init_chains": False}


def _fixed(of_recipe: tuple[str, ...], of_data: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return part of the options -> names of what a continued run may not change."""
    return {"recipe": of_recipe, "data": of_data, "start": tuple(NO_START)}


@arguments.checked
class RunFolder:
    """Name the places of a run below <logdir>/<exp>.

    Args:
        path: The folder. Nothing is touched until `prepare`.
    """

    def __init__(self, path: arguments.Path):
        self.path = Path(path)
        self.options = self.path / "options.json"
        self.metrics = self.path / "metrics.csv"
        self.summary = self.path / "summary.json"
        self.model = self.path / "model.keras"
        self.samples = self.path / "samples"
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        self.evaluation = self.path / "evaluation"
        self.applications = self.path / "applications"
        self.diagnosis = self.path / "diagnosis.json"

    def locked(self) -> contextlib.AbstractContextManager:
        """Return a context in which no other process runs in this folder; see `lock.locked`."""
        return locked(self.path)

    def prepare(
        self,
        options: dict,
        fixed: tuple[str, ...] = (),
        fixed_of_data: tuple[str, ...] = (),
        *,
        overwrite: bool = False,
    ) -> None:
        """Make the folder ready for a run, or for going on with the one that is there.

        Args:
            options: Those of the run: "recipe" and "data", each name -> value.
            fixed: Names of the recipe's settings that a continued run may not change.
            fixed_of_data: The same of the data.
            overwrite: Whether to remove a run that is there.

        Raises:
            ValueError: A run with other options is there.
            OSError: The folder holds something else, or cannot be written.
        """
        try:
            self._make_way(options, _fixed(fixed, fixed_of_data), overwrite)
            self.samples.mkdir(parents=True, exist_ok=True)
            # Permissions, read-only mounts and full disks: trying tells.
            with tempfile.TemporaryFile(dir=self.path) as file:
                file.write(bytes(4096))
        except OSError as error:
            if error.errno is None:
                raise
            raise OSError(f"Cannot write to {self.path}: {error.strerror}.") from None

    def check(
        self,
        options: dict,
        fixed: tuple[str, ...] = (),
        fixed_of_data: tuple[str, ...] = (),
        *,
        overwrite: bool = False,
    ) -> None:
        """Raise what `prepare` would about what is there, and touch nothing.

        Args and errors are those of `prepare`.
        """
        if self._holds_a_run() and not overwrite:
            self._compare(options, _fixed(fixed, fixed_of_data))

    def _make_way(self, options: dict, fixed: dict, overwrite: bool) -> None:
        if not self._holds_a_run():
            return
        if overwrite:
            self._earlier_options()
            self.clear()
            return
        self._compare(options, fixed)

    def _holds_a_run(self) -> bool:
        if self.path.exists() and not self.path.is_dir():
            raise OSError(f"{self.path} is a file; choose another folder.")
        # Empty folders are what an earlier attempt leaves that failed before its first step.
        lock = self.path / LOCK_NAME
        entries = (entry for entry in self.path.rglob("*") if entry != lock)
        return any(entry.is_file() or entry.is_symlink() for entry in entries)

    def _compare(self, options: dict, fixed: dict) -> None:
        """Raise a ValueError if the run that is there is another one."""
        earlier = self._earlier_options()
        # What an earlier version did not store cannot have been otherwise.
        options = {**options, "start": {**NO_START, **options.get("start", {})}}
        changed = [
            f"{name}={earlier[part][name]!r} (now {options.get(part, {}).get(name)!r})"
            for part, names in fixed.items()
            for name in names
            if name in earlier[part] and earlier[part][name] != options.get(part, {}).get(name)
        ]
        if changed:
            raise ValueError(
                f"{self.path} holds a run with {', '.join(changed)}. Choose another folder, or "
                "overwrite this one."
            )
        known, present = (o.get("data", {}).get("class_names") for o in (earlier, options))
        if known is not None and known != present:
            raise ValueError(f"The run has the classes {known}; the data now have {present}.")

    def _earlier_options(self) -> dict:
        try:
            stored = read_record(self.options, _OPTIONS, str(self.options))
            if "flags" not in stored:
                parts = ("recipe", "data", "versions")
                found = {part: dict(stored[part].items()) for part in parts}
                # Before there were warm starts, each run began with weights of its own.
                found["start"] = {**NO_START, **stored.get("start", {})}
                return {**found, "segments": list(stored.get("segments", []))}
            # Version 0.1 stored what the command line said; None was what had no effect.
            flags = {k: v for k, v in stored["flags"].items() if v is not None}
            names = {"class_names": flags.get("class_names")}
            recipe = original_names.fields_of(flags, original_names.NOISE_UNIT)
            return {
                "recipe": {**recipe, "flags": True},
                "data": {**original_names.source_of(flags), **names},
                "start": dict(NO_START),
                "versions": dict(stored.get("versions", {}).items()),
            }
        except FileNotFoundError:
            raise OSError(
                f"{self.path} is not empty and holds no run; choose another folder."
            ) from None
        except DamagedError as error:
            raise DamagedError(
                f"{error}, and what cannot be read is not overwritten: remove the folder yourself "
                "or choose another one."
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DamagedError(
                f"{self.options} is damaged, and what cannot be read is not overwritten: remove "
                "the folder yourself or choose another one."
            ) from None

    def read_options(self) -> dict:
        """Return the options of the run that is there: see `write_options`.

        Raises:
            DamagedError: They are not what was written.
            OSError: There is no run, or they cannot be read at the moment.
        """
        if not self.options.exists():
            raise FileNotFoundError(f"{self.path} holds no run: there is no {self.options.name}.")
        try:
            return self._earlier_options()
        except DamagedError as error:
            what = str(error).partition(", and what cannot")[0]
            raise DamagedError(f"{what}: it holds no options of a run.") from None

    def read_summary(self) -> dict:
        """Return the summary of the run; an empty one if it is not finished.

        Raises:
            DamagedError: It is not what was written.
            OSError: It cannot be read at the moment.
        """
        try:
            return read_record(self.summary, _SUMMARY, str(self.summary))
        except FileNotFoundError:
            return {}

    def load_model(self) -> Any:
        """Return the model of the finished run, ready to sample and to train.

        Keras reads it, and what a file of Keras names is made: see SECURITY.md for whose to trust.

        Raises:
            FileNotFoundError: The run is not finished.
            DamagedError: The file is not what was written.
            OSError: It cannot be read at the moment.
        """
        if not self.model.exists():
            raise FileNotFoundError(
                f"There is no {self.model}: a run writes its model when it is finished."
            )
        import keras

        try:
            with opened(self.model) as file, zipfile.ZipFile(file) as archive:
                broken = archive.testzip()
                if broken is not None:
                    raise ValueError(f"the checksum of {broken} differs")
            return keras.models.load_model(self.model)
        except OSError as error:
            if error.errno is not None:
                raise
            raise self._damaged_model(error) from None
        except Exception as error:
            # Bits that are wrong make zipfile, Keras and h5py raise almost anything.
            raise self._damaged_model(error) from None

    def _damaged_model(self, error: Exception) -> DamagedError:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return DamagedError(f"{self.model} is damaged, and holds no model ({reason}).")

    def result_step(self) -> int | None:
        """Return the step that samples, model and figures are of; None if any of these is missing.

        Training may have gone on since.
        """
        try:
            summary = self.read_summary()
        except OSError:
            return None
        whole = self.model.is_file() and (self.samples / "final.npz").is_file()
        return summary.get("steps") if whole else None

    def newest_checkpoint(self) -> int:
        """Return the step of the newest checkpoint; 0 if there is none."""
        return max(steps_in(self.checkpoints), default=0)

    def clear(self) -> None:
        """Remove the run, and nothing that a run does not write."""
        for pattern in _FILES:
            for file in self.path.glob(pattern):
                file.unlink()
        aside = sorted(self.path.glob("checkpoints/abandoned*"))
        for folder in (*aside, *(self.path / name for name in _FOLDERS)):
            # A folder that holds anything else stays.
            with contextlib.suppress(OSError):
                folder.rmdir()

    def write_options(self, options: dict) -> None:
        """Store the options of the run.

        Args:
            options: "recipe", "data", "start" and "versions", each name -> value; and "segments",
                rows of "from", the step from which on the recipe and the versions of the row were
                those of training.
        """
        write_record(self.options, options)
