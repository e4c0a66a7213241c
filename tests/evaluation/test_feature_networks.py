"""The feature networks: one contract for all, and each against a computation of its own."""

import hashlib
import pickle
import shutil

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_febm import evaluation
from tf_febm.evaluation import inception_graph

WEIGHTS = "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"


def frozen_graph(side=12, channels=6, classes=5, seed=0):
    """Build a small graph with the tensor names, the operations and the age of the published one.

    Like it, it decodes a JPEG, works on batches of one by constant shapes, normalises with an
    operation that was removed in version 9 of graphs, and adds biases after the product.

    Returns:
        The serialised graph and its weights.
    """
    generator = np.random.default_rng(seed)
    weights = {
        "kernel": generator.normal(0, 0.3, (3, 3, 3, channels)),
        "classes": generator.normal(0, 1, (channels, classes)),
        "biases": generator.normal(0, 3, classes),
        **{name: generator.uniform(0.5, 1.5, channels) for name in ("mean", "var", "beta")},
    }
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    graph = tf.Graph()
    with graph.as_default():
        jpeg = tf.constant(b"", name="DecodeJpeg/contents")
        x = tf.cast(tf.io.decode_jpeg(jpeg, channels=3, name="DecodeJpeg"), tf.float32)
        x = tf.expand_dims(x, 0, name="ExpandDims")
        x = tf.raw_ops.ResizeBilinear(images=x, size=[side, side])
        x = (x - 128.0) / 128.0
        x = tf.nn.conv2d(x, weights["kernel"], 2, "VALID")
        x = tf.nn.relu(tf.identity(x, name="batchnorm"))
        x = tf.nn.avg_pool2d(x, x.shape[1], 1, "VALID", name="pool_3")
        x = tf.reshape(x, [1, channels], name="pool_3/_reshape")
        x = tf.matmul(x, weights["classes"], name="softmax/logits/MatMul")
        tf.nn.softmax(x + weights["biases"], name="softmax")
    graph_def = graph.as_graph_def()
    graph_def.versions.producer = 8
    (node,) = (node for node in graph_def.node if node.name == "batchnorm")
    node.op = "BatchNormWithGlobalNormalization"
    node.attr["variance_epsilon"].f = 0.001
    node.attr["scale_after_normalization"].b = False
    for name in ("mean", "var", "beta", "gamma"):
        constant = graph_def.node.add(name=f"batchnorm/{name}", op="Const")
        constant.attr["dtype"].type = tf.float32.as_datatype_enum
        value = weights.get(name, np.ones(channels, np.float32))
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        node.input.append(constant.name)
    # What old freezing tools left behind: shapes of a batch of one.
    (pool,) = (node for node in graph_def.node if node.name == "pool_3")
    shape = tf.TensorShape([1, 1, 1, channels]).as_proto()
    pool.attr["_output_shapes"].list.shape.append(shape)
    return graph_def.SerializeToString(), weights


@pytest.fixture
def graph_file(tmp_path):
    contents, weights = frozen_graph()
    path = tmp_path / "classify_image_graph_def.pb"
    path.write_bytes(contents)
    return path, weights


@pytest.fixture(scope="module")
def random_squeezenet(tmp_path_factory):
    """Return the path of random weights and the model that they came from."""
    keras.utils.set_random_seed(0)
    model = evaluation.SqueezeNet.build()
    path = tmp_path_factory.mktemp("squeezenet") / "random.weights.h5"
    model.save_weights(path)
    return path, model


@pytest.fixture(params=["classifier", "graph", "keras", "squeezenet"])
def network(request):
    """Return each network and the shape of the images for it."""
    if request.param == "classifier":
        return request.getfixturevalue("classifier"), (8, 8, 1)
    if request.param == "graph":
        path, _ = request.getfixturevalue("graph_file")
        return evaluation.InceptionGraph(path, batch_size=3), (10, 9, 3)
    if request.param == "keras":
        path = request.getfixturevalue("small_inception")
        return evaluation.KerasInception(path, batch_size=3), (16, 16, 3)
    path, _ = request.getfixturevalue("random_squeezenet")
    return evaluation.SqueezeNet(path, side=48, batch_size=3), (16, 16, 3)


