"""Labels for images of any size, by a network whose answer is known: the brightest channel is the class."""

import numpy as np
import pytest

RESIZES = ["stretch", "crop_square", "letterbox"]
SIZES = [(1, 1), (1, 300), (300, 1), (37, 53), (53, 37), (24, 24), (24, 36), (480, 100), (99, 1000)]
NETWORK = (24, 36)


def brightest_channel(images):
    return images / 255


def tells_the_padding(images):
    """Class 1 everywhere where the mean of the whole image is above 150, else class 0."""
    from keras import ops

    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True) + 0 * images[..., :1]
    return ops.concatenate([150 + 0 * mean, mean], axis=-1)


@pytest.fixture(scope="session")
def make_predictor(make_run):
    """Returns a function that makes the predictor of a run that ended with a network."""
    from segtrain.prediction.predictor import Predictor

    def make(image_size, resize, network=brightest_channel, **options):
        return Predictor(make_run(image_size, None if resize == "not told" else resize, network), **options)

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


# What one image is to others


def random_image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def softmax(logits):
    exponentials = np.exp(logits.astype(np.float64))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def network_of(run):
    """Returns the run's network as a function of one image to logits `(height, width, classes)`."""
    import keras

    model = keras.saving.load_model(run.best_model)
    return lambda image: keras.ops.convert_to_numpy(model(image[None].astype("float32")))[0]


def test_a_batch_of_all_sizes_is_what_each_image_is(convolution):
    from segtrain.prediction.predictor import Predictor

    predictor = Predictor(convolution)
    images = [random_image(*size, seed) for seed, size in enumerate([(20, 31), (9, 40), (20, 31), (31, 20), (9, 40)])]
    seen = []
    network = predictor._network
    predictor._network = lambda images: seen.append(images.shape[:3]) or network(images)
    together = predictor.predict_batch(images)
    assert sorted(seen) == [(1, 31, 20), (2, 9, 40), (2, 20, 31)]
    assert len(together) == 5
    for image, labels in zip(images, together, strict=True):
        np.testing.assert_array_equal(labels, predictor.predict(image))


@pytest.mark.parametrize("resize", RESIZES)
def test_a_batch_is_what_each_image_is_where_they_are_resized(make_predictor, resize):
    predictor = make_predictor(NETWORK, resize)
    images = [random_image(*size, seed) for seed, size in enumerate([size for size in SIZES if min(size) > 1])]
    for image, labels in zip(images, predictor.predict_batch(images), strict=True):
        np.testing.assert_array_equal(labels, predictor.predict(image))


