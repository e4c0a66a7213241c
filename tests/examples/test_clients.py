"""The clients that score files with an exported model, as a user starts them."""

import ast
import contextlib
import csv
import io
import itertools
import os
import runpy
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import table_cases
from PIL import Image
from table_cases import indexed, lines, with_last

import tf_febm
from tf_febm import data
from tf_febm.data import images, table


@pytest.fixture
def client(project, tmp_path, monkeypatch, capsys):
    """Return a function that runs a client elsewhere, as `python` would, and gives its rows."""

    def run(name, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        capsys.readouterr()
        runpy.run_path(str(project / "examples" / name), run_name="__main__")
        return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))

    return run


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLES.glob("*.py")))
@pytest.mark.parametrize("fails", [False, True])
def test_what_tensorflow_says_while_it_starts_is_held_back(
    script, fails, tmp_path, monkeypatch, capfd
):
    """Unless it fails to start: a stand-in that writes where TensorFlow does, past Python."""
    lines = ["import os", "os.write(2, b'no GPU')", "constant = float", "1 / 0" * fails]
    (tmp_path / "tensorflow.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorflow")
    monkeypatch.delitem(sys.modules, "quiet", raising=False)
    # What the tests set, which shows the lines of whoever sets it.
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    with pytest.raises(ZeroDivisionError) if fails else contextlib.nullcontext():
        runpy.run_path(str(EXAMPLES / script))
    assert capfd.readouterr().err == ("no GPU" if fails else "")
    # All else that brings TensorFlow comes after.
    tree = ast.parse((EXAMPLES / script).read_text())
    first = [node.names[0].name for node in tree.body if isinstance(node, ast.Import)]
    assert "tf_febm" not in first or first[0] == "quiet"


def test_a_folder_of_pictures(client, tmp_path):
    keras.utils.set_random_seed(0)
    model = tf_febm.ContrastiveDivergence(tf_febm.networks.mlp((4, 4, 3), (8,), "swish"))
    tf_febm.export(model, tmp_path / "model")
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    exact = rng.integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(exact).save(folder / "exact.png")
    # Three times as large, and wider than high: the middle square, averaged, is the same picture.
    large = np.pad(exact.repeat(3, 0).repeat(3, 1), ((0, 0), (5, 5), (0, 0)))
    Image.fromarray(large).save(folder / "below" / "large.png")
    Image.fromarray(255 - exact).save(folder / "other.png")
    (folder / "notes.txt").write_text("no picture")
    rows = client("score_images.py", tmp_path / "model", folder)
    found = {row["file"]: float(row["energy"]) for row in rows}
    assert found.keys() == {"exact.png", "below/large.png", "other.png"}
    expected = model.energy((exact[None] + np.float32(0.5)) / 256)[0].numpy()
    np.testing.assert_allclose(
        [found["exact.png"], found["below/large.png"]], expected, rtol=1e-5, atol=1e-5
    )
    assert abs(found["other.png"] - expected) > 1e-3
    energies = [float(row["energy"]) for row in rows]
    assert energies == sorted(energies, reverse=True)


def test_pictures_are_found_where_training_finds_them(project, client, tmp_path):
    """Linked folders, once each; nothing hidden, and nothing of the system's."""
    find = runpy.run_path(str(project / "examples" / "score_images.py"))["find"]
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "pictures"
    places = ["a.png", "b/B.JPG", "b/c/d.webp", ".hidden/e.png", "b/._f.png", "__MACOSX/g.png"]
    places += ["@eaDir/h.png", "notes.txt"]
    for root in (elsewhere, folder):
        for place in places:
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(root / place, format="png")
    (folder / "linked").symlink_to(elsewhere, target_is_directory=True)
    (folder / "again").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "one.png").symlink_to(elsewhere / "a.png")
    found = find(folder)
    assert found == images.find_images(folder)
    names = {path.relative_to(folder).as_posix() for path in found}
    assert {"a.png", "b/B.JPG", "b/c/d.webp", "one.png"} < names and len(names) == 7
    model = tf_febm.ContrastiveDivergence(tf_febm.networks.mlp((4, 4, 3), (8,), "swish"))
    tf_febm.export(model, tmp_path / "model")
    rows = client("score_images.py", tmp_path / "model", folder)
    assert {row["file"] for row in rows} == names
    with pytest.raises(SystemExit, match="nowhere cannot be read: No such file"):
        client("score_images.py", tmp_path / "model", tmp_path / "nowhere")


