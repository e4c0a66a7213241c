"""What the pages say of flags, names and files is so."""

import ast
import importlib
import re
import runpy
import textwrap
from pathlib import Path

import evaluate
import pytest
import train_flags
from absl import flags

from tf_febm import original_names as tables
from tf_febm.divergences import base


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
        expected = {name for name, flag in tables.ORIGINAL.items() if bool(flag.refused) == refused}
        assert names_in(section(migrating, title)) == expected


def test_flags_that_mean_the_same_and_flags_of_another_name(migrating):
    text = section(migrating, "Flags that mean the same")
    assert set(re.findall(r"`(\w+)`", text)) - {"metrics"} == set(tables.SAME)
    text = section(migrating, "Flags that have another name")
    assert names_in(text) == set(tables.MAPPED)
    for name in (*tables.SAME, *tables.MAPPED):
        assert name in parsed(train_flags) and name not in tables.ORIGINAL, name


def test_flags_of_the_evaluation(migrating):
    text = section(migrating, "Evaluation").split("Defaults that differ:")[0]
    kinds = (
        tables.EVALUATION_SAME,
        tables.EVALUATION_MAPPED,
        tables.EVALUATION_OF_THE_RUN,
        tables.EVALUATION_ORIGINAL,
    )
    assert names_in(text) == {name for table in kinds for name in table}
    refused = next(line for line in text.splitlines() if "refused, unless at their default" in line)
    expected = {n for n, flag in tables.EVALUATION_ORIGINAL.items() if flag.refused}
    assert names_in(refused) == expected


def parsed(program, *arguments):
    """Return the flags of a program, as a line gives them."""
    values = flags.FlagValues()
    program.define(values)
    values(["program", *arguments])
    return values


def published(text):
    """Return the flags in the last column of tables of defaults, a list for each row."""
    rows = (line.strip("|").split("|") for line in text.splitlines() if line.startswith("|"))
    rows = [cells for cells in rows if len(cells) == 4 and "---" not in cells[0]]
    found = [re.findall(r"--[^ `]+", cells[3]) for cells in rows[1:]]
    assert found and all(found), rows
    return found


@pytest.mark.parametrize(
    ("title", "line"),
    [
        ("Defaults that differ", ["--exp=a", "--dataset=svhn"]),
        ("Bidirectional bounds", ["--exp=a", "--dataset=svhn", "--method=bidirectional"]),
    ],
)
def test_published_settings_of_training_change_what_is_trained(migrating, title, line):
    def asked(*flags):
        plan = train_flags.resolve(parsed(train_flags, *line, *flags), accelerator=True)
        return plan.recipe, plan.source, plan.exp, parsed(train_flags, *flags).logdir

    rows = published(section(migrating, title))
    for row in rows:
        assert asked(*row) != asked(), row
    # One run can have them all, but for the buffer, which must be there to have settings.
    asked(*(flag for row in rows for flag in row if flag != "--noreplay_batch"))


def test_the_recipe_of_the_published_bounds_is_what_its_table_says(migrating):
    line = ["--exp=a", "--dataset=cifar10", "--method=bidirectional"]
    rows = published(section(migrating, "Bidirectional bounds"))
    usual, by_hand, recipe = (
        train_flags.resolve(parsed(train_flags, *line, *more), accelerator=True).recipe.as_dict()
        for more in ([], [f for row in rows for f in row], ["--recipe=bounds_paper"])
    )
    changed = {name for name in recipe if recipe[name] != usual[name]} - {"name", "why"}
    assert changed == {name for name in recipe if by_hand[name] != usual[name]}
    assert {name: by_hand[name] for name in changed} == {name: recipe[name] for name in changed}


def test_published_settings_of_the_evaluation_change_what_is_done(migrating):
    usual = parsed(evaluate)
    for row in published(section(migrating, "Evaluation").split("Defaults that differ:")[1]):
        for flag in row:
            name = re.match(r"--(no(?=averaged))?(\w+)", flag)[2]
            assert parsed(evaluate, flag)[name].value != usual[name].value, flag


def test_every_flag_on_the_page_exists(migrating):
    known = {*parsed(train_flags), *parsed(evaluate)}
    named = re.findall(r"--(\w+)", migrating)
    assert len(named) > 100
    # A switch may be given as off.
    assert not {name for name in named if name not in known and name[2:] not in known}


def test_published_widths_are_those_without_the_flag(migrating):
    row = next(line for line in migrating.splitlines() if line.startswith("| `num_filters`"))
    assert "128 and for `wider_model` 256" in row
    line = ["--exp=a", "--dataset=cifar10"]
    for network, filters in (("", 128), ("large", 128), ("larger", 128), ("wider", 256)):
        switch = [f"--{network}_model"] if network else []
        values = parsed(train_flags, *line, *switch)
        recipe = train_flags.resolve(values, accelerator=True).recipe
        default = train_flags.catalogue.NETWORKS[recipe.network].default_width
        assert (default if recipe.width is None else recipe.width) == filters


def test_published_command_lines_on_the_page_parse(migrating):
    block = re.search(r"```bash\n(.*?)```", migrating, re.DOTALL)[1].replace("\\\n", " ")
    train, evaluation = (line.split()[2:] for line in block.splitlines())
    assert train_flags.resolve(parsed(train_flags, *train)).recipe.conditional
    assert parsed(evaluate, *evaluation).num_samples == 50_000


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
    "tf_febm.pretrained",
    "tf_febm.recipes",
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


def test_lines_of_code_fit(pages):
    """In the width that the site gives them, and in most windows."""
    for path, text in pages.items():
        for block in re.findall(r"^ *```\w*\n(.*?)^ *```", text, flags=re.DOTALL | re.M):
            assert not [line for line in block.splitlines() if len(line) > 100], path


# Each trains for a few steps. A generator of fewer couplings is a map of the same kind, and the
# program of rejection needs a ratio that has been learnt for some samples to be accepted.
SHORTER = (
    (r"epochs=1\b(, steps_per_epoch=[\w.]+)?", "epochs=1, steps_per_epoch=2"),
    (r"epochs=10\b", "epochs=1, steps_per_epoch=2"),
    (r"\bsteps=200\b", "steps=2"),
    (r"epochs=15\b", "epochs=3"),
    (r"epochs=20\b", "epochs=3"),
    (r"generator_coupling\(2, 2\)", "generator_coupling(2, 2, num_layers=2)"),
)
# Blocks that import what they use.
PROGRAMS = {
    f"{page.stem}_{i}": block
    for page in sorted((Path(__file__).resolve().parents[2] / "docs").rglob("*.md"))
    for i, block in enumerate(
        re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    )
    if block.startswith("import ") and "path/to" not in block and "cachedir" not in block
}


@pytest.mark.usefixtures("no_curves")
@pytest.mark.parametrize("name", PROGRAMS)
def test_whole_programs_run(name, tmp_path, monkeypatch):
    """As programs of their own, but that TensorFlow is here already."""
    program = PROGRAMS[name]
    for pattern, shorter in SHORTER:
        program = re.sub(pattern, shorter, program)
    assert not re.search(r"epochs=(?!1, |3\b)", program), "add to SHORTER what the program trains"
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    # What one registers is not there for others.
    for registry in ("_REGISTRY", "_ALIASES"):
        monkeypatch.setattr(base, registry, dict(getattr(base, registry)))
    runpy.run_path("program.py", run_name="__main__")


def test_there_are_whole_programs():
    """Of every kind of page that shows how to train."""
    assert len(PROGRAMS) >= 10
    assert all(any(re.search(pattern, p) for p in PROGRAMS.values()) for pattern, _ in SHORTER)
