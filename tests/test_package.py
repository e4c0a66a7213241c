"""What the installed package is: its version, its types, and what importing it costs."""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import tf_febm

IMPORTS = """
import json, sys
import keras, tensorflow
before = set(sys.modules)
import tf_febm
print(json.dumps(sorted({name.split(".")[0] for name in set(sys.modules) - before})))
"""


def test_one_version(project):
    in_setup = re.search(r'version="(.*?)"', (project / "setup.py").read_text()).group(1)
    assert tf_febm.__version__ == in_setup
    assert f"## [{in_setup}]" in (project / "CHANGELOG.md").read_text()
    assert metadata.version("tf_febm") == in_setup


def test_its_types_are_announced():
    assert (Path(tf_febm.__file__).parent / "py.typed").is_file()


@pytest.mark.slow
def test_importing_loads_nothing_slow():
    """Beside TensorFlow and Keras, which every user of it needs."""
    result = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=300, check=True
    )
    loaded = set(json.loads(result.stdout.splitlines()[-1]))
    assert "tf_febm" in loaded
    slow = {
        "IPython", "matplotlib", "onnx", "onnxruntime", "pandas", "sklearn", "tensorflow_datasets",
        "tensorflow_probability", "tf2onnx", "tf_keras",
    }  # fmt: skip
    assert not loaded & slow