def test_a_table_of_vectors(client, tmp_path):
    keras.utils.set_random_seed(0)
    sampler = tf_febm.samplers.Langevin.from_epsilon(0.1, num_steps=2)
    network = tf_febm.networks.mlp(3, (8,), "swish")
    model = tf_febm.ContrastiveDivergence(network, sampler=sampler)
    tf_febm.export(model, tmp_path / "model")
    x = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    np.savetxt(tmp_path / "x.csv", x, delimiter=",", header="a,b,c", comments="")
    rows = client("score_csv.py", tmp_path / "model", tmp_path / "x.csv", "--batch_size=3")
    assert [int(row["row"]) for row in rows] == list(range(1, 8))
    found = [float(row["energy"]) for row in rows]
    np.testing.assert_allclose(found, model.energy(x), rtol=1e-5, atol=1e-5)
    order = np.argsort(-np.array(found))
    assert [int(row["rank"]) for row in rows] == (np.argsort(order) + 1).tolist()
    top = client("score_csv.py", tmp_path / "model", tmp_path / "x.csv", "--top=2")
    assert [row["row"] for row in top] == [str(k + 1) for k in order[:2]]
    np.savetxt(tmp_path / "narrow.csv", x[:, :2], delimiter=",")
    with pytest.raises(SystemExit, match="takes 3 numbers a row; row 1 of"):
        client("score_csv.py", tmp_path / "model", tmp_path / "narrow.csv")


def test_columns_are_found_by_name(client, tmp_path):
    """In another order, beside an index, a label and words."""
    model = tf_febm.ContrastiveDivergence(
        tf_febm.networks.mlp(2, (8,), "swish"),
        sampler=tf_febm.samplers.Langevin.from_epsilon(0.1, num_steps=2),
    )
    model.column_names = ("a", "b")
    tf_febm.export(model, tmp_path / "model")
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    lines = [f"{k},{b:.7g},cat,{a:.7g}" for k, (a, b) in enumerate(x)]
    (tmp_path / "x.csv").write_text("\n".join(["id,b,kind,a", *lines]))
    rows = client("score_csv.py", tmp_path / "model", tmp_path / "x.csv")
    found = [float(row["energy"]) for row in rows]
    np.testing.assert_allclose(found, model.energy(x), rtol=1e-4, atol=1e-5)
    (tmp_path / "x.csv").write_text("\n".join(["id,b,kind,a", *lines, "5,1.0"]))
    with pytest.raises(SystemExit, match="row 6 of .* has 2 fields, not 4"):
        client("score_csv.py", tmp_path / "model", tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1,2,3\n4,5,6\n", None),
        (b"\xef\xbb\xbf1,2,3\n4,5,6\n", None),
        (b"\xef\xbb\xbfa,b,c\r\n1,2,3\r\n\r\n4,5,6\r\n", None),
        (b"a;b;c\n1;2;3\n4;5;6\n", None),
        (b"1\t2\t3\n4\t5\t6\n", None),
        (b"1,,3\n1,2,3\n4,5,6\n", r"3 numbers a row; row 1 of .*\['1', '', '3'\]"),
        (b"1,2,3\n4,nan,6\n", "3 finite numbers"),
        (b"1,2,3\n4,5\n", "row 2 of"),
        ("größe,b,c\n1,2,3\n".encode("latin-1"), "cannot be read"),
        (b"", "3 finite numbers"),
    ],
)
def test_tables_as_training_reads_them(project, tmp_path, content, message):
    read = runpy.run_path(str(project / "examples" / "score_csv.py"))["read"]
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    if message is None:
        np.testing.assert_array_equal(read(path, 3), [[1, 2, 3], [4, 5, 6]])
        np.testing.assert_array_equal(table.read_table(path)[0], [[1, 2, 3], [4, 5, 6]])
    else:
        with pytest.raises(SystemExit, match=message):
            read(path, 3)


TABLES = [
    *(lines(*case) for case in table_cases.OPEN_HEADERS),
    *(lines(*case) for case in table_cases.ROWS),
    *(indexed(*case) for case in table_cases.OPEN_INDEXES),
    *(indexed([name], values) for name, values in table_cases.NO_INDEXES),
    *(with_last(*case) for case in table_cases.OPEN_LATER_INDEXES),
    *(with_last(*case) for case in table_cases.NO_LATER_INDEXES),
]


QUESTIONS = ("may be column names", "may only number the rows")


@pytest.mark.parametrize("index", [None, True, False])
def test_the_client_asks_what_training_asks(project, tmp_path, index):
    """Of every table: a question or a row, and the same rows where both answer."""
    read = runpy.run_path(str(project / "examples" / "score_csv.py"))["read"]
    path = tmp_path / "x.csv"
    asked = 0
    for text, header in itertools.product(TABLES, (None, True)):
        path.write_text(text)
        try:
            expected, *_ = table.read_table(path, header, index)
        except ValueError as error:
            ours = str(error)
            with pytest.raises(SystemExit) as caught:
                read(path, text.count(",", 0, text.index("\n")) + 1, header, index)
            for question in QUESTIONS:
                assert (question in ours) == (question in str(caught.value)), text[:80]
                asked += question in ours
        else:
            found = read(path, expected.shape[1], header, index)
            np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Those about headers at least, whatever is said about an index.
    assert asked >= len(table_cases.OPEN_HEADERS)


