"""Folders of splits: which names are read as such, and which are asked about."""

import pytest
from loading import fails, flat, save, values

from tf_febm import data


def split_folder(root, splits, classes=("cat", "dog"), count=3):
    """Images that tell their split and class: 100·(place of the split) + 10·(class) + number."""
    for s, name in enumerate(splits):
        for c, folder in enumerate(classes):
            for k in range(count):
                save(root / name / folder / f"{k}.png", flat(100 * s + 10 * c + k))
    return root


@pytest.mark.parametrize("train", ["train", "Training"])
@pytest.mark.parametrize("test", ["test", "TESTING", "val", "Valid", "validation", "dev"])
def test_folders_of_splits_are_no_classes(tmp_path, train, test):
    split_folder(tmp_path, (train, test))
    both = [data.load("folder", tmp_path, split, image_size=1) for split in ("train", "test")]
    for s, loaded in enumerate(both):
        assert values(loaded) == [100 * s + v for v in (0, 1, 2, 10, 11, 12)]
        assert loaded.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert loaded.class_names == ("cat", "dog") and loaded.num_classes == 2


def test_three_splits_without_classes(tmp_path):
    split_folder(tmp_path, ("train", "test", "val"), ("",))
    train, test = (data.load("folder", tmp_path, s, image_size=1) for s in ("train", "test"))
    assert values(train) == [0, 1, 2] and values(test) == [100, 101, 102]
    assert train.labels is None and test.labels is None
    assert "val/ not read" in train.source


def test_a_training_folder_alone_holds_every_tenth_out(tmp_path):
    split_folder(tmp_path, ("train",), count=10)
    train, test = (data.load("folder", tmp_path, s, image_size=1) for s in ("train", "test"))
    assert values(test) == [9, 19] and test.labels.tolist() == [0, 1]
    assert len(train) == 18 and train.class_names == ("cat", "dog")


def test_classes_are_numbered_alike_in_both_splits(tmp_path):
    split_folder(tmp_path, ("train",), ("bee", "dog"))
    split_folder(tmp_path, ("nothing", "val"), ("ant", "dog"))
    for folder in (tmp_path / "nothing").rglob("*.png"):
        folder.unlink()
    with pytest.warns(UserWarning, match="no examples of 'ant' among its 3 classes"):
        train = data.load("folder", tmp_path, image_size=1)
    test = data.load("folder", tmp_path, "test", image_size=1)
    assert train.class_names == test.class_names == ("ant", "bee", "dog")
    assert set(train.labels) == {1, 2} and set(test.labels) == {0, 2}


def test_a_test_split_without_labels(tmp_path):
    split_folder(tmp_path, ("train",))
    split_folder(tmp_path, ("", "test"), ("",))
    for file in tmp_path.glob("*.png"):
        file.unlink()
    assert data.load("folder", tmp_path, image_size=1).num_classes == 2
    assert data.load("folder", tmp_path, "test", image_size=1).labels is None


def test_splits_below_a_folder_and_below_classes(tmp_path):
    split_folder(tmp_path / "a" / "around", ("train", "test"))
    for s, split in enumerate(("train", "test")):
        loaded = data.load("folder", tmp_path / "a", split, image_size=1)
        assert values(loaded) == [100 * s + v for v in (0, 1, 2, 10, 11, 12)]
        assert loaded.class_names == ("cat", "dog")
    split_folder(tmp_path / "b", ("cat", "dog"), ("Train", "Val"))
    for s, split in enumerate(("train", "test")):
        loaded = data.load("folder", tmp_path / "b", split, image_size=1)
        assert values(loaded) == [10 * s + v for v in (0, 1, 2, 100, 101, 102)]
        assert loaded.class_names == ("cat", "dog") and loaded.labels.tolist() == [0] * 3 + [1] * 3


