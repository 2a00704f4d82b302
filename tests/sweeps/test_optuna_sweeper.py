import contextlib
import inspect
import json
import math
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import yaml
from omegaconf import OmegaConf

from segtrain.command.composition import config_folder
from segtrain.run_folder import RunFolder
from segtrain.sweeps.going_on import is_sweep
from segtrain.sweeps.optuna_sweeper import OptunaSweeper
from segtrain.sweeps.search_space import SWEEPER

RATE = "optimizer.learning_rate=tag(log,interval(1e-4,1))"
LOSS = "loss=cross_entropy,weighted_cross_entropy"


def score_of(settings: dict[str, str]) -> float:
    """A function whose best, 0.9, is at a learning rate of 0.01 and with the second loss."""
    rate = math.log10(float(settings.get("optimizer.learning_rate", 0.01)))
    return 0.9 - 0.1 * (rate + 2) ** 2 - 0.05 * (settings.get("loss") == "cross_entropy")


class Searches:
    """Runs the sweeper with jobs that are a call of `score_of`, or of what stands in its place, and nothing else.

    `done` are the settings of the jobs that were begun, batch by batch.
    """

    def __init__(self, home: Path):
        self.home = home
        self.score_of = score_of
        self.done: list[list[dict[str, str]]] = []

    def run(self, *typed: str, folder: str = "out", **options) -> optuna.Study:
        self.sweep = self.home / folder
        options = defaults() | options
        sweeper = OptunaSweeper(**options)
        hydra = {"sweeper": options, "sweep": {"dir": str(self.sweep)}}
        sweeper.config = OmegaConf.create({"epochs": 4, "hydra": hydra})
        sweeper.hydra_context = SimpleNamespace(config_loader=None)
        sweeper.launcher = self
        sweeper.sweep(list(typed))
        return study_in(self.sweep, options["storage"])

    def launch(self, jobs: list[list[str]], initial_job_idx: int) -> list[SimpleNamespace]:
        self.done.append([dict(override.split("=", 1) for override in job) for job in jobs])
        return [self._end(settings) for settings in self.done[-1]]

    def _end(self, settings):
        folder = RunFolder(self.sweep / "_".join(settings.values()))
        folder.path.mkdir(exist_ok=True)
        folder.write_results({"status": "completed", "val": {"mean_iou": self.score_of(settings)}})
        return SimpleNamespace(hydra_cfg=OmegaConf.create({"hydra": {"runtime": {"output_dir": str(folder.path)}}}))

    def rates(self) -> list[str]:
        return [job["optimizer.learning_rate"] for batch in self.done for job in batch]


@pytest.fixture
def searches(tmp_path) -> Searches:
    return Searches(tmp_path)


def defaults() -> dict[str, Any]:
    options = yaml.safe_load((config_folder() / "hydra" / "sweeper" / "optuna.yaml").read_text())
    assert options.pop("_target_") == SWEEPER
    return options


def study_in(sweep: Path, storage: str | None = None) -> optuna.Study:
    """The study as Optuna itself reads it."""
    return optuna.load_study(study_name="segtrain", storage=storage or f"sqlite:///{sweep / 'study.db'}")


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def test_it_finds_better_than_chance(searches):
    study = searches.run(RATE, LOSS, n_trials=30)
    values = [trial.value for trial in study.trials]
    assert states(study) == ["COMPLETE"] * 30
    at_random, searched = values[:10], values[10:]
    assert max(searched) > max(at_random)
    assert sum(searched) / 20 > sum(at_random) / 10
    assert study.best_value == max(values) > 0.89
    # The study says what the jobs have done.
    assert values == pytest.approx([score_of(job) for (job,) in searches.done])
    told = json.loads((searches.sweep / "search.json").read_text())
    assert told["best"]["value"] == study.best_value
    assert told["best"]["number"] == study.best_trial.number
    results = RunFolder(searches.sweep / told["best"]["job"]).read_results()
    assert results["val"]["mean_iou"] == study.best_value
    assert told["importances"]["optimizer.learning_rate"] > told["importances"]["loss"] > 0


