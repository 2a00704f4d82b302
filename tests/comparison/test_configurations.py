"""Which runs are one configuration, how it is called, and what it is worth."""

import json
import statistics

import pytest
import yaml

from segtrain.comparison.configurations import compare_runs, rank
from segtrain.comparison.jobs import read_jobs


def composed_as(folder, config, **choices):
    """Has a run say what Hydra made of its command line."""
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    hydra = {"hydra": {"runtime": {"choices": {"experiment": None} | choices}}}
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(hydra), encoding="utf-8")


def test_a_configuration_is_named_by_what_varies(tmp_path, write_run):
    for number, settings in enumerate((["epochs=4", "model=x"], ["epochs=8", "model=y"])):
        write_run(str(number), settings)
    names = {each["name"] for each in compare_runs([tmp_path / "sweep"])["configurations"]}
    assert names == {"epochs=4 x", "epochs=8 y"}


def test_runs_that_say_the_same_in_other_words_are_one_configuration(tmp_path, write_run):
    """One was typed with the model that is the default."""
    write_run("typed", ["model=segnet", "seed=1"])
    folder = write_run("default", ["seed=2"], seed=2)
    chosen = "hydra: {runtime: {choices: {model: segnet}}}"
    (folder / ".hydra" / "hydra.yaml").write_text(chosen, encoding="utf-8")
    comparison = compare_runs([tmp_path / "sweep"])
    assert comparison["constant"] == {"model": "segnet"}
    assert [each["seeds"] for each in comparison["configurations"]] == [[2, 1]]


def test_costs_are_averaged_too(tmp_path, write_run):
    for seed, seconds in ((1, 3.0), (2, 5.0)):
        costs = {"flops_per_image": 100, "peak_memory_bytes": 10 * seed, "images_per_second": 7.0, "best_epoch": 1}
        folder = write_run(f"a-{seed}", [f"seed={seed}"], seed=seed, **costs)
        (folder / "metrics.csv").write_text(f"epoch,seconds\n1,{seconds}\n", encoding="utf-8")
    (row,) = compare_runs([tmp_path / "sweep"])["configurations"]
    means = {name: row[name]["mean"] for name in ("flops_per_image", "peak_memory_bytes", "seconds_to_best_epoch")}
    assert means == {"flops_per_image": 100, "peak_memory_bytes": 15, "seconds_to_best_epoch": 4.0}


def test_how_a_sweep_ran_its_jobs_is_no_setting(tmp_path, write_run):
    for seed in (1, 2):
        how = ["sweep.own_process=true", "allow_targets=[mine.]"] if seed == 2 else []
        write_run(f"a-{seed}", ["model=a", f"seed={seed}", *how], seed=seed)
    (configuration,) = compare_runs([tmp_path / "sweep"])["configurations"]
    assert configuration["seeds"] == [1, 2]


@pytest.mark.parametrize(
    ("key", "values", "names"),
    [
        ("model", ["segnet", "plain"], ["segnet", "plain"]),
        ("loss", ["dice", "none"], ["dice", "loss=none"]),
        ("trainer.jit", ["auto", "true"], ["trainer.jit=auto", "trainer.jit=true"]),
        ("dataset.cache", ["auto", "disk"], ["dataset.cache=auto", "dataset.cache=disk"]),
        ("augmentation", ["strong", "none"], ["augmentation=strong", "augmentation=none"]),
        ("batch_size", ["4", "8"], ["batch_size=4", "batch_size=8"]),
        ("model/encoder", ["resnet50", "null"], ["resnet50", "model/encoder=null"]),
        ("optimizer", ["adam", "3"], ["adam", "optimizer=3"]),
    ],
)
def test_a_value_that_says_nothing_alone_is_named_with_its_setting(tmp_path, write_run, key, values, names):
    for value in values:
        write_run(value, [f"{key}={value}"])
    configurations = rank(read_jobs([tmp_path / "sweep"]))
    assert {each.settings[key]: each.name for each in configurations} == dict(zip(values, names, strict=True))


def test_runs_that_differ_in_nothing_are_all(write_run):
    assert [each.name for each in rank(read_jobs([write_run("a", ["seed=1"])]))] == ["all"]


CONFIG = {"epochs": 60, "model": {"width": 8}, "seed": 1, "dataset": {"fold": 0}, "sweep": {"fail_fast": False}}


