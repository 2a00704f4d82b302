"""Labels for images of any size, by a network whose answer is known: the brightest channel is the class."""

import json

import numpy as np
import pytest

from segtrain.run_folder import RunFolder

RESIZES = ["stretch", "crop_square", "letterbox"]
SIZES = [(1, 1), (1, 300), (300, 1), (37, 53), (53, 37), (24, 24), (24, 36), (480, 100), (99, 1000)]
NETWORK = (24, 36)


@pytest.fixture(autouse=True, scope="module")
def _devices(two_devices):
    """TensorFlow's devices cannot be changed once it is in use, and other rooms need two."""


def brightest_channel(images):
    return images / 255


def tells_the_padding(images):
    """Class 1 everywhere where the mean of the whole image is above 150, else class 0."""
    from keras import ops

    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True) + 0 * images[..., :1]
    return ops.concatenate([150 + 0 * mean, mean], axis=-1)


@pytest.fixture(scope="module")
def make_predictor(tmp_path_factory):
    """Returns a function that makes the predictor of a run that ended with a network."""
    import keras

    from segtrain.prediction.predictor import Predictor

    def make(image_size, resize, network=brightest_channel):
        images = keras.Input((None, None, 3))
        run = RunFolder(tmp_path_factory.mktemp("run"))
        run.best_model.parent.mkdir()
        keras.Model(images, network(images)).save(run.best_model)
        facts = {"dataset": {"palette": [[0, 0, 0]] * 3}, "image_size": image_size}
        facts |= {} if resize == "not told" else {"resize": resize}
        run.results.write_text(json.dumps(facts), encoding="utf-8")
        return Predictor(run)

    return make


def stripes(size, axis):
    """Returns labels 2, 1, 2 in stripes along an axis, a fifth and two fifths of the way, and their image."""
    height, width = size
    place = np.arange(size[axis]) / size[axis]
    line = np.where((place >= 0.2) & (place < 0.6), 1, 2)
    labels = np.broadcast_to(line[:, None] if axis == 0 else line, (height, width))
    return labels, np.uint8([(0, 0, 0), (30, 200, 0), (0, 30, 200)])[labels]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resize", [*RESIZES, "not told"])
def test_an_image_of_one_class_has_it_everywhere(make_predictor, resize, size):
    """To its last row and column: the padding, which is of class 0 to the network, is cut off."""
    predicted = make_predictor(NETWORK, resize).predict(np.full((*size, 3), (30, 0, 200), np.uint8))
    assert (predicted.shape, predicted.dtype) == (size, np.uint8)
    assert (predicted == 2).all()


def scale_of_squares(size):
    """Returns how many pixels of an image make one where its largest part of the network's shape fills the network."""
    shrunk = [own / network for own, network in zip(size, NETWORK, strict=True)]
    return max(min(shrunk), (shrunk[0] * shrunk[1] / 16) ** 0.5)


@pytest.mark.parametrize("size", [size for size in SIZES if min(size) > 1])
@pytest.mark.parametrize("axis", [0, 1], ids=["rows", "columns"])
@pytest.mark.parametrize("resize", RESIZES)
def test_stripes_land_where_they_are(make_predictor, resize, size, axis):
    """But for a pixel of the network's to either side of an edge, whose size depends on how the image reached it."""
    labels, image = stripes(size, axis)
    predicted = make_predictor(NETWORK, resize).predict(image)
    shrunk = [own / network for own, network in zip(size, NETWORK, strict=True)]
    scale = {"stretch": shrunk[axis], "letterbox": max(shrunk), "crop_square": scale_of_squares(size)}[resize]
    pixel = max(1, scale)
    distance = np.abs(np.arange(size[axis])[:, None] + 0.5 - np.array([0.2, 0.6]) * size[axis]).min(axis=1)
    far = distance > pixel + 0.5
    assert np.count_nonzero(far) >= 8
    np.testing.assert_array_equal(predicted.take(np.flatnonzero(far), axis), labels.take(np.flatnonzero(far), axis))


@pytest.mark.parametrize("size", SIZES)
def test_without_a_size_every_pixel_is_the_networks_own_answer(make_predictor, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    np.testing.assert_array_equal(make_predictor(None, None).predict(image), image.argmax(axis=-1))


def test_images_of_all_sizes_take_one_trace(make_predictor):
    predictor = make_predictor(None, None)
    for size in SIZES:
        predictor.predict(np.zeros((*size, 3), np.uint8))
    assert predictor._logits.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    ("resize", "sees_padding"), [("letterbox", True), ("crop_square", False), ("stretch", False), ("not told", False)]
)
def test_which_runs_see_padded_images(make_predictor, resize, sees_padding):
    """A square of value 200 takes two thirds of 24x36, and the rest is black."""
    predicted = make_predictor(NETWORK, resize, tells_the_padding).predict(np.full((48, 48, 3), 200, np.uint8))
    assert (predicted == (0 if sees_padding else 1)).all()
    assert predicted.shape == (48, 48)


@pytest.mark.parametrize("size", [(48, 240), (240, 72), (48, 72)])
def test_a_run_of_squares_sees_what_it_was_trained_with_and_all_around_it(make_predictor, size):
    """Inside, its labels are those of the part alone; stretched or letterboxed as a whole they would be others."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    predicted = make_predictor(NETWORK, "crop_square").predict(image)
    top, left = (size[0] - 48) // 2, (size[1] - 72) // 2
    part = np.s_[top : top + 48, left : left + 72]
    alone = make_predictor(NETWORK, "stretch").predict(image[part])
    inner = np.s_[2:-2, 2:-2]  # logits are interpolated across the part's edge
    np.testing.assert_array_equal(predicted[part][inner], alone[inner])
    assert len(np.unique(predicted)) == 3
