from typing import get_args

import pytest
import yaml

from segtrain.command.composition import config_folder
from segtrain.command.help import describe_options, describe_verb
from segtrain.config_error import ConfigError
from segtrain.prediction.choices import FormatChoice, TtaChoice


@pytest.mark.parametrize(("word", "group"), [("model", "model"), ("model.encoder", "model/encoder")])
def test_a_groups_options_are_told_with_what_they_are(word, group):
    head, *lines = describe_options(word, None).splitlines()
    assert head == f"Options, typed as {group}=NAME:"
    names = [file.stem for file in sorted((config_folder() / group).glob("*.yaml"))]
    assert [line.split()[0] for line in lines] == names
    assert all(len(line.split()) > 2 for line in lines)


def test_options_of_ones_own_are_among_them(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("# A net of mine.\nwidth: 3\n")
    assert "  mine  " in describe_options("model", str(tmp_path)).replace(" A net of mine.", "")
    (tmp_path / "own_group").mkdir()
    (tmp_path / "own_group" / "one.yaml").write_text("width: 3\n")
    assert describe_options("own_group", str(tmp_path)) == "Options, typed as own_group=NAME:\n  one"


@pytest.mark.parametrize("word", ["modle", "hydra", "../conf/model", "size/of_experiments"])
def test_what_is_no_group_is_told(word):
    with pytest.raises(ConfigError, match=r"no such verb or group.*Groups: augmentation, .*model/encoder"):
        describe_options(word, None)


@pytest.mark.parametrize("verb", ["predict", "evaluate", "compare", "resume"])
def test_a_verbs_settings_come_with_their_comments(verb):
    """As the file has them, and nothing of Hydra's."""
    told = describe_verb(verb)
    purpose, _, settings = told.partition("== Settings (key=value) ==\n")
    assert f"segtrain {verb} " in purpose
    config = yaml.safe_load((config_folder() / f"{verb}.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(settings) == {key: value for key, value in config.items() if key not in ("defaults", "hydra")}
    assert settings.count("  # ") >= len(yaml.safe_load(settings))


def test_every_format_is_in_the_help_of_predict():
    for choice in (*get_args(FormatChoice), *get_args(TtaChoice)):
        assert choice in describe_verb("predict")
