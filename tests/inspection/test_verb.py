"""`segtrain inspect` as a whole: folders with one fault each, the files it leaves, its status."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import hydra
import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

import segtrain.verbs.inspect
from segtrain.command.composition import config_folder
from segtrain.datasets.folder import build_folder
from segtrain.instantiate import build
from segtrain.pipeline.samples import Samples
from segtrain.run_folder import RunFolder
from segtrain.settings import TrainSettings, read_settings
from segtrain.verbs.invocation import Invocation

REAL = os.environ.get("SEGTRAIN_CAMVID")
FILES = {"inspect.json", "inspect.html", "samples.png", "augmented.png"}
SEED = 5
CLASSES = "dataset.classes=[ground,road,sign]"
AUGMENTATIONS = sorted(path.stem for path in (config_folder() / "augmentation").glob("*.yaml"))
# By this rule and those counts; SegNet's own table has void for a twelfth class, and so another median.
WEIGHTS_OF_CAMVID = [0.279, 0.202, 4.787, 0.149, 1.0, 0.422, 3.847, 1.974, 0.789, 6.375, 8.859]


def option_of(name: str) -> dict:
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = hydra.compose("inspect", [f"augmentation={name}", "image_size=[16,24]"])
    return OmegaConf.to_container(config.augmentation, resolve=True)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


@pytest.fixture
def data(tmp_path) -> Path:
    """Six pairs, four to train, with all three classes and void in each: nothing is wrong with them."""
    rng, root = np.random.default_rng(0), tmp_path / "data"
    for number in range(6):
        mask = np.zeros((20, 30), np.uint8)
        mask[5:15, number : number + 10] = 1
        mask[0], mask[19] = 255, 2
        save(root / "images" / f"{number}.png", rng.integers(0, 256, (20, 30, 3)))
        save(root / "masks" / f"{number}.png", mask)
    (root / "train.txt").write_text("0\n1\n2\n3\n")
    (root / "val.txt").write_text("4\n5\n")
    return root


def recode(root: Path, values: list) -> None:
    """Saves all masks anew, with the values or colours given for ground, road, sign and void."""
    table = np.zeros((256, *np.shape(values[0])), np.uint8)
    table[[0, 1, 2, 255]] = values
    for path in sorted((root / "masks").glob("*.png")):
        save(path, table[np.asarray(Image.open(path))])


@pytest.fixture
def inspect(tmp_path) -> Callable[..., SimpleNamespace]:
    """Inspects in this process; returns what was written, printed and, where training would go wrong, raised."""

    def inspect(*overrides: str) -> SimpleNamespace:
        with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
            config = hydra.compose("inspect", list(overrides))
        OmegaConf.set_struct(config, False)
        folder, output, error = RunFolder(tmp_path / "out"), io.StringIO(), None
        invocation = Invocation(folder, config, "segtrain inspect")
        with contextlib.redirect_stdout(output):
            try:
                segtrain.verbs.inspect.inspect(read_settings(config, TrainSettings), invocation)
            except ValueError as raised:
                error = str(raised)
        found = json.loads(folder.inspection.read_text(encoding="utf-8")) if folder.inspection.exists() else None
        return SimpleNamespace(folder=folder.path, found=found, output=output.getvalue(), error=error)

    return inspect


def of_folder(root: Path, *more: str) -> list[str]:
    return ["dataset=folder", f"dataset.root={root}", "image_size=[16,24]", *more]


def problems_of(done):
    return [(each["severity"], each["kind"], Path(each["file"]).name) for each in done.found["problems"]]


def test_of_good_data_all_is_counted_and_nothing_told(inspect, data):
    done = inspect(*of_folder(data, CLASSES))
    assert done.error is None
    assert {path.name for path in done.folder.iterdir()} == FILES
    assert done.found["problems"] == []
    assert done.found["errors"] == done.found["warnings"] == {}
    assert done.found["suggestion"] is None
    assert done.found["class_names"] == ["ground", "road", "sign"]
    assert done.found["splits"]["train"] == {
        "count": 4, "read": 4, "unusable": 0, "sizes": {"20x30": 4}, "image_kinds": {"RGB, 8 bits": 4},
        "class_pixels": [4 * 440, 4 * 100, 4 * 30], "class_images": [4, 4, 4], "void_pixels": 4 * 30, "wrong_pixels": 0,
        "absent_classes": [],
    }  # fmt: skip
    assert done.found["splits"]["val"]["count"] == 2
    assert done.found["median_frequency_weights"] == pytest.approx([100 / 440, 1, 100 / 30])
    values = {each["value"]: each["pixels"] for each in done.found["mask_values"]["values"]}
    assert values == {0: 6 * 440, 1: 6 * 100, 2: 6 * 30, 255: 6 * 30}
    assert str(done.folder / "inspect.html") in done.output
    assert "Nothing is wrong with the 6 pairs." in done.output.splitlines()


def test_channels_of_the_files_are_told_apart(inspect, data):
    """Training takes all of them: grey is repeated, and alpha dropped."""
    for number, mode in enumerate(("L", "RGBA")):
        path = data / "images" / f"{number}.png"
        Image.open(path).convert(mode).save(path)
    done = inspect(*of_folder(data, CLASSES))
    kinds = {"RGB, 8 bits": 2, "grey, 8 bits": 1, "RGBA, 8 bits": 1}
    assert done.found["splits"]["train"]["image_kinds"] == kinds
    page = (done.folder / "inspect.html").read_text(encoding="utf-8")
    for kind, count in kinds.items():
        assert f"{kind}: {count}" in done.output
        assert f"{kind}: {count}" in page


FAULTS = {
    "no mask": ("error", "missing_mask", "1.png"),
    "truncated image": ("error", "unreadable", "1.png"),
    "empty mask": ("error", "unreadable", "1.png"),
    "text for an image": ("error", "unreadable", "1.png"),
    "small mask": ("error", "size_mismatch", "1.png"),
    "wrong label": ("error", "wrong_label", "1.png"),
    "JPEG mask": ("error", "wrong_format", "1.jpg"),
    "JPEG called PNG": ("error", "wrong_format", "1.png"),
    "colours": ("error", "wrong_label", "1.png"),
    "two images of a name": ("error", "ambiguous_name", "1.png"),
    "leakage": ("error", "leakage", "5.png"),
    "no road to train with": ("error", "absent_class", "train"),
    "val is void": ("error", "all_void", "val"),
    "duplicate": ("warning", "duplicate", "2.png"),
    "no road in val": ("warning", "absent_class", "val"),
    "void mask": ("warning", "all_void", "1.png"),
    "no image": ("warning", "missing_image", "more.png"),
}


def break_data(root: Path, fault: str) -> None:
    image, path = root / "images" / "1.png", root / "masks" / "1.png"
    mask = np.array(Image.open(path))
    if fault == "no mask":
        path.unlink()
    elif fault == "truncated image":
        image.write_bytes(image.read_bytes()[:-200])
    elif fault == "empty mask":
        path.write_bytes(b"")
    elif fault == "text for an image":
        image.write_text("hello")
    elif fault == "small mask":
        save(path, mask[1:])
    elif fault == "wrong label":
        mask[7, 3] = 99
        save(path, mask)
    elif fault == "JPEG mask":
        path.unlink()
        save(path.with_suffix(".jpg"), mask)
    elif fault == "JPEG called PNG":
        Image.fromarray(mask).save(path, format="JPEG")
    elif fault == "colours":
        save(path, np.zeros((20, 30, 3)))
    elif fault == "two images of a name":
        Image.open(image).save(image.with_suffix(".bmp"))
    elif fault == "leakage":
        shutil.copy(image, root / "images" / "5.png")
    elif fault == "duplicate":
        shutil.copy(image, root / "images" / "2.png")
    elif fault == "void mask":
        save(path, np.full((20, 30), 255))
    elif fault == "no image":
        shutil.copy(path, root / "masks" / "more.png")
    else:
        numbers = range(4, 6) if "val" in fault else range(4)
        for number in numbers:
            whole = np.array(Image.open(root / "masks" / f"{number}.png"))
            if "void" in fault:
                whole[:] = 255
            else:
                whole[whole == 1] = 0
            save(root / "masks" / f"{number}.png", whole)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_by_kind_and_file_and_the_rest_is_counted(inspect, data, fault):
    break_data(data, fault)
    done = inspect(*of_folder(data, CLASSES))
    told = problems_of(done)
    assert FAULTS[fault] in told
    assert (done.error is None) == (FAULTS[fault][0] == "warning")
    # Nothing else is told, but of each of the masks of a split that is void.
    assert [each for each in told if each != FAULTS[fault] and each[1] != "all_void"] == []
    assert {path.name for path in done.folder.iterdir()} >= FILES
    for problem in done.found["problems"]:
        assert problem["detail"] in done.output
    counts = {name: split["count"] for name, split in done.found["splits"].items()}
    assert counts == {"train": 3 if fault in ("no mask", "JPEG mask") else 4, "val": 2}


def test_all_faults_are_told_at_once(inspect, data):
    for fault in ("no image", "leakage"):
        break_data(data, fault)
    (data / "masks" / "0.png").unlink()
    (data / "images" / "2.png").write_bytes(b"")
    done = inspect(*of_folder(data, CLASSES))
    assert problems_of(done) == [
        ("error", "unreadable", "2.png"),
        ("error", "missing_mask", "0.png"),
        ("error", "leakage", "5.png"),
        ("warning", "missing_image", "more.png"),
    ]
    for words in ("1 file that cannot be read", "1 image without a mask", "1 image in two splits"):
        assert words in done.error
    assert "mask without an image" not in done.error


MASKS = {
    "binary": ([0, 255, 255, 0], ["dataset.mask=binary"]),
    "from one": ([1, 2, 3, 255], ["dataset.classes={class_1:1,class_2:2,class_3:3}"]),
    "with a gap": ([0, 1, 3, 255], ["dataset.classes={class_0:0,class_1:1,class_3:3}"]),
    "with a wide gap": ([0, 1, 70, 255], ["dataset.classes={class_0:0,class_1:1,class_70:70}"]),
    "colours": (
        [[0, 0, 0], [0, 0, 128], [64, 0, 0], [224, 224, 192]],
        [
            "dataset.mask=rgb",
            "dataset.classes={class_0:[0,0,0],class_1:[0,0,128],class_2:[64,0,0],void:[224,224,192]}",
        ],
    ),
}


@pytest.mark.parametrize("kind", MASKS)
def test_what_is_suggested_makes_the_data_good(inspect, data, kind):
    values, overrides = MASKS[kind]
    recode(data, values)
    done = inspect(*of_folder(data))
    assert done.error is not None
    suggestion = done.found["suggestion"]
    assert suggestion["overrides"] == overrides
    assert suggestion["typed"] in done.output
    page = (done.folder / "inspect.html").read_text(encoding="utf-8")
    assert "To paste" in page
    mended = inspect(*of_folder(data, *suggestion["overrides"]))
    assert mended.error is None
    assert mended.found["problems"] == []
    assert mended.found["suggestion"] is None
    # The YAML says the same as the command line.
    pasted = OmegaConf.to_container(OmegaConf.create(suggestion["yaml"]))["dataset"]
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        typed = hydra.compose("inspect", ["dataset=folder", *suggestion["overrides"]]).dataset
    assert pasted == {key: OmegaConf.to_container(typed)[key] for key in pasted}
    assert len(pasted) == len(overrides)


def test_who_named_a_class_that_is_absent_is_not_told_to_rename_the_others(inspect, data):
    done = inspect(*of_folder(data, "dataset.classes=[ground,road,sign,car]"))
    assert done.found["errors"] == {"absent_class": 1}
    assert "3, car" in done.output
    assert done.found["suggestion"] is None


def test_what_a_map_lacks_is_added_to_it(inspect, data):
    recode(data, [3, 7, 9, 255])
    done = inspect(*of_folder(data, "dataset.classes={ground:3,road:7}"))
    assert done.found["errors"]["wrong_label"] == 6
    assert done.found["mask_values"]["looks_like"].startswith("grey values 3, 7, 9")
    (override,) = done.found["suggestion"]["overrides"]
    assert override == "dataset.classes={ground:3,road:7,class_2:9}"
    assert inspect(*of_folder(data, override)).error is None


def test_values_are_told_as_colours_and_the_commonest_first(inspect, data):
    recode(data, [[9, 9, 9], [0, 0, 128], [64, 0, 0], [64, 0, 0]])
    values = inspect(*of_folder(data)).found["mask_values"]
    assert values["values"] == [
        {"value": [9, 9, 9], "pixels": 6 * 440},
        {"value": [0, 0, 128], "pixels": 6 * 100},
        {"value": [64, 0, 0], "pixels": 6 * 60},
    ]
    assert values["more_values"] == 0


def test_a_name_in_another_encoding_is_told(inspect, data):
    for folder in ("images", "masks"):
        os.rename(data / folder / "1.png", os.fsencode(data / folder) + b"/f\xfcr.png")
    (data / "train.txt").unlink()
    (data / "val.txt").unlink()
    (data / "masks" / os.fsdecode(b"f\xfcr.png")).write_bytes(b"")
    done = inspect(*of_folder(data, CLASSES))
    assert problems_of(done) == [("error", "unreadable", "f\N{REPLACEMENT CHARACTER}r.png")]
    assert "f\N{REPLACEMENT CHARACTER}r.png" in done.output
    assert {path.name for path in done.folder.iterdir()} >= FILES


def test_what_a_builder_told_before_it_gave_up_is_not_lost(inspect, data):
    for path in (data / "masks").glob("*.png"):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
    done = inspect(*of_folder(data))
    assert done.found["errors"] == {"wrong_format": 6}
    assert len(done.found["problems"]) == 6
    assert "6 masks in a format that cannot hold labels" in done.output
    assert "6 masks in a format that cannot hold labels" in done.error


def test_nothing_sound_means_no_pictures_and_a_page_all_the_same(inspect, data):
    for number in range(6):
        (data / "images" / f"{number}.png").write_bytes(b"")
    done = inspect(*of_folder(data, CLASSES))
    assert done.found["errors"] == {"unreadable": 6}
    assert {path.name for path in done.folder.iterdir()} == {"inspect.json", "inspect.html"}
    assert done.found["median_frequency_weights"] == [None] * 3


def test_data_without_files_is_inspected_too(inspect):
    done = inspect("dataset.num_train=60", "dataset.num_val=40")
    assert done.error is None
    assert {name: split["count"] for name, split in done.found["splits"].items()} == {
        "train": 60,
        "val": 40,
        "test": 40,
    }
    assert done.found["mask_values"] is None


def test_a_wrong_augmentation_is_told_before_the_data_is_read(inspect, data):
    break_data(data, "wrong label")
    done = inspect(*of_folder(data, CLASSES, "augmentation.reads=native"))
    assert done.error.startswith("The augmentation has to return images of the network's size (16, 24).")
    assert "splits" not in done.found


def test_an_augmentation_that_fails_later_costs_its_picture_alone(inspect, data):
    """It is tried on an image that is large enough for its crop, and others are not."""
    save(data / "images" / "0.png", np.zeros((60, 60, 3)))
    save(data / "masks" / "0.png", np.tile([0, 1, 2], (60, 20)))
    break_data(data, "small mask")
    crop = "{_target_: albumentations.RandomCrop, height: 16, width: 40, p: 1.0}"
    overrides = ("augmentation=none", "augmentation.reads=native", f"+augmentation.transforms.crop={crop}")
    done = inspect(*of_folder(data, CLASSES, *overrides, "image_size=[16,40]"))
    assert "1 mask of another size than its image" in done.error
    assert "(16, 40)" in done.error or "augmentation" in done.error
    assert {path.name for path in done.folder.iterdir()} == FILES - {"augmented.png"}
    assert done.found["splits"]["train"]["count"] == 4


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_augmentation_is_shown_as_a_picture(inspect, data, name):
    """Three samples in two rows each: the original, then three epochs of it, which differ where it draws anything."""
    done = inspect(*of_folder(data, CLASSES, f"augmentation={name}", f"seed={SEED}"))
    assert done.error is None
    with Image.open(done.folder / "augmented.png") as picture:
        sheet = np.asarray(picture.convert("RGB"))
    height, width = 16 * 9, 24 * 9  # whole multiples
    tiles = np.array(
        [
            [
                sheet[top : top + height, left : left + width]
                for left in (8 + column * (width + 8) for column in range(4))
            ]
            for top in (8 + row * (2 * height + 2 * 8 + 20) for row in range(3))
        ]
    )
    assert tiles.shape == (3, 4, height, width, 3)
    assert (tiles == tiles[:, :, ::9, ::9].repeat(9, axis=2).repeat(9, axis=3)).all()
    pixels = tiles[:, :, ::9, ::9]
    augmentation = build(option_of(name), ignore_label=255, channels=3)
    dataset = build_folder(root=str(data), classes=["ground", "road", "sign"])
    samples = Samples(dataset, "train", image_size=(16, 24), augmentation=augmentation, seed=SEED)
    shown = {each.tobytes() for each in pixels[:, 0]}
    assert len(shown) == 3
    by_pixels = {samples.at_network_size(index)[0].tobytes(): index for index in range(4)}
    for original, *draws in pixels:
        index = by_pixels[original.tobytes()]
        for epoch, draw in enumerate(draws):
            np.testing.assert_array_equal(draw, samples.augmented(index, epoch)[0])
    changed = (pixels[:, 1:] != pixels[:, :1]).any(axis=(2, 3, 4))
    assert changed.any() == (name != "none")


def test_there_are_eight_augmentations():
    assert len(AUGMENTATIONS) == 8


@pytest.mark.skipif(REAL is None, reason="SEGTRAIN_CAMVID names no CamVid folder")
def test_the_real_camvid_has_no_problem(inspect):
    done = inspect("dataset=camvid", f"dataset.root={REAL}", "augmentation=photometric", "image_size=[96,128]")
    assert done.error is None
    assert done.found["problems"] == []
    assert {name: split["count"] for name, split in done.found["splits"].items()} == {"train": 367, "val": 101}
    assert [split["sizes"] for split in done.found["splits"].values()] == [{"360x480": 367}, {"360x480": 101}]
    assert done.found["mask_values"]["looks_like"] == "grey values 0..10 and 11 (void), class ids"
    # Pixels and images of each class as somebody else counted them: github.com/alexgkendall/caffe-segnet/issues/37.
    pixels = [10682767, 14750079, 623349, 20076880, 2845085, 6166762, 743859, 714595, 3719877, 405385, 184967]
    images = [366, 365, 366, 367, 349, 319, 351, 173, 360, 317, 201]
    frequencies = np.array(pixels) / (np.array(images) * 360 * 480)
    weights = np.median(frequencies) / frequencies
    assert done.found["median_frequency_weights"] == pytest.approx(weights.tolist())
    # Rounded, so that a change of the rule shows whatever the formula above becomes.
    assert np.round(done.found["median_frequency_weights"], 3).tolist() == WEIGHTS_OF_CAMVID


# As typed


@pytest.fixture
def typed(tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    def typed(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "segtrain", "inspect", *arguments, "hydra.run.dir=out"],
            cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=120,
        )  # fmt: skip

    return typed


def test_the_status_is_zero_with_warnings(typed, data):
    break_data(data, "duplicate")
    finished = typed("dataset=folder", "dataset.root=data", CLASSES)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "warning 1 image twice in one split" in finished.stdout


def test_the_status_is_one_with_errors(typed, data, tmp_path):
    recode(data, [0, 255, 255, 0])
    finished = typed("dataset=folder", "dataset.root=data")
    assert finished.returncode == 1
    assert re.fullmatch(r"segtrain: error: Training with this data would go wrong: .*\n", finished.stderr)
    assert "dataset.mask=binary" in finished.stdout
    assert "Traceback" not in finished.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} >= FILES


def test_an_interruption_is_told_in_a_line(tmp_path):
    """On a terminal, which shows how far it is; there are more images than anybody waits for."""
    command = [sys.executable, "-m", "segtrain", "inspect", "dataset.num_train=1000000", "hydra.run.dir=out"]
    here, terminal = os.openpty()
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=terminal,
        stderr=subprocess.PIPE,
        # What was started in the background ignores this signal, and so do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(terminal)
    shown = b""
    while b"reading train" not in shown:
        shown += os.read(here, 4096)
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # a terminal's way to say that it was closed
        while os.read(here, 4096):
            pass
    errors = process.stderr.read().decode()
    assert process.wait(60) == 130
    assert re.fullmatch(r"segtrain: error: interrupted.*\n", errors)
    assert not (tmp_path / "out" / "inspect.json").exists()
