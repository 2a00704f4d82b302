from typing import Annotated, Any

import keras
import numpy as np
from annotated_types import Ge

from segtrain.pipeline.samples import Samples
from segtrain.reports.pictures import picture_path, prediction_grid
from segtrain.run_folder import RunFolder, written_whole
from segtrain.training.evaluator import predict_sample

PICTURES_OF_A_RUN = 5


class Pictures(keras.callbacks.Callback):
    """Writes predictions/epoch_NNN.png: input, truth, prediction and errors of the same validation images.

    Args:
        folder: the run's folder.
        validation: the validation samples.
        epochs: after which epochs; 0 is before training. None is 0, the last, and a few between.
        num_images: how many images.
    """

    def __init__(
        self,
        *,
        folder: RunFolder,
        validation: Samples,
        epochs: list[Annotated[int, Ge(0)]] | None = None,
        num_images: Annotated[int, Ge(1)] = 6,
    ):
        super().__init__()
        self._folder = folder
        self._samples = validation
        self._epochs = epochs
        self._indices = np.unique(np.linspace(0, len(validation) - 1, min(num_images, len(validation))).astype(int))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._epochs is None:
            self._epochs = np.unique(np.linspace(0, self.params["epochs"], PICTURES_OF_A_RUN).round().astype(int))
        if self.params["state"].is_new:
            self._draw(0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._draw(epoch + 1)

    def _draw(self, epoch):
        if epoch not in self._epochs:
            return
        # One by one: they may differ in size, and six at once may be more than a step's memory has room for.
        images, labels, predicted = zip(
            *(predict_sample(self.model, self._samples, index) for index in self._indices), strict=True
        )
        grid = prediction_grid(
            images,
            labels,
            predicted,
            names=[self._samples.name(index) for index in self._indices],
            dataset=self._samples.dataset,
        )
        with written_whole(picture_path(self._folder, epoch)) as temporary:
            grid.save(temporary)
