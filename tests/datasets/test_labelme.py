import base64
import io
import json
import resource
import subprocess
import sys
from pathlib import Path

import cv2
import matplotlib.path
import numpy as np
import pytest
from PIL import Image

from segtrain.datasets.labelme import build_labelme
from segtrain.datasets.labelme_shapes import draw_shapes, read_annotation
from segtrain.datasets.problems import BadSampleError

SIZE = (60, 80)


def shape(label, form, points, **more):
    return {"label": label, "shape_type": form, "points": points, "group_id": None, "flags": {}, **more}


def write(root: Path, name: str, shapes: list, *, size=SIZE, suffix=".png", **more) -> None:
    image = np.random.default_rng(len(name)).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(image).save(root / f"{name}{suffix}")
    annotation = {
        "version": "5.4.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": f"elsewhere/{name}{suffix}",  # as it was called where it was drawn on
        "imageData": "no picture",
        "imageHeight": size[0],
        "imageWidth": size[1],
    }
    (root / f"{name}.json").write_text(json.dumps(annotation | more), encoding="utf-8")


SQUARE = [[10, 10], [30, 10], [30, 30], [10, 30]]


@pytest.fixture
def root(tmp_path):
    """Ten annotated images."""
    for number in range(10):
        label = ("road", "car")[number % 2]
        write(tmp_path, f"photo {number}", [shape(label, "polygon", SQUARE)])
    return tmp_path


def build(root, **settings):
    dataset = build_labelme(root=str(root), **settings)
    dataset.check()
    return dataset


def labels_by_name(dataset):
    read = {}
    for split, samples in dataset.splits.items():
        read |= {samples.name(index): dataset.read(split, index)[1] for index in range(len(samples))}
    return read


def labels_of(tmp_path, shapes, **settings):
    """The labels of one image with these shapes, and the class names."""
    write(tmp_path, "a", shapes)
    write(tmp_path, "b", shapes)
    dataset = build(tmp_path, **settings)
    return labels_by_name(dataset)["a"], dataset.class_names


