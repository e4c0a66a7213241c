"""Checkpoints with the original code's variables: every network, and every way to be wrong."""

from pathlib import Path

import numpy as np
import original_code
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import legacy

IMAGE = {"mnist_net": (28, 28, 1), "resnet128": (32, 32, 3)}
# Network, num_filters, classes, attention.
# Attention does not look at labels: further down one case has both and one has neither.
# Of the networks that differ from resnet32 by their plans alone, half are for a thorough run.
MORE = (("resnet32_large", None), ("resnet32_larger", 3), ("resnet32_wider", None))
CASES = [
    *(
        pytest.param(name, 4, *rest, marks=[pytest.mark.thorough] * ((name, rest[0]) in MORE))
        for name in original_code.BLOCKS
        for rest in ((None, True), (3, False))
    ),
    ("resnet32", 6, None, False),
    ("resnet32_wider", 6, 7, True),
    ("resnet128", 64, None, False),
    ("mnist_net", 4, None, False),
    ("mnist_net", 3, 5, False),
]


def image_shape(name):
    return IMAGE.get(name, (8, 8, 3))


def save(path, name, filters, classes):
    v = original_code.variables(name, filters, classes, image_shape(name))
    return v, original_code.write(path, context_energy=v)


def inputs(name, classes, count=3):
    """Return inputs far larger than images, which tell more of these small networks."""
    x = 30.0 * tf.random.stateless_normal([count, *image_shape(name)], (1, 2))
    return x, None if classes is None else tf.one_hot(np.arange(count) % classes, classes)


def evaluate(network, x, label):
    return network(x if label is None else (x, label))


@pytest.mark.parametrize(("name", "filters", "classes", "attention"), CASES)
def test_a_loaded_network_computes_what_its_variables_mean(
    tmp_path, name, filters, classes, attention
):
    classes = 200 if name == "resnet128" and classes else classes
    v, path = save(tmp_path / "model_7", name, filters, classes)
    if name == "resnet128" and classes is None:
        # Untrained, as labels are where there are none.
        for key in v:
            leaf = key.rpartition("/")[2]
            if leaf in ("g", "gb", "cb"):
                v[key] = np.full_like(v[key], leaf == "g")
        original_code.write(path, context_energy=v)
    options = {} if name == "mnist_net" else {"image_shape": image_shape(name)}
    network = legacy.load_network(path, use_attention=attention, **options)
    x, label = inputs(name, classes)
    expected = original_code.energy(v, name, x, label, attention)
    # What the input decides, and not the bias, is compared.
    assert np.std(expected) > 0.01 * np.abs(np.mean(expected))
    # An energy near zero is a difference of larger ones, whose rounding it has.
    atol = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(evaluate(network, x, label), expected, rtol=1e-4, atol=atol)


@pytest.mark.parametrize(
    "name", ["mnist_net", pytest.param("resnet32_wider", marks=pytest.mark.thorough)]
)
def test_the_other_activation(tmp_path, name):
    v, path = save(tmp_path / "m", name, 4, None)
    x, _ = inputs(name, None)
    network = legacy.load_network(path, activation="leaky_relu", image_shape=image_shape(name))
    expected = original_code.energy(v, name, x, act=tf.nn.leaky_relu)
    np.testing.assert_allclose(network(x), expected, rtol=1e-4)


def test_grey_images_are_told_from_the_shapes(tmp_path):
    v = original_code.variables("resnet32", 4, None, (32, 32, 1))
    path = original_code.write(tmp_path / "m", context_energy=v)
    assert legacy.load_network(path).input_shape == (None, 32, 32, 1)


class TestFEBM:
    def test_both_networks_train_on(self, tmp_path):
        pair = [original_code.variables("resnet32", 4, 3, (8, 8, 3), seed) for seed in (0, 1)]
        # A resumed run keeps the optimizers' slots and step counts beside the variables.
        slots = {f"{key}/Adam{i}": value for key, value in pair[0].items() for i in ("", "_1")}
        path = original_code.write(
            tmp_path / "model_9",
            context_energy={**pair[0], **slots},
            context_dis=pair[1],
            others={"beta1_power": np.float32(0.5)},
        )
        model = tf_febm.FEBM(
            *legacy.load_networks(path, image_shape=(8, 8, 3)),
            "kl",
            sampler=tf_febm.samplers.Langevin(num_steps=2),
            seed=1,
        )
        x, label = inputs("resnet32", 3)
        energies = [original_code.energy(v, "resnet32", x, label)[:, 0] for v in pair]
        np.testing.assert_allclose(model.energy(x, label), energies[0], rtol=1e-4)
        np.testing.assert_allclose(model.log_density_ratio(x, label), sum(energies), rtol=1e-4)
        assert model.divergence.name == "kl"
        model.compile(run_eagerly=True)
        logs = model.train_on_batch(tf.sigmoid(x), label, return_dict=True)
        assert np.isfinite(list(logs.values())).all()

    def test_one_network_is_not_enough(self, tmp_path):
        _, path = save(tmp_path / "m", "resnet32", 4, None)
        with pytest.raises(ValueError, match="no scope 'context_dis'; found context_energy"):
            legacy.load_networks(path)


