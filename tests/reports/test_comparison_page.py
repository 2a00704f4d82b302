"""What a comparison's page shows for sweeps of every shape; the numbers in its table are tested with the table's."""

import io
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from segtrain.comparison.configurations import rank, summarise
from segtrain.comparison.jobs import read_jobs
from segtrain.reports.comparison import compare_folders
from segtrain.reports.comparison_page import write_comparison_page
from segtrain.reports.side_by_side import Row, SideBySide, Tile
from segtrain.run_folder import RunFolder
from segtrain.settings import CompareSettings
from segtrain.verbs.compare import compare

CLASSES = ("ground", "disc", "ring")
EPOCHS = 4


@pytest.fixture
def write_run(write_job):
    """Writes a completed run of known quality, with its epochs; returns its folder."""

    def write(name, overrides, *, seed=1, quality=0.5, classes=CLASSES, parameters=1_000_000, sweep=None):
        rng = np.random.default_rng([seed, *name.encode()])
        val = {"mean_iou": quality + float(rng.uniform(0, 0.01)), "pixel_accuracy": 0.75, "mean_class_accuracy": 0.5}
        val["per_class_iou"] = {each: quality + float(rng.uniform(-0.1, 0.1)) for each in classes}
        results = {"status": "completed", "seed": seed, "val": val, "parameters": parameters}
        results |= {"flops_per_image": 83 * parameters, "images_per_second": float(rng.uniform(50, 90))}
        folder = write_job(name, [*overrides, f"seed={seed}"], results, sweep)
        rows = [f"{epoch},{rng.uniform(0.1, 0.9)},{rng.uniform(1, 2)}" for epoch in range(1, EPOCHS + 1)]
        lines = ["epoch,val_mean_iou,val_loss", *rows]
        (folder / "metrics.csv").write_text("\n".join(lines), encoding="utf-8")
        return folder

    return write


@pytest.fixture
def page_of(tmp_path, read_page):
    """Writes the page of the sweep and reads it."""

    def write(sweep=None):
        sweep = sweep or tmp_path / "sweep"
        compare_folders([sweep], sweep, Console(file=io.StringIO()))
        return read_page(sweep / "comparison.html")

    return write


def words_of(page):
    return " ".join(page.text.split())


def charts_of(page, kind):
    """Returns the SVGs of one section."""
    section = re.search(rf'<div class="charts {kind}">(.*?)\n<h2', page.source, re.DOTALL)
    return re.findall(r"<svg.*?</svg>", section[1], re.DOTALL) if section else []


def headings(page):
    return re.findall(r"<h2.*?>(.*?)</h2>", page.source)


def test_the_answer_comes_first_and_then_the_table(write_run, page_of, tmp_path):
    for model, quality in (("a", 0.4), ("b", 0.6)):
        for seed in (1, 2, 3):
            write_run(f"{model}{seed}", [f"model={model}", "epochs=4"], seed=seed, quality=quality)
    page = page_of()
    (difference,) = json.loads((tmp_path / "sweep" / "comparison.json").read_text())["differences"]
    assert difference["words"].startswith("b is ahead of a by")
    places = [page.source.index(each) for each in ("epochs=4", difference["words"], "<table", "<svg", "Runs</h2>")]
    assert places == sorted(places)
    assert page.source.count("<code>epochs=4</code>") == 1  # what all share is told once
    assert "epochs" not in page.tables[0][0]


def test_the_curves_are_those_of_metrics_csv(write_run, page_of, read_chart):
    folders = {
        model: [write_run(f"{model}{seed}", [f"model={model}"], seed=seed, quality=quality) for seed in (1, 2, 3)]
        for model, quality in (("first", 0.6), ("second", 0.4))
    }
    charts = [read_chart(svg) for svg in charts_of(page_of(), "curves")]
    assert len(charts) == 2
    for column, chart in enumerate(charts, start=1):
        for letter, of_model in zip("AB", folders.values(), strict=True):
            tables = [np.loadtxt(folder / "metrics.csv", delimiter=",", skiprows=1) for folder in of_model]
            x, y = chart.line(f"mean-{letter}")
            np.testing.assert_allclose(chart.read("x", x), range(1, EPOCHS + 1), atol=1e-3)
            np.testing.assert_allclose(chart.read("y", y), np.mean(tables, axis=0)[:, column], atol=1e-3)


