"""The notebooks run from top to bottom, with fewer steps."""

import json
import os

import pytest

PARAMETERS = {"one_dimension": "steps = 20", "digits": "steps = 10", "anomaly_scores": "epochs = 3"}


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


@pytest.mark.slow
@pytest.mark.parametrize("name", PARAMETERS)
def test_notebook(project, name, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    monkeypatch.setenv("PYTHONPATH", f"{project}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    book = nbformat.read(project / "docs" / "notebooks" / f"{name}.ipynb", as_version=4)
    (cell,) = [c for c in book.cells if "parameters" in c.metadata.get("tags", [])]
    assert cell.source.split("=")[0] == PARAMETERS[name].split("=")[0]
    cell.source = PARAMETERS[name]
    # An error in any cell is raised here.
    nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [o for c in book.cells if c.cell_type == "code" for o in c.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
