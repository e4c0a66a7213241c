"""The flags of train.py: one for each setting of a recipe, in names and units of the original."""

import contextlib
import re
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

import console
import original_flags
from absl import flags
from effects import as_given

with console.without_tensorflow():
    from tf_febm import catalogue, original_names
    from tf_febm.original_names import stands_for
    from tf_febm.recipes import choosing, ranges
    from tf_febm.recipes import recipe as recipes

# Settings whose flags have texts or values of their own.
_BY_HAND = ("name", "why", "chains", "grad_clip_norm")
# The first settings of the groups in which --help shows them.
_FIRST_OF_GROUPS = {
    "steps": "Training",
    "sampler": "Chains",
    "reference": "Networks",
    "generator": "Bidirectional bounds",
    "gamma": "Other objectives",
    "seed": "Output and start",
}
_ANSWERS = ("auto", "yes", "no")
# Flags that are for some values of --strategy alone.
_NEEDS = {"num_replicas": "mirrored", "wait_seconds": "multi_worker"}


class Plan(NamedTuple):
    """What a command line asks for.

    Attributes:
        recipe: A `Recipe`.
        source: Arguments of `data.Source`.
        exp: Name of the run.
        chosen: Settings of the recipe that flags set, field -> value.
        notes: Lines about flags without effect.
    """

    recipe: recipes.Recipe
    source: dict[str, Any]
    exp: str
    chosen: dict[str, Any]
    notes: list[str]


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    add = console.definers(values, "Data")
    known = [name for name in catalogue.DATASETS if name != "tfds"]
    add.names("dataset", "digits", [*known, "tfds:NAME"], "Data set; see data.load.")
    add.text("data_dir", None, "Local folder or file of the data set.")
    add.whole("image_size", None, "Side of the images of celeba and folder.", 1)
    asks = "auto asks where that is not clear."
    add.choice("table_header", "auto", _ANSWERS, f"Whether a csv's first line holds names; {asks}")
    add.choice("table_index", "auto", ("auto", "drop", "keep"), f"A csv's row numbers; {asks}")
    add.text("label_column", None, "A csv's column with the class of each row, by name.")
    add.text("drop_columns", None, "A csv's columns to leave out, by name, with commas between.")
    add.text("label_attribute", None, "celeba's attribute that is the class; see data.load.")
    add.whole("shuffle_buffer", None, "Examples in memory of data that are not; see data.load.", 1)
    parts = ("auto", "splits", "classes")
    what = f"What the sub-folders of a folder of images are; {asks}"
    add.choice("subfolders", "auto", parts, what)
    add.whole("max_pixels", None, "Largest number of pixels of a picture; see data.load.", 1)
    add.real("max_gib", None, "GiB of memory that what a file holds may take; see data.load.", 0)
    add.whole("max_depth", None, "How many folders may lie in one another; see data.load.", 1)
    add = console.definers(values, "Model")
    start = "Settings to start from, the preset; auto is chosen by data and machine."
    add.choice("recipe", "auto", ["auto", *choosing.names()], start)
    add.alias("preset", "recipe")
    # The settings of the recipe; what is not given is the recipe's.
    texts, types = recipes.field_texts(), typing.get_type_hints(recipes.Recipe)
    group = "Model"
    for field, kind in types.items():
        group = _FIRST_OF_GROUPS.get(field, group)
        if field not in _BY_HAND:
            _define(field, typing.get_args(kind) or (kind,), texts[field], values, group)
    add = console.definers(values, "Chains", "preset")
    add.choice("proj_norm_type", None, ["li", "l2"], "Bound each coordinate or the norm.")
    add.switch("replay_batch", None, "Start chains in a replay buffer.")
    add.switch("pcd", None, "As many chains as --batch_size, each of which goes on where it ended.")
    # Where it goes, and how it starts.
    add = console.definers(values, "Output and start")
    add.text("logdir", "runs", "Folder of all runs.")
    add.text("exp", None, "Name of the run; <dataset>_<method>_<divergence> if unset.")
    add.switch("suffix_exp", False, "Add _<divergence> to --exp, as the original.")
    add.whole("resume_iter", -1, "Checkpoint to take; -1 is the newest.")
    add.text("init_from", None, "Folder of a finished run, of any method, to begin with.")
    add.switch("init_chains", False, "Begin with the chains of --init_from's replay buffer, too.")
    add.switch("overwrite", False, "Remove an earlier run of this name.")
    add.switch("dry_run", False, "Print the plan and stop.")
    add.switch("yes", False, "Train even if that is going to take more than a day.")
    add.switch("debug", False, "Show tracebacks of errors.")
    places = "One device; all GPUs of this machine; or all of the machines in TF_CONFIG."
    add.choice("strategy", "default", ("default", "mirrored", "multi_worker"), places)
    add.whole("num_replicas", None, "GPUs of --strategy=mirrored, or logical CPUs.", 1)
    add.real("wait_seconds", 600.0, "How long --strategy=multi_worker waits for the others.", 0.0)
    add = console.definers(values, original_flags.TITLE)
    for name in original_names.SWITCHES:
        add.switch(name, False, f"The same as {stands_for(name)}.")
    original_flags.define_table(original_flags.ORIGINAL, values)


