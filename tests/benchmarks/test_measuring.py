import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from segtrain.benchmarks.alternation import Figure
from segtrain.benchmarks.measuring import report_figures
from segtrain.run_folder import RunFolder


def of_one_device():
    dataset = SimpleNamespace(name="shapes", resize="stretch")
    return SimpleNamespace(
        model=SimpleNamespace(name="segnet"),
        training=SimpleNamespace(dataset=dataset, image_size=(16, 16)),
        batch_size=4,
        trainer=SimpleNamespace(num_replicas=1),
    )


@pytest.mark.parametrize("others", [{}, {"disk_cache_over_png": Figure(6.0, 5.5, 7.0)}])
def test_one_device_that_exchanges_nothing_is_told_what_to_type(others, tmp_path):
    screen = io.StringIO()
    chosen = ["exchange", *["disk_cache" for _ in others]]
    report_figures(others, {"rounds": 3}, chosen, of_one_device, RunFolder(tmp_path), Console(file=screen, width=60))
    *table, told, where = screen.getvalue().splitlines()
    assert told.startswith("One device exchanges nothing. ")
    assert "type trainer.strategy=mirrored trainer.logical_cpus=2 on a CPU" in told
    assert where == f"figures {tmp_path / 'benchmark.json'}"
    # No table without rows.
    assert bool(table) == bool(others) == ("disk cache" in "".join(table))
    assert json.loads((tmp_path / "benchmark.json").read_text("utf-8"))["replicas"] == 1
    assert not (tmp_path / "scaling.html").exists()