class TestErrors:
    def test_all_faults_are_named_at_once(self, tmp_path):
        v = original_code.variables("resnet32", 4, 3, (8, 8, 3))
        del v["res_1_res_c1/c_u"], v["fc5/b"]
        v["res_9_res_c1/cweight"] = v["more"] = np.zeros(2, np.float32)
        v["res_3_res_c2/cb"] = np.zeros([5], np.float32)
        path = original_code.write(tmp_path / "m", context_energy=v)
        with pytest.raises(ValueError) as error:
            legacy.load_network(path)
        message = str(error.value)
        for part in (
            "resnet32(num_filters=4, num_classes=3",
            "Missing: fc5/b, res_1_res_c1/c_u.",
            "superfluous: more, res_9_res_c1/cweight.",
            "of a wrong shape: res_3_res_c2/cb is (5,) and not (8,).",
        ):
            assert part in message
        assert "\n" not in message

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"num_filters": 8}, r"fc5/wweight is \(8, 1\) and not \(16, 1\)"),
            ({"num_classes": 10}, r"res_1_res_c1/gb is \(3, 4\) and not \(10, 4\)"),
            ({"architecture": "resnet32_large"}, "issing: .*res_8_res_c2/g"),
            ({"architecture": "resnet32_large"}, "superfluous: fc_dense/b"),
            ({"architecture": "ResNet32"}, "one of mnist_net, .*received 'ResNet32'"),
            ({"architecture": "mnist_net"}, "mnist_net.of unknown size.. Missing: c1/c_u, c1/cwe"),
            ({"scope": "context_0"}, "no scope 'context_0'; found context_energy"),
        ],
    )
    def test_another_network_than_was_saved(self, tmp_path, arguments, message):
        _, path = save(tmp_path / "m", "resnet32", 4, 3)
        with pytest.raises(ValueError, match=message):
            legacy.load_network(path, **arguments)

    @pytest.mark.parametrize(
        ("gone", "told"),
        [
            # Each of these tells the architecture, the filters, the channels or the classes.
            (["res_5_res_c1/cweight", "fc5/b"], "does not fit resnet32(num_filters=4"),
            (["res_optim_res_c2/cweight", "fc5/b"], "does not fit resnet32(num_filters=4"),
            (["c1_pre/cweight", "fc5/b"], "does not fit resnet32(num_filters=4"),
            (
                ["res_optim_res_c1/gb", "fc5/b"],
                "does not fit resnet32(num_filters=4, num_classes=3",
            ),
        ],
    )
    def test_all_that_is_missing_is_named_where_some_of_it_tells_the_size(
        self, tmp_path, gone, told
    ):
        v = original_code.variables("resnet32", 4, 3, (8, 8, 3))
        rest = {key: value for key, value in v.items() if key not in gone}
        path = original_code.write(tmp_path / "m", context_energy=rest)
        with pytest.raises(ValueError) as error:
            legacy.load_network(path)
        assert told in str(error.value)
        assert f"Missing: {', '.join(sorted(gone))}." in str(error.value)

    @pytest.mark.parametrize(
        ("name", "shape"),
        [
            ("c1_pre/cweight", (3, 3)),
            ("res_optim_res_c2/cweight", (3, 3, 4)),
            ("res_optim_res_c2/cweight", (3, 3, 4, 5)),
            ("c1_pre/cweight", (3, 3, 0, 4)),
            # Variables that the original creates and does not use.
            ("res_1_res_c1/b", (3, 3)),
            ("res_1_res_c1/cb", (9,)),
        ],
    )
    def test_the_one_that_is_wrong_is_blamed(self, tmp_path, name, shape):
        v = original_code.variables("resnet32", 4, 3, (8, 8, 3))
        path = original_code.write(
            tmp_path / "m", context_energy={**v, name: np.ones(shape, np.float32), "more": v[name]}
        )
        with pytest.raises(ValueError) as error:
            legacy.load_network(path)
        message = str(error.value)
        assert f"uperfluous: more. of a wrong shape: {name} is {shape} and not (" in message
        assert message.count(" and not ") == 1 and "\n" not in message

    def test_labels_are_not_dropped_unseen(self, tmp_path):
        _, path = save(tmp_path / "m", "resnet32", 4, 3)
        with pytest.raises(ValueError, match=r"res_1_res_c1/gb is \(3, 4\) and not \(4,\)"):
            legacy.load_network(path, num_classes=0)

    def test_classes_that_a_network_of_digits_has_not(self, tmp_path):
        _, path = save(tmp_path / "m", "mnist_net", 4, None)
        with pytest.raises(ValueError, match=r"c1_pre/cweight is \(3, 3, 1, 64\) and not"):
            legacy.load_network(path, num_classes=10)

    def test_faults_of_one_network_where_the_other_is_absent(self, tmp_path):
        v = original_code.variables("resnet32", 4, None, (8, 8, 3))
        del v["fc5/b"]
        path = original_code.write(tmp_path / "m", context_energy=v)
        with pytest.raises(ValueError, match="issing: fc5/b.* has no scope 'context_dis'"):
            legacy.load_networks(path)

    def test_the_faults_of_both_networks_are_in_one_error(self, tmp_path):
        v = original_code.variables("resnet32", 4, None, (8, 8, 3))
        pair = [{key: v[key] for key in v if key != gone} for gone in ("fc5/b", "c1_pre/c_u")]
        path = original_code.write(tmp_path / "m", context_energy=pair[0], context_dis=pair[1])
        with pytest.raises(ValueError) as error:
            legacy.load_networks(path, image_shape=(8, 8, 3))
        message = str(error.value)
        assert message.index("(context_energy) does not fit") < message.index("Missing: fc5/b.")
        assert message.index("(context_dis) does not fit") < message.index("Missing: c1_pre/c_u.")

    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [
            ("fc5/wweight/Adamx", np.zeros([8, 1], np.float32), "uperfluous: fc5/wweight/Adamx"),
            ("fc5/wweight/extra", np.zeros([8, 1], np.float32), "uperfluous: fc5/wweight/extra"),
            ("fc5/wweight/Adam", np.zeros([2], np.float32), "uperfluous: fc5/wweight/Adam"),
            ("nowhere/Adam", np.zeros([2], np.float32), "uperfluous: nowhere/Adam"),
            ("fc5/b", np.array([np.nan], np.float32), "wrong values: fc5/b has 1 NaN or infinite"),
            ("fc5/b", np.array([1], np.int32), "wrong values: fc5/b is int32 and not float32"),
        ],
    )
    def test_what_no_run_of_the_original_wrote(self, tmp_path, name, value, told):
        v = original_code.variables("resnet32", 4, None, (8, 8, 3))
        path = original_code.write(tmp_path / "m", context_energy={**v, name: value})
        with pytest.raises(ValueError, match=told):
            legacy.load_network(path)

    def test_attention_variables_are_needed_with_the_flag_alone(self, tmp_path):
        v = original_code.variables("resnet32", 4, None, (8, 8, 3))
        v = {key: value for key, value in v.items() if not key.startswith("atten")}
        path = original_code.write(tmp_path / "m", context_energy=v)
        legacy.load_network(path)
        with pytest.raises(ValueError, match="issing: atten/atten_k_b1, .*, atten/gamma"):
            legacy.load_network(path, use_attention=True)

    def test_something_else(self, tmp_path):
        path = original_code.write(tmp_path / "m", context_energy={"w": np.zeros(3, np.float32)})
        with pytest.raises(ValueError, match="No network of the original code is recognised"):
            legacy.load_network(path)

    def test_no_such_checkpoint(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="There is no checkpoint .*model_1"):
            legacy.load_network(tmp_path / "model_1")
        with pytest.raises(FileNotFoundError):
            legacy.load_network(tmp_path)

    @pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
    @pytest.mark.parametrize("damage", ["absent", "empty", "half", "overwritten"])
    def test_a_damaged_checkpoint(self, tmp_path, suffix, damage):
        _, path = save(tmp_path / "m", "resnet32", 4, None)
        file = Path(path + suffix)
        content = file.read_bytes()
        half = len(content) // 2
        if damage == "absent":
            file.unlink()
        else:
            left = {"empty": 0, "half": half, "overwritten": half - 100}[damage]
            rest = bytes(200) + content[half + 100 :] if damage == "overwritten" else b""
            file.write_bytes(content[:left] + rest)
        missing = damage == "absent" and suffix == ".index"
        kind = FileNotFoundError if missing else ValueError
        with pytest.raises(kind, match="There is no|is it complete") as error:
            legacy.load_network(path)
        assert "\n" not in str(error.value)
