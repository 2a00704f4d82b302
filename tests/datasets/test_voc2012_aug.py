import shutil

import numpy as np
import pytest
from PIL import Image

from segtrain.datasets.voc2012 import build_voc2012
from segtrain.datasets.voc2012_aug import build_voc2012_aug

ADDED = ["2008_900001", "2010_900002"]


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGTRAIN_DATA", str(tmp_path / "data"))


@pytest.fixture
def devkit(tmp_path, write_devkit):
    """With two images that no list of VOC's has: those that SBD has masks for."""
    devkit = write_devkit(tmp_path)
    for image_id in ADDED:
        pixels = np.random.default_rng(7).integers(0, 256, (31, 43, 3), np.uint8)
        Image.fromarray(pixels).save(devkit.folder / "VOC2012" / "JPEGImages" / f"{image_id}.jpg")
    return devkit


@pytest.fixture
def masks(tmp_path, devkit):
    """Masks for all images, those for validation too, as they are passed around; grey, and unlike VOC's own."""
    folder = tmp_path / "SegmentationClassAug"
    folder.mkdir()
    written = {image_id: np.full_like(mask, 5) for of in devkit.masks.values() for image_id, mask in of.items()}
    written |= {image_id: np.full((31, 43), 9, np.uint8) for image_id in ADDED}
    for image_id, mask in written.items():
        mask[3:5] = 255
        Image.fromarray(mask).save(folder / f"{image_id}.png")
    return folder, written


def read_all(dataset, split):
    of_split = dataset.split(split)
    return {of_split.name(index): dataset.read(split, index)[1] for index in range(len(of_split))}


def require_masks(found, written):
    assert list(found) == list(written)
    for image_id, mask in written.items():
        np.testing.assert_array_equal(found[image_id], mask)


@pytest.mark.parametrize("packed", [False, True])
def test_without_a_list_all_masks_count_but_those_for_validation(tmp_path, devkit, masks, packed, capsys):
    folder, written = masks
    archive = devkit.pack(tmp_path / "a.tar") if packed else devkit.folder
    dataset = build_voc2012_aug(mask_folder=str(folder), archive=str(archive))
    wanted = sorted({*devkit.masks["train"], *ADDED})
    require_masks(read_all(dataset, "train"), {image_id: written[image_id] for image_id in wanted})
    require_masks(read_all(dataset, "val"), devkit.masks["val"])
    assert (dataset.num_classes, dataset.ignore_label, len(dataset.palette)) == (21, 255, 21)
    dataset.check()
    assert (
        "voc2012_aug has 7 images to train and 3 to validate; published are 10582 and 1449" in capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["train_aug.txt", "trainaug.txt"])
@pytest.mark.parametrize("place", ["SegmentationClassAug", ".", "VOCdevkit/VOC2012/ImageSets/Segmentation"])
@pytest.mark.parametrize("line", ["{id}", "/JPEGImages/{id}.jpg /SegmentationClassAug/{id}.png"])
def test_a_list_chooses(tmp_path, devkit, masks, name, place, line):
    folder, written = masks
    wanted = [ADDED[1], *list(devkit.masks["train"])[:2]]
    (tmp_path / place / name).write_text("".join(line.format(id=image_id) + "\n" for image_id in wanted))
    dataset = build_voc2012_aug(mask_folder=str(folder), archive=str(devkit.folder))
    require_masks(read_all(dataset, "train"), {image_id: written[image_id] for image_id in wanted})


def test_it_is_kept_apart_from_voc2012_and_from_other_masks(tmp_path, devkit, masks):
    folder, written = masks
    image_id = sorted(devkit.masks["train"])[0]

    def label():
        dataset = build_voc2012_aug(mask_folder=str(folder), archive=str(devkit.folder))
        return int(read_all(dataset, "train")[image_id][0, 0])

    assert label() == 5
    np.testing.assert_array_equal(
        read_all(build_voc2012(archive=str(devkit.folder)), "train")[image_id], devkit.masks["train"][image_id]
    )
    Image.fromarray(np.full_like(written[image_id], 6)).save(folder / f"{image_id}.png")
    assert label() == 6
    (tmp_path / "train_aug.txt").write_text(f"{image_id}\n")
    dataset = build_voc2012_aug(mask_folder=str(folder), archive=str(devkit.folder))
    assert list(read_all(dataset, "train")) == [image_id]


def test_what_is_wrong_is_told(tmp_path, devkit, masks):
    folder, _ = masks

    def refused(told):
        with pytest.raises(ValueError, match=told):
            build_voc2012_aug(mask_folder=str(folder), archive=str(devkit.folder))

    validated = list(devkit.masks["val"])[0]
    listing = tmp_path / "train_aug.txt"
    listing.write_text(f"{ADDED[0]}\n{validated}\n")
    refused(f"{validated} is for training and for validation")
    listing.write_text(f"{ADDED[0]}\n2011_000000\n")
    refused(r"2011_000000\.jpg is listed and missing \(2 of the 4")
    listing.write_text(f"{ADDED[0]}\n")
    (folder / f"{ADDED[0]}.png").rename(folder / f"{ADDED[0]}.mat")
    refused(rf"SegmentationClassAug/{ADDED[0]}\.png is listed and missing")
    listing.unlink()
    for path in folder.glob("*.png"):
        path.unlink()
    refused(r"SegmentationClassAug has no masks: PNGs of class ids.*SBD's own \.mat files are not read")
    shutil.rmtree(folder)
    refused("SegmentationClassAug has to be a folder of PNGs")
