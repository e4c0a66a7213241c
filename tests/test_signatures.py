"""Signatures of everything public: arguments are written out, results are annotated."""

import importlib
import inspect
import pkgutil
import re

import keras
import pytest

import tf_febm

# What passes on arguments that are not ours, and to whom.
OTHERS = {
    "Chains.sample": "the user's sampler",
    "Chains.sample_batch": "the user's sampler",
    "GeneratorModel.sample": "the user's sampler",
    "GeneratorModel.sample_batch": "the user's sampler",
    "Preconditioned.__call__": "the sampler inside",
    "FullPrecision.__init__": "keras.layers.Layer",
    "Fitting.evaluate": "keras.Model.evaluate, which has arguments for its own fit",
    "Recipe.replace": "the fields of a recipe, which are checked by name",
}


def callables():
    """Yield (name, function) of every public function and method of the package."""
    seen = set()
    for module in pkgutil.walk_packages(tf_febm.__path__, "tf_febm."):
        for name in getattr(importlib.import_module(module.name), "__all__", ()):
            found = getattr(importlib.import_module(module.name), name)
            if id(found) in seen or not getattr(found, "__module__", "").startswith("tf_febm"):
                continue
            seen.add(id(found))
            if not inspect.isclass(found):
                yield name, found
                continue
            for key, member in vars(found).items():
                if key.startswith("_") and key not in ("__init__", "__call__"):
                    continue
                member = getattr(member, "__func__", getattr(member, "fget", member))
                # A Keras layer's name and dtype are Keras' own arguments.
                layer = issubclass(found, keras.layers.Layer) and not issubclass(found, keras.Model)
                own = key != "__init__" or not layer
                if own and inspect.isfunction(member):
                    yield f"{name}.{key}", member


FUNCTIONS = {
    name: inspect.signature(inspect.unwrap(function))
    for name, function in callables()
    if inspect.isfunction(inspect.unwrap(function))
    and inspect.unwrap(function).__module__.startswith("tf_febm")
}


def test_the_walk_finds_what_is_public():
    assert len(FUNCTIONS) > 400
    assert {"FEBM.__init__", "train", "Sampler.__call__", "EnergyModel.energy"} <= set(FUNCTIONS)


def test_no_argument_is_hidden():
    hiding = {
        name
        for name, signature in FUNCTIONS.items()
        if any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    }
    assert hiding == set(OTHERS)


@pytest.mark.parametrize(
    "model",
    [
        *("FEBM", "DualFEBM", "ContrastiveDivergence", "BidirectionalEBM", "PseudoSpherical"),
        *("ScoreMatching", "EnergyDiscrepancy"),
    ],
)
def test_constructors_have_defaults(model):
    parameters = inspect.signature(getattr(tf_febm, model)).parameters
    networks = {"energy", "variational", "generator", "latent_dim"}
    required = {name for name, p in parameters.items() if p.default is p.empty}
    assert required <= networks
    assert len(parameters) > 8


def test_results_are_annotated():
    bare = [
        name
        for name, signature in FUNCTIONS.items()
        if signature.return_annotation is signature.empty and not name.endswith("__init__")
    ]
    assert bare == []


def test_arguments_are_annotated():
    """What an argument may be is in its annotation, and a kind of it in no table of names."""
    bare = [
        f"{name}({parameter.name})"
        for name, signature in FUNCTIONS.items()
        for parameter in signature.parameters.values()
        if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
    ]
    assert bare == []


def test_first_lines_of_modules_are_noun_phrases(project):
    """`Costs of a step`, not `What a step costs`; nobody is spoken to."""
    found = [
        f"{file.relative_to(project)}: {line}"
        for folder in ("tf_febm", "launch", "studies", "drills", "benchmarks")
        for file in (project / folder).rglob("*.py")
        if (line := file.read_text(encoding="utf-8").split("\n", 1)[0])
        if re.match(r'"""(What|How|Why|Where|When|Who|Whether)\b', line)
        or re.search(r"\b(you|your|yours|we|our)\b", line, re.IGNORECASE)
    ]
    assert found == []


def test_raises_sections_have_sentences(project):
    """`ValueError: An argument is out of its range.`, not `If …` or `On …`."""
    found = [
        f"{file.relative_to(project)}: {line.strip()}"
        for folder in ("tf_febm", "launch", "studies", "drills", "benchmarks", "examples")
        for file in (project / folder).rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if re.match(r" +\w+(Error|Warning): (If|On|When|In case) ", line)
    ]
    assert found == []
