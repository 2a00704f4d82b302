"""Which configurations are compared, over what, and what is said of them."""

import json
import re
import shutil

import numpy as np
import pytest
import scipy.stats

from segtrain.comparison.configurations import compare_runs
from segtrain.evaluation.image_counts import read_image_counts, write_image_counts

CONTRACT = {"evaluated_at": "48x64", "num_classes": 3, "ignore_label": 255, "convention": "segtrain"}


def write_models(write_run, qualities, *, seeds=(1, 2, 3), **kinds):
    for model, quality in qualities.items():
        for seed in seeds:
            write_run(f"{model}-{seed}", [f"model={model}", f"seed={seed}"], seed=seed, quality=quality, **kinds)


def scores_of(tmp_path, model):
    paths = sorted((tmp_path / "sweep").glob(f"{model}-*/results.json"))
    return np.array([json.loads(path.read_text())["val"]["mean_iou"] for path in paths])


def test_a_difference_is_told_in_words(tmp_path, write_run):
    write_models(write_run, {"segnet_small": 0.8, "plain": 0.7})
    comparison = compare_runs([tmp_path / "sweep"])
    (difference,) = comparison["differences"]
    values = scores_of(tmp_path, "segnet_small") - scores_of(tmp_path, "plain")
    mean_iou = difference["measures"]["mean_iou"]
    assert (difference["first"], difference["second"]) == ("segnet_small", "plain")
    assert (difference["over"], difference["paired"], difference["repetitions"]) == ("seeds", True, 3)
    assert (difference["images"], difference["told"], difference["level"]) == (40, True, 0.95)
    assert mean_iou["value"] == pytest.approx(values.mean())
    assert mean_iou["seeds_error"] == pytest.approx(values.std(ddof=1) / 3**0.5)
    points = [f"{100 * mean_iou[name]:.1f}" for name in ("value", "low", "high")]
    assert difference["words"] == (
        "segnet_small is ahead of plain by {} mIoU points (95 % interval {} to {}, 3 seeds)".format(*points)
    )
    assert set(difference["measures"]) >= {"pixel_accuracy", "boundary_f1", "iou_ground", "iou_disc", "iou_ring"}
    assert all(each["low"] <= each["value"] <= each["high"] for each in difference["measures"].values())
    assert len(comparison["notes"]) == 1


def test_as_many_seeds_as_it_takes_are_told(tmp_path, write_run):
    write_models(write_run, {"a": 0.705, "b": 0.70}, spread=0.02)
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    assert not difference["told"]
    assert difference["seeds_needed"] > 3
    assert re.fullmatch(
        r"no difference between [ab] and [ab] can be told with 3 seeds \([\d.]+ mIoU points, 95 % interval -[\d.]+ to "
        rf"[\d.]+\); about {difference['seeds_needed']} seeds would be needed to tell a difference of this size in 4 "
        "of 5 sweeps",
        difference["words"],
    )


def test_images_that_are_too_few_are_told(tmp_path, write_run):
    """Each is better at images of its own."""
    for number, model in enumerate("ab"):
        for seed in (1, 2, 3):
            quality = 0.7 + 0.005 * number
            kinds = {"spread": 0.0005, "images_spread": 0.1, "skill": number, "quality": quality}
            write_run(f"{model}-{seed}", [f"model={model}", f"seed={seed}"], seed=seed, **kinds)
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    assert difference["seeds_needed"] is None
    needed = re.search(
        r"3 seeds .*; more seeds will not help: about ([\d,]+) images would be needed .*$", difference["words"]
    )
    assert int(needed[1].replace(",", "")) > 40


def test_one_seed_is_said_to_count_images_alone(tmp_path, write_run):
    write_models(write_run, {"a": 0.8, "b": 0.7}, seeds=[5])
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    assert difference["words"].startswith("a is ahead of b by ")
    assert difference["words"].endswith(", one seed: seeds are not counted in this interval)")
    assert (difference["measures"]["mean_iou"]["seeds_error"], difference["repetitions"]) == (None, 1)


def test_runs_without_counts_are_compared_over_seeds_alone(tmp_path, write_run):
    write_models(write_run, {"a": 0.8, "b": 0.7}, keeps_counts=False)
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    low, high = scipy.stats.ttest_rel(scores_of(tmp_path, "a"), scores_of(tmp_path, "b")).confidence_interval()
    mean_iou = difference["measures"]["mean_iou"]
    assert (mean_iou["low"], mean_iou["high"]) == pytest.approx((low, high))
    assert difference["words"].endswith(", 3 seeds: images are not counted in this interval)")
    for path in (tmp_path / "sweep").glob("*-[23]"):
        path.rename(tmp_path / path.name)
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    assert re.search(r"can be told with one seed \([\d.]+ mIoU points, no interval\)$", difference["words"])
    assert difference["measures"]["mean_iou"]["low"] is None


