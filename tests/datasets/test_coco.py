import contextlib
import copy
import gc
import io
import json
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from segtrain.datasets.coco import build_coco
from segtrain.datasets.coco_annotations import _COMPRESSED, CocoAnnotations, _elements, _uncompressed
from segtrain.datasets.problems import BadSampleError

CATEGORIES = {7: "car", 3: "person", 90: "dog"}  # the ids have gaps, and the file does not sort them
CLASSES = ["background", "person", "car", "dog"]
SIZES = [(40, 60), (33, 21), (50, 50), (24, 24)]
# Where COCO has its files.
JSON = {split: f"annotations/instances_{split}2017.json" for split in ("train", "val")}
FOLDER = {split: f"{split}2017" for split in ("train", "val")}


def polygon(rng, height, width):
    centre, radius = rng.uniform(0.2, 0.8, 2) * (width, height), rng.uniform(0.1, 0.5) * min(height, width)
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
    points = centre + radius * rng.uniform(0.5, 1, (len(angles), 1)) * np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.clip(points, 0, (width, height)).round(2).ravel().tolist()


def outline(rng, form, height, width):
    if form == "polygons":
        return [polygon(rng, height, width) for _ in range(rng.integers(1, 4))]
    runs = coco_mask.merge(coco_mask.frPyObjects([polygon(rng, height, width)], height, width))
    if form == "compressed":
        return {"size": [height, width], "counts": runs["counts"].decode()}
    inside = coco_mask.decode(runs).ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside]))).tolist()
    return {"size": [height, width], "counts": np.diff([0, *edges, inside.size]).tolist()}


def write_split(root: Path, split: str, rng) -> dict:
    """Writes images and a JSON file with instances of every form in no order; the last image has none."""
    (root / FOLDER[split]).mkdir()
    images, annotations = [], []
    for number, (height, width) in enumerate(SIZES):
        image_id = 1000 - 7 * number
        name = f"{split} ü {number}.png"
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(root / FOLDER[split] / name)
        images.append({"id": image_id, "file_name": name, "width": width, "height": height, "license": 1})
        if number == len(SIZES) - 1:
            continue
        for form in ["polygons"] * 3 + ["compressed", "uncompressed"] * 2:
            annotation = {
                "image_id": image_id,
                "category_id": int(rng.choice(list(CATEGORIES))),
                "iscrowd": int(form != "polygons" and rng.random() < 0.5),
                "segmentation": outline(rng, form, height, width),
                "id": 10 * len(annotations) + 3,
            }
            annotation["bbox"], annotation["area"] = [0, 0, 1, 1], 1.0  # nobody should ask them
            annotations.append(annotation)
    rng.shuffle(annotations)
    content = {
        "info": {"description": 'a "{[', "list": [1, [2]]},
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in CATEGORIES.items()],
        "images": images,
    }
    path = root / JSON[split]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return content


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("coco")
    rng = np.random.default_rng(0)
    return root, {split: write_split(root, split, rng) for split in JSON}


@pytest.fixture
def root(written, tmp_path):
    """A copy to damage."""
    shutil.copytree(written[0], tmp_path / "coco")
    return tmp_path / "coco"


def build(root, **settings):
    dataset = build_coco(root=str(root), **settings)
    dataset.check()
    return dataset


