"""Recipes: what they refuse, how they change, and that they are whole."""

import dataclasses
import re
import typing

import numpy as np
import pytest

from tf_febm import catalogue, data, divergences, recipes, samplers
from tf_febm.recipes import building, ranges, table

FIELDS = typing.get_type_hints(recipes.Recipe)


def test_every_setting_is_described_once():
    attributes = recipes.Recipe.__doc__.split("Raises:")[0]
    described = re.findall(r"^        (\w+): ", attributes, re.MULTILINE)
    assert described == list(FIELDS)


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_of_the_table(name):
    recipe = recipes.get(name)
    assert recipe.name == name and recipe.why.endswith(".")
    assert recipes.Recipe(**recipe.as_dict()) == recipe
    # One sentence, that does not only point at another recipe.
    assert len(recipe.why.split()) >= 8 and not recipe.why.startswith("As ")


def test_what_is_known_of_every_recipe_is_in_the_docs(project):
    page = (project / "docs" / "concepts" / "recipes.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    known = [name for row in rows for name in re.findall("`(.*?)`", row)]
    assert sorted(known) == sorted(recipes.names())


def test_unknown_names():
    with pytest.raises(ValueError, match="recipe must be one of paper, .*; received 'digit'"):
        recipes.get("digit")
    with pytest.raises(ValueError, match="method must be one of febm, .*; received 'gan'"):
        recipes.for_dataset("digits", "gan")
    with pytest.raises(TypeError, match="A recipe has no lr; its settings are name, "):
        recipes.get("digits").replace(lr=1e-3)


# Values of each kind of field that it must refuse, whatever the field.
BAD = {
    bool: ["yes", 1, None],
    int: [1.5, True, "3", -1, None],
    float: ["1", True, -1.0, float("nan"), float("inf")],
    str: [3, None, b"js"],
}


def kinds(name):
    return typing.get_args(FIELDS[name]) or (FIELDS[name],)


@pytest.mark.parametrize("name", FIELDS)
def test_bad_values_are_refused_and_named(name):
    (kind,) = (kind for kind in kinds(name) if kind is not type(None))
    for value in BAD[kind]:
        if value is None and type(None) in kinds(name):
            continue
        with pytest.raises(ValueError, match=f"^{name} must .*; received ") as caught:
            recipes.Recipe(**{name: value})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ranges.CHOICES)
def test_choices_are_listed(name):
    with pytest.raises(ValueError, match=f"{name} must be one of .*; received 'other'"):
        recipes.Recipe(**{name: "other"})


def test_ranges():
    for name in ("beta_1", "beta_2", "average_decay"):
        with pytest.raises(ValueError, match=f"{name} must lie in .0, 1"):
            recipes.Recipe(**{name: 1.0})
    for name in ("learning_rate", "step_size", "grad_clip", "generator_learning_rate_ratio"):
        with pytest.raises(ValueError, match=f"{name} must be a finite number > 0"):
            recipes.Recipe(**{name: 0.0})
    for name, least in ranges.LEAST.items():
        with pytest.raises(ValueError, match=f"{name} must be a whole number ≥ {least}"):
            recipes.Recipe(**{name: least - 1})
    with pytest.raises(ValueError, match="seed must lie in"):
        recipes.Recipe(seed=2**31)
    with pytest.raises(ValueError, match=r"restart_probability must lie in \[0, 1\]; received 1.5"):
        recipes.Recipe(restart_probability=1.5)
    with pytest.raises(ValueError, match="Give grad_clip or grad_clip_norm, not both; received 1"):
        recipes.get("digits").replace(grad_clip=1.0, grad_clip_norm=2.0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "Unknown divergence 'nonsense'; known are kl, .* and alpha:<number>"),
        ("", "Unknown divergence ''; known are kl"),
        ("alpha:x", "alpha:<number> needs a number from .*; received 'alpha:x'"),
    ],
)
def test_an_unknown_divergence_is_refused_at_once(name, message):
    for make in (recipes.get("digits").replace, recipes.Recipe):
        with pytest.raises(ValueError, match=message):
            make(divergence=name)
    for known in ("Jensen-Shannon", "alpha:0.5", *divergences.names()):
        assert recipes.get("digits").replace(divergence=known).divergence == known