def test_costs_that_are_all_the_same_are_no_chart(write_run, page_of):
    for model in "ab":
        write_run(model, [f"model={model}"])
    page = page_of()
    assert [("images a second" in svg, "millions" in svg) for svg in charts_of(page, "costs")] == [(True, False)]
    write_run("c", ["model=c"], parameters=9_000_000)
    names = ("parameters, millions", "GFLOP for an image", "images a second in training")
    charts = charts_of(page_of(), "costs")
    assert [name in svg for name, svg in zip(names, charts, strict=True)] == [True] * 3


def test_classes_stand_in_the_order_of_their_differences(write_run, page_of, read_chart, tmp_path):
    for model, quality in (("a", 0.4), ("b", 0.6)):
        for seed in (1, 2, 3):
            write_run(f"{model}{seed}", [f"model={model}"], seed=seed, quality=quality)
    (svg,) = charts_of(page_of(), "classes")
    chart = read_chart(svg)
    (difference,) = json.loads((tmp_path / "sweep" / "comparison.json").read_text())["differences"]
    values = {name: 100 * difference["measures"][f"iou_{name}"]["value"] for name in CLASSES}
    assert [text for text in chart.texts if text in CLASSES] == sorted(values, key=values.get, reverse=True)
    shown = [chart.read("x", chart.point(f"class-{row}")[0]) for row in range(3)]
    np.testing.assert_allclose(shown, sorted(values.values(), reverse=True), atol=0.02)


def test_many_configurations_and_classes_are_capped(write_run, page_of, width_on_a_phone):
    classes = [f"class of a long name {number}" for number in range(30)]
    for number in range(20):
        for seed in (1, 2):
            overrides = [f"model=net_{number}", f"loss={'dice' if number % 2 else 'focal'}"]
            write_run(f"{number}-{seed}", overrides, seed=seed, quality=0.3 + 0.02 * number, classes=classes)
    page = page_of()
    assert page.source.index("net_13") < page.source.index("<summary>13 more</summary>")
    assert [row[0] for row in page.tables[0][1:]] == [*"ABCDEF", *[""] * 14]
    assert len(charts_of(page, "classes")) == 5
    words = words_of(page)
    assert "The 24 classes of 30 with the largest differences" in words
    assert "grey: the 14 others" in words
    assert "The losses are not the same function" in words
    assert width_on_a_phone(page.source) <= 400


@pytest.mark.parametrize("seeds", [(1,), (1, 2, 3)])
def test_one_configuration_is_compared_with_nothing(write_run, page_of, seeds):
    for seed in seeds:
        write_run(f"{seed}", [], seed=seed)
    page = page_of()
    assert "There is one configuration, and nothing to compare it with." in words_of(page)
    assert len(charts_of(page, "curves")) == 2
    assert charts_of(page, "classes") == []


def test_a_sweep_that_failed_altogether_says_why_and_where(write_job, page_of, tmp_path):
    for seed in (1, 2):
        folder = write_job(
            f"s{seed}", ["model=a", f"seed={seed}"], {"status": "failed", "error": "ValueError: label 9"}
        )
        (folder / "segtrain.log").touch()
    (tmp_path / "sweep" / "sweep.json").write_text('{"jobs": [["model=b", "seed=3"]]}', encoding="utf-8")
    page = page_of()
    words = words_of(page)
    assert "2 of 3 runs did not complete, 1 of 3 has not run: why" in words
    assert "there is nothing to compare yet" in words
    assert "No run has completed." in words
    assert ["s1", "failed", "–", "ValueError: label 9"] in page.tables[-1]
    assert ["model-b_seed-3", "missing", "–", "has not run"] in page.tables[-1]
    assert page.links == ["#runs", "s1/segtrain.log", "s2/segtrain.log"]
    assert (page.count("svg"), page.count("img")) == (0, 0)
    assert len(headings(page)) == 3


def test_folds_are_told_as_folds(write_run, page_of):
    for model, quality in (("a", 0.4), ("b", 0.6)):
        for fold in range(3):
            write_run(f"{model}{fold}", [f"model={model}", f"dataset.fold={fold}"], quality=quality)
    page = page_of()
    assert "3 folds" in words_of(page)
    assert len(page.tables[0]) == 3
    assert len(charts_of(page, "classes")) == 1


