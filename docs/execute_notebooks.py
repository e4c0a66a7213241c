"""Run the notebooks from top to bottom and store what they show: `make notebooks`.

    python docs/execute_notebooks.py [name ...]

What a machine has to say of itself is left out: standard error, times, versions of the kernel.
"""

import sys
from pathlib import Path

import nbclient
import nbformat

FOLDER = Path(__file__).parent / "notebooks"


def execute(path: Path) -> None:
    """Run one notebook and write it back, whole or not at all."""
    book = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        book, timeout=None, kernel_name="python3", record_timing=False, resources={}
    ).execute()
    book.metadata.language_info = {"name": "python"}
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
            for output in cell.outputs:
                # Pillow shows its pictures in two formats.
                output.get("data", {}).pop("image/jpeg", None)
    temporary = path.with_suffix(".tmp")
    nbformat.write(book, temporary)
    temporary.replace(path)


def main() -> None:
    """Run those that are named, or all."""
    paths = [FOLDER / f"{name}.ipynb" for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb"))
    for path in paths:
        execute(path)
        print(f"{path.name}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