def test_questions_about_a_table(project, tmp_path):
    read = runpy.run_path(str(project / "examples" / "score_csv.py"))["read"]
    x = np.random.default_rng(0).normal(size=(20, 3)).round(3)
    path = tmp_path / "x.csv"
    np.savetxt(path, x, delimiter=",", header="2019,2020,2021", comments="", fmt="%.3f")
    with pytest.raises(SystemExit, match="may be column names or a row .*--header=yes or"):
        read(path, 3)
    np.testing.assert_allclose(read(path, 3, header=True), x, rtol=1e-6)
    np.testing.assert_allclose(read(path, 3, header=False)[0], [2019, 2020, 2021])
    with_index = np.column_stack([np.arange(20), x])
    np.savetxt(path, with_index, delimiter=",", header=",a,b,c", comments="", fmt="%.3f")
    with pytest.raises(SystemExit, match="'', may only number .*--drop_index or --keep_index"):
        read(path, 3)
    np.testing.assert_allclose(read(path, 3, drop_index=True), x, rtol=1e-6)
    np.testing.assert_allclose(read(path, 4, drop_index=False), with_index, rtol=1e-6)
    np.savetxt(path, with_index, delimiter=",", fmt="%.3f")
    with pytest.raises(SystemExit, match="takes 3 numbers a row; row 1 .*--drop_index leaves out"):
        read(path, 3)
    np.testing.assert_allclose(read(path, 3, drop_index=True), x, rtol=1e-6)


def test_columns_that_float32_cannot_hold(project, tmp_path):
    """The client and the library refuse the same columns."""
    read = runpy.run_path(str(project / "examples" / "score_csv.py"))["read"]
    rng = np.random.default_rng(0)
    path = tmp_path / "x.csv"
    for offset, deviation in itertools.product((0.0, 1.0, 1e6, 1.6e9), (1e-6, 1e-2, 1.0, 1e3)):
        for stray in (False, True):
            column = rng.normal(offset, deviation, 100)
            column[0] = 0.0 if stray else column[0]
            np.savetxt(path, column, fmt="%.17g")
            # By hand: the steps of float32 near the offset, over the deviation.
            ratio = 2.0 ** (np.floor(np.log2(np.abs(column[50]))) - 23) / deviation
            if 1 / 100 < ratio < 1 / 40:
                continue
            if ratio > 1 / 64:
                with pytest.raises(SystemExit, match="column 1 of .* varies by .* apart"):
                    read(path, 1, header=False)
                with pytest.raises(ValueError, match="subtract that"):
                    data.check_float32_resolution(column[:, None])
            else:
                np.testing.assert_allclose(read(path, 1, header=False)[:, 0], column, rtol=1e-7)
                data.check_float32_resolution(column[:, None])


def test_few_rows_and_large_numbers(project, tmp_path):
    """Four rows are judged, as in training; and numbers whose squares overflow, of however many."""
    read = runpy.run_path(str(project / "examples" / "score_csv.py"))["read"]
    path = tmp_path / "x.csv"
    for column, count, message in (
        (1.6e9 + np.linspace(-100, 100, 4) + 0.5, 4, "varies by"),
        (1.6e9 + np.linspace(-100, 100, 4) + 0.5, 3, None),
        (np.linspace(-1e16, 1e16, 4) + 0.5, 2, "squares float32 cannot hold"),
    ):
        np.savetxt(path, column[:count], fmt="%.17g")
        if message is None:
            assert read(path, 1).shape == (count, 1)
        else:
            with pytest.raises(SystemExit, match=message):
                read(path, 1)


