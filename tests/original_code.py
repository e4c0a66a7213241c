"""The published networks a second time, as plain functions of the original code's variables.

They share nothing with the package but TensorFlow, and agree with what the original code itself
printed (tests/legacy/test_oracles.py), so they tell what checkpoints without such an oracle mean.
"""

import numpy as np
import tensorflow as tf

# Name, output channels in units of F, and "d" where the block halves the image.
BLOCKS = {
    "resnet32": "optim 1 d, 1 1, 2 2 d, 3 2, 4 2 d, 5 2",
    "resnet32_large": "optim 1 d, 1 1, 2 1, 3 2 d, 4 2, 5 2, 6 4 d, 7 4, 8 4",
    "resnet32_larger": "optim 1 d, 1 1, 2 1, 2a 1, 2b 1, 3 2 d, 4 2, 5 2, 5a 2, 5b 2, "
    "6 4 d, 7 4, 8 4, 8a 4, 8b 4",
    "resnet32_wider": "optim 1 d, 1 1, 2 1, 3 2 d, 4 2, 5 2, 6 4 d, 7 4, 8 4",
    "resnet128": "optim 1 d, 3 2 d, 5 4 d, 7 8 d, 9 8 d, 10 8",
}
# The block that attention replaces, its channels and the length of a query, in units of F.
ATTENTION = {
    "resnet32": ("3", 2, 0.5),
    "resnet32_large": ("4", 2, 1),
    "resnet32_larger": ("4", 2, 0.5),
    "resnet32_wider": ("1", 1, 0.5),
    "resnet128": (None, 1, 0.5),
}
STEM = {"resnet32_wider": 128, "resnet128": 64}
NAMES = ("mnist_net", *BLOCKS)


def blocks(name):
    return [(*entry.split(), "")[:3] for entry in BLOCKS[name].split(", ")]


def variables(name, filters, classes=None, image=(28, 28, 1), seed=0):
    """Return every variable that the original code creates, with values that all matter."""
    rng, found = np.random.default_rng(seed), {}

    def add(scope, around=0.0, scale=0.3, **shapes):
        for leaf, shape in shapes.items():
            found[f"{scope}/{leaf}"] = around + scale * rng.normal(size=shape).astype(np.float32)

    def conv(scope, kernel, c_in, c_out, label_classes=None):
        add(scope, cweight=(kernel, kernel, c_in, c_out), c_u=(1, c_out), b=(c_out,), cb=(c_in,))
        per_label = () if label_classes is None else (label_classes,)
        add(scope, 1.0, g=(*per_label, c_out))
        add(scope, gb=(*per_label, c_in))

    def dense(scope, c_in, c_out, spectral=True):
        add(scope, wweight=(c_in, c_out), b=(c_out,), **({"w_u": (1, c_out)} if spectral else {}))

    if name == "mnist_net":
        conv("c1_pre", 3, image[2] + (classes or 0), 64)
        for scope, c_in, c_out in (("c1", 64, 1), ("c2", 1, 2), ("c3", 2, 4)):
            conv(scope, 4, c_in if c_in == 64 else c_in * filters, c_out * filters)
        dense("fc_dense", 4 * 4 * 4 * filters, 2 * filters)
        dense("fc5", 2 * filters, 1, spectral=False)
        return found
    c_in = STEM.get(name, filters)
    conv("c1_pre", 3, image[2], c_in)
    label_classes = 200 if name == "resnet128" else classes
    for block, width, _ in blocks(name):
        c_out, scope = int(width) * filters, f"res_{block}_res"
        conv(f"{scope}_c1", 3, c_in, c_out, label_classes)
        conv(f"{scope}_c2", 3, c_out, c_out, label_classes)
        if c_in != c_out:
            conv(f"{scope}_adaptive", 3, c_in, c_out, label_classes)
        c_in = c_out
        # Second convolutions with a spectral norm on either side of one.
        found[f"{scope}_c2/cweight"] *= rng.choice([0.02, 1.0])
    dense("fc5", c_in, 1, spectral=False)
    if name in ("resnet32", "resnet32_larger"):
        dense("fc_dense", 32 * filters, 4 * filters)
    _, channels, query = ATTENTION[name]
    channels, query = channels * filters, int(query * filters)
    for part, size in (("q", query), ("k", query), ("v", channels)):
        shapes = {"weight": (1, 1, channels, size), "_u": (1, size), "_b1": (size,)}
        add("atten", **{f"atten_{part}{leaf}": shape for leaf, shape in shapes.items()})
    add("atten", 1.0, gamma=(1,))
    return found


