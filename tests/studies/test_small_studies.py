"""Studies that make a picture or a table of memory, in small."""

import json

import numpy as np
from PIL import Image

from studies import composition, streaming


def test_a_composition(study, tmp_path):
    line = ["--steps=2", "--chain_steps=2", "--set=width=8", f"--out={tmp_path}"]
    code, _, errors = study("composition", *line)
    assert code == 0, errors
    measured = json.loads((tmp_path / "composition.json").read_text())
    whole, slanted, thick = (
        measured["results"][name] for name in ("all digits", "data, slanted", "data, thick")
    )
    assert slanted["slant"] > whole["slant"] + 0.1 and thick["ink"] > whole["ink"] + 0.02
    assert len(composition.table(measured)) == 2 + 6
    with Image.open(tmp_path / "composition.png") as image:
        assert image.size[0] > image.size[1] > 100


def test_slant_and_ink():
    """A stroke one column to the right for each row upward, of known level."""
    image = np.zeros((2, 8, 8, 1))
    image[0, range(8), range(7, -1, -1)] = 0.5
    image[1, :, 3] = 1.0
    slant, ink = composition.traits(image)
    np.testing.assert_allclose(slant, [1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(ink, [0.5 / 8, 1 / 8])


def test_memory_of_a_stream(tmp_path, monkeypatch):
    """The figures are of this process here: a fresh one is what `runs.each` gives."""
    monkeypatch.setattr(streaming, "IN_FILE", 128)
    folder = streaming.write_files(tmp_path / "records", 3)
    monkeypatch.setattr(streaming, "BATCH", 48)
    found = streaming.measure({"buffer": 64, "files": 3, "folder": str(folder)})
    # A whole number of batches of three buffers.
    assert found["seen"] == 3 * 64 // streaming.BATCH * streaming.BATCH
    assert found["before"] <= found["loaded"] <= found["peak"] < found["before"] + 2000
    row = {"buffer": None, "buffer_mib": None, "before": 1.0, "loaded": 2.0, "peak": 1003.0}
    assert streaming.table({"rows": [row]})[2] == "| none: in memory |  | 1 | 2 | 1,003 |"
    assert streaming.write_files(tmp_path / "records", 3) == folder
