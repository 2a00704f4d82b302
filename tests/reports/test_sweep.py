import json

import pytest
from omegaconf import OmegaConf

from segtrain.reports.sweep import CompareWhenDone

DONE = {
    "status": "completed",
    "seed": 1,
    "val": {"mean_iou": 0.5, "pixel_accuracy": 0.5, "mean_class_accuracy": 0.5, "per_class_iou": {"a": 0.5}},
    "parameters": 1,
    "images_per_second": 1.0,
}


@pytest.mark.parametrize("second", [DONE, {"status": "failed", "error": "no"}, None])
def test_the_sweep_ends_with_its_comparison_and_its_status(tmp_path, write_job, second):
    write_job("a", ["seed=1"], DONE)
    write_job("b", ["seed=2"], second)
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "sweep")}}})
    if second is DONE:
        CompareWhenDone().on_multirun_end(config)
    else:
        with pytest.raises(SystemExit) as stop:
            CompareWhenDone().on_multirun_end(config)
        assert stop.value.code == 1
    comparison = json.loads((tmp_path / "sweep" / "comparison.json").read_text())
    assert [job["name"] for job in comparison["jobs"]] == ["a", "b"]
