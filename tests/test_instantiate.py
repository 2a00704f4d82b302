import dataclasses
import warnings

import pytest

from segtrain.datasets.shapes import build_shapes
from segtrain.instantiate import build

HERE = "segtrain_test_targets"


@dataclasses.dataclass(frozen=True)
class Facts:
    names: tuple[str, ...]


class Part:
    def __init__(self, width=1, ignore_label=None):
        self.width, self.ignore_label = width, ignore_label


def collect(a=1, *, ignore_label=None, **others):
    return {"a": a, "ignore_label": ignore_label, **others}


def take_facts(facts, ignore_label):
    return facts, ignore_label


def refuse(a):
    raise ValueError(f"a={a} is too many")


@pytest.fixture(autouse=True)
def _module(monkeypatch):
    """Gives the targets above a dotted name, which a test's own module has not."""
    import sys
    import types

    module = types.ModuleType(HERE)
    vars(module).update({function.__name__: function for function in (Part, collect, take_facts, refuse)})
    monkeypatch.setitem(sys.modules, HERE, module)


def option(name, **arguments):
    return {"_target_": f"{HERE}.{name}", **arguments}


def test_facts_go_where_there_is_a_parameter_for_them():
    given = {"ignore_label": 255, "num_classes": 5, "unknown": object()}
    part = build(option("Part", width=3), **given)
    assert (part.width, part.ignore_label) == (3, 255)
    # A parameter, and not whatever **kwargs would swallow.
    assert build(option("collect", a=2, other=3), **given) == {"a": 2, "ignore_label": 255, "other": 3}


def test_objects_that_are_given_stay_themselves():
    facts, dataset = Facts(("a", "b")), build_shapes(num_train=1, num_val=1)
    assert build(option("take_facts"), facts=facts, ignore_label=dataset)[0] is facts
    assert build(option("take_facts"), facts=facts, ignore_label=dataset)[1] is dataset


def test_what_is_given_wins_over_the_option():
    assert build(option("collect", ignore_label=3), ignore_label=255)["ignore_label"] == 255


def test_nested_options_are_built_without_the_facts():
    nested = option(
        "collect", parts={"x": option("Part", width=7)}, more=[option("Part"), {"deep": option("Part", width=2)}]
    )
    built = build(nested, ignore_label=255)
    assert type(built["parts"]["x"]) is Part
    assert [built["parts"]["x"].width, built["more"][0].width, built["more"][1]["deep"].width] == [7, 1, 2]
    assert built["parts"]["x"].ignore_label is None
    assert built["ignore_label"] == 255


def test_arguments_are_plain_values():
    built = build(option("collect", sizes=[1, 2], table={"a": [3]}))
    assert (type(built["sizes"]), type(built["table"]), type(built["table"]["a"])) == (list, dict, list)
    assert built == {"a": 1, "ignore_label": None, "sizes": [1, 2], "table": {"a": [3]}}


def test_the_option_is_left_as_it_is():
    nested = option("collect", parts={"x": option("Part", width=7)})
    before = {"_target_": nested["_target_"], "parts": {"x": dict(nested["parts"]["x"])}}
    build(nested)
    assert nested == before


def test_a_targets_own_error_is_its_own():
    with pytest.raises(ValueError, match="^a=3 is too many$"):
        build(option("refuse", a=3))


def test_the_error_of_a_nested_target_is_told():
    with pytest.raises(ValueError, match=r"collect: .*a=3 is too many"):
        build(option("collect", part=option("refuse", a=3)))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (option("Nothing"), "Nothing"),
        (option("Part", widht=3), "widht"),
        (option("take_facts"), "facts"),
        (option("collect", part=option("Part", widht=3)), "widht"),
    ],
    ids=["name", "argument", "missing argument", "nested argument"],
)
def test_what_a_target_refuses_is_a_value_error_that_names_both(wrong, named):
    with pytest.raises(ValueError, match=named) as error:
        build(wrong, ignore_label=255)
    assert wrong["_target_"] in str(error.value)


def test_warnings_are_errors_for_unknown_arguments_alone():
    flip = {"_target_": "albumentations.HorizontalFlip", "p": 0.5}
    assert build(option("collect", part=flip))["part"].p == 0.5
    with pytest.raises(ValueError, match="'sometimes'"):
        build(option("collect", part=flip | {"sometimes": True}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn("Argument(s) 'x' are not valid for transform Y", stacklevel=1)  # the filter is gone
    assert len(caught) == 1
