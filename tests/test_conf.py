"""Every file under conf/: found, composed, accepted, and the same as the builder it calls."""

import functools
import importlib
import inspect
from collections import Counter
from pathlib import Path

import hydra
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, ListConfig, OmegaConf

from segtrain.command.composition import config_folder
from segtrain.settings import GIVEN_BY_RUN, READ_BY_RUN, SCHEMAS, TrainSettings, read_settings

CONF = Path(__file__).parents[1] / "conf"
# At least this many: an option more is a file more, and no change here.
FEWEST = {
    "": 5,
    "augmentation": 4,
    "callbacks": 10,
    "dataset": 3,
    "experiment": 13,
    "hydra/help": 1,
    "hydra/job_logging": 1,
    "hydra/launcher": 4,
    "hydra/sweeper": 1,
    "loss": 1,
    "model": 12,
    "model/encoder": 11,
    "optimizer": 3,
    "schedule": 3,
    "size": 2,
    "trainer": 1,
}


def group_of(name: str) -> str:
    return "" if name == "." else name


FILES = sorted(path.relative_to(CONF).with_suffix("") for path in CONF.rglob("*.yaml"))
# Taken by what an experiment says, never by name, or Hydra's own (tests/sweeps has those).
NO_GROUPS = ("", "optimizer/of_model", "size/of_comparison", "size/of_experiment", "size/of_pretrained")


def is_group(name: str) -> bool:
    return name not in NO_GROUPS and not name.startswith("hydra/")


OPTIONS = [(path.parent.as_posix(), path.name) for path in FILES if is_group(group_of(path.parent.as_posix()))]
# What an option cannot do without.
COMPANIONS = {("callbacks", "reduce_on_plateau"): ["schedule=constant"]}
# An encoder is part of a model that reads one.
COMPANIONS |= {
    ("model/encoder", path.stem): ["model=unet_on_encoder"] for path in (CONF / "model" / "encoder").glob("*.yaml")
}
# Options that call none of our builders.
WITHOUT_BUILDER = {
    ("size", "full"),
    ("size", "tiny"),
    ("callbacks", "none"),
    ("callbacks", "early_stopping"),
    ("callbacks", "reduce_on_plateau"),
}


@pytest.fixture(scope="module")
def compose():
    """Composes a config, each once: do not change it. A dataset that needs a folder gets the one we are in."""

    @functools.cache
    def compose(*overrides: str, name: str = "config") -> DictConfig:
        config = hydra.compose(name, list(overrides))
        missing = [key for key in OmegaConf.missing_keys(config) if key.startswith("dataset.")]
        return hydra.compose(name, [*overrides, *(f"{key}=." for key in missing)]) if missing else config

    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        yield compose


def dotted(group: str) -> str:
    """Returns where in the config a group's option stands."""
    return group.replace("/", ".")


def own_calls(config: DictConfig, group: str) -> dict[str, DictConfig]:
    """Returns the calls of our own builders in a group's part of the config, by where they stand."""
    parts = config[group].items() if group == "callbacks" else [(group, OmegaConf.select(config, dotted(group)))]
    return {key: part for key, part in parts if part and str(part.get("_target_")).startswith("segtrain.")}


def builder(call: DictConfig, group: str) -> dict[str, inspect.Parameter]:
    """Returns the parameters of a call's target that are for the config to set, by name."""
    module_name, _, name = call["_target_"].rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module_name), name)).parameters
    return {
        name: parameter for name, parameter in parameters.items() if name not in GIVEN_BY_RUN[group.partition("/")[0]]
    }


def plain(value):
    if isinstance(value, (list, tuple, ListConfig)):
        return [plain(item) for item in value]
    return type(value), value


def test_every_file_is_found():
    counts = Counter(group_of(path.parent.as_posix()) for path in FILES)
    assert {group: min(count, FEWEST.get(group, 0)) for group, count in counts.items() if group in FEWEST} == FEWEST
    assert config_folder() == CONF