def _define(field: str, kinds: tuple, text: str, values: flags.FlagValues, group: str) -> None:
    """Register the flag of a setting."""
    name, add = original_names.FLAGS.get(field, field), console.definers(values, group, "preset")
    if field in ranges.CHOICES:
        choices = ["none" if choice is None else choice for choice in ranges.CHOICES[field]]
        add.choice(name, None, choices, text)
    elif bool in kinds:
        add.switch(name, None, text)
    elif int in kinds:
        add.whole(name, None, text, ranges.LEAST.get(field, 0))
    else:
        (add.real if float in kinds else add.text)(name, None, text)


def resolve(values: flags.FlagValues, accelerator: bool = False) -> Plan:
    """Return what the flags ask for.

    Args:
        values: The parsed flags.
        accelerator: Whether the machine has one.

    Raises:
        ValueError: A value cannot be used, or flags contradict each other or have no effect.
    """
    given = {
        flag.name: flag.value
        for flag in {id(values[name]): values[name] for name in values}.values()
        if flag.present and flag.value is not None
    }
    start = _start(values, accelerator)
    settings = {name: value for name, value in given.items() if _is_setting(name)}
    settings |= _shorthands(values, given)
    chosen = original_names.fields_of(settings)
    chosen |= _bounds_of_gradients(given, start, chosen)
    with in_flags(values):
        # They stand in lines of the original, and do nothing there.
        tolerated = {"grad_clip", "grad_clip_norm"} if values.hmc else set()
        if values.hmc:
            chosen.pop("noise_scale", None)
        recipe = start.changed({k: v for k, v in chosen.items() if k not in tolerated})
        kind = catalogue.dataset(values.dataset).kind
        kind = "vectors" if kind == "plane" else kind
        notes = recipe.without_effect(chosen, kind, tolerated)
        told = {note.partition("=")[0] for note in notes}
        notes += _of_the_command_line(values, recipe, start, kind)
    chosen = {name: value for name, value in chosen.items() if name not in told}
    notes += original_flags.check(values)
    return Plan(
        recipe,
        original_names.source_of({name: values[name].value for name in original_names.SOURCES}),
        _name_of_the_run(values, recipe),
        chosen,
        [translated(note, values) for note in notes],
    )


def _is_setting(name: str) -> bool:
    return (
        original_names.FIELDS.get(name, name) in typing.get_type_hints(recipes.Recipe)
        or name in ("replay_batch", "pcd", "proj_norm_type")
    ) and name not in ("name", "why")


def other_recipe(values: flags.FlagValues, plan: Plan) -> str | None:
    """Return the recipe of a machine with an accelerator, if it is another and none is given."""
    if values.recipe != "auto":
        return None
    name = for_data(values, plan.recipe.method, accelerator=True).name
    return None if name == plan.recipe.name else name


