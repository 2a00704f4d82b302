import copy
import random
from concurrent.futures import ThreadPoolExecutor

import albumentations
import cv2
import hydra
import numpy as np
import pytest
import scipy.stats
from omegaconf import OmegaConf

from segtrain.augmentations.augmentation import Augmentation, _PythonRandom
from segtrain.command.composition import config_folder
from segtrain.datasets.shapes import build_shapes
from segtrain.instantiate import build

OPTIONS = sorted(path.stem for path in (config_folder() / "augmentation").glob("*.yaml"))
SIZE = (24, 40)
VOID = 255
COLOURS = np.full((256, 3), 250, np.uint8)
COLOURS[:5] = (60, 60, 60), (180, 60, 60), (60, 180, 60), (60, 60, 180), (160, 160, 60)
BOX = np.ones((3, 3), np.uint8)


def compose_option(name):
    """Returns the option as a run has it."""
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = hydra.compose("config", [f"augmentation={name}", f"image_size=[{SIZE[0]},{SIZE[1]}]"])
    return OmegaConf.to_container(config.augmentation, resolve=True)


def build_option(name):
    return build(compose_option(name), ignore_label=VOID)


def scenes_for(augmentation, count=20):
    """Labels of the size that the augmentation reads, and images that show nothing but the labels' colours."""
    size = (48, 64) if augmentation.reads == "native" else SIZE
    split = build_shapes(num_train=count, num_val=1, height=size[0], width=size[1]).split("train")
    labels = [split.read(index)[1] for index in range(count)]
    return [(COLOURS[mask], mask) for mask in labels]


def test_all_options_are_looked_at():
    assert len(OPTIONS) == 8
    rotating = {"rotate_flip_crop", "r3", "strong", "domain_aerial"}
    assert {"none", "flip", "flip_crop", "photometric"} | rotating == set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_image_and_mask_stay_together(name):
    augmentation = build_option(name)
    changed = inner = agreeing = 0
    for index, (image, labels) in enumerate(scenes_for(augmentation)):
        before = image.copy(), labels.copy()
        new_image, new_labels = augmentation(image, labels, key=(1, 0, index))
        # What came in may be cached, so it has to stay as it is.
        np.testing.assert_array_equal(image, before[0])
        np.testing.assert_array_equal(labels, before[1])
        assert (new_image.shape, new_labels.shape) == ((*SIZE, 3), SIZE)
        assert new_image.dtype == new_labels.dtype == np.uint8
        assert set(np.unique(new_labels)) <= set(np.unique(labels))
        changed += new_image.shape != image.shape or (new_image != image).any()
        # Changes of colour are the same for all pixels of one colour, so each label keeps one colour of its own.
        seen = []
        for label in np.unique(new_labels):
            colours = new_image[cv2.erode((new_labels == label).astype(np.uint8), BOX) > 0].astype(int)
            if len(colours):
                seen.append(tuple(np.median(colours, axis=0)))
                inner += len(colours)
                agreeing += (np.abs(colours - seen[-1]).max(axis=1) <= 3).sum()
        assert len(set(seen)) == len(seen)
    assert inner > 20 * 0.4 * SIZE[0] * SIZE[1]
    # Noise, blur and holes change pixels of one colour differently; test_options.py has a comparison for these.
    assert agreeing / inner > (0.6 if name == "strong" else 0.95)
    crops = {"flip_crop", "photometric", "rotate_flip_crop", "r3", "strong", "domain_aerial"}
    assert changed == {"none": 0, **dict.fromkeys(crops, 20)}.get(name, changed)


def test_a_flip_is_exact():
    augmentation = build_option("flip")
    flipped = 0
    for index, (image, labels) in enumerate(scenes_for(augmentation, 40)):
        new_image, new_labels = augmentation(image, labels, key=(1, 0, index))
        np.testing.assert_array_equal(new_image, COLOURS[new_labels])
        is_flipped = (new_labels == labels[:, ::-1]).all()
        assert is_flipped or (new_labels == labels).all()
        flipped += is_flipped
    assert 10 <= flipped <= 30


