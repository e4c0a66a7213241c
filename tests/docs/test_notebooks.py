"""The notebooks run from top to bottom, with fewer steps."""

import os

import pytest

PARAMETERS = {"one_dimension": "steps = 20", "digits": "steps = 10", "anomaly_scores": "epochs = 3"}


def test_every_notebook_has_a_row(project):
    found = {path.stem for path in (project / "docs" / "notebooks").glob("*.ipynb")}
    assert found == PARAMETERS.keys()


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