def for_data(values, method: str, accelerator: bool = False) -> recipes.Recipe:
    """Return the recipe of the data; see `recipes.for_dataset`."""
    return choosing.for_dataset(values.dataset, method, accelerator, values.data_dir)


def _start(values, accelerator: bool) -> recipes.Recipe:
    """Return the recipe that the flags change."""
    method = values.method or "febm"
    if values.recipe == "auto":
        return for_data(values, method, accelerator)
    found = choosing.get(values.recipe)
    if found.name == "bounds_paper" and catalogue.dataset(values.dataset).kind == "plane":
        found = choosing.get("bounds_paper_plane")
    # A recipe of a method's own.
    if values.method and catalogue.METHODS[found.method].recipes and found.method != method:
        need = f"--recipe={found.name} is for --method={found.method}"
        raise ValueError(f"{need}, not {values.method}: give another recipe.")
    return found


def _shorthands(values, given: dict) -> dict[str, Any]:
    """Return the settings that switches of the original stand for.

    Raises:
        ValueError: Another flag says otherwise.
    """
    found: dict[str, Any] = {}
    switched = {name: row for name, row in original_names.SWITCHES.items() if values[name].value}
    models = [f"--{name}" for name, row in switched.items() if "network" in row]
    if len(models) > 1:
        raise ValueError(f"{' and '.join(models)} exclude each other: each is a network.")
    for switch, settings in switched.items():
        for name, value in settings.items():
            if given.get(name, value) != value:
                several = len(settings) > 1
                what = f"--{switch} is {stands_for(switch)}: it" if several else f"--{switch}"
                raise ValueError(f"{what} and {as_given(values[name])} exclude each other.")
        found |= settings
    return found


def _bounds_of_gradients(given: dict, start: recipes.Recipe, chosen: dict) -> dict[str, Any]:
    """Return the setting that --proj_norm_type names, with the recipe's bound if none is given."""
    kind = given.get("proj_norm_type")
    if kind is None:
        return {}
    present = start.grad_clip if start.grad_clip_norm is None else start.grad_clip_norm
    bound = original_names.fields_of({"proj_norm": given.get("proj_norm", present)})["grad_clip"]
    if bound is None:
        raise ValueError(
            f"--proj_norm_type={kind} is for chains with --proj_norm above 0: leave it out."
        )
    chosen.pop("grad_clip", None)
    chosen.pop("grad_clip_norm", None)
    return {"grad_clip_norm" if kind == "l2" else "grad_clip": bound}


def _of_the_command_line(values, recipe, start, kind) -> list[str]:
    """Return lines about flags that are no settings; raise a ValueError as effects do."""
    notes = []
    of_vectors = start.confinement or start.best_metric == "held_out_gain"
    if values["recipe"].present and of_vectors and kind == "images":
        raise ValueError(f"recipe={values.recipe} is for vectors, not for images: leave it out.")
    for name, vain, needed in (
        ("replay_batch", values.pcd, "runs without --pcd, whose chains go on where they ended"),
        ("pcd", not (values.pcd or catalogue.METHODS[recipe.method].chains), "methods with chains"),
        ("noise_scale", values.hmc, "--sampler=langevin, not --hmc"),
        ("proj_norm_type", values.hmc, "--sampler=langevin, not hmc"),
    ):
        if values[name].present and vain:
            notes.append(f"{as_given(values[name])} has no effect: it is for {needed}.")
    for name, needed in original_names.ONLY_FOR.items():
        if values[name].present and values.dataset.partition(":")[0] not in needed:
            about = f"is for --dataset={' or '.join(needed)}, not {values.dataset}"
            if values[name].value != "auto":
                raise ValueError(f"--{name}={values[name].value} {about}: leave it out.")
            notes.append(f"--{name}=auto has no effect: it {about}.")
    if values["image_size"].present and kind == "vectors":
        raise ValueError(
            f"--image_size={values.image_size} is for images, not for vectors: leave it out."
        )
    if kind == "images" and not values.hmc:
        original_names.refuse_units(values.noise_scale)
    for name, strategy in _NEEDS.items():
        if values[name].present and values.strategy != strategy:
            about = f"is for --strategy={strategy}, not {values.strategy}"
            raise ValueError(f"--{name}={values[name].value} {about}: leave it out.")
    if recipe.network.startswith("resnet") and values["num_filters"].present:
        published = catalogue.NETWORKS[recipe.network].default_width
        if recipe.width != published:
            notes.append(
                f"--num_filters={recipe.width} is the width of {recipe.network} here; the "
                f"original, which does not use the flag, has {published}: leave it out for that."
            )
    return notes


