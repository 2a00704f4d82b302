"""`segtrain benchmark trainer.strategy=multiworker`, as typed."""

import json
import subprocess
import sys

import pytest

from segtrain.models.segnet_small import build_segnet_small

SETTINGS = [
    "dataset=shapes", "dataset.num_train=32", "dataset.num_val=4", "batch_size=4", "model.width=4", "rounds=1",
    "trainer.strategy=multiworker", "trainer.workers=2", "hydra.run.dir=figures",
]  # fmt: skip


@pytest.mark.long
def test_all_workers_measure_and_the_chief_alone_tells(tmp_path):
    command = [sys.executable, "-m", "segtrain", "benchmark", *SETTINGS, "measure=[run,exchange,disk_cache]"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["figures"]
    figures = json.loads((tmp_path / "figures/benchmark.json").read_text("utf-8"))
    assert figures["replicas"] == 2
    # Its medians are of the same rounds, here of one.
    exchange = figures["exchange"]
    assert exchange["images_per_second_per_replica"] == pytest.approx(exchange["images_per_second"] / 2)
    weights = build_segnet_small(num_classes=5, channels=3, width=4).trainable_variables
    assert exchange["gradient_bytes"] == 4 * sum(weight.shape.num_elements() for weight in weights)
    assert {"loop_images_per_second", "disk_cache_over_png"} <= figures.keys()
    assert (tmp_path / "figures/scaling.html").exists()
    # The part that is not of the run is measured by the chief alone.
    assert "disk_cache" in done.stdout
    assert "error" not in (tmp_path / "figures/segtrain.worker-1.log").read_text("utf-8")
