"""What is seen of a run: a line per epoch, and a bar where there is a terminal."""

import io

import pytest
from rich.console import Console

from segtrain.training.callbacks.display import Display

LOGS = {
    "loss": 1.5,
    "mean_iou": 0.25,
    "val_loss": 1.25,
    "val_mean_iou": 0.375,
    "images_per_second": 123.4,
    "data_wait": 0.07,
    "seconds": 4.5,
}
LINE = "loss 1.500  mIoU 0.250  val loss 1.250  val mIoU 0.375  123 images/s  data wait 7%  4.5 s"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_line_per_epoch(terminal, small_model):
    screen = io.StringIO()
    display = Display(Console(file=screen, width=200, force_terminal=terminal), batch_size=4, cache_kind="memory")
    display.set_model(small_model)
    display.set_params({"epochs": 12, "steps": 3})
    display.on_train_begin()
    for epoch in range(2):
        display.on_epoch_begin(epoch)
        for batch in range(3):
            display.on_train_batch_end(batch, {"loss": 1.5})
        display.on_epoch_end(epoch, LOGS)
    display.on_train_end()
    lines = screen.getvalue().splitlines()
    for epoch in (1, 2):
        assert len([line for line in lines if f"epoch {epoch:>3}/12  {LINE}" in line]) == 1
    # What the time went into is said once, after the first epoch.
    (verdict,) = (line for line in lines if "the device waits" in line)
    assert verdict.endswith("compute-bound: the device waits 7% of the time for data; the pipeline keeps up")
    if not terminal:
        assert len(lines) == 3
        assert lines.index(verdict) == 1


@pytest.mark.parametrize(
    ("rate", "told"), [(123.4, "123"), (10.4, "10"), (3.44, "3.4"), (0.381, "0.38"), (0.04, "0.04")]
)
def test_a_rate_is_never_nought(rate, told):
    """An epoch whose only step was compiled has a fraction of an image a second."""
    screen = io.StringIO()
    display = Display(Console(file=screen, width=200), batch_size=4, cache_kind="memory")
    display.set_params({"epochs": 2, "steps": 1})
    display.on_epoch_end(0, LOGS | {"images_per_second": rate})
    assert f"  {told} images/s  " in screen.getvalue()


def test_the_terminal_is_given_back_after_an_error(small_model):
    """The bar hides the cursor while it lives."""
    screen = io.StringIO()
    display = Display(Console(file=screen, width=200, force_terminal=True), batch_size=4, cache_kind="memory")
    display.set_params({"epochs": 1, "steps": 3})
    display.on_train_begin()
    display.on_epoch_begin(0)
    display.on_train_end()
    hide, show = "\x1b[?25l", "\x1b[?25h"
    assert screen.getvalue().rfind(show) > screen.getvalue().rfind(hide) >= 0


def test_a_run_prints_its_numbers(finished_run):
    run = finished_run("one")
    first, verdict, *rest = run.screen.splitlines()
    assert f"the device waits {run.history[0]['data_wait']:.0%} of the time for data" in verdict
    lines = [first, *rest]
    assert len(lines) == len(run.history)
    for line, epoch in zip(lines, run.history, strict=True):
        assert f"epoch {epoch['epoch']:>3}/2 " in line
        assert f"val mIoU {epoch['val_mean_iou']:.3f}" in line