def test_what_was_found_is_printed(searches, capsys):
    searches.run("optimizer.learning_rate=choice(0.01,1)", LOSS, sampler="grid")
    lines = capsys.readouterr().out.splitlines()
    begun = [line.partition(":")[0] for line in lines if "begins" in line]
    assert begun == [f"trial {number} begins, {number + 1} of 4" for number in range(4)]
    assert sum(": completed, val mIoU " in line for line in lines) == 4
    assert lines[-1].startswith("search: 4 completed. Best val mIoU 0.9000, trial ")
    assert ": optimizer.learning_rate=0.01 loss=weighted_cross_entropy, in 0.01_weighted_cross_entropy. " in lines[-1]
    # Four scores, where it takes five.
    assert lines[-1].endswith(
        "What mattered is not told: it takes 5 completed trials of different scores, and there are 4"
    )


def test_a_seed_draws_the_same_again(searches):
    drawn = []
    for place, seed in enumerate((1, 1, 2)):
        searches.done.clear()
        searches.run(RATE, folder=f"out{place}", n_trials=3, seed=seed)
        drawn.append(searches.rates())
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0]) | set(drawn[2])) == 6


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_a_search_that_was_killed_goes_on_as_it_would_have(searches, sampler):
    space = ["optimizer.learning_rate=range(1,9)", "seed=1,2"] if sampler == "grid" else [RATE, "seed=range(1,90)"]
    options = {"sampler": sampler, "startup_trials": 2, "n_trials": 8}
    undisturbed = searches.run(*space, folder="whole", **options)
    jobs = [*searches.done]
    searches.done.clear()

    def be_killed(settings):
        if len(searches.done) == 5:
            raise KeyboardInterrupt
        return score_of(settings)

    searches.score_of = be_killed
    with pytest.raises(KeyboardInterrupt):
        searches.run(*space, **options)
    assert states(study_in(searches.sweep)) == ["COMPLETE"] * 4 + ["RUNNING"]
    searches.score_of = score_of
    study = searches.run(*space, **options)
    assert searches.done[4] == searches.done[5]  # begun twice
    assert [*searches.done[:4], *searches.done[5:]] == jobs
    assert states(study) == ["COMPLETE"] * 8
    assert [trial.value for trial in study.trials] == [trial.value for trial in undisturbed.trials]


@pytest.mark.parametrize("where", ["before the study is made", "once it is made"])
def test_a_search_that_is_killed_while_it_begins_can_be_gone_on_with(searches, monkeypatch, where):
    """There is no moment at which the folder holds a study, and not how it was begun."""

    def be_killed(*arguments, **options):
        if where == "once it is made":
            open_study(*arguments, **options)
        raise KeyboardInterrupt

    from segtrain.sweeps import optuna_sweeper
    from segtrain.sweeps.study import open_study

    with monkeypatch.context() as patch:
        patch.setattr(optuna_sweeper, "open_study", be_killed)
        with pytest.raises(KeyboardInterrupt):
            searches.run(RATE, n_trials=2)
    assert (searches.sweep / "study.db").is_file() == (where == "once it is made")
    assert is_sweep(searches.sweep)
    assert states(searches.run(RATE, n_trials=2)) == ["COMPLETE"] * 2


def test_a_study_without_how_it_was_begun_is_gone_on_with(searches):
    searches.run(RATE, n_trials=1)
    (searches.sweep / "multirun.yaml").unlink()
    assert states(searches.run(RATE, n_trials=2)) == ["COMPLETE"] * 2


