import pytest

from segtrain.checks.combinations import check_batches, check_together, check_windows, refuse_swapping
from segtrain.config_error import ConfigError

VALUES = {
    "callbacks": {},
    "optimizer": {"learning_rate": 0.1},
    "schedule": {"_target_": "segtrain.training.schedules.build_cosine"},
    "image_size": [32, 32],
}


@pytest.mark.parametrize("monitor", ["val_mean_iou", "val_pixel_accuracy"])
def test_keras_is_told_whether_a_score_is_better_high(monitor):
    callback = {"_target_": "keras.callbacks.EarlyStopping", "monitor": monitor}
    for auto in ({}, {"mode": "auto"}):
        with pytest.raises(ConfigError, match=r"callbacks.x.mode is required.* Type callbacks.x.mode=max"):
            check_together(VALUES | {"callbacks": {"x": callback | auto}})
    check_together(VALUES | {"callbacks": {"x": callback | {"mode": "max"}}})
    check_together(VALUES | {"callbacks": {"x": callback | {"monitor": "val_loss"}}})


@pytest.mark.parametrize("monitor", ["images_per_second", "data_wait", "seconds"])
def test_what_each_worker_measures_for_itself_decides_nothing(monitor):
    stopping = {"x": {"_target_": "keras.callbacks.EarlyStopping", "monitor": monitor, "mode": "max"}}
    check_together(VALUES | {"callbacks": stopping})
    with pytest.raises(ConfigError, match=rf"callbacks.x.monitor={monitor}: each worker measures .* Type another"):
        check_together(VALUES | {"callbacks": stopping, "trainer": {"strategy": "multiworker"}})


def test_an_overlap_needs_windows():
    check_windows(0.5, None)
    check_windows(0.25, [64, 64])
    with pytest.raises(ConfigError, match=r"overlap=0.25.*Type sliding_window=\[HEIGHT,WIDTH\]"):
        check_windows(0.25, None)


def test_a_batch_size_needs_batches():
    check_batches(None, sees_images_one_by_one=True)
    check_batches(4, sees_images_one_by_one=False)
    with pytest.raises(ConfigError, match=r"batch_size=4: .* Leave batch_size out"):
        check_batches(4, sees_images_one_by_one=True)


def test_an_average_is_swapped_by_nobody_else():
    """Keras' callback would swap the weights of training in where the loop has the average."""
    with pytest.raises(ConfigError, match=r"callbacks.swap: with optimizer.use_ema=true .* Leave it out."):
        refuse_swapping({"swap": {"_target_": "keras.callbacks.SwapEMAWeights"}})
