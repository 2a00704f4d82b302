"""Every augmentation config that is shipped, on random scenes, through the samples of a run."""

import shutil
import subprocess
import sys

import albumentations
import cv2
import hydra
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image

from segtrain.augmentations.augmentation import Augmentation
from segtrain.command.composition import config_folder
from segtrain.datasets.dataset import SegmentationDataset
from segtrain.datasets.file_pairs import FilePairs
from segtrain.instantiate import build
from segtrain.pipeline.samples import Samples

OPTIONS = sorted(path.stem for path in (config_folder() / "augmentation").glob("*.yaml"))
CHANGING_COLOURS = {"photometric", "strong", "domain_aerial"}
FOR_THREE_CHANNELS = {"photometric": "ColorJitter", "strong": "ColorJitter"}  # or one, of which they leave the hue
SIZE = (40, 56)
VOID = 255
CLASSES = 5
# Far from each other, and in the middle of the range, so that brighter ones still differ. Void is black, as the pixels
# are that come in from outside.
COLOURS = np.zeros((256, 3), np.uint8)
COLOURS[:CLASSES] = (60, 70, 60), (180, 60, 70), (60, 160, 70), (70, 60, 190), (170, 170, 150)


def option(name):
    """Returns the option as a run has it."""
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = hydra.compose("config", [f"augmentation={name}", f"image_size=[{SIZE[0]},{SIZE[1]}]"])
    return OmegaConf.to_container(config.augmentation, resolve=True)


@pytest.fixture(scope="module")
def dataset_of(tmp_path_factory):
    """Returns a function that makes a dataset of one image and mask, in PNG files."""
    folder = tmp_path_factory.mktemp("scene")

    def dataset_of(image, labels, resize="stretch"):
        channels = image.shape[2]
        Image.fromarray(image[..., 0] if channels == 1 else image).save(folder / "scene.png", compress_level=1)
        Image.fromarray(labels).save(folder / "scene_mask.png", compress_level=1)
        return SegmentationDataset(
            name="scene",
            splits={"train": FilePairs(folder, folder, [("scene.png", "scene_mask.png")], channels=channels)},
            class_names=[f"class_{class_id}" for class_id in range(CLASSES)],
            ignore_label=VOID,
            palette=COLOURS[:CLASSES].tolist(),
            channels=channels,
            cache="none",
            resize=resize,
        )

    return dataset_of


@pytest.fixture(scope="module")
def samples_of(dataset_of):
    """Returns a function that makes the samples of one mask, whose image has a colour for each label."""

    def samples_of(labels, augmentation, channels, seed=1, resize="stretch"):
        dataset = dataset_of(np.tile(COLOURS, 2)[:, :channels][labels], labels, resize)
        return Samples(dataset, "train", image_size=SIZE, augmentation=augmentation, seed=seed)

    return samples_of