def test_a_trial_that_had_no_settings_when_the_search_was_killed_is_passed_over(searches):
    searches.run(RATE, n_trials=2)
    study_in(searches.sweep).ask()
    study = searches.run(RATE, n_trials=4)
    assert states(study) == ["COMPLETE", "COMPLETE", "RUNNING", "COMPLETE", "COMPLETE"]
    assert len(json.loads((searches.sweep / "search.json").read_text())["trials"]) == 4


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_the_same_settings_are_run_once(searches, n_jobs):
    study = searches.run(LOSS, n_jobs=n_jobs, n_trials=8)
    assert sorted(job["loss"] for batch in searches.done for job in batch) == [
        "cross_entropy",
        "weighted_cross_entropy",
    ]
    assert states(study) == ["COMPLETE"] * 8
    assert {(trial.params["loss"], trial.value) for trial in study.trials} == {
        ("cross_entropy", score_of({"loss": "cross_entropy"})),
        ("weighted_cross_entropy", score_of({})),
    }
    assert sum("same_as" in trial.user_attrs for trial in study.trials) == 6


def test_jobs_are_begun_in_batches(searches):
    study = searches.run(RATE, n_jobs=3, n_trials=8)
    assert [len(batch) for batch in searches.done] == [3, 3, 2]
    assert states(study) == ["COMPLETE"] * 8


@pytest.mark.filterwarnings("error")
def test_a_grid_has_each_combination_once(searches):
    study = searches.run("optimizer.learning_rate=range(0.1,0.35,0.1)", "seed=1,2", sampler="grid")
    done = sorted((job["optimizer.learning_rate"], job["seed"]) for (job,) in searches.done)
    assert done == [(rate, seed) for rate in ("0.1", "0.2", "0.3") for seed in ("1", "2")]
    assert states(study) == ["COMPLETE"] * 6


def test_a_score_that_is_no_number_is_a_failure(searches):
    searches.score_of = lambda settings: math.nan
    assert states(searches.run(RATE, n_trials=1)) == ["FAIL"]