def random_bytes(count, shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def test_contract(network):
    network, shape = network
    assert isinstance(network, evaluation.FeatureNetwork)
    assert network.published is False
    assert len(network.fingerprint) == 64
    images = random_bytes(4, shape)
    features, probabilities = network.features_and_probabilities(images)
    assert features.dtype == np.float32 and len(features) == 4 and features.ndim == 2
    assert features.std(axis=0).max() > 0
    np.testing.assert_allclose(network.features(images), features, rtol=1e-6)
    if probabilities is not None:
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    # Neither the batch that an image is in, nor its scale as floats, changes its features.
    alone = np.concatenate([network.features(images[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(alone, features, rtol=1e-4, atol=1e-5)
    floats = (images + 0.5) / 256
    np.testing.assert_allclose(network.features(floats), features, rtol=1e-5, atol=1e-6)
    for bad in (images[0], images[:0], np.full(images.shape, 3.0)):
        with pytest.raises(ValueError, match="received"):
            network.features(bad)


@pytest.mark.parametrize("network", ["graph", "squeezenet"], indirect=True)
def test_grey_images_are_three_equal_channels(network):
    network, shape = network
    grey = random_bytes(3, (*shape[:2], 1))
    np.testing.assert_array_equal(
        network.features(grey), network.features(np.repeat(grey, 3, axis=3))
    )
    with pytest.raises(ValueError, match=r"1 or 3\].*received shape \(3, 4, 4, 2\)"):
        network.features(np.zeros((3, 4, 4, 2), np.uint8))


class TestInceptionGraph:
    @pytest.mark.parametrize("size", [(12, 12), (7, 20)])
    def test_features_and_probabilities(self, graph_file, size):
        """In eager operations, from pixels in 0 … 255, and without the biases."""
        path, weights = graph_file
        images = random_bytes(5, (*size, 3))
        found = evaluation.InceptionGraph(path, batch_size=2).features_and_probabilities(images)
        x = tf.raw_ops.ResizeBilinear(images=images.astype(np.float32), size=[12, 12])
        x = tf.nn.conv2d((x - 128) / 128, weights["kernel"], 2, "VALID").numpy()
        x = (x - weights["mean"]) / np.sqrt(weights["var"] + 0.001) + weights["beta"]
        features = np.maximum(x, 0).mean(axis=(1, 2))
        exponentials = np.exp(features @ weights["classes"])
        np.testing.assert_allclose(found[0], features, rtol=1e-4, atol=1e-5)
        expected = exponentials / exponentials.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found[1], expected, rtol=1e-3, atol=1e-6)

    def test_only_the_published_file_is_called_so(self, graph_file, monkeypatch):
        path, _ = graph_file
        contents = path.read_bytes()
        other = evaluation.InceptionGraph(path)
        fingerprint = hashlib.sha256(contents).hexdigest()
        assert other.fingerprint == fingerprint and not other.published
        assert other.feature_network == f"frozen-graph:{fingerprint[:12]}"
        monkeypatch.setattr(inception_graph, "PUBLISHED", (len(contents), 6, 5))
        same = evaluation.InceptionGraph(path)
        assert same.published and same.feature_network == "inception-2015-12-05"
        monkeypatch.setattr(inception_graph, "PUBLISHED", (len(contents), 7, 5))
        assert not evaluation.InceptionGraph(path).published

    def test_bad_files(self, graph_file, tmp_path):
        path, _ = graph_file
        contents = path.read_bytes()
        missing = tmp_path / "missing.pb"
        with pytest.raises(FileNotFoundError, match=r"missing\.pb .*classify_image_graph_def"):
            evaluation.InceptionGraph(missing)
        with pytest.raises(IsADirectoryError, match="Is a directory.*; accepted is classify_image"):
            evaluation.InceptionGraph(tmp_path)
        for broken in (contents[: len(contents) // 2], b"<html>quota exceeded</html>"):
            path.write_bytes(broken)
            with pytest.raises(ValueError, match=r"classify_image_graph_def\.pb") as error:
                evaluation.InceptionGraph(path)
            assert "\n" not in str(error.value)
            assert f"{len(broken):,} bytes" in str(error.value)

    @pytest.mark.parametrize("name", ["ExpandDims", "pool_3", "softmax/logits/MatMul"])
    def test_other_graphs(self, graph_file, name):
        path, _ = graph_file
        graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
        for node in graph_def.node:
            node.name = "other" if node.name == name else node.name
            node.input[:] = ["other" if i == name else i for i in node.input]
        path.write_bytes(graph_def.SerializeToString())
        with pytest.raises(ValueError, match=f"does not hold the tensors .*{name}") as error:
            evaluation.InceptionGraph(path)
        assert "\n" not in str(error.value)

    def test_a_graph_that_does_more_than_compute_is_refused(self, graph_file, tmp_path):
        path, _ = graph_file
        good, evidence = path.read_bytes(), tmp_path / "evidence"

        def refused(change, message):
            graph = tf.compat.v1.GraphDef.FromString(good)
            change(graph)
            path.write_bytes(graph.SerializeToString())
            with pytest.raises(ValueError, match=message) as caught:
                evaluation.InceptionGraph(path)
            assert "\n" not in str(caught.value) and not evidence.exists()

        def writes(graph):
            with tf.Graph().as_default() as other:
                tf.raw_ops.WriteFile(filename=str(evidence), contents="x")
            graph.node.extend(other.as_graph_def().node)

        refused(writes, "the operation WriteFile of 'WriteFile' is not run; accepted are")
        refused(lambda graph: graph.library.function.add(), "functions of its own")

        def called(graph):
            graph.node[0].attr["f"].func.name = "f"

        refused(called, "calls a function")

        def huge(graph):
            node = next(node for node in graph.node if node.op == "Const" and node.name != "x")
            del node.attr["value"].tensor.tensor_shape.dim[:]
            for size in (1 << 40, 1 << 10):
                node.attr["value"].tensor.tensor_shape.dim.add(size=size)

        refused(huge, "accepted are up to 33,554,432 elements")

        def enlarged(graph):
            for name in ("ResizeBilinear", "ResizeBilinear/size"):
                node = graph.node.add()
                node.CopyFrom(next(node for node in graph.node if node.name == name))
                node.name = name.replace("ResizeBilinear", "large")
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto([100_000, 100_000]))
            graph.node[-2].input[1] = "large/size"

        refused(enlarged, "'large' makes .* numbers of an image")

    def test_batch_size_is_validated(self, graph_file):
        with pytest.raises(ValueError, match="batch_size must be a whole number ≥ 1; received 0"):
            evaluation.InceptionGraph(graph_file[0], batch_size=0)


class TestSqueezeNet:
    def test_published_weights_by_name(self, real_data):
        """Against the same layers written down one by one, weights taken from the file by name."""
        path = real_data / "features" / WEIGHTS
        if not path.exists():
            pytest.skip("no weights of SqueezeNet in the folder of real data")
        images = random_bytes(2, (64, 64, 3))
        found = evaluation.SqueezeNet(path, side=64).features(images)
        arrays = {}
        with h5py.File(path) as file:
            for layer in file:
                leaves = []
                collect = leaves.append
                file[layer].visititems(
                    lambda name, item, collect=collect: (
                        collect((name, item[()])) if isinstance(item, h5py.Dataset) else None
                    )
                )
                arrays.update({f"{layer}/{name}": value for name, value in leaves})

        def convolution(x, layer, stride=1, padding="SAME"):
            own = {k: v for k, v in arrays.items() if k.startswith(layer + "/")}
            (kernel,) = (v for v in own.values() if v.ndim == 4)
            (bias,) = (v for v in own.values() if v.ndim == 1)
            return tf.nn.relu(tf.nn.conv2d(x, kernel, stride, padding) + bias)

        x = images[..., ::-1].astype(np.float32) - np.float32([103.939, 116.779, 123.68])
        x = convolution(x, "conv1", 2, "VALID")
        for fire in range(2, 10):
            if fire in (2, 4, 6):
                x = tf.nn.max_pool2d(x, 3, 2, "VALID")
            x = convolution(x, f"fire{fire}/squeeze1x1")
            parts = [convolution(x, f"fire{fire}/expand{s}x{s}") for s in (1, 3)]
            x = tf.concat(parts, axis=3)
        np.testing.assert_allclose(found, x.numpy().mean(axis=(1, 2)), rtol=1e-3, atol=1e-3)

    def test_published_weights_know_what_is_in_a_picture(self, real_data):
        """A ridge regression on the features tells the classes of CIFAR-10; on pixels it hardly."""
        path = real_data / "features" / WEIGHTS
        batch = real_data / "cifar-10-batches-py" / "test_batch"
        if not (path.exists() and batch.exists()):
            pytest.skip("no weights of SqueezeNet, or no CIFAR-10, in the folder of real data")
        stored = pickle.loads(batch.read_bytes(), encoding="bytes")
        images = stored[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)[:600]
        labels = np.array(stored[b"labels"][:600])

        def accuracy(x):
            x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)
            targets = np.eye(10)[labels]
            train, test = slice(400), slice(400, None)
            gram = x[train].T @ x[train] + 1000 * np.eye(x.shape[1])
            solution = np.linalg.solve(gram, x[train].T @ targets[train])
            return np.mean((x[test] @ solution).argmax(axis=1) == labels[test])

        pixels = accuracy(images.reshape(len(images), -1).astype(np.float64))
        features = accuracy(evaluation.SqueezeNet(path, side=96).features(images))
        assert features > 0.6 and pixels < 0.5

    def test_saved_weights_come_back(self, random_squeezenet):
        path, model = random_squeezenet
        images = random_bytes(2, (40, 40, 3))
        pixels = images[..., ::-1].astype(np.float32) - np.float32([103.939, 116.779, 123.68])
        network = evaluation.SqueezeNet(path, side=40)
        np.testing.assert_allclose(network.features(images), model(pixels), rtol=1e-4, atol=1e-4)
        assert network.feature_network == "squeezenet-1.1-40px"
        again = evaluation.SqueezeNet(path, side=64)
        assert again.fingerprint == network.fingerprint

    def test_bad_files(self, random_squeezenet, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"gone\.h5; accepted is squeezenet_weights"):
            evaluation.SqueezeNet(tmp_path / "gone.h5")
        text = tmp_path / "text.h5"
        text.write_text("not a weights file")
        other = tmp_path / "other.weights.h5"
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(other)
        # One convolution missing: Keras alone would leave it random with no more than a warning.
        part = tmp_path / "part.weights.h5"
        shutil.copy(random_squeezenet[0], part)
        with h5py.File(part, "a") as file:
            del file["layers/conv2d_5"]
        for path in (text, other, part):
            with pytest.raises(ValueError, match="26 convolutions of SqueezeNet 1.1") as error:
                evaluation.SqueezeNet(path)
            assert path.name in str(error.value) and "\n" not in str(error.value)

    def test_side_is_validated(self, random_squeezenet):
        with pytest.raises(ValueError, match="side must be a whole number ≥ 32; received 31"):
            evaluation.SqueezeNet(random_squeezenet[0], side=31)


class TestKerasInception:
    def test_weights_from_a_file(self, inception, monkeypatch):
        """Against the model itself, with the preprocessing that Keras documents."""
        model, path = inception
        images = random_bytes(2, (299, 299, 3))
        pixels = keras.applications.inception_v3.preprocess_input(images.astype(np.float32))
        inner = keras.Model(model.input, [model.layers[-3].output, model.output])
        expected, shares = (output.numpy() for output in inner(pixels))
        assert expected.shape == (2, 8, 8, 2048)
        # It takes seconds to build: the one that is there, without its weights, is a new one.
        model.set_weights([np.zeros_like(w) for w in model.get_weights()])
        monkeypatch.setattr(keras.applications, "InceptionV3", lambda weights: model)
        network = evaluation.KerasInception(path, batch_size=2)
        assert network.feature_network == "keras-inception-v3:some.weights.h5"
        features, probabilities = network.features_and_probabilities(images)
        np.testing.assert_allclose(features, expected.mean(axis=(1, 2)), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(probabilities, shares, rtol=1e-3, atol=1e-6)
        assert features.shape == (2, 2048) and probabilities.shape == (2, 1000)

    def test_random_weights_say_so(self, inception, monkeypatch):
        monkeypatch.setattr(keras.applications, "InceptionV3", lambda weights: inception[0])
        network = evaluation.KerasInception(weights=None)
        assert network.feature_network == "keras-inception-v3:random"

    def test_a_failing_download_is_one_line(self, monkeypatch):
        def fail(weights):
            raise Exception("URL fetch failure on https://…:\n[Errno -2] Name not known")

        monkeypatch.setattr(keras.applications, "InceptionV3", fail)
        with pytest.raises(
            ConnectionError, match=r"could not be fetched \(.*-2\] Name.*local copy"
        ):
            evaluation.KerasInception()
        assert keras.config.dtype_policy().name == "float32"

    def test_bad_files(self, inception, tmp_path, monkeypatch):
        monkeypatch.setattr(keras.applications, "InceptionV3", lambda weights: inception[0])
        with pytest.raises(FileNotFoundError, match=r"gone\.h5; accepted is inception_v3_w"):
            evaluation.KerasInception(tmp_path / "gone.h5")
        text = tmp_path / "text.h5"
        text.write_text("not a weights file")
        with pytest.raises(ValueError, match=r"text\.h5 does not hold the weights") as error:
            evaluation.KerasInception(text)
        assert "\n" not in str(error.value)