def twin(root, split, image_id, crowd="class", kept=tuple(CATEGORIES)):
    """The mask as pycocotools' own reader gives it, instance by instance."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(root / JSON[split]))
    image = coco.loadImgs(image_id)[0]
    labels = np.zeros((image["height"], image["width"]), np.uint8)
    annotations = [each for each in coco.loadAnns(coco.getAnnIds(image_id)) if each["category_id"] in kept]
    masks = [coco.annToMask(each) for each in annotations]
    order = sorted(range(len(masks)), key=lambda place: -int(masks[place].sum()))
    for crowds in (1, 0):
        for place in order:
            annotation = annotations[place]
            if annotation["iscrowd"] == crowds:
                void = crowds and crowd == "ignore"
                labels[masks[place] == 1] = 255 if void else 1 + sorted(kept).index(annotation["category_id"])
    return labels


@pytest.mark.parametrize("crowd", ["class", "ignore"])
def test_masks_are_those_of_pycocotools(written, crowd):
    root, contents = written
    dataset = build(root, crowd=crowd)
    assert dataset.class_names == CLASSES
    seen, compared = set(), 0
    for split, content in contents.items():
        samples = dataset.split(split)
        assert len(samples) == len(SIZES)
        ids = {Path(image["file_name"]).stem: image["id"] for image in content["images"]}
        for index in range(len(samples)):
            image, labels = dataset.read(split, index)
            name = samples.name(index)
            np.testing.assert_array_equal(labels, twin(root, split, ids[name], crowd))
            np.testing.assert_array_equal(image, np.asarray(Image.open(root / FOLDER[split] / f"{name}.png")))
            assert samples.sizes(index) == (labels.shape, labels.shape) == (image.shape[:2],) * 2
            seen |= set(np.unique(labels).tolist())
            compared += 1
    assert compared == 2 * len(SIZES)
    assert seen == {0, 1, 2, 3} | ({255} if crowd == "ignore" else set())


def test_categories_that_are_not_named_are_background(written):
    root, contents = written
    dataset = build(root, categories=["dog", "person"])
    assert dataset.class_names == ["background", "person", "dog"]
    samples = dataset.split("train")
    ids = {Path(image["file_name"]).stem: image["id"] for image in contents["train"]["images"]}
    for index in range(len(samples)):
        expected = twin(root, "train", ids[samples.name(index)], kept=(3, 90))
        np.testing.assert_array_equal(samples.read(index)[1], expected)


def change(root, split, edit):
    path = root / JSON[split]
    content = json.loads(path.read_text(encoding="utf-8"))
    content = edit(content) or content
    path.write_text(json.dumps(content), encoding="utf-8")
    return content


def boxes(*corners):
    """Squares from `(left, top)` to `(right, bottom)`."""
    return [[left, top, right, top, right, bottom, left, bottom] for left, top, right, bottom in corners]


def test_smaller_instances_lie_on_larger_ones_and_crowds_beneath(root):
    def edit(content):
        image_id = content["images"][0]["id"]
        of_image = [
            (90, 0, boxes((10, 10, 20, 20))),
            (3, 0, boxes((5, 5, 30, 30))),
            (90, 1, {"size": [40, 60], "counts": [0, 40 * 5, 40 * 55]}),  # five columns, fewer pixels than the next
            (7, 0, boxes((0, 0, 40, 40))),
            (3, 0, boxes((50, 0, 55, 5))),
            (7, 0, boxes((50, 0, 55, 5))),  # the same place: the later one is seen
        ]
        content["annotations"] = [
            {"image_id": image_id, "category_id": category, "iscrowd": crowd, "segmentation": segmentation}
            for category, crowd, segmentation in of_image
        ]

    change(root, "train", edit)
    dataset = build(root)
    index = [dataset.split("train").name(index) for index in range(len(SIZES))].index("train ü 0")
    labels = dataset.read("train", index)[1]
    assert [labels[place] for place in [(15, 15), (7, 7), (35, 35), (35, 2), (3, 52), (35, 59)]] == [3, 1, 2, 2, 2, 0]


def test_a_category_called_background_is_class_0(root):
    for split in JSON:
        change(root, split, lambda content: content["categories"].append({"id": 0, "name": "background"}))
    content = change(
        root, "train", lambda content: [each.update(category_id=0) for each in content["annotations"]] and None
    )
    assert {each["category_id"] for each in content["annotations"]} == {0}
    dataset = build(root)
    assert dataset.class_names == CLASSES
    assert not any(dataset.read("train", index)[1].any() for index in range(len(SIZES)))


def test_images_in_folders_below_and_other_layouts(root):
    """One folder of images for both splits, and other names."""
    everything = root / "pictures"
    for split in JSON:
        (everything / split).mkdir(parents=True)
        for path in (root / FOLDER[split]).iterdir():
            path.rename(everything / split / path.name)
        shutil.move(root / JSON[split], root / f"{split}.json")
        content = json.loads((root / f"{split}.json").read_text(encoding="utf-8"))
        for image in content["images"]:
            image["file_name"] = f"{split}/{image['file_name']}"
        (root / f"{split}.json").write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8-sig")
    places = {f"{split}_annotations": f"{split}.json" for split in JSON}
    dataset = build(root, train_images="pictures", val_images="pictures", **places)
    assert sorted(dataset.split("val").name(index) for index in range(4)) == [f"val-val ü {n}" for n in range(4)]
    assert dataset.split("val").read(0)[0].shape == (*SIZES[3], 3)


def test_folders_of_a_name_may_be_parted_as_on_windows(root):
    (root / "train2017" / "a").mkdir()
    (root / "train2017" / "train ü 0.png").rename(root / "train2017" / "a" / "b.png")
    set_in("images", file_name="a\\b.png")(root)
    dataset = build(root)
    assert "a-b" in [dataset.split("train").name(index) for index in range(len(SIZES))]


@pytest.mark.parametrize("size", [(100_000, 100_000), (2**40, 2**40)])
def test_a_size_that_is_not_the_images_is_told_before_anything_of_that_size_is_drawn(root, size):
    """Of an image that the check before training did not look at."""
    set_in("images", height=size[0], width=size[1])(root)
    change(
        root,
        "train",
        lambda content: [each.update(segmentation=boxes((1, 1, 9, 9))) for each in content["annotations"]] and None,
    )
    dataset = build_coco(root=str(root))
    index = [dataset.split("train").name(index) for index in range(len(SIZES))].index("train ü 0")
    message = rf"train ü 0\.png\): the mask is {size[0]}x{size[1]} .* is 40x60"
    with pytest.raises(BadSampleError, match=message) as error:
        dataset.read("train", index)
    assert error.value.kind == "size_mismatch"


DECODES_WHAT_IS_TAKEN = """
import random
from pycocotools import mask
from segtrain.datasets.coco_annotations import _COMPRESSED

