"""Folders with one fault each: every one ends in a message of its own, with the file's name, before training."""

import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.datasets.palette import voc_palette
from segtrain.instantiate import build

NAMES = [f"photo {number}" for number in range(8)]
SIZE = (12, 16)
CLASSES = ["ground", "cat", "dog"]


@dataclass(frozen=True)
class Fault:
    """What is done to a folder that is whole, the settings it is used with, and what the message has to hold.

    `file` is the file at fault, relative to the folder.
    """

    damage: Callable[[Path], Any]
    file: str
    words: list[str]
    settings: dict[str, Any] = field(default_factory=lambda: {"classes": CLASSES})


def whole_masks() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    masks = {name: rng.choice(np.uint8([0, 1, 2, 255]), SIZE) for name in NAMES}
    for mask in masks.values():
        mask.flat[:4] = 0, 1, 2, 255
    return masks


def write_whole(root: Path) -> None:
    rng = np.random.default_rng(1)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for name, mask in whole_masks().items():
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3), np.uint8)).save(root / "images" / f"{name}.png")
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")


def as_picture(mask: np.ndarray | Image.Image) -> Image.Image:
    return mask if isinstance(mask, Image.Image) else Image.fromarray(mask)


def all_masks(change: Callable[[np.ndarray], Any]) -> Callable[[Path], None]:
    """Returns the damage that writes all masks anew."""

    def damage(root: Path) -> None:
        for name, mask in whole_masks().items():
            as_picture(change(mask)).save(root / "masks" / f"{name}.png")

    return damage


def one_mask(change: Callable[[np.ndarray], Any], suffix: str = ".png") -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        (root / "masks" / "photo 3.png").unlink()
        as_picture(change(whole_masks()["photo 3"])).save(root / "masks" / f"photo 3{suffix}")

    return damage


def cut(file: str, size: int) -> Callable[[Path], None]:
    return lambda root: (root / file).write_bytes((root / file).read_bytes()[:size])


def tiff_image(pixels: np.ndarray) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        (root / "images" / "photo 3.png").unlink()
        planes = {"planarconfig": "contig"} if pixels.ndim == 3 else {}
        tifffile.imwrite(root / "images" / "photo 3.tif", pixels, photometric="minisblack", **planes)

    return damage