def middles():
    """Positions x, y of the pixels' middles, `(pixels, 2)`."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    return np.stack([columns.ravel(), rows.ravel()], axis=1)


def inside_polygon(points):
    return matplotlib.path.Path(points, closed=False).contains_points(middles()).reshape(SIZE)


def random_polygon(rng):
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 10)))
    radii = rng.uniform(8, 45, (len(angles), 1))  # the larger ones reach outside of the image
    return rng.uniform(15, 45, 2) + radii * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_polygons_have_the_pixels_whose_middle_is_inside(tmp_path):
    rng = np.random.default_rng(0)
    polygons = [random_polygon(rng) for _ in range(60)]
    for number, points in enumerate(polygons):
        write(tmp_path, f"{number:02}", [shape("thing", "polygon", points.tolist())])
    drawn, areas = labels_by_name(build(tmp_path)), np.zeros(2)
    assert len(drawn) == 60
    for number, points in enumerate(polygons):
        expected, labels = inside_polygon(points), drawn[f"{number:02}"]
        outline = cv2.polylines(np.zeros(SIZE, np.uint8), [(points - 0.5).round().astype(np.int32)], True, 1, 3)
        at_edge = outline > 0
        assert (~at_edge & expected).any()
        np.testing.assert_array_equal(labels[~at_edge], expected[~at_edge])
        areas += labels.sum(), expected.sum()
    assert areas[1] > 20_000
    assert areas[0] == pytest.approx(areas[1], rel=0.01)  # a half pixel more around is 5 % in these


@pytest.mark.parametrize("corners", [[[10, 20], [30, 50]], [[30, 50], [10, 20]], [[10, 50], [30, 20]]])
def test_rectangles_are_exact(tmp_path, corners):
    labels, _ = labels_of(tmp_path, [shape("box", "rectangle", corners)])
    expected = np.zeros(SIZE, np.uint8)
    expected[20:50, 10:30] = 1
    np.testing.assert_array_equal(labels, expected)


def test_circles_are_exact(tmp_path):
    labels, _ = labels_of(tmp_path, [shape("disc", "circle", [[40.5, 30], [52.5, 35]])])  # a radius of 13
    x, y = middles().T
    np.testing.assert_array_equal(labels.ravel(), (x - 40.5) ** 2 + (y - 30) ** 2 <= 169)


@pytest.mark.parametrize("form", ["line", "linestrip"])
def test_lines_are_drawn_as_wide_as_asked_for(tmp_path, form):
    labels, _ = labels_of(tmp_path, [shape("wire", form, [[10, 20.5], [70, 20.5]])], line_width=5)
    expected = np.zeros(SIZE, np.uint8)
    expected[18:23, 10:70] = 1
    np.testing.assert_array_equal(labels[:, 10:70], expected[:, 10:70])
    assert labels[:, :7].sum() + labels[:, 73:].sum() == 0  # its ends are round


def test_a_line_that_comes_back_leaves_out_what_it_goes_around(tmp_path):
    around = [[10, 10], [50, 10], [50, 40], [10, 40], [10, 10]]
    labels, _ = labels_of(tmp_path, [shape("fence", "linestrip", around)], line_width=4)
    expected = np.zeros(SIZE, np.uint8)
    expected[8:42, 8:52] = 1
    expected[12:38, 12:48] = 0
    corners = np.zeros(SIZE, bool)
    corners[np.ix_([8, 9, 40, 41], [8, 9, 50, 51])] = True  # round
    np.testing.assert_array_equal(labels[~corners], expected[~corners])


def test_masks_of_models_are_put_where_they_belong(tmp_path):
    marked = np.random.default_rng(0).random((12, 21)) < 0.5
    file = io.BytesIO()
    Image.fromarray(marked).save(file, "PNG")
    png = base64.b64encode(file.getvalue()).decode()
    labels, _ = labels_of(tmp_path, [shape("cat", "mask", [[70, 5], [90, 16]], mask=png)])
    expected = np.zeros(SIZE, np.uint8)
    expected[5:17, 70:80] = marked[:, :10]  # the rest is outside
    np.testing.assert_array_equal(labels, expected)


def test_later_shapes_lie_on_top_and_points_are_left_out(tmp_path):
    shapes = [
        shape("small", "rectangle", [[20, 20], [30, 30]]),
        shape("point", "point", [[5, 5]]),
        shape("large", "rectangle", [[10, 10], [40, 40]]),
        shape("small", "rectangle", [[35, 35], [45, 45]]),
    ]
    labels, names = labels_of(tmp_path, shapes)
    assert names == ["background", "large", "small"]
    assert [labels[place] for place in [(25, 25), (38, 38), (43, 43), (5, 5)]] == [1, 2, 2, 0]


OVERLAPPING = [
    shape("road", "rectangle", [[0, 0], [80, 40]]),
    shape("car", "rectangle", [[10, 10], [30, 30]]),
    shape("_background_", "rectangle", [[12, 12], [16, 16]]),
]
PLACES = [(1, 1), (20, 20), (14, 14), (50, 50)]  # road, car, the background drawn in it, under nothing


@pytest.mark.parametrize("name", ["void", "ignore", "_ignore_", "__ignore__"])
def test_shapes_called_void_count_nowhere(tmp_path, name):
    labels, names = labels_of(tmp_path, [*OVERLAPPING, shape(name, "rectangle", [[0, 0], [5, 5]])])
    assert names == ["background", "car", "road"]
    assert [labels[place] for place in PLACES] == [255, 1, 0, 0]


def test_classes_give_the_order(tmp_path):
    for classes in (["road", "car"], ["background", "road", "car"], ["road", "void", "car"]):
        labels, names = labels_of(tmp_path, OVERLAPPING, classes=classes)
        assert names == ["background", "road", "car"]
        assert [labels[place] for place in PLACES] == [1, 2, 0, 0]


def test_what_is_under_no_shape_may_be_void(tmp_path):
    labels, names = labels_of(tmp_path, OVERLAPPING, unlabelled="ignore")
    assert names == ["_background_", "car", "road"]
    assert [labels[place] for place in PLACES] == [2, 1, 0, 255]


def test_images_that_are_not_annotated_are_left_out_and_counted(root, capsys):
    for number in (2, 5):
        (root / f"photo {number}.json").unlink()
    dataset = build(root)
    assert len(labels_by_name(dataset)) == 8
    assert "2 of 10 images" in capsys.readouterr().err
    problems = []
    Image.new("RGB", (4, 4)).save(root / "unseen.jpg")
    (root / "lone.json").write_text("{}")
    build(root, tell=problems.append)
    assert [(problem.kind, Path(problem.file).name) for problem in problems] == [
        ("missing_mask", "photo 2.png"),
        ("missing_mask", "photo 5.png"),
        ("missing_mask", "unseen.jpg"),
        ("missing_image", "lone.json"),
    ]
    assert capsys.readouterr().err == ""


def test_lists_are_the_splits(root, capsys):
    wanted = {"train": ["photo 4", "photo 0"], "val": ["photo 7"], "test": ["photo 1", "photo 3"]}
    for split, names in wanted.items():
        (root / f"{split}.txt").write_text("".join(f"{name}.png\n" for name in names))
    (root / "photo 9.json").unlink()  # in no list, so nobody asks for it
    dataset = build(root)
    found = {split: [samples.name(index) for index in range(len(samples))] for split, samples in dataset.splits.items()}
    assert found == wanted
    assert capsys.readouterr().err == ""


def test_a_drawn_split_is_whole_and_repeatable(root):
    def val(**settings):
        dataset = build(root, **settings)
        assert len(labels_by_name(dataset)) == 10
        samples = dataset.split("val")
        return [samples.name(index) for index in range(len(samples))]

    assert len(val(val_share=0.3)) == 3
    assert val(split_seed=3) == val(split_seed=3)
    assert len({tuple(val(split_seed=seed)) for seed in range(8)}) > 2


def test_an_old_file_without_a_size_is_drawn_at_the_images(root):
    path = root / "photo 3.json"
    annotation = json.loads(path.read_text())
    del annotation["imageHeight"]
    path.write_text(json.dumps(annotation))
    assert labels_by_name(build(root))["photo 3"].shape == SIZE


def test_a_size_that_is_not_the_images_is_told_before_anything_of_that_size_is_drawn(root):
    path = root / "photo 3.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"imageHeight": 10**6, "imageWidth": 10**6}))
    dataset = build_labelme(root=str(root))
    split = "train" if "photo 3" in [dataset.split("train").name(i) for i in range(8)] else "val"
    index = [dataset.split(split).name(i) for i in range(len(dataset.split(split)))].index("photo 3")
    with pytest.raises(BadSampleError, match=r"photo 3\.json: the mask is 1000000x1000000 .* image is 60x80"):
        dataset.read(split, index)


def test_an_outline_takes_little_memory_however_far_it_reaches(tmp_path):
    """Of 100 points as far outside as is taken; a file with a point farther away is refused."""
    farthest = [[160, 120] if number % 2 else [-80, -60] for number in range(100)]
    write(tmp_path, "a", [shape("road", "polygon", [*farthest, [0, 60]])])
    annotation = read_annotation(tmp_path / "a.json")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    draw_shapes(annotation, SIZE, label_of={"road": 1}, elsewhere=0, line_width=None, source=tmp_path / "a.json")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    annotation["shapes"][0]["points"][0] = [161, 10]
    with pytest.raises(BadSampleError, match="has the point 161, 10, far outside"):
        draw_shapes(annotation, SIZE, label_of={"road": 1}, elsewhere=0, line_width=None, source=tmp_path / "a.json")


def with_shape(*arguments, **more):
    return lambda root: write(root, "photo 3", [shape("road", "polygon", SQUARE), shape(*arguments, **more)])


def list_all(root, val):
    (root / "train.txt").write_text("".join(f"photo {number}\n" for number in range(8)))
    (root / "val.txt").write_text(val)


def unannotated_in_list(root):
    list_all(root, "photo 8")
    (root / "photo 3.json").unlink()


# One thing wrong each: what to do to the folder, the settings, and what the message has to hold.
MISTAKES = {
    "no root": (lambda root: root.rename(root.with_name("gone")), {}, ["dataset.root=", "has to be a folder"]),
    "nothing annotated": (
        lambda root: [path.unlink() for path in root.glob("*.json")],
        {},
        ["holds 10 images, and 0 with a JSON file", "beside"],
    ),
    "no images": (lambda root: [path.unlink() for path in root.glob("*.png")], {}, ["holds 0 images", ".jpg"]),
    "same stem": (lambda root: write(root, "photo 3", [], suffix=".bmp"), {}, ["photo 3.bmp", "photo 3.png"]),
    "cut": (
        lambda root: (root / "photo 3.json").write_text('{"shapes": [{"lab'),
        {},
        ["photo 3.json", "cannot be read as JSON"],
    ),
    "COCO's": (
        lambda root: (root / "photo 3.json").write_text('{"images": [], "annotations": []}'),
        {},
        ["photo 3.json", "dataset=coco"],
    ),
    "a list": (lambda root: (root / "photo 3.json").write_text("[]"), {}, ["photo 3.json", "list of shapes"]),
    "no label": (with_shape("", "polygon", SQUARE), {}, ["photo 3.json: shape 1 has no label"]),
    "no points": (with_shape("road", "polygon", None), {}, ["photo 3.json: shape 1 ('road') has no points"]),
    "points at infinity": (
        with_shape("road", "polygon", [[1, 2], [3, float("inf")], [4, 5]]),
        {},
        ["photo 3.json: shape 1 ('road') has no points"],
    ),
    "points far outside": (
        with_shape("road", "polygon", [[1, 2], [3, 1e30], [4, 5]]),
        {},
        ["photo 3.json: shape 1 ('road') has the point 3, 1e+30", "80x60"],
    ),
    "a form that is a list": (
        with_shape("road", ["polygon"], SQUARE),
        {},
        ["photo 3.json: shape 1 ('road') has no text for its shape_type"],
    ),
    "deeply nested": (
        lambda root: (root / "photo 3.json").write_text("[" * 100_000),
        {},
        ["photo 3.json", "nested too deeply"],
    ),
    "mask in another format": (
        with_shape("road", "mask", SQUARE[:2], mask=base64.b64encode(b"%!PS-Adobe-3.0 EPSF-3.0\n").decode()),
        {},
        ["is a mask that cannot be read"],
    ),
    "two points": (
        with_shape("road", "polygon", SQUARE[:2]),
        {},
        ["shape 1 ('road') is a polygon of too few points", "needs 3"],
    ),
    "line of one point": (with_shape("road", "line", SQUARE[:1] * 2), {"line_width": 3}, ["is a line", "needs 2"]),
    "half a circle": (with_shape("road", "circle", SQUARE[:1]), {}, ["is a circle of too few points", "needs 2"]),
    "line": (with_shape("road", "line", SQUARE[:2]), {}, ["shape 1 ('road') is a line", "dataset.line_width=PIXELS"]),
    "unknown form": (
        with_shape("road", "star", SQUARE),
        {},
        ["is a star", "polygon, rectangle, circle, line, linestrip, mask"],
    ),
    "broken mask": (with_shape("road", "mask", SQUARE[:2], mask="abc"), {}, ["is a mask that cannot be read"]),
    "mistyped label": (
        with_shape("raod", "polygon", SQUARE),
        {"classes": ["road", "car"]},
        ["photo 3.json: shape 1 ('raod')", "background, road, car.", "Did you mean 'road'?"],
    ),
    "resized image": (
        lambda root: Image.new("RGB", (40, 30)).save(root / "photo 3.png"),
        {},
        ["photo 3.json", "60x80", "30x40"],
    ),
    "void alone": (
        lambda root: [write(root, f"photo {number}", [shape("void", "polygon", SQUARE)]) for number in range(10)],
        {},
        ["no names but void"],
    ),
    "no shapes": (
        lambda root: [write(root, f"photo {number}", []) for number in range(10)],
        {},
        ["no names but none", "Draw shapes"],
    ),
    "unknown in list": (lambda root: list_all(root, "b"), {}, ["val.txt lists b", "1 missing"]),
    "in two lists": (lambda root: list_all(root, "photo 2"), {}, ["train.txt and val.txt both list photo 2.png"]),
    "list of what is not annotated": (
        unannotated_in_list,
        {},
        ["train.txt lists photo 3.png", "there is no", "photo 3.json"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_the_data_are_named(root, mistake):
    damage, settings, named = MISTAKES[mistake]
    damage(root)
    with pytest.raises(ValueError) as error:  # noqa: PT011  (each has its own words, below)
        build(root, **settings)
    for words in named:
        assert words in str(error.value)


def test_files_that_cannot_be_read_are_told_and_left_out_where_the_teller_goes_on(root):
    (root / "photo 3.json").write_text("{")
    (root / "photo 4.json").write_text("[]")
    problems = []
    dataset = build(root, tell=problems.append)
    assert [(problem.kind, Path(problem.file).name) for problem in problems] == [
        ("unreadable", "photo 3.json"),
        ("wrong_format", "photo 4.json"),
    ]
    assert labels_by_name(dataset).keys() == {f"photo {number}" for number in range(10)} - {"photo 3", "photo 4"}


def test_a_mistake_is_told_on_the_command_line(root):
    with_shape("road", "line", SQUARE[:2])(root)
    command = [sys.executable, "-m", "segtrain", "dataset=labelme", f"dataset.root={root}", "hydra.run.dir=run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.returncode != 0
    assert done.stderr.startswith("segtrain: error: ")
    assert "photo 3.json: shape 1 ('road') is a line" in done.stderr
    assert "Traceback" not in done.stderr
