"""Runs that command lines of the original code name: where they are here, and by what name."""

from collections.abc import Callable, Iterator
from pathlib import Path

from tf_febm import divergences
from tf_febm.training.run_folder import RunFolder

__all__ = ["find_run"]

# Where the original looks by default, and where launch/train.py puts runs.
_ORIGINAL_LOGDIR, _OUR_LOGDIR = "cachedir", "runs"


def find_run(logdir: str | Path, exp: str, report: Callable[[str], None]) -> Path:
    """Return the folder of the run that --logdir and --exp of the original's evaluation name.

    The original adds the divergence to --exp, and its runs are in cachedir unless --logdir says
    otherwise; launch/train.py does neither. So its lines may name <logdir>/<exp>_<divergence> for a
    run that is in <logdir>/<exp>, or for one in runs/.

    Args:
        logdir: Folder of all runs.
        exp: Name of the run.
        report: Takes a line that says where a run was found that is not in <logdir>/<exp>.

    Raises:
        FileNotFoundError: There is no run.
    """
    named = Path(logdir) / exp
    for place in [logdir, _OUR_LOGDIR] if str(logdir) == _ORIGINAL_LOGDIR else [logdir]:
        exact = Path(place) / exp
        for folder in (exact, *_without_divergence(exact)):
            if (folder / "options.json").is_file():
                if folder != named:
                    report(f"{named} is not there; taking {folder}.")
                return folder
    raise FileNotFoundError(
        f"There is no run in {named}, nor under the name without a divergence: --logdir and --exp "
        "are those of train.py."
    )


def _without_divergence(path: Path) -> Iterator[Path]:
    """Yield the folders of runs whose name, with their divergence added, is the one asked for."""
    parts = path.name.split("_")
    for count in range(len(parts) - 1, 0, -1):
        folder = path.with_name("_".join(parts[:count]))
        if not (folder / "options.json").is_file():
            continue
        try:
            asked = divergences.get("_".join(parts[count:])).name
        except ValueError:
            continue
        if RunFolder(folder).read_options()["recipe"].get("divergence") == asked:
            yield folder