@pytest.mark.parametrize("sampler", catalogue.SAMPLERS)
@pytest.mark.parametrize("base", ["digits", "plane", "digits_bidirectional"])
def test_the_least_that_a_recipe_takes_is_taken_by_its_parts(base, sampler):
    """Whose constructors check it again."""
    least = {
        name: ranges.LEAST.get(name, 1e-6 if name in ranges.POSITIVE else 0)
        for name in FIELDS
        if {int, float} & set(kinds(name))
    }
    least |= {"sampler": sampler, "buffer_capacity": 2}
    least |= {"grad_clip_norm": None, "epsilon": None}
    recipe = recipes.Recipe(**{**recipes.get(base).as_dict(), **least})
    x = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    model = recipe.build(
        x if base == "plane" else np.arange(8 * 64, dtype="uint8").reshape(8, 8, 8, 1)
    )
    assert model.sampler.num_steps == 0


class TestChanges:
    """What goes along with a change, and what does not."""

    def test_a_rate_is_constant_unless_said_otherwise(self):
        digits = recipes.get("digits")
        assert digits.final_learning_rate == 1e-4
        assert digits.replace(learning_rate=1e-3).final_learning_rate is None
        both = digits.replace(learning_rate=1e-3, final_learning_rate=1e-5)
        assert both.final_learning_rate == 1e-5

    def test_another_network_has_a_width_of_its_own(self):
        digits = recipes.get("digits")
        assert digits.replace(network="conv").width is None
        assert digits.replace(network="conv", width=8).width == 8
        assert digits.replace(network="mlp").width == digits.width

    def test_another_sampler_has_a_step_of_its_own(self):
        assert recipes.get("digits").replace(sampler="hmc").step_size is None
        assert recipes.get("digits").replace(sampler="hmc", step_size=0.1).step_size == 0.1

    @pytest.mark.parametrize("base", ["digits", "plane"])
    @pytest.mark.parametrize(("sampler", "step"), [("mala", 0.02), ("hmc", 0.2)])
    def test_noise_of_another_sampler_is_the_same_in_any_order(self, base, sampler, step):
        """Its step size: τ = σ²/2 of mala, h = σ of hmc."""
        changes = [{"sampler": sampler}, {"noise_scale": 0.2}]
        recipe = recipes.get(base).replace(**changes[0], **changes[1])
        for first, second in (changes, changes[::-1]):
            assert recipes.get(base).replace(**first).replace(**second) == recipe
        source = data.load("moons" if base == "plane" else "digits")
        made = building.make_sampler(recipe, source)
        assert getattr(made, "sampler", made).step_size == pytest.approx(step)

    def test_a_step_that_is_given_wins_over_epsilon(self):
        plane = recipes.get("plane")
        assert plane.epsilon == 1e-3
        assert plane.replace(step_size=0.1).epsilon is None
        assert plane.replace(noise_scale=0.1).epsilon is None

    def test_there_is_one_bound_of_gradients(self):
        changed = recipes.get("digits").replace(grad_clip_norm=2.0)
        assert (changed.grad_clip, changed.grad_clip_norm) == (None, 2.0)
        assert changed.replace(grad_clip=0.5).grad_clip_norm is None

    def test_nothing_of_the_old_one_changes(self):
        digits = recipes.get("digits")
        before = digits.as_dict()
        digits.replace(steps=3)
        assert digits.as_dict() == before
        with pytest.raises(dataclasses.FrozenInstanceError):
            digits.steps = 3


