"""A command line's configs, composed and checked before anything heavy loads."""

import re

import pytest

from segtrain.command.command_line import read_command_line
from segtrain.command.composition import check_command_line
from segtrain.config_error import ConfigError


def check(*typed: str, config_name: str = "config"):
    return check_command_line(read_command_line(typed), config_name, ())


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Writes an experiment of a stranger's; returns what is typed to sweep it."""
    monkeypatch.chdir(tmp_path)

    def write(**params: str) -> list[str]:
        (tmp_path / "conf" / "experiment").mkdir(parents=True)
        lines = ["# @package _global_", "hydra:", "  sweeper:", "    params:"]
        lines += [f'      "{key}": "{value}"' for key, value in params.items()]
        (tmp_path / "conf" / "experiment" / "theirs.yaml").write_text("\n".join(lines) + "\n")
        return ["-m", "--config-dir", "conf", "experiment=theirs", "hydra.sweep.dir=out"]

    return write


def test_a_files_sweep_is_checked_to_its_last_value(experiment):
    with pytest.raises(ConfigError, match=r"^seed=-1: has to be"):
        check(*experiment(model="segnet,unet", seed="1,2,-1"))


def test_what_is_typed_goes_before_a_files_sweep(experiment):
    assert check(*experiment(seed="1,2,-1"), "seed=3").resumption is None


@pytest.mark.parametrize(
    "key", ["hydra/job_logging", "++hydra.job", "hydra.job.env_set.X", "allow_targets", "+hydra/callbacks@x"]
)
def test_a_files_sweep_sets_nothing_of_hydras(experiment, key):
    """A stranger's could have logging or a launcher call what it names."""
    with pytest.raises(ConfigError, match=re.escape(f"hydra.sweeper.params.{key}: a file's sweep varies settings")):
        check(*experiment(**{key: "theirs"}))


@pytest.mark.parametrize("group", ["model", "dataset", "loss", "schedule", "size", "augmentation", "trainer"])
def test_a_group_has_one_option(group):
    with pytest.raises(ConfigError, match=f"has to name one option, such as {group}=a.$"):
        check(f"{group}=[a,b]")


def test_callbacks_may_be_several(tmp_path):
    check("callbacks=[default,early_stopping]", f"hydra.run.dir={tmp_path / 'run'}")