# Names, the one for training first; the test split is the one after it.
SPELLINGS = [
    "training_set test_set",
    "train2017 val2017",
    "trainA testA",
    "seg_train seg_test seg_pred",
    "trainset testset",
    "train-set test-set valid-set",
    "Training Data/Test Data",
    "TrainSet TestSet",
    "train_images val_images",
    "trainingdata testdata",
    "1.train 2.val",
    "01_train 02_test 03_holdout",
    "DIV2K_train_HR DIV2K_valid_HR",
    "chest-xray-TRAIN chest-xray-TEST",
    "train validate",
    "train dev",
    "train holdout",
    "train hold-out",
    "Train HeldOut",
    "train valid",
    "train eval",
    "train predictions",
    "trainval2012 test2012",
    "train_800 test_100",
    "trn tst",
    "trains tests",
    "tr te va",
    "imagesTr imagesTs",
    "tr_images te_images",
    "train te",
    "tr val",
    "train gallery query",
    "images_background images_evaluation",
]


@pytest.mark.parametrize("names", SPELLINGS)
@pytest.mark.parametrize("around", ["", "data"])
def test_the_names_of_splits_are_read_by_their_words(tmp_path, names, around):
    names = names.split("/" if "/" in names else " ")
    split_folder(tmp_path / around, names)
    for s, split in enumerate(("train", "test")):
        loaded = data.load("folder", tmp_path, split, image_size=1)
        assert values(loaded) == [100 * s + v for v in (0, 1, 2, 10, 11, 12)]
        assert loaded.class_names == ("cat", "dog")
        assert all(f"{name}/" in loaded.source for name in names[2:])


@pytest.mark.parametrize(
    "names",
    [
        ("boat", "train"),
        ("bus", "car", "train"),
        ("steam_train", "test_tube"),
        ("steam_train", "bullet train"),
        ("bus", "steam_train", "test_tube", "train_station"),
        ("test_tube", "beaker"),
        ("valid", "invalid"),
        ("latest", "contest"),
        ("trainer", "boot"),
        ("developer", "evaluator"),
        ("mask", "no_mask"),
        ("with_mask", "without_mask"),
        ("images", "sketches"),
        ("2017", "2018"),
        ("trains", "planes", "cars"),
        # Languages, and other places where such words are of classes.
        ("tr", "te", "de", "fr"),
        ("tr", "de"),
        ("te", "ts"),
        ("wiki_tr", "wiki_te", "wiki_en"),
        ("tr", "va", "zh-CN"),
        ("background", "foreground"),
        ("background", "train"),
        ("tr",),
        ("background", "cat", "dog"),
        ("gallery", "museum", "bar"),
        ("art_gallery", "train_station"),
        ("art_gallery", "train_station", "bus"),
        ("vats", "barrels"),
    ],
)
def test_classes_whose_names_contain_such_words_are_classes(tmp_path, names):
    names = sorted(names)
    split_folder(tmp_path, names, ("",))
    loaded = data.load("folder", tmp_path, image_size=1)
    assert loaded.class_names == tuple(names)
    assert "not read" not in loaded.source


