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
loaded = sorted({name.split(".")[0] for name in set(sys.modules) - before})
# Without what the extra brings, a model is fitted, saved and loaded all the same.
for name in tf_febm.extras.RUN:
    sys.modules[name] = None
model = tf_febm.FEBM(*(tf_febm.networks.mlp(2, (4,)) for _ in range(2)))
model.compile(run_eagerly=True)
model.fit(tensorflow.zeros([4, 2]) + 0.5, verbose=0)
model.save(sys.argv[1])
assert keras.saving.load_model(sys.argv[1]).sample(2, num_steps=1).shape == (2, 2)
errors = []
for needing in (
    lambda: tf_febm.evaluation.line_chart({"a": [1, 2]}),
    lambda: tf_febm.training.SampleGrids(".", 1, "events"),
    lambda: tf_febm.data.load("folder", sys.argv[2]),
    lambda: tf_febm.training.run(
        tf_febm.recipes.get("digits"), tf_febm.data.Source("digits"), sys.argv[2] + "/run"
    ),
):
    try:
        needing()
    except ImportError as error:
        errors.append(str(error))
print(json.dumps([loaded, errors]))
"""


def test_one_version(project):
    in_setup = re.search(r'version="(.*?)"', (project / "setup.py").read_text()).group(1)
    assert tf_febm.__version__ == in_setup
    log, citation = ((project / name).read_text() for name in ("CHANGELOG.md", "CITATION.cff"))
    newest = log[log.index("\n## [") :]
    dated = newest.startswith(f"\n## [{in_setup}] - 20")
    assert dated or newest.startswith(f"\n## [Unreleased]\n\nThis will be version {in_setup}.\n")
    assert f"\nversion: {in_setup}\n" in citation and ("date-released" in citation) == dated
    headings = re.findall(r"^## \[(.*?)\]|^### (.*)", newest, re.MULTILINE)
    assert headings[1:5] == [("", name) for name in ("Added", "Changed", "Removed", "Fixed")]
    assert metadata.version("tf_febm") == in_setup


def test_its_types_are_announced():
    assert (Path(tf_febm.__file__).parent / "py.typed").is_file()


@pytest.mark.slow
def test_importing_loads_nothing_slow_and_fitting_needs_no_extra(project, tmp_path):
    """Beside TensorFlow and Keras, which every user of it needs."""
    given = [str(tmp_path / "model.keras"), str(project / "docs")]
    result = subprocess.run(
        [sys.executable, "-c", IMPORTS, *given], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr[-2000:]
    loaded, errors = json.loads(result.stdout.splitlines()[-1])
    loaded = set(loaded)
    assert [re.findall(r"needs (.*), of the extra run,", error) for error in errors] == [
        ["matplotlib"], ["tensorboard"], ["pillow"], ["pillow, matplotlib, tensorboard"]
    ]  # fmt: skip
    assert "tf_febm" in loaded
    slow = {
        "IPython", "matplotlib", "onnx", "onnxruntime", "pandas", "sklearn", "tensorflow_datasets",
        "tensorflow_probability", "tf2onnx", "tf_keras",
    }  # fmt: skip
    assert not loaded & slow
