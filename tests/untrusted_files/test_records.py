"""Facts in JSON: every bit counts, and no text does harm."""

import json

import numpy as np
import pytest

from tf_febm.untrusted_files import DamagedError, read_record, records, write_record

FACTS = {"steps": 3, "note": "é \u2028", "loss": 1e-05, "none": None, "list": [1, {"a": 2.5}]}
SCHEMA = {name: records.Field(lambda value: None) for name in FACTS}


def test_what_was_written_is_read_and_numbers_that_json_lacks_are_null(tmp_path):
    path = tmp_path / "a.json"
    write_record(path, {**FACTS, "loss": float("nan"), "other": np.float64(0.1)})
    assert read_record(path) == {**FACTS, "loss": None, "other": 0.1}
    # Other programs read it as JSON.
    assert json.loads(path.read_text())["steps"] == 3


def test_a_flipped_bit_of_any_byte_is_noticed(tmp_path):
    path = tmp_path / "a.json"
    write_record(path, FACTS)
    whole = path.read_bytes()
    assert read_record(path, SCHEMA) == FACTS
    passed = []
    # One of each byte, another in turn.
    for place in (8 * k + k % 8 for k in range(len(whole))):
        content = bytearray(whole)
        content[place // 8] ^= 1 << (place % 8)
        path.write_bytes(content)
        try:
            read_record(path, SCHEMA)
            passed.append(place)
        except DamagedError as error:
            assert "a.json is damaged" in str(error) and "\n" not in str(error)
    assert passed == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "lie more than 24 deep"),
        ('{"a":' * 100_000, "lie more than 24 deep"),
        ('{"steps": 1, "steps": 2}', "stands twice"),
        ('{"steps": NaN}', "NaN is no number"),
        ('{"steps": ' + "9" * 5000 + "}", "damaged"),
        ('{"steps": -1}', "steps: no whole number"),
        ('{"steps": true}', "steps: no whole number"),
        ('{"steps": 1, "more": 2}', "'more' is unknown"),
        ("{}", "'steps' is missing"),
        ("[]", "no object"),
        ("", "damaged"),
    ],
)
def test_texts_made_to_do_harm(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DamagedError, match=message):
        read_record(path, {"steps": records.Field(records.whole)})


def test_brackets_inside_of_texts_are_not_deep(tmp_path):
    write_record(tmp_path / "a.json", {"text": "[" * 1000 + '\\"'})
    assert len(read_record(tmp_path / "a.json")["text"]) == 1002


@pytest.mark.parametrize("name", ["../x", "/dev/zero", "", ".", "..", "a/b", "a\\b", 3, ".hidden"])
def test_names_that_lead_elsewhere(name):
    with pytest.raises(ValueError, match="no plain name"):
        records.plain_name(name)
    records.plain_name("step-1.data-00000-of-00001")
