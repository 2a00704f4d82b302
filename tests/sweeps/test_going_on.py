import json
import shutil
from pathlib import Path

import pytest
import yaml

from segtrain.command.command_line import read_command_line
from segtrain.command.composition import config_folder
from segtrain.run_folder import RunFolder


def test_a_complete_sweep_is_left_as_it_is(segtrain, jobs, two_seeds):
    before = {path: path.stat().st_mtime_ns for path in two_seeds.glob("*/results.json")}
    ended = segtrain("resume", "out")
    assert (ended.status, jobs.done, jobs.resumed) == (0, [], [])
    assert len(before) == 2
    assert before == {path: path.stat().st_mtime_ns for path in before}
    for seed in (1, 2):
        assert f"seed-{seed} is complete" in ended.output


def test_what_is_missing_is_run(segtrain, jobs, tmp_path):
    segtrain("-m", "seed=1,2,3", "model=segnet_small", "hydra.sweep.dir=my sweep 1=2")
    shutil.rmtree(tmp_path / "my sweep 1=2" / "model-segnet_small_seed-2")
    jobs.done.clear()
    assert segtrain("resume", "my sweep 1=2").status == 0
    assert jobs.done == [2]


def test_what_is_missing_is_told_by_the_name_that_its_folder_has(segtrain, jobs, tmp_path):
    segtrain("-m", "seed=1,2", "image_size=[32,48],[48,64]", "sweep.own_process=false", "hydra.sweep.dir=out")
    folders = {path.parent.name for path in (tmp_path / "out").glob("*/.hydra")}
    gone = next(folder for folder in folders if "48_64" in folder and "seed-2" in folder)
    shutil.rmtree(tmp_path / "out" / gone)
    segtrain("compare", "out")
    told = json.loads((tmp_path / "out" / "comparison.json").read_text())["jobs"]
    assert {job["name"]: job["status"] for job in told}[gone] == "missing"
    assert {job["name"] for job in told} == folders


def test_a_job_goes_on_that_was_interrupted(segtrain, jobs, two_seeds):
    (two_seeds / "seed-1" / "results.json").write_text('{"status": "interrupted"}')
    assert segtrain("resume", "run=out").status == 0
    assert jobs.resumed == ["seed-1"]


@pytest.mark.parametrize("left", ["interrupted", "failed"])
def test_a_job_that_is_refused_leaves_its_reason(segtrain, two_seeds, monkeypatch, left):
    results = two_seeds / "seed-1" / "results.json"
    results.write_text(json.dumps({"status": left, "error": "ValueError: long ago"}))

    def refuse(settings, invocation):
        raise ValueError("the data has other images now")

    monkeypatch.setattr("segtrain.verbs.resume.resume", refuse)
    assert segtrain("resume", "out").status == 1
    (job,) = [job for job in json.loads((two_seeds / "comparison.json").read_text())["jobs"] if job["error"]]
    assert (job["name"], job["status"]) == ("seed-1", left)
    assert job["error"] == "ValueError: the data has other images now"


def test_a_job_that_another_process_trains_is_left_alone(segtrain, two_seeds, monkeypatch):
    folder = RunFolder(two_seeds / "seed-1")
    folder.write_results({"status": "interrupted"})

    def refuse(settings, invocation):
        with folder.held():
            raise AssertionError

    monkeypatch.setattr("segtrain.verbs.resume.resume", refuse)
    with folder.held():
        assert segtrain("resume", "out").status == 1
    assert folder.read_results() == {"status": "interrupted"}


