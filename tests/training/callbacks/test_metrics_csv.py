"""metrics.csv: the columns that design.md promises, a row as soon as an epoch is done."""

import csv

import pytest

from segtrain.training.callbacks.metrics_csv import MetricsCsv

HEADER = (
    "epoch,loss,pixel_accuracy,mean_iou,val_loss,val_pixel_accuracy,val_mean_iou,"
    "learning_rate,images_per_second,data_wait,seconds"
)


def logs(number):
    return {name: number + place / 16 for place, name in enumerate(HEADER.split(",")[1:], 1)}


def test_rows_are_on_disk_when_the_epoch_ends(folder, drive):
    """Read while the file is open: what a killed run leaves."""
    lines = []
    before_epoch = lambda model, epoch: lines.append(folder.metrics.read_text("utf-8").splitlines())  # noqa: E731
    drive(MetricsCsv(folder=folder), [logs(1), logs(2), logs(3)], before_epoch)
    assert [len(seen) for seen in lines] == [1, 2, 3]
    assert lines[0] == [HEADER]
    rows = list(csv.DictReader(folder.metrics.open(encoding="utf-8")))
    assert [row.pop("epoch") for row in rows] == ["1", "2", "3"]
    assert [{name: float(value) for name, value in row.items()} for row in rows] == [logs(1), logs(2), logs(3)]


def test_the_order_of_the_logs_does_not_matter(folder, drive):
    drive(MetricsCsv(folder=folder), [dict(reversed(logs(1).items())) | {"more": 1.0}])
    (row,) = csv.DictReader(folder.metrics.open(encoding="utf-8"))
    assert row.keys() == set(HEADER.split(","))
    assert float(row["val_mean_iou"]) == logs(1)["val_mean_iou"]


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_a_run_leaves_a_row_for_each_epoch(finished_run, strategy):
    run = finished_run(strategy)
    assert [len(text.splitlines()) for text in run.witness.csv] == [2, 3]
    text = run.folder.metrics.read_text("utf-8")
    assert text.splitlines()[0] == HEADER
    rows = list(csv.DictReader(text.splitlines()))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == run.history
