from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Len

from segtrain.checks.values import check_value
from segtrain.config_error import ConfigError

FREEZE = Literal["none", "all"] | Annotated[int, Ge(1), Le(5)]
WEIGHTS = Literal["inverse", "median"] | Sequence[Annotated[float, Gt(0)]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("all", FREEZE),
        (5, FREEZE),
        ([1, 2.5], WEIGHTS),
        ("inverse", WEIGHTS),
        (3, float),
        (None, int | None),
        ({}, Any),
    ],
)
def test_what_is_right_passes(value, expected):
    check_value("a.b", value, expected)


@pytest.mark.parametrize(
    ("value", "expected", "words"),
    [
        # Of a union, everything that would do is told.
        (1.5, FREEZE, "a.b=1.5: has to be none or all, or an integer."),
        ("al", FREEZE, "a.b=al: has to be none or all, or an integer. Did you mean 'all'?"),
        (6, FREEZE, "a.b=6: has to be less than or equal to 5, or none or all."),
        (0, FREEZE, "a.b=0: has to be greater than or equal to 1, or none or all."),
        ("invers", WEIGHTS, "has to be inverse or median, or a list, such as [inverse]. Did you mean 'inverse'?"),
        (3, WEIGHTS, "a.b=3: has to be inverse or median, or a list"),
        ([0], WEIGHTS, "a.b=[0]: has to be greater than 0."),
        # null is no way out of a mistyped word.
        ("imag", Literal["image"] | None, "a.b=imag: has to be image. Did you mean 'image'?"),
        (True, int, "a.b=true: has to be an integer. Received bool."),
        ([1], Annotated[list[int], Len(2, 2)], "a.b=[1]: has to be a list of 2 values. Received 1."),
        (float("inf"), float, "a.b=Infinity: has to be a finite number."),
    ],
)
def test_what_is_wrong_is_told(value, expected, words):
    with pytest.raises(ConfigError) as refused:
        check_value("a.b", value, expected)
    assert words in str(refused.value)