def test_an_experiment_that_changes_nothing_is_no_setting(tmp_path, write_run):
    """One sweep was typed by its preset, with more seeds typed out later."""
    for seed, overrides in ((1, ["experiment=r1"]), (2, ["epochs=60"])):
        for model, width in (("a", 8), ("b", 16)):
            folder = write_run(f"{model}-{seed}", [*overrides, f"model={model}", f"seed={seed}"], seed=seed)
            own = {
                "seed": seed,
                "model": {"width": width},
                "sweep": {"fail_fast": seed == 2},
                "dataset": {"fold": seed},
            }
            composed_as(folder, CONFIG | own, **({"experiment": "r1"} if seed == 1 else {}))
    comparison = compare_runs([tmp_path / "sweep"])
    assert comparison["varying"] == ["model"]
    assert comparison["constant"] == {"epochs": "60"}
    assert {each["name"]: sorted(each["seeds"]) for each in comparison["configurations"]} == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize("other", [{"epochs": 61}, {"model": {"width": 9}}, {"loss": None}])
def test_an_experiment_that_changes_something_is_a_setting(tmp_path, write_run, other):
    composed_as(write_run("a", ["experiment=r1"]), CONFIG)
    composed_as(write_run("b", ["experiment=r2"]), CONFIG | other)
    names = [each["name"] for each in compare_runs([tmp_path / "sweep"])["configurations"]]
    assert sorted(names) == ["r1", "r2"]


def test_other_settings_vary_whatever_comes_of_them(tmp_path, write_run):
    for model in "ab":
        composed_as(write_run(model, [f"model={model}"]), CONFIG)
    assert compare_runs([tmp_path / "sweep"])["varying"] == ["model"]


def test_an_experiment_of_which_nothing_is_known_is_a_setting(tmp_path, write_run):
    composed_as(write_run("a", ["experiment=r1"]), CONFIG)
    plan = {"jobs": [["experiment=r1"], ["experiment=r2"]]}
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps(plan), encoding="utf-8")
    assert compare_runs([tmp_path / "sweep"])["varying"] == ["experiment"]
    composed_as(write_run("b", ["experiment=r2"]), CONFIG)
    assert compare_runs([tmp_path / "sweep"])["varying"] == []


def test_means_and_deviations_are_over_what_completed(tmp_path, write_run):
    for seed in (1, 2, 3):
        write_run(f"a-{seed}", [f"seed={seed}"], seed=seed, parameters=100 if seed < 3 else None)
    write_run("a-4", ["seed=4"], seed=4, status="failed")
    (write_run("a-5", ["seed=5"], seed=5) / "results.json").unlink()
    (row,) = compare_runs([tmp_path / "sweep"])["configurations"]
    paths = [tmp_path / "sweep" / f"a-{seed}" / "results.json" for seed in (1, 2, 3)]
    values = [json.loads(path.read_text())["val"] for path in paths]
    counts = [row[name] for name in ("jobs", "failed", "interrupted", "missing")]
    assert (counts, row["seeds"]) == ([5, 1, 1, 0], [1, 2, 3])
    for name in ("mean_iou", "pixel_accuracy"):
        of_name = [each[name] for each in values]
        assert row[name] == {
            "mean": pytest.approx(statistics.fmean(of_name)), "std": pytest.approx(statistics.stdev(of_name)),
            "count": 3, "values": of_name,
        }  # fmt: skip
    assert row["parameters"] == {"mean": 100, "std": 0, "count": 2, "values": [100, 100, None]}
    assert list(row["per_class_iou"]) == ["ground", "disc", "ring"]
    assert row["per_class_iou"]["disc"]["values"] == [each["per_class_iou"]["disc"] for each in values]


def test_the_best_comes_first_and_what_has_no_score_last(tmp_path, write_run):
    write_run("a", ["model=a"], quality=0.5)
    write_run("b", ["model=b"], status="failed")
    write_run("c", ["model=c"], quality=0.9)
    assert [each.name for each in rank(read_jobs([tmp_path / "sweep"]))] == ["c", "a", "b"]


def test_every_job_is_told_with_its_error(tmp_path, write_run):
    write_run("a", ["model=a", "sweep.fail_fast=true"])
    write_run("b", ["model=b"], status="failed", error="ValueError: label 9")
    told = {job["name"]: job for job in compare_runs([tmp_path / "sweep"])["jobs"]}
    assert told["b"] == {
        "name": "b", "overrides": {"model": "b"}, "status": "failed", "error": "ValueError: label 9", "mean_iou": None,
    }  # fmt: skip
    assert (told["a"]["status"], told["a"]["overrides"]) == ("completed", {"model": "a"})
    assert told["a"]["mean_iou"] > 0.5
