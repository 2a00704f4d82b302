"""Nothing that a config names is called or imported unless it is of the libraries or the user has typed it."""

import sys

import hydra
import pytest
import yaml
from omegaconf import OmegaConf

from segtrain import cli
from segtrain.checks.targets import require_allowed_hydra, require_allowed_targets
from segtrain.config_error import ConfigError
from segtrain.settings import TrainSettings, read_settings, read_settings_of_run


@pytest.fixture
def composed():
    with hydra.initialize_config_dir(str(cli.config_folder()), version_base="1.3"):
        return hydra.compose("config")


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A package whose import leaves a file behind. Returns that file."""
    sprung = tmp_path / "sprung"
    text = f"open({str(sprung)!r}, 'w')\n\ndef build_net(**kwargs):\n    raise ValueError('called')\n"
    (tmp_path / "trap_of_a_stranger.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield sprung
    sys.modules.pop("trap_of_a_stranger", None)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "hydra.utils.get_method",
        "hydra.utils.instantiate",
        "segtrain.cli.main",
        "segtrain.run_folder.write_text",
        "segtrain.training.state.save_state",
        "segtrain.models.unet.keras.saving.load_model",
        "segtrain.models.unet.keras.build_x",
        "segtrain.training.callbacks.checkpoint.RunFolder",  # imported there, not defined
        "segtrain.augmentations.augmentation.random.SystemRandom",
        "segtrain.models.unet.build_unet.__globals__",
        "keras.saving.load_model",
        "keras.utils.get_file",
        "keras.config.enable_unsafe_deserialization",
        "keras.callbacks.keras.utils.get_file",
        "keras.callbacks.BackupAndRestore",
        "keras.layers.Lambda",
        "keras.losses.deserialize",
        "albumentations.load",
        "albumentations.from_dict",
        "albumentations.core.serialization.load",
        "albumentations.os.Popen",
        "",
        "system",
    ],
)
@pytest.mark.parametrize("depth", [0, 1, 4])
def test_what_is_not_listed_is_refused_at_any_depth(target, depth):
    option = {"_target_": target, "_partial_": True, "_args_": ["x"]}
    for level in range(depth):
        option = {"_target_": "albumentations.Lambda", "image": option} if level % 2 else {"a": [option]}
    with pytest.raises(ConfigError) as error:
        require_allowed_targets(option, "model")
    assert "\n" not in str(error.value)
    assert f"_target_={target}:" in str(error.value)


@pytest.mark.parametrize(
    "target",
    [
        "segtrain.models.unet.build_unet",
        "segtrain.training.callbacks.checkpoint.Checkpoint",
        "albumentations.Lambda",
        "keras.callbacks.EarlyStopping",
        "keras.losses.Dice",
    ],
)
def test_the_libraries_are_allowed(target):
    require_allowed_targets({"_target_": target, "parts": [{"_target_": target}]}, "model")


def test_what_is_typed_is_allowed_and_nothing_beside_it():
    mine = {"_target_": "my_package.nets.build"}
    require_allowed_targets(mine, "model", ["my_package."])
    require_allowed_targets(mine, "model", ["my_package.nets.build"])
    for other in (["my_package"], ["my_package.nets.buil"], ["my_."], ["my_package.nets"]):
        with pytest.raises(ConfigError, match=r"type allow_targets=\[my_package.\]"):
            require_allowed_targets(mine, "model", other)


def test_a_call_that_appears_when_the_config_is_resolved_once_more_is_refused(composed):
    # Resolved once, this is a text; `instantiate` resolves again, and then it is a call.
    composed.trainer.precision = "\\${oc.create:'{_target_: os.getcwd}'}"
    with pytest.raises(ConfigError, match=r"trainer.precision=.* holds \$\{ after"):
        read_settings(composed, TrainSettings)


def test_the_typed_config_decides_and_not_the_config_itself(composed, trap):
    OmegaConf.set_struct(composed, False)
    composed.model = {"_target_": "trap_of_a_stranger.build_net"}
    for says_itself in (None, ["trap_of_a_stranger."]):
        composed.allow_targets = says_itself
        with pytest.raises(ConfigError, match=r"type allow_targets=\[trap_of_a_stranger.\]"):
            read_settings(composed, TrainSettings)
    assert read_settings(composed, TrainSettings, ["trap_of_a_stranger."]).model["_target_"].startswith("trap")
    assert not trap.exists()  # checked, and not imported


def test_a_strangers_run_folder_calls_nothing(composed, trap, tmp_path):
    config = OmegaConf.to_container(composed, resolve=True)
    config["dataset"] = {"_target_": "trap_of_a_stranger.build_net"}
    config["allow_targets"] = ["trap_of_a_stranger."]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=r"allow_targets=\[trap_of_a_stranger.\]"):
        read_settings_of_run(tmp_path / "config.yaml")
    settings = read_settings_of_run(tmp_path / "config.yaml", ["trap_of_a_stranger."])
    assert settings.allow_targets == ["trap_of_a_stranger."]
    assert not trap.exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['true']", "!!python/name:os.system"])
def test_yaml_makes_no_objects(tmp_path, tag):
    (tmp_path / "config.yaml").write_text(f"model: {tag}\n")
    with pytest.raises(ValueError, match="is not the config of a run"):
        read_settings_of_run(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("launcher", {"_target_": "os.system"}),
        ("callbacks", {"x": {"_target_": "subprocess.Popen", "args": ["true"]}}),
        ("sweeper", {"_target_": "hydra_plugins.segtrain.OtherSweeper"}),
        ("sweeper", {"_target_": "segtrain.sweeps.optuna_sweeper.OptunaSweeper"}),
        ("sweeper", "${oc.create:'{_target_: os.system}'}"),
        ("job_logging", {"handlers": {"file": {"class": "logging.os.system", "command": "true"}}}),
        ("job_logging", {"handlers": {"file": {"class": "logging.handlers.QueueHandler", "queue": "os.getcwd"}}}),
        ("job_logging", {"handlers": {"file": {"class": "logging.handlers.SocketHandler", "host": "a", "port": 1}}}),
        ("job_logging", {"handlers": {"file": {"class": "logging.StreamHandler", "stream": "ext://mine.stream"}}}),
        ("hydra_logging", {"formatters": {"simple": {"()": "os.system"}}}),
    ],
)
def test_hydra_builds_its_own_parts_only(place, value):
    with pytest.raises(ConfigError, match=f"hydra.{place}.*Hydra"):
        require_allowed_hydra({place: value})


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ("job.env_set", "LD_PRELOAD", "trap.so"),
        ("sweeper", "custom_search_space", "trap_of_a_stranger.configure"),
        ("launcher", "setup", ["rm -r ~"]),
        ("launcher", "additional_parameters", {"wrap": "rm -r ~"}),
    ],
)
def test_what_may_run_code_has_to_be_typed(place, key, value):
    node = values = {}
    for part in place.split("."):
        node = node.setdefault(part, {})
    node[key] = value
    for typed in ([], ["hydra.job.name", "hydra.job.env_set.OTHER"]):
        with pytest.raises(ConfigError, match=rf"hydra.{place}.{key}.*has to be typed"):
            require_allowed_hydra(values, typed)
    require_allowed_hydra(values, [f"hydra.{place}.{key}"])
    node[key] = None
    require_allowed_hydra(values)


def test_the_environment_may_be_set_by_typing(tmp_path, capsys):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nhydra:\n  job:\n    env_set:\n      SEGTRAIN_TRAP: '1'\n"
    (tmp_path / "experiment" / "theirs.yaml").write_text(text)
    line = ["--config-dir", str(tmp_path), "experiment=theirs", "--cfg", "job"]
    with pytest.raises(SystemExit) as left:
        cli.main(line)
    assert left.value.code == 2
    assert "hydra.job.env_set.SEGTRAIN_TRAP=1: a config file says so" in capsys.readouterr().err
    cli.main([*line, "hydra.job.env_set.SEGTRAIN_TRAP=2"])
    assert capsys.readouterr().err == ""


def test_a_config_folder_of_a_stranger_calls_nothing(tmp_path, trap, capsys):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nallow_targets: [trap_of_a_stranger.]\n"
    text += "model:\n  _target_: trap_of_a_stranger.build_net\n"
    (tmp_path / "experiment" / "theirs.yaml").write_text(text)
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as left:
        cli.main(["--config-dir", str(tmp_path), "experiment=theirs", "size=tiny", f"hydra.run.dir={out}"])
    assert left.value.code == 2
    assert "type allow_targets=[trap_of_a_stranger.]" in capsys.readouterr().err
    assert not trap.exists()
    assert not out.exists()
