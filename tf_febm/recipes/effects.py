"""Settings of a recipe without effect beside the others.

No setting is silently without effect. One that is given and can have none is refused in one line;
where it says no more than what is done anyway, a line says so.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tf_febm import arguments, catalogue

__all__ = ["Rule", "check", "has_effect", "has_noisy_level", "refuse_vain"]


class Rule(NamedTuple):
    """A condition under which settings of a recipe, or flags of a launcher, have an effect.

    Attributes:
        holds: What is known, of a recipe (recipe, kind of data or None) -> whether it is met, or
            None if that is not known yet.
        needs: What the setting is for, as "X is for …" reads.
        found: Of the same -> what there is instead, or nothing.
        cure: What to do.
    """

    holds: Callable[..., bool | None]
    needs: str
    found: Callable[..., str] = lambda *known: ""
    cure: str = "leave it out"


def refuse_vain(
    given: Iterable[tuple[str, str, Callable[[Rule], bool]]],
    rules: Mapping[str, Iterable[Rule]],
    *known: Any,
) -> list[str]:
    """Return a line for each setting that was given, has no effect, and does no harm.

    Args:
        given: (name, how it was given, whether it does no harm where a rule is not met) of each.
        rules: Name -> the rules of a setting, of which the first that is not met is told.
        *known: What the rules ask for.

    Raises:
        ValueError: A setting was given that has no effect and says something else than what is
            done.
    """
    lines = []
    for name, as_given, harmless in given:
        rule = _broken(rules.get(name, ()), *known)
        if rule is None:
            continue
        instead = rule.found(*known)
        about = f"is for {rule.needs}" + (f", not {instead}" if instead else "")
        if not harmless(rule):
            raise ValueError(f"{as_given} {about}: {rule.cure}.")
        lines.append(f"{as_given} has no effect: it {about}.")
    return lines


def _broken(rules: Iterable[Rule], *known: Any) -> Rule | None:
    """Return the first rule that is not met."""
    return next((rule for rule in rules if rule.holds(*known) is False), None)


def _one_of(field: str, values: Collection[str]) -> Rule:
    """Return the rule that a field is one of some values."""
    return Rule(
        lambda recipe, kind: getattr(recipe, field) in values,
        f"{field}={' or '.join(values)}",
        lambda recipe, kind: getattr(recipe, field),
    )


def _above_zero(field: str) -> Rule:
    return Rule(lambda recipe, kind: bool(getattr(recipe, field)), f"{field} above 0")


def _of_kind(wanted: str) -> Rule:
    return Rule(
        lambda recipe, kind: None if kind is None else kind == wanted,
        wanted,
        lambda recipe, kind: f"for {kind}",
    )


_IMAGES, _VECTORS = _of_kind("images"), _of_kind("vectors")
_MOVING = Rule(
    lambda recipe, kind: recipe.num_steps > 0 or recipe.final_steps > 0,
    "chains of one step or more",
    cure="give num_steps or final_steps above 0, or leave it out",
)
_NO_EPSILON = Rule(
    lambda recipe, kind: recipe.epsilon is None,
    "steps that epsilon does not set",
    lambda recipe, kind: f"epsilon={recipe.epsilon}",
)
# Without a step size, every sampler's steps follow from the noise.
_NOISE = Rule(
    lambda recipe, kind: (
        recipe.step_size is None or "noise_scale" in catalogue.SAMPLERS[recipe.sampler].settings
    ),
    "sampler="
    + " or ".join(n for n, entry in catalogue.SAMPLERS.items() if "noise_scale" in entry.settings),
    lambda recipe, kind: f"{recipe.sampler} with step_size={recipe.step_size}",
    cure="leave one of the two out",
)
_BUFFER = Rule(
    lambda recipe, kind: recipe.chains == "replay",
    "the replay buffer, chains=replay",
    lambda recipe, kind: recipe.chains,
)
_PAST = Rule(
    lambda recipe, kind: recipe.conditional and recipe.chains != "fresh",
    "chains with labels and a past",
    cure="set conditional=True and chains=replay or persistent, or leave it out",
)
_CLASSES = Rule(
    lambda recipe, kind: recipe.conditional,
    "models with labels",
    cure="set conditional=True, or leave it out",
)
_PENALTY = Rule(
    lambda recipe, kind: recipe.penalty is not None,
    "penalty=latent or data",
    lambda recipe, kind: "none",
)
_NOISED = Rule(
    lambda recipe, kind: recipe.method != "score_matching" or recipe.kind == "denoising",
    "kind=denoising",
    lambda recipe, kind: recipe.kind,
)
_ITERATED = Rule(
    lambda recipe, kind: (
        recipe.entropy == "smallest_singular_value"
        # As in BidirectionalEBM.
        or (recipe.entropy == "auto" and recipe.latent_dim > 32)
    ),
    "entropy=smallest_singular_value",
    lambda recipe, kind: f"{recipe.entropy} with {recipe.latent_dim} latent variables",
)


def _made_for(table: Mapping[str, Any], field: str, own: str, other: str) -> Rule:
    """Return the rule that what is made for one kind of data has no data of the other."""
    return Rule(
        lambda recipe, kind: (
            None if kind is None else (table[getattr(recipe, field)].kind, kind) != (own, other)
        ),
        own,
        lambda recipe, kind: f"for {other}",
    )


def _takes(table: Mapping[str, Any], field: str, setting: str) -> Rule:
    """Return the rule that what a field names in the catalogue takes a setting."""
    return _one_of(field, [name for name, entry in table.items() if setting in entry.settings])


def has_noisy_level(recipe: arguments.RecipeLike) -> bool:
    """Return whether the level of the data has noise by itself; see `models.ReferenceLevels`."""
    return catalogue.METHODS[recipe.method].noisier and recipe.reference is not None


def _rules() -> Iterator[tuple[str, Rule]]:
    """Yield (setting, rule) for all settings that do not always have an effect."""
    methods, samplers = catalogue.METHODS, catalogue.SAMPLERS
    for table, field in ((methods, "method"), (samplers, "sampler")):
        for setting in {s: None for entry in table.values() for s in entry.settings}:
            if any(setting not in entry.settings for entry in table.values()):
                noise = setting == "noise_scale"
                yield setting, _NOISE if noise else _takes(table, field, setting)
    for player in ("variational", "generator"):
        rule = _one_of("method", [name for name, m in methods.items() if player in m.players])
        yield f"{player}_learning_rate_ratio", rule
        if player == "generator":
            yield from ((name, rule) for name in ("generator", "generator_batch_norm"))
    chains = _one_of("method", [name for name, m in methods.items() if m.chains])
    whole = _one_of("method", [name for name, m in methods.items() if not m.noisier])
    yield from ((name, whole) for name in ("leave_one_out", "warmup_steps"))
    yield "conditional", _one_of("method", [n for n, m in methods.items() if m.chains or m.noisier])
    moves = ("buffer_replacement", "buffer_flip", "buffer_crop")
    for name in ("chains", "num_parallel", "buffer_capacity", "buffer_storage", *moves):
        yield name, chains
    yield from ((name, chains) for name in ("restart_probability", "match_labels"))
    yield "match_labels", _PAST
    for name in ("class_weight_coeff", "label_dropout", "guidance"):
        yield name, _CLASSES
    for name in ("buffer_capacity", "buffer_storage", *moves, "restart_probability"):
        yield name, _BUFFER
    of_steps = {s: None for entry in samplers.values() for s in entry.settings}
    for name in ("step_size", "epsilon", "chain_dtype", *of_steps):
        yield name, _MOVING
    yield from ((name, _NO_EPSILON) for name in ("step_size", "noise_scale"))
    yield "target_acceptance", _above_zero("burn_in")
    yield "warmup_steps", _above_zero("l2_coeff")
    yield (
        "denoise_samples",
        Rule(
            lambda recipe, kind: recipe.data_noise > 0.0 or has_noisy_level(recipe),
            "data_noise above 0, or methods of levels of noise with a reference",
        ),
    )
    images = ("random_flip", "random_crop", "use_attention", "denoise_samples", *moves[1:])
    yield from ((name, _IMAGES) for name in images)
    yield from ((name, _VECTORS) for name in ("confinement", "frequency"))
    networks, generators = catalogue.NETWORKS, catalogue.GENERATORS
    yield "network", _made_for(networks, "network", "images", "vectors")
    yield "network", _made_for(networks, "network", "vectors", "images")
    yield "generator", _made_for(generators, "generator", "images", "vectors")
    for name in ("use_attention", "frequency"):
        yield name, _one_of("network", [n for n, row in networks.items() if name in row.options])
    yield "confinement", _one_of("network", [n for n, row in networks.items() if row.standardised])
    normed = [n for n, row in generators.items() if "batch_norm" in row.options]
    yield "generator_batch_norm", _one_of("generator", normed)
    yield "max_rollbacks", Rule(lambda recipe, kind: recipe.guard, "guard=True")
    yield (
        "best_mode",
        Rule(lambda recipe, kind: recipe.best_metric is not None, "runs with a best_metric"),
    )
    yield from ((name, _PENALTY) for name in ("penalty_weight", "penalty_threshold"))
    # Of max(0, w·GP − τ) nothing is left without w.
    yield "penalty_threshold", _above_zero("penalty_weight")
    yield "entropy_iterations", _ITERATED
    yield "noise_stddev", _NOISED


RULES: dict[str, list[Rule]] = {}
for _name, _rule in _rules():
    RULES.setdefault(_name, []).append(_rule)

# Values that ask for nothing: said in vain, they do no harm.
_OFF: dict[str, tuple] = {
    **dict.fromkeys(
        ("confinement", "burn_in", "random_crop", "buffer_crop", "penalty_threshold"), (0,)
    ),
    **dict.fromkeys(("epsilon", "grad_clip", "grad_clip_norm"), (None,)),
    **dict.fromkeys(("schedule", "noise_schedule"), (None, "constant")),
    "chains": ("fresh",),
    "chain_dtype": ("float32",),
    "num_parallel": (1,),
    "buffer_storage": ("auto",),
    "buffer_replacement": ("oldest",),
    **dict.fromkeys(
        (
            *("conditional", "shift_invariant", "random_flip", "buffer_flip", "use_attention"),
            *("generator_batch_norm", "denoise_samples"),
        ),
        (False,),
    ),
}


def check(
    recipe: arguments.RecipeLike,
    given: Mapping[str, Any],
    kind: str | None = None,
    tolerated: Collection[str] = (),
) -> list[str]:
    """Return a line for each setting that was given, has no effect, and does no harm.

    Args:
        recipe: A `Recipe`, with what was given.
        given: Settings that somebody chose, field -> value.
        kind: "images" or "vectors", what the data are, or None if that is not known yet.
        tolerated: Settings that are told of, whatever their value, and not refused.

    Raises:
        ValueError: A setting was given that has no effect and says something else than what is
            done.
    """

    def harmless(name, value):
        return lambda rule: value in _OFF.get(name, ()) or name in tolerated

    settings = ((name, f"{name}={value}", harmless(name, value)) for name, value in given.items())
    return refuse_vain(settings, RULES, recipe, kind)


def has_effect(name: str, recipe: arguments.RecipeLike, kind: str | None = None) -> bool:
    """Return whether a setting has an effect, as far as is known."""
    return _broken(RULES.get(name, ()), recipe, kind) is None