def test_two_training_folders_with_a_test_folder_each(tmp_path):
    """As for translations between two sorts of pictures: what the names add is the class."""
    split_folder(tmp_path, ("trainA", "trainB", "testA", "testB"), ("",))
    for split, first in (("train", 0), ("test", 200)):
        loaded = data.load("folder", tmp_path, split, image_size=1)
        assert loaded.class_names == ("A", "B")
        # 8 bits.
        assert values(loaded) == [(first + v) % 256 for v in (0, 1, 2, 100, 101, 102)]
        assert loaded.labels.tolist() == [0] * 3 + [1] * 3


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train", "test", "extra"), "folders of splits, train, test, beside 'extra'"),
        (("train2017", "val2017", "more"), "folders of splits, train2017, val2017, beside 'more'"),
        (("seg_train", "seg_test", "sea"), "seg_train, seg_test, beside 'sea'"),
        (("test", "val"), "folders of splits, test, val, beside no training one"),
        (("test", "val", "other"), "folders of splits, test, val, beside 'other'"),
        (("seg_test", "seg_val"), "seg_test, seg_val, beside no training one"),
        (("test2017",), "test2017, beside no training one"),
        (("train", "Train", "test"), "several folders for training, Train, train"),
        (("train1", "train2", "test"), "several folders for training, train1, train2"),
        (("fold1_train", "fold2_train", "fold1_test", "fold2_test"), "several folders for train"),
        (("trainA", "trainB"), "beside no .*|several folders for training"),
        (("train", "test_final"), "may be splits or classes, train, test_final"),
        (("train_clean", "test_noisy"), "may be splits or classes"),
        (("tr", "te"), "may be splits or classes, tr, te"),
        (("tr", "ts"), "may be splits or classes, tr, ts"),
        (("tr", "va"), "may be splits or classes, tr, va"),
        (("tr", "te", "unlabelled"), "folders of splits, tr, te, beside 'unlabelled'"),
        (("train", "gallery"), "may be splits or classes, train, gallery"),
        (("query", "gallery"), "gallery, query, beside no training one"),
        (("background", "test"), "may be splits or classes, background, test"),
        # The same classes in both.
        (("train", "secret"), "folders of splits, train, beside 'secret'"),
    ],
)
def test_splits_that_are_not_clear_are_asked_about(tmp_path, folders, message):
    split_folder(tmp_path, folders)
    for split in ("train", "test"):
        line = fails(ValueError, message, "folder", tmp_path, split)
        assert str(tmp_path) in line
        assert "subfolders='splits' or subfolders='classes'" in line
    loaded = data.load("folder", tmp_path, image_size=1, subfolders="classes")
    assert loaded.num_classes == 2 * len(folders) and "test/cat" not in loaded.source
    trains = [name for name in folders if "rain" in name or name in ("tr", "background")]
    if not trains:
        fails(ValueError, "needs one called train", "folder", tmp_path, subfolders="splits")
        return
    loaded = data.load("folder", tmp_path, image_size=1, subfolders="splits")
    assert len(loaded) == 6 * len(trains) - (0 if len(trains) < len(folders) else 1)
    assert all(f"{name}/" in loaded.source for name in ("extra", "more", "sea") if name in folders)


def test_codes_of_splits_beside_labels(tmp_path):
    split_folder(tmp_path, ("imagesTr", "imagesTs", "labelsTr"), ("",))
    with pytest.warns(UserWarning, match="'labelsTr' seem to belong to the pictures"):
        train = data.load("folder", tmp_path, image_size=1)
    assert values(train) == [0, 1, 2] and train.labels is None
    assert values(data.load("folder", tmp_path, "test", image_size=1)) == [100, 101, 102]


def test_languages_above_the_splits(tmp_path):
    """The word that is certain comes first where the answer is that there are splits."""
    split_folder(tmp_path / "tr", ("train", "test"))
    split_folder(tmp_path / "de", ("train", "test"))
    for subfolders in (None, "splits"):
        loaded = data.load("folder", tmp_path, "test", image_size=1, subfolders=subfolders)
        assert loaded.class_names == ("de/cat", "de/dog", "tr/cat", "tr/dog")


def test_a_background_beside_splits_is_not_trained_on(tmp_path):
    split_folder(tmp_path, ("train", "test", "background"))
    loaded = data.load("folder", tmp_path, image_size=1, subfolders="splits")
    assert values(loaded) == [0, 1, 2, 10, 11, 12] and "background/ not read" in loaded.source


def test_splits_further_down_are_asked_about_too(tmp_path):
    split_folder(tmp_path / "a" / "b", ("train", "test", "extra"))
    fails(ValueError, "folders of splits, train, test, beside 'extra'", "folder", tmp_path)


def test_a_folder_called_training_around_the_splits(tmp_path):
    split_folder(tmp_path / "training_data", ("train", "test"))
    test = data.load("folder", tmp_path, "test", image_size=1)
    assert values(test) == [100, 101, 102, 110, 111, 112] and test.class_names == ("cat", "dog")


def test_images_beside_the_folders_of_splits(tmp_path):
    split_folder(tmp_path, ("train", "test"))
    save(tmp_path / "overview.png", flat(9))
    fails(ValueError, "train, test, beside 'images of its own'", "folder", tmp_path)
    loaded = data.load("folder", tmp_path, image_size=1, subfolders="splits")
    assert values(loaded) == [0, 1, 2, 10, 11, 12]


