"""Pictures of the same validation images at chosen epochs, epoch 0 being before training."""

import numpy as np
import pytest
from PIL import Image

from segtrain.pipeline.samples import Samples
from segtrain.training.callbacks.pictures import Pictures


@pytest.fixture
def validation(shapes_dataset):
    return Samples(shapes_dataset, "val", image_size=(32, 32))


def written(folder):
    return sorted(path.name for path in folder.predictions.iterdir())


@pytest.mark.parametrize(
    ("epochs", "num_epochs", "expected"),
    [
        ([0, 2], 3, [0, 2]),
        ([0], 2, [0]),
        ([1, 99], 2, [1]),
        (None, 8, [0, 2, 4, 6, 8]),
        (None, 2, [0, 1, 2]),
        (None, 1, [0, 1]),
    ],
)
def test_chosen_epochs_are_drawn(folder, validation, drive, epochs, num_epochs, expected):
    drive(Pictures(folder=folder, validation=validation, epochs=epochs, num_images=1), [{}] * num_epochs)
    assert written(folder) == [f"epoch_{epoch:03d}.png" for epoch in expected]


def test_before_training_and_after_every_epoch_the_network_of_that_moment(folder, validation, drive):
    """Each time the network sees another class everywhere: the picture has that colour."""

    def predict(class_id):
        def set_weights(model, epoch=None):
            layer = model.get_layer("logits")
            layer.kernel.assign(np.zeros(layer.kernel.shape))
            layer.bias.assign(np.eye(5)[class_id(epoch)])

        return set_weights

    drive(
        Pictures(folder=folder, validation=validation, epochs=[1, 2], num_images=3),
        [{}, {}],
        predict(lambda epoch: [2, 4][epoch]),
    )
    palette = validation.dataset.palette
    for epoch, class_id, other in [(1, 2, 4), (2, 4, 2)]:
        with Image.open(folder.predictions / f"epoch_{epoch:03d}.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
        seen = {name: np.all(pixels == palette[name], axis=-1).sum() for name in (class_id, other)}
        # Three images of 32x32 in whole multiples; the truth beside them has little of either.
        assert seen[class_id] > 3 * (7 * 32) ** 2 > 2 * seen[other]


@pytest.mark.parametrize(("num_images", "indices"), [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (99, range(10))])
def test_images_are_spread_over_the_split(folder, validation, drive, monkeypatch, num_images, indices):
    asked = []
    batch = validation.batch
    monkeypatch.setattr(validation, "batch", lambda indices: asked.append(list(indices)) or batch(indices))
    drive(Pictures(folder=folder, validation=validation, epochs=[0, 1], num_images=num_images), [{}])
    assert asked == [list(indices)] * 2


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_a_run_leaves_pictures(finished_run, strategy):
    folder = finished_run(strategy).folder
    assert written(folder) == ["epoch_000.png", "epoch_001.png", "epoch_002.png"]
    assert (folder.predictions / "epoch_000.png").read_bytes() != (folder.predictions / "epoch_002.png").read_bytes()