# Probabilities


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tta": ["flip"]},
        {"tta": ["flip", "scales"]},
        {"sliding_window": (16, 20)},
        {"sliding_window": (16, 20), "tta": ["flip"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("image_size", [None, NETWORK])
def test_probabilities_add_up_to_one_and_tell_the_labels(convolution, options, image_size):
    from segtrain.prediction.predictor import Predictor

    predictor, image = Predictor(convolution, **options), random_image(37, 53)
    predictor._image_size = image_size
    probabilities = predictor.probabilities(image)
    assert (probabilities.shape, probabilities.dtype) == ((37, 53, 3), np.float32)
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)
    labels = predictor.predict(image)
    assert len(np.unique(labels)) == 3
    np.testing.assert_array_equal(labels, probabilities.argmax(axis=-1))


def test_a_band_of_rows_is_that_of_the_whole(convolution, monkeypatch):
    from segtrain.prediction import row_bands
    from segtrain.prediction.predictor import Predictor

    predictor, image = Predictor(convolution, tta=["flip"]), random_image(37, 53)
    predictor._image_size = NETWORK
    labels, probabilities = predictor.predict(image), predictor.probabilities(image)
    monkeypatch.setattr(row_bands, "MOST_VALUES", 53 * 3 * 5)
    assert [len(band) for band in predictor.probability_bands(image)] == [5] * 7 + [2]
    np.testing.assert_allclose(predictor.probabilities(image), probabilities, atol=1e-6)
    np.testing.assert_array_equal(predictor.predict(image), labels)


# Test-time augmentation


def test_flipping_averages_with_the_mirror_image(convolution):
    from segtrain.prediction.predictor import Predictor

    image, network = random_image(20, 31), network_of(convolution)
    expected = (softmax(network(image)) + softmax(network(image[:, ::-1]))[:, ::-1]) / 2
    assert np.abs(expected - softmax(network(image))).max() > 0.1
    found = Predictor(convolution, tta=["flip"]).probabilities(image)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(
        found, Predictor(convolution, tta=["flip"]).probabilities(image[:, ::-1])[:, ::-1], atol=1e-5
    )


def test_scales_average_with_smaller_and_larger(convolution):
    """By hand: OpenCV's resizing there and TensorFlow's back."""
    import cv2
    import tensorflow as tf

    from segtrain.prediction.predictor import Predictor

    image, network, expected = random_image(20, 32), network_of(convolution), 0
    for height, width, way in ((15, 24, cv2.INTER_AREA), (20, 32, None), (25, 40, cv2.INTER_LINEAR)):
        seen = image if way is None else cv2.resize(image, (width, height), interpolation=way)
        for mirrored in (False, True):
            logits = network(seen[:, ::-1])[:, ::-1] if mirrored else network(seen)
            expected = expected + softmax(tf.image.resize(logits, (20, 32)).numpy()) / 6
    found = Predictor(convolution, tta=["scales", "flip"]).probabilities(image)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("resize", RESIZES)
def test_augmented_stripes_land_where_they_are(make_predictor, resize):
    """Mirrored and scaled, and letterboxed off the middle by a row: away from the edges all views agree."""
    labels, image = stripes((53, 37), 1)
    predicted = make_predictor(NETWORK, resize, tta=["flip", "scales"]).predict(image)
    shrunk = [own / network for own, network in zip((53, 37), NETWORK, strict=True)]
    pixel = max(shrunk) / 0.75
    distance = np.abs(np.arange(37)[:, None] + 0.5 - np.array([0.2, 0.6]) * 37).min(axis=1)
    far = np.flatnonzero(distance > max(1, pixel) + 0.5)
    assert len(far) >= 8
    np.testing.assert_array_equal(predicted[:, far], labels[:, far])


# Logits of a smaller size than the image's


@pytest.mark.parametrize("options", [{}, {"tta": ["flip", "scales"]}, {"sliding_window": (16, 18)}])
@pytest.mark.parametrize(("image_size", "resize"), [(None, None), (NETWORK, "letterbox"), (NETWORK, "crop_square")])
@pytest.mark.parametrize("stride", [2, 4])
def test_fewer_logits_are_first_brought_to_the_size_that_the_network_saw(make_run, image_size, resize, options, stride):
    """The same as of a network that enlarges them itself, at sizes that the stride does not divide too."""
    import keras

    from segtrain.layers import BilinearUpSampling2D, CropToReference2D
    from segtrain.prediction.predictor import Predictor

    def fewer(images):
        return keras.layers.AveragePooling2D(stride, padding="same")(images / 16)

    def enlarging(images):
        return CropToReference2D()(BilinearUpSampling2D(stride)(fewer(images)), images)

    ours, theirs = (Predictor(make_run(image_size, resize, network), **options) for network in (fewer, enlarging))
    for size in [(37, 53), (48, 80)]:
        found, expected = (predictor.probabilities(random_image(*size)) for predictor in (ours, theirs))
        assert found.shape == (*size, 3)
        assert np.ptp(expected) > 0.3
        np.testing.assert_allclose(found, expected, atol=1e-6)
        np.testing.assert_array_equal(ours.predict(random_image(*size)), theirs.predict(random_image(*size)))


# Sliding windows


@pytest.mark.parametrize("window", [(16, 16), (7, 60), (200, 200), (1, 1)])
@pytest.mark.parametrize("overlap", [0, 0.5, 0.8])
@pytest.mark.parametrize("tta", [[], ["flip"]])
def test_a_network_that_sees_one_pixel_says_the_same_of_tiles(bright_run, window, overlap, tta):
    from segtrain.prediction.predictor import Predictor

    image = random_image(37, 53)
    predictor = Predictor(bright_run, sliding_window=window, overlap=overlap, tta=tta)
    np.testing.assert_array_equal(predictor.predict(image), image.argmax(axis=-1))
    whole = Predictor(bright_run).probabilities(image)
    np.testing.assert_allclose(predictor.probabilities(image), whole, atol=1e-6)


def test_tiles_leave_no_seams(convolution):
    """A tile's border is wrong, since it does not see what is around it; blended, that shows nowhere.

    The overlap that hides it is compared with none, which has a jump at each seam.
    """
    from segtrain.prediction.predictor import Predictor

    image = random_image(96, 160)
    whole = Predictor(convolution).probabilities(image)
    seams, worst = np.arange(32, 160, 32), {}
    for overlap in (0, 0.5):
        tiled = Predictor(convolution, sliding_window=(32, 32), overlap=overlap).probabilities(image)
        error = tiled - whole
        # How much more the tiled answer changes from one column to the next than the whole one does.
        jumps = np.abs(np.diff(error, axis=1)).mean(axis=(0, 2))
        is_seam = np.isin(np.arange(1, 160), seams)
        worst[overlap] = jumps[is_seam].mean(), jumps[~is_seam].mean()
        if overlap == 0:
            inner = np.s_[36:60, 36:60]  # of the tile at 32, 32: 4 pixels from its border all is seen
            np.testing.assert_allclose(tiled[inner], whole[inner], atol=1e-5)
    assert worst[0][0] > 3 * worst[0][1]
    assert worst[0.5][0] < 1.5 * worst[0.5][1]
    assert worst[0.5][0] < 0.2 * worst[0][0]


def test_the_middle_of_a_tile_that_others_do_not_reach_is_exact(convolution):
    from segtrain.prediction.predictor import Predictor

    image = random_image(64, 64)
    whole = Predictor(convolution).probabilities(image)
    tiled = Predictor(convolution, sliding_window=(40, 40), overlap=0.4).probabilities(image)
    np.testing.assert_allclose(tiled[:24, :24], whole[:24, :24], atol=1e-5)
    assert np.abs(tiled - whole).max() > 1e-3


def test_tiles_are_seen_as_they_are(make_predictor):
    """Not at the size that the run's images were brought to."""
    image = random_image(60, 80)
    predictor = make_predictor(NETWORK, "letterbox", sliding_window=(30, 30))
    np.testing.assert_array_equal(predictor.predict(image), image.argmax(axis=-1))


# What is no image, and no way to see one


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (np.zeros((4, 4, 3)), TypeError, "uint8 with values 0..255. Received float64"),
        ([[1]], TypeError, "Received list"),
        ("photo.jpg", TypeError, "Received str"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, r"\(height, width, 3\). Received \(4, 4, 4\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), ValueError, r"Received \(1, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, r"Received \(0, 4, 3\)"),
        (np.zeros(4, np.uint8), ValueError, r"Received \(4,\)"),
    ],
)
def test_what_is_no_image_is_told(bright_run, image, error, words):
    from segtrain.prediction.predictor import Predictor

    with pytest.raises(error, match=words):
        Predictor(bright_run).predict(image)


