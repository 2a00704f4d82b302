"""Which configurations are compared, over what, and what can be told from chance: each against the best one."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from segtrain.comparison.contributions import contributions
from segtrain.comparison.difference import Difference, difference_over_folds, paired_difference, unpaired_difference
from segtrain.comparison.jobs import Job
from segtrain.evaluation.image_counts import read_image_counts
from segtrain.training.scores import plain_number

LEVEL = 0.95


@dataclass(frozen=True)
class ScoredRun:
    """A run's scores and, where its folder keeps them, the images' contributions.

    Attributes:
        seed: that it was run with.
        contract: what its scores are worth; those of another contract do not compare.
        names: stands for the images it was scored on, by their names and fold.
        images: stands for them and their truth; None where the folder does not keep what is counted in them.
        scores: by measure, 0..1; NaN where one has no value. See `Contributions.measures`.
        of_images: float64 `(images,)` by measure; None as above.
        freedom: degrees of freedom that the contributions' variance has, by measure; empty as above.
        fold: which part of the data it was validated on, as typed.
        num_folds: into how many the data was divided; None where it was not.
    """

    seed: Any
    contract: dict[str, Any]
    names: str
    images: str | None
    scores: dict[str, float]
    of_images: dict[str, np.ndarray] | None
    freedom: dict[str, float]
    fold: str
    num_folds: int | None


@dataclass(frozen=True)
class Pair:
    """What can be told of two configurations.

    Attributes:
        first: name of the one.
        second: name of the other.
        why_not: why their scores do not compare; empty where they do.
        over: what varies between the runs of a configuration.
        is_paired: whether the same seeds (or folds) were run with both.
        num_images: that all runs are scored on; None where that is not known or differs between folds.
        images_with: by measure, as many of them as tell of it: of a class, those that have it; empty where `num_images`
            is None.
        left_out: seeds or folds that one configuration alone has, such as `seed 3`, which count for nothing.
        is_same: whether the runs of the one gave the same numbers as those of the other, in every score.
        measures: the differences, first less second, by measure.
    """

    first: str
    second: str
    why_not: str = ""
    over: Literal["seeds", "folds"] = "seeds"
    is_paired: bool = True
    num_images: int | None = None
    images_with: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    is_same: bool = False
    measures: dict[str, Difference] = field(default_factory=dict)

    def at(self, level: float) -> "Pair":
        """Returns the pair with intervals of another level."""
        return replace(self, measures={name: replace(each, level=level) for name, each in self.measures.items()})

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values: `first`, `second`, `why_not`, `over`, `paired`, `images`, `left_out`, and where they
        compare `repetitions`, `level`, `same`, `told` (whether the mean IoU's interval leaves out 0), `seeds_needed`
        (to have it told in 4 of 5 sweeps), and by measure `value`, `low`, `high`, `seeds_error`, `images_error`
        (standard errors) and `images` (as many as tell of it: of a class, those that have it), None where there is
        none.
        """
        told = {
            "first": self.first,
            "second": self.second,
            "why_not": self.why_not,
            "over": self.over,
            "paired": self.is_paired,
            "images": self.num_images,
            "left_out": self.left_out,
        }
        if not self.measures:
            return told
        mean_iou = self.measures["mean_iou"]
        return told | {
            "repetitions": mean_iou.repetitions,
            "level": mean_iou.level,
            "same": self.is_same,
            "told": mean_iou.is_told,
            "seeds_needed": mean_iou.seeds_needed() if self.over == "seeds" else None,
            "measures": {
                name: _as_dict(difference) | {"images": self.images_with.get(name)}
                for name, difference in self.measures.items()
            },
        }


def _as_dict(difference: Difference) -> dict[str, float | None]:
    value, half_width = difference.value, difference.half_width
    parts = (difference.seeds, difference.images)
    seeds, images = (math.nan if part is None else math.sqrt(part.variance) for part in parts)
    numbers = {
        "value": value,
        "low": value - half_width,
        "high": value + half_width,
        "seeds_error": seeds,
        "images_error": images,
    }
    return {name: plain_number(number) for name, number in numbers.items()}


