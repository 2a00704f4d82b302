"""What a search has found: search.json, and a line for the terminal."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from segtrain.run_folder import write_text
from segtrain.sweeps.study import drawn_trials

if TYPE_CHECKING:
    import optuna

REPORT = "search.json"
NAMES = {"COMPLETE": "completed", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "unfinished"}
SCORES_FOR_IMPORTANCES = 5  # fewer fit any explanation


@dataclass
class _Trial:
    number: int
    value: float
    overrides: list[str]
    job: str | None


@dataclass
class _Found:
    best: _Trial | None
    n_trials: int
    missing: int
    importances: dict[str, float] | None
    no_importances_because: str | None


def write_search(sweep: Path, study: "optuna.Study", n_trials: int) -> dict[str, Any]:
    """Writes search.json: every trial, the best, and how much each setting mattered.

    Args:
        sweep: the sweep's folder.
        study: its study.
        n_trials: how many trials there are to be.

    Returns:
        What is in the file.
    """
    trials = [_facts(trial) for trial in drawn_trials(study)]
    completed = [trial for trial in trials if trial["state"] == "completed"]
    untold = _why_no_importances(completed)
    told = {
        "study": study.study_name,
        "objective": "val_mean_iou of the best checkpoint, maximised",
        "n_trials": n_trials,
        "missing": max(n_trials - len(trials), 0),
        "best": max(completed, key=lambda trial: trial["value"], default=None),
        "importances": None if untold else _importances(study),
        "no_importances_because": untold,
        "trials": trials,
    }
    write_text(sweep / REPORT, json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    return told


def read_search(sweep: Path) -> dict[str, Any] | None:
    """Returns what a search has found, for a comparison.

    Args:
        sweep: a folder, of a search or not.

    Returns:
        `best_trial` (`number`, `value`, `overrides`, `job`; None where none has completed), `n_trials`, `missing`
        (those that have not begun), and `importances` by setting, or `no_importances_because`. None where the folder is
        no search's; a file that is damaged counts as none, and costs the comparison nothing else.
    """
    try:
        found = asdict(TypeAdapter(_Found).validate_json((sweep / REPORT).read_bytes(), strict=True))
    except (OSError, ValueError):
        return None
    return {"best_trial": found.pop("best"), **found}


def announce_trial(study: "optuna.Study", trial: "optuna.Trial", n_trials: int) -> str:
    """Returns which trial begins, of how many, on one line."""
    drawn = drawn_trials(study)
    place = 1 + [each.number for each in drawn].index(trial.number)
    overrides = " ".join(drawn[place - 1].user_attrs["overrides"])
    return f"trial {trial.number} begins, {place} of {n_trials}: {overrides}"


def describe_trial(trial: "optuna.trial.FrozenTrial") -> str:
    """Returns how a trial ended, on one line."""
    facts = _facts(trial)
    after = f" after epoch {facts['pruned_after']}" if facts["pruned_after"] else ""
    score = "" if facts["value"] is None else f", val mIoU {facts['value']:.4f}"
    reason = f" ({facts['error']})" if facts["error"] else ""
    return f"trial {facts['number']}: {facts['state']}{after}{score}: {' '.join(facts['overrides'])}{reason}"


def describe_search(told: dict[str, Any]) -> str:
    """Returns what was found, on one line."""
    counts = Counter(trial["state"] for trial in told["trials"])
    counted = ", ".join(f"{counts[name]} {name}" for name in NAMES.values() if counts[name])
    best = told["best"]
    if best is None:
        return f"search: {counted or 'no trial has begun'}; none has completed"
    shares = ", ".join(f"{key} {share:.0%}" for key, share in (told["importances"] or {}).items())
    mattered = f"What mattered: {shares}" if shares else f"What mattered is not told: {told['no_importances_because']}"
    return (
        f"search: {counted}. Best val mIoU {best['value']:.4f}, trial {best['number']}: "
        f"{' '.join(best['overrides'])}, in {best['job']}. {mattered}"
    )


def _facts(trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
    told = {name: trial.user_attrs.get(name) for name in ("overrides", "job", "same_as", "pruned_after", "error")}
    return {"number": trial.number, "state": NAMES[trial.state.name], "value": trial.value, **told}


def _why_no_importances(completed: list[dict[str, Any]]) -> str | None:
    """Returns why it cannot be told how much each setting mattered; None where it can."""
    num_scores = len({trial["value"] for trial in completed})
    if num_scores < SCORES_FOR_IMPORTANCES:
        return (
            f"it takes {SCORES_FOR_IMPORTANCES} completed trials of different scores, and there "
            f"{'is' if num_scores == 1 else 'are'} {num_scores or 'none'}"
        )
    return "one setting alone is searched" if len(completed[0]["overrides"]) < 2 else None


def _importances(study: "optuna.Study") -> dict[str, float]:
    """Returns each setting's share in how scores differ."""
    import optuna

    return dict(optuna.importance.get_param_importances(study))
