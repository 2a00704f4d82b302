import json

import pytest
import yaml

from segtrain.sweeps.plan import PLAN, read_plan


def test_the_plan_holds_the_jobs_as_hydra_begins_them(segtrain, jobs, tmp_path):
    ended = segtrain(
        "-m", "seed=range(1,3)", "model=glob(segnet_*,exclude=*resnet*)", "size=tiny", "hydra.sweep.dir=out"
    )
    assert ended.status == 0
    begun = [yaml.safe_load(path.read_text()) for path in (tmp_path / "out").glob("*/.hydra/overrides.yaml")]
    assert len(begun) == 2 * 2  # segnet_basic, segnet_small
    assert sorted(read_plan(tmp_path / "out")) == sorted(begun)


def test_the_plan_holds_the_sweep_of_an_experiments_file(segtrain, jobs, tmp_path):
    assert segtrain("-m", "experiment=pretrained_vs_scratch", "size=tiny", "hydra.sweep.dir=out").status == 0
    begun = [yaml.safe_load(path.read_text()) for path in (tmp_path / "out").glob("*/.hydra/overrides.yaml")]
    assert len(begun) == 3  # seeds, and one choice of weights
    assert sorted(read_plan(tmp_path / "out")) == sorted(begun)


def test_there_may_be_no_plan(tmp_path):
    assert read_plan(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"jobs": 3}', '{"jobs": [["a"], [3]]}', '{"jobs": "ab"}'])
def test_what_is_no_plan_is_told(tmp_path, content):
    (tmp_path / PLAN).write_text(content)
    with pytest.raises(ValueError, match="is no plan of a sweep"):
        read_plan(tmp_path)


def test_a_sweeper_that_makes_jobs_up_has_no_plan(tmp_path):
    (tmp_path / PLAN).write_text(json.dumps({"jobs": None}))
    assert read_plan(tmp_path) is None