def test_relative_paths_count_from_where_the_sweep_was_begun(segtrain, jobs, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    segtrain("-m", "seed=1,2", "dataset=camvid", "dataset.root=data", "hydra.sweep.dir=out")
    assert len(list((tmp_path / "out").glob("*/results.json"))) == 2
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.rmtree(next((tmp_path / "out").glob("*seed-2*")))
    jobs.done.clear()
    assert segtrain("resume", "../out").status == 0
    assert jobs.done == [2]
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == []


def test_reading_how_a_sweep_was_begun_goes_nowhere(segtrain, two_seeds, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert read_command_line(["resume", "../out"]).begun_in == tmp_path
    assert Path.cwd() == tmp_path / "elsewhere"


def test_a_sweep_that_was_begun_in_a_folder_that_is_gone_says_so(segtrain, jobs, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    segtrain("-m", "seed=1,2", "hydra.sweep.dir=../out")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").rmdir()
    refused = segtrain("resume", "out")
    assert refused.status == 2
    assert refused.errors.startswith(f"segtrain: error: {tmp_path / 'here'}: the sweep was begun there")
    assert refused.errors.count("\n") == 1


@pytest.mark.parametrize("typed", ["epochs=3", "model=unet", "+max_samples=1", "hydra.sweep.dir=other"])
def test_another_sweep_is_refused(segtrain, two_seeds, typed):
    refused = segtrain("resume", "out", typed)
    assert refused.status == 2
    assert refused.errors.replace("'", "").startswith(
        f"segtrain: error: {typed}: a sweep goes on with the settings it was begun with."
    )
    assert refused.errors.count("\n") == 1


@pytest.mark.parametrize("content", ["", "[1", "hydra: 3", "{}", "hydra: {overrides: {task: 3, hydra: []}}"])
def test_a_damaged_sweep_is_told(segtrain, tmp_path, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "multirun.yaml").write_text(content)
    refused = segtrain("resume", "out")
    assert refused.status == 2
    assert "does not tell how the sweep was begun" in refused.errors
    assert refused.errors.count("\n") == 1


def test_permission_to_call_code_has_to_be_typed_again(segtrain, jobs, tmp_path, monkeypatch):
    """A sweep's folder may come from a stranger."""
    (tmp_path / "mine.py").write_text("def loss(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    given = ["loss._target_=mine.loss", "allow_targets=[mine.]"]
    assert segtrain("-m", "seed=1,2", *given, "hydra.sweep.dir=out").status == 0
    refused = segtrain("resume", "out")
    assert refused.status == 2
    assert "allow_targets=[mine.]" in refused.errors
    assert segtrain("resume", "out", "allow_targets=[mine.]").status == 0


def test_what_a_sweeps_folder_says_is_not_typed(segtrain, jobs, tmp_path):
    """It may come from a stranger, and set the process's environment."""
    assert segtrain("-m", "seed=1,2", "+hydra.job.env_set.MINE=yes", "hydra.sweep.dir=out").status == 0
    refused = segtrain("resume", "out")
    assert refused.status == 2
    assert "hydra.job.env_set.MINE=yes: the sweep's folder says so" in refused.errors
    assert segtrain("resume", "out", "+hydra.job.env_set.MINE=yes").status == 0


@pytest.mark.parametrize("setting", ["hydra.sweep.subdir=job${hydra.job.num}", "hydra.job.chdir=true"])
def test_a_sweeps_folder_has_nothing_written_elsewhere(segtrain, jobs, tmp_path, setting):
    assert segtrain("-m", "seed=1,2", setting, "hydra.sweep.dir=out").status == 0
    refused = segtrain("resume", "out")
    assert refused.status == 2
    assert "the sweep's folder says so, and it may write elsewhere" in refused.errors


def test_another_launcher_leaves_the_first_ones_settings(segtrain, two_seeds):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    multirun = two_seeds / "multirun.yaml"
    told = yaml.safe_load(multirun.read_text())
    told["hydra"]["overrides"]["hydra"] += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    multirun.write_text(yaml.safe_dump(told))
    assert segtrain("resume", "out", "hydra/launcher=basic").status == 0


@pytest.mark.parametrize("question", [["--cfg", "job"], ["--help"]])
def test_a_question_about_resume_trains_nothing(segtrain, jobs, two_seeds, question):
    (two_seeds / "seed-1" / "results.json").unlink()
    segtrain("resume", "out", *question)
    assert jobs.done == []


def test_a_job_whose_process_died_before_it_began_begins(segtrain, jobs, two_seeds):
    (two_seeds / "seed-1" / "config.yaml").unlink()
    (two_seeds / "seed-1" / "results.json").write_text('{"status": "failed", "error": "SIGKILL"}')
    assert segtrain("resume", "out").status == 0
    assert jobs.done == [1]


def test_no_file_of_a_sweep_gives_permission(segtrain, jobs, tmp_path, monkeypatch):
    """By a group named allow_targets either, in a folder of configs that comes with it."""
    (tmp_path / "mine.py").write_text("def loss(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "conf").mkdir()
    given = ["loss._target_=mine.loss", "allow_targets=[mine.]", "--config-dir", "conf"]
    assert segtrain("-m", "seed=1,2", *given, "hydra.sweep.dir=out").status == 0
    (tmp_path / "conf" / "allow_targets").mkdir()
    (tmp_path / "conf" / "allow_targets" / "mine..yaml").write_text("{}\n")
    multirun = tmp_path / "out" / "multirun.yaml"
    multirun.write_text(multirun.read_text().replace("allow_targets=[mine.]", "+allow_targets@_global_=mine."))
    jobs.done.clear()
    assert segtrain("resume", "out").status == 2
    assert jobs.done == []


def test_configs_of_ones_own_are_those_it_goes_on_with(segtrain, jobs, tmp_path):
    shutil.copytree(config_folder(), tmp_path / "conf")
    config = tmp_path / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("max_samples: null", "max_samples: 7"))
    assert segtrain("-m", "seed=1,2", "--config-path", "conf", "hydra.sweep.dir=out").status == 0
    shutil.rmtree(tmp_path / "out" / "seed-2")
    assert segtrain("resume", "out").status == 0
    told = yaml.safe_load((tmp_path / "out" / "seed-2" / ".hydra" / "config.yaml").read_text())
    assert told["max_samples"] == 7