@pytest.mark.parametrize("name", ["flip_crop", "photometric", "rotate_flip_crop", "r3", "strong", "domain_aerial"])
def test_a_sample_is_a_function_of_its_key(name):
    """Not of what came before, nor of the thread, nor of anybody's global random state."""
    augmentation = build_option(name)
    scenes = scenes_for(augmentation)
    keys = [(seed, epoch, index) for seed in range(2) for epoch in range(5) for index in range(20)]
    assert len(keys) == 200

    def augment(key):
        return augmentation(*scenes[key[2]], key=key)

    one_by_one = {key: augment(key) for key in keys}
    random.seed(0)
    np.random.seed(0)
    shuffled = [keys[place] for place in np.random.default_rng(0).permutation(200)]
    with ThreadPoolExecutor(4) as threads:
        in_parallel = dict(zip(shuffled, threads.map(augment, shuffled), strict=True))
    augmentation = build_option(name)  # nor of the object
    for key in keys:
        for again in (in_parallel[key], augment(key)):
            np.testing.assert_array_equal(one_by_one[key][0], again[0])
            np.testing.assert_array_equal(one_by_one[key][1], again[1])


def test_every_part_of_the_key_counts():
    augmentation = build_option("flip_crop")
    image, labels = scenes_for(augmentation)[0]
    keys = [(0, 0, 0), *[tuple(value * (place == part) for place in range(3)) for part in range(3) for value in (1, 7)]]
    assert len({augmentation(image, labels, key=key)[0].tobytes() for key in keys}) == len(set(keys)) == 7


FLIPS = {"across": albumentations.HorizontalFlip(p=0.5), "down": albumentations.VerticalFlip(p=0.5)}


@pytest.mark.parametrize(
    "transforms", [FLIPS, {"both": albumentations.Sequential(list(FLIPS.values()), p=1)}], ids=["listed", "nested"]
)
def test_transforms_draw_independently(transforms):
    augmentation = Augmentation(ignore_label=VOID, transforms=transforms)
    labels = np.uint8([[0, 1], [2, 3]])
    corners = [augmentation(COLOURS[labels], labels, key=(0, 0, index))[1][0, 0] for index in range(1000)]
    # The label in the corner tells which of the two happened: none, across, down, both.
    shares = np.bincount(corners, minlength=4) / 1000
    np.testing.assert_allclose(shares, 0.25, atol=0.05)


class Draws(albumentations.ImageOnlyTransform):
    """Appends to the image, a list of pairs, what its NumPy and its Python generator draw."""

    def __init__(self, count):
        super().__init__(p=1.0)
        self.count = count

    def apply(self, img, **params):
        return np.append(img, [(self.random_generator.random(), self.py_random.random()) for _ in range(self.count)], 0)


@pytest.fixture(scope="module")
def draws():
    """Numbers drawn for a grid of keys, float `(seeds, epochs, indices, transforms, draws, generators)`."""
    transforms = {"first": Draws(3), "nested": albumentations.Sequential([Draws(3), Draws(3)], p=1.0), "last": Draws(3)}
    augmentation = Augmentation(ignore_label=VOID, transforms=transforms)
    grid, nothing = (16, 16, 16), (np.zeros((0, 2)), np.zeros((1, 1), np.uint8))
    drawn = [augmentation(*nothing, key=key)[0] for key in np.ndindex(grid)]
    return np.reshape(drawn, (*grid, 4, 3, 2))


def test_numbers_are_uniform(draws):
    """Each transform's, of each generator: 12 thousand in 64 equal bins."""
    assert draws.min() >= 0
    assert draws.max() < 1
    for transform, generator in np.ndindex(4, 2):
        counts, _ = np.histogram(draws[..., transform, :, generator], bins=64, range=(0, 1))
        assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_numbers_of_transforms_generators_and_draws_are_uncorrelated(draws):
    """Over 4096 keys; a generator that repeats another's numbers, or a transform its neighbour's, has 1."""
    series = draws.reshape(4096, -1)
    correlations = np.corrcoef(series, rowvar=False)[np.triu_indices(24, k=1)]
    assert len(correlations) == 276
    assert np.abs(correlations).max() < 5 / np.sqrt(4096)
    assert len(np.unique(series)) == series.size


