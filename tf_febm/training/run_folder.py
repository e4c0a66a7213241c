"""The folder of one run: its layout, its options, and when it may be used again."""

import contextlib
import json
import tempfile
from pathlib import Path

from tf_febm.files import write_json
from tf_febm.training.lock import LOCK_NAME, locked

__all__ = ["RunFolder"]

# Everything that a run writes, as patterns; `clear` removes these and nothing else.
_FILES = (
    "options.json",
    "metrics.csv",
    "summary.json",
    "model.keras",
    "report.html",
    "samples/step_*.png",
    "samples/energies_*.png",
    "samples/evolution.png",
    "samples/final.*",
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
    "evaluation/cache/*.npz",
    "evaluation/curve.csv",
    "applications/applications.json",
    "applications/*.png",
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


class RunFolder:
    """Name the places of a run below <logdir>/<exp>.

    Args:
        path: The folder. Nothing is touched until `prepare`.
    """

    def __init__(self, path):
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

    def locked(self):
        """Return a context in which no other process runs in this folder; see `lock.locked`."""
        return locked(self.path)

    def prepare(self, flags: dict, fixed: tuple[str, ...], *, overwrite: bool = False) -> None:
        """Make the folder ready for a run, or for going on with the one that is there.

        Args:
            flags: The resolved options of the run.
            fixed: Names of the options that a continued run may not change.
            overwrite: Whether to remove a run that is there.

        Raises:
            ValueError: If a run with other options is there.
            OSError: If the folder holds something else, or cannot be written.
        """
        try:
            self._make_way(flags, fixed, overwrite)
            self.samples.mkdir(parents=True, exist_ok=True)
            # Permissions, read-only mounts and full disks: trying tells.
            with tempfile.TemporaryFile(dir=self.path) as file:
                file.write(bytes(4096))
        except OSError as error:
            if error.errno is None:
                raise
            raise OSError(f"Cannot write to {self.path}: {error.strerror}.") from None

    def _make_way(self, flags, fixed, overwrite) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise OSError(f"{self.path} is a file; choose another folder.")
        # Empty folders are what an earlier attempt leaves that failed before its first step.
        lock = self.path / LOCK_NAME
        entries = (entry for entry in self.path.rglob("*") if entry != lock)
        if not any(entry.is_file() or entry.is_symlink() for entry in entries):
            return
        earlier = self._earlier_flags()
        if overwrite:
            self.clear()
            return
        changed = sorted(k for k in fixed if earlier.get(k) != flags.get(k))
        if changed:
            listed = ", ".join(f"{k}={earlier.get(k)!r} (now {flags.get(k)!r})" for k in changed)
            raise ValueError(
                f"{self.path} holds a run with {listed}. Choose another folder, or overwrite "
                "this one."
            )

    def _earlier_flags(self) -> dict:
        try:
            flags = json.loads(self.options.read_text(encoding="utf-8"))["flags"]
            return dict(flags.items())
        except FileNotFoundError:
            raise OSError(
                f"{self.path} is not empty and holds no run; choose another folder."
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise OSError(
                f"{self.options} is damaged, and what cannot be read is not overwritten: remove "
                "the folder yourself or choose another one."
            ) from None

    def read_options(self) -> dict:
        """Return the resolved options of the run that is there.

        Raises:
            OSError: If there is no run, or its options are damaged.
        """
        if not self.options.is_file():
            raise FileNotFoundError(f"{self.path} holds no run: there is no {self.options.name}.")
        try:
            return self._earlier_flags()
        except OSError:
            raise OSError(f"{self.options} is damaged: it holds no options of a run.") from None

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

    def write_options(self, flags: dict, versions: dict) -> None:
        """Store the resolved options and the versions beside the run."""
        write_json(self.options, {"flags": flags, "versions": versions})
