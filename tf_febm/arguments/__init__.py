"""Checks of arguments that everything public shares; each message echoes what was received.

`checked` goes in front of a public function or class: each call is then checked before anything of
it runs, by the annotations of its arguments, such as `arguments.Array`. Ranges
that an annotation does not tell are checked where they are known, by the functions below.
"""

from tf_febm.arguments import types
from tf_febm.arguments.calls import checked, checking
from tf_febm.arguments.configured import Configured, Settled
from tf_febm.arguments.kinds import (
    ANY_ARRAY,
    ARRAY,
    COUNT,
    DATASETS,
    FEATURE_NETWORK,
    IMAGES,
    LABELS,
    NAME,
    NAMES,
    NETWORK,
    NONE,
    NUMBERS,
    PATH,
    PROBABILITY,
    SHAPE,
    STRATEGY,
    SWITCH,
    VECTORS,
    WHOLE,
    WRITER,
    Kind,
    having,
)
from tf_febm.arguments.types import *
from tf_febm.arguments.values import (
    MOST_CLASSES,
    MOST_LEVELS,
    MOST_PARALLEL,
    choice,
    class_count,
    count_up_to,
    instance,
    interval,
    number,
    optional,
    probability,
    shape,
    shown,
    switch,
    whole_number,
)

__all__ = [
    "ANY_ARRAY",
    "ARRAY",
    "COUNT",
    "Configured",
    "DATASETS",
    "FEATURE_NETWORK",
    "IMAGES",
    "Kind",
    "LABELS",
    "MOST_CLASSES",
    "MOST_LEVELS",
    "MOST_PARALLEL",
    "NAME",
    "NAMES",
    "NETWORK",
    "NONE",
    "NUMBERS",
    "PATH",
    "PROBABILITY",
    "SHAPE",
    "STRATEGY",
    "SWITCH",
    "Settled",
    "VECTORS",
    "WHOLE",
    "WRITER",
    "checked",
    "checking",
    "choice",
    "class_count",
    "count_up_to",
    "having",
    "instance",
    "interval",
    "number",
    "optional",
    "probability",
    "shape",
    "shown",
    "switch",
    "whole_number",
]
# Each of them is public, and is named where it is made.
__all__ += types.__all__
