"""A path means what is typed, whatever Hydra's grammar would make of it."""

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import assume, example, given, settings, strategies

from segtrain.checks.signatures import read_signature
from segtrain.command.command_line import read_command_line
from segtrain.command.composition import config_folder
from segtrain.command.typed_paths import PATH_KEYS

# A loaded machine may take its time, and nothing is to be left in the checkout.
at_leisure = settings(deadline=None, database=None, max_examples=50)

# Text as a file's name may have it. Hydra's own grammar starts at a quote, and OmegaConf's at `${`: left as typed.
PATHS = strategies.text(strategies.characters(exclude_categories=("C",)), min_size=1).filter(
    lambda path: path[0] not in "'\"" and "${" not in path and path not in ("null", "???") and path == path.strip()
)


def given_to_hydra(*arguments: str) -> list[str]:
    """Returns the settings as Hydra gets them."""
    return list(read_command_line(arguments).overrides)


def value_for_hydra(argument: str) -> tuple[str, object]:
    override = OverridesParser.create().parse_override(argument)
    return override.key_or_group, override.value()


@at_leisure
@given(path=PATHS)
@example(path="a\\' b")
@example(path="\\")
@example(path="\\\\'\\")
def test_a_path_means_what_is_typed(path):
    for key in ("dataset.root", "hydra.run.dir", "hydra.sweep.dir"):
        assert value_for_hydra(*given_to_hydra(f"{key}={path}")) == (key, path)
    # In brackets it is a list of inputs.
    for key in ("run", "output") if path.startswith("[") else ("run", "input", "output"):
        assert value_for_hydra(*given_to_hydra("predict", f"{key}={path}")) == (key, path)


@at_leisure
@given(paths=strategies.lists(PATHS.filter(lambda path: not set(path) & set("[],")), min_size=1, max_size=4))
@example(paths=["a b.png", "übung=1.jpg", "it's", "null"])
@example(paths=["photos/**/*.jpg"])
@example(paths=["tail\\", "b"])
def test_a_list_of_inputs_means_what_is_typed(paths):
    for comma in (",", ", "):
        typed = f"input=[{comma.join(paths)}]"
        assert value_for_hydra(*given_to_hydra("predict", typed)) == ("input", paths)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("['a,b.jpg',c.jpg]", ["a,b.jpg", "c.jpg"]),
        ('["it\'s, c.jpg"]', ["it's, c.jpg"]),
        ("[0-9]*.[jp][pn]g", "[0-9]*.[jp][pn]g"),
        ("[0-9]*.[jp][pn][g]", "[0-9]*.[jp][pn][g]"),
        ("[a].png", "[a].png"),
        ("photo[12]", "photo[12]"),
    ],
)
def test_brackets_are_a_list_around_all_of_it(typed, meant):
    assert value_for_hydra(*given_to_hydra("predict", f"input={typed}")) == ("input", meant)


@at_leisure
@given(paths=strategies.lists(PATHS, min_size=2, max_size=3))
@example(paths=["a b, c", "it's", "[a]"])
def test_several_bare_paths_are_what_is_compared(paths):
    assume(not any("=" in path or path.startswith("-") for path in paths))
    assert value_for_hydra(*given_to_hydra("compare", *paths)) == ("run", paths)


@at_leisure
@given(path=PATHS)
@example(path="a b, c")
@example("~")
@example("~/runs")
@example("~seed")
def test_a_bare_path_means_what_is_typed(path):
    assume("=" not in path and not path.startswith("-"))
    for verb in ("evaluate", "predict", "compare"):
        assert value_for_hydra(*given_to_hydra(verb, path)) == ("run", path)


@pytest.mark.parametrize(
    "key",
    [
        "run",
        "input",
        "output",
        "hydra.run.dir",
        "hydra.sweep.dir",
        "dataset.root",
        "dataset.archive",
        "dataset.images",
        "dataset.masks",
        "dataset.manual_folder",
        "dataset.mask_folder",
        "dataset.train_annotations",
        "dataset.train_split",
        "model.encoder.weights",
        "model.weights",
    ],
)
@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_every_setting_that_is_a_path_is_quoted(prefix, key):
    (argument,) = given_to_hydra(f"{prefix}{key}=it's, (a=b)/{{split}}")
    assert value_for_hydra(argument) == (key, "it's, (a=b)/{split}")


@pytest.mark.parametrize(
    "argument",
    [
        "model.width=4",
        "callbacks.pictures.num_images=2",
        "image_size=[1,2]",
        "seed=1,2",
        "model=segnet",
        "run=",
        "run=null",
        "run='a b'",
        'run="a b"',
        "hydra.run.dir=out/${now:%Y}",
        "~dataset",
    ],
)
def test_what_is_no_path_is_left_alone(argument):
    assert given_to_hydra(argument) == [argument]


@pytest.mark.parametrize("verb", ["inspect", "summary", "benchmark"])
def test_a_setting_is_taken_away_after_a_verb_that_takes_no_run(verb):
    assert given_to_hydra(verb, "~callbacks.plots") == ["~callbacks.plots"]


# Settings of datasets that are texts and no paths.
NO_PATHS = {
    "classes",
    "image_key",
    "image_suffix",
    "mask_key",
    "mask_suffix",
    "name",
    "name_key",
}


def test_every_path_of_a_dataset_is_quoted():
    options = sorted((config_folder() / "dataset").glob("*.yaml"))
    assert len(options) == 12
    paths = set()
    for option in options:
        target = yaml.safe_load(option.read_text(encoding="utf-8"))["dataset"]["_target_"]
        for name, parameter in read_signature(target).parameters.items():
            if parameter.type in (str, str | None) and name not in NO_PATHS:
                assert PATH_KEYS.match(f"dataset.{name}"), f"{option.name}: {name}"
                paths.add(name)
    assert paths >= {"root", "archive", "manual_folder", "mask_folder", "train_split", "val_split"}
