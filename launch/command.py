"""The console script `tf-febm train|evaluate|apply|export|mixture`, the same as `launch/*.py`."""

import runpy
import sys
from pathlib import Path

COMMANDS = {
    "train": "train an energy-based model, or go on with a run",
    "evaluate": "measure the samples of a run",
    "apply": "put the energy of a run to use",
    "export": "write the model of a run for other programs",
    "mixture": "repeat Section 6.1 of the paper",
}


def main() -> None:
    """Run the launcher that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name not in COMMANDS:
        listed = "\n".join(f"  {command:10} {text}" for command, text in COMMANDS.items())
        print(f"usage: tf-febm COMMAND [flags]; tf-febm COMMAND --help tells its flags\n{listed}")
        known = name in ("--help", "-h", "help")
        sys.exit(0 if known else f"error: there is no command {name!r}.")
    folder = Path(__file__).parent
    script = str(folder / f"{name}.py")
    # As `python launch/train.py` would have it.
    sys.argv = [script, *sys.argv[2:]]
    sys.path.insert(0, str(folder))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
