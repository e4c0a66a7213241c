"""The notebooks run from top to bottom, with fewer steps."""

import json

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


def cells_of(project, name):
    """Return the code of a notebook, with fewer steps."""
    book = json.loads((project / "docs" / "notebooks" / f"{name}.ipynb").read_text("utf-8"))
    sources = []
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            if "parameters" in cell["metadata"].get("tags", []):
                assert source.split("=")[0] == PARAMETERS[name].split("=")[0]
                source = PARAMETERS[name]
            sources.append(source)
    assert PARAMETERS[name] in sources
    return sources


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Return what runs cells in a kernel, in this process, which has imported TensorFlow."""
    module = pytest.importorskip(
        "IPython.core.interactiveshell", reason="ipykernel is not installed"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    shell = module.InteractiveShell()
    yield shell
    shell.restore_sys_module_state()


@pytest.mark.slow
@pytest.mark.usefixtures("no_curves")
@pytest.mark.parametrize("name", PARAMETERS)
def test_notebook(project, name, shell):
    pictures = 0
    for source in cells_of(project, name):
        result = shell.run_cell(source)
        result.raise_error()
        shown, _ = shell.display_formatter.format(result.result)
        pictures += "image/png" in shown
    assert pictures > 0


@pytest.mark.slow
@pytest.mark.thorough
def test_in_a_kernel(project, tmp_path):
    """As readers run them, one of them."""
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(cell) for cell in cells_of(project, "digits")]
    # An error in any cell is raised here.
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in book.cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
