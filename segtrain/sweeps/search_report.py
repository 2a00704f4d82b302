"""What a search has found: search.json, and a line for the terminal."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segtrain.run_folder import write_text
from segtrain.sweeps.study import drawn_trials

if TYPE_CHECKING:
    import optuna

REPORT = "search.json"
NAMES = {"COMPLETE": "completed", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "unfinished"}


def write_search(sweep: Path, study: "optuna.Study") -> dict[str, Any]:
    """Writes search.json and returns what is in it: every trial, the best, and how much each setting mattered."""
    trials = [_facts(trial) for trial in drawn_trials(study)]
    completed = [trial for trial in trials if trial["state"] == "completed"]
    told = {
        "study": study.study_name,
        "objective": "val_mean_iou of the best checkpoint, maximised",
        "best": max(completed, key=lambda trial: trial["value"], default=None),
        "importances": _importances(study, completed),
        "trials": trials,
    }
    write_text(sweep / REPORT, json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    return told


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
    if told["best"] is None:
        return f"search: {counted}; none has completed"
    best = told["best"]
    shares = "".join(f"; {key} {share:.0%}" for key, share in (told["importances"] or {}).items())
    mattered = f". What mattered{shares.replace(';', ':', 1)}" if shares else ""
    return (
        f"search: {counted}. Best val mIoU {best['value']:.4f}, trial {best['number']}: "
        f"{' '.join(best['overrides'])}{mattered}"
    )


def _facts(trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
    told = {name: trial.user_attrs.get(name) for name in ("overrides", "job", "same_as", "pruned_after", "error")}
    return {"number": trial.number, "state": NAMES[trial.state.name], "value": trial.value, **told}


def _importances(study: "optuna.Study", completed: list[dict[str, Any]]) -> dict[str, float] | None:
    """Returns each setting's share in how scores differ; None where there is too little to tell."""
    import optuna

    if len({trial["value"] for trial in completed}) < 5 or len(completed[0]["overrides"]) < 2:
        return None
    return dict(optuna.importance.get_param_importances(study))