draw, taken, masks = random.Random(0), 0, 0
for _ in range(60_000):
    counts = "".join(chr(draw.randrange(48, 112)) for _ in range(draw.randrange(1, 24)))
    if _COMPRESSED.fullmatch(counts):
        taken += 1
        try:
            mask.decode({"size": [40, 60], "counts": counts})
            masks += 1
        except ValueError:  # runs of another length
            pass
print(taken, masks)
"""


def test_no_compressed_runs_that_are_taken_end_the_process():
    """In a process of its own: those that end in the middle of a number have pycocotools write over its memory."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", DECODES_WHAT_IS_TAKEN], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    taken, _ = map(int, done.stdout.split())
    assert 10_000 < taken < 50_000


def test_compressed_runs_of_every_mask_are_taken():
    rng, taken = np.random.default_rng(0), 0
    for _ in range(300):
        mask = rng.random(rng.integers(1, 300, 2)) < rng.choice([0, 0.001, 0.5, 1])
        counts = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
        taken += bool(_COMPRESSED.fullmatch(counts))
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask.ravel(order="F")])))
        assert _uncompressed(counts) == np.diff([0, *edges, mask.size]).tolist()
    assert taken == 300


def test_nothing_but_the_json_is_opened_to_build(root):
    for split in JSON:
        for path in (root / FOLDER[split]).iterdir():
            path.write_bytes(b"")
    dataset = build_coco(root=str(root))
    assert len(dataset.split("train")) == len(SIZES)
    with pytest.raises(ValueError, match=r"train ü 3\.png: cannot be read as an image"):
        dataset.read("train", 0)


def test_an_annotation_takes_few_bytes(tmp_path):
    """13 of the index itself; images take the letters of their names and 40 bytes."""
    count = 20_000
    rng = np.random.default_rng(0)
    content = {
        "images": [{"id": n, "file_name": f"{n:012}.jpg", "width": 60, "height": 40} for n in range(count // 10)],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {"id": n, "image_id": int(rng.integers(count // 10)), "category_id": 1, "segmentation": boxes((1, 1, 9, 9))}
            for n in range(count)
        ],
    }
    path = tmp_path / "many.json"
    path.write_text(json.dumps(content))
    gc.collect()
    tracemalloc.start()
    try:
        annotations = CocoAnnotations(path)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(annotations) == count // 10
    assert 12 * count < taken < 25 * count


def texts_and_numbers():
    return st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@settings(max_examples=200, deadline=None)
@given(
    content=st.dictionaries(
        st.sampled_from(["images", "annotations", "categories"]) | st.text(),
        st.recursive(
            texts_and_numbers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12
        ),
    ),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 2]),
)
def test_elements_are_those_of_python_s_reader(content, ascii_only, indent):
    data = json.dumps(content, ensure_ascii=ascii_only, indent=indent).encode()
    text = data.decode("latin-1")
    found = [(section, json.loads(data[start:end])) for section, _, start, end in _elements(text)]
    sections = [key for key in content if key in ("images", "annotations", "categories")]
    assert found == [(key, each) for key in sections if isinstance(content[key], list) for each in content[key]]


def first(content, section="annotations"):
    return content[section][0]


def set_in(section, **values):
    return lambda root: change(root, "train", lambda content: first(content, section).update(values))


def outside(root):
    change(
        root, "train", lambda content: first(content).update(id=77, image_id=1000, segmentation=boxes((5, 5, 70, 9)))
    )


