"""The history that the report is drawn from."""

from segtrain.training.callbacks.history import History


def test_keeps_each_epochs_logs_counted_from_one(drive):
    logs = [{"loss": 2.0}, {"loss": 1.0}]
    history = drive(History(), logs).callback
    logs[0]["loss"] = 99.0
    assert history.epochs == [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}]
