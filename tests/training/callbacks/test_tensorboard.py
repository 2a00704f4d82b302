"""What TensorBoard reads back: every scalar of every epoch, and the pictures."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TIMINGS = ["learning_rate", "images_per_second", "data_wait", "seconds"]


@pytest.fixture(scope="module", params=["one", "mirrored"])
def run(request, finished_run):
    return finished_run(request.param)


def events(run, curve):
    accumulator = EventAccumulator(str(run.folder.tensorboard / curve), size_guidance={"tensors": 0})
    accumulator.Reload()
    return {
        tag: {event.step: tf.make_ndarray(event.tensor_proto) for event in accumulator.Tensors(tag)}
        for tag in accumulator.Tags()["tensors"]
    }


@pytest.mark.parametrize(
    ("curve", "prefix", "names"),
    [
        ("train", "", ["loss", "pixel_accuracy", "mean_iou", *TIMINGS]),
        ("validation", "val_", ["loss", "pixel_accuracy", "mean_iou"]),
    ],
)
def test_scalars_stand_under_one_name_for_training_and_validation(run, curve, prefix, names):
    read = {tag: by_step for tag, by_step in events(run, curve).items() if tag != "predictions"}
    assert sorted(read) == sorted(names)
    for name in names:
        expected = {epoch["epoch"]: pytest.approx(epoch[prefix + name]) for epoch in run.history}
        assert {step: float(value) for step, value in read[name].items()} == expected


def test_pictures_are_those_of_the_folder(run):
    pictures = events(run, "validation")["predictions"]
    assert sorted(pictures) == [0, 1, 2]
    for epoch, (_, _, encoded) in pictures.items():
        with Image.open(run.folder.predictions / f"epoch_{epoch:03d}.png") as picture:
            np.testing.assert_array_equal(tf.io.decode_png(encoded).numpy(), np.asarray(picture.convert("RGB")))
