import io

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from segtrain.reports.pictures import picture_path
from segtrain.reports.run_report import print_scores, write_report
from segtrain.run_folder import RunFolder

NAMES = (
    "loss", "mean_iou", "val_loss", "val_mean_iou", "learning_rate", "images_per_second", "data_wait", "seconds",
)  # fmt: skip
EPOCHS = [{"epoch": epoch, **dict.fromkeys(NAMES, 0.5 / epoch)} for epoch in (1, 2, 3)]


MORE_SCORES = {
    "boundary_f1": 0.3141,
    "mean_image_accuracy": 0.9323,
    "mean_dice": 0.6543,
    "frequency_weighted_iou": 0.7654,
    "absent_classes": [],
    "num_images": 12,
}


def make_results(class_names=("sky", "road", "car"), **changes):
    per_class = {name: None if number == 2 else 0.9 - number / 10 for number, name in enumerate(class_names)}
    return {
        "status": "completed",
        "best_epoch": 2,
        "epochs": 3,
        "val": {
            "mean_iou": 0.8512,
            "pixel_accuracy": 0.9423,
            "mean_class_accuracy": 0.8765,
            "per_class_iou": per_class,
            "per_class_boundary_f1": dict.fromkeys(class_names, 0.25),
            **MORE_SCORES,
        },
        "model": "segnet_small",
        "parameters": 1_234_567,
        "images_per_second": 321.4,
        "seconds": 98.6,
        "seed": 17,
        "image_size": [32, 48],
        "metric_contract": {
            "evaluated_at": "32x48",
            "num_classes": 3,
            "ignore_label": 255,
            "convention": "segtrain",
            "rule": "one matrix a split",
        },
        "dataset": {"name": "streets", "palette": [[number, 40, 80] for number in range(len(class_names))]},
        "environment": {"segtrain": "0.1.0", "devices": ["/CPU:0", "/CPU:1"], "replicas": 2, "git_revision": None},
        "command": "segtrain model=segnet_small dataset=streets",
        **changes,
    }


@pytest.fixture
def write(tmp_path, read_page):
    """Writes a report from made-up results; returns it, parsed."""

    def write(results=None, *, config="model:\n  depth: 5\n", pictures=(0, 2, 3), name="run", epochs=EPOCHS):
        folder = RunFolder(tmp_path / name)
        folder.predictions.mkdir(parents=True)
        folder.config.write_text(config, encoding="utf-8")
        for epoch in pictures:
            Image.fromarray(np.full((20, 936, 3), epoch % 256, np.uint8)).save(picture_path(folder, epoch))
        write_report(folder, results or make_results(), epochs)
        return read_page(folder.report)

    return write


def test_the_report_loads_nothing(write):
    page = write()
    assert len(page.loads) > 10  # pictures, and the parts of the curves that use one another
    other = [load for load in page.loads if not load.startswith(("data:image/png;base64,", "#"))]
    assert other == []
    assert page.links == []
    assert page.count("script") == page.count("link") == page.count("iframe") == 0


def test_all_figures_are_there(write):
    page = write()
    for figure in (
        "0.851",
        "0.942",
        "0.876",
        "2 / 3",
        "1,234,567",
        "321",
        "99 s",
        "seed 17",
        "32x48",
        "3 classes",
        "255",
    ):
        assert figure in page.text
    assert "one matrix a split" in page.text
    classes, environment = page.tables
    assert [row[:2] for row in classes[1:]] == [["sky", "0.900"], ["road", "0.800"], ["car", "–"]]
    assert environment == [
        ["segtrain", "0.1.0"], ["devices", "/CPU:0, /CPU:1"], ["replicas", "2"], ["git_revision", "–"],
    ]  # fmt: skip
    assert page.text.count("depth: 5") == 1
    assert "segtrain model=segnet_small dataset=streets" in page.text
    assert page.count("svg") == 1
    for name, colour in (("sky", "0,40,80"), ("car", "2,40,80")):
        assert f'rgb({colour})"></i>{name}' in page.source


@pytest.mark.parametrize("epochs", [(0, 2, 3), (0, 9, 10, 100), (0, 500, 1000, 1500), ()], ids=str)
def test_pictures_go_from_last_to_first(write, tmp_path, epochs):
    page = write(pictures=epochs)
    expected = [picture_path(RunFolder(tmp_path / "run"), epoch).read_bytes() for epoch in reversed(epochs)]
    assert page.pictures == expected
    captions = [f"after epoch {epoch}" if epoch else "before training" for epoch in reversed(epochs)]
    places = [page.text.index(caption) for caption in captions]
    assert places == sorted(places)


