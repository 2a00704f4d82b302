import hydra
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segtrain.command.composition import config_folder
from segtrain.datasets.typed_values import can_be_typed, typed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (7, "7"),
        ([128, 0, 0], "[128,0,0]"),
        (["road", "big car", "class_-1"], "[road,big car,class_-1]"),
        (["car, parked", "null", "1", "true", "it's", "straße"], r"['car, parked','null','1','true','it\'s','straße']"),
        ({"road": 1, "big car": [7, 8], "a:b": 2}, r"{road:1,big car:[7,8],a\:b:2}"),
    ],
)
def test_values_are_typed_as_a_person_would(value, text):
    assert typed(value) == text
    assert can_be_typed(value)


@pytest.mark.parametrize("name", ["straße", "null", "1", "true", "nan", "it's", ""])
def test_some_names_can_be_no_keys(name):
    assert not can_be_typed({name: 1, "road": 2})
    assert can_be_typed([name])


NAMES = st.text(max_size=6) | st.text("ab \\',:=[]{}()$\"\t1-null", max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(NAMES, max_size=3) | st.dictionaries(NAMES, st.integers() | st.lists(st.integers()), max_size=3))
@example(["a\\", "b\\'"])
@example({"a\\": 1, " b ": 2})
@example(["${root}"])
def test_what_can_be_typed_is_what_hydra_reads(value):
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        if can_be_typed(value):
            config = hydra.compose("config", ["dataset=folder", "dataset.root=.", f"dataset.classes={typed(value)}"])
            assert config.dataset.classes == value
        else:
            assert isinstance(value, dict) or any("${" in name for name in value)