def other_mask_size(root):
    segmentation = {"size": [60, 40], "counts": [2400]}
    change(root, "train", lambda content: first(content).update(id=77, image_id=1000, segmentation=segmentation))


def resized_image(root):
    Image.new("RGB", (30, 20)).save(root / "train2017" / "train ü 0.png")


def same_image_in_both(root):
    shutil.copytree(root / "train2017", root / "val2017", dirs_exist_ok=True)
    change(root, "val", lambda content: first(content, "images").update(file_name="train ü 0.png"))
    change(root, "val", lambda content: content["annotations"].clear())
    shutil.rmtree(root / "train2017")
    (root / "val2017").rename(root / "both")


def many_categories(root):
    for split in JSON:
        more = [{"id": number, "name": f"thing {number}"} for number in range(1000, 1252)]
        change(root, split, lambda content, more=more: content["categories"].extend(more))


def cut(root):
    path = root / JSON["train"]
    path.write_bytes(path.read_bytes()[:-200])


def no_json(root):
    (root / JSON["train"]).write_text("<annotation></annotation>")


def duplicated(section):
    return lambda root: change(
        root, "train", lambda content: content[section].append(copy.deepcopy(first(content, section)))
    )


def broken_runs(root):
    segmentation = {"size": [40, 60], "counts": [10, 20]}
    change(root, "train", lambda content: first(content).update(id=77, image_id=1000, segmentation=segmentation))


