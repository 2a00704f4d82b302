import numpy as np

from segtrain.comparison.jobs import read_jobs
from segtrain.comparison.learning_curves import learning_curve


def test_a_curve_goes_as_far_as_all_runs(tmp_path, write_run):
    columns = {"a": [0.1, 0.2, 0.6], "b": [0.3, 0.4], "c": None}
    for name, values in columns.items():
        folder = write_run(name, [])
        if values:
            rows = [f"{epoch},{value}" for epoch, value in enumerate(values, start=1)]
            (folder / "metrics.csv").write_text("\n".join(["epoch,val_mean_iou", *rows]), encoding="utf-8")
    curve = learning_curve(read_jobs([tmp_path / "sweep"]), "val_mean_iou")
    assert curve.epochs.tolist() == [1, 2]
    np.testing.assert_allclose(curve.mean, [0.2, 0.3])
    np.testing.assert_array_equal(curve.of_runs, [[0.1, 0.2], [0.3, 0.4]])


def test_there_is_none_without_metrics(tmp_path, write_run):
    write_run("a", [])
    assert learning_curve(read_jobs([tmp_path / "sweep"]), "val_loss") is None
    assert learning_curve([], "val_loss") is None