def compare_with_best(configurations: Sequence[tuple[str, list[Job]]]) -> list[Pair]:
    """Returns what can be told of the best configuration and each other one.

    What does not compare with the best one, being of another image size or dataset, is compared with the best of its
    own kind. Which one is best is told by the same runs, so an interval must hold whichever two had come out first: its
    level is that of all pairs of a kind, and of all kinds, together (Bonferroni).

    Args:
        configurations: name and completed runs of each, the best first.
    """
    pairs: list[Pair] = []
    kinds: list[tuple[str, list[ScoredRun]]] = []  # the best of each
    sizes: list[int] = []
    for name, jobs in configurations:
        runs = [_read_run(job) for job in jobs if job.results["val"]["mean_iou"] is not None]
        if not runs:
            continue
        reasons = [_why_not(of_best, runs) for _, of_best in kinds]
        if "" in reasons:
            kind = reasons.index("")
            pairs.append(compare_pair(*kinds[kind], name, runs))
            sizes[kind] += 1
            continue
        if kinds:
            pairs.append(Pair(kinds[0][0], name, reasons[0]))
        kinds.append((name, runs))
        sizes.append(1)
    level = 1 - (1 - LEVEL) / max(1, sum(math.comb(size, 2) for size in sizes))
    return [pair.at(level) for pair in pairs]


def _read_run(job: Job) -> ScoredRun:
    scores, told = job.results["val"], job.results.get("metric_contract", {})
    contract = {name: told.get(name) for name in ("evaluated_at", "num_classes", "ignore_label")}
    contract |= {"convention": told.get("convention", "segtrain"), "classes": list(scores["per_class_iou"])}
    fold, num_folds = job.setting("dataset.fold"), job.setting("dataset.folds")
    names = f"{fold} {job.results.get('data', {}).get('val')}"
    folds = {"fold": fold, "num_folds": int(num_folds) if num_folds.isdecimal() and int(num_folds) > 1 else None}
    try:
        counts = read_image_counts(job.folder.image_counts)
        of_run = contributions(counts, contract["convention"])
    except (OSError, ValueError):  # a run older than the file
        values = {name: scores.get(name) for name in ("mean_iou", "pixel_accuracy", "boundary_f1")}
        values |= {f"iou_{name}": iou for name, iou in scores["per_class_iou"].items()}
        known = {name: math.nan if value is None else value for name, value in values.items()}
        return ScoredRun(job.results["seed"], contract, names, None, known, None, {}, **folds)
    return ScoredRun(
        job.results["seed"],
        contract,
        names,
        hashlib.sha256(repr(counts.names).encode() + counts.pixels[..., 1].tobytes()).hexdigest(),
        dict(zip(of_run.measures, of_run.values.tolist(), strict=True)),
        dict(zip(of_run.measures, of_run.of_images.T, strict=True)),
        dict(zip(of_run.measures, of_run.freedom.tolist(), strict=True)),
        **folds,
    )


def compare_pair(first: str, runs: list[ScoredRun], second: str, others: list[ScoredRun]) -> Pair:
    """Returns what can be told of two configurations that compare.

    Runs of the same seed on the same images are paired, and seeds that one alone has are left out; where neither
    configuration has all of the other's seeds, the seeds count as drawn for each. Runs on several sets of images are
    folds: each set gives one difference, of the means over its seeds. Sets that only one was scored on are left out.

    Args:
        first: name of the one.
        runs: its runs.
        second: name of the other.
        others: its runs.
    """
    by_images, others_by_images = _by_images(runs, others)
    shared_images = [images for images in by_images if images in others_by_images]
    one_sided = sorted({f"fold {by[images][0].fold}" for by, images in _unshared(by_images, others_by_images)})
    measures = [name for name in runs[0].scores if name in others[0].scores]
    if len(shared_images) > 1:
        means = [
            [[np.mean([run.scores[name] for run in of[images]]) for images in shared_images] for name in measures]
            for of in (by_images, others_by_images)
        ]
        num_folds = runs[0].num_folds or len(shared_images)
        of_folds = np.subtract(*means)
        return Pair(
            first,
            second,
            over="folds",
            left_out=one_sided,
            is_same=not np.nan_to_num(of_folds).any(),
            measures={
                name: difference_over_folds(values, num_folds) for name, values in zip(measures, of_folds, strict=True)
            },
        )

    (images,) = shared_images
    by_seed, others_by_seed = (_by_seed(of[images]) for of in (by_images, others_by_images))
    shared = [seed for seed in by_seed if seed in others_by_seed]
    is_paired = len(shared) == min(len(by_seed), len(others_by_seed))
    if is_paired:
        one_sided += [f"seed {seed}" for _, seed in _unshared(by_seed, others_by_seed)]
        by_seed, others_by_seed = ({seed: of[seed] for seed in shared} for of in (by_seed, others_by_seed))
    both = [*by_seed.values(), *others_by_seed.values()]
    has_images = all(run.of_images is not None for run in both)
    freedom = {name: min(run.freedom[name] for run in both) for name in measures} if has_images else {}

    def difference(measure: str) -> Difference:
        values = [_values(of, measure) for of in (by_seed, others_by_seed)]
        of_images = [_of_images(of, measure) if has_images else None for of in (by_seed, others_by_seed)]
        if is_paired:
            return paired_difference(
                np.subtract(*values), np.subtract(*of_images) if has_images else None, freedom.get(measure)
            )
        return unpaired_difference(*values, *of_images, freedom.get(measure))

    return Pair(
        first,
        second,
        is_paired=is_paired,
        num_images=len(both[0].of_images["mean_iou"]) if has_images else None,
        images_with={name: round(of_measure + 1) for name, of_measure in freedom.items()},
        left_out=one_sided,
        is_same=is_paired and all(_have_same_scores(by_seed[seed], others_by_seed[seed]) for seed in shared),
        measures={measure: difference(measure) for measure in measures},
    )