# One thing wrong each: what to do to the folder, the settings, and what the message has to hold.
ONE_FOLDER = {"train_images": "both", "val_images": "both"}
MISTAKES = {
    "no root": (shutil.rmtree, {}, ["dataset.root=", "train2017", "dataset.train_images=PATH"]),
    "no JSON": (
        lambda root: (root / JSON["val"]).unlink(),
        {},
        ["instances_val2017.json", "dataset.val_annotations=PATH"],
    ),
    "empty JSON": (lambda root: (root / JSON["train"]).write_text(""), {}, ["train2017.json", "is empty"]),
    "other text": (no_json, {}, ["train2017.json", "has to be a JSON file as COCO has it"]),
    "cut JSON": (cut, {}, ["train2017.json", "has to be a JSON file as COCO has it"]),
    "a list": (lambda root: (root / JSON["train"]).write_text("[]"), {}, ["train2017.json", "'{' is expected"]),
    "no images": (
        lambda root: change(root, "train", lambda content: content["images"].clear()),
        {},
        ["train2017.json", "lists no images"],
    ),
    "no categories": (
        lambda root: change(root, "train", lambda content: content["categories"].clear()),
        {},
        ["train2017.json", "lists no categories"],
    ),
    "image without a size": (set_in("images", width=None), {}, ["needs an integer as its width", "train ü 0.png"]),
    "image of a width below 0": (set_in("images", width=-8), {}, ["width and a height of 1 or more", "train ü 0.png"]),
    "image without pixels": (set_in("images", height=0), {}, ["width and a height of 1 or more", "train ü 0.png"]),
    "half a letter": (set_in("images", file_name="\ud800.png"), {}, ["a file_name that no file can have", "\\ud800"]),
    "endless name": (set_in("images", file_name="a" * 5000), {}, ["image 1000", "there is no"]),
    "image above": (set_in("images", file_name="../train2017/train ü 0.png"), {}, ["image 1000", "lies outside of"]),
    "image elsewhere": (set_in("images", file_name="/etc/a.png"), {}, ["image 1000 (/etc/a.png)", "lies outside of"]),
    "id that is a text": (set_in("annotations", image_id="1000"), {}, ["needs an integer as its image_id"]),
    "endless id": (set_in("annotations", image_id=2**70), {}, ["needs an integer as its image_id"]),
    "annotation that is none": (
        lambda root: change(root, "train", lambda content: content["annotations"].append(3)),
        {},
        ["annotation without id", "no object"],
    ),
    "id twice": (duplicated("images"), {}, ["train2017.json", "1000 stands twice in its images"]),
    "missing image": (
        lambda root: (root / "train2017" / "train ü 1.png").unlink(),
        {},
        ["image 993", "there is no", "train ü 1.png"],
    ),
    "names that end differently": (
        lambda root: [
            shutil.copy(root / "train2017" / "train ü 0.png", root / "train2017" / "train ü 0.bmp"),
            change(
                root,
                "train",
                lambda content: content["images"].append(
                    first(content, "images") | {"id": 5, "file_name": "train ü 0.bmp"}
                ),
            ),
        ],
        {},
        ["train ü 0.png", "train ü 0.bmp", "same name"],
    ),
    "unknown image": (set_in("annotations", id=77, image_id=5), {}, ["annotation 77", "image 5", "does not list"]),
    "unknown category": (
        set_in("annotations", id=77, category_id=4),
        {},
        ["annotation 77", "category 4", "3 (person), 7 (car)"],
    ),
    "no segmentation": (set_in("annotations", id=77, segmentation=[]), {}, ["annotation 77", "a box alone"]),
    "odd polygon": (
        set_in("annotations", id=77, segmentation=[[1, 2, 3, 4, 5, 6, 7]]),
        {},
        ["annotation 77", "x1, y1"],
    ),
    "polygon of texts": (set_in("annotations", id=77, segmentation=[["1"] * 6]), {}, ["annotation 77", "x1, y1"]),
    "no number": (set_in("annotations", segmentation=[[float("nan")] * 6]), {}, ["NaN is no number"]),
    "outside": (outside, {}, ["annotation 77 of image 1000", "60x40", "x is 5 to 70"]),
    "mask of another size": (other_mask_size, {}, ["annotation 77 of image 1000", "40x60 pixels", "60x40"]),
    "mask without a size": (
        set_in("annotations", id=77, segmentation={"counts": "abc"}),
        {},
        ["annotation 77", "size: [height, width]"],
    ),
    "compressed runs that are cut off": (
        set_in("annotations", id=77, segmentation={"size": [40, 60], "counts": "12ddddh"}),
        {},
        ["annotation 77", "compressed counts that are cut off"],
    ),
    "compressed runs of another length": (
        set_in("annotations", id=77, image_id=1000, segmentation={"size": [40, 60], "counts": "1234"}),
        {},
        ["annotation 77 of image 1000 cannot be drawn", "and not 2400"],
    ),
    "runs of another length": (broken_runs, {}, ["annotation 77", "cannot be drawn", "30 pixels and not 2400"]),
    "resized image": (resized_image, {}, ["image 1000 (train ü 0.png)", "mask is 40x60", "20x30"]),
    "other categories": (
        lambda root: change(root, "val", lambda content: first(content, "categories").update(name="bus")),
        {},
        ["val2017.json", "category 7 is 'bus', and 'car'"],
    ),
    "two categories of one name": (
        lambda root: [
            change(root, split, lambda content: content["categories"].append({"id": 8, "name": "car"}))
            for split in JSON
        ],
        {},
        ["train2017.json", "categories 7 and 8 are both called 'car'", "Rename one"],
    ),
    "unknown name": (lambda root: None, {"categories": ["person", "carr"]}, ["'carr'", "Did you mean 'car'?", "dog"]),
    "too many": (many_categories, {}, ["255", "room for 254", "dataset.categories=[person,car,...]"]),
    "in both splits": (same_image_in_both, ONE_FOLDER, ["train ü 0.png", "for training and for validation"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_the_data_are_named(root, mistake):
    damage, settings, named = MISTAKES[mistake]
    damage(root)
    with pytest.raises(ValueError) as error:  # noqa: PT011  (each has its own words, below)
        build(root, **settings)
    for words in named:
        assert words in str(error.value)


def test_all_problems_are_told_and_left_out_where_the_teller_goes_on(root):
    def edit(content):
        for place, values in enumerate(
            [{"image_id": 5}, {"category_id": 4}, {"segmentation": None}, {"segmentation": boxes((0, 0, 900, 9))}]
        ):
            content["annotations"][place].update(values)

    before = json.loads((root / JSON["train"]).read_text(encoding="utf-8"))
    change(root, "train", edit)
    (root / "train2017" / "train ü 3.png").unlink()
    problems = []
    dataset = build(root, tell=problems.append)
    assert [problem.kind for problem in problems].count("wrong_label") == 4
    assert [problem.kind for problem in problems].count("missing_image") == 1
    assert len(problems) == 5
    assert len(dataset.split("train")) == len(SIZES) - 1
    # The others are drawn as if those had never been there.
    drawn = {dataset.split("train").name(index): dataset.read("train", index)[1] for index in range(len(SIZES) - 1)}
    change(root, "train", lambda content: {**before, "annotations": before["annotations"][4:]})
    shutil.copy(root / "val2017" / "val ü 3.png", root / "train2017" / "train ü 3.png")
    without = build(root).split("train")
    compared = 0
    for index in range(len(SIZES)):
        if without.name(index) in drawn:
            np.testing.assert_array_equal(drawn[without.name(index)], without.read(index)[1])
            compared += 1
    assert compared == len(SIZES) - 1
