"""Imports inside the package: no circle between modules, and no arrow that runs up.

Imports inside functions count too. What `tf_febm.catalogue` names in strings is loaded by whoever
asks for it, and is no import of the table.
"""

import ast
import graphlib
import pathlib
import sys

import pytest

import tf_febm

# Modules and packages of tf_febm, from low to high: each imports from lower lines only.
LAYERS = (
    ("arguments",),
    ("catalogue", "compiled", "energies", "extras", "files", "optimizers",
     "original_names", "randomness", "rendezvous", "renamed", "terminal",
     "version"),
    ("untrusted_files",),
    ("parallel", "workers"),
    ("divergences", "entropy"),
    ("calibration", "objectives", "networks", "data"),
    ("samplers", "serving"),
    ("partition",),
    ("models",),
    ("compose",),
    ("evaluation",),
    ("applications", "legacy"),
    ("analysis",),
    ("training",),
    ("recipes",),
    ("pretrained", "sklearn"),
)  # fmt: skip
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}
# Module -> those that it imports nevertheless, with the reason.
ALLOWED: dict[str, set[str]] = {}


def sources() -> dict[str, str]:
    """Return the text of each module, by its dotted name."""
    root = pathlib.Path(tf_febm.__file__).parent
    found = {}
    for file in root.rglob("*.py"):
        parts = [root.name, *file.relative_to(root).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = file.read_text(encoding="utf-8")
    return found


def imports(texts: dict[str, str]) -> dict[str, set[str]]:
    """Return which of the modules each of them imports, by name or by `from package import it`."""
    found = {}
    for name, text in texts.items():
        wanted = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name}: imports are absolute"
                inside = {f"{node.module}.{alias.name}" for alias in node.names}
                wanted |= {place if place in texts else node.module for place in inside}
        found[name] = (wanted & texts.keys()) - ALLOWED.get(name, set())
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return modules that import one another, or nothing."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def arrows_up(graph: dict[str, set[str]]) -> list[str]:
    """Return the imports from a layer of the same height or above."""
    arrows = [(a, b, a.split(".")[1:2], b.split(".")[1:2]) for a in graph for b in graph[a]]
    return sorted(
        f"{a} -> {b}"
        for a, b, own, other in arrows
        # The package itself gathers all, and is gathered by none.
        if own and own != other and (not other or HEIGHT[own[0]] <= HEIGHT[other[0]])
    )


@pytest.fixture(scope="module")
def graph():
    return imports(sources())


def test_every_module_has_its_layer(graph):
    assert {name.split(".")[1] for name in graph if "." in name} <= HEIGHT.keys()


def test_no_circle(graph):
    assert circle(graph) == []


def test_no_arrow_runs_up(graph):
    assert arrows_up(graph) == []


def test_the_catalogue_is_read_before_tensorflow():
    tree = ast.parse(sources()["tf_febm.catalogue"])
    nodes = [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))]
    roots = {getattr(n, "module", None) or n.names[0].name for n in nodes}
    assert {root.split(".")[0] for root in roots} <= sys.stdlib_module_names


@pytest.mark.parametrize(
    ("low", "message"),
    [
        ("def f():\n    from tf_febm.models import base", "tf_febm.data.a -> tf_febm.models.base"),
        ("import tf_febm", "tf_febm.data.a -> tf_febm"),
        ("from tf_febm.networks import layers", "tf_febm.data.a -> tf_febm.networks.layers"),
    ],
)
def test_arrows_up_are_found(low, message):
    others = ("tf_febm", "tf_febm.models.base", "tf_febm.networks.layers")
    assert arrows_up(imports({"tf_febm.data.a": low, **dict.fromkeys(others, "")})) == [message]


def test_circles_are_found():
    texts = {
        "tf_febm.data": "from tf_febm.data.a import x",
        "tf_febm.data.a": "def f():\n    from tf_febm.data import y",
    }
    assert set(circle(imports(texts))) == set(texts)


def test_what_hands_out_the_tests_imports_nothing_slow(project):
    """With workers it is a process of its own, and they begin after it has its plugins."""
    for name in ("conftest", "small_models", "kept_kernels"):
        tree = ast.parse((project / "tests" / f"{name}.py").read_text(encoding="utf-8"))
        found = {alias.name for n in tree.body if isinstance(n, ast.Import) for alias in n.names}
        found |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
        known = {"gc", "os", "sys", "pathlib", "numpy", "pytest", "kept_kernels"}
        known |= {"random", "types", "weakref"}
        assert found <= known, name