def _unshared(one: dict[Any, Any], other: dict[Any, Any]) -> list[tuple[dict[Any, Any], Any]]:
    """Returns the keys that only one of them has, each with the one that has it."""
    return [(by, key) for by, without in ((one, other), (other, one)) for key in by if key not in without]


def _have_same_scores(run: ScoredRun, other: ScoredRun) -> bool:
    return all(np.array_equal(score, other.scores[name], equal_nan=True) for name, score in run.scores.items())


def _by_seed(runs: list[ScoredRun]) -> dict[Any, ScoredRun]:
    """Returns a run for each seed: of several of one seed, which two sweeps may hold, their mean."""
    of_seed: dict[Any, list[ScoredRun]] = {}
    for run in runs:
        of_seed.setdefault(run.seed, []).append(run)
    return {seed: _mean_run(alike) for seed, alike in of_seed.items()}


def _mean_run(runs: list[ScoredRun]) -> ScoredRun:
    first, of_images = runs[0], None
    if all(run.of_images is not None for run in runs):
        of_images = {name: np.mean([run.of_images[name] for run in runs], axis=0) for name in first.of_images}
    scores = {name: float(np.mean([run.scores[name] for run in runs])) for name in first.scores}
    return replace(first, scores=scores, of_images=of_images)


def _why_not(runs: list[ScoredRun], others: list[ScoredRun]) -> str:
    """Returns why the scores of two configurations do not compare; empty where they do."""
    contracts = [run.contract for run in (*runs, *others)]
    for name, told in (("evaluated_at", "at"), ("convention", "under the conventions")):
        values = list(dict.fromkeys(str(contract[name]) for contract in contracts))
        if len(values) > 1:
            return f"scored {told} {' and '.join(values)}"
    if any(contract != contracts[0] for contract in contracts):
        return "they have other classes"
    by_images, others_by_images = _by_images(runs, others)
    return "" if by_images.keys() & others_by_images.keys() else "scored on other images"


def _by_images(*configurations: list[ScoredRun]) -> list[dict[str, list[ScoredRun]]]:
    """Returns each configuration's runs by the images that they are scored on, as far as all runs tell."""
    is_known = all(run.images is not None for runs in configurations for run in runs)
    by_images: list[dict[str, list[ScoredRun]]] = []
    for runs in configurations:
        by_images.append({})
        for run in runs:
            by_images[-1].setdefault(run.images if is_known else run.names, []).append(run)
    return by_images


def _values(by_seed: dict[Any, ScoredRun], measure: str) -> np.ndarray:
    return np.array([run.scores[measure] for run in by_seed.values()])


def _of_images(by_seed: dict[Any, ScoredRun], measure: str) -> np.ndarray:
    return np.stack([run.of_images[measure] for run in by_seed.values()])
