import json

import pytest


def comparison(tmp_path) -> dict[str, str]:
    """The status of each job by its name."""
    told = json.loads((tmp_path / "out" / "comparison.json").read_text())
    return {job["name"]: job["status"] for job in told["jobs"]}


def test_no_job_begins_after_one_that_failed(segtrain, jobs, tmp_path):
    jobs.failing = {2}
    ended = segtrain("-m", "seed=1,2,3,4", "sweep.fail_fast=true", "hydra.sweep.dir=out")
    assert ended.status == 1
    assert jobs.done == [1, 2]
    for seed in (3, 4):
        assert f"seed-{seed} is left out: seed-2 has not completed" in ended.output


def test_jobs_that_failed_and_that_were_left_out_are_done_when_it_goes_on(segtrain, jobs, tmp_path):
    jobs.failing = {2}
    segtrain("-m", "seed=1,2,3,4", "sweep.fail_fast=true", "hydra.sweep.dir=out")
    jobs.done.clear()
    assert segtrain("resume", "out").status == 0
    assert jobs.resumed == ["seed-2"]
    assert jobs.done == [3, 4]
    assert list(comparison(tmp_path).values()) == ["completed"] * 4


@pytest.mark.parametrize("told", [[], ["sweep.fail_fast=false"]])
def test_the_others_go_on_unless_told_otherwise(segtrain, jobs, tmp_path, told):
    jobs.failing = {1}
    assert segtrain("-m", "seed=1,2", *told, "hydra.sweep.dir=out").status == 1
    assert jobs.done == [1, 2]
    assert list(comparison(tmp_path).values()) == ["failed", "completed"]
