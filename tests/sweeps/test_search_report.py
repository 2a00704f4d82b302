"""What search.json tells, of studies whose trials are made up."""

import json

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from segtrain.sweeps.search_report import announce_trial, describe_search, describe_trial, read_search, write_search
from segtrain.sweeps.search_space import varied_overrides

SPACE = {"rate": FloatDistribution(0, 1), "loss": CategoricalDistribution(["a", "b"])}
FEW = "it takes 5 completed trials of different scores, and there"
NOTHING = {"number": 0, "value": 0.5, "overrides": [], "job": None}


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study(direction="maximize")


def end(study: optuna.Study, value: float | None, state: str = "COMPLETE", *, keys=("rate", "loss"), **told) -> None:
    """Adds a trial; its rate is its score, and its loss is always the same."""
    params = {key: {"rate": value or 0.0, "loss": "a"}[key] for key in keys}
    told = {"overrides": varied_overrides(params), "job": f"job{len(study.trials)}", **told}
    space = {key: SPACE[key] for key in keys}
    state = optuna.trial.TrialState[state]
    study.add_trial(
        optuna.trial.create_trial(value=value, state=state, params=params, distributions=space, user_attrs=told)
    )


def test_the_best_is_the_completed_one_of_the_highest_score(study, tmp_path):
    end(study, 0.3)
    end(study, 0.9, "PRUNED", pruned_after=2)
    end(study, 0.6)
    end(study, None, "FAIL", error="ValueError: no luck")
    told = write_search(tmp_path, study, 6)
    assert json.loads((tmp_path / "search.json").read_text()) == told
    assert told["best"]["number"] == 2
    assert (told["n_trials"], told["missing"]) == (6, 2)
    assert [trial["state"] for trial in told["trials"]] == ["completed", "pruned", "completed", "failed"]
    assert describe_search(told).startswith(
        "search: 2 completed, 1 pruned, 1 failed. Best val mIoU 0.6000, trial 2: rate=0.6 loss=a, in job2. "
    )
    assert describe_trial(study.trials[1]) == "trial 1: pruned after epoch 2, val mIoU 0.9000: rate=0.9 loss=a"
    assert describe_trial(study.trials[3]) == "trial 3: failed: rate=0 loss=a (ValueError: no luck)"


def test_a_comparison_reads_what_was_found(study, tmp_path):
    end(study, 0.3)
    write_search(tmp_path, study, 4)
    found = read_search(tmp_path)
    assert found["best_trial"] == {"number": 0, "value": 0.3, "overrides": ["rate=0.3", "loss=a"], "job": "job0"}
    assert (found["n_trials"], found["missing"], found["importances"]) == (4, 3, None)


def test_before_the_first_trial_all_are_missing(study, tmp_path):
    told = write_search(tmp_path, study, 3)
    assert read_search(tmp_path)["missing"] == 3
    assert describe_search(told) == "search: no trial has begun; none has completed"


@pytest.mark.parametrize(
    ("scores", "keys", "reason"),
    [
        ([], ("rate", "loss"), f"{FEW} are none"),
        ([0.1], ("rate", "loss"), f"{FEW} is 1"),
        ([0.1, 0.2, 0.2, 0.3, 0.4], ("rate", "loss"), f"{FEW} are 4"),
        ([0.1, 0.2, 0.3, 0.4, 0.5], ("rate",), "one setting alone is searched"),
        ([0.1, 0.2, 0.3, 0.4, 0.5], ("rate", "loss"), None),
    ],
)
def test_why_it_is_not_told_what_mattered(study, tmp_path, scores, keys, reason):
    for score in scores:
        end(study, score, keys=keys)
    told = write_search(tmp_path, study, 9)
    assert told["no_importances_because"] == reason
    assert (told["importances"] is None) == (reason is not None)
    if reason is None:
        assert told["importances"]["rate"] > 0.9  # the loss was always the same
        assert describe_search(told).rpartition(" ")[0].endswith("%, loss")


def test_a_trial_that_begins_is_counted_among_those_that_were_drawn(study):
    end(study, 0.3)
    study.ask()  # of a search that was killed before the trial had its settings
    trial = study.ask(SPACE)
    trial.set_user_attr("overrides", ["rate=0.5", "loss=b"])
    assert announce_trial(study, trial, 7) == "trial 2 begins, 2 of 7: rate=0.5 loss=b"


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"best": null}', json.dumps({"best": NOTHING | {"value": "high"}, "n_trials": 3, "missing": 0})],
)
def test_a_damaged_file_counts_as_none(tmp_path, content):
    assert read_search(tmp_path) is None
    (tmp_path / "search.json").write_text(content)
    assert read_search(tmp_path) is None


def test_of_a_files_trial_each_fact_is_looked_at(tmp_path):
    """The file may come from a stranger, and the page shows what it says."""
    whole = {"n_trials": 3, "missing": 0, "importances": {"a": 1}, "no_importances_because": None, "best": NOTHING}
    (tmp_path / "search.json").write_text(json.dumps(whole))
    assert read_search(tmp_path)["best_trial"]["value"] == 0.5
    wrong = {"n_trials": "3", "missing": 0.5, "importances": {"a": "b"}, "no_importances_because": 3}
    of_best = {"number": "1", "value": None, "overrides": "a", "job": 3}
    damaged = [whole | {name: value} for name, value in wrong.items()]
    damaged += [whole | {"best": NOTHING | {name: value}} for name, value in of_best.items()]
    for content in damaged:
        (tmp_path / "search.json").write_text(json.dumps(content))
        assert read_search(tmp_path) is None, content
