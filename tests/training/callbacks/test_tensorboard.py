"""What TensorBoard reads back: every scalar of every epoch, the config and the pictures."""

import html
import re
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard import plugin_util
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from segtrain.training.callbacks.tensorboard import TensorBoard

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
    read = {
        tag: by_step
        for tag, by_step in events(run, curve).items()
        if tag not in ("predictions", "config") and not tag.startswith("iou/")
    }
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


def test_each_class_has_its_iou(run, shapes_dataset):
    read = {tag: by_step for tag, by_step in events(run, "validation").items() if tag.startswith("iou/")}
    evaluations = run.witness.evaluations
    assert len(evaluations) == 2
    assert not any(tag.startswith("iou/") for tag in events(run, "train"))
    assert sorted(read) == sorted(f"iou/{name}" for name in shapes_dataset.class_names)
    for class_id, name in enumerate(shapes_dataset.class_names):
        expected = {}
        for epoch, evaluation in enumerate(evaluations, start=1):
            matrix = evaluation.confusion_matrix
            both, either = matrix[class_id, class_id], matrix[class_id].sum() + matrix[:, class_id].sum()
            expected[epoch] = pytest.approx(both / (either - both))
        assert {step: float(value) for step, value in read[f"iou/{name}"].items()} == expected


def test_the_config_is_a_block_of_code(run):
    (text,) = events(run, "train")["config"].values()
    shown = plugin_util.markdown_to_safe_html(text.item())
    assert html.unescape(re.fullmatch(r"(?s).*<pre><code>(.*)</code></pre>.*", shown)[1]) == (
        run.folder.config.read_text("utf-8") + "\n"
    )


def test_a_class_that_is_nowhere_has_no_scalar(folder, drive, shapes_dataset):
    ious = np.array([0.5, np.nan, 0.0, 1.0, np.nan])
    evaluator = SimpleNamespace(latest=SimpleNamespace(scores=SimpleNamespace(per_class_iou=ious)))
    board = TensorBoard(folder=folder, validation=SimpleNamespace(dataset=shapes_dataset), evaluator=evaluator)
    drive(board, [{"loss": 1.0}])
    read = events(SimpleNamespace(folder=folder), "validation")
    assert sorted(read) == sorted(f"iou/{shapes_dataset.class_names[class_id]}" for class_id in (0, 2, 3))
