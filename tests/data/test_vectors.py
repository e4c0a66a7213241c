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
            ({"name": ""}, TypeError, "name must be a string"),
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


def lines(first, rows):
    return "\n".join([first, *(",".join(map(repr, row)) for row in rows)])


FLOATS = np.random.default_rng(1).normal(size=(20, 4)).round(3).tolist()
WHOLE = np.random.default_rng(1).integers(0, 9, (20, 4)).tolist()


class TestQuestions:
    """What may be column names, or an index, is asked about; an answer decides."""

    @pytest.mark.parametrize(
        ("first", "rows"),
        [
            ("0,1,2,3", FLOATS),
            ("1,2,3,4", FLOATS),
            # Pixels: whole numbers below them too.
            ("0,1,2,3", WHOLE),
            ("2019,2020,2021,2022", FLOATS),
            ("1700,1650,1600,1550", FLOATS),
            # Wavelengths beside absorbances.
            ("400.5,401.0,401.5,402.0", FLOATS),
            # Names and numbers mixed, over rows of numbers.
            ("year,2020,2021,2022", FLOATS),
            (",0,1,2", FLOATS),
        ],
    )
    def test_numbers_that_may_be_names(self, tmp_path, first, rows):
        path = table(tmp_path, lines(first, rows))
        with pytest.raises(ValueError, match="may be column names or a row of numbers") as caught:
            data.load("csv", path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        assert "--table_header" in str(caught.value)
        named = data.load("csv", path, header=True)
        assert len(named) == 18 and named.columns[1:] == tuple(first.split(",")[1:])
        if first[0].isdigit():
            taken = data.load("csv", path, header=False)
            assert len(taken) == 19 and taken.columns[0] == "column 1"
            np.testing.assert_allclose(taken.vectors[0], [float(v) for v in first.split(",")])
        else:
            with pytest.raises(ValueError, match="line 1, column 1, holds"):
                data.load("csv", path, header=False)

    @pytest.mark.parametrize(
        ("first", "rows"),
        [
            ("0.5,1.5,2.5,3.5", FLOATS[:9]),
            ("3,1,2,0", FLOATS),
            ("1,2", [[2.5, 3.5]]),
            ("1,2,4,5", WHOLE),
            ("0.1,0.2,0.3,0.4", FLOATS),
            ("5", [[0.5], [1.5], [2.5], [3.5]]),
        ],
    )
    def test_rows_that_are_rows(self, tmp_path, first, rows):
        path = table(tmp_path, lines(first, rows))
        np.testing.assert_allclose(
            data.load("csv", path).vectors[0], [float(v) for v in first.split(",")]
        )

    @pytest.mark.parametrize("name", ["", '""', "Unnamed: 0", "index", "ID", "row_id"])
    @pytest.mark.parametrize("start", ["0", "1", "scattered"])
    def test_an_index_is_asked_about(self, tmp_path, name, start):
        index = {"0": range(20), "1": range(1, 21), "scattered": [(7 * i) % 97 for i in range(20)]}
        rows = [[i, *row] for i, row in zip(index[start], FLOATS, strict=True)]
        path = table(tmp_path, lines(f"{name},a,b,c,d", rows))
        for split in ("train", "test"):
            with pytest.raises(
                ValueError, match="first column, named .*--table_index=drop or keep"
            ):
                data.load("csv", path, split)
        without = data.load("csv", path, index_column=True)
        assert without.columns == ("a", "b", "c", "d")
        expected = np.array(FLOATS)[np.arange(20) % 10 != 9]
        np.testing.assert_allclose(without.vectors, expected, rtol=1e-6)
        assert data.load("csv", path, index_column=False).sample_shape == (5,)

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("width", range(20)),
            ("", [i // 2 for i in range(20)]),
            ("id", [i / 2 for i in range(20)]),
        ],
    )
    def test_columns_that_are_data(self, tmp_path, name, values):
        rows = [[v, *row] for v, row in zip(values, FLOATS, strict=True)]
        path = table(tmp_path, lines(f"{name},a,b,c,d", rows))
        assert data.load("csv", path).sample_shape == (5,)

    def test_a_table_without_names_that_counts_its_rows_is_warned_of(self, tmp_path):
        with pytest.warns(UserWarning, match="first column counts the rows.*index_column=True"):
            data.load("csv", table(tmp_path, ROWS))

    def test_only_for_tables(self, tmp_path):
        with pytest.raises(ValueError, match=r"header is for tables \(csv\), not for digits"):
            data.load("digits", header=True)
        with pytest.raises(ValueError, match="no column beside the index"):
            data.load("csv", table(tmp_path, "1\n2\n3"), index_column=True)


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