@pytest.mark.parametrize("name", ["__MACOSX", "@eaDir", "lost+found"])
def test_folders_of_systems_hold_no_pictures(tmp_path, name):
    split_folder(tmp_path, ("train", "test"))
    split_folder(tmp_path / name, ("train", "test"))
    split_folder(tmp_path / "train", ("cat", "dog", name), ("",))
    loaded = data.load("folder", tmp_path, "test", image_size=1)
    assert values(loaded) == [100, 101, 102, 110, 111, 112]
    assert loaded.class_names == ("cat", "dog")
    split_folder(tmp_path / "plain", ("cat", name), ("",))
    assert data.load("folder", tmp_path / "plain", image_size=1).class_names == ("cat",)


@pytest.mark.parametrize(
    ("pictures", "others"),
    [
        ("images", ("masks",)),
        ("images", ("labels", "annotations")),
        ("JPEGImages", ("SegmentationClass", "SegmentationObject")),
        ("rgb", ("depth",)),
        ("imgs", ("ground_truth",)),
        ("leftImg8bit", ("gtFine",)),
        ("images", ("labels_coloured", "SegmentationClassAug")),
    ],
)
@pytest.mark.parametrize("below", [True, False])
def test_masks_beside_the_pictures_are_no_class(tmp_path, pictures, others, below):
    """train/images and train/masks, or images/train and masks/train."""
    for s, split in enumerate(("train", "test")):
        for k, name in enumerate((pictures, *others)):
            place = (split, name) if below else (name, split)
            save(tmp_path.joinpath(*place, "1.png"), flat(100 * s + k))
    with pytest.warns(UserWarning, match=f"seem to belong to the pictures in '{pictures}'"):
        train = data.load("folder", tmp_path, image_size=1)
    test = data.load("folder", tmp_path, "test", image_size=1)
    assert values(train) == [0] and values(test) == [100]
    assert train.labels is None and test.labels is None
    assert all(f"{name}/" in train.source for name in others)


def test_masks_beside_pictures_of_classes_and_without_a_folder_for_them(tmp_path):
    for k, place in enumerate(("images/cat", "images/dog", "masks/cat", "masks/dog")):
        save(tmp_path / "a" / place / "1.png", flat(k))
    with pytest.warns(UserWarning, match="'masks' seem to belong to the pictures in 'images'"):
        loaded = data.load("folder", tmp_path / "a", image_size=1)
    assert values(loaded) == [0, 1] and loaded.class_names == ("cat", "dog")
    as_classes = data.load("folder", tmp_path / "a", image_size=1, subfolders="classes")
    assert as_classes.class_names == ("images/cat", "images/dog", "masks/cat", "masks/dog")
    save(tmp_path / "b" / "1.png", flat(5))
    save(tmp_path / "b" / "masks" / "1.png", flat(6))
    with pytest.warns(UserWarning, match="'masks' seem to belong to the pictures in '.'"):
        assert values(data.load("folder", tmp_path / "b", image_size=1)) == [5]


def test_a_folder_that_only_says_pictures_is_no_class(tmp_path):
    for split in ("train", "valid"):
        save(tmp_path / split / "images" / "1.png", flat(1))
        (tmp_path / split / "labels").mkdir()
        (tmp_path / split / "labels" / "1.txt").write_text("0 0.5 0.5 1 1")
    loaded = data.load("folder", tmp_path, image_size=1)
    assert loaded.labels is None and len(loaded) == 1
    split_folder(tmp_path / "more", ("images",))
    loaded = data.load("folder", tmp_path / "more", image_size=1)
    assert loaded.class_names == ("cat", "dog")
    split_folder(tmp_path / "all", ("images", "photos"), ("",))
    assert data.load("folder", tmp_path / "all", image_size=1).num_classes == 2


def test_subfolders_is_for_folders_of_images(tmp_path):
    split_folder(tmp_path, ("cat", "dog"), ("",))
    fails(ValueError, "one of splits, classes or None; received 'x'", "folder", tmp_path,
          subfolders="x")  # fmt: skip
    fails(ValueError, r"is for folders of images \(folder\), not for digits", "digits",
          subfolders="splits")  # fmt: skip


def test_folders_without_images_are_named(tmp_path):
    split_folder(tmp_path, ("train", "test"))
    (tmp_path / "train" / "eel").mkdir()
    with pytest.warns(UserWarning, match="no images that can be read in 'eel'"):
        data.load("folder", tmp_path, image_size=1)
