"""What the pages say of flags, names and files is so."""

import ast
import importlib
import re
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