def test_a_damaged_study_is_told(searches):
    searches.run(RATE, n_trials=1)
    (searches.sweep / "study.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(SystemExit) as end:  # what Python prints, with status 1
        searches.run(RATE, n_trials=2)
    told = f"segtrain: error: {searches.sweep / 'study.db'}: the study cannot be opened (file is not a database)."
    assert str(end.value).startswith(told)
    assert "\n" not in str(end.value)


@pytest.mark.parametrize("storage", ["nonsense", "mysql+nothing://host/x", "sqlite:////no/such/folder/x.db"])
def test_a_database_that_cannot_be_reached_is_told(searches, storage):
    with pytest.raises(SystemExit, match=r"^segtrain: error: hydra.sweeper.storage: the study cannot be opened \(.*"):
        searches.run(RATE, storage=storage)


@pytest.mark.parametrize("typed", [[RATE, "model=unet"], [RATE.replace("1e-4", "1e-5")], [RATE, LOSS]])
def test_a_study_of_another_search_is_not_gone_on_with(searches, typed):
    searches.run(RATE, "sweep.fail_fast=true", n_trials=1)
    with pytest.raises(SystemExit, match="a search with other settings was begun there. Go on with that: segtrain res"):
        searches.run(*typed, n_trials=2)
    assert len(searches.done) == 1
    assert states(searches.run(RATE, n_trials=2)) == ["COMPLETE"] * 2


def test_what_a_study_says_is_not_typed(searches):
    """A sweep's folder may come from a stranger, and an override may name code."""
    searches.run(RATE, n_trials=1)
    study = study_in(searches.sweep)
    trial = study.ask({"optimizer.learning_rate": study.trials[0].distributions["optimizer.learning_rate"]})
    trial.set_user_attr("overrides", ["hydra.job_logging={(): os.system}"])
    searches.run(RATE, n_trials=2)
    assert searches.done[1] == [{"optimizer.learning_rate": f"{trial.params['optimizer.learning_rate']:.6g}"}]


def test_a_folder_may_have_any_name(searches):
    with contextlib.suppress(KeyError):  # Optuna's own reading of a path, which knows no such names
        searches.run(RATE, folder="a?b=c {d} 100%20", n_trials=2)
    with sqlite3.connect(searches.sweep / "study.db") as database:
        assert database.execute("SELECT COUNT(*) FROM trials").fetchone() == (2,)


def test_studies_of_one_database_are_kept_apart(searches, tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    assert states(searches.run(RATE, storage=storage, n_trials=1)) == ["COMPLETE"]
    assert not (searches.sweep / "study.db").exists()
    with pytest.raises(SystemExit, match=r"hydra.sweeper.study_name=segtrain: the database has a study of that name\."):
        searches.run(RATE, storage=storage, n_trials=1, folder="other")
    assert not is_sweep(tmp_path / "other")  # or going on with it would open the study that it was refused
    assert len(searches.done) == 1


@pytest.fixture
def search(segtrain, monkeypatch, completed) -> SimpleNamespace:
    """Searches by command line in `out`, with jobs that end at once; `run` gives a job's score.

    `done` are the learning rates of jobs that were begun, `resumed` the folders of those gone on with.
    """
    seen = SimpleNamespace(done=[], resumed=[], run=lambda: 0.5)

    def end(folder: RunFolder) -> float:
        try:
            score = seen.run()
        except ValueError as error:
            folder.write_results({"status": "failed", "error": f"ValueError: {error}"})
            raise
        folder.write_results(completed | {"val": completed["val"] | {"mean_iou": score}})
        return score

    def train(settings, invocation):
        seen.done.append(settings.optimizer["learning_rate"])
        invocation.folder.config.write_text("seed: 1\n")
        invocation.folder.write_results({"status": "interrupted"})
        return end(invocation.folder)

    def resume(settings, invocation):
        seen.resumed.append(RunFolder(settings.run).path.name)
        return end(RunFolder(settings.run))

    def begin(*arguments: str, n_trials: int = 3) -> SimpleNamespace:
        return segtrain(
            "-m", "hydra/sweeper=optuna", f"hydra.sweeper.n_trials={n_trials}", "hydra.sweep.dir=out", *arguments
        )

    monkeypatch.setattr("segtrain.verbs.train.train", train)
    monkeypatch.setattr("segtrain.verbs.resume.resume", resume)
    seen.begin = begin
    return seen


def test_a_search_that_was_killed_is_gone_on_with_and_for_longer(search, segtrain, tmp_path):
    def be_killed():
        if len(search.done) == 2:
            raise SystemExit(137)
        return 0.5

    search.run = be_killed
    assert search.begin(RATE).status == 137
    search.run = lambda: 0.6
    ended = segtrain("resume", "out", "hydra.sweeper.n_trials=4")
    assert ended.status == 0, ended.errors
    study = study_in(tmp_path / "out")
    assert [trial.value for trial in study.trials] == [0.5, 0.6, 0.6, 0.6]
    assert len(search.resumed) == 1
    assert search.done == pytest.approx([trial.params["optimizer.learning_rate"] for trial in study.trials], rel=1e-5)
    assert segtrain("resume", "out").status == 0
    assert len(search.done) == 4


def test_a_trial_that_fails_costs_itself_alone(search, tmp_path):
    def fail_second():
        if len(search.done) == 2:
            raise ValueError("the loss is no number")
        return 0.5

    search.run = fail_second
    ended = search.begin(RATE)
    assert ended.status == 1  # as any sweep in which a job has failed
    assert states(study_in(tmp_path / "out")) == ["COMPLETE", "FAIL", "COMPLETE"]
    assert "search: 2 completed, 1 failed." in ended.output
    trials = json.loads((tmp_path / "out" / "search.json").read_text())["trials"]
    assert trials[1]["error"] == "ValueError: the loss is no number"


def test_fail_fast_ends_the_search(search, segtrain, tmp_path):
    def fail():
        raise ValueError("no luck")

    search.run = fail
    assert search.begin(RATE, "sweep.fail_fast=true").status == 1
    assert states(study_in(tmp_path / "out")) == ["FAIL"]
    compared = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert compared["search"]["best_trial"] is None
    assert "search: 2 of 3 trials have not begun" in compared["notes"]
    search.run = lambda: 0.5
    segtrain("resume", "out")
    compared = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert compared["search"]["best_trial"]["number"] == 1
    assert not any("have not begun" in note for note in compared["notes"])
    assert states(study_in(tmp_path / "out")) == ["FAIL", "COMPLETE", "COMPLETE"]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: has to be greater than or equal to 1."),
        (["hydra.sweeper.sampler=tpa"], "hydra.sweeper.sampler=tpa: has to be tpe, random or grid."),
        (["hydra.sweeper.pruner=hyper"], "hydra.sweeper.pruner=hyper: has to be median, hyperband or none."),
        (["hydra.sweeper.trials=3"], "hydra.sweeper.trials: there is no such setting. Did you mean 'n_trials'?"),
        (["optimizer.learning_rate=interval(0.1,0.01)"], "optimizer.learning_rate=interval(0.1,0.01): `low <= high`"),
        (["optimizer.learning_rate=interval(-1,1)"], "optimizer.learning_rate=-1.0: has to be greater than 0."),
        (
            ["batch_size=interval(2,8)"],
            "batch_size=interval(2,8): has to be integers, and an interval holds all numbers between its ends. Type "
            "'batch_size=int(interval(2,8))'.",
        ),
        (["batch_size=tag(log,interval(2,8))"], "Type 'batch_size=tag(log,int(interval(2,8)))'."),
        (["batch_size=int(interval(0,8))"], "batch_size=0: has to be greater than or equal to 1."),
        (["seed=range(1,5,0)"], "seed=range(1,5,0): range() arg 3 must not be zero."),
        (["seed=range(3,3)"], "seed=range(3,3): there is no value in it."),
        (["hydra.sweeper.sampler=grid"], "sampler=grid tries each value"),
        (["optimizer.learning_rate=0.1"], "hydra/sweeper=optuna: nothing to search."),
    ],
)
def test_mistakes_are_told_before_anything_is_made(search, tmp_path, typed, told):
    ended = search.begin(RATE, *typed)
    assert ended.status == 2
    assert ended.errors.startswith("segtrain: error: ")
    assert told in ended.errors
    assert ended.errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_interval_without_a_search_is_told(segtrain, tmp_path):
    ended = segtrain("-m", RATE)
    assert ended.status == 2
    assert "To search in it, type hydra/sweeper=optuna too." in ended.errors
    assert ended.errors.count("\n") == 1