@pytest.mark.parametrize(
    ("seeds", "others", "is_paired", "repetitions"),
    [
        ((1, 2, 3), (1, 2, 3), True, 3),
        ((1, 2, 3), (1, 3), True, 2),  # a job has failed
        ((1, 2), (1, 3), False, 2),
        ((1, 2, 3), (4, 5), False, 2),
        ((1, 2, 3), (7,), False, 1),
    ],
)
def test_seeds_are_paired_where_one_has_all_of_the_others(tmp_path, write_run, seeds, others, is_paired, repetitions):
    write_models(write_run, {"a": 0.8}, seeds=seeds)
    write_models(write_run, {"b": 0.7}, seeds=others)
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    assert (difference["paired"], difference["repetitions"], difference["same"]) == (is_paired, repetitions, False)
    first = dict(zip(seeds, scores_of(tmp_path, "a"), strict=True))
    second = dict(zip(others, scores_of(tmp_path, "b"), strict=True))
    if is_paired:
        expected = np.mean([first[seed] - second[seed] for seed in others])
    else:
        expected = np.mean(list(first.values())) - np.mean(list(second.values()))
    assert difference["measures"]["mean_iou"]["value"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("seeds", "others", "told"),
    [
        ((1, 2, 3), (1, 2), "2 seeds); seed 3 has only one side and is left out"),
        ((2, 3), (1, 2, 3, 7), "2 seeds); seed 1 and seed 7 have only one side and are left out"),
        ((1, 2), (1, 3), "2 seeds)"),  # not paired: all of them count
    ],
)
def test_seeds_that_one_alone_has_are_said(tmp_path, write_run, seeds, others, told):
    write_models(write_run, {"a": 0.8}, seeds=seeds)
    write_models(write_run, {"b": 0.6}, seeds=others)
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    assert difference["words"].endswith(told)
    assert len(difference["left_out"]) == told.count("seed ")


def test_runs_that_are_the_same_are_said_to_be(tmp_path, write_run):
    for seed in (1, 2):
        write_run(f"a-{seed}", ["model=a", f"seed={seed}"], seed=seed)
        twin = tmp_path / "sweep" / f"b-{seed}"
        shutil.copytree(tmp_path / "sweep" / f"a-{seed}", twin)
        (twin / ".hydra" / "overrides.yaml").write_text(f"[model=b, seed={seed}]", encoding="utf-8")
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    assert difference["words"] == "a and b gave the same numbers in every score with 2 seeds"
    assert (difference["same"], difference["told"], difference["seeds_needed"]) == (True, False, None)

    path = tmp_path / "sweep" / "b-2" / "per_image.npz"
    counts = read_image_counts(path)
    counts.boundary_f1[0] += 0.01  # in no mean IoU
    write_image_counts(path, counts)
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    assert not difference["same"]
    assert difference["words"].startswith("no difference between a and b can be told with 2 seeds (0.00 mIoU points")


def test_folds_that_are_the_same_are_said_to_be(tmp_path, write_run):
    for fold in (0, 1):
        write_run(f"a-{fold}", ["model=a", f"dataset.fold={fold}"], split=fold)
        twin = tmp_path / "sweep" / f"b-{fold}"
        shutil.copytree(tmp_path / "sweep" / f"a-{fold}", twin)
        (twin / ".hydra" / "overrides.yaml").write_text(f"[model=b, dataset.fold={fold}]", encoding="utf-8")
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    assert difference["words"] == "a and b gave the same numbers in every score with 2 folds"


@pytest.mark.parametrize("others", [(1, 2, 3), (4, 5)])
def test_classes_that_few_images_have_are_noted(tmp_path, write_run, others):
    for model, quality, seeds in (("a", 0.8, (1, 2, 3)), ("b", 0.7, others)):
        for seed in seeds:
            path = write_run(f"{model}-{seed}", [f"model={model}"], seed=seed, quality=quality) / "per_image.npz"
            counts = read_image_counts(path)
            counts.pixels[4:, 1] = counts.pixels[1:, 2] = 0
            write_image_counts(path, counts)
    comparison = compare_runs([tmp_path / "sweep"])
    (difference,) = comparison["differences"]
    measures = difference["measures"]
    assert {name: measures[f"iou_{name}"]["images"] for name in ("ground", "disc", "ring")} == {
        "ground": 40, "disc": 4, "ring": 1,
    }  # fmt: skip
    assert measures["iou_disc"]["low"] < measures["iou_disc"]["value"] < measures["iou_disc"]["high"]
    assert (measures["iou_ring"]["low"], measures["iou_ring"]["images_error"]) == (None, None)
    assert measures["mean_iou"]["low"] is not None
    assert comparison["notes"][-1].startswith("ring (1 image) and disc (4 images) stand in fewer than 10 images, ")


