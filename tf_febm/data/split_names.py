"""Names of folders and arrays that say which split they hold, however they are spelt.

A name is taken apart at separators, digits and capitals, and known words that are written together
are too: train-set, trainset, TrainSet and "Training Data" all name the training split, train2017
and seg_train name it with something of their own. `train` is also a vehicle beside `bus` and `car`,
so the names of one level are judged together.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = [
    "CLASSES",
    "DOUBT",
    "SPLITS",
    "TRAINING_ALONE",
    "Chosen",
    "SplitName",
    "beside_pictures",
    "choose",
    "judged",
    "read",
    "say_pictures",
    "split_name",
    "words",
]

TRAIN_WORDS = ("train", "training", "trains", "trn")
# The first of these for which there is a folder or an array is the test split.
TEST_WORDS = (
    "test", "testing", "tests", "tst", "val", "valid", "validation", "validate", "validating",
    "dev", "eval", "evaluation", "holdout", "heldout", "unseen", "pred", "predict", "prediction",
    "predictions",
)  # fmt: skip
# These are words for splits where all of a level fits together, and never where they are written
# together with others. tr, te, ts and va are codes of languages and countries too; Omniglot trains
# on its background set; what is searched for and in which is not trained on.
_CODES = ("tr", "te", "ts", "va")
_SEARCHED = ("gallery", "query", "probe")
_PERHAPS_TRAIN = ("tr", "background")
_PERHAPS_TEST = ("te", "ts", "va", *_SEARCHED)
# What says nothing about what a folder holds.
_FILLERS = (
    "set", "sets", "subset", "data", "dataset", "split", "splits", "image", "images", "img",
    "imgs", "pic", "pics", "picture", "pictures", "photo", "photos", "file", "files", "sample",
    "samples", "example", "examples", "folder", "dir", "jpeg", "jpegs", "jpg", "png", "pngs",
)  # fmt: skip
# What belongs to pictures and is kept beside them, one for each: never a class beside `images`.
_BESIDE = (
    "mask", "masks", "label", "labels", "annotation", "annotations", "annot", "annots", "anno",
    "annos", "seg", "segs", "segmentation", "segmentations", "gt", "groundtruth", "depth",
    "depths", "contour", "contours", "matte", "mattes", "trimap", "trimaps",
)  # fmt: skip
# These with nothing else in the name.
_PERHAPS_BESIDE = (
    "ground", "truth", "target", "targets", "edge", "edges", "class", "object", "instance",
    "instances", "fine", "coarse",
)  # fmt: skip
_INPUTS = (
    "input", "inputs", "rgb", "frame", "frames", "color", "colour", "left", "right", "bit", "x",
)  # fmt: skip
_VALIDATION = {"val", "valid", "validation", "dev"}
_KNOWN = frozenset((*TRAIN_WORDS, *TEST_WORDS, *_FILLERS))

# What the names of one level are, all of them together.
SPLITS, TRAINING_ALONE, CLASSES, DOUBT = "splits", "training alone", "classes", "doubt"


def words(name: str, known: frozenset[str]) -> list[str]:
    """Return the words of a name, as they are written; known ones are told apart when joined."""
    # At capitals (trainSet, RGBTrain), at digits, and at all that is no letter or digit.
    text = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    found: list[str] = []
    for word in re.findall(r"[^\W\d_]+|\d+", text):
        if word.lower() == "out" and found and found[-1].lower() in ("hold", "held"):
            found[-1] += word
        else:
            found += _taken_apart(word, known) or [word]
    return found


def _taken_apart(word: str, known: frozenset[str]) -> list[str]:
    """Return the known words that a word consists of, or nothing."""
    if word.lower() in known:
        return [word]
    for end in range(len(word) - 1, 0, -1):
        if word[:end].lower() in known:
            rest = _taken_apart(word[end:], known)
            if rest:
                return [word[:end], *rest]
    return []


class SplitName(NamedTuple):
    """What the name of a folder says about its split.

    Attributes:
        name: The name.
        word: Its word for a split, in small letters, or None.
        rest: What else is in it, as it is written, but for numbers in front and words that say
            nothing.
        leads: Whether the word for a split comes first.
        filled: Whether there are words in it that say nothing.
    """

    name: str
    word: str | None
    rest: tuple[str, ...]
    leads: bool
    filled: bool = False

    @property
    def trains(self) -> bool:
        """Whether it names the training split."""
        return self.word in TRAIN_WORDS + _PERHAPS_TRAIN

    @property
    def own(self) -> tuple[str, ...]:
        """Return the rest without numbers and single letters, in small letters."""
        return tuple(word.lower() for word in self.rest if len(word) > 1 and word.isalpha())


def split_name(name: str, perhaps: bool = False) -> SplitName:
    """Read the name of a folder; `perhaps` takes "tr", "background" and the like for splits too."""
    found = words(name, _KNOWN)
    # "01_train" and "02_test" are in an order of their own.
    while len(found) > 1 and found[0].isdigit():
        found.pop(0)
    small = [word.lower() for word in found]
    roles = [word for word in small if word in TRAIN_WORDS + TEST_WORDS]
    if perhaps and not roles:
        roles = [word for word in small if word in _PERHAPS_TRAIN + _PERHAPS_TEST]
    rest = [word for word in found if word.lower() not in (*roles, *_FILLERS)]
    agree = len({role in TRAIN_WORDS + _PERHAPS_TRAIN for role in roles}) == 1
    # "trainval" is what one trains on.
    if not agree and not (roles and roles[0] in TRAIN_WORDS and {*roles[1:]} <= _VALIDATION):
        return SplitName(name, None, tuple(rest), False)
    return SplitName(
        name, roles[0], tuple(rest), small[0] == roles[0], bool({*small} & {*_FILLERS})
    )


def judged(names: Iterable[str]) -> str:
    """Judge the names of all folders of one level together.

    Folders are splits if all are called so, one of them for training, and what their names have of
    their own is the same: train2017 and val2017, seg_train and seg_test. Where several are for
    training, it must be the same for each split, and is the class: trainA, trainB, testA, testB.
    They are classes if none is called so, or where names contain such a word by chance: `train`
    beside `bus`, `steam_train` beside `test_tube`. `tr` and `te`, splits where all fits
    together, are classes beside `de` and `fr`.

    Args:
        names: The names; "" stands for images outside of these folders.

    Returns:
        SPLITS, TRAINING_ALONE, CLASSES or DOUBT.
    """
    names = sorted(set(names))
    plain, parts = [split_name(name) for name in names], read(names)
    verdict, certain = _judged(parts), _judged(plain)
    if plain == parts:
        return verdict
    found = {part.word for part in parts if part.word}
    if not all(part.word for part in parts):
        others = [word for part in parts if not part.word for word in part.rest]
        codes = any(len(word) == 2 for word in others)
        several = len(found & {*_CODES, *_SEARCHED}) > 1
        bare = any(part.trains and not part.own and part.word != "background" for part in parts)
        return DOUBT if bare and several and not codes else certain
    if len({part.trains for part in parts}) == 1:
        # Without a training split, or without another one.
        return DOUBT if len(parts) > 1 and found & {*_SEARCHED} else certain
    return DOUBT if verdict == SPLITS and not _are_sure(parts, found) else verdict


def _are_sure(parts: list[SplitName], found: set[str]) -> bool:
    """Whether words that may mean something else too are of splits, where all fit together."""
    filled = all(part.filled for part in parts)
    if "background" in found:
        return filled and not found.isdisjoint(("eval", "evaluation"))
    if found & {*_SEARCHED}:
        return len(found & {*_SEARCHED}) > 1
    # Two codes may be two languages.
    return filled or len(found) > 2 or not found <= {*_CODES}


def _judged(parts: list[SplitName]) -> str:
    """Judge names by the words that were read in them."""
    train = [part for part in parts if part.trains]
    tests = [part for part in parts if part.word and not part.trains]
    alone = len(train) + len(tests) == len(parts)
    if not train or not tests:
        plain = [part for part in train + tests if not part.own]
        if not alone or not parts:
            # "test" and "val" beside others; "valid" beside "invalid" is a class.
            several = len({part.word for part in plain if not part.trains}) > 1
            return DOUBT if several else CLASSES
        if len(parts) == 1 and plain and train:
            return TRAINING_ALONE
        return DOUBT if plain or len({part.own for part in parts}) < len(parts) else CLASSES
    if alone and _are_clear(train, tests):
        return SPLITS
    if any(one.own == other.own for one in train for other in tests):
        return DOUBT
    places_differ = {part.leads for part in train}.isdisjoint(part.leads for part in tests)
    by_chance = all(part.own for part in parts) and places_differ
    return CLASSES if by_chance or not alone else DOUBT


def _are_clear(train: list[SplitName], tests: list[SplitName]) -> bool:
    """Whether folders, all of splits, fit together."""
    if len(train) == 1:
        # One folder for each kind of test split; their numbers may be counts or years.
        return len({part.word for part in tests}) == len(tests) and all(
            part.own == train[0].own for part in tests
        )
    of_train = sorted(part.rest for part in train)
    kinds = {part.word for part in tests}
    by_kind = [sorted(part.rest for part in tests if part.word == kind) for kind in kinds]
    # Numbers may be folds, which are no classes.
    are_words = all(rest and all(word.isalpha() for word in rest) for rest in of_train)
    distinct = len(set(of_train)) == len(of_train)
    return are_words and distinct and all(rests == of_train for rests in by_kind)


class Chosen(NamedTuple):
    """Which folders of one level are read.

    Attributes:
        train: Name of each folder of the training split -> its class, () if it has none.
        test: The same of the test split; empty if there is none.
        unused: The others.
    """

    train: dict[str, tuple[str, ...]]
    test: dict[str, tuple[str, ...]]
    unused: list[str]


def choose(names: Iterable[str]) -> Chosen:
    """Choose the folders of both splits among those of one level, one of them for training."""
    parts = read(sorted(set(names) - {""}))
    kinds = {part.word for part in parts if part.word and not part.trains}
    kind = min(kinds, key=(*TEST_WORDS, *_PERHAPS_TEST).index) if kinds else None
    chosen: list[dict[str, tuple[str, ...]]] = []
    for own in ([p for p in parts if p.trains], [p for p in parts if kind and p.word == kind]):
        # Each folder's class is what its name has of its own, where there are several.
        several = len({part.rest for part in own}) == len(own) > 1
        chosen.append({part.name: (" ".join(part.rest),) if several else () for part in own})
    train, test = chosen
    return Chosen(train, test, [part.name for part in parts if part.name not in {**train, **test}])


def read(names: list[str]) -> list[SplitName]:
    """Read the names of the folders of one level, all of which are taken to be splits.

    Words that only may be of splits count where there is no other one for training, or for testing.
    """
    plain = [split_name(name) for name in names]
    lacks = {trains: not any(p.word and p.trains == trains for p in plain) for trains in (0, 1)}
    parts = [split_name(name, perhaps=True) for name in names]
    return [
        perhaps if perhaps.word and lacks[perhaps.trains] else part
        for part, perhaps in zip(plain, parts, strict=True)
    ]


def beside_pictures(names: Iterable[str]) -> set[str]:
    """Return which of the folders of one level hold masks and the like of the others' pictures.

    That is so where each is called as pictures are, `images` or `rgb`, or as what belongs to them,
    `masks` or `labels`, and there are both. "" stands for pictures outside of these folders.
    """
    kinds = {name: _kind(name) for name in names}
    if set(kinds.values()) != {"pictures", "beside"}:
        return set()
    return {name for name, kind in kinds.items() if kind == "beside"}


def say_pictures(names: Iterable[str]) -> bool:
    """Whether the only name of a level says no more than that pictures are in it."""
    (*more, name) = set(names)
    return not more and _kind(name) == "pictures" and split_name(name).word is None


def _kind(name: str) -> str | None:
    """Return whether a folder is called as one of "pictures" or of what is "beside" them."""
    known = _KNOWN.union(_BESIDE, _PERHAPS_BESIDE, _INPUTS)
    # "imagesTr" beside "labelsTr".
    found = {word.lower() for word in words(name, known) if not word.isdigit()}
    if len(found) > 1:
        found -= {*_CODES}
    if found & {*_BESIDE}:
        return "beside"
    if found and not found <= known:
        return None
    if found & {*_PERHAPS_BESIDE}:
        return "beside"
    return "pictures" if not name or found & {*_INPUTS, *_FILLERS} else None