@pytest.mark.parametrize("part", range(3), ids=["seed", "epoch", "index"])
def test_numbers_of_neighbouring_keys_are_uncorrelated(draws, part):
    along = np.moveaxis(draws, part, 0)
    before, after = along[:-1].reshape(-1, 24), along[1:].reshape(-1, 24)
    correlations = np.corrcoef(before, after, rowvar=False)[:24, 24:]
    assert np.abs(correlations).max() < 5 / np.sqrt(len(before))


def of_every_kind():
    """Transforms of shape and of colour, nested in each way; some draw half a word and leave the rest behind."""
    return [
        albumentations.HorizontalFlip(p=0.5),
        albumentations.Affine(rotate=(-30, 30), scale=(0.8, 1.2), fill_mask=VOID, p=0.5),
        albumentations.OneOf(
            [
                albumentations.GaussNoise(p=0.5),
                albumentations.Sequential(
                    [albumentations.VerticalFlip(p=0.5), albumentations.RandomGamma(p=0.5)], p=0.7
                ),
                albumentations.OneOf([albumentations.Blur(p=1.0), albumentations.InvertImg(p=1.0)], p=0.5),
            ],
            p=0.8,
        ),
        albumentations.SomeOf(
            [albumentations.Transpose(p=0.5), albumentations.HueSaturationValue(p=0.5), albumentations.D4(p=0.5)], n=2
        ),
        albumentations.CoarseDropout(fill_mask=VOID, p=0.5),
        albumentations.Compose([albumentations.RandomCrop(20, 20, p=1.0)]),
    ]


def nodes_of(transform):
    return [transform] + [node for child in getattr(transform, "transforms", []) for node in nodes_of(child)]


def stream_of(number, index):
    """A new generator at the place of the counter that is the sample's in that stream."""
    key = np.random.SeedSequence((3, 1)).generate_state(2, np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, number, index, 0], np.uint64)))


def test_compose_of_the_same_streams_gives_the_same():
    """The slow way: a Compose, and new generators for each transform of each sample, seeded from the key alone."""
    transforms = of_every_kind()
    compose = albumentations.Compose(copy.deepcopy(transforms))
    nodes = [node for transform in compose.transforms for node in nodes_of(transform)]
    assert len(nodes) == 17
    augmentation = Augmentation(
        ignore_label=VOID, transforms={str(number): transform for number, transform in enumerate(transforms)}
    )
    results = set()
    for index, (image, labels) in enumerate(scenes_for(augmentation, 100)):
        for number, node in enumerate(nodes):
            node.random_generator = stream_of(2 * number, index)
            node.py_random = _PythonRandom(stream_of(2 * number + 1, index))
        expected = compose(image=image, mask=labels)
        new_image, new_labels = augmentation(image, labels, key=(3, 1, index))
        np.testing.assert_array_equal(new_image, expected["image"])
        np.testing.assert_array_equal(new_labels, expected["mask"])
        results.add(new_labels.tobytes())
    assert len(results) == 100


def test_pythons_numbers_are_spread_evenly():
    numbers = _PythonRandom(np.random.default_rng(0))
    bits = [numbers.getrandbits(k) for k in (1, 7, 8, 9, 64, 100) for _ in range(200)]
    assert all(0 <= value < 2**k for value, k in zip(bits, np.repeat([1, 7, 8, 9, 64, 100], 200).tolist(), strict=True))
    assert sum(bits[:200]) == pytest.approx(100, abs=30)
    assert {value.bit_length() for value in bits[-200:]} >= {99, 100}
    thrown = np.bincount([numbers.randint(1, 6) for _ in range(6000)], minlength=7)[1:]
    assert scipy.stats.chisquare(thrown).pvalue > 1e-4
    assert scipy.stats.kstest([numbers.gauss(2, 3) for _ in range(2000)], "norm", args=(2, 3)).pvalue > 1e-4
    assert sorted(numbers.sample(range(10), 10)) == list(range(10))