class TestForDatasets:
    def test_names(self):
        expected = {
            ("digits", "febm"): "digits",
            ("svhn", "febm"): "celeba",
            ("stacked_mnist", "dual"): "mnist",
            ("npz", "contrastive_divergence"): "paper",
            ("csv", "febm"): "vectors",
            ("moons", "febm"): "plane",
            ("25gaussians", "febm"): "25gaussians",
            ("moons", "noise_contrastive"): "plane_noise_contrastive",
            ("digits", "bidirectional"): "digits_bidirectional",
            ("svhn", "bidirectional"): "bidirectional",
            ("25gaussians", "bidirectional"): "25gaussians_bidirectional",
            ("moons", "bidirectional"): "plane_bidirectional",
            # That of the plane is for data of two columns: any other table has the general one.
            ("csv", "bidirectional"): "bidirectional",
        }
        for (dataset, method), name in expected.items():
            recipe = recipes.for_dataset(dataset, method)
            assert (recipe.name, recipe.method) == (name, method), dataset

    def test_vectors_of_an_archive_start_as_tables_do(self, tmp_path):
        for shape, name in (((60, 5), "vectors"), ((60, 8, 8), "paper")):
            file = tmp_path / f"{len(shape)}.npz"
            np.savez(file, X_train=np.zeros(shape), y_train=np.zeros(60, int))
            assert recipes.for_dataset("npz", data_dir=file).name == name
        assert recipes.for_dataset("npz", data_dir=tmp_path / "none.npz").name == "paper"

    def test_every_data_set_has_one_of_its_kind(self):
        for name, dataset in catalogue.DATASETS.items():
            if dataset.kind is not None:
                recipe = recipes.for_dataset(name)
                vectors = recipe.confinement > 0.0 or recipe.best_metric == "held_out_gain"
                assert vectors == (dataset.kind in ("vectors", "plane")), name

    def test_the_published_settings_in_units_of_the_library(self):
        paper = table.PAPER
        published = {
            "steps": 100_000, "batch_size": 128, "learning_rate": 3e-4, "beta_1": 0.0,
            "num_steps": 60, "step_size": 10.0, "grad_clip": 0.01, "noise_scale": 0.005,
            "l2_coeff": 1.0, "buffer_capacity": 10_000, "restart_probability": 0.05,
        }  # fmt: skip
        assert published.items() <= paper.as_dict().items()


def test_columns_that_do_not_vary_are_named():
    """Not as the error of a layer that divides by their deviation."""
    x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    x[:, 1] = 2.0
    for recipe in ("vectors", "plane"):
        with pytest.raises(ValueError, match="columns must vary; constant .*: column 2"):
            recipes.get(recipe).build(data.as_data(x))


def test_methods_that_need_a_reference_say_so():
    """Not as an error of the constructor's arguments."""
    recipe = recipes.get("multiscale").replace(reference=None)
    images = np.zeros((4, 8, 8, 1), np.uint8)
    with pytest.raises(ValueError, match="reference=None is not for method=multiscale"):
        recipe.build(images)
    with pytest.raises(ValueError, match="levels must be at most 10,000; received 1000000000"):
        recipe.replace(levels=10**9)
    # Each is a loop of its own in the graph of a step.
    for make in (recipes.get("digits").replace, samplers.Langevin):
        with pytest.raises(ValueError, match="num_parallel must be at most 1,024; received 10000"):
            make(num_parallel=10**6)


def test_the_noise_of_the_data_is_in_the_reference_and_taken_off_at_the_end():
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 3)).astype(np.uint8)
    source = data.ImageData("own", images)
    recipe = recipes.get("celeba").replace(random_flip=False, buffer_capacity=64)
    # A direction of an image has the variance of the data along it, and that of the noise: by the
    # sum over all of them, the trace.
    for noise in (0.0, 0.3):
        fitted = building.make_reference(recipe.replace(data_noise=noise), source)
        white = np.eye(48, dtype="f4").reshape(48, 4, 4, 3)
        trace = float(np.square(fitted.color(white) - fitted.color(0 * white)).sum())
        pixels = (images + 0.5) / 256
        least = max(0.04 * pixels.std(), noise)
        assert trace == pytest.approx(pixels.var(axis=0).sum() + 48 * least**2, rel=0.02)
    noisy = recipe.replace(data_noise=0.3, denoise_samples=True)
    assert (noisy.noise_removed, noisy.replace(denoise_samples=False).noise_removed) == (0.3, 0.0)
    with pytest.raises(ValueError, match="denoise_samples=True is for data_noise above 0"):
        recipe.replace(data_noise=0.0, denoise_samples=True)


