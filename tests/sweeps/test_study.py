"""A search's study: what draws its trials, what prunes them, and whose study it is."""

from pathlib import Path

import optuna
import pytest
import yaml
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution

from segtrain.command.composition import config_folder
from segtrain.sweeps.search_space import SearchSpace, varied_overrides
from segtrain.sweeps.study import (
    STUDY,
    StudyError,
    build_pruner,
    build_sampler,
    drawn_trials,
    open_study,
    require_same_search,
)

RATES = SearchSpace(["epochs=3"], {"rate": FloatDistribution(0, 1)})


def settings(**changes) -> DictConfig:
    folder = config_folder() / "hydra" / "sweeper"
    return OmegaConf.create(yaml.safe_load((folder / "optuna.yaml").read_text()) | changes)


def draw(study: optuna.Study, space: SearchSpace, number: int, **changes) -> dict:
    study.sampler = build_sampler(settings(**changes), space, number)
    trial = study.ask(space.distributions)
    trial.set_user_attr("overrides", varied_overrides(trial.params))
    return trial.params


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_what_is_drawn_follows_from_the_seed_and_the_trials_number(sampler):
    def first(number, **changes):
        return draw(optuna.create_study(), RATES, number, sampler=sampler, **changes)["rate"]

    assert first(0) == first(0)
    assert len({first(0), first(1), first(0, seed=2), first(1, seed=2)}) == 4
    assert first(0, seed=None) != first(0, seed=None)


def test_a_grid_is_gone_through_in_any_process():
    """Each trial by a sampler of its own, as by a search that is killed after every trial."""
    space = SearchSpace([], {"a": CategoricalDistribution(["x", "y"]), "b": FloatDistribution(0, 1, step=0.5)})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler())
    drawn = [tuple(draw(study, space, number, sampler="grid").values()) for number in range(6)]
    assert sorted(drawn) == [(a, b) for a in "xy" for b in (0.0, 0.5, 1.0)]


def pruned_after(pruner: optuna.pruners.BasePruner, curves: list[list[float]]) -> list[int | None]:
    """Of runs one after the other, the epoch, from 1, after which each is pruned."""
    study = optuna.create_study(study_name="segtrain", direction="maximize", pruner=pruner)  # which gives the brackets
    ends = []
    for curve in curves:
        trial, end = study.ask(), None
        for epoch, score in enumerate(curve, 1):
            trial.report(score, epoch)
            if trial.should_prune():
                end = epoch
                break
        study.tell(trial, None if end else curve[-1], optuna.trial.TrialState.PRUNED if end else None)
        ends.append(end)
    return ends


GOOD, BAD = [0.5, 0.6, 0.7, 0.8, 0.9, 0.9], [0.1] * 6


@pytest.mark.parametrize(("epochs", "trials", "end"), [(0, 2, 1), (3, 2, 4), (3, 3, None), (3, 1, 4)])
def test_the_median_has_a_trial_warm_up(epochs, trials, end):
    pruner = build_pruner(settings(pruner="median", warm_up_epochs=epochs, warm_up_trials=trials), 6)
    assert pruned_after(pruner, [GOOD, GOOD, BAD]) == [None, None, end]


def test_hyperband_prunes_what_is_hopeless_and_nothing_before_it_is_warm():
    """It sorts trials into brackets by their numbers; of many bad ones, those that are pruned have had three epochs."""
    pruner = build_pruner(settings(pruner="hyperband", warm_up_epochs=2), 9)
    ends = pruned_after(pruner, [[0.5 + 0.01 * epoch for epoch in range(9)], *[[0.1] * 9] * 12])
    assert ends[0] is None
    assert any(ends)
    assert all(end is None or end >= 3 for end in ends)


@pytest.mark.parametrize("epochs", [1, 2])
def test_hyperband_takes_runs_that_are_over_before_they_are_warm(epochs):
    pruner = build_pruner(settings(pruner="hyperband", warm_up_epochs=5), epochs)
    pruned_after(pruner, [GOOD[:epochs]] * 3)


def test_none_prunes_nothing():
    assert pruned_after(build_pruner(settings(pruner="none"), 6), [GOOD, GOOD, GOOD, BAD]) == [None] * 4


def test_a_study_in_the_sweeps_folder_is_opened_again(tmp_path):
    study = open_study(settings(), tmp_path, is_new=True)
    draw(study, RATES, 0)
    for is_new in (True, False):  # new: the search was killed before it said that it had begun
        assert len(drawn_trials(open_study(settings(), tmp_path, is_new=is_new))) == 1
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert {path.name for path in tmp_path.iterdir()} == {STUDY}


def test_in_a_database_that_is_given_a_new_study_has_a_name_of_its_own(tmp_path):
    there = settings(storage=f"sqlite:///{tmp_path / 'all.db'}")
    open_study(there, Path("nowhere"), is_new=True)
    open_study(there, Path("nowhere"))
    with pytest.raises(StudyError, match=r"study_name=segtrain: the database has a study of that name"):
        open_study(there, Path("nowhere"), is_new=True)


@pytest.mark.parametrize(
    ("fixed", "rate", "is_same"),
    [
        (["epochs=3"], FloatDistribution(0, 1), True),
        (["sweep.fail_fast=true", "epochs=3", "+allow_targets=[mine.]"], FloatDistribution(0, 1), True),
        (["epochs=4"], FloatDistribution(0, 1), False),
        (["epochs=3", "sweeps=1"], FloatDistribution(0, 1), False),
        (["epochs=3"], FloatDistribution(0, 2), False),
    ],
)
def test_a_search_goes_on_with_the_settings_it_was_begun_with(tmp_path, fixed, rate, is_same):
    study = optuna.create_study()
    require_same_search(study, RATES, tmp_path)
    draw(study, RATES, 0)
    other = SearchSpace(fixed, {"rate": rate})
    if is_same:
        require_same_search(study, other, tmp_path)
    else:
        with pytest.raises(StudyError, match="a search with other settings was begun there"):
            require_same_search(study, other, tmp_path)
