import csv
import io
import json

import numpy as np
import pytest
from rich.console import Console

from segtrain.comparison.configurations import compare_runs
from segtrain.comparison.jobs import read_jobs
from segtrain.reports.comparison import compare_folders, show_spread

MEASURES = ("mean_iou", "pixel_accuracy", "mean_class_accuracy", "parameters", "images_per_second")
CLASSES = ("ground", "disc")


def make_results(number, *, seed=1, classes=CLASSES, **changes):
    """Results with values of their own for every number."""
    rng = np.random.default_rng(number)
    val = {name: float(rng.uniform(0.2, 0.9)) for name in MEASURES[:3]}
    val["per_class_iou"] = {name: float(rng.uniform(0.2, 0.9)) for name in classes}
    return {
        "status": "completed",
        "seed": seed,
        "val": val,
        "parameters": 1_234_567 + number,
        "images_per_second": float(rng.uniform(100, 900)),
        **changes,
    }


def compare(sweep):
    """Returns the number of jobs that did not complete, what was printed, and comparison.json."""
    output = io.StringIO()
    failed = compare_folders([sweep], sweep, Console(file=output, width=200))
    return failed, output.getvalue(), json.loads((sweep / "comparison.json").read_text(encoding="utf-8"))


@pytest.fixture
def sweep(tmp_path, write_job):
    """Two models under three seeds each, one of them failed, all for 4 epochs."""
    number = 0
    for model in ("segnet", "plain"):
        for seed in (1, 2, 10):
            number += 1
            results = make_results(number, seed=seed)
            if (model, seed) == ("plain", 2):
                results = {"status": "failed", "error": "ValueError: masks/<b>&.png: label 9", "seed": 2}
            write_job(f"model-{model}_seed-{seed}", [f"model={model}", f"seed={seed}", "epochs=4"], results)
    return tmp_path / "sweep"


def of_model(sweep, model):
    """The completed results by hand, in the order of the folders' names."""
    paths = sorted(sweep.glob(f"model-{model}_*/results.json"))
    results = [json.loads(path.read_text()) for path in paths]
    return [one for one in results if one["status"] == "completed"]


def test_means_and_deviations_are_numpys(sweep):
    failed, _, comparison = compare(sweep)
    assert failed == 1
    assert comparison["varying"] == ["model"]
    assert comparison["constant"] == {"epochs": "4"}
    by_model = {one["settings"]["model"]: one for one in comparison["configurations"]}
    assert set(by_model) == {"segnet", "plain"}
    for model, count in (("segnet", 3), ("plain", 2)):
        row, results = by_model[model], of_model(sweep, model)
        assert len(results) == row["jobs"] - row["failed"] == count
        assert row["jobs"] == 3
        assert row["seeds"] == [one["seed"] for one in results]
        for name in MEASURES:
            values = [one["val"].get(name, one.get(name)) for one in results]
            assert row[name]["values"] == values
            assert row[name]["count"] == count
            assert row[name]["mean"] == pytest.approx(np.mean(values))
            assert row[name]["std"] == pytest.approx(np.std(values, ddof=1))
        for name in CLASSES:
            values = [one["val"]["per_class_iou"][name] for one in results]
            assert row["per_class_iou"][name]["mean"] == pytest.approx(np.mean(values))
            assert row["per_class_iou"][name]["std"] == pytest.approx(np.std(values, ddof=1))


def test_the_best_configuration_comes_first(sweep, write_job):
    best = make_results(1)
    best["val"]["mean_iou"] = 0.99
    write_job("z", ["model=zebra", "seed=1", "epochs=4"], best)
    write_job("a", ["model=a", "seed=1", "epochs=4"], {"status": "failed", "error": "x"})
    means = [one["mean_iou"]["mean"] for one in compare(sweep)[2]["configurations"]]
    assert len(means) == 4
    assert means[0] == 0.99
    assert means[:3] == sorted(means[:3], reverse=True)
    assert means[3] is None