@pytest.mark.parametrize("kind", ["images", "vectors"])
def test_batches_have_the_variance_of_the_reference(kind):
    """Noise included, and on black pixels too, where clipping would take half of it away."""
    rng = np.random.default_rng(0)
    if kind == "images":
        images = rng.integers(0, 256, (500, 4, 4, 1)).astype(np.uint8)
        images[:, 1:] = 0
        source, base = data.ImageData("own", images), recipes.get("celeba")
        recipe = base.replace(random_flip=False, data_noise=0.3, batch_size=500)
    else:
        source = data.as_data(rng.normal(size=(500, 16)).astype("f4"))
        base = recipes.get("vectors").replace(confinement=0.0, reference="full")
        recipe = base.replace(data_noise=1.0, batch_size=500)
    fitted = building.make_reference(recipe, source)
    x = np.concatenate([x.numpy() for x in recipe.stream(source).take(20)])
    # The mean of ‖z‖² over what Σ was fitted to is the dimension; 10,000 draws of noise, and the
    # part of the coefficients' variance that the factors share, leave a hundredth or two.
    assert 2.0 * np.mean(fitted.energy(x)) == pytest.approx(16.0, rel=0.03)


def test_a_reference_gets_exponential_steps():
    """√(1 − e^(−ε)) of noise and 1 − e^(−ε/2) of the gradient; Eq. 5 without a reference."""
    source = data.ImageData("own", np.random.default_rng(0).integers(0, 256, (60, 4, 4, 3), "u1"))
    recipe = recipes.get("celeba").replace(epsilon=0.5, num_steps=7)
    sampler = building.make_sampler(recipe, source)
    assert sampler.noise_scale**2 == pytest.approx(1.0 - np.exp(-0.5))
    assert 1.0 - sampler.step_size == pytest.approx(np.exp(-0.25))
    assert (sampler.num_steps, sampler.noise_first, sampler.bounds) == (7, False, None)
    plain = building.make_sampler(recipe.replace(reference=None), source)
    assert (plain.step_size, plain.noise_scale) == (0.25, pytest.approx(0.5**0.5))


def test_every_method_starts_from_what_suits_the_data():
    """Of networks, generators and references; a recipe may be one of the method for other data."""
    kinds = {"digits": "images", "npz": "images", "folder": "images", "moons": "vectors",
             "csv": "vectors"}  # fmt: skip
    for method in catalogue.METHODS:
        for dataset, kind in kinds.items():
            found = recipes.for_dataset(dataset, method)
            assert found.method == method
            assert catalogue.NETWORKS[found.network].kind in (kind, "both"), (method, dataset)
            if "generator" in catalogue.METHODS[method].players:
                assert catalogue.GENERATORS[found.generator].kind in (kind, "both"), dataset
            assert found.reference != {"images": "full", "vectors": "spectral"}[kind]
    # What is known to work on tables stays what they start from.
    assert recipes.for_dataset("csv", "noise_contrastive").name == "noise_contrastive"


@pytest.mark.parametrize(
    "dataset, method", [("digits", "noise_contrastive"), ("csv", "recovery"),
                        ("moons", "multiscale"), ("csv", "multiscale"), ("csv", "bidirectional")]
)  # fmt: skip
def test_what_a_method_starts_from_can_be_trained(dataset, method):
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    source = data.load(dataset) if dataset != "csv" else data.VectorData("csv", x)
    small = {"batch_size": 4, "width": 4, "num_steps": 2}
    recipe = recipes.for_dataset(dataset, method)
    if method == "bidirectional":
        del small["num_steps"]
    model = recipe.replace(**small).build(source)
    batch = next(iter(recipe.replace(**small).stream(source)))
    logs = model.train_on_batch(batch, return_dict=True)
    assert np.isfinite(logs["loss"])
