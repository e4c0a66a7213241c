"""Figures as a sentence."""

from tf_febm.terminal.words import in_words


def test_numbers_texts_and_what_is_nested():
    figures = {
        "frechet_distance": 12.3456789, "num_samples": 100, "reference": "test", "shares": [1, 2],
        "score": None, "pixels": {"held_out": 0.5, "equal": True},
    }  # fmt: skip
    assert in_words("Samples", figures).replace("\n", " ") == (
        "Samples: frechet distance 12.35, num samples 100, reference test, pixels (held out 0.5, "
        "equal yes)."
    )
