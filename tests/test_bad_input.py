"""Bad input by the thousand: a clear error or a good result; no traceback, hang or nonsense.

Everything runs in this process, on what checks and reads input. The last test counts the cases.
"""

import json
import math
import string

import numpy as np
import pytest

import tf_febm
from tf_febm import data, objectives, parallel, samplers, training
from tf_febm.models import inputs
from tf_febm.training import checkpoint_files, numerical_checks
from tf_febm.training.recorders import read_metrics

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis comes with the dev extra")
from hypothesis import strategies as st  # noqa: E402

pytestmark = pytest.mark.slow
AT_LEAST = 2000
cases = {"number": 0}


def examples(number):
    """Run a test on so many cases, the same ones every time."""
    return hypothesis.settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def outcome(function, accepted=(ValueError, TypeError, OSError)):
    """Return (result, None), or (None, message) of an error that is meant for people."""
    cases["number"] += 1
    try:
        return function(), None
    except accepted as error:
        message = str(error)
        assert message.strip(), f"{type(error).__name__} without a message"
        assert "Traceback" not in message and len(message) < 2000
        return None, message


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([0, -1, 1, 0.5, 1e-300, 1e300, math.inf, math.nan, (0.0, 1.0), (1, 0), [], {}]),
    st.tuples(st.floats(), st.floats()),
    st.lists(st.integers(-2, 5), max_size=3),
)


class TestFlags:
    VALUES = st.one_of(
        st.integers(-3, 100).map(str),
        st.floats().map(str),
        st.sampled_from(
            ["", "0", "1", "-1", "nan", "inf", "1e999", "true", "none", "js", "kl", "alpha:x", "..",
             "a/b", "a\nb", "digits", "folder", "mlp", "resnet32", "mirrored", "min", "9" * 30]
        ),
        st.text(string.printable, max_size=8),
    )  # fmt: skip

    @pytest.fixture(scope="class")
    def names(self):
        import train_flags
        from absl import flags

        values = flags.FlagValues()
        train_flags.define(values)
        return sorted(values)

    @examples(600)
    @hypothesis.given(draws=st.data())
    def test_any_values(self, names, draws):
        import train_flags
        from absl import flags

        values = flags.FlagValues()
        train_flags.define(values)
        chosen = draws.draw(st.lists(st.sampled_from([*names, "no_such"]), min_size=1, max_size=3))
        arguments = [f"--{name}={draws.draw(self.VALUES)}" for name in chosen]

        def resolve():
            values(["train.py", *arguments])
            return train_flags.resolve(values)

        plan, message = outcome(resolve, (ValueError, flags.Error))
        if message is not None:
            return
        recipe, stored = plan.recipe, plan.recipe.as_dict()
        assert json.loads(json.dumps(stored, allow_nan=False)) == stored
        assert recipe.learning_rate > 0 and recipe.steps >= 1 and recipe.batch_size >= 2
        assert 0 <= recipe.beta_1 < 1 and 0 <= (recipe.average_decay or 0) < 1
        assert "/" not in plan.exp and plan.exp not in ("..", ".")


class TestConstructors:
    @examples(300)
    @hypothesis.given(
        st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                ("step_size", "noise_scale", "num_steps", "grad_clip", "bounds", "grad_clip_norm"),
                anything,
            ),
        )
    )
    def test_langevin(self, settings):
        sampler, message = outcome(lambda: samplers.Langevin(**settings))
        if message is None:
            assert sampler.step_size > 0 and math.isfinite(sampler.step_size)
            assert sampler.noise_scale >= 0 and math.isfinite(sampler.noise_scale)
            assert isinstance(sampler.num_steps, int) and sampler.num_steps >= 0
            assert sampler.grad_clip is None or 0 < sampler.grad_clip < math.inf
            assert sampler.bounds is None or sampler.bounds[0] < sampler.bounds[1]

    @examples(200)
    @hypothesis.given(anything, anything)
    def test_replay_buffer(self, capacity, probability):
        buffer, message = outcome(lambda: tf_febm.ReplayBuffer(capacity, probability))
        if message is None:
            assert isinstance(buffer.capacity, int) and buffer.capacity >= 1
            assert 0.0 <= buffer.restart_probability <= 1.0

    @examples(200)
    @hypothesis.given(anything, anything)
    def test_guard(self, rollbacks, factor):
        def build():
            return training.DivergenceGuard(None, max_rollbacks=rollbacks, rate_factor=factor)

        guard, message = outcome(build)
        if message is None:
            assert isinstance(guard.max_rollbacks, int) and guard.max_rollbacks >= 0
            assert 0.0 < guard.rate_factor <= 1.0

    @examples(150)
    @hypothesis.given(
        st.one_of(
            st.text(max_size=12),
            st.text("-+.e0159", max_size=6).map("alpha:{}".format),
            st.sampled_from(["alpha:nan", "alpha:inf", "KL", " js ", "alpha:-0.5"]),
        )
    )
    def test_divergences_by_name(self, name):
        divergence, message = outcome(lambda: tf_febm.divergences.get(name))
        if message is None:
            assert tf_febm.divergences.get(divergence.name).name == divergence.name
        else:
            # Echoed, so that the reader sees the stray character.
            assert repr(name) in message or name in message

    @examples(100)
    @hypothesis.given(st.one_of(st.text(max_size=20), st.recursive(
        st.one_of(st.none(), st.integers(-1, 3), st.sampled_from(["worker", "a:1", "b"])),
        lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(
            st.sampled_from(["cluster", "task", "worker", "type", "index"]), inner, max_size=3)),
        max_leaves=6).map(json.dumps)))  # fmt: skip
    def test_tf_config(self, text):
        hypothesis.assume("\x00" not in text and text.isprintable())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TF_CONFIG", text)
            _, message = outcome(parallel._addresses)
        assert message is None or "TF_CONFIG" in message