def test_a_grey_image_is_read_as_its_file_is(bright_run, make_run, tmp_path):
    from PIL import Image

    from segtrain.datasets.image_files import read_image
    from segtrain.prediction.predictor import Predictor

    grey = random_image(9, 13)[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    predictor = Predictor(bright_run)
    of_file = predictor.probabilities(read_image(tmp_path / "grey.png"))
    for image in (grey, grey[..., None]):
        np.testing.assert_array_equal(predictor.probabilities(image), of_file)
    of_grey_run = Predictor(make_run(network=lambda x: x / 255 * np.float32([1, -1, 0.5]), channels=1))
    np.testing.assert_array_equal(of_grey_run.predict(grey), np.zeros_like(grey))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"overlap": 0.95}, "overlap=0.95: has to be a number from 0 to 0.9"),
        ({"overlap": "a"}, "overlap=a: has to be a number from 0 to 0.9"),
        ({"sliding_window": 512}, r"sliding_window=512: has to be \[height, width\]"),
        ({"overlap": -0.1}, "overlap=-0.1"),
        ({"sliding_window": (3,)}, r"sliding_window=\(3,\): has to be \[height, width\]"),
        ({"sliding_window": (0, 3)}, "sliding_window"),
        ({"tta": ["flop"]}, "tta"),
    ],
)
def test_what_is_no_way_to_see_is_told(bright_run, options, words):
    from segtrain.prediction.predictor import Predictor

    with pytest.raises(ValueError, match=words):
        Predictor(bright_run, **options)


def test_a_network_that_cannot_see_an_image_says_its_size(make_run):
    import keras

    from segtrain.prediction.predictor import Predictor

    shrinking = Predictor(make_run(network=lambda images: keras.layers.Conv2D(3, 8)(images)))
    with pytest.raises(ValueError, match="cannot see 5x20 pixels .height x width.: [A-Z]"):
        shrinking.predict(random_image(5, 20))
