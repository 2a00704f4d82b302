"""The launchers in conf/hydra/launcher/ set what the plugins take, and are theirs."""

import dataclasses
import importlib
import importlib.util
import tomllib
from pathlib import Path

import hydra
import pytest

from segtrain.command.composition import config_folder

pytestmark = pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher/\w+' is validated against")

# Of each plugin: its module of settings, and the class there.
SETTINGS = {
    "joblib": ("hydra_plugins.hydra_joblib_launcher.config", "JobLibLauncherConf"),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher.config", "LocalQueueConf"),
    "submitit_slurm": ("hydra_plugins.hydra_submitit_launcher.config", "SlurmQueueConf"),
    "ray": ("hydra_plugins.hydra_ray_launcher._config", "RayLauncherConf"),
}


def test_every_launcher_is_looked_at():
    assert {path.stem for path in (config_folder() / "hydra" / "launcher").glob("*.yaml")} == set(SETTINGS)


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


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            ["hydra/launcher=joblib", "hydra.launcher.n_jobs=0"],
            "hydra.launcher.n_jobs=0: has to be how many jobs run at",
        ),
        (["sweep.one_gpu_each=true", "sweep.own_process=false"], "Leave sweep.own_process=false out."),
    ],
)
def test_settings_that_make_no_sense_are_told_before_anything_is_made(segtrain, jobs, tmp_path, typed, told):
    ended = segtrain("-m", "seed=1,2", *typed)
    assert (ended.status, jobs.done, list(tmp_path.iterdir())) == (2, [], [])
    assert ended.errors.startswith("segtrain: error: ")
    assert told in ended.errors
    assert ended.errors.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "plugin", "install"),
    [
        ("joblib", "hydra_joblib_launcher", "'segtrain-keras[launchers]'"),
        ("submitit_local", "hydra_submitit_launcher", "'segtrain-keras[launchers]'"),
        ("ray", "hydra_ray_launcher", "hydra-ray-launcher"),
    ],
)
def test_without_its_package_it_is_told_what_to_install(segtrain, tmp_path, monkeypatch, name, plugin, install):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None if plugin in module else find(module))
    ended = segtrain("-m", "seed=1,2", f"hydra/launcher={name}")
    assert (ended.status, list(tmp_path.iterdir())) == (2, [])
    assert ended.errors == (
        f"segtrain: error: hydra/launcher={name} needs a package that is not installed. Type pip install {install}.\n"
    )


def test_the_extra_that_is_named_brings_the_plugins():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["name"] == "segtrain-keras"
    packages = {each.partition(">")[0] for each in project["optional-dependencies"]["launchers"]}
    assert packages == {"hydra-joblib-launcher", "hydra-submitit-launcher"}


def test_without_slurm_it_is_told_what_cannot_be_found(segtrain, tmp_path, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    ended = segtrain("-m", "seed=1,2", "hydra/launcher=submitit_slurm")
    assert ended.status == 2
    assert "hydra/launcher=submitit_slurm needs Slurm, and sbatch cannot be found." in ended.errors
    assert ended.errors.count("\n") == 1


def test_a_sweep_of_runs_over_several_workers_is_refused(segtrain, jobs, tmp_path):
    """Each worker would begin the whole sweep."""
    for strategies in ("multiworker", "one,multiworker"):
        ended = segtrain("-m", "seed=1,2", f"trainer.strategy={strategies}", "trainer.workers=2")
        assert (ended.status, jobs.done, list(tmp_path.iterdir())) == (2, [], [])
    ended = segtrain("-m", "seed=1,2", "trainer.strategy=multiworker")
    assert ended.errors.startswith("segtrain: error: trainer.strategy=multiworker: all workers train one run together")
    assert ended.errors.count("\n") == 1
