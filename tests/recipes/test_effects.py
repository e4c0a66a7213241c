"""No setting is silently without effect."""

import typing

import keras
import pytest

from tf_febm import catalogue, recipes
from tf_febm.recipes import effects

# One recipe of each method, sampler and way to keep chains.
BASES = {
    "febm": recipes.get("digits"),
    "contrastive_divergence": recipes.get("digits").replace(method="contrastive_divergence"),
    "bidirectional": recipes.get("digits_bidirectional"),
    "hmc": recipes.get("digits").replace(sampler="hmc", step_size=0.1),
    "plane": recipes.get("plane"),
}


def test_rules_are_about_settings():
    assert set(effects.RULES) <= set(typing.get_type_hints(recipes.Recipe))


def test_what_only_a_method_takes_is_for_it():
    """By the catalogue, so that a new method or sampler needs no rule of its own."""
    for entries, field in ((catalogue.METHODS, "method"), (catalogue.SAMPLERS, "sampler")):
        everything = {name for entry in entries.values() for name in entry.settings}
        for key, entry in entries.items():
            recipe = recipes.Recipe(**{field: key}, burn_in=1, conditional=False)
            for name in everything - set(entry.settings):
                assert not effects.has_effect(name, recipe), (key, name)


@pytest.mark.parametrize("base", BASES)
def test_what_has_no_effect_changes_nothing(base):
    """The truth is the model: with a setting that has none the built model is the same."""
    import json

    import numpy as np

    x = np.zeros((4, 2), np.float32) + np.arange(4, dtype=np.float32)[:, None]
    if base != "plane":
        x = np.zeros((4, 8, 8, 1), np.uint8)
    recipe = BASES[base].replace(width=4, **({} if base == "bidirectional" else {"batch_size": 8}))
    kind = "vectors" if base == "plane" else "images"

    def described(recipe):
        # Names of layers are numbered.
        keras.utils.clear_session()
        model = recipe.build(x)
        optimizers = [o.get_config() for o in (model.optimizer, *_others(model))]
        text = json.dumps([model.get_config(), optimizers], default=str, sort_keys=True)
        return text.replace('", "', '",\n"').splitlines()

    own = described(recipe)
    other = {
        "divergence": "kl", "log_ratio_clip": 4.0, "variational_steps": 3,
        "variational_l2_coeff": 0.3, "leave_one_out": False, "warmup_steps": 3,
        "shift_invariant": not recipe.shift_invariant, "penalty_weight": 0.7, "entropy": "logdet",
        "noise_scale": 0.3, "grad_clip": 0.3, "num_leapfrog_steps": 3, "burn_in": 2,
        "generator_batch_norm": True, "frequency": 1.5, "confinement": 0.7, "latent_dim": 2,
        "generator_learning_rate_ratio": 0.3, "variational_learning_rate_ratio": 0.3,
    }  # fmt: skip
    vain = {
        name: value
        for name, value in other.items()
        if not effects.has_effect(name, recipes.Recipe(**{**recipe.as_dict(), name: value}), kind)
    }
    assert vain and described(recipes.Recipe(**{**recipe.as_dict(), **vain})) == own


def _others(model):
    for name in ("variational_optimizer", "generator_optimizer"):
        if hasattr(model, name):
            yield getattr(model, name)


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        ("febm", {"latent_dim": 4}, "latent_dim=4 is for method=bidirectional, not febm: leave"),
        ("hmc", {"noise_scale": 0.1}, "noise_scale=0.1 is for sampler=langevin, not hmc"),
        ("febm", {"burn_in": 3}, "burn_in=3 is for sampler=mala or hmc or parallel_tempering,"),
        ("hmc", {"target_acceptance": 0.5}, "target_acceptance=0.5 is for burn_in above 0"),
        ("febm", {"match_labels": False}, "match_labels=False is for chains with labels and a pas"),
        (
            "febm",
            {"chains": "persistent", "buffer_capacity": 5},
            "buffer_capacity=5 is for the replay buffer, chains=replay, not persistent",
        ),
        ("febm", {"l2_coeff": 0.0, "warmup_steps": 5}, "warmup_steps=5 is for l2_coeff above 0"),
        ("febm", {"best_mode": "max"}, "best_mode=max is for runs with a best_metric"),
        ("febm", {"use_attention": True}, "use_attention=True is for network=resnet32 or"),
        (
            "bidirectional",
            {"penalty": None, "penalty_weight": 0.5},
            "penalty_weight=0.5 is for penalty=latent or data, not none: leave it out",
        ),
        (
            "bidirectional",
            {"entropy": "auto", "entropy_iterations": 4},
            "entropy_iterations=4 is for entropy=smallest_singular_value, not auto with 10 latent",
        ),
        ("bidirectional", {"conditional": True}, "conditional=True is for method=febm or contr"),
        (
            "febm",
            {"num_steps": 0, "final_steps": 0, "step_size": 3.0},
            "step_size=3.0 is for chains of one step or more: give num_steps or final_steps above",
        ),
    ],
)
def test_what_is_refused(base, changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        BASES[base].replace(**changes)


def test_what_asks_for_nothing_is_told():
    changed = BASES["bidirectional"].replace(chains="fresh")
    (line,) = changed.without_effect({"chains": "fresh"})
    assert line.startswith("chains=fresh has no effect: it is for method=febm or ")


def test_the_kind_of_data_counts_once_it_is_known():
    recipe = recipes.get("paper").replace(random_flip=True)
    assert recipe.without_effect({"random_flip": True}, "images") == []
    with pytest.raises(ValueError, match="random_flip=True is for images, not for vectors"):
        recipe.without_effect({"random_flip": True}, "vectors")


def test_what_takes_labels_takes_their_loss_too():
    for method in ("recovery", "multiscale"):
        changes = {"conditional": True, "class_weight_coeff": 0.5}
        assert recipes.get(method).replace(**changes).class_weight_coeff == 0.5