def test_hydra_lists_the_same_options(compose):
    loader = GlobalHydra.instance().config_loader()
    groups = {group for group, _ in OPTIONS}
    listed = {(group, option) for group in groups for option in loader.get_group_options(group, ObjectType.CONFIG)}
    assert listed == set(OPTIONS)


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_an_option_composes_into_valid_settings(compose, group, option):
    config = compose(f"{group}={option}", *COMPANIONS.get((group, option), []))
    settings = read_settings(config, TrainSettings)
    assert settings.epochs == config.epochs > 0


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_an_option_lists_what_its_builder_takes(compose, group, option):
    calls = own_calls(compose(f"{group}={option}", *COMPANIONS.get((group, option), [])), group)
    assert bool(calls) != (group == "experiment" or (group, option) in WITHOUT_BUILDER)
    for call in calls.values():
        of_run = READ_BY_RUN.get(group, {}).keys()
        assert set(call) - {"_target_", "_partial_"} == {*builder(call, group), *of_run}


@pytest.mark.parametrize(
    ("group", "option"),
    [
        pair
        for pair in OPTIONS
        if pair[0] not in ("augmentation", "experiment")
        and pair not in [("callbacks", "best_pixel_accuracy"), ("callbacks", "lowest_val_loss")]
    ],
)
def test_an_option_has_its_builders_defaults(compose, group, option):
    config = compose(f"{group}={option}", *COMPANIONS.get((group, option), []))
    for call in own_calls(config, group).values():
        defaults = {name: p.default for name, p in builder(call, group).items() if p.default is not p.empty}
        assert {name: plain(call[name]) for name in defaults} == {name: plain(d) for name, d in defaults.items()}


@pytest.mark.parametrize("option", [option for group, option in OPTIONS if group == "dataset"])
def test_a_dataset_brings_the_settings_that_suit_it(option):
    text = (CONF / "dataset" / f"{option}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# @package _global_\n")
    assert set(yaml.safe_load(text)) == {"dataset", "image_size", "batch_size", "epochs"}


@pytest.mark.parametrize(("group", "option"), [pair for pair in OPTIONS if pair[0] in ("model", "dataset")])
def test_tiny_wins_over_any_composition(compose, group, option):
    settings = read_settings(compose(f"{group}={option}", "size=tiny"), TrainSettings)
    assert (settings.image_size, settings.batch_size, settings.epochs, settings.max_samples) == ([32, 48], 4, 2, 12)


def test_the_rate_of_a_model_with_an_optimizer_goes_for_the_two_together(compose):
    """And before what an experiment says, or is typed."""
    pairs = [path.stem.rpartition("_")[::2] for path in (CONF / "optimizer" / "of_model").glob("*.yaml")]
    assert len(pairs) >= 3
    for model, optimizer in pairs:
        own = compose("model=segnet_small", f"optimizer={optimizer}").optimizer.learning_rate
        assert compose(f"model={model}", f"optimizer={optimizer}").optimizer.learning_rate < own
    assert compose("model=fcn8s").optimizer == {**compose("model=segnet_small").optimizer, "learning_rate": 0.003}
    assert compose("model=fcn8s", "optimizer=adam").optimizer == compose("optimizer=adam").optimizer
    assert compose("model=fcn8s", "optimizer.learning_rate=0.5").optimizer.learning_rate == 0.5
    assert compose("experiment=r5_fcn8s").optimizer.learning_rate == 0.0001


def test_smoke_is_the_default_run_made_tiny(compose):
    assert compose(name="smoke") == compose("size=tiny") != compose()


def test_the_default_run_is_the_documented_one(compose):
    config = compose()
    targets = {key: config[key]["_target_"].rpartition(".")[2] for key in ("model", "dataset", "loss")}
    assert targets == {"model": "build_segnet_small", "dataset": "build_shapes", "loss": "build_cross_entropy"}
    assert list(config.callbacks) == ["terminate_on_nan", "csv", "pictures", "tensorboard", "checkpoint"]


@pytest.mark.parametrize("suffix", ["", "_small"])
def test_twins_have_equal_settings(suffix):
    segnet, twin = (
        yaml.safe_load((CONF / "model" / f"{name}{suffix}.yaml").read_text(encoding="utf-8"))
        for name in ("segnet", "encoder_decoder")
    )
    del segnet["_target_"]
    assert {"width", "dropout", "batch_norm_momentum"} <= set(segnet)
    assert {key: twin[key] for key in segnet} == segnet


@pytest.mark.parametrize("verb", [verb for verb in SCHEMAS if verb != "train"])
def test_a_verbs_config_has_its_settings(verb):
    config = hydra.compose(verb)
    assert set(config) == set(SCHEMAS[verb].__dataclass_fields__)
    if verb not in ("inspect", "summary", "benchmark"):  # which need no run that is finished
        assert OmegaConf.is_missing(config, "run")