def test_pictures_come_at_the_end_and_tensorflow_with_them(write_run, read_page, tmp_path):
    for model in "ab":
        write_run(model, [f"model={model}"])
    code = (
        "import sys; from pathlib import Path; from segtrain.reports.comparison import write_comparison;"
        "sweep = Path(sys.argv[1]); write_comparison([sweep], sweep);"
        "print(*{'tensorflow', 'keras'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "sweep")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == ""
    page = read_page(tmp_path / "sweep" / "comparison.html")
    assert "The pictures are drawn when the sweep has ended" in words_of(page)


def test_pictures_stand_side_by_side(write_run, read_page, tmp_path, width_on_a_phone):
    for model in "ab":
        write_run(model, [f"model={model}"])
    source = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
    names = ["input", *(f"a_model_of_a_very_long_name_{number}" for number in range(6)), "truth"]
    tiles = [Tile(name, 0.125 if "model" in name else None, source) for name in names]
    rows = [Row("one", True, tiles), Row("two", False, tiles)]
    left_out = {"x": "scored on other images", "y": "scored on other images", "z": "<b>"}
    pictures = SideBySide(rows, [("a", "a", 7)], [("sky", (1, 2, 3)), ("void", (9, 9, 9))], left_out)
    jobs = read_jobs([tmp_path / "sweep"])
    path = tmp_path / "sweep" / "comparison.html"
    write_comparison_page(path, summarise(jobs, rank(jobs)), rank(jobs), "title", pictures)
    page, words = read_page(path), words_of(read_page(path))
    assert page.count("img") == 16
    assert "Not shown: x, y (scored on other images)." in words
    assert "Not shown: z (<b>)." in words
    assert words.index("Where they differ most one input a_model") < words.index("At random two input a_model")
    assert "a_model_of_a_very_long_name_0 · 0.125" in words
    assert "a seed 7." in words
    assert "background: rgb(1,2,3)" in page.source
    assert width_on_a_phone(page.source) <= 400


def test_several_folders_are_compared_in_a_folder_of_its_own(write_run, write_job, read_page, tmp_path, capsys):
    first, alone = tmp_path / "first", tmp_path / "alone"
    write_run("a", ["model=a"], sweep=first)
    write_run("b", ["model=b"], sweep=alone)
    evaluation = write_job("evaluation", [], {"val": {}, "run": "x"}, first)
    (evaluation / ".hydra" / "hydra.yaml").write_text("hydra: {job: {config_name: evaluate}}", encoding="utf-8")
    out = tmp_path / "out"
    out.mkdir()
    compare(CompareSettings(run=[str(first), str(alone / "b")]), SimpleNamespace(folder=RunFolder(out)))
    assert {path.name for path in out.iterdir()} == {"comparison.html", "comparison.csv", "comparison.json"}
    assert [path.name for folder in (first, alone, alone / "b") for path in folder.glob("comparison*")] == []
    assert f"comparison {out / 'comparison.html'}" in capsys.readouterr().out
    page = read_page(out / "comparison.html")
    assert sorted(page.links) == ["../alone/b/report.html", "../first/a/report.html"]
    assert all((out / link).is_file() for link in page.links)
    assert {row[0] for row in page.tables[-1][1:]} == {"first/a", "alone/b"}


@pytest.mark.parametrize("importances", [{"optimizer.learning_rate": 0.75, "loss": 0.25}, None])
def test_a_search_names_its_best_trial_and_what_mattered(write_run, page_of, tmp_path, importances):
    run = write_run("trial-1", ["model=a"])
    (run / "report.html").write_text("a report")
    best = {"number": 1, "value": 0.5127, "overrides": ["model=a", "loss=focal"], "job": "trial-1"}
    why = None if importances else "2 trials have a score, and 5 are needed"
    found = {"best": best, "n_trials": 20, "missing": 12, "importances": importances, "no_importances_because": why}
    (tmp_path / "sweep" / "search.json").write_text(json.dumps(found), encoding="utf-8")
    page = page_of()
    words = words_of(page)
    assert "8 of 20 trials have begun. The best is trial 1, mean IoU 0.513: model=a loss=focal" in words
    told = "optimizer.learning_rate 0.75, loss 0.25." if importances else f"It is not told what mattered: {why}."
    assert told in words
    assert re.search(r'<a href="trial-1/report.html">trial 1</a>', page.source)