DTYPES = ("float16", "float32", "float64", "int32", "int64", "uint8", "bool", "complex64", "<U3")
SHAPES = st.lists(st.integers(0, 4), max_size=5).map(tuple)


class TestShapesAndDtypes:
    @examples(300)
    @hypothesis.given(SHAPES, st.sampled_from(DTYPES), st.booleans())
    def test_samples(self, shape, dtype, fitting):
        shape = (shape[0] if shape else 1, 2, 3) if fitting else shape
        x = np.zeros(shape, dtype)
        result, message = outcome(lambda: inputs.check_samples(x, (2, 3)))
        good = dtype.startswith("float") and len(shape) == 3 and shape[1:] == (2, 3)
        assert (message is None) == good
        if good:
            assert tuple(result.shape) == shape

    @examples(150)
    @hypothesis.given(SHAPES, SHAPES)
    def test_objectives_take_vectors(self, first, second):
        one, other = np.ones(first, np.float32), np.ones(second, np.float32)
        _, message = outcome(lambda: objectives.variational_bound("js", one, other))
        assert (message is None) == (len(first) == len(second) == 1)

    @examples(200)
    @hypothesis.given(
        st.dictionaries(
            st.sampled_from(["bound", "energy_gap", "chain_spread", "chain_edge"]), st.floats()
        )
    )
    def test_a_guard_judges_any_figures(self, figures):
        cases["number"] += 1
        problem = numerical_checks.examine(
            figures, [{"energy_gap": 1.0}], {}, numerical_checks.Limits()
        )
        if any(not math.isfinite(value) for value in figures.values()):
            assert problem is not None and problem.quantity in figures


class TestFiles:
    @pytest.fixture(scope="class")
    def archive(self, tmp_path_factory):
        path = tmp_path_factory.mktemp("files") / "images.npz"
        images = np.random.default_rng(0).integers(0, 256, (20, 6, 6, 1)).astype(np.uint8)
        np.savez(path, x=images)
        return path, path.read_bytes(), data.load("npz", data_dir=path).images

    @examples(250)
    @hypothesis.given(st.integers(0, 10**6), st.integers(0, 255), st.booleans())
    def test_a_damaged_archive(self, archive, place, value, cut):
        """A changed byte, or a file cut short: the same images or an error that names the file."""
        path, whole, images = archive
        content = bytearray(whole)
        place %= len(content)
        content[place] = value
        path.write_bytes(content[:place] if cut else content)
        loaded, message = outcome(lambda: data.load("npz", data_dir=path))
        if message is None:
            np.testing.assert_array_equal(loaded.images, images)
        else:
            assert path.name in message

    @examples(100)
    @hypothesis.given(SHAPES, st.sampled_from(DTYPES[:-1]), st.floats(width=16))
    def test_any_array_in_an_archive(self, archive, shape, dtype, value):
        path = archive[0]
        with np.errstate(all="ignore"):
            np.savez(path, x=np.full(shape, value).astype(dtype))
        loaded, message = outcome(lambda: data.load("npz", data_dir=path))
        if message is None and isinstance(loaded, data.VectorData):
            assert np.isfinite(loaded.vectors).all() and loaded.vectors.ndim == 2
        elif message is None:
            assert loaded.images.dtype == np.uint8 and loaded.images.ndim == 4

    @examples(150)
    @hypothesis.given(st.binary(max_size=60))
    def test_any_table_of_metrics(self, tmp_path_factory, content):
        path = tmp_path_factory.getbasetemp() / "metrics.csv"
        path.write_bytes(b"step,seconds,bound\n" + content.replace(b"\x00", b""))
        cases["number"] += 1
        for row in read_metrics(path):
            assert int(row["step"]) >= 0

    @examples(150)
    @hypothesis.given(st.one_of(st.binary(max_size=40), st.recursive(
        st.one_of(st.none(), st.integers(), st.text(max_size=3)),
        lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(
            st.sampled_from(["flags", "files", "step", "bytes", "a"]), inner, max_size=3)),
        max_leaves=5).map(lambda value: json.dumps(value).encode())))  # fmt: skip
    def test_any_options_and_manifest(self, tmp_path_factory, content):
        folder = tmp_path_factory.getbasetemp() / "run"
        folder.mkdir(exist_ok=True)
        (folder / "options.json").write_bytes(content)
        (folder / "step-1.json").write_bytes(content)
        options, _ = outcome(training.RunFolder(folder).read_options, OSError)
        assert options is None or isinstance(options, dict)
        manifest, _ = outcome(lambda: checkpoint_files.read_manifest(folder, 1), OSError)
        assert manifest is None or manifest["step"] == 1


def test_how_many_cases_that_were():
    print(f"bad input: {cases['number']} cases")
    assert cases["number"] >= AT_LEAST
