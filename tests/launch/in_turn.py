"""Be one of several workers that call launch/train.py again and again, in a single process.

    python tests/launch/in_turn.py '[["--flag", …], …]'

Workers find each other once, and import TensorFlow once. Exit codes are printed between the runs;
the process ends with the last one.
"""

import functools
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "launch"))

import console
import train
import train_flags
from absl import flags

if __name__ == "__main__":
    console.make_strategy = functools.cache(console.make_strategy)
    for arguments in json.loads(sys.argv[1]):
        values = flags.FlagValues()
        train_flags.define(values)
        values(["train.py", *arguments])
        code = console.exit_code(functools.partial(train.run, values), debug=False)
        sys.stderr.flush()
        print(f"=== {code}", flush=True)
    sys.exit(code)