def test_there_is_a_light_and_a_dark_page(write):
    page = write()
    assert ("meta", {"name": "color-scheme", "content": "light dark"}) in page.tags
    light, dark = page.source.split("@media (prefers-color-scheme: dark)")
    colours = [part.split(":root {")[1].split("}")[0] for part in (light, dark)]
    names = [{entry.split(":")[0].strip() for entry in part.split(";") if entry.strip()} for part in colours]
    assert names[0] == names[1]
    assert "--page" in names[0]
    assert colours[0] != colours[1]


def test_what_comes_from_outside_is_escaped(write):
    bad = "</pre><script>alert('x')</script>"
    page = write(
        make_results([bad, "b"], command=bad, model=bad, environment={"segtrain": bad}), config=f"classes: ['{bad}']\n"
    )
    assert page.count("script") == 0
    assert page.source.count("<script") == 0
    assert page.text.count(bad) >= 5


@pytest.mark.parametrize("epochs", [EPOCHS[:1], [EPOCHS[0] | {"loss": float("nan"), "val_mean_iou": float("nan")}]])
def test_a_short_or_a_diverged_run_has_a_report(write, epochs):
    names = ("mean_iou", "pixel_accuracy", "mean_class_accuracy")
    scores = dict.fromkeys(names) | MORE_SCORES | {"boundary_f1": None}
    scores |= {"per_class_iou": {"a": None}, "per_class_boundary_f1": {"a": None}}
    page = write(make_results(val=scores), epochs=epochs, pictures=())
    assert page.tables[0][1][:2] == ["a", "–"]


def test_the_measure_of_width_sees_what_is_too_wide(width_on_a_phone):
    viewport = '<meta name="viewport" content="width=device-width">'
    assert width_on_a_phone(f"{viewport}<p>Hello</p>") <= 390
    assert width_on_a_phone(f"{viewport}<p>{'x' * 300}</p>") > 400


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"command": "segtrain dataset.root=/home/somebody/" + "a_long_folder_name_" * 5 + "/data"},
        {
            "environment": {
                "segtrain": "1",
                "platform": "Linux-6.1.0-with-a-very-long-name-" * 4,
                "devices": ["/GPU:0"] * 20,
            }
        },
        {
            "model": "a_model_with_an_exceptionally_long_name_for_a_title",
            "class_names": ["a_rather_long_class_name" * 3] * 1,
        },
    ],
    ids=["plain", "command", "environment", "names"],
)
def test_the_report_fits_a_phone(write, width_on_a_phone, changes):
    names = changes.pop("class_names", [f"class_{number}" for number in range(21)])
    page = write(make_results(names, **changes), config="dataset:\n  root: /" + "very_long_" * 30 + "\n")
    assert width_on_a_phone(page.source) <= 400


@pytest.mark.parametrize("name", ["sky", "sky[blue]", "[/road]", "[bold]"])
def test_the_terminal_shows_every_class(name):
    output = io.StringIO()
    scores = MORE_SCORES | {"mean_iou": 0.512, "pixel_accuracy": 0.734, "mean_class_accuracy": 0.625}
    scores |= {"per_class_iou": {name: 0.256, "absent": None}, "per_class_boundary_f1": {name: 0.128, "absent": None}}
    contract = {"evaluated_at": "32x48", "convention": "per_image", "rule": "of each image"}
    contract |= {"num_classes": 2, "ignore_label": 254}
    print_scores(Console(file=output, width=100), scores, title="a title", contract=contract)
    lines = output.getvalue().splitlines()
    found = {
        words: [line for line in lines if f"│ {words} " in line]
        for words in (name, "absent", "mean IoU", "pixel accuracy  ", "boundary F1")
    }
    for words, number in (
        (name, "0.256"),
        ("absent", "–"),
        ("mean IoU", "0.512"),
        ("pixel accuracy  ", "0.734"),
        ("boundary F1", "0.314"),
    ):
        assert len(found[words]) == 1
        assert number in found[words][0]
    assert "a title" in output.getvalue()
    assert lines[-1] == "12 images at 32x48; 2 classes, void label 254; convention per_image: of each image"
