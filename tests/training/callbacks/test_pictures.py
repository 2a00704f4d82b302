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
    read = validation.at_network_size
    monkeypatch.setattr(validation, "at_network_size", lambda index: asked.append(index) or read(index))
    drive(Pictures(folder=folder, validation=validation, epochs=[0, 1], num_images=num_images), [{}])
    assert asked == [*indices] * 2


def test_images_of_their_own_sizes_are_drawn(folder, shapes_of_many_sizes, drive):
    """The network sees class 3 everywhere: of each image a tile has that colour, in the image's aspect ratio."""

    def see_class_3(model, epoch):
        layer = model.get_layer("logits")
        layer.kernel.assign(np.zeros(layer.kernel.shape))
        layer.bias.assign(np.eye(5)[3])

    validation = Samples(shapes_of_many_sizes, "val", image_size=None)
    drive(Pictures(folder=folder, validation=validation, epochs=[1], num_images=9), [{}], see_class_3)
    with Image.open(folder.predictions / "epoch_001.png") as picture:
        is_class_3 = np.all(np.asarray(picture.convert("RGB")) == validation.dataset.palette[3], axis=-1)
    # The third of four tiles a row, each of 40x64 (what all images fit in) enlarged four times, 160x256.
    column = is_class_3[28:, 2 * 264 + 8 : 3 * 264]
    rows = np.split(column[: 5 * 188], 5)
    shown = [(int(row.any(axis=1).sum()), int(row.any(axis=0).sum())) for row in rows]
    assert shown == [(140, 256), (160, 64), (160, 160), (64, 256), (160, 147)]
    assert all(row.sum() == height * width for row, (height, width) in zip(rows, shown, strict=True))


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_a_run_leaves_pictures(finished_run, strategy):
    folder = finished_run(strategy).folder
    assert written(folder) == ["epoch_000.png", "epoch_001.png", "epoch_002.png"]
    assert (folder.predictions / "epoch_000.png").read_bytes() != (folder.predictions / "epoch_002.png").read_bytes()