def test_without_optuna_it_is_told_what_to_install(search, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    ended = search.begin(RATE)
    assert ended.status == 2
    assert "needs Optuna. Type pip install 'segtrain-keras[search]'." in ended.errors


def test_a_search_may_stand_in_a_file(segtrain, search, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "rate.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n  - override /hydra/sweeper: optuna\n"
        "hydra:\n  sweeper:\n    n_trials: 4\n    params:\n      optimizer.learning_rate: interval(0.01,0.02)\n"
    )
    ended = segtrain("-m", "--config-dir=mine", "experiment=rate", "hydra.sweep.dir=out")
    assert ended.status == 0, ended.errors
    assert states(study_in(tmp_path / "out")) == ["COMPLETE"] * 4
    assert all(0.01 <= rate <= 0.02 for rate in search.done)


def test_the_config_has_the_sweepers_settings_and_defaults():
    parameters = dict(inspect.signature(OptunaSweeper.__init__).parameters)
    del parameters["self"]
    assert defaults() == {name: parameter.default for name, parameter in parameters.items()}


def test_hopeless_trials_are_pruned(search, tmp_path):
    """Made-up epochs through the real callback: two good trials, then one that is behind from the start."""
    from segtrain.sweeps.study import trial_of_this_job
    from segtrain.training.callbacks.prune import Prune

    curves = [[0.3, 0.4, 0.5, 0.6], [0.2, 0.4, 0.6, 0.7], [0.1, 0.2, 0.3, 0.4], [0.3, 0.5, 0.7, 0.8]]
    epochs: list[int] = []
    warnings: list[list[str]] = []

    def train():
        callback, model = Prune(trial_of_this_job(4)), SimpleNamespace(stop_training=False)
        callback.set_params({"epochs": 4})
        callback.set_model(model)
        scores = []
        for epoch, score in enumerate(curves[len(search.done) - 1]):
            callback.on_epoch_end(epoch, {"val_mean_iou": score})
            scores.append(score)
            if model.stop_training:
                break
        epochs.append(len(scores))
        warnings.append(callback.warnings)
        return max(scores)

    search.run = train
    ended = search.begin(RATE, "hydra.sweeper.warm_up_trials=2", "hydra.sweeper.warm_up_epochs=1", n_trials=4)
    assert ended.status == 0
    # The median of the two good ones after epoch 2 is 0.4; after epoch 1 nothing is pruned.
    assert epochs == [4, 4, 2, 4]
    (warning,) = warnings[2]
    assert warning.startswith("pruned after epoch 2 of 4 by MedianPruner: val_mean_iou 0.200 is hopeless")
    assert warnings[0] == warnings[1] == warnings[3] == []
    study = study_in(tmp_path / "out")
    assert states(study) == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    assert study.trials[2].intermediate_values == {1: 0.1, 2: 0.2}
    assert "search: 3 completed, 1 pruned. Best val mIoU 0.8000, trial 3" in ended.output


def test_a_job_that_is_no_trial_is_not_pruned(segtrain, monkeypatch, completed):
    from segtrain.sweeps.study import trial_of_this_job

    seen: list = []
    find: Callable = trial_of_this_job

    def train(settings, invocation):
        seen.append(find(4))
        invocation.folder.write_results(completed)
        return 0.5

    monkeypatch.setattr("segtrain.verbs.train.train", train)
    segtrain("hydra.run.dir=run")
    segtrain("-m", "seed=1,2", "hydra.sweep.dir=sweep")
    segtrain(
        "-m",
        "hydra/sweeper=optuna",
        RATE,
        "hydra.sweeper.pruner=none",
        "hydra.sweeper.n_trials=1",
        "hydra.sweep.dir=out",
    )
    assert seen == [None] * (1 + 2 + 1)


@pytest.mark.long
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_search_that_is_killed_ends_as_one_that_is_not(tmp_path, launcher):
    """Real runs, killed in the middle of the third; the second learns nothing and is pruned either way."""
    arguments = [
        *("-m", "hydra/sweeper=optuna", f"hydra/launcher={launcher}", "hydra.sweeper.sampler=grid", "size=tiny"),
        *("optimizer.learning_rate=0.05,0.01,1e-7", "epochs=6", "trainer.deterministic=true"),
        *("hydra.sweeper.warm_up_trials=1", "hydra.sweeper.warm_up_epochs=2", "callbacks=[csv,checkpoint]"),
    ]

    def begin(folder: str, *typed: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "segtrain", *typed]
        with (tmp_path / f"{folder}.txt").open("a") as file:
            return subprocess.Popen(command, cwd=tmp_path, stdout=file, stderr=subprocess.STDOUT)

    assert begin("whole", *arguments, "hydra.sweep.dir=whole").wait() == 0
    search, sweep = begin("killed", *arguments, "hydra.sweep.dir=killed"), tmp_path / "killed"
    while sum(len(path.read_text().splitlines()) - 1 for path in sweep.glob("*/metrics.csv")) < 6 + 3 + 2:
        assert search.poll() is None
        time.sleep(0.1)
    search.kill()
    search.wait()
    assert "RUNNING" in states(study_in(sweep))
    time.sleep(10)  # a job in a process of its own saves, and ends
    assert begin("killed", "resume", "killed").wait() == 0
    ended, undisturbed = study_in(sweep), study_in(tmp_path / "whole")
    assert len(ended.trials) == 3
    assert states(undisturbed)[:2] == ["COMPLETE", "PRUNED"]
    assert states(ended) == states(undisturbed)
    assert [trial.params for trial in ended.trials] == [trial.params for trial in undisturbed.trials]
    assert [trial.value for trial in ended.trials] == pytest.approx([trial.value for trial in undisturbed.trials])
    assert [trial.intermediate_values for trial in ended.trials] == [
        trial.intermediate_values for trial in undisturbed.trials
    ]