def draw_scene(rng, height, width):
    """Returns labels of class 0 with ellipses and bars of any class, and of void, over it."""
    labels = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(1, 9)):
        label = int(rng.choice([*range(CLASSES), VOID]))
        centre = rng.integers(0, (width, height)).tolist()
        half = rng.integers(3, (width // 3, height // 3)).tolist()
        if rng.random() < 0.5:
            cv2.ellipse(labels, centre, half, float(rng.uniform(0, 360)), 0, 360, label, -1)
        else:
            cv2.rectangle(labels, centre, (centre[0] + half[0], centre[1] + half[1]), label, -1)
    return labels


def share_that_tells_its_label(image, labels):
    """Returns how many pixels away from edges look most like the middle one of their own class.

    Colours that all change alike still tell classes apart, and noise and holes are few. Equals 1 where one class is
    left alone.
    """
    inner = np.zeros(labels.shape, bool)
    middle = {}
    for label in range(CLASSES):
        of_label = cv2.erode((labels == label).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        if of_label.any():
            inner |= of_label
            middle[label] = np.median(image[of_label].astype(float), axis=0)
    if not middle:
        return 1.0
    distances = np.abs(image[inner].astype(float)[:, None] - np.stack(list(middle.values()))).sum(axis=2)
    return (np.array(list(middle))[distances.argmin(axis=1)] == labels[inner]).mean()


def takes(name, channels):
    return channels in (1, 3) or name not in FOR_THREE_CHANNELS


CASES = [(name, channels) for name in OPTIONS for channels in (1, 3, 4) if takes(name, channels)]


def test_all_options_are_looked_at():
    assert len(OPTIONS) == 8
    assert len(CASES) == 8 * 3 - 2


@pytest.mark.parametrize("resize", ["stretch", "crop_square", "letterbox"])
@pytest.mark.parametrize(("name", "channels"), CASES)
def test_samples_stay_samples(samples_of, name, channels, resize):
    """From the files to what the network sees: decoded, brought to size, augmented."""
    augmentation = build(option(name), ignore_label=VOID, channels=channels)
    shares, kept = [], []

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(
        scene=st.integers(0, 2**32 - 1),
        height=st.integers(40, 100),
        width=st.integers(40, 140),
        epoch=st.integers(0, 1000),
    )
    def check(scene, height, width, epoch):
        labels = draw_scene(np.random.default_rng(scene), height, width)
        samples = samples_of(labels, augmentation, channels, resize=resize)
        image, new_labels = samples.augmented(0, epoch)
        assert image.shape == (*SIZE, channels)
        assert new_labels.shape == SIZE
        assert image.dtype == new_labels.dtype == np.uint8
        assert set(np.unique(new_labels)) <= {*np.unique(labels), VOID}
        # Of another object, and in a batch: a sample is a function of seed, epoch and index.
        images, masks = samples_of(labels, augmentation, channels, resize=resize).batch([0], epoch=epoch)
        np.testing.assert_array_equal(images[0], image)
        np.testing.assert_array_equal(masks[0], new_labels)
        shares.append(share_that_tells_its_label(image, new_labels))
        of_class = cv2.erode((new_labels < CLASSES).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        kept.append(
            (np.abs(image[..., :3].astype(int) - COLOURS[new_labels, : min(channels, 3)]).max(axis=2) <= 3)[of_class]
        )

    check()
    assert len(shares) >= 25
    assert np.mean(shares) > (0.9 if name == "strong" else 0.95)
    # Edges between two classes take a share of the scene.
    assert name in CHANGING_COLOURS or np.concatenate(kept).mean() > 0.8


def test_the_comparison_notices_a_mask_that_went_elsewhere():
    shares = {"together": [], "apart": []}
    for seed in range(20):
        labels = draw_scene(np.random.default_rng(seed), *SIZE)
        shares["together"].append(share_that_tells_its_label(COLOURS[labels], labels))
        shares["apart"].append(share_that_tells_its_label(COLOURS[labels], labels[:, ::-1]))
    assert np.mean(shares["together"]) == 1
    assert np.mean(shares["apart"]) < 0.85


def still(name):
    """Returns the option without what covers or blurs objects and so hides where they are."""
    described = option(name)
    transforms = {key: part for key, part in described["transforms"].items() if key not in ("blur_or_noise", "dropout")}
    return build(described | {"transforms": transforms}, ignore_label=VOID, channels=3)


def middle_of(weights):
    """Returns the mean `(row, column)`, weighed."""
    return np.array([(weights * place).sum() / weights.sum() for place in np.indices(weights.shape)])


@pytest.mark.parametrize("shrink", [10, 2.5, 1, 0.6])
@pytest.mark.parametrize("name", OPTIONS)
def test_masks_lie_on_their_images_to_a_tenth_of_a_pixel(dataset_of, name, shrink):
    """The middle of a white disc, and that of its mask, whatever the image's size is to the network's."""
    rng, height, width = np.random.default_rng(0), round(SIZE[0] * shrink), round(SIZE[1] * shrink)
    augmentation, offsets = still(name), []
    for epoch in range(120):
        centre = rng.uniform(0.3, 0.7, 2) * (height, width)
        rows, columns = np.indices((height, width)) + 0.5
        labels = (np.hypot(rows - centre[0], columns - centre[1]) < 0.2 * height).astype(np.uint8)
        image = labels[..., None].repeat(3, axis=2) * np.uint8(200)
        source = dataset_of(image, labels)
        image, labels = Samples(source, "train", image_size=SIZE, augmentation=augmentation).augmented(0, epoch)
        disc = image.sum(axis=2, dtype=float)
        disc -= disc.min()
        on_rim = max(disc[[0, -1]].max(), disc[:, [0, -1]].max()) > 0
        if disc.any() and not on_rim:  # where it is, and not cut
            offsets.append(middle_of(labels == 1) - middle_of(disc))
    assert len(offsets) > 30
    assert np.abs(np.mean(offsets, axis=0)).max() < 0.1


@pytest.mark.parametrize("name", OPTIONS)
def test_pixels_are_averaged_where_they_shrink(dataset_of, name):
    """Noise of ten by ten pixels for one keeps about a tenth of its deviation, as it does in validation."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[0] * 10, SIZE[1] * 10, 3), np.uint8)
    source = dataset_of(noise, np.zeros(noise.shape[:2], np.uint8))
    samples = Samples(source, "train", image_size=SIZE, augmentation=still(name))
    plain = samples.at_network_size(0)[0].std()
    assert plain == pytest.approx(noise.std() / 10, rel=0.05)
    drawn = [samples.augmented(0, epoch) for epoch in range(10)]
    deviations = [image[labels != VOID].std() for image, labels in drawn]
    assert 0.5 * plain < np.mean(deviations) < 2 * plain


@pytest.mark.parametrize("name", OPTIONS)
def test_epochs_differ(samples_of, name):
    labels = draw_scene(np.random.default_rng(3), 60, 80)
    samples = samples_of(labels, build(option(name), ignore_label=VOID, channels=3), 3)
    results = {samples.augmented(0, epoch)[0].tobytes() for epoch in range(16)}
    expected = {"none": 1, "flip": 2}.get(name, 16)
    assert len(results) == expected
    other_seed = samples_of(labels, build(option(name), ignore_label=VOID, channels=3), 3, seed=2)
    others = {other_seed.augmented(0, epoch)[0].tobytes() for epoch in range(16)}
    assert len(results | others) == {"none": 1, "flip": 2}.get(name, 32)


def test_pictures_from_above_have_each_of_the_8_ways_to_lie():
    transforms = {"turn": option("domain_aerial")["transforms"]["turn_and_mirror"]}
    augmentation = build(option("none") | {"transforms": transforms}, ignore_label=VOID)
    labels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    counts = {}
    for index in range(800):
        _, turned = augmentation(COLOURS[labels], labels, key=(0, 0, index))
        counts[turned.tobytes()] = counts.get(turned.tobytes(), 0) + 1
    ways = {np.rot90(each, turns).tobytes() for each in (labels, labels.T) for turns in range(4)}
    assert counts.keys() == ways
    assert len(ways) == 8
    assert min(counts.values()) > 60


def test_r3_rotates_by_up_to_30_degrees_and_outside_is_void():
    transforms = {"rotate": option("r3")["transforms"]["rotate"]}
    augmentation = build(option("none") | {"transforms": transforms}, ignore_label=VOID)
    labels = np.zeros((101, 101), np.uint8)
    labels[48:53] = 1
    angles = []
    for index in range(200):
        image, turned = augmentation(COLOURS[labels], labels, key=(0, 0, index))
        rows, columns = np.nonzero(turned == 1)
        angles.append(np.degrees(np.arctan(np.polyfit(columns, rows, 1)[0])))
        assert (turned[(image == 0).all(axis=2)] == VOID).all()
        assert (turned == VOID).any() == (abs(angles[-1]) > 0.6) or abs(angles[-1]) < 1.5
    assert -31 < min(angles) < -27
    assert 27 < max(angles) < 31


def test_holes_leave_labels_alone():
    whole = option("strong")
    without = whole | {"transforms": {key: part for key, part in whole["transforms"].items() if key != "dropout"}}
    assert len(without["transforms"]) == len(whole["transforms"]) - 1
    whole, without = (build(each, ignore_label=VOID, channels=3) for each in (whole, without))
    labels = draw_scene(np.random.default_rng(0), 60, 80)
    holes = []
    for index in range(60):
        (image, mask), (plain, plain_mask) = (
            each(COLOURS[labels], labels, key=(0, 0, index)) for each in (whole, without)
        )
        np.testing.assert_array_equal(mask, plain_mask)
        holes.append((image != plain).any(axis=2).mean())
    assert 15 <= np.count_nonzero(holes) <= 45
    assert max(holes) < 0.1


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize(("name", "transform"), FOR_THREE_CHANNELS.items())
def test_a_transform_of_colours_is_refused_for_other_channels_before_training(name, transform, channels):
    with pytest.raises(
        ValueError, match=rf"augmentation\.transforms\.colour: {transform} .* {channels} channels"
    ) as error:
        build(option(name), ignore_label=VOID, channels=channels)
    assert "augmentation=flip_crop" in str(error.value)


def test_a_nested_transform_of_colours_is_refused_too_and_others_are_not():
    of_colour = albumentations.OneOf(
        [albumentations.HorizontalFlip(p=0.5), albumentations.Sequential([albumentations.ToGray(p=0.01)], p=0.1)], p=0.1
    )
    with pytest.raises(ValueError, match=r"transforms\.mine: ToGray .* 4 channels"):
        Augmentation(ignore_label=VOID, transforms={"mine": of_colour}, channels=4)
    Augmentation(ignore_label=VOID, transforms={"mine": of_colour}, channels=3)
    # A part larger than a trial image is no matter of channels.
    Augmentation(ignore_label=VOID, transforms={"crop": albumentations.RandomCrop(512, 512)}, channels=4)


NESTED = "augmentation.transforms.blur_or_noise.transforms=[{_target_: albumentations.GaussianBlur, %s: 3}]"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["augmentation=strong", NESTED % "sigma_limt"],
            [
                "augmentation.transforms.blur_or_noise.transforms.0.sigma_limt",
                "'sigma_limit'",
                "albumentations.GaussianBlur: blur_limit, sigma_limit, p",
            ],
        ),
        (
            ["augmentation=flip", "+augmentation.transforms.flip.probability=0.5"],
            ["augmentation.transforms.flip.probability", "albumentations.HorizontalFlip: p"],
        ),
    ],
    ids=["nested in a list", "added"],
)
def test_a_mistyped_argument_is_told_on_the_command_line(tmp_path, overrides, words):
    command = [sys.executable, "-m", "segtrain", *overrides, f"hydra.run.dir={tmp_path / 'run'}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
