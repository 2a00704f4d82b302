"""Where a job runs: in the sweep's own process, or in one of its own."""

import json
import os

import pytest

from segtrain.sweeps import job as module
from segtrain.sweeps.job_process import JobProcessError


@pytest.fixture
def elsewhere(monkeypatch, jobs) -> list[tuple[int, bool]]:
    """The seeds of jobs that were given a process of their own, which is not begun, and whether with a GPU."""
    seen = []

    def run(task, config, *, has_own_gpu):
        seen.append((config.seed, has_own_gpu))
        if config.seed in jobs.failing:
            raise JobProcessError
        return 0.5

    monkeypatch.setattr(module, "run_in_own_process", run)
    return seen


@pytest.mark.parametrize(
    ("typed", "is_elsewhere", "has_gpu"),
    [
        ([], False, False),
        (["sweep.own_process=false"], False, False),
        (["sweep.own_process=true"], True, False),
        (["sweep.one_gpu_each=true"], True, True),
        (["sweep.one_gpu_each=true", "sweep.own_process=true"], True, True),
    ],
)
def test_a_job_has_a_process_of_its_own_where_that_spares_something(
    segtrain, jobs, elsewhere, typed, is_elsewhere, has_gpu
):
    segtrain("-m", "seed=1,2", *typed, "hydra.sweep.dir=out")
    assert jobs.done == ([] if is_elsewhere else [1, 2])
    assert elsewhere == ([(1, has_gpu), (2, has_gpu)] if is_elsewhere else [])


@pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher/\w+' is validated against")
@pytest.mark.parametrize("own", [True, False])
def test_jobs_side_by_side_have_each_their_own_and_end_with_the_sweep(segtrain, jobs, elsewhere, monkeypatch, own):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    bound = []
    monkeypatch.setattr(module, "end_with_sweep", lambda *process, **how: bound.append((process, how)))
    typed = [] if own else ["sweep.own_process=false"]
    segtrain("-m", "seed=1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=1", *typed, "hydra.sweep.dir=out")
    assert [seed for seed, _ in elsewhere] == ([1, 2] if own else [])
    assert bound == [((os.getpid(),), {"has_own_process": own})] * 2


def test_a_process_that_ends_badly_costs_its_job_alone(segtrain, jobs, elsewhere):
    jobs.failing = {1}
    assert segtrain("-m", "seed=1,2", "sweep.own_process=true", "hydra.sweep.dir=out").status == 1
    assert [seed for seed, _ in elsewhere] == [1, 2]


def test_a_score_that_was_reached_before_is_told_again(segtrain, jobs, two_seeds, monkeypatch):
    """By which a search goes on: the job's score is what the first run of it has left."""
    returned = []
    go_on = module.go_on_with_job
    monkeypatch.setattr(module, "go_on_with_job", lambda *given: returned.append(go_on(*given)))
    results = two_seeds / "seed-2" / "results.json"
    told = json.loads(results.read_text())
    results.write_text(json.dumps(told | {"val": told["val"] | {"mean_iou": 0.25}}))
    segtrain("resume", "out")
    assert returned == [0.5, 0.25]
    assert jobs.done == []
