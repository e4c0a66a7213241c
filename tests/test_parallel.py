"""A step on N replicas is the step of one on the whole batch, for every term of every objective."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.launch import forks
from tf_febm import parallel, workers

# Objectives and networks have nothing to do with each other here, so that one case has residual
# networks; `make replicas` compares all methods with all networks. Each case has sums over the
# batch of its own: terms that are off by default, several at a time, and what bounds are made of.
CASES = {
    "febm/js clipped": {"clip": 0.01},
    "dual/kl plain": {},
    "contrastive_divergence conditional": {
        "conditional": True, "initial": "data", "class_weight_coeff": 0.5,
    },
    "pseudo_spherical labels": {
        "conditional": True, "weighted": True, "gamma": 3.0, "held_out": True,
    },
    "score_matching exact": {"weighted": True, "conditional": True, "class_weight_coeff": 0.5},
    "febm/js weighted labels": {
        "weighted": True, "conditional": True, "scaled": True, "decay": 0.5, "held_out": True,
    },
    "febm/kl weighted": {"weighted": True, "shift_invariant": True, "variational_steps": 3},
    "febm/js simultaneous": {
        "simultaneous": True, "variational_divergence": "kl", "shift_invariant": True,
        "leave_one_out": False, "variational_l2_coeff": 0.1,
    },
    "bidirectional resnet32": {"kind": "resnet32", "held_out": True},
    "bidirectional weighted": {
        "weighted": True, "scaled": True, "penalty": "data", "entropy_weight": 0.0,
    },
    "bidirectional weights": {
        "penalty_weight": 0.3, "entropy_weight": 0.5, "l2_coeff": 0.2, "batch_norm": True,
    },
    # Just below w·GP of the whole batch, and above that of some parts of it.
    "bidirectional threshold": {
        "penalty_weight": 1.0, "penalty_threshold": 1.35, "held_out": True,
    },
    "bidirectional threshold not reached": {"penalty_threshold": 1e3},
    "bidirectional singular value": {"penalty": None, "entropy": "smallest_singular_value"},
    "febm/js Adam": {
        "steps": 5, "adam": True, "eager": False, "held_out": True, "slow_energy_decay": 0.8,
    },
}  # fmt: skip
# `make replicas` compares all of them with four.
OF_FOUR = ["bidirectional threshold"]


@pytest.fixture(scope="module")
def results(project, tmp_path_factory):
    """Return replicas -> case -> (weights before, weights after, metrics).

    Under "checkpoints", method -> state that was saved or restored.
    """
    folder, found = tmp_path_factory.mktemp("replicas"), {}
    asked = {
        replicas: [
            {
                "name": name,
                "method": name.split()[0],
                "kind": "mlp",
                "held_out": False,
                **CASES[name],
            }
            for name in (OF_FOUR if replicas == 4 else CASES)
        ]
        for replicas in (2, 1, 4)
    }
    script = project / "drills" / "replica_steps.py"
    command = [sys.executable, str(script), json.dumps(asked), str(folder)]
    done = forks.run(command, cwd=project)
    assert done.returncode == 0, done.stderr[-3000:]
    for replicas, chosen in asked.items():
        cases = {case["name"]: ([], [], {}) for case in chosen} | {"checkpoints": {}}
        with np.load(folder / f"{replicas}.npz") as arrays:
            for key in arrays.files:
                name, group, item = key.split("|")
                if group == "checkpoint":
                    cases["checkpoints"].setdefault(name, {})[item] = arrays[key]
                elif group == "log":
                    cases[name][2][item] = float(arrays[key])
                else:
                    cases[name][("before", "after").index(group)].append(arrays[key])
        found[replicas] = cases
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "replicas"), [*((name, 2) for name in CASES), *((name, 4) for name in OF_FOUR)]
)
def test_replicas_take_the_step_of_one(results, name, replicas):
    """One SGD step to 1e-5 of the largest entry of each array, five steps of Adam to 1e-4.

    The change that the step makes is compared as well, to 1 %: a wrong factor on a small term of
    the objective would hide in the weights.
    """
    before, expected, logs = results[1][name]
    _, weights, their_logs = results[replicas][name]
    tolerance = 1e-4 if name.endswith("Adam") else 1e-5
    worst, changed = 0.0, 0.0
    assert len(weights) == len(expected) > len(before)
    for one, other in zip(expected, weights, strict=True):
        worst = max(worst, np.abs(one - other).max() / max(np.abs(one).max(), 1e-3))
    for start, one, other in zip(before, expected, weights, strict=False):
        change = np.abs(one - start).max()
        if change > 1e-5:
            assert np.abs(one - other).max() < 0.01 * change
        changed = max(changed, change)
    print(f"{name}, {replicas} replicas: {worst:.1e} relative, steps change up to {changed:.1e}")
    assert changed > 1e-5
    assert worst <= tolerance
    assert logs.keys() == their_logs.keys()
    # Each replica has a buffer of the same capacity for its part of the chains; after more than one
    # step some of them are written back to where they came from.
    if (fill := their_logs.get("train buffer_fill")) is not None:
        if name.endswith("Adam"):
            assert logs["train buffer_fill"] / replicas <= fill <= 1.0
        else:
            assert fill * replicas == pytest.approx(logs["train buffer_fill"])
    for key, value in logs.items():
        if key != "train buffer_fill":
            assert their_logs[key] == pytest.approx(value, rel=1e-3, abs=1e-5), key
    if name == "bidirectional threshold":
        excess = logs["train upper_bound"] - logs["train lower_bound"]
        assert 0.0 < excess < 0.1 * logs["train penalty"]


def own(state, kind):
    """Return the arrays that each replica has for itself, by number of the replica."""
    names = [name for name in state if name.startswith(kind)]
    numbers = sorted({int(name.split("/")[0].partition("_")[2] or 0) for name in names})
    groups = [kind if number == 0 else f"{kind}_{number}" for number in numbers]
    return [[state[f"{group}/{i}"] for i in range(len(names) // len(groups))] for group in groups]


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 4])
@pytest.mark.parametrize(
    ("method", "kind", "what"),
    [("febm/js", "buffer", "replay buffers"), ("bidirectional", "directions", "singular vectors")],
)
def test_a_checkpoint_of_two_replicas_goes_on_with_others(results, method, kind, what, replicas):
    saved, restored = (dict(results[n]["checkpoints"][method]) for n in (2, replicas))
    assert str(saved.pop("lines")) == ""
    assert str(restored.pop("lines")) == f"The {what} of 2 replicas were distributed to {replicas}."
    for name, value in saved.items():
        if not name.startswith(kind):
            np.testing.assert_array_equal(value, restored[name], err_msg=name)
    mine, theirs = own(saved, kind), own(restored, kind)
    assert len(mine) == 2 and len(theirs) == replicas
    if kind == "directions":
        for number, (vectors,) in enumerate(theirs):
            np.testing.assert_array_equal(vectors, mine[number % 2][0])
        return
    # Three steps of eight chains: all are there, none twice.
    before, after = (
        sorted(sample.tobytes() for samples, written in parts for sample in samples[: int(written)])
        for parts in (mine, theirs)
    )
    assert len(before) == 24 and (before == after if replicas == 4 else len(after) == 20)
    assert set(after) <= set(before)


class TestOutsideOfReplicas:
    def test_nothing_is_added(self):
        """Not one operation more than the mean itself."""

        @tf.function(autograph=False)
        def mean(x):
            with parallel.one_batch(tf.shape(x)[0]):
                return parallel.all_reduce_sum(parallel.batch_mean(x))

        @tf.function(autograph=False)
        def plain(x):
            tf.shape(x)[0]
            return tf.reduce_mean(x)

        ours, theirs = (
            [operation.type for operation in traced.graph.get_operations()]
            for traced in (f.get_concrete_function(tf.zeros(5)) for f in (mean, plain))
        )
        assert sorted(ours) == sorted(theirs)

    def test_values(self):
        x = tf.constant([1.0, 2.0, 6.0])
        assert parallel.replicas() == 1 and parallel.replica_number() == 0
        assert float(parallel.batch_mean(x)) == 3.0
        assert float(parallel.batch_size(x)) == 3.0
        mean, std = parallel.mean_and_std(x)
        assert float(mean) == 3.0 and float(std) == pytest.approx(np.std([1, 2, 6]))


class TestMakingAStrategy:
    def test_the_default_is_no_strategy(self):
        assert parallel.make_strategy().num_replicas_in_sync == 1
        assert workers.is_chief() and not workers.spans_workers()

    @pytest.mark.parametrize(
        ("name", "number", "message"),
        [
            (
                "tpu",
                None,
                "name must be one of default, mirrored, multi_worker; received 'tpu'",
            ),
            ("default", 2, "num_replicas goes with strategy mirrored, not with default"),
            ("mirrored", 64, "64 logical CPUs must be asked for before TensorFlow starts"),
        ],
    )
    def test_what_cannot_be(self, name, number, message):
        tf.constant(0.0)
        with pytest.raises(ValueError, match=message):
            parallel.make_strategy(name, number)

    @pytest.mark.parametrize(
        "config",
        [
            None, "", "{", "[]", "{}", '{"cluster": {"worker": []}, "task": {}}',
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
            '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}',
            '{"cluster": {"worker": ["a:b"]}, "task": {"type": "worker", "index": 0}}',
            '{"cluster": {"worker": ["a:99999"]}, "task": {"type": "worker", "index": 0}}',
            '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0.5}}',
            '{"cluster": {"worker": ["a:1"], "ps": ["b"]}, "task": {"type": "worker", "index": 0}}',
        ],
    )  # fmt: skip
    def test_a_bad_tf_config_is_shown(self, monkeypatch, config):
        monkeypatch.delenv("TF_CONFIG", raising=False)
        if config is not None:
            monkeypatch.setenv("TF_CONFIG", config)
        with pytest.raises(ValueError, match="multi_worker needs TF_CONFIG="):
            parallel.make_strategy("multi_worker")