def test_classes_by_the_names_of_the_training_data(client, tmp_path):
    keras.utils.set_random_seed(0)
    names = ["7", "cat", "10"]
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = rng.integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    x = rng.normal(size=(5, 3)).astype(np.float32)
    np.savetxt(tmp_path / "x.csv", x, delimiter=",", fmt="%.9g")
    for shape, script, what, examples in (
        ((4, 4, 3), "score_images.py", folder, (pixels[None] + np.float32(0.5)) / 256),
        ((3,), "score_csv.py", tmp_path / "x.csv", x),
    ):
        network = tf_febm.networks.mlp(shape, (8,), "swish", num_classes=3)
        bounds = (0.0, 1.0) if len(shape) == 3 else None
        sampler = tf_febm.samplers.Langevin(num_steps=1, bounds=bounds)
        model = tf_febm.ContrastiveDivergence(network, sampler=sampler, class_names=names)
        each = np.repeat(np.arange(3), len(examples))
        model.calibrate(np.concatenate([examples] * 3), each)
        tf_febm.export(model, tmp_path / script)
        for k, name in enumerate(names):
            rows = client(script, tmp_path / script, what, f"--label={name}")
            expected = model.energy(examples, np.full(len(examples), k))
            found = [float(row["energy"]) for row in rows]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
            p = [float(row["p_value"]) for row in rows]
            expected = model.p_value(examples, np.full(len(examples), k))
            np.testing.assert_allclose(p, expected, atol=1.01 / (len(examples) + 1))
        with pytest.raises(SystemExit, match="--label must be one of 7, cat, 10; received '1'"):
            client(script, tmp_path / script, what, "--label=1")
        with pytest.raises(SystemExit, match="the model is conditional: give --label"):
            client(script, tmp_path / script, what)


def test_what_the_model_refuses_is_told_in_a_line(client, tmp_path):
    model = tf_febm.ContrastiveDivergence(tf_febm.networks.mlp((3,), (4,)))
    tf_febm.export(model, tmp_path / "bounded")
    (tmp_path / "x.csv").write_text("0.5,0.5,0.5\n0.5,7.5,0.5\n")
    with pytest.raises(SystemExit, match="error: x must be finite and lie in 0, 1.*to 7.5$"):
        client("score_csv.py", tmp_path / "bounded", tmp_path / "x.csv")


def test_pictures_as_training_reads_them(project, client, tmp_path):
    """A phone's orientation tag, transparency, grey, WebP; and one that is cut short."""
    read = runpy.run_path(str(project / "examples" / "score_images.py"))["read"]
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 6, 4), np.uint8)
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.fromarray(pixels[..., :3]).save(folder / "turned.png", exif=tag)
    Image.fromarray(pixels).save(folder / "transparent.png")
    Image.fromarray(pixels[..., 0]).save(folder / "grey.png")
    Image.fromarray(pixels[..., :3]).save(folder / "lossless.webp", lossless=True)
    paths = images.find_images(folder)
    assert len(paths) == 4
    for channels in (1, 3):
        expected = images.decode_images(paths, 3, grey=channels == 1).images
        found = [read(path, 3, 3, channels) for path in paths]
        # Training rounds to 8 bits; tenths of a level are the rounding of what is grey.
        np.testing.assert_allclose(256 * np.stack(found) - 0.5, expected, atol=1.01)
    model = tf_febm.ContrastiveDivergence(tf_febm.networks.mlp((3, 3, 3), (8,), "swish"))
    tf_febm.export(model, tmp_path / "model")
    (folder / "cut.png").write_bytes((folder / "turned.png").read_bytes()[:60])
    rows = client("score_images.py", tmp_path / "model", folder)
    assert {row["file"] for row in rows} == {path.name for path in paths}


@pytest.mark.parametrize("name", ["score_images.py", "score_csv.py"])
def test_wrong_arguments_are_one_line(client, tmp_path, capsys, name):
    (tmp_path / "empty").mkdir()
    for model in ("gone", "empty"):
        with pytest.raises(SystemExit, match=f"error: {model} is no folder that tf_febm.export"):
            client(name, model, "x")
    for size in ("0", "-1", "many"):
        with pytest.raises(SystemExit):
            client(name, "empty", "x", f"--batch_size={size}")
        assert "must be a whole number ≥ 1; received" in capsys.readouterr().err.splitlines()[-1]


def test_a_name_that_is_no_text_is_printed_as_it_is(project, tmp_path, monkeypatch):
    keras.utils.set_random_seed(0)
    model = tf_febm.ContrastiveDivergence(tf_febm.networks.mlp((4, 4, 3), (8,), "swish"))
    tf_febm.export(model, tmp_path / "model")
    names = [b"good.png", b"\xff\xfe.png", b"pipe.png"]
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in names[:2]:
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
        os.rename(tmp_path / "a.png", os.fsencode(folder) + b"/" + name)
    os.mkfifo(os.fsencode(folder) + b"/" + names[2])
    output, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setattr(sys, "argv", ["score", str(tmp_path / "model"), str(folder)])
    runpy.run_path(str(project / "examples" / "score_images.py"), run_name="__main__")
    output.flush()
    errors.flush()
    printed = output.buffer.getvalue()
    assert names[0] in printed and names[1] in printed and names[2] not in printed
    assert b"pipe.png cannot be read: it is no regular file" in errors.buffer.getvalue()