def test_the_csv_says_the_same(sweep):
    _, _, comparison = compare(sweep)
    with (sweep / "comparison.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(comparison["configurations"]) == 2
    for row, expected in zip(rows, comparison["configurations"], strict=True):
        assert row["model"] == expected["settings"]["model"]
        assert int(row["count"]) == expected["mean_iou"]["count"]
        assert int(row["failed"]) == expected["failed"]
        for name in MEASURES:
            assert float(row[f"{name}_mean"]) == pytest.approx(expected[name]["mean"])
            assert float(row[f"{name}_std"]) == pytest.approx(expected[name]["std"])


def test_the_page_and_the_terminal_show_scores_and_failures(sweep, read_page):
    _, printed, comparison = compare(sweep)
    scores, classes, runs = read_page(sweep / "comparison.html").tables
    for place, row in enumerate(comparison["configurations"], start=1):
        seeds = "2 (1 failed)" if row["failed"] else "3"
        shown = [row["settings"]["model"], f"{row['mean_iou']['mean']:.3f} ± {row['mean_iou']['std']:.3f}", seeds]
        assert scores[place][:4] == ["AB"[place - 1], *shown]
        line = next(line for line in printed.splitlines() if row["settings"]["model"] in line)
        for words in [*shown, f"{row['parameters']['mean']:,.0f}", f"{row['images_per_second']['mean']:.0f}"]:
            assert words in line
        ious = [f"{iou['mean']:.3f} ± {iou['std']:.3f}" for iou in row["per_class_iou"].values()]
        assert classes[place] == ["AB"[place - 1], row["settings"]["model"], *ious]
    assert classes[0] == ["", "model", *CLASSES]
    assert len(runs) == 1 + 6
    assert ["model-plain_seed-2", "failed", "–", "ValueError: masks/<b>&.png: label 9"] in runs
    assert "model-plain_seed-2: failed: ValueError: masks/<b>&.png: label 9" in printed
    assert str(sweep / "comparison.html") in printed


@pytest.mark.parametrize("width", [80, 200])
def test_many_settings_are_legible_at_any_width(tmp_path, write_job, width):
    for number, batch_size in enumerate((16, 32)):
        rate = f"optimizer.learning_rate=0.0008390{number + 1}7"
        overrides = [
            f"model=m{number}",
            f"loss=focal_{number}",
            f"batch_size={batch_size}",
            f"epochs={40 + number}",
            rate,
        ]
        write_job(f"job-{number}", overrides, make_results(number, val=make_results(1)["val"] | {"boundary_f1": 0.25}))
    output = io.StringIO()
    compare_folders([tmp_path / "sweep"], tmp_path / "sweep", Console(file=output, width=width))
    lines = output.getvalue().splitlines()
    for number, batch_size in enumerate((16, 32)):
        at = next(at for at, line in enumerate(lines) if f"focal_{number}" in line)
        row = " ".join(lines[at : at + (3 if width == 80 else 1)])
        expected = [f"m{number}", str(batch_size), str(40 + number), "0.250", f"{1_234_567 + number:,}"]
        expected.append(f"0.0008390{number + 1}7")
        assert [value for value in expected if value not in row] == []


def test_the_differences_are_printed_and_on_the_page(sweep, read_page):
    _, printed, comparison = compare(sweep)
    (difference,) = comparison["differences"]
    assert "with 2 seeds" in difference["words"] or "2 seeds: " in difference["words"]
    page = " ".join(read_page(sweep / "comparison.html").text.split())
    assert len(comparison["notes"]) == 1
    for words in (difference["words"], *comparison["notes"]):
        assert words in printed.splitlines()
        assert words in page


def test_of_many_differences_ten_are_printed(tmp_path, write_job):
    for number in range(13):
        write_job(str(number), [f"epochs={number}"], make_results(number))
    _, printed, comparison = compare(tmp_path / "sweep")
    assert len(comparison["differences"]) == 12
    assert [difference["words"] in printed for difference in comparison["differences"]] == [True] * 10 + [False] * 2
    assert "2 more differences are in comparison.json" in printed.splitlines()


def test_the_csv_has_the_iou_of_each_class(tmp_path, write_job):
    classes = {"shapes": ("ground", "disc"), "camvid": ("disc", "car, red")}
    for number, (dataset, names) in enumerate(classes.items()):
        write_job(dataset, [f"dataset={dataset}"], make_results(number, classes=names))
    _, _, comparison = compare(tmp_path / "sweep")
    with (tmp_path / "sweep" / "comparison.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["dataset"]: row for row in csv.DictReader(file)}
    assert len(rows) == len(comparison["configurations"]) == 2
    for configuration in comparison["configurations"]:
        row = rows[configuration["name"]]
        found = {name: row[f"iou_{name}_mean"] for name in ("ground", "disc", "car, red") if row[f"iou_{name}_mean"]}
        assert found == {name: str(iou["mean"]) for name, iou in configuration["per_class_iou"].items()}


def test_a_setting_varies_where_some_leave_it_out(tmp_path, write_job):
    write_job("a", ["epochs=4", "seed=1"], make_results(1))
    write_job("b", ["epochs=4", "seed=1", "loss=dice"], make_results(2))
    comparison = compare_runs([tmp_path / "sweep"])
    assert comparison["varying"] == ["loss"]
    assert {one["settings"]["loss"] for one in comparison["configurations"]} == {"(default)", "dice"}


@pytest.mark.parametrize(
    ("conventions", "told"),
    [
        (["segtrain", None], "segtrain"),  # a run older than the setting
        (["per_image", "per_image"], "per_image"),
        (["segtrain", "per_image"], "not comparable, scored under segtrain (such as a) and per_image (such as b)"),
    ],
)
def test_runs_that_are_scored_differently_are_told(tmp_path, write_job, read_page, conventions, told):
    for number, (name, convention) in enumerate(zip("ab", conventions, strict=True)):
        contract = {"metric_contract": {"convention": convention}} if convention else {}
        write_job(name, [f"model={name}"], make_results(number, **contract))
    _, output, comparison = compare(tmp_path / "sweep")
    assert comparison["convention"].startswith(told)
    assert f"convention: {told}" in " ".join(output.split())
    assert told in read_page(tmp_path / "sweep" / "comparison.html").text


def test_seeds_alone_are_one_configuration(tmp_path, write_job, read_page):
    for seed in (1, 2, 3):
        write_job(f"seed-{seed}", [f"seed={seed}"], make_results(seed, seed=seed))
    failed, printed, comparison = compare(tmp_path / "sweep")
    assert failed == 0
    assert comparison["varying"] == []
    assert [one["seeds"] for one in comparison["configurations"]] == [[1, 2, 3]]
    assert show_spread(comparison["configurations"][0]["mean_iou"]) in printed
    assert len(read_page(tmp_path / "sweep" / "comparison.html").tables[0]) == 2


def test_folds_are_repetitions_too(tmp_path, write_job):
    """Each is scored on images of its own; which of them is ahead says nothing."""
    results = [make_results(fold) for fold in range(3)]
    for fold, of_fold in enumerate(results):
        write_job(f"fold-{fold}", ["dataset.folds=3", f"dataset.fold={fold}"], of_fold)
    comparison = compare_runs([tmp_path / "sweep"])
    (row,) = comparison["configurations"]
    assert comparison["varying"] == []
    assert comparison["constant"] == {"dataset.folds": "3"}
    assert row["mean_iou"]["mean"] == pytest.approx(np.mean([one["val"]["mean_iou"] for one in results]))
    assert row["mean_iou"]["count"] == 3


def test_the_seed_of_the_images_is_a_setting(tmp_path, write_job):
    for seed in (1, 2):
        write_job(f"seed-{seed}", [f"dataset.seed={seed}"], make_results(seed))
    assert compare_runs([tmp_path / "sweep"])["varying"] == ["dataset.seed"]


def test_a_sweep_that_failed_altogether_is_compared(tmp_path, write_job):
    write_job("a", ["seed=1"], {"status": "failed", "error": "no"})
    write_job("b", ["seed=2"], None)
    failed, printed, comparison = compare(tmp_path / "sweep")
    assert failed == 2
    assert comparison["configurations"][0]["mean_iou"] == {"mean": None, "std": None, "count": 0, "values": []}
    assert "b: interrupted: has written nothing: its process died at the start, or is there still" in printed


def test_a_score_without_a_value_is_left_out_of_the_mean(tmp_path, write_job):
    for number, iou in enumerate((None, 0.5, 0.7)):
        results = make_results(number, seed=number)
        results["val"]["mean_iou"] = iou
        write_job(f"seed-{number}", [f"seed={number}"], results)
    score = compare(tmp_path / "sweep")[2]["configurations"][0]["mean_iou"]
    assert (score["mean"], score["count"]) == (pytest.approx(0.6), 2)


def test_an_interrupted_job_has_no_error_to_tell(tmp_path, write_job):
    write_job("a", ["seed=1"], make_results(1))
    write_job("b", ["seed=2"], {"status": "interrupted", "seed": 2})
    failed, printed, _ = compare(tmp_path / "sweep")
    assert failed == 1
    line = next(line for line in printed.splitlines() if line.startswith("b"))
    assert "interrupted" in line
    assert "None" not in line


HOSTILE = ["<script>alert(1)</script>", "[a,b]", "[/red]", '"><img src=x>', "x,y;\n'z'", "é±"]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_shown_as_they_are(tmp_path, write_job, read_page, value):
    write_job("a", [f"dataset.classes={value}", "seed=1"], make_results(1))
    write_job("b", ["dataset.classes=other", f"constant={value}"], make_results(2))
    write_job("c", ["dataset.classes=third", f"constant={value}"], {"status": "failed", "error": value})
    sweep = tmp_path / "sweep"
    _, printed, comparison = compare(sweep)
    page = read_page(sweep / "comparison.html")
    assert page.count("script") == page.count("img") == 0
    assert page.tables[0][1:] != []
    assert value in [row[1] for row in page.tables[0]]
    assert value in [row[3] for row in page.tables[2]]
    assert value in [one["settings"]["dataset.classes"] for one in comparison["configurations"]]
    with (sweep / "comparison.csv").open(newline="", encoding="utf-8") as file:
        assert value in [row["dataset.classes"] for row in csv.DictReader(file)]
    lines = value.splitlines()
    assert printed.count(lines[0]) >= 2  # in the table and with the failed job


def test_scores_stand_under_the_class_they_are_of(tmp_path, write_job, read_page):
    """Jobs of a sweep may have different datasets."""
    classes = {"shapes": ("ground", "disc"), "camvid": ("sky", "disc", "car")}
    for number, (dataset, names) in enumerate(classes.items()):
        write_job(dataset, [f"dataset={dataset}"], make_results(number, classes=names))
    _, _, comparison = compare(tmp_path / "sweep")
    table = read_page(tmp_path / "sweep" / "comparison.html").tables[1]
    shown = {}
    for header, *rows in [table]:
        for row in rows:
            # No cell without a heading.
            assert len(row) <= len(header)
            shown[row[1]] = {
                name: cell for name, cell in zip(header[2:], row[2:], strict=False) if cell not in ("", "–")
            }
    expected = {
        one["settings"]["dataset"]: {name: f"{iou['mean']:.3f}" for name, iou in one["per_class_iou"].items()}
        for one in comparison["configurations"]
    }
    assert shown == expected


def test_links_lead_to_files_that_are_there(sweep, read_page):
    compare(sweep)
    page = read_page(sweep / "comparison.html")
    links = [link for link in page.links if link != "#runs"]
    assert len(links) >= 5
    assert [link for link in links if not (sweep / link).is_file()] == []
    assert ("h2", {"id": "runs"}) in page.tags


def test_a_run_alone_is_compared_with_nothing(tmp_path, write_job, read_page):
    folder = write_job("a 50 %#b", ["model=x"], make_results(1))
    _, printed, comparison = compare(folder)
    assert (comparison["constant"], comparison["differences"]) == ({"model": "x"}, [])
    assert read_page(folder / "comparison.html").links == ["report.html"]
    compare(tmp_path / "sweep")
    assert read_page(tmp_path / "sweep" / "comparison.html").links == ["a%2050%20%25%23b/report.html"]


def test_the_page_is_one_file_of_light_and_dark(sweep, read_page):
    compare(sweep)
    page = read_page(sweep / "comparison.html")
    assert [load for load in page.loads if not load.startswith("#")] == []  # within an SVG
    assert page.count("script") == page.count("link") == 0
    assert "prefers-color-scheme: dark" in page.source


def test_the_page_fits_a_phone(tmp_path, write_job, width_on_a_phone):
    """With names and values as long as they come: none has a place to break."""
    deep = "dataset.root=/home/somebody/data/" + "a_long_folder_name_" * 4
    for seed in (1, 2):
        for model in ("segnet_with_a_long_name", "encoder_decoder_small"):
            results = make_results(seed, seed=seed, classes=[f"class_number_{number}" for number in range(11)])
            write_job(f"{model}_{seed}", [f"model={model}", f"seed={seed}", deep], results)
    write_job("failed", ["model=x", "seed=1", deep], {"status": "failed", "error": "ValueError: " + "long words " * 30})
    compare(tmp_path / "sweep")
    assert width_on_a_phone((tmp_path / "sweep" / "comparison.html").read_text(encoding="utf-8")) <= 400


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_what_is_no_sweep_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=f"{name} is no sweep's folder.*outputs/multirun"):
        compare(tmp_path / name)
    assert list((tmp_path / "empty").iterdir()) == []


def test_comparing_again_replaces_the_comparison(sweep, write_job):
    compare(sweep)
    write_job("new", ["model=new", "seed=1", "epochs=4"], make_results(50))
    assert len(compare(sweep)[2]["jobs"]) == 7
    files = {path.name for path in sweep.iterdir() if path.is_file()}
    assert files == {"comparison.html", "comparison.csv", "comparison.json"}


def test_planned_jobs_that_have_not_begun_are_missing(tmp_path, write_job):
    write_job("a", ["seed=1", "model=x"], {"status": "failed", "error": "no"})
    (tmp_path / "sweep" / "sweep.json").write_text('{"jobs": [["seed=1", "model=x"], ["seed=2", "model=x"]]}')
    jobs = read_jobs([tmp_path / "sweep"])
    assert [(job.name, job.results["status"]) for job in jobs] == [("a", "failed"), ("model-x_seed-2", "missing")]
