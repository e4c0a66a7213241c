"""Vectors: the data class, the stream of batches, and tables and archives that people have."""

import numpy as np
import pytest

from tf_febm import data

X = np.random.default_rng(0).normal([1.0, -50.0, 3.0], [2.0, 0.1, 1.0], (40, 3)).astype(np.float32)


class TestVectorData:
    def test_holds_what_it_was_given(self):
        held = data.VectorData("x", X, columns=("a", "b", "c"))
        assert held.sample_shape == (3,) and len(held) == 40 and held.bounds is None
        np.testing.assert_allclose(held.mean, X.astype(np.float64).mean(0))
        np.testing.assert_allclose(held.scale, X.astype(np.float64).std(0))
        np.testing.assert_array_equal(held.examples(5), X[:5])
        assert "float32 [40, 3]" in repr(held)
        with pytest.raises(ValueError, match="read-only"):
            held.vectors[0] = 0.0

    @pytest.mark.parametrize(
        ("fields", "kind", "message"),
        [
            ({"name": ""}, ValueError, "name must not be empty"),
            ({"vectors": [[1.0]]}, TypeError, "numpy array; received list"),
            ({"vectors": X.astype(np.float64)}, ValueError, r"received float64 \[40, 3\]"),
            ({"vectors": X[0]}, ValueError, r"received float32 \[3\]"),
            ({"vectors": X[:0]}, ValueError, r"received float32 \[0, 3\]"),
            ({"vectors": X * np.nan}, ValueError, "vectors must be finite"),
            # Near 1e9 float32 has steps of 64.
            (
                {"vectors": 1e9 + np.float32(64) * np.rint(X)},
                ValueError,
                "column 1 varies by .* 1e",
            ),
            ({"columns": ("a",)}, ValueError, "columns must name the 3 coordinates"),
            ({"labels": np.zeros(40, np.int32)}, ValueError, "given together"),
            (
                {"labels": np.zeros(3, np.int32), "num_classes": 1},
                ValueError,
                r"int32 \[40\].*received int32 \[3\]",
            ),
        ],
    )
    def test_refuses(self, fields, kind, message):
        with pytest.raises(kind, match=message):
            data.VectorData(**{"name": "x", "vectors": X, **fields})


class TestStream:
    SOURCE = data.VectorData("x", X, np.arange(40, dtype=np.int32) % 4, 4)

    def test_an_epoch_visits_each_vector_once_as_it_is(self):
        batches = list(data.stream(self.SOURCE, 8, seed=3).take(5))
        seen = np.concatenate([b.numpy() for b in batches])
        np.testing.assert_array_equal(np.sort(seen, axis=0), np.sort(X, axis=0))
        assert not np.array_equal(seen, X)

    def test_a_stream_from_a_later_step_is_the_rest_of_it(self):
        settings = {"seed": 3, "noise_stddev": 0.2, "conditional": True}
        whole = list(data.stream(self.SOURCE, 16, **settings).take(4))
        later = list(data.stream(self.SOURCE, 16, start_step=2, **settings).take(2))
        for (x, y), (same_x, same_y) in zip(whole[2:], later, strict=True):
            np.testing.assert_array_equal(x, same_x)
            np.testing.assert_array_equal(y, same_y)

    def test_noise_is_in_units_of_each_column(self):
        many = data.VectorData("x", np.tile(X, (100, 1)))
        clean = next(iter(data.stream(many, 4000, seed=1))).numpy()
        noisy = next(iter(data.stream(many, 4000, seed=1, noise_stddev=0.5))).numpy()
        # 4,000 draws: a standard deviation is off by 1.1 %; five of these.
        np.testing.assert_allclose((noisy - clean).std(0), 0.5 * many.scale, rtol=0.06)

    def test_augmentation_is_for_images(self):
        for settings in ({"random_flip": True}, {"random_crop": 2}):
            with pytest.raises(ValueError, match="for images, not for vectors"):
                data.stream(self.SOURCE, 4, **settings)


