"""The notebooks run from top to bottom, with fewer steps."""

import json
import os

import pytest

PARAMETERS = {
    "one_dimension": "steps = 20",
    "digits": "steps = 10",
    "anomaly_scores": "epochs = 3",
    "own_pictures": "steps = 4",
}


def test_every_notebook_has_a_row(project):
    found = {path.stem for path in (project / "docs" / "notebooks").glob("*.ipynb")}
    assert found == PARAMETERS.keys()


@pytest.mark.parametrize("name", PARAMETERS)
def test_what_is_stored(project, name):
    """A reader sees every figure, and nothing of the machine that drew it."""
    path = project / "docs" / "notebooks" / f"{name}.ipynb"
    assert path.stat().st_size < 300_000
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert all(output.get("name") != "stderr" for output in outputs)
    assert "/tmp/" not in json.dumps(outputs)
    figures = sum("Image.fromarray" in "".join(cell["source"]) for cell in code)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == figures > 0


@pytest.fixture(scope="module")
def kernel(project, tmp_path_factory):
    """Return one kernel for all notebooks, as each would import TensorFlow anew."""
    manager = pytest.importorskip("jupyter_client.manager", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    path = f"{project}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    kernel, client = manager.start_new_kernel(
        kernel_name="python3", env={**os.environ, "PYTHONPATH": path},
        cwd=str(tmp_path_factory.mktemp("notebooks")),
    )  # fmt: skip
    yield kernel
    client.stop_channels()
    kernel.shutdown_kernel(now=True)


# Fits of images relative to a Gaussian are compiled for half a minute.
LONG = {"own_pictures": pytest.mark.thorough}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=LONG.get(name, ())) for name in PARAMETERS]
)
def test_notebook(project, name, kernel):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    book = nbformat.read(project / "docs" / "notebooks" / f"{name}.ipynb", as_version=4)
    (cell,) = [c for c in book.cells if "parameters" in c.metadata.get("tags", [])]
    assert cell.source.split("=")[0] == PARAMETERS[name].split("=")[0]
    cell.source = PARAMETERS[name]
    # No name of another notebook is there for this one.
    book.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    # An error in any cell is raised here.
    client = nbclient.NotebookClient(book, km=kernel, timeout=300)
    client.execute()
    outputs = [o for c in book.cells if c.cell_type == "code" for o in c.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
