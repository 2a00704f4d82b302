"""A hopeless trial is ended by its study's pruner, and the study knows every epoch of it."""

from types import SimpleNamespace

import optuna
import pytest
import yaml
from omegaconf import OmegaConf

from segtrain.command.composition import config_folder
from segtrain.sweeps.study import open_study
from segtrain.training.callbacks.prune import Prune


def run(trial: optuna.Trial, scores: list[float]) -> tuple[int, list[str]]:
    """Drives the callback through epochs; returns how many there were, and its warnings."""
    callback, model = Prune(trial), SimpleNamespace(stop_training=False)
    callback.set_params({"epochs": len(scores)})
    callback.set_model(model)
    for epoch, score in enumerate(scores):
        callback.on_epoch_end(epoch, {"val_mean_iou": score})
        if model.stop_training:
            return epoch + 1, callback.warnings
    return len(scores), callback.warnings


def of_threshold(lowest: float) -> optuna.Trial:
    """A trial that is hopeless below a score."""
    return optuna.create_study(direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=lowest)).ask()


def test_what_is_hopeless_ends_and_says_so():
    trial = of_threshold(0.3)
    epochs, (warning,) = run(trial, [0.4, 0.5, 0.2, 0.6])
    assert epochs == 3
    assert warning.startswith("pruned after epoch 3 of 4 by ThresholdPruner: val_mean_iou 0.200 is hopeless")
    frozen = trial.study.trials[0]
    assert frozen.intermediate_values == {1: 0.4, 2: 0.5, 3: 0.2}
    assert frozen.user_attrs == {"pruned_after": 3}


def test_what_is_not_goes_on_to_its_end():
    trial = of_threshold(0.3)
    assert run(trial, [0.4, 0.5]) == (2, [])
    assert trial.study.trials[0].intermediate_values == {1: 0.4, 2: 0.5}
    assert trial.study.trials[0].user_attrs == {}


def test_nothing_is_spared_after_the_last_epoch():
    trial = of_threshold(0.3)
    assert run(trial, [0.4, 0.2]) == (2, [])
    assert trial.study.trials[0].user_attrs == {}


@pytest.mark.parametrize("broken", ["report", "should_prune", "set_user_attr"])
def test_a_study_that_cannot_be_reached_costs_the_run_nothing(monkeypatch, caplog, broken):
    trial = of_threshold(0.3)

    def fail(*_):
        raise optuna.exceptions.StorageInternalError("the database is locked")

    monkeypatch.setattr(trial, broken, fail)
    assert run(trial, [0.2, 0.2, 0.2]) == (3, [])
    assert "epoch 1 is not told to the search: the database is locked" in caplog.text


def test_hyperband_ends_what_is_hopeless(tmp_path):
    """Through the study of a search, whose trials are equals until the third epoch."""
    sweeper = yaml.safe_load((config_folder() / "hydra" / "sweeper" / "optuna.yaml").read_text())
    sweeper = OmegaConf.create(sweeper | {"pruner": "hyperband", "warm_up_epochs": 2})
    study = open_study(sweeper, tmp_path, is_new=True, epochs=9)
    ended = {}
    for number in range(12):
        trial = study.ask()
        score = 0.9 if number < 4 else 0.1
        ended[number], warnings = run(trial, [score] * 9)
        study.tell(trial, score if ended[number] == 9 else None, None if ended[number] == 9 else _PRUNED)
        assert bool(warnings) == (ended[number] < 9)
        assert all("by HyperbandPruner" in warning for warning in warnings)
    assert all(ended[number] == 9 for number in range(4))
    assert sum(ended[number] == 3 for number in range(4, 12)) >= 4
    assert set(ended.values()) == {3, 9}


_PRUNED = optuna.trial.TrialState.PRUNED