def table(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


ROWS = "\n".join(f"{i},{i * i},{-i / 2}" for i in range(20))


class TestTables:
    @pytest.mark.parametrize(
        "text",
        [
            ROWS,
            "width,height,depth\n" + ROWS + "\n\n",
            ("\ufeff" + "width,height,depth\n" + ROWS).replace("\n", "\r\n"),
            ("width;height;depth\n" + ROWS.replace(",", ";")),
            ('"width"\t"height"\t"depth"\n' + ROWS.replace(",", "\t")),
        ],
    )
    def test_the_layouts_that_people_have(self, tmp_path, text):
        path = table(tmp_path, text)
        train, test = (data.load("csv", path, split=s) for s in ("train", "test"))
        i = np.arange(20.0)
        values = np.stack([i, i * i, -i / 2], axis=1)
        held_out = i % 10 == 9
        np.testing.assert_array_equal(train.vectors, values[~held_out])
        np.testing.assert_array_equal(test.vectors, values[held_out])
        named = (
            ("column 1", "column 2", "column 3") if text == ROWS else ("width", "height", "depth")
        )
        assert train.columns == named
        assert train.labels is None and str(path) in train.source

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "the table is empty"),
            ("\n\n", "the table is empty"),
            ("a,b\n", "column names and no rows"),
            (ROWS + "\n1,2", "as many fields as the first, 3; line 21 has 2"),
            ("a,b\n1,2\n3,\n", "line 3, b, holds a missing value"),
            ("a,b\n1,2\n3,NA\n", "line 3, b, holds a missing value"),
            ("1,2\nNaN,2\n", "line 2, column 1, holds a missing value"),
            ("a,b\n1,2\n3,red\n", "line 3, b, holds 'red'"),
            ("1,inf\n", "line 1, column 2, holds 'inf'"),
            ("5,red\n" + "6,blue\n" * 20, "line 1, column 2, holds 'red'"),
            ("a,b\n" + "1,2\n2,2\n" * 10, "columns must vary; constant in float32: b"),
            ("a,b\n" + "1,1e60\n2,2\n" * 10, "finite numbers of float32; 10 are not, .* row 1, b"),
            ("1,2\n2,3\n", "holds out one example in ten; received only 2"),
            (b"\xff\xfe1,2", "not a readable table"),
            ('1,"2\n3,4', "not a readable table"),
        ],
    )
    def test_bad_files_are_one_clear_line(self, tmp_path, text, message):
        path = table(tmp_path, text)
        with pytest.raises(ValueError, match=message) as caught:
            for split in ("train", "test"):
                data.load("csv", path, split=split)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_column_that_float32_cannot_tell_apart(self, tmp_path):
        text = "\n".join(f"{i},{10**9 + i % 3}" for i in range(20))
        with pytest.raises(ValueError, match=r"constant in float32: column 2"):
            data.load("csv", table(tmp_path, text))


class TestArchives:
    def test_an_array_of_rank_2_holds_vectors(self, tmp_path):
        np.savez(tmp_path / "v.npz", x=X.astype(np.float64), y=np.arange(40) % 2)
        train, test = (data.load("npz", tmp_path, split=s) for s in ("train", "test"))
        held_out = np.arange(40) % 10 == 9
        np.testing.assert_array_equal(train.vectors, X[~held_out])
        np.testing.assert_array_equal(test.vectors, X[held_out])
        np.testing.assert_array_equal(train.labels, (np.arange(40) % 2)[~held_out])
        assert train.num_classes == test.num_classes == 2

    def test_with_a_test_set_of_its_own(self, tmp_path):
        np.savez(tmp_path / "v.npz", x_train=X, x_test=X[:5] + 1)
        assert len(data.load("npz", tmp_path)) == 40
        np.testing.assert_array_equal(data.load("npz", tmp_path, split="test").vectors, X[:5] + 1)

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.full((20, 2), np.nan), "finite numbers of float32; 40 are not"),
            (np.ones((20, 2)), r"constant in float32: column 1, column 2"),
            (np.zeros((0, 2)), "vectors must be real numbers"),
            (np.array([["a", "b"]] * 20), "vectors must be real numbers"),
        ],
    )
    def test_refuses(self, tmp_path, array, message):
        np.savez(tmp_path / "v.npz", x=array)
        with pytest.raises(ValueError, match=message) as caught:
            data.load("npz", tmp_path)
        assert "v.npz" in str(caught.value)

    def test_no_image_size(self, tmp_path):
        np.savez(tmp_path / "v.npz", x=X)
        with pytest.raises(ValueError, match="image_size is for images, not for npz; received 8"):
            data.load("npz", tmp_path, image_size=8)
