import time
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from segtrain.pipeline.verdict import describe_data_wait


class Display(keras.callbacks.Callback):
    """Shows how training goes: a progress bar on a terminal, and everywhere a line per epoch.

    Args:
        console: where to.
        batch_size: images of a step, for images per second.
        cache_kind: where decoded images are kept: `memory`, `disk` or `none`.
    """

    def __init__(self, console: Console, batch_size: int, cache_kind: str):
        super().__init__()
        self._console = console
        self._batch_size = batch_size
        self._cache_kind = cache_kind
        self._progress: Progress | None = None
        self._task = None
        self._val_mean_iou = ""
        self._last_shown = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self._console.is_terminal:
            return
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._progress.start()
        steps = self.params["epochs"] * self.params["steps"]
        self._task = self._progress.add_task("compiling", total=steps, numbers="")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._epoch_start = epoch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        now = time.perf_counter()
        # A few times a second is all that a person sees.
        if self._progress is None or (now - self._last_shown < 0.2 and batch + 1 < self.params["steps"]):
            return
        self._last_shown = now
        images_per_second = (batch + 1) * self._batch_size / (now - self._epoch_start)
        self._progress.update(
            self._task,
            description=f"epoch {self._epoch + 1}/{self.params['epochs']}",
            completed=self._epoch * self.params["steps"] + batch + 1,
            numbers=f"loss {float(logs['loss']):.3f}{self._val_mean_iou}  {_rounded(images_per_second)} images/s",
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._val_mean_iou = f"  val mIoU {logs['val_mean_iou']:.3f}"
        rate = _rounded(logs["images_per_second"])
        self._console.print(
            f"epoch {epoch + 1:>3}/{self.params['epochs']}  loss {logs['loss']:.3f}  mIoU {logs['mean_iou']:.3f}  "
            f"val loss {logs['val_loss']:.3f}  val mIoU {logs['val_mean_iou']:.3f}  "
            f"{rate} images/s  data wait {logs['data_wait']:.0%}  {logs['seconds']:.1f} s",
            highlight=False,
            soft_wrap=True,
        )
        # An epoch of one step is all compiling.
        if epoch == (0 if self.params["steps"] > 1 else 1):
            verdict = describe_data_wait(logs["data_wait"], self._cache_kind, first_epoch=epoch == 0)
            self._console.print(verdict, highlight=False, soft_wrap=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._progress is not None:
            self._progress.stop()


def _rounded(rate: float) -> str:
    """Returns a rate to the whole number, or a small one to two digits: an epoch of one step has that of compiling."""
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"
