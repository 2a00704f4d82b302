import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.datasets.camvid import build_camvid
from segtrain.datasets.folder import build_folder
from segtrain.datasets.problems import BadSampleError
from segtrain.pipeline.samples import Samples

CAMVID = os.environ.get("SEGTRAIN_CAMVID")
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


@pytest.mark.parametrize("ending", ["", ".png"])
def test_lists_tell_names_with_points_apart(tmp_path, write_pairs, ending):
    names = ["scene", "scene.1", "scene.1.png", "scene.2"]
    write_pairs("images", "masks", names)
    (tmp_path / "train.txt").write_text("".join(f"{name}{ending}\n" for name in ("scene.2", "scene", "scene.2")))
    (tmp_path / "val.txt").write_text("scene.1.png.png\n")
    dataset = build(tmp_path)
    assert {split: names_of(dataset, split) for split in dataset.splits} == {
        "train": ["scene.2", "scene"],  # a second mention adds nothing
        "val": ["scene.1.png"],
    }


def test_lists_may_hold_paths_below_the_images(tmp_path, write_pairs):
    """The longest path that is there counts: one name may be in several folders."""
    write_pairs("images", "masks", ["a/x", "b/x", "x", "b/c/y"])
    (tmp_path / "train.txt").write_text("b/x\na/x.png\n/somebody/elses/disk/b/c/y.png\n")
    (tmp_path / "val.txt").write_text("elsewhere\\x.png\n")
    dataset = build(tmp_path)
    assert {split: names_of(dataset, split) for split in dataset.splits} == {
        "train": ["b-x", "a-x", "b-c-y"],
        "val": ["x"],
    }


def test_an_image_in_two_lists_is_refused(root):
    for split, names in {"train": NAMES[:4], "val": NAMES[4:6], "test": NAMES[5:]}.items():
        (root / f"{split}.txt").write_text("\n".join(names))
    with pytest.raises(ValueError, match=rf"val\.txt and test\.txt both list {NAMES[5]}\.png"):
        build(root)


