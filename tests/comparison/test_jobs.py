import json

import pytest
import yaml

from segtrain.comparison.jobs import read_jobs


def test_runs_and_sweeps_are_read_together(tmp_path, write_run):
    write_run("b", ["seed=1"])
    write_run("a", ["seed=2"])
    alone = write_run("alone", ["model=x"], sweep=tmp_path / "other")
    jobs = read_jobs([alone, tmp_path / "sweep", alone])
    assert [job.name for job in jobs] == ["other/alone", "sweep/a", "sweep/b"]
    assert [job.overrides for job in jobs] == [{"model": "x"}, {"seed": "2"}, {"seed": "1"}]
    assert [job.name for job in read_jobs([tmp_path / "sweep"])] == ["a", "b"]
    assert [job.name for job in read_jobs([alone])] == ["alone"]


def test_what_was_not_typed_is_what_hydra_chose(write_run):
    folder = write_run("a", ["epochs=4"])
    config = {"batch_size": 8, "image_size": [48, 64], "model": {"width": 16, "norm": None}, "augment": True}
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    choices = {"hydra": {"runtime": {"choices": {"model": "segnet_small", "loss": None}}}}
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(choices), encoding="utf-8")
    (job,) = read_jobs([folder])
    expected = {
        "epochs": "4",
        "batch_size": "8",
        "image_size": "[48,64]",
        "model": "segnet_small",
        "model.width": "16",
        "model.norm": "null",
        "loss": "null",
        "augment": "true",
        "model.depth": "(default)",
    }
    assert {key: job.setting(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("typed", "others", "expected"),
    [
        ("true", ["True", "TRUE"], "true"),
        ("null", ["Null"], "null"),
        ("1e-3", ["0.001", "1E-3", "0.0010"], "0.001"),
        ("1.", ["1.0"], "1.0"),
        ("-3", [], "-3"),
        ("10", [], "10"),
        ("1.2.3", [], "1.2.3"),
        ("12e", [], "12e"),
        ("[48,64]", [], "[48,64]"),
    ],
)
def test_values_are_the_same_however_they_are_typed(write_run, typed, others, expected):
    """A sweep rewrites them."""
    folders = [write_run(str(number), [f"x={value}"]) for number, value in enumerate([typed, *others])]
    config = folders[0] / ".hydra" / "config.yaml"
    config.write_text("x: 0.001\ny: true\n", encoding="utf-8")
    jobs = read_jobs(folders)
    assert {job.setting("x") for job in jobs} == {expected}
    assert jobs[0].composed() == {"x": "0.001", "y": "true"}


def test_the_seconds_to_the_best_epoch_are_those_of_metrics_csv(write_run):
    folder = write_run("a", [], best_epoch=2)
    assert read_jobs([folder])[0].seconds_to_best_epoch() is None
    (folder / "metrics.csv").write_text("epoch,seconds\n1,10.5\n2,4.25\n3,100\n", encoding="utf-8")
    assert read_jobs([folder])[0].seconds_to_best_epoch() == 14.75
    for damaged in (
        "epoch,seconds\n1,10.5\n",
        "epoch,seconds\n1,10.5\n2,x\n",
        "epoch\n1\n2\n",
        "epoch,seconds\n1\n2\n",
    ):
        (folder / "metrics.csv").write_text(damaged, encoding="utf-8")
        assert read_jobs([folder])[0].seconds_to_best_epoch() is None


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "[]",
        "{",
        '{"status": "completed"}',
        '{"status": "completed", "seed": 1, "val": {"mean_iou": "x", "per_class_iou": {}}}',
        '{"status": "completed", "seed": 1, "val": {"per_class_iou": {}}}',
        '{"status": "completed", "seed": 1, "val": {"mean_iou": NaN, "per_class_iou": {}}}',
        '{"status": "completed", "seed": 1, "val": {"mean_iou": 1, "per_class_iou": {}}, "metric_contract": '
        '{"convention": []}}',
    ],
)
def test_a_run_whose_results_are_damaged_costs_the_others_nothing(tmp_path, write_run, damaged):
    write_run("a", ["seed=1"])
    folder = write_run("b", ["seed=2"])
    (folder / "results.json").write_text(damaged, encoding="utf-8")
    whole, failed = read_jobs([tmp_path / "sweep"])
    assert (whole.completed, failed.completed, failed.results["status"]) == (True, False, "failed")
    assert str(folder / "results.json") in failed.results["error"]


