"""The launchers in conf/hydra/launcher/ set what the plugins take, and are theirs."""

import dataclasses
import importlib

import hydra
import pytest

from segtrain.command.composition import config_folder

# Of each plugin: its module of settings, and the class there.
SETTINGS = {
    "joblib": ("hydra_plugins.hydra_joblib_launcher.config", "JobLibLauncherConf"),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher.config", "LocalQueueConf"),
    "submitit_slurm": ("hydra_plugins.hydra_submitit_launcher.config", "SlurmQueueConf"),
    "ray": ("hydra_plugins.hydra_ray_launcher._config", "RayLauncherConf"),
}


def test_every_launcher_is_looked_at():
    assert {path.stem for path in (config_folder() / "hydra" / "launcher").glob("*.yaml")} == set(SETTINGS)


@pytest.mark.filterwarnings("ignore:.*validated against ConfigStore schema")
@pytest.mark.parametrize("name", SETTINGS)
def test_a_launcher_sets_what_its_plugin_takes(name):
    module, settings = SETTINGS[name]
    plugin = pytest.importorskip(module)
    known = {field.name: field.default for field in dataclasses.fields(getattr(plugin, settings))}
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = hydra.compose("config", [f"hydra/launcher={name}"], return_hydra_config=True)
    launcher = config.hydra.launcher
    assert launcher._target_ == known["_target_"]
    assert set(launcher) == set(known)
    package, _, owner = launcher._target_.rpartition(".")
    assert hasattr(importlib.import_module(package), owner)