def _name_of_the_run(values, recipe: recipes.Recipe) -> str:
    ending = f"_{recipe.divergence}".replace(":", "_")
    if values.suffix_exp:
        if not values.exp:
            raise ValueError("--suffix_exp needs --exp: the name by default has the divergence.")
        if "divergence" not in catalogue.METHODS[recipe.method].settings:
            raise ValueError(
                f"--suffix_exp is for --method=febm or dual, not {recipe.method}: leave it out."
            )
        return values.exp + ending
    name = values.exp
    if name is None:
        two = "divergence" in catalogue.METHODS[recipe.method].settings
        name = f"{values.dataset}_{recipe.method}".replace(":", "_") + (ending if two else "")
    if name in ("", ".", "..") or not re.fullmatch(r"[^/\\\x00-\x1f]+", name):
        raise ValueError(f"--exp must be the name of one folder; received {name!r}.")
    return name


def translated(text: str, values: flags.FlagValues) -> str:
    """Return a text about settings of a recipe as one about flags, as they were given."""
    first = re.match(r"(\w+)=\S+ ", text)
    if first and first[1] in _FIELDS:
        flag = _given_for(first[1], values)
        said = f"{first[0]}(of the recipe) " if flag is None else f"{as_given(flag)} "
        text = said + text[first.end() :]

    for chains, flag_of_these in _CHAINS.items():
        text = re.sub(rf"(?<![-\w])(chains={chains}\b|(?<=or ){chains}\b)", flag_of_these, text)

    def name(found: re.Match) -> str:
        flag = {"resume_step": "resume_iter", **original_names.FLAGS}.get(found[1], found[1])
        if found[2] in ("=True", "=False"):
            return f"--{'' if found[2] == '=True' else 'no'}{flag}"
        return f"--{flag}{found[2] or ''}"

    return _MENTIONED.sub(name, text)


def _given_for(field: str, values) -> flags.Flag | None:
    """Return the flag that set a field, if one did."""
    names = [original_names.FLAGS.get(field, field), *_ALSO.get(field, ())]
    names += [name for name, row in original_names.SWITCHES.items() if field in row]
    return next((values[name] for name in names if name in values and values[name].present), None)


@contextlib.contextmanager
def in_flags(values: flags.FlagValues) -> Iterator[None]:
    """Say errors about settings of a recipe in terms of flags."""
    try:
        yield
    except ValueError as error:
        raise ValueError(translated(str(error), values)) from error


# What stands for a setting that has no flag of its name.
_CHAINS = {"replay": "--replay_batch", "persistent": "--pcd", "fresh": "--noreplay_batch"}
# Flags that set a field beside the one of its name, and switches of the original.
_ALSO = {
    "chains": ("pcd", "replay_batch"),
    "grad_clip": ("proj_norm_type",),
    "grad_clip_norm": ("proj_norm", "proj_norm_type"),
}
_FIELDS = {*recipes.Recipe.__annotations__, "init_from", "init_chains", "resume_step"} - {"name"}
# A name with an underscore is no word of English; others are meant where a value is said of them.
_MENTIONED = re.compile(
    r"(?<![-\w/.])({}|(?:{})(?==| must))(=True\b|=False\b)?".format(
        "|".join(sorted((rf"{f}\b" for f in _FIELDS if "_" in f), key=len, reverse=True)),
        "|".join(f for f in (*_FIELDS, "recipe") if "_" not in f),
    )
)