def test_no_number_is_left_over_for_the_next_sample():
    """Python's own generator makes normal numbers in pairs and keeps the second."""

    class Shift(albumentations.ImageOnlyTransform):
        def apply(self, img, **params):
            return np.full_like(img, 128 + 20 * self.py_random.gauss())

    augmentation = Augmentation(ignore_label=VOID, transforms={"shift": Shift(p=1.0)})
    image, labels = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    once = augmentation(image, labels, key=(0, 0, 1))[0]
    augmentation(image, labels, key=(0, 0, 0))
    np.testing.assert_array_equal(augmentation(image, labels, key=(0, 0, 1))[0], once)


TURN = {"rotate": (30, 45), "p": 1.0}


@pytest.mark.parametrize("void", [255, 11])
@pytest.mark.parametrize(
    "make",
    [
        lambda: albumentations.Affine(**TURN),
        lambda: albumentations.Rotate(limit=(30, 45), p=1.0),
        lambda: albumentations.PadIfNeeded(40, 40, p=1.0),
        lambda: albumentations.OneOf([albumentations.Affine(**TURN)], p=1.0),
        lambda: albumentations.Sequential([albumentations.OneOf([albumentations.Affine(**TURN)], p=1.0)], p=1.0),
    ],
    ids=["Affine", "Rotate", "PadIfNeeded", "in OneOf", "in OneOf in Sequential"],
)
def test_what_comes_in_from_outside_is_void(make, void):
    augmentation = Augmentation(ignore_label=void, transforms={"turn": make()})
    image, labels = np.full((32, 32, 3), 200, np.uint8), np.ones((32, 32), np.uint8)
    seen = set()
    for index in range(10):
        new_image, new_labels = augmentation(image, labels, key=(0, 0, index))
        seen |= set(np.unique(new_labels))
        assert (new_labels[(new_image == 0).all(axis=2)] == void).all()
    assert seen == {1, void}


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        ({"_target_": "albumentations.HorizontalFlip", "probability": 0.5}, "'probability'"),
        (
            {"_target_": "albumentations.OneOf", "transforms": [{"_target_": "albumentations.Blur", "blurr": 3}]},
            "'blurr'",
        ),
        ({"_target_": "albumentations.HorizntalFlip"}, "HorizntalFlip"),
    ],
    ids=["argument", "nested argument", "name"],
)
def test_a_mistyped_transform_is_an_error(transform, message):
    option = compose_option("flip") | {"transforms": {"mine": transform}}
    with pytest.raises(ValueError, match=message):
        build(option, ignore_label=VOID)


def test_a_value_that_a_transform_refuses_is_told():
    option = compose_option("flip")
    option["transforms"]["flip"]["p"] = 3
    with pytest.raises(ValueError, match="less than or equal to 1"):
        build(option, ignore_label=VOID)


class CountsCopies(albumentations.HorizontalFlip):
    copies = 0

    def __deepcopy__(self, memo):
        type(self).copies += 1
        return type(self)(p=0.5)


def test_threads_of_tensorflow_do_not_copy_the_transforms_anew(two_devices):
    """They are new threads to Python at every call; a copy takes longer than most transforms."""
    import tensorflow as tf

    augmentation = Augmentation(ignore_label=VOID, transforms={"flip": CountsCopies()})
    image, labels = np.zeros((*SIZE, 3), np.uint8), np.zeros(SIZE, np.uint8)

    def augment(index):
        return augmentation(image, labels, key=(0, 0, int(index)))

    numbers = tf.data.Dataset.range(100)
    augmented = numbers.map(lambda index: tf.numpy_function(augment, [index], [tf.uint8] * 2), num_parallel_calls=4)
    assert len(list(augmented)) == 100
    assert 1 <= CountsCopies.copies <= 4
