"""Which flags have an effect, and when: a table for each launcher, read once its flags are parsed.

No flag is silently without effect. One that is given and can have none is refused in one line;
where it says no more than what is done anyway, or is an original's that is harmless, a line says
so. A launcher calls `check` with what it knows: *facts*, mostly options by their names. What
depends on facts that are not known yet is judged when it is called again with more of them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from absl import flags

__all__ = [
    "ANOMALY_STUDY",
    "APPLY",
    "EVALUATE",
    "EXPORT",
    "MIXTURE",
    "TRAIN",
    "check",
    "check_names",
]

Facts = dict[str, Any]


class Rule(NamedTuple):
    """A condition under which a flag has an effect.

    Attributes:
        holds: Facts -> whether it is met; a KeyError says that it is not known yet.
        needs: What the flag is for, as "X is for …" reads.
        found: Facts -> what there is instead, or nothing.
        cure: What to do.
        harmless: Values of the flag that say what is done anyway where the rule does not hold.
        told: Facts -> whether the flag is told of, whatever its value, and not refused.
    """

    holds: Callable[[Facts], bool]
    needs: str
    found: Callable[[Facts], str] = lambda facts: ""
    cure: str = "leave it out"
    harmless: tuple = ()
    told: Callable[[Facts], bool] = lambda facts: False


def _is(name: str, *values: str) -> Rule:
    """Return the rule that an option is one of some values."""
    return Rule(
        lambda facts: facts[name] in values,
        f"--{name}={' or '.join(values)}",
        lambda facts: str(facts[name]),
    )


ALWAYS: tuple[Rule, ...] = ()

# --- train.py -------------------------------------------------------------------------------------

_TWO_PLAYERS = _is("method", "febm", "dual")
_CHAINS = _is("method", "febm", "dual", "contrastive_divergence")
_GENERATOR = _is("method", "bidirectional")
_IMAGES = Rule(lambda facts: facts["kind"] == "images", "images", lambda facts: "for vectors")
_VECTORS = Rule(lambda facts: facts["kind"] == "vectors", "vectors", lambda facts: "for images")
_TABLES = _is("dataset", "csv")._replace(harmless=("auto",))
_MOVING = Rule(
    lambda facts: facts["num_steps"] > 0 or facts["final_steps"] > 0,
    "chains of one step or more",
    cure="give --num_steps= or --final_steps= above 0, or leave it out",
)
_LANGEVIN = _is("sampler", "langevin")._replace(
    # Lines of the original have what Langevin dynamics alone has with --hmc too.
    told=lambda facts: facts["hmc"],
)
_METROPOLIS = _is("sampler", "mala", "hmc")
_ADAPTING = Rule(lambda facts: bool(facts["burn_in"]), "chains with --burn_in above 0")
_BOUND = Rule(lambda facts: bool(facts["proj_norm"]), "chains with --proj_norm above 0")
_NOT_PCD = Rule(
    lambda facts: not facts["pcd"],
    "runs without --pcd, whose chains go on where they ended",
    # Lines of the original may have both.
    told=lambda facts: True,
)
_BUFFER = Rule(
    lambda facts: facts["replay_batch"] and not facts["pcd"],
    "the replay buffer",
    lambda facts: "--pcd" if facts["pcd"] else "--noreplay_batch",
    harmless=("auto",),
)
_LABELS_OF_CHAINS = Rule(
    lambda facts: facts["cclass"] and (facts["replay_batch"] or facts["pcd"]),
    "chains with labels and a past",
    cure="give --cclass, and --replay_batch or --pcd, or leave it out",
)
_RESNETS = Rule(
    lambda facts: facts["network"].startswith("resnet"),
    "the resnets",
    lambda facts: f"for {facts['network']}",
)
_L2 = Rule(lambda facts: facts["l2_coeff"] > 0.0, "runs with --l2_coeff above 0")
_WELL = Rule(
    lambda facts: facts["network"] != "published_bounds",
    "the library's own networks",
    lambda facts: "published_bounds",
    harmless=(0.0,),
)
_PENALTY = Rule(
    lambda facts: facts["penalty"] != "none", "--penalty=latent or data", lambda facts: "none"
)
_WEIGHTED = Rule(
    # Of max(0, w·GP − τ) nothing is left without w.
    lambda facts: facts["penalty_weight"] > 0.0,
    "runs with --penalty_weight above 0",
    harmless=(0.0,),
)
_ITERATED = Rule(
    lambda facts: (
        facts["entropy"] == "smallest_singular_value"
        # As in tf_febm.BidirectionalEBM.
        or (facts["entropy"] == "auto" and facts["latent_dim"] > 32)
    ),
    "--entropy=smallest_singular_value",
    lambda facts: f"{facts['entropy']} with {facts['latent_dim']} latent variables",
)
_FOLDS = Rule(
    lambda facts: facts["generator"] != "monotone",
    "generators with hidden layers",
    lambda facts: "--generator=monotone",
)
# Presets whose networks and samplers are made for vectors.
_VECTOR_PRESETS = (
    *("vectors", "plane", "25gaussians", "8gaussians"),
    *("plane_bidirectional", "25gaussians_bidirectional"),
)
_PRESET_FITS = Rule(
    lambda facts: facts["preset"] not in _VECTOR_PRESETS or facts["kind"] == "vectors",
    "vectors",
    lambda facts: "for images",
)

TRAIN: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(
        (
            *("method", "dataset", "data_dir", "logdir", "exp", "resume_iter", "overwrite"),
            *("dry_run", "debug", "seed", "strategy", "steps", "batch_size", "lr", "lr_final"),
            *("beta_1", "beta_2", "adam_epsilon", "clip_gradients", "l2_coeff", "data_noise"),
            *("average_decay", "guard", "network", "num_filters", "log_interval"),
            *("sample_interval", "save_interval", "keep_checkpoints", "best_metric"),
            *("num_samples", "final_steps"),
            # Generators have a sampler too: it refines samples, and its chains are logged.
            *("sampler", "hmc", "num_steps"),
        ),
        ALWAYS,
    ),
    "preset": (_PRESET_FITS,),
    "image_size": (_IMAGES,),
    "subfolders": (_is("dataset", "folder")._replace(harmless=("auto",)),),
    **dict.fromkeys(("table_header", "table_index"), (_TABLES,)),
    "cclass": (_CHAINS,),
    "num_replicas": (_is("strategy", "mirrored"),),
    "best_mode": (
        Rule(lambda facts: facts["best_metric"] is not None, "runs with --best_metric="),
    ),
    "max_rollbacks": (Rule(lambda facts: facts["guard"], "runs with --guard"),),
    # The two players.
    **dict.fromkeys(
        (
            *("divergence", "suffix_exp", "variational_lr_ratio", "variational_steps"),
            *("variational_l2_coeff", "leave_one_out", "log_ratio_clip"),
        ),
        (_TWO_PLAYERS,),
    ),
    "warmup_steps": (_TWO_PLAYERS, _L2),
    "shift_invariant": (_is("method", "febm"),),
    # Images and vectors.
    **dict.fromkeys(("random_flip", "random_crop", "augment"), (_IMAGES._replace(harmless=(0,)),)),
    **dict.fromkeys(("large_model", "larger_model", "wider_model"), (_IMAGES,)),
    "use_attention": (_IMAGES, _RESNETS),
    "confinement": (_VECTORS._replace(harmless=(0.0,)), _WELL),
    "frequency": (_VECTORS, _is("network", "fourier_mlp")),
    # Chains.
    "step_lr": (_MOVING,),
    "epsilon": (_MOVING._replace(harmless=(0.0,)),),
    "noise_scale": (_LANGEVIN, _MOVING),
    "proj_norm": (_LANGEVIN._replace(harmless=(0.0,)), _MOVING),
    "proj_norm_type": (_LANGEVIN, _BOUND),
    "leapfrog_steps": (_is("sampler", "hmc"), _MOVING),
    "burn_in": (_METROPOLIS._replace(harmless=(0,)), _MOVING),
    "target_acceptance": (_METROPOLIS, _ADAPTING),
    "replay_batch": (_CHAINS._replace(harmless=(False,)), _NOT_PCD),
    "pcd": (_CHAINS,),
    **dict.fromkeys(("buffer_size", "buffer_storage"), (_CHAINS, _BUFFER)),
    "match_labels": (_CHAINS, _LABELS_OF_CHAINS),
    # Bidirectional bounds.
    **dict.fromkeys(
        ("latent_dim", "penalty", "entropy", "entropy_weight", "generator", "generator_lr_ratio"),
        (_GENERATOR,),
    ),
    "penalty_weight": (_GENERATOR, _PENALTY),
    "penalty_threshold": (_GENERATOR, _PENALTY, _WEIGHTED),
    "entropy_iterations": (_GENERATOR, _ITERATED),
    "generator_batch_norm": (_GENERATOR, _FOLDS),
}

# --- evaluate.py ----------------------------------------------------------------------------------

_ROUNDS = Rule(
    lambda facts: facts["rounds"] > 0,
    "sampling in rounds, without which the chains of training go on",
    cure="give --rounds= or --repeat_scale= (the original has --repeat_scale=100), or leave it out",
)
_MIXING = Rule(
    lambda facts: facts["rounds"] > facts["nomix"],
    "rounds before the last --nomix",
    lambda facts: f"--rounds={facts['rounds']} with --nomix={facts['nomix']}",
)
_CONDITIONAL = Rule(lambda facts: facts["cclass"], "runs with labels (--cclass)")
_AVERAGED = Rule(
    lambda facts: facts["has_average"],
    "runs that keep averaged weights (--average_decay above 0)",
    harmless=(False,),
)
_STEPS = Rule(
    lambda facts: facts["num_steps"] > 0,
    "chains of one step or more",
    lambda facts: "0",
    "give --final_steps=, or leave it out",
)
_MEASURED = Rule(
    lambda facts: facts["has_features"],
    "figures, and there is no feature network",
    cure="give --inception=, --squeezenet= or --features=, or leave it out",
)

EVALUATE: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(
        (
            *("run", "exp", "num_samples", "im_number", "final_steps", "num_steps", "seed"),
            *("resume_iter", "data_dir", "rounds", "repeat_scale", "curve", "num_real"),
            *("features", "out", "debug"),
            # What the run has may be said again; original_evaluation holds it against the run.
            *("dataset", "cclass", "use_attention", "large_model", "larger_model", "wider_model"),
        ),
        ALWAYS,
    ),
    "logdir": (Rule(lambda facts: bool(facts["exp"]), "runs named by --exp="),),
    # Of the original's lines.
    **dict.fromkeys(("nomix", "batch_size"), (_ROUNDS._replace(told=lambda facts: True),)),
    "pool_size": (_ROUNDS,),
    "restart_share": (_ROUNDS, _MIXING),
    "label_share": (_ROUNDS, _MIXING, _CONDITIONAL),
    "ensemble": (_ROUNDS._replace(harmless=(1,)),),
    "averaged": (_ROUNDS._replace(harmless=(True,)), _AVERAGED),
    **dict.fromkeys(("step_lr", "proj_norm", "noise_scale"), (_STEPS,)),
    "inception": (
        Rule(
            lambda facts: facts["features"] in ("auto", "inception_graph"),
            "--features=auto or inception_graph",
            lambda facts: facts["features"],
        ),
    ),
    "squeezenet": (
        Rule(
            lambda facts: (
                facts["features"] == "squeezenet"
                or (facts["features"] == "auto" and not facts["inception"])
            ),
            "--features=squeezenet, or auto without --inception",
            lambda facts: facts["features"],
        ),
    ),
    "keras_weights": (_is("features", "keras_inception"),),
    "reference": (_MEASURED,),
    "cache_dir": (_MEASURED,),
}

# --- the others ---------------------------------------------------------------------------------

APPLY: dict[str, tuple[Rule, ...]] = dict.fromkeys(
    (
        *("run", "data_dir", "against", "noise", "num_images", "steps", "resume_iter", "seed"),
        *("out", "debug"),
    ),
    ALWAYS,
)

EXPORT: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("run", "out", "format", "debug"), ALWAYS),
    "num_steps": (_is("format", "saved_model"),),
}

MIXTURE: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(
        (
            *("divergence", "mixture", "steps", "batch_size", "sampler", "seed", "num_samples"),
            *("trajectories", "baselines", "out", "debug"),
        ),
        ALWAYS,
    ),
    "trajectory_steps": (
        Rule(lambda facts: facts["trajectories"] > 0, "studies with --trajectories above 0"),
    ),
}

ANOMALY_STUDY: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("tables", "method", "seeds", "steps", "out", "debug"), ALWAYS),
    "divergence": (_TWO_PLAYERS,),
}


def check(table: dict[str, tuple[Rule, ...]], values: flags.FlagValues, facts: Facts) -> list[str]:
    """Return a line for each flag that was given, has no effect, and does no harm.

    Args:
        table: Flag -> its rules, all of which must hold.
        values: The parsed flags.
        facts: What the rules ask for, as far as it is known.

    Raises:
        ValueError: If a flag was given that has no effect and says something else than what is
            done.
    """
    lines = []
    for name, rules in table.items():
        if name not in values or not values[name].present:
            continue
        for rule in rules:
            line = _judge(values[name], rule, facts)
            if line:
                lines.append(line)
                break
    return lines


def _judge(flag: flags.Flag, rule: Rule, facts: Facts) -> str | None:
    """Return what to say of a flag that was given, if anything."""
    try:
        if rule.holds(facts):
            return None
    except KeyError:
        return None
    instead = rule.found(facts)
    about = f"is for {rule.needs}" + (f", not {instead}" if instead else "")
    # A switch that is off unless it is given says nothing when it is given as off.
    off = flag.boolean and flag.value is False and not flag.default
    if off or flag.value in rule.harmless or rule.told(facts):
        return f"{_as_given(flag)} has no effect: it {about}."
    raise ValueError(f"{_as_given(flag)} {about}: {rule.cure}.")


def _as_given(flag: flags.Flag) -> str:
    if flag.boolean:
        return f"--{'' if flag.value else 'no'}{flag.name}"
    return f"--{flag.name}={flag.value}"


def check_names(values: flags.FlagValues, aliases: dict[str, str]) -> None:
    """Raise a ValueError if a flag is given under both of its names.

    Args:
        values: The parsed flags.
        aliases: Alias -> the flag itself.
    """
    for alias, name in aliases.items():
        # What is given as the alias counts for the flag too.
        if 0 < values[alias].present < values[name].present:
            raise ValueError(f"--{alias} and --{name} are one flag of two names: give one of them.")