def test_folds_are_compared_over_folds(tmp_path, write_run):
    means = {}
    for model, quality in (("a", 0.8), ("b", 0.7)):
        for fold in range(4):
            overrides = [f"model={model}", "dataset.folds=4", f"dataset.fold={fold}"]
            write_run(f"{model}-{fold}", overrides, quality=quality, split=fold)
        means[model] = scores_of(tmp_path, model)
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    values, mean_iou = means["a"] - means["b"], difference["measures"]["mean_iou"]
    assert (difference["over"], difference["repetitions"], difference["images"]) == ("folds", 4, None)
    assert mean_iou["value"] == pytest.approx(values.mean())
    half_width = scipy.stats.t.ppf(0.975, 3) * values.std(ddof=1) * (1 / 4 + 1 / 3) ** 0.5
    assert mean_iou["high"] - mean_iou["value"] == pytest.approx(half_width)
    assert difference["words"].endswith(", 4 folds)")


@pytest.mark.parametrize(("num_folds", "share"), [("10", 1 / 9), ("2", 1), ("null", 1 / 2), (None, 1 / 2)])
def test_folds_that_did_not_run_count_as_data(tmp_path, write_run, num_folds, share):
    """Three ran with both, of as many as the data is divided into; where nobody says, of those."""
    for model, quality, folds in (("a", 0.8, (0, 1, 4)), ("b", 0.7, (0, 1, 2, 4))):
        for fold in folds:
            overrides = [
                f"model={model}",
                f"dataset.fold={fold}",
                *([f"dataset.folds={num_folds}"] if num_folds else []),
            ]
            write_run(f"{model}-{fold}", overrides, quality=quality, split=fold)
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    of_a, of_b = (scores_of(tmp_path, model) for model in "ab")
    values, mean_iou = of_a - of_b[[0, 1, 3]], difference["measures"]["mean_iou"]
    half_width = scipy.stats.t.ppf(0.975, 2) * values.std(ddof=1) * (1 / 3 + share) ** 0.5
    assert mean_iou["high"] - mean_iou["value"] == pytest.approx(half_width)
    assert difference["words"].endswith("; fold 2 has only one side and is left out")
    assert (difference["left_out"], difference["repetitions"], difference["seeds_needed"]) == (["fold 2"], 3, None)


def test_one_fold_that_both_ran_is_compared_over_its_seeds(tmp_path, write_run):
    for model, quality, folds in (("a", 0.8, (0, 1)), ("b", 0.7, (0,))):
        for fold in folds:
            for seed in (1, 2):
                overrides = [f"model={model}", f"dataset.fold={fold}", f"seed={seed}"]
                write_run(f"{model}-{fold}-{seed}", overrides, seed=seed, quality=quality, split=fold)
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    values = scores_of(tmp_path, "a-0") - scores_of(tmp_path, "b-0")
    assert difference["measures"]["mean_iou"]["value"] == pytest.approx(values.mean())
    assert (difference["over"], difference["repetitions"], difference["left_out"]) == ("seeds", 2, ["fold 1"])


def test_classes_of_other_names_do_not_compare(tmp_path, write_run):
    write_models(write_run, {"a": 0.8, "b": 0.7})
    for path in (tmp_path / "sweep").glob("b-*/results.json"):
        path.write_text(path.read_text().replace('"ring"', '"square"'))
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    assert difference["why_not"] == "they have other classes"


def test_images_of_the_same_names_with_another_truth_are_others(tmp_path, write_run):
    """Generated ones are named by their number, whatever they show."""
    write_models(write_run, {"a": 0.8, "b": 0.7}, seeds=[1])
    path = tmp_path / "sweep" / "b-1" / "per_image.npz"
    counts = read_image_counts(path)
    counts.pixels[3, 1, 1] += 1
    write_image_counts(path, counts)
    assert compare_runs([tmp_path / "sweep"])["differences"][0]["why_not"] == "scored on other images"


def test_images_of_other_names_are_others(tmp_path, write_run):
    write_models(write_run, {"a": 0.8, "b": 0.7}, seeds=[1])
    path = tmp_path / "sweep" / "b-1" / "per_image.npz"
    counts = read_image_counts(path)
    counts.names[0] = "another"
    write_image_counts(path, counts)
    assert compare_runs([tmp_path / "sweep"])["differences"][0]["why_not"] == "scored on other images"