def energy(v, name, x, label=None, attention=False, act=tf.nn.silu):
    """Return the energies, [n, 1]."""

    def kernel(scope, weight="cweight", u="c_u", at_most_one=False):
        w = v[f"{scope}/{weight}"]
        matrix = tf.reshape(w, [-1, w.shape[-1]])
        left = tf.math.l2_normalize(v[f"{scope}/{u}"] @ tf.transpose(matrix))
        right = tf.math.l2_normalize(left @ matrix)
        sigma = (left @ matrix @ tf.transpose(right))[0, 0] + (1e-6 if at_most_one else 0.0)
        return w / sigma * (tf.minimum(sigma, 1.0) if at_most_one else 1.0)

    def conv(h, scope, stride=1, at_most_one=False):
        return tf.nn.conv2d(h, kernel(scope, at_most_one=at_most_one), stride, "SAME")

    def of_label(scope, leaf):
        return (label @ v[f"{scope}/{leaf}"])[:, None, None, :]

    def block(h, scope, halve, act):
        c1, c2, bypass = f"{scope}_res_c1", f"{scope}_res_c2", f"{scope}_res_adaptive"
        inner = act(conv(h if label is None else h + of_label(c1, "gb"), c1))
        inner = inner if label is None else inner + of_label(c2, "gb")
        inner = conv(inner, c2, at_most_one=True)
        inner = inner if label is None else inner * (of_label(c2, "g") + v[f"{c2}/cb"])
        total = inner + (conv(h, bypass) if f"{bypass}/cweight" in v else h)
        return act(tf.nn.avg_pool2d(total, 2, 2, "VALID") if halve else total)

    def attend(h):
        q, k, value = (
            tf.nn.conv2d(h, kernel("atten", f"atten_{part}weight", f"atten_{part}_u"), 1, "SAME")
            for part in "qkv"
        )
        q, k = q + v["atten/atten_q_b1"], k + v["atten/atten_k_b1"]
        scores = tf.einsum("nijc,nklc->nijkl", q, k)
        weights = tf.exp(scores - tf.reduce_max(scores, [3, 4], keepdims=True))
        weights /= tf.reduce_sum(weights, [3, 4], keepdims=True)
        mean = tf.einsum("nijkl,nklc->nijc", weights, tf.nn.leaky_relu(value))
        return h + v["atten/gamma"] * mean

    if name == "mnist_net":
        if label is not None:
            channels = tf.ones([*x.shape[:3], 1]) * label[:, None, None, :] / 10.0
            x = tf.concat([x, channels], axis=3)
        h = act(conv(x, "c1_pre"))
        for scope in ("c1", "c2", "c3"):
            h = act(conv(h, scope, stride=2))
        h = tf.reshape(h, [len(h), -1]) @ kernel("fc_dense", "wweight", "w_u")
        return act(h + v["fc_dense/b"]) @ v["fc5/wweight"] + v["fc5/b"]
    smooth = name in STEM
    body = act if smooth else tf.nn.leaky_relu
    h = body(conv(x, "c1_pre"))
    for i, (number, _, halve) in enumerate(blocks(name)):
        if attention and ATTENTION[name][0] == number:
            h = attend(h)
            continue
        h = block(h, f"res_{number}", halve, body if i else tf.nn.leaky_relu)
        if attention and name == "resnet128" and i == 0:
            h = attend(h)
    if smooth:
        h = tf.nn.relu(h) if act is tf.nn.leaky_relu else act(h)
    else:
        leaky = name != "resnet32" and label is not None
        h = tf.nn.leaky_relu(h) if leaky else tf.nn.relu(h)
    return tf.reduce_sum(h, [1, 2]) @ v["fc5/wweight"] + v["fc5/b"]


def write(path, **scopes):
    """Write a checkpoint with the given variables under each scope; return its path."""
    names = {f"{scope}/{name}": value for scope, v in scopes.items() for name, value in v.items()}
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=list(names),
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(value) for value in names.values()],
    )
    return str(path)
