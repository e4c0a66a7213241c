"""The clients that score files with an exported model, as a user starts them."""

import csv
import io
import runpy
import sys

import keras
import numpy as np
import pytest
from PIL import Image

import tf_febm


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


def test_a_table_of_vectors(client, tmp_path):
    keras.utils.set_random_seed(0)
    sampler = tf_febm.samplers.Langevin.from_epsilon(0.1, num_steps=2)
    network = tf_febm.networks.mlp(3, (8,), "swish")
    model = tf_febm.ContrastiveDivergence(network, sampler=sampler)
    tf_febm.export(model, tmp_path / "model")
    x = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    np.savetxt(tmp_path / "x.csv", x, delimiter=",", header="a,b,c", comments="")
    rows = client("score_csv.py", tmp_path / "model", tmp_path / "x.csv", "--batch_size=3")
    assert [int(row["row"]) for row in rows] == list(range(7))
    found = [float(row["energy"]) for row in rows]
    np.testing.assert_allclose(found, model.energy(x), rtol=1e-5, atol=1e-5)
    np.savetxt(tmp_path / "narrow.csv", x[:, :2], delimiter=",")
    with pytest.raises(SystemExit, match="rows of 3 finite numbers"):
        client("score_csv.py", tmp_path / "model", tmp_path / "narrow.csv")