def test_an_interrupted_run_keeps_what_it_says(write_run):
    folder = write_run("a", [], status="interrupted")
    content = json.loads((folder / "results.json").read_text()) | {"val": None}
    (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
    assert read_jobs([folder])[0].results["status"] == "interrupted"


@pytest.mark.parametrize("damaged", [b"a: [", b"\xff", b"3"])
def test_overrides_that_cannot_be_read_are_named(write_run, damaged):
    folder = write_run("a", [])
    path = folder / ".hydra" / "overrides.yaml"
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="cannot be read") as refusal:
        read_jobs([folder])
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_columns_of_metrics_csv_are_read_by_epoch(write_run):
    folder = write_run("a", [])
    (job,) = read_jobs([folder])
    assert job.by_epoch("val_loss") == {}
    (folder / "metrics.csv").write_text("epoch,val_loss\n1,0.5\n3,0.25\n", encoding="utf-8")
    assert job.by_epoch("val_loss") == {1: 0.5, 3: 0.25}
    assert job.by_epoch("val_mean_iou") == {}


def write_folder_of(verb, folder, results=None):
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("[]", encoding="utf-8")
    hydra = {"hydra": {"job": {"config_name": verb}}}
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(hydra), encoding="utf-8")
    if results is not None:
        (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")


def test_what_other_verbs_left_is_no_run(tmp_path, write_run):
    write_run("run", [])
    for verb, results in (("evaluate", {"val": {}, "run": "x"}), ("predict", None), ("compare", None)):
        write_folder_of(verb, tmp_path / "sweep" / verb, results)
        with pytest.raises(ValueError, match=f"is no run: segtrain {verb} has left it"):
            read_jobs([tmp_path / "sweep" / verb])
    write_folder_of("config", tmp_path / "sweep" / "killed at once")
    jobs = read_jobs([tmp_path / "sweep"])
    told = {job.name: job.results["status"] for job in jobs}
    assert told == {"killed at once": "interrupted", "run": "completed"}
    assert jobs[0].results["error"] == "has written nothing: its process died at the start, or is there still"


def test_a_job_that_a_sweep_left_out_says_why(tmp_path, write_run):
    write_run("a", ["seed=1"], status="failed")
    for name in "bc":
        (write_run(name, ["seed=2"]) / "results.json").unlink()
    (tmp_path / "sweep" / "stopped_after.txt").write_text("b\n")
    statuses = {job.name: (job.results["status"], job.results.get("error")) for job in read_jobs([tmp_path / "sweep"])}
    assert statuses["a"] == ("failed", None)
    assert statuses["b"][0] == "interrupted"
    assert statuses["c"] == ("missing", "was left out: b has not completed, and sweep.fail_fast=true")
    (tmp_path / "sweep" / "stopped_after.txt").write_bytes(b"\xff")
    assert [job.results["status"] for job in read_jobs([tmp_path / "sweep"])][1:] == ["interrupted"] * 2


@pytest.mark.parametrize("damaged", ["hydra: 3", "hydra:", "hydra: {runtime: []}", "hydra: {runtime: {choices: x}}"])
def test_what_hydra_has_chosen_may_be_damaged(write_run, damaged):
    folder = write_run("a", [])
    (folder / ".hydra" / "hydra.yaml").write_text(damaged, encoding="utf-8")
    assert read_jobs([folder])[0].setting("model") == "(default)"


def test_a_job_that_has_not_begun_has_the_settings_of_its_sweep(tmp_path, write_run):
    folder = write_run("a", ["seed=1"])
    (folder / ".hydra" / "config.yaml").write_text("epochs: 12\n", encoding="utf-8")
    (tmp_path / "sweep" / "sweep.json").write_text('{"jobs": [["seed=1"], ["seed=2"]]}', encoding="utf-8")
    begun, missing = read_jobs([tmp_path / "sweep"])
    assert (begun.completed, missing.results["status"]) == (True, "missing")
    assert begun.setting("epochs") == missing.setting("epochs") == "12"