def test_several_are_compared_with_the_best_at_a_level_for_all_pairs(tmp_path, write_run):
    write_models(write_run, {"b": 0.7, "best": 0.8, "a": 0.6})
    comparison = compare_runs([tmp_path / "sweep"])
    assert [(each["first"], each["second"]) for each in comparison["differences"]] == [("best", "b"), ("best", "a")]
    assert [each["level"] for each in comparison["differences"]] == pytest.approx([1 - 0.05 / 3] * 2)
    assert all("(98.3 % interval " in each["words"] for each in comparison["differences"])
    assert "95 % for all 3 pairs together, each at 98.3 % (Bonferroni)" in comparison["notes"][-1]


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ({"contract": CONTRACT | {"evaluated_at": "96x128"}}, "scored at 48x64 and 96x128"),
        ({"contract": CONTRACT | {"convention": "per_image"}}, "scored under the conventions segtrain and per_image"),
        ({"contract": CONTRACT | {"ignore_label": 0}}, "they have other classes"),
        ({"split": 1}, "scored on other images"),
    ],
)
def test_what_does_not_compare_is_said(tmp_path, write_run, kinds, told):
    write_models(write_run, {"a": 0.8})
    write_models(write_run, {"b": 0.7}, **kinds)
    comparison = compare_runs([tmp_path / "sweep"])
    (difference,) = comparison["differences"]
    assert difference["words"] == f"a and b do not compare: {told}"
    assert "measures" not in difference
    noted = [note for note in comparison["notes"] if "Not comparable, scored at 48x64 (such as a-1)" in note]
    assert len(noted) == ("96x128" in told)


def test_each_kind_is_compared_with_the_best_of_its_own(tmp_path, write_run):
    for size in ("48x64", "96x128"):
        kind = {"contract": CONTRACT | {"evaluated_at": size}}
        for model, quality in (("a", 0.8), ("b", 0.7)):
            for seed in (1, 2, 3):
                overrides = [f"model={model}", f"image_size={size}"]
                better = quality + 0.05 * (size == "96x128")
                write_run(f"{model}-{size}-{seed}", overrides, seed=seed, quality=better, **kind)
    differences = compare_runs([tmp_path / "sweep"])["differences"]
    best, second = "a image_size=96x128", "a image_size=48x64"
    told = {(each["first"], each["second"]): each.get("level") for each in differences}
    assert told == {(best, second): None, (best, "b image_size=96x128"): 0.975, (second, "b image_size=48x64"): 0.975}


def test_runs_some_of_which_are_older_are_compared_over_seeds(tmp_path, write_run):
    for model, quality in (("a", 0.8), ("b", 0.7)):
        for seed in (1, 2, 3):
            overrides = [f"model={model}", f"seed={seed}"]
            write_run(f"{model}-{seed}", overrides, seed=seed, quality=quality, keeps_counts=seed > 1)
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    assert (difference["over"], difference["repetitions"], difference["images"]) == ("seeds", 3, None)
    assert difference["words"].endswith(", 3 seeds: images are not counted in this interval)")


def test_older_runs_on_other_images_do_not_compare(tmp_path, write_run):
    for model in "ab":
        data = {"val": {"images": 40, "names_sha256": model}}
        write_run(model, [f"model={model}"], keeps_counts=False, data=data)
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    assert difference["why_not"] == "scored on other images"


def test_what_did_not_complete_is_compared_with_nothing(tmp_path, write_run):
    write_models(write_run, {"a": 0.8})
    write_models(write_run, {"b": 0.7}, status="interrupted")
    comparison = compare_runs([tmp_path / "sweep"])
    assert len(comparison["configurations"]) == 2
    assert (comparison["differences"], comparison["notes"]) == ([], [])


def test_runs_of_one_seed_count_as_its_mean(tmp_path, write_run):
    """Of two sweeps, say, that both ran it."""
    write_models(write_run, {"a": 0.8, "b": 0.7})
    write_run("a-1-again", ["model=a", "seed=1"], seed=1, quality=0.9)
    (difference,) = compare_runs([tmp_path / "sweep"])["differences"]
    scores = {
        name: json.loads((tmp_path / "sweep" / name / "results.json").read_text())["val"]["mean_iou"]
        for name in ("a-1", "a-1-again", "a-2", "a-3", "b-1", "b-2", "b-3")
    }
    of_a = [(scores["a-1"] + scores["a-1-again"]) / 2, scores["a-2"], scores["a-3"]]
    of_b = [scores["b-1"], scores["b-2"], scores["b-3"]]
    assert difference["measures"]["mean_iou"]["value"] == pytest.approx(np.mean(of_a) - np.mean(of_b))


def test_what_a_search_has_pruned_is_no_rival(tmp_path, write_run):
    write_models(write_run, {"a": 0.8, "b": 0.7})
    write_run("c-1", ["model=c", "seed=1"], quality=0.9, warnings=["pruned after epoch 3 of 9 by MedianPruner: …"])
    comparison = compare_runs([tmp_path / "sweep"])
    assert [(each["first"], each["second"]) for each in comparison["differences"]] == [("a", "b")]
    assert {each["name"]: each["pruned"] for each in comparison["configurations"]} == {"a": 0, "b": 0, "c": 1}
