from types import SimpleNamespace

import numpy as np

from segtrain.training.callbacks.collapse_alarm import CollapseAlarm

COLLAPSED, FINE = np.array([[80, 0], [20, 0]]), np.array([[78, 2], [2, 18]])


def test_each_stretch_is_told_once(drive):
    evaluations = [FINE, COLLAPSED, COLLAPSED, FINE, COLLAPSED]
    evaluator, told = SimpleNamespace(latest=None), []

    def evaluate(model, epoch):
        evaluator.latest = SimpleNamespace(confusion_matrix=evaluations[epoch], loss=0.5)

    kept = []
    alarm = CollapseAlarm(evaluator, ["sky", "pole"], told.append, keep=kept.append)
    drive(alarm, [{}] * 5, before_epoch=evaluate)
    assert len(told) == 2
    assert all(line.startswith("warning: ") and "sky is 100.0%" in line for line in told)
    assert [line.partition(":")[0] for line in alarm.warnings] == ["after epoch 2", "after epoch 5"]
    assert kept == alarm.warnings


def test_logits_that_are_no_numbers_are_another_mishap(drive):
    evaluator, told = SimpleNamespace(latest=SimpleNamespace(confusion_matrix=COLLAPSED, loss=float("nan"))), []
    alarm = CollapseAlarm(evaluator, ["sky", "pole"], told.append)
    drive(alarm, [{}] * 2)
    (line,) = told
    assert line.startswith("warning: the validation loss is nan")
    evaluator.latest.loss = 0.5
    drive(alarm, [{}])
    assert "sky is 100.0%" in told[1]
    assert len(told) == 2
