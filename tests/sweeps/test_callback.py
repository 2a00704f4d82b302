import json
from pathlib import Path

import pytest

from segtrain.comparison.configurations import compare_runs


def statuses(sweep: Path) -> list[str]:
    return [job["status"] for job in json.loads((sweep / "comparison.json").read_text())["jobs"]]


@pytest.mark.parametrize(("failing", "status"), [(set(), 0), ({2}, 1), ({1, 2, 3}, 1)])
def test_the_sweep_ends_with_its_comparison_and_its_status(segtrain, jobs, tmp_path, failing, status):
    jobs.failing = failing
    assert segtrain("-m", "seed=1,2,3", "hydra.sweep.dir=out").status == status
    assert statuses(tmp_path / "out") == ["failed" if seed in failing else "completed" for seed in (1, 2, 3)]


def test_the_comparison_is_rewritten_after_every_job(segtrain, jobs, tmp_path, monkeypatch):
    train, seen = jobs.train, []

    def look_and_train(settings, invocation):
        written = tmp_path / "out" / "comparison.json"
        seen.append(statuses(tmp_path / "out").count("completed") if written.is_file() else 0)
        return train(settings, invocation)

    monkeypatch.setattr("segtrain.verbs.train.train", look_and_train)
    assert segtrain("-m", "seed=1,2,3", "hydra.sweep.dir=out").status == 0
    assert seen == [0, 1, 2]


def test_a_preset_and_what_it_stands_for_are_one_configuration(segtrain, jobs, tmp_path):
    models = "model=segnet_small,encoder_decoder_small"
    assert segtrain("-m", "experiment=pooling_indices_vs_upsampling", "seed=1", "hydra.sweep.dir=preset").status == 0
    assert segtrain("-m", models, "seed=2", "sweep.fail_fast=true", "hydra.sweep.dir=typed").status == 0
    comparison = compare_runs([tmp_path / "preset", tmp_path / "typed"])
    assert comparison["varying"] == ["model"]
    assert {each["name"]: each["seeds"] for each in comparison["configurations"]} == {
        "segnet_small": [1, 2], "encoder_decoder_small": [1, 2],
    }  # fmt: skip


def test_a_run_alone_has_no_comparison(segtrain, jobs, tmp_path):
    assert segtrain("seed=1", "hydra.run.dir=out/run").status == 0
    assert list((tmp_path / "out").glob("comparison*")) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
