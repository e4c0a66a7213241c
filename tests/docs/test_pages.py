"""What the pages say of flags, names and files is so."""

import ast
import importlib
import os
import re
import subprocess
import sys
import textwrap

import original_flags
import pytest
import train_flags
from absl import flags
from original_flags import ORIGINAL


@pytest.fixture
def pages(project):
    return {path: path.read_text(encoding="utf-8") for path in (project / "docs").rglob("*.md")}


@pytest.fixture
def migrating(project):
    return (project / "docs" / "migrating.md").read_text(encoding="utf-8")


def section(text, title):
    return text.split(f"## {title}", 1)[1].split("\n## ", 1)[0]


def names_in(text):
    """Names in backticks at the beginnings of the rows of a table."""
    firsts = (line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    return {name for first in firsts for name in re.findall(r"`(\w+)`", first)}


def test_flags_that_do_nothing_and_flags_that_are_refused(migrating):
    for title, refused in (
        ("Flags that are accepted and do nothing", False),
        ("Flags that are refused, unless at their default", True),
    ):
        expected = {name for name, flag in ORIGINAL.items() if flag.refused == refused}
        assert names_in(section(migrating, title)) == expected


def test_flags_that_mean_the_same_exist(migrating):
    values = flags.FlagValues()
    train_flags.define(values)
    text = section(migrating, "Flags that mean the same")
    named = set(re.findall(r"`(\w+)`", text.split("|", 1)[0])) | names_in(text)
    assert len(named) > 15
    for name in named:
        assert name in values and name not in original_flags.ORIGINAL, name


def resolve(name):
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            found = getattr(found, part)
        return found
    raise AttributeError(name)


def test_everything_in_the_interface_exists(pages):
    names = {name for text in pages.values() for name in re.findall(r"^::: (\S+)", text, re.M)}
    assert len(names) > 50
    for name in names:
        assert resolve(name) is not None


# Rooms whose whole public surface stands in the interface; of others a page says what it wants.
ROOMS = (
    *("tf_febm", "tf_febm.analysis", "tf_febm.applications", "tf_febm.data", "tf_febm.divergences"),
    *("tf_febm.entropy", "tf_febm.evaluation", "tf_febm.legacy", "tf_febm.models"),
    *("tf_febm.networks", "tf_febm.objectives", "tf_febm.optimizers", "tf_febm.samplers"),
    "tf_febm.training",
)


def test_everything_public_is_in_the_interface(pages):
    listed = {
        id(resolve(name))
        for text in pages.values()
        for name in re.findall(r"^::: (\S+)", text, re.M)
    }
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in module.__all__:
            thing = getattr(module, name)
            if callable(thing):
                assert id(thing) in listed, f"{room}.{name}"


def test_every_page_is_in_the_navigation(project):
    nav = (project / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:", 1)[1]
    listed = re.findall(r": (\S+\.(?:md|ipynb))$", nav, re.M)
    docs = project / "docs"
    found = [str(p.relative_to(docs)) for end in ("md", "ipynb") for p in docs.rglob(f"*.{end}")]
    assert sorted(listed) == sorted(found)


def test_the_first_page_leads_to_every_other(project, pages):
    docs = project / "docs"
    links = re.findall(r"\]\(([^)#]+)", pages[docs / "index.md"])
    for page in pages:
        name = str(page.relative_to(docs))
        # The interface is one click from its first page.
        if name != "index.md" and not name.startswith("api/"):
            assert name in links


def test_names_of_the_library_in_the_text_exist(pages):
    rooms = "samplers|training|evaluation|networks|applications|analysis|divergences|legacy|data"
    for path, text in pages.items():
        for name in re.findall(rf"`(?:tf_febm\.)?((?:{rooms})\.\w+)[^`]*`", text):
            assert resolve(f"tf_febm.{name}") is not None, (path, name)


def test_links_and_pictures_exist(pages):
    for path, text in pages.items():
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#]+)", prose):
            assert target.startswith("http") or (path.parent / target).exists(), (path, target)


def test_code_is_python(pages):
    for path, text in pages.items():
        for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
            ast.parse(textwrap.dedent(block), str(path))


def test_whole_programs_run(pages, tmp_path):
    """Blocks that import what they use, each as a program of its own, in one process."""
    blocks = [
        textwrap.dedent(block)
        for text in pages.values()
        for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
        if block.startswith("import ") and "path/to" not in block and "cachedir" not in block
    ]
    assert len(blocks) >= 5
    for i, block in enumerate(blocks):
        (tmp_path / f"block_{i}.py").write_text(block, encoding="utf-8")
    program = "import runpy\n" + "\n".join(
        f"runpy.run_path('block_{i}.py')" for i in range(len(blocks))
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