def lists(train: list[str], val: list[str]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        (root / "train.txt").write_text("\n".join(train))
        (root / "val.txt").write_text("\n".join(val))

    return damage


def coloured(mask: np.ndarray) -> np.ndarray:
    return np.array(voc_palette(256), np.uint8)[mask]


def with_palette(mask: np.ndarray, colours: int) -> Image.Image:
    picture = Image.fromarray(mask, mode="P")
    picture.putpalette(np.array(voc_palette(colours), np.uint8).tobytes())
    return picture


def with_pixel(value: int) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a change of one pixel, to a value that may need 16 bits."""

    def change(mask: np.ndarray) -> np.ndarray:
        mask = mask.astype(np.uint8 if value < 256 else np.uint16)
        mask[7, 5] = value
        return mask

    return change


def index_outside_of_its_palette(root: Path) -> None:
    """Writes a PNG by hand: Pillow fills a palette up to the highest index."""
    mask = with_pixel(9)(without_void(whole_masks()["photo 3"]))
    height, width = mask.shape
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0),
        b"PLTE": np.array(voc_palette(3), np.uint8).tobytes(),
        b"IDAT": zlib.compress(b"".join(b"\0" + row.tobytes() for row in mask)),
        b"IEND": b"",
    }
    chunks = (
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
        for name, part in parts.items()
    )
    (root / "masks" / "photo 3.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def thing(mask: np.ndarray) -> np.ndarray:
    """Returns one object on background, 255 on 0."""
    return np.where(mask == 1, 255, 0).astype(np.uint8)


def without_void(mask: np.ndarray) -> np.ndarray:
    return np.where(mask == 255, 0, mask).astype(np.uint8)


def in_turn(*damages: Callable[[Path], Any]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        for each in damages:
            each(root)

    return damage


def copy_of_one_name(root: Path) -> None:
    for folder in (root / "images", root / "masks"):
        (folder / "more").mkdir()
        for name in ("more/photo 3.png", "more-photo 3.png"):
            shutil.copy(folder / "photo 3.png", folder / name)


ANY_MASK, MASK, IMAGE = "masks/photo 0.png", "masks/photo 3.png", "images/photo 3.png"
COLOUR_MAP = {"ground": [0, 0, 0], "cat": [128, 0, 0], "void": [224, 224, 192]}
FAULTS = {
    "grey 0 and 255": Fault(
        all_masks(lambda mask: np.uint8(255) * (mask == 1)),
        ANY_MASK,
        ["grey values 0, 255", "Type dataset.mask=binary"],
    ),
    "RGB masks": Fault(
        all_masks(coloured),
        ANY_MASK,
        ["Type dataset.mask=rgb", "{ground:[0,0,0],cat:[0,128,0],dog:[128,0,0],void:[224,224,192]}"],
    ),
    "one RGB mask": Fault(
        one_mask(coloured), MASK, ["holds RGB colours", "dataset.mask=ids asks for one id per pixel"]
    ),
    "one RGBA mask under binary": Fault(
        in_turn(all_masks(thing), one_mask(lambda mask: np.dstack([coloured(mask), mask]))),
        MASK,
        ["holds RGBA colours", "dataset.mask=binary asks for two grey values"],
        {"mask": "binary"},
    ),
    "RGB masks under palette": Fault(
        all_masks(coloured),
        ANY_MASK,
        ["palette images", "Type dataset.mask=rgb"],
        {"mask": "palette", "classes": COLOUR_MAP},
    ),
    "palette index that is no class": Fault(
        one_mask(lambda mask: with_palette(with_pixel(9)(mask), 256)), MASK, ["label 9 at row 7, column 5"]
    ),
    "index outside of its palette": Fault(
        in_turn(all_masks(lambda mask: with_palette(without_void(mask), 3)), index_outside_of_its_palette),
        MASK,
        ["palette index 9 (outside of the palette) at row 7, column 5"],
        {"mask": "palette", "classes": {"ground": [0, 0, 0], "cat": [128, 0, 0], "dog": [0, 128, 0]}},
    ),
    "colour that is no class": Fault(
        all_masks(coloured),
        ANY_MASK,
        ["colour [0,128,0] at row 0, column 2", "cat:[128,0,0],void:[224,224,192],class_3:[0,128,0]}"],
        {"mask": "rgb", "classes": COLOUR_MAP},
    ),
    "ids from 1": Fault(
        all_masks(lambda mask: np.where(mask == 255, 255, mask + 1).astype(np.uint8)),
        ANY_MASK,
        ["ids that start at 1", "'dataset.classes={class_1:1,class_2:2,class_3:3}'"],
        {},
    ),
    "ids from 1, with names": Fault(
        all_masks(lambda mask: np.where(mask == 255, 255, mask + 1).astype(np.uint8)),
        ANY_MASK,
        ["label 3", "'dataset.classes={ground:1,cat:2,dog:3}'"],
    ),
    "ids with gaps": Fault(
        all_masks(lambda mask: np.where(mask == 255, 255, mask * 40).astype(np.uint8)),
        ANY_MASK,
        ["with few gaps", "'dataset.classes={class_0:0,class_40:40,class_80:80}'"],
        {},
    ),
    "void of another value": Fault(
        all_masks(lambda mask: np.where(mask == 255, 200, mask).astype(np.uint8)),
        ANY_MASK,
        ["label 200", "Type dataset.ignore_label=200"],
    ),
    "all void": Fault(all_masks(lambda mask: np.full_like(mask, 255)), "masks/", ["nothing but 255, the void label"]),
    "too few names": Fault(
        lambda root: None, ANY_MASK, ["label 2", "'dataset.classes=[ground,cat,class_2]'"], {"classes": CLASSES[:2]}
    ),
    "blended edges": Fault(
        all_masks(lambda mask: with_pixel(128)(thing(mask))),
        ANY_MASK,
        ["value 128 at row 7, column 5", "anti-aliased"],
        {"mask": "binary"},
    ),
    "16-bit label": Fault(one_mask(with_pixel(300)), MASK, ["label 300 at row 7, column 5", "class_300:300"]),
    "JPEG mask": Fault(
        one_mask(lambda mask: mask, ".jpg"), "masks/photo 3.jpg", ["JPEG changes pixel values", "as PNG"]
    ),
    "float mask": Fault(
        one_mask(lambda mask: mask.astype(np.float32), ".tif"),
        "masks/photo 3.tif",
        ["one whole number per pixel", "float32"],
    ),
    "no mask": Fault(lambda root: (root / MASK).unlink(), IMAGE, ["no mask in", "photo 3.png, photo 3.tif"]),
    "masks with a suffix": Fault(
        lambda root: [path.rename(path.with_stem(f"{path.stem}_mask")) for path in (root / "masks").iterdir()],
        "images/photo 0.png",
        ["type dataset.mask_suffix=_mask"],
    ),
    "mask of another size": Fault(one_mask(lambda mask: mask[:-1]), MASK, ["the mask is 11x16", "its image is 12x16"]),
    "cut image": Fault(cut(IMAGE, 300), IMAGE, ["cannot be read as an image", "truncated"]),
    "cut mask": Fault(cut(MASK, 60), MASK, ["cannot be read as an image"]),
    "empty image": Fault(cut(IMAGE, 0), IMAGE, ["it is empty"]),
    "text for a mask": Fault(
        lambda root: (root / MASK).write_text("no image"), MASK, ["its content is in no image format that is known"]
    ),
    "two names that differ in the ending": Fault(
        lambda root: shutil.copy(root / IMAGE, root / "images" / "photo 3.bmp"),
        IMAGE,
        ["differ in their endings alone"],
    ),
    "two names that would be one": Fault(
        copy_of_one_name,
        "images/more/photo 3.png",
        ["would both be called more-photo 3"],
    ),
    "no images": Fault(
        lambda root: [path.unlink() for path in (root / "images").iterdir()], "images", ["holds 0 images", ".jpg"]
    ),
    "no folder of masks": Fault(lambda root: shutil.rmtree(root / "masks"), "masks", ["There is no"]),
    "list of an image that is gone": Fault(
        lists(["photo 0", "photo 77"], ["photo 1"]), "train.txt", ["lists photo 77, which is not in", "1 missing"]
    ),
    "image in both lists": Fault(
        lists(["photo 0", "photo 1"], ["photo 1"]), "", ["train.txt and val.txt both list photo 1.png"]
    ),
    "no list for validation": Fault(
        lambda root: (root / "train.txt").write_text("photo 0"), "", ["has a train.txt but no val.txt"]
    ),
    "empty list": Fault(lists(["photo 0"], []), "val.txt", ["lists no image", "the split 'val' is empty"]),
    "image of other bands": Fault(
        tiff_image(np.zeros((*SIZE, 5), np.uint8)), "images/photo 3.tif", ["holds 5 channels", "dataset.channels=5"]
    ),
    "grey image for four channels": Fault(
        lambda root: Image.new("L", SIZE[::-1]).save(root / IMAGE),
        "images/photo 0.png",
        ["holds 3 channels", "dataset.channels=4"],
        {"classes": CLASSES, "channels": 4},
    ),
    "float image": Fault(
        tiff_image(np.zeros(SIZE, np.float32)), "images/photo 3.tif", ["float32 values", "integers of 8 or 16 bits"]
    ),
}

OPTION = {"_target_": "segtrain.datasets.folder.build_folder"}


def refused(root: Path, settings: dict[str, Any]) -> str:
    """Opens the folder as a run does before it trains, and returns what that ends with."""
    with pytest.raises(ValueError, match=r"\A.+\Z") as ended:  # in one line
        build({**OPTION, "root": str(root), **settings}).check()
    return str(ended.value)


def test_the_folder_is_whole_before(tmp_path):
    write_whole(tmp_path)
    for settings in ({}, {"classes": CLASSES}):
        dataset = build({**OPTION, "root": str(tmp_path), **settings})
        dataset.check()
        assert sum(len(split) for split in dataset.splits.values()) == len(NAMES)


def test_every_fault_is_told_with_the_files_name_in_a_message_of_its_own(tmp_path):
    """Of its own also where the same were said of another photo."""
    messages = {}
    for number, (name, fault) in enumerate(FAULTS.items()):
        root = tmp_path / str(number)
        write_whole(root)
        fault.damage(root)
        message = refused(root, fault.settings)
        named = re.escape(str(root / fault.file))
        if fault.file == ANY_MASK:  # all masks have the fault
            named = named.replace("photo\\ 0", r"photo\ \d")
        assert re.search(named, message), name
        for words in fault.words:
            assert words in message, name
        messages[name] = re.sub(r"photo \d", "photo", message.replace(str(root), ""))
    assert len(set(messages.values())) == len(messages) == 36


@pytest.mark.parametrize("fault", ["grey 0 and 255", "JPEG mask", "cut image"])
def test_the_command_line_refuses_it_before_training(tmp_path, fault):
    write_whole(tmp_path / "data")
    FAULTS[fault].damage(tmp_path / "data")
    settings = ["dataset=folder", "dataset.root=data", "dataset.classes=[ground,cat,dog]", "hydra.run.dir=out"]
    command = [sys.executable, "-X", "importtime", "-m", "segtrain", "size=tiny", *settings]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    lines = finished.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    told = [line for line in lines if not line.startswith("import time:")]
    assert finished.returncode == 1
    assert len(told) == 1
    assert told[0].startswith("segtrain: error: ")
    for words in FAULTS[fault].words:
        assert words in told[0]
    assert "segtrain.datasets.file_splits" in imported  # the log is of this process
    assert "tensorflow" not in imported
