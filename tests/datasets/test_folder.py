import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.datasets.folder import build_folder

NAMES = [f"photo {number:02d}" for number in range(10)]


@pytest.fixture
def root(tmp_path, write_pairs):
    write_pairs("images", "masks", NAMES)
    return tmp_path


def names_of(dataset, split):
    return [dataset.split(split).name(index) for index in range(len(dataset.split(split)))]


def build(root, **settings):
    """Builds and checks as a run does before it trains."""
    dataset = build_folder(root=str(root), **settings)
    dataset.check()
    return dataset


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".PNG", ".jpg"])
def test_images_of_any_ending_have_their_masks_by_name(tmp_path, write_pairs, suffix):
    written = write_pairs("images", "masks", ["a", "b.1", "ü c"], suffix=suffix)
    dataset = build(tmp_path)
    read = {name: dataset.read(split, i) for split in dataset.splits for i, name in enumerate(names_of(dataset, split))}
    assert read.keys() == written.keys()
    for name, (image, labels) in read.items():
        np.testing.assert_array_equal(labels, written[name][1])
        if suffix.lower() in (".png", ".bmp", ".tif"):  # the others are lossy
            np.testing.assert_array_equal(image, written[name][0])


def test_a_random_split_is_repeatable_disjoint_and_whole(root):
    def drawn(**settings):
        dataset = build_folder(root=str(root), **settings)
        train, val = names_of(dataset, "train"), names_of(dataset, "val")
        assert sorted(train + val) == NAMES
        return val

    assert [len(drawn(val_share=share)) for share in (0.01, 0.2, 0.5, 0.99)] == [1, 2, 5, 9]
    assert drawn(split_seed=3) == drawn(split_seed=3)
    assert len({tuple(drawn(split_seed=seed)) for seed in range(10)}) > 3


@pytest.mark.parametrize("ending", ["", ".png"])
def test_lists_are_the_splits(root, ending):
    wanted = {"train": [NAMES[4], NAMES[0]], "val": [NAMES[7]], "test": [NAMES[1], NAMES[2], NAMES[3]]}
    for split, names in wanted.items():
        (root / f"{split}.txt").write_text("\n".join(f"somewhere/{name}{ending}" for name in names) + "\n\n")
    dataset = build(root)
    assert {split: names_of(dataset, split) for split in dataset.splits} == wanted


def test_classes_are_inferred_up_to_the_highest_label(tmp_path, write_pairs):
    write_pairs("images", "masks", ["a", "b"], labels=(0, 5, 200))
    dataset = build(tmp_path, ignore_label=200)
    assert list(dataset.class_names) == [f"class_{class_id}" for class_id in range(6)]
    assert dataset.ignore_label == 200
    assert len(dataset.palette) == 6


def test_classes_that_are_named_are_taken(root):
    assert build(root, classes=["ground", "cat", "dog"]).class_names == ["ground", "cat", "dog"]


def test_masks_of_zero_and_void_alone_are_refused(tmp_path, write_pairs):
    write_pairs("images", "masks", ["a", "b"], labels=(0, 255))
    with pytest.raises(ValueError, match=r"masks hold no label but 0 and 255"):
        build(tmp_path)


def test_a_palette_mask_is_read_as_indices(root):
    indices = np.arange(48, dtype=np.uint8).reshape(6, 8) % 3
    mask = Image.fromarray(indices, mode="P")
    mask.putpalette([255, 255, 255, 128, 64, 7, 9, 200, 30])
    mask.save(root / "masks" / f"{NAMES[0]}.png")
    (root / "train.txt").write_text(NAMES[0])
    (root / "val.txt").write_text(NAMES[1])
    np.testing.assert_array_equal(build(root).read("train", 0)[1], indices)


def test_images_with_the_same_name_are_refused(root):
    """Else both would have the one mask, and pictures and predictions of one would replace those of the other."""
    shutil.copy(root / "images" / f"{NAMES[0]}.png", root / "images" / f"{NAMES[0]}.bmp")
    with pytest.raises(ValueError, match=NAMES[0]):
        build(root)


# One thing wrong with the data each: what to do to the folder, and what the message has to hold.
def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def replace_mask(root: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(root / "masks" / "photo 03.png")


def jpeg_mask(root: Path) -> None:
    (root / "masks" / "photo 03.png").unlink()
    Image.new("L", (8, 6)).save(root / "masks" / "photo 03.jpg")


def wrong_label(root: Path) -> None:
    pixels = np.zeros((6, 8), np.uint8)
    pixels[4, 5:] = 9, 7, 255
    replace_mask(root, pixels)


MISTAKES = {
    "no root": (shutil.rmtree, ["dataset.root=", "images"]),
    "no images/": (lambda root: shutil.rmtree(root / "images"), ["There is no", "images"]),
    "no masks/": (lambda root: shutil.rmtree(root / "masks"), ["There is no", "masks"]),
    "empty": (lambda root: [path.unlink() for path in (root / "images").iterdir()], ["holds 0 images", ".jpg"]),
    "one image": (lambda root: [path.unlink() for path in (root / "images").glob("*[1-9].png")], ["holds 1 images"]),
    "no mask": (lambda root: (root / "masks" / "photo 03.png").unlink(), ["images/photo 03.png", "no mask"]),
    "JPEG mask": (jpeg_mask, ["masks/photo 03.jpg", "JPEG"]),
    "other size": (lambda root: replace_mask(root, np.zeros((5, 8), np.uint8)), ["photo 03.png", "5x8", "6x8"]),
    "wrong label": (wrong_label, ["masks/photo 03.png", "label 9", "row 4", "column 5", "0..2", "7, 9"]),
    "cut image": (lambda root: cut(root / "images" / "photo 03.png"), ["images/photo 03.png", "cannot be read"]),
    "cut mask": (lambda root: cut(root / "masks" / "photo 03.png"), ["masks/photo 03.png", "cannot be read"]),
    "RGB mask": (lambda root: replace_mask(root, np.zeros((6, 8, 3), np.uint8)), ["masks/photo 03.png", "mode RGB"]),
    "unknown in list": (
        lambda root: [(root / f"{name}.txt").write_text("a\nb") for name in ("train", "val")],
        ["train.txt", "lists a", "2 missing"],
    ),
    "empty list": (lambda root: [(root / f"{name}.txt").touch() for name in ("train", "val")], ["'train' is empty"]),
    "no list for val": (lambda root: (root / "train.txt").write_text("photo 01"), ["train.txt", "no val.txt"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_the_data_are_named(root, mistake):
    damage, named = MISTAKES[mistake]
    damage(root)
    with pytest.raises(ValueError) as error:  # noqa: PT011  (each has its own words, below)
        build(root, classes=["ground", "cat", "dog"])
    for words in named:
        assert words in str(error.value)
