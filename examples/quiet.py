"""Start TensorFlow without the lines that it writes: import this before all that imports it.

What the launchers do, by the same function of the library, whose own import brings TensorFlow: its
file is run alone.
"""

import importlib.util
import runpy
from pathlib import Path

_PACKAGE = Path(importlib.util.find_spec("tf_febm").origin).parent
runpy.run_path(str(_PACKAGE / "terminal" / "silence.py"))["start_tensorflow"]()