def write_many(root: Path, count: int, *, with_lists: bool) -> None:
    """Writes `count` pairs, all the same image and mask, with names of 24 letters; half of them are for validation."""
    rng = np.random.default_rng(0)
    names = [f"frame_{number:014d}.png" for number in range(count)]
    for folder, pixels in (("images", rng.integers(0, 256, (6, 8, 3))), ("masks", rng.integers(0, 3, (6, 8)))):
        (root / folder).mkdir()
        Image.fromarray(pixels.astype(np.uint8)).save(root / folder / names[0])
        for name in names[1:]:
            os.link(root / folder / names[0], root / folder / name)
    if with_lists:
        order = rng.permutation(names)
        (root / "train.txt").write_text("\n".join(order[: count // 2]))
        (root / "val.txt").write_text("\n".join(order[count // 2 :]))


@pytest.mark.parametrize("with_lists", [False, True], ids=["drawn", "listed"])
def test_a_pair_takes_less_than_200_bytes(tmp_path, with_lists):
    """Of what is left when the dataset is built; building it may take more."""
    count, classes = 20_000, ["ground", "cat", "dog"]
    write_many(tmp_path, count, with_lists=with_lists)
    gc.collect()
    tracemalloc.start()
    try:
        dataset = build_folder(root=str(tmp_path), classes=classes, val_share=0.5)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        shutil.rmtree(tmp_path)  # pytest keeps the folders of three sessions
    letters = {name for split in dataset.splits for name in names_of(dataset, split)}
    assert (len(letters), {len(name) for name in letters}) == (count, {20})
    assert 24 * count < taken < 200 * count


COUNTS_OPENED_FILES = """
import json, os, sys

root, opened = sys.argv[1], {}
def note(event, arguments):
    if event == "open" and str(arguments[0]).startswith(root + os.sep):
        folder = os.path.dirname(str(arguments[0])).removeprefix(root)
        opened[folder] = opened.get(folder, 0) + 1
sys.addaudithook(note)

from segtrain.datasets.camvid import build_camvid
from segtrain.datasets.folder import build_folder

build_folder(root=root, val_share=0.5).check()
print(json.dumps(opened))
"""


def opened_before_training(root: Path) -> dict[str, int]:
    """Returns how often a file was opened, by folder."""
    command = [sys.executable, "-c", COUNTS_OPENED_FILES, str(root)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("with_lists", [False, True], ids=["drawn", "listed"])
def test_a_larger_dataset_opens_no_more_files_before_training(tmp_path, with_lists):
    """300 and 3,000 pairs a split: 200 sizes and 40 masks of each are looked at, and 200 masks for the classes."""
    for count in (300, 3000):
        root = tmp_path / str(count)
        root.mkdir()
        write_many(root, 2 * count, with_lists=with_lists)
        lists = {"": 2} if with_lists else {}
        assert opened_before_training(root) == {"/images": 2 * (200 + 40), "/masks": 2 * (200 + 40) + 200} | lists
        shutil.rmtree(root)


def test_classes_are_inferred_up_to_the_highest_label(tmp_path, write_pairs):
    write_pairs("images", "masks", ["a", "b"], labels=(0, 5, 200))
    dataset = build(tmp_path, ignore_label=200)
    assert list(dataset.class_names) == [f"class_{class_id}" for class_id in range(6)]
    assert dataset.ignore_label == 200
    assert len(dataset.palette) == 6


@pytest.mark.parametrize("count", [10, 11, 13])
def test_every_image_is_in_one_validation_fold(tmp_path, write_pairs, count):
    names = [f"{number:02d}" for number in range(count)]
    write_pairs("images", "masks", names)
    folds = [build_folder(root=str(tmp_path), folds=5, fold=fold) for fold in range(5)]
    validated = [names_of(dataset, "val") for dataset in folds]
    assert sorted(name for part in validated for name in part) == names
    assert {len(part) for part in validated} <= {count // 5, count // 5 + 1}
    for dataset, part in zip(folds, validated, strict=True):
        assert sorted(names_of(dataset, "train") + part) == names
    again = names_of(build_folder(root=str(tmp_path), folds=5, fold=3), "val")
    other = names_of(build_folder(root=str(tmp_path), folds=5, fold=3, split_seed=1), "val")
    assert (again == validated[3], other == validated[3]) == (True, False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fold": 1}, "dataset.fold=1 needs the number of folds. Type dataset.folds=5"),
        ({"folds": 5}, "Type dataset.fold=0, or all of them in a sweep: -m dataset.fold=0,1,2,3,4"),
        ({"folds": 5, "fold": 5}, "dataset.fold=5 has to be one of 0..4"),
        ({"folds": 11, "fold": 0}, "There are 10"),
    ],
)
def test_impossible_folds_are_refused(root, settings, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        build(root, **settings)


def test_folds_and_lists_do_not_go_together(root):
    for split, names in {"train": NAMES[:4], "val": NAMES[4:6]}.items():
        (root / f"{split}.txt").write_text("\n".join(names))
    with pytest.raises(ValueError, match=r"dataset\.folds draws the splits, and .*train\.txt lists them"):
        build(root, folds=5, fold=0)


def test_folders_within_are_taken_with_names_of_their_own(tmp_path, write_pairs):
    written = write_pairs("images", "masks", ["a/x", "b/x", "b/c/y", "z"])
    write_pairs("images/.hidden", "masks/.hidden", ["h"])
    dataset = build(tmp_path, val_share=0.5)
    read = {name: dataset.read(split, i) for split in dataset.splits for i, name in enumerate(names_of(dataset, split))}
    assert set(read) == {"a-x", "b-x", "b-c-y", "z"}
    for name, (image, labels) in read.items():
        np.testing.assert_array_equal(image, written[name.replace("-", "/")][0])
        np.testing.assert_array_equal(labels, written[name.replace("-", "/")][1])


def test_a_link_to_a_folder_above_has_an_end(root):
    (root / "images" / "all").symlink_to(root / "images", target_is_directory=True)
    assert sum(len(split) for split in build(root).splits.values()) == 10


def test_folders_that_are_linked_to_are_taken(tmp_path, write_pairs):
    write_pairs("elsewhere/images", "elsewhere/masks", ["a", "b"])
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "here").symlink_to(tmp_path / "elsewhere" / folder, target_is_directory=True)
        (tmp_path / "elsewhere" / folder / "back").symlink_to(tmp_path / folder, target_is_directory=True)
    dataset = build(tmp_path)
    assert sorted(names_of(dataset, "train") + names_of(dataset, "val")) == ["here-a", "here-b"]


def test_names_that_would_be_one_are_refused(tmp_path, write_pairs):
    """Predictions of both would be written to one file."""
    write_pairs("images", "masks", ["a/x", "a-x", "b"])
    with pytest.raises(ValueError, match=r"images/a-x\.png and .*images/a/x\.png"):
        build(tmp_path)


# Layouts: where images and masks are written, what is set for them, and the splits' names.
LAYOUTS = {
    "a suffix": ({"": ("images", "masks", "_mask")}, {"mask_suffix": "_mask"}),
    "one folder": ({"": ("data", "data", ".label")}, {"images": "data", "masks": "data", "mask_suffix": ".label"}),
    "the root": ({"": (".", ".", "_gt")}, {"images": ".", "masks": ".", "mask_suffix": "_gt"}),
    "masks among images": ({"": (".", "masks", "")}, {"images": "."}),
    "images among masks": ({"": ("images", ".", "")}, {"masks": "."}),
    "splits within": (
        {split: (f"images/{split}", f"masks/{split}", "") for split in ("train", "val", "test")},
        {"images": "images/{split}", "masks": "masks/{split}"},
    ),
    "splits first": (
        {split: (f"{split}/images", f"{split}/masks", "") for split in ("train", "val")},
        {"images": "{split}/images", "masks": "{split}/masks"},
    ),
    "splits beside": (
        {split: (split, f"{split}annot", "") for split in ("train", "val")},
        {"images": "{split}", "masks": "{split}annot"},
    ),
    "masks of all splits in one folder": (
        {split: (f"images/{split}", "masks", "_m") for split in ("train", "val", "test")},
        {"images": "images/{split}", "mask_suffix": "_m"},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, write_pairs, layout):
    places, settings = LAYOUTS[layout]
    written = {}
    for split, (images, masks, suffix) in places.items():
        names = [f"{split}{number}" for number in range(4)]
        for name, pair in write_pairs("made/images", "made/masks", names).items():
            for made, place in ((f"images/{name}", f"{images}/{name}"), (f"masks/{name}", f"{masks}/{name}{suffix}")):
                (tmp_path / "data" / place).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "made" / f"{made}.png").rename(tmp_path / "data" / f"{place}.png")
            written[name] = pair
    dataset = build(tmp_path / "data", **settings)
    if "" not in places:
        assert {split: len(dataset.split(split)) for split in dataset.splits} == dict.fromkeys(places, 4)
    read = {name: dataset.read(split, i) for split in dataset.splits for i, name in enumerate(names_of(dataset, split))}
    assert read.keys() == written.keys()
    for name, (image, labels) in read.items():
        assert "" in places or name[:-1] in places
        np.testing.assert_array_equal(image, written[name][0])
        np.testing.assert_array_equal(labels, written[name][1])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"images": "{split}", "masks": "masks"}, "There is no {root}/train."),
        ({"masks": "{split}"}, "dataset.masks={split} has {split} in it, so dataset.images=images needs it too"),
        ({"masks": "images"}, "Type dataset.mask_suffix=_mask"),
        ({"masks": "labels"}, "There is no {root}/labels. Other names are set by dataset.images=FOLDER"),
        ({"masks": "labels"}, "and dataset.masks=FOLDER. There are: images, masks."),
    ],
)
def test_impossible_layouts_are_refused(root, settings, words):
    with pytest.raises(ValueError, match=re.escape(words.replace("{root}", str(root)))):
        build(root, **settings)


@pytest.mark.parametrize("masks", ["masks", "masks/{split}"])
def test_folders_called_as_splits_are_not_mixed_without_a_word(tmp_path, write_pairs, masks):
    """Test images would be trained on. What the message says to type makes them splits."""
    for split in ("train", "val", "test"):
        write_pairs(f"images/{split}", masks.replace("{split}", split), [f"{split}0", f"{split}1"])
    with pytest.raises(ValueError, match="has folders train and val in it") as refused:
        build(tmp_path)
    typed = dict(re.findall(r"dataset\.(images|masks)=(\S+?)\.?(?= |$)", str(refused.value)))
    assert typed == {"images": "images/{split}", "masks": masks}
    dataset = build(tmp_path, **typed)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 2, "val": 2, "test": 2}
    (tmp_path / "train.txt").write_text("train/train0\n")
    (tmp_path / "val.txt").write_text("val/val0\n")
    if masks == "masks/{split}":
        assert len(build(tmp_path).split("train")) == 1


def test_folds_and_folders_of_splits_do_not_go_together(tmp_path, write_pairs):
    for split in ("train", "val"):
        write_pairs(f"images/{split}", f"masks/{split}", ["a", "b"])
    with pytest.raises(ValueError, match=r"folds draws the splits, and dataset\.images=images/{split} has them"):
        build(tmp_path, images="images/{split}", masks="masks/{split}", folds=2, fold=0)


def test_masks_that_are_named_in_another_way_are_found_for_the_message(tmp_path, write_pairs):
    write_pairs("images", "masks", ["a", "b", "c"])
    for name in "abc":
        (tmp_path / "masks" / f"{name}.png").rename(tmp_path / "masks" / f"{name}_mask.png")
    with pytest.raises(ValueError, match=r"a\.png: no mask.*There is a_mask\.png: type dataset\.mask_suffix=_mask"):
        build(tmp_path)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_images_have_the_channels_asked_for(tmp_path, channels):
    rng, written = np.random.default_rng(0), {}
    for name in "abcd":
        written[name] = rng.integers(0, 4096, (6, 8, channels), np.uint16)
        (tmp_path / "images").mkdir(exist_ok=True)
        planes = {"planarconfig": "contig"} if channels > 1 else {}
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", written[name], photometric="minisblack", **planes)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 3, (6, 8), np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    dataset = build(tmp_path, channels=channels, white=4095)
    assert (dataset.channels, dataset.white) == (channels, 4095)
    image, _ = dataset.read("train", 0)
    expected = np.round(written[names_of(dataset, "train")[0]] / 4095 * 255)
    np.testing.assert_array_equal(image, expected.astype(np.uint8))


def test_problems_are_told_and_left_out(root):
    """What `segtrain inspect` lists, and a run refuses one by one."""
    (root / "masks" / "photo 01.png").unlink()
    (root / "masks" / "photo 02.png").rename(root / "masks" / "photo 02.jpg")
    shutil.copy(root / "images" / "photo 04.png", root / "images" / "photo 04.bmp")
    shutil.copy(root / "masks" / "photo 05.png", root / "masks" / "lonely.png")
    problems = []
    dataset = build_folder(root=str(root), tell=problems.append)
    assert {(problem.kind, Path(problem.file).relative_to(root).as_posix()) for problem in problems} == {
        ("missing_mask", "images/photo 01.png"),
        ("wrong_format", "masks/photo 02.jpg"),
        ("ambiguous_name", "images/photo 04.png"),
        ("missing_image", "masks/lonely.png"),
    }
    assert len(problems) == 4
    assert all(problem.file in problem.detail for problem in problems)
    names = [name for split in dataset.splits for name in names_of(dataset, split)]
    assert sorted(names) == [name for name in NAMES if name not in ("photo 01", "photo 02")]
    dataset.check()


def test_masks_without_an_image_do_not_keep_a_run_from_training(root):
    (root / "images" / "photo 03.png").unlink()
    assert sum(len(split) for split in build(root).splits.values()) == 9


def test_masks_that_do_not_fit_are_told_and_read_as_suggested(tmp_path, write_pairs):
    write_pairs("images", "masks", ["a", "b", "c"], labels=(0, 255))
    problems = []
    dataset = build_folder(root=str(tmp_path), tell=problems.append)
    assert [problem.kind for problem in problems] == ["wrong_label"]
    assert "dataset.mask=binary" in problems[0].detail
    assert set(np.unique(dataset.read("train", 0)[1])) == {0, 1}


def tensors(dataset, split):
    """What a network is given of a split without augmentation, in its order."""
    samples = Samples(dataset, split, image_size=(48, 64))
    batch = samples.batch(range(len(samples)))
    return [samples.name(index) for index in range(len(samples))], *batch


def require_same_tensors(camvid, folder, count):
    compared = 0
    for split in ("train", "val"):
        (names, *one), (other_names, *other) = tensors(camvid, split), tensors(folder, split)
        assert names == other_names
        for mine, its in zip(one, other, strict=True):
            assert mine.dtype == its.dtype == np.uint8
            np.testing.assert_array_equal(mine, its)
        compared += len(names)
    assert compared == count


@pytest.fixture
def made_camvid(tmp_path, write_pairs) -> Path:
    """CamVid's layout, with lists in another order than that of the names, as nobody's random draw would give."""
    for split, names in (("train", "dbac"), ("val", "fe")):
        write_pairs(split, f"{split}annot", list(names), size=(90, 120), labels=(0, 3, 10, 11))
        lines = [f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png\n" for name in names]
        (tmp_path / f"{split}.txt").write_text("".join(lines))
    return tmp_path


def test_a_camvid_gives_the_same_tensors_in_the_same_order_through_both_datasets(made_camvid):
    """All images in one folder, and lists with the order."""
    camvid = build_camvid(root=str(made_camvid))
    for kind, ending in (("images", ""), ("masks", "annot")):
        (made_camvid / "own" / kind).mkdir(parents=True)
        for split in ("train", "val"):
            for path in (made_camvid / f"{split}{ending}").iterdir():
                shutil.copy(path, made_camvid / "own" / kind)
    for split in ("train", "val"):
        lines = (made_camvid / f"{split}.txt").read_text().splitlines()
        (made_camvid / "own" / f"{split}.txt").write_text("\n".join(line.split()[0] for line in lines))
    folder = build(made_camvid / "own", classes=list(camvid.class_names), ignore_label=11)
    assert names_of(camvid, "train") == list("dbac")
    require_same_tensors(camvid, folder, count=6)


@pytest.mark.skipif(CAMVID is None, reason="SEGTRAIN_CAMVID names no CamVid folder")
def test_camvid_gives_the_same_tensors_in_the_same_order_through_both_datasets(tmp_path):
    camvid = build_camvid(root=CAMVID)
    for path in Path(CAMVID).iterdir():
        if path.is_dir():
            (tmp_path / path.name).symlink_to(path, target_is_directory=True)
    settings = {"classes": list(camvid.class_names), "ignore_label": 11}
    folder = build(tmp_path, images="{split}", masks="{split}annot", **settings)
    require_same_tensors(camvid, folder, count=468)


def test_classes_that_are_named_are_taken(root):
    assert build(root, classes=["ground", "cat", "dog"]).class_names == ["ground", "cat", "dog"]


def test_masks_of_zero_and_void_alone_are_refused(tmp_path, write_pairs):
    write_pairs("images", "masks", ["a", "b"], labels=(0, 255))
    with pytest.raises(ValueError, match=r"[ab]\.png: .*255 is void, so there is nothing.*Type dataset\.mask=binary"):
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


@pytest.mark.parametrize(
    ("left", "words"), [(0, "holds 0 images. At least 2 are needed"), (1, "holds 1 images. At least 2 are needed")]
)
def test_too_few_images_are_refused(root, left, words):
    for path in sorted((root / "images").iterdir())[left:]:
        path.unlink()
    with pytest.raises(ValueError, match=words):
        build(root)


def test_a_root_that_is_not_there_is_named(root):
    shutil.rmtree(root)
    with pytest.raises(ValueError, match=r"dataset\.root=.* has to be a folder with images/ and masks/ in it"):
        build(root)


def write_rare_defects(root: Path, count: int, value: int, places: tuple[int, ...]) -> None:
    """Writes masks of 0 with a rim of 255, and in a few places something else."""
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number in range(count):
        mask = np.zeros((8, 8), np.uint8)
        mask[0] = 255
        mask[3:5, 3:5] = value if number in places else 0
        Image.fromarray(mask).save(root / "masks" / f"{number:03}.png")
        Image.new("RGB", (8, 8)).save(root / "images" / f"{number:03}.png")


@pytest.mark.parametrize("count", [2, 21])
def test_a_class_that_a_sample_of_masks_does_not_show_is_looked_for_in_all(tmp_path, count):
    """Else a rare defect would be called none, and the rim of void around everything the object."""
    write_rare_defects(tmp_path, 300, value=1, places=(101, 150, 201))
    dataset = build(tmp_path, classes=[f"thing {number}" for number in range(count)])
    labels = [dataset.read(split, index)[1] for split in dataset.splits for index in range(len(dataset.split(split)))]
    assert len(labels) == 300
    assert sum(1 in each for each in labels) == 3
    assert all(255 in each for each in labels)


def test_an_object_of_value_255_is_told_however_many_masks_there_are(tmp_path):
    write_rare_defects(tmp_path, 300, value=255, places=(101, 150, 201))
    with pytest.raises(ValueError, match=r"nothing to tell apart.*Type dataset\.mask=binary"):
        build(tmp_path, classes=["background", "defect"])


def told(root: Path, **settings):
    problems = []
    return build_folder(root=str(root), tell=problems.append, **settings), problems


@pytest.mark.parametrize("classes", [None, ["ground", "thing"]])
def test_masks_that_nothing_fits_are_told_once_and_the_rest_can_be_counted(root, classes):
    """Blended edges: a run refuses them, and `segtrain inspect` goes on to sizes and images."""
    rng = np.random.default_rng(0)
    for name in NAMES:
        mask = np.zeros((64, 64), np.uint8)
        mask[20:40, 20:40] = 255
        mask[19, 20:40] = rng.integers(1, 255, 20)
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")
    dataset, problems = told(root, classes=classes)
    assert [problem.kind for problem in problems] == (["wrong_label"] if classes is None else [])
    assert all("anti-aliased" in problem.detail for problem in problems)
    assert dataset.num_classes == 2
    assert sum(len(split) for split in dataset.splits.values()) == 10
    with pytest.raises(BadSampleError, match=r"photo \d\d\.png: label \d+ at row 19"):
        dataset.read("train", 0)


def test_masks_of_which_none_can_be_read_are_left_to_be_told_one_by_one(root):
    for name in NAMES:
        (root / "masks" / f"{name}.png").unlink()
        tifffile.imwrite(root / "masks" / f"{name}.tif", np.zeros((6, 8), np.float32))
    with pytest.raises(BadSampleError, match=r"photo \d\d\.tif: a mask has to hold one whole number"):
        build(root)
    dataset, problems = told(root)
    assert problems == []
    refused = 0
    for split, samples in dataset.splits.items():
        for index in range(len(samples)):
            with pytest.raises(BadSampleError, match="holds float32 values") as error:
                dataset.read(split, index)
            refused += error.value.kind == "wrong_format"
    assert refused == 10


def write_lists(root: Path, encoding: str, names: dict[str, list[str]]) -> None:
    for split, listed in names.items():
        (root / f"{split}.txt").write_text("".join(f"{name}\n" for name in listed), encoding=encoding)


def test_lists_with_a_mark_of_utf_8_are_read(root):
    write_lists(root, "utf-8-sig", {"train": NAMES[:3], "val": NAMES[3:4]})
    assert names_of(build(root), "train") == NAMES[:3]


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("latin-1", r"train.txt lists stra\xdfe (its letters are in no UTF-8: save the list in UTF-8), which is not"),
        ("utf-16", "train.txt: is in UTF-16. Save it in UTF-8."),
    ],
)
def test_lists_in_other_letters_are_named(tmp_path, write_pairs, encoding, words):
    write_pairs("images", "masks", ["straße", "b"])
    write_lists(tmp_path, encoding, {"train": ["straße"], "val": ["b"]})
    with pytest.raises(ValueError, match=re.escape(words)):
        build(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes there, whatever letters they mean")
def test_names_that_are_no_utf_8_can_be_listed(root):
    for folder in ("images", "masks"):
        os.rename(root / folder / f"{NAMES[0]}.png", os.fsencode(root / folder) + b"/stra\xdfe.png")
    (root / "train.txt").write_bytes(b"stra\xdfe.png\n")
    (root / "val.txt").write_text(NAMES[1])
    dataset = build(root)
    assert len(dataset.split("train")) == 1
    assert dataset.read("train", 0)[1].shape == (6, 8)


def test_lists_beside_folders_that_are_the_splits_are_said_not_to_be_read(tmp_path, write_pairs, capsys):
    for split in ("train", "val"):
        write_pairs(f"images/{split}", f"masks/{split}", [f"{split} a", f"{split} b"])
    build(tmp_path, images="images/{split}", masks="masks/{split}")
    assert capsys.readouterr().err == ""
    write_lists(tmp_path, "utf-8", {"train": ["train a"], "val": ["val a"]})
    dataset = build(tmp_path, images="images/{split}", masks="masks/{split}")
    assert names_of(dataset, "train") == ["train a", "train b"]
    assert "train.txt, val.txt in" in capsys.readouterr().err


def test_images_below_the_folder_of_the_masks_are_no_masks(tmp_path, write_pairs):
    for split in ("train", "val"):
        write_pairs(f"data/{split}", "data", [f"{split} a", f"{split} b"])
    dataset, problems = told(tmp_path, images="data/{split}", masks="data")
    assert problems == []
    assert {split: names_of(dataset, split) for split in dataset.splits} == {
        split: [f"{split} a", f"{split} b"] for split in ("train", "val")
    }


def test_only_a_dataset_that_has_the_setting_is_told_to_type_it(root):
    Image.fromarray(np.zeros((6, 8, 4), np.uint8)).save(root / "images" / f"{NAMES[0]}.png")
    with pytest.raises(ValueError, match=r"holds 3 channels, where dataset\.channels=4 .* Type dataset\.channels=3"):
        build(root, channels=4)
