"""Whole runs, from the command line to the last file. One run and one sweep are looked at from all sides."""

import contextlib
import csv
import html
import importlib.metadata
import io
import json
import logging
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import hydra
import numpy as np
import pytest
import yaml
from PIL import Image

from segtrain import cli
from segtrain.datasets import dataset as dataset_module
from segtrain.datasets.shapes import CLASS_NAMES, PALETTE, build_shapes
from segtrain.parts import start_tensorflow
from segtrain.run_folder import RunFolder
from segtrain.settings import READ_BY_RUN, TrainSettings, read_settings

# So that a handful of steps tell classes apart; the scores of a constant would agree with anything.
SETTINGS = ["--config-name", "smoke", "model.width=4", "model.batch_norm_momentum=0.5", "optimizer=adam"]
COLUMNS = (
    "epoch,loss,pixel_accuracy,mean_iou,val_loss,val_pixel_accuracy,val_mean_iou,learning_rate,"
    "images_per_second,data_wait,seconds"
)
TIMES = {"images_per_second", "data_wait", "seconds"}
HEIGHT, WIDTH = 32, 48
FEW_PICTURES = "callbacks.pictures.num_images=2"  # each takes as long as a step
NATIVE_CHATTER = re.compile(r"tensorflow|cuda|absl|onednn|tensorrt|\b[IWEF]\d{4} |warning", re.IGNORECASE)


@pytest.fixture(autouse=True, scope="module")
def _devices(two_devices):
    """TensorFlow's devices cannot be changed once it is in use, and other rooms need two."""


@contextlib.contextmanager
def kept_logging():
    """Gives logging back as it was. Hydra's set-up would close absl's handler, and that the stream pytest captures."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with mock.patch.object(logging, "shutdown"):
            yield
    finally:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:], root.level = handlers, level


def segtrain(home: Path, *arguments: object) -> SimpleNamespace:
    """Runs a command line in the folder `home`, in this process: its TensorFlow is there already."""
    output, errors, status = io.StringIO(), io.StringIO(), 0
    with (
        kept_logging(),
        contextlib.chdir(home),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        mock.patch.object(sys, "argv", ["segtrain"]),
    ):
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as exit:
            status = exit.code
    return SimpleNamespace(status=status, output=output.getvalue(), errors=errors.getvalue())


def read_results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def read_epochs(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def assert_refused(finished: SimpleNamespace, *words: str) -> None:
    assert finished.status == 1
    assert re.fullmatch(r"segtrain: error: .*\n", finished.errors), finished.errors
    for word in words:
        assert word in finished.errors


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


# A run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> SimpleNamespace:
    """A run in a process of its own: its folder, what it printed and what it wrote."""
    home = tmp_path_factory.mktemp("run") / "mein Übungslauf"
    home.mkdir()
    finished = subprocess.run(
        [sys.executable, "-m", "segtrain", *SETTINGS],
        cwd=home, capture_output=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    (path,) = (home / "outputs").glob("*/*")
    return SimpleNamespace(
        home=home,
        path=path,
        output=finished.stdout,
        errors=finished.stderr,
        results=read_results(path),
        epochs=read_epochs(path),
    )


@pytest.fixture
def copied_run(run, tmp_path) -> Path:
    """The run's folder once more, to be changed."""
    return Path(
        shutil.copytree(run.path, tmp_path / "copied run", ignore=shutil.ignore_patterns("tensorboard", "last"))
    )


def test_a_run_leaves_what_the_design_says(run):
    files = files_in(run.path)
    events = {name for name in files if re.fullmatch(r"tensorboard/\w+/events\.out\.tfevents\..*", name)}
    assert len(events) == 2
    best = {name for name in files if re.fullmatch(r"checkpoints/last/best-epoch-000[12]\.keras", name)}
    assert best
    assert files - events - best == {
        ".hydra/config.yaml",
        ".hydra/hydra.yaml",
        ".hydra/overrides.yaml",
        "config.yaml",
        "segtrain.log",
        "metrics.csv",
        "results.json",
        "report.html",
        "per_image.csv",
        "per_image.npz",
        "confusion_matrix.csv",
        "confusion_matrix.png",
        "checkpoints/best.keras",
        "checkpoints/last/epoch-0001-step-00000.npz",
        "checkpoints/last/epoch-0002-step-00000.npz",
        "predictions/epoch_000.png",
        "predictions/epoch_001.png",
        "predictions/epoch_002.png",
    }
    assert [path.name for path in run.home.iterdir()] == ["outputs"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d", run.path.relative_to(run.home / "outputs").as_posix())


def test_metrics_have_a_row_per_epoch(run):
    lines = (run.path / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == COLUMNS
    assert [row["epoch"] for row in run.epochs] == [1, 2]
    for row in run.epochs:
        assert all(0 <= row[name] <= 1 for name in row if name.endswith(("accuracy", "iou", "data_wait")))
        assert all(row[name] > 0 for name in ("loss", "val_loss", "learning_rate", "images_per_second", "seconds"))


def test_results_tell_status_and_settings(run):
    results = run.results
    assert results["status"] == "completed"
    assert (results["seed"], results["epochs"], results["image_size"]) == (1, 2, [HEIGHT, WIDTH])
    assert results["command"] == shlex.join(["segtrain", *SETTINGS])
    assert results["dataset"] == {
        "name": "shapes",
        "class_names": list(CLASS_NAMES),
        "ignore_label": 255,
        "palette": [list(colour) for colour in PALETTE],
        "channels": 3,
        "white": None,
    }
    contract = results["metric_contract"]
    assert (contract["num_classes"], contract["ignore_label"]) == (5, 255)
    assert "32x48" in contract["evaluated_at"]


def test_the_mean_is_that_of_the_classes(run):
    scores = run.results["val"]
    assert set(scores) >= {"mean_iou", "pixel_accuracy", "mean_class_accuracy", "per_class_iou"}
    assert list(scores["per_class_iou"]) == list(CLASS_NAMES)
    present = [iou for iou in scores["per_class_iou"].values() if iou is not None]
    assert scores["mean_iou"] == pytest.approx(statistics.fmean(present), abs=1e-12)
    assert sum(iou > 0 for iou in present) >= 2  # no constant: the tests below compare something


def test_the_best_epoch_is_the_one_with_the_best_score(run):
    scores = [row["val_mean_iou"] for row in run.epochs]
    assert run.results["best_epoch"] == 1 + int(np.argmax(scores))
    assert run.results["val"]["mean_iou"] == max(scores)
    assert run.results["val"]["pixel_accuracy"] == run.epochs[run.results["best_epoch"] - 1]["val_pixel_accuracy"]


def test_the_environment_is_this_one(run):
    environment = run.results["environment"]
    packages = ("tensorflow", "keras", "numpy", "albumentations", "opencv-python-headless", "hydra-core")
    assert {name: environment[name] for name in packages} == {n: importlib.metadata.version(n) for n in packages}
    assert environment["segtrain"] == importlib.metadata.version("segtrain-keras")
    assert environment["python"] == ".".join(map(str, sys.version_info[:3]))
    assert environment["replicas"] == 1
    assert environment["devices"]


def test_the_terminal_shows_scores_and_the_report(run):
    for name, iou in run.results["val"]["per_class_iou"].items():
        assert re.search(rf"\b{name}\b\W+{iou:.3f}\b", run.output)
    best = f"best validation mIoU {run.results['val']['mean_iou']:.4f} (epoch {run.results['best_epoch']})"
    assert run.output.splitlines()[-2:] == [best, f"report {run.path / 'report.html'}"]
    assert len(re.findall(r"^epoch +\d/2 ", run.output, re.MULTILINE)) == 2


def test_a_pipe_gets_plain_lines_and_no_chatter(run):
    assert run.errors == ""
    assert "\x1b" not in run.output
    assert "\r" not in run.output
    assert not NATIVE_CHATTER.search(run.output)


def test_the_report_shows_the_score(run):
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert f"{run.results['val']['mean_iou']:.3f}" in report
    assert report.count('class="grid"') == 3
    places = [report.index(f"{image['name']} · IoU {image['iou']:.3f}") for image in run.results["images"]["worst"]]
    assert len(places) == 8
    assert places == sorted(places)


def test_what_was_typed_is_kept(run):
    overrides = yaml.safe_load((run.path / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    assert overrides == SETTINGS[2:]


def test_the_config_composes_again(run, tmp_path):
    again = ["--config-path", run.path, "--config-name", "config"]
    shown = segtrain(tmp_path, *again, "--cfg", "job")
    assert (shown.status, shown.errors) == (0, "")
    config = yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(shown.output) == config
    assert (config["model"]["width"], config["optimizer"]["beta_1"], config["max_samples"]) == (4, 0.9, 12)
    assert "${" not in (run.path / "config.yaml").read_text(encoding="utf-8")


LOADING = """
import json, sys
import keras, segtrain.layers
import numpy as np
model = keras.saving.load_model(sys.argv[1])
outputs = [model(np.full((1, *size, 3), 100.0, "float32")) for size in ((32, 48), (53, 70), (16, 16))]
shapes = [tuple(output.shape) for output in outputs]
ours = [name for name in sys.modules if name.startswith("segtrain")]
print(json.dumps([model.count_params(), shapes, all(np.isfinite(output).all() for output in outputs), ours]))
"""


def test_the_model_loads_in_plain_python(run, tmp_path):
    """In safe mode, with the layers alone, for images of any size."""
    finished = subprocess.run(
        [sys.executable, "-c", LOADING, run.path / "checkpoints" / "best.keras"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    parameters, shapes, finite, ours = json.loads(finished.stdout)
    assert parameters == run.results["parameters"]
    assert shapes == [[1, 32, 48, 5], [1, 53, 70, 5], [1, 16, 16, 5]]
    assert finite
    assert all(name == "segtrain" or name.startswith("segtrain.layers") for name in ours)


# Scoring and predicting again


def test_evaluating_gives_the_same_scores(run, tmp_path):
    finished = segtrain(tmp_path, "evaluate", run.path)
    assert (finished.status, finished.errors) == (0, "")
    (folder,) = (tmp_path / "outputs").glob("*/*-evaluate")
    results = read_results(folder)
    assert results["val"] == run.results["val"]
    assert results["metric_contract"] == run.results["metric_contract"]
    assert Path(results["run"]) == run.path
    assert finished.output.splitlines()[-2:] == [
        f"results {folder / 'results.json'}", f"report {folder / 'report.html'}",
    ]  # fmt: skip
    assert results["images"] == run.results["images"]
    for name in ("per_image.csv", "confusion_matrix.csv"):
        assert (folder / name).read_bytes() == (run.path / name).read_bytes()
    assert read_results(run.path) == run.results


def test_images_are_scored_at_their_own_size(run, tmp_path):
    """Against the network's answers, taken by hand; shapes come at 32x32, the network sees 32x48."""
    import cv2
    import keras
    import sklearn.metrics
    import tensorflow as tf

    finished = segtrain(tmp_path, "evaluate", run.path, "scale=original", "hydra.run.dir=out")
    assert (finished.status, finished.errors) == (0, "")
    results = read_results(tmp_path / "out")
    assert results["metric_contract"]["scale"] == "original"
    assert "each image's own size" in finished.output
    with (tmp_path / "out" / "per_image.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    config = yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8"))["dataset"]
    dataset = build_shapes(
        **{name: value for name, value in config.items() if name not in {"_target_", *READ_BY_RUN["dataset"]}}
    )
    model = keras.saving.load_model(run.path / "checkpoints" / "best.keras")
    truth, guesses = [], []
    assert len(rows) == results["val"]["num_images"] == 12
    split = dataset.split("val")
    places = {split.name(index): index for index in range(len(split))}
    for row in rows:
        image, labels = split.read(places[row["name"]])
        assert (int(row["height"]), int(row["width"])) == labels.shape
        seen = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        logits = tf.image.resize(model(seen[None].astype("float32")), labels.shape, method="bilinear")
        predicted = np.asarray(logits)[0].argmax(axis=-1)
        truth.append(labels[labels != 255])
        guesses.append(predicted[labels != 255])
    expected = sklearn.metrics.accuracy_score(np.concatenate(truth), np.concatenate(guesses))
    assert results["val"]["pixel_accuracy"] == pytest.approx(expected, abs=1e-4)
    assert results["val"]["pixel_accuracy"] != run.results["val"]["pixel_accuracy"]


def test_an_evaluation_does_not_replace_a_run(copied_run, tmp_path):
    finished = segtrain(tmp_path, "evaluate", copied_run, "hydra.run.dir=copied run")
    assert_refused(finished, "There is a run in", "hydra.run.dir=FOLDER")
    assert read_results(copied_run)["status"] == "completed"


def test_another_split_has_a_key_of_its_own(run, tmp_path):
    finished = segtrain(tmp_path, "evaluate", run.path, "split=test", "batch_size=5", "hydra.run.dir=on test")
    assert finished.status == 0, finished.errors
    results = read_results(tmp_path / "on test")
    assert "val" not in results
    assert results["test"]["mean_iou"] != run.results["val"]["mean_iou"]


def test_predictions_are_the_models(run, tmp_path):
    """At the network's own size nothing is resized, so each label is the logits' largest."""
    import keras

    scenes = build_shapes(height=HEIGHT, width=WIDTH, seed=3).split("test")
    images = {f"scene {index}": scenes.read(index)[0] for index in range(3)}
    for name, image in images.items():
        save(tmp_path / "in" / f"{name}.png", image)
    finished = segtrain(tmp_path, "predict", run.path, "input=in", "output=out")
    assert (finished.status, finished.errors) == (0, "")
    assert finished.output == "3 images in out: palette, overlay\n"
    model = keras.saving.load_model(run.path / "checkpoints" / "best.keras")
    assert files_in(tmp_path / "out") == {f"{name}{end}.png" for name in images for end in ("", "_overlay")}
    labels = {name: np.asarray(Image.open(tmp_path / "out" / f"{name}.png")) for name in images}
    for name, image in images.items():
        logits = keras.ops.convert_to_numpy(model(image[None].astype("float32")))
        np.testing.assert_array_equal(labels[name], logits[0].argmax(axis=-1))
    assert len(np.unique(np.stack(list(labels.values())))) > 1


@pytest.fixture
def colour_run(copied_run) -> Path:
    """A run whose model is known: ground, or class 1, 2, 3 where a pixel is red, green, blue."""
    import keras

    inputs = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(5, 1)
    model = keras.Model(inputs, layer(inputs))
    kernel = np.zeros((1, 1, 3, 5), "float32")
    kernel[0, 0, [0, 1, 2], [1, 2, 3]] = 1.0
    layer.set_weights([kernel, np.float32([100, 0, 0, 0, -1])])
    model.save(copied_run / "checkpoints" / "best.keras")
    return copied_run


@pytest.fixture
def pictures(tmp_path) -> dict[str, np.ndarray]:
    """Images of several kinds and sizes in a folder `in`, red, green, blue and black in their quarters; by name."""
    images = {}
    for name, height, width in (
        ("a b.png", 32, 48),
        ("übung.bmp", 71, 50),
        ("1,2=3.tiff", 20, 200),
        ("x.y.png", 90, 9),
    ):
        image = np.zeros((height, width, 3), np.uint8)
        top, left = height // 2, width // 2
        image[:top, :left, 0] = image[:top, left:, 1] = image[top:, :left, 2] = 255
        save(tmp_path / "in" / name, image)
        images[name] = image
    return images


def test_masks_have_each_images_own_size(colour_run, pictures, tmp_path):
    finished = segtrain(tmp_path, "predict", colour_run, "input=in", "output=masks, final=1/übung")
    assert (finished.status, finished.errors) == (0, "")
    output = tmp_path / "masks, final=1" / "übung"
    assert len(files_in(output)) == 2 * len(pictures) == 8
    for name, image in pictures.items():
        mask = Image.open(output / f"{Path(name).stem}.png")
        height, width = image.shape[:2]
        assert (mask.mode, mask.size) == ("P", (width, height))
        assert np.reshape(mask.getpalette(), (-1, 3))[:5].tolist() == [list(colour) for colour in PALETTE]
        truth = np.select([image[..., channel] > 0 for channel in range(3)], [1, 2, 3], 0)
        # Resized edges are soft; away from them, by a pixel of the network and one of the image, all is known.
        rows, columns = np.indices((height, width))
        margin_y, margin_x = 1 + 2 * height / HEIGHT, 1 + 2 * width / WIDTH
        inner = (abs(rows + 0.5 - height // 2) > margin_y) & (abs(columns + 0.5 - width // 2) > margin_x)
        assert set(np.unique(truth[inner])) == {0, 1, 2, 3}
        np.testing.assert_array_equal(np.asarray(mask)[inner], truth[inner])
        blended = np.asarray(Image.open(output / f"{Path(name).stem}_overlay.png"))
        colours = np.asarray(mask.convert("RGB")).astype(int)
        assert blended.shape == image.shape
        np.testing.assert_allclose(blended, (image + colours) / 2, atol=1)


def test_predictions_are_replaced_when_asked_alone(colour_run, pictures, tmp_path):
    arguments = ("predict", colour_run, "input=in/a b.png", "output=out")
    assert segtrain(tmp_path, *arguments).status == 0
    assert files_in(tmp_path / "out") == {"a b.png", "a b_overlay.png"}
    mask = (tmp_path / "out" / "a b.png").read_bytes()
    (tmp_path / "out" / "a b.png").write_bytes(b"mine")
    assert_refused(segtrain(tmp_path, *arguments), "a b.png", "overwrite=true")
    assert (tmp_path / "out" / "a b.png").read_bytes() == b"mine"
    assert segtrain(tmp_path, *arguments, "overwrite=true").status == 0
    assert (tmp_path / "out" / "a b.png").read_bytes() == mask


@pytest.mark.parametrize("where", ["in", "in/../in", "{tmp_path}/in"])
def test_images_are_never_replaced_by_their_masks(colour_run, pictures, tmp_path, where):
    before = {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    output = where.format(tmp_path=tmp_path)
    finished = segtrain(tmp_path, "predict", colour_run, "input=in", f"output={output}", "overwrite=true")
    assert {name: (tmp_path / "in" / name).read_bytes() for name in before} == before
    assert_refused(finished, "input")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["input=nowhere", "output=out"], ["input=nowhere", "no such file or folder"]),
        (["input=empty", "output=out"], ["input=empty", "no image"]),
        (["input=in/a b.png", "output=in/a b.png"], ["a b.png"]),
        (["input=twice", "output=out"], ["twice/a.bmp", "twice/a.png"]),
        (["input=overlaid", "output=out"], ["overlaid/a_overlay.png"]),
    ],
)
def test_what_cannot_be_predicted_is_told(colour_run, pictures, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    for name in ("twice/a.png", "twice/a.bmp", "overlaid/a.png", "overlaid/a_overlay.png"):
        save(tmp_path / name, pictures["a b.png"])
    assert_refused(segtrain(tmp_path, "predict", colour_run, *arguments), *words)
    assert not (tmp_path / "out").exists() or not files_in(tmp_path / "out")


def test_images_are_predicted_as_the_run_has_read_them(tmp_path):
    """A run of 12-bit grey images: its predictions for one are those for the same image brought to 8 bits."""
    rng = np.random.default_rng(0)
    write_pairs(tmp_path / "data", 6)
    for path in (tmp_path / "data" / "images").iterdir():
        deep = np.asarray(Image.open(path))[..., 0] * np.uint16(16)
        Image.fromarray(deep).save(path)
    settings = own_data("dataset.channels=1", "dataset.white=4095", "dataset.classes=[ground,thing]")
    assert segtrain(tmp_path, *settings).status == 0
    results = read_results(tmp_path / "out")
    assert (results["dataset"]["channels"], results["dataset"]["white"]) == (1, 4095)
    deep = rng.integers(0, 4096, (40, 60), np.uint16)
    (tmp_path / "deep").mkdir()
    Image.fromarray(deep).save(tmp_path / "deep" / "a.png")
    save(tmp_path / "eight" / "a.png", np.round(deep / 4095 * 255).astype(np.uint8))
    for folder in ("deep", "eight"):
        finished = segtrain(tmp_path, "predict", "out", f"input={folder}", f"output=of {folder}")
        assert (finished.status, finished.errors) == (0, "")
    for name in ("a.png", "a_overlay.png"):
        assert (tmp_path / "of deep" / name).read_bytes() == (tmp_path / "of eight" / name).read_bytes()
    save(tmp_path / "colours.png", np.zeros((40, 60, 3), np.uint8))
    finished = segtrain(tmp_path, "predict", "out", "input=colours.png", "output=of colours")
    assert finished.status == 3
    assert re.search(r"colours\.png: .*holds 3 channels", finished.errors)


# What is no finished run


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("no folder", ["no such folder"]),
        ("empty folder", ["no config.yaml and no results.json"]),
        ("no checkpoint", ["no checkpoints/best.keras"]),
        ("half a checkpoint", ["best.keras"]),
    ],
)
def test_what_is_no_run_is_told(copied_run, tmp_path, verb, broken, words):
    if broken == "no folder":
        shutil.rmtree(copied_run)
    elif broken == "empty folder":
        shutil.rmtree(copied_run)
        copied_run.mkdir()
    elif broken == "no checkpoint":
        (copied_run / "checkpoints" / "best.keras").unlink()
    else:
        best = copied_run / "checkpoints" / "best.keras"
        best.write_bytes(best.read_bytes()[:2000])
    save(tmp_path / "in" / "a.png", np.zeros((8, 8, 3), np.uint8))
    more = ["input=in", "output=out"] if verb == "predict" else []
    assert_refused(segtrain(tmp_path, verb, "copied run", *more), "copied run", *words)
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_interrupted_is_told(copied_run, tmp_path):
    """It has a checkpoint, and its results.json tells nothing yet of the classes."""
    (copied_run / "results.json").write_text(json.dumps({"status": "interrupted", "seed": 1}))
    save(tmp_path / "in" / "a.png", np.zeros((8, 8, 3), np.uint8))
    finished = segtrain(tmp_path, "predict", "copied run", "input=in", "output=out")
    if finished.status:  # predicting from it would be as good
        assert_refused(finished, "copied run")
    else:
        assert files_in(tmp_path / "out") == {"a.png", "a_overlay.png"}


@pytest.mark.parametrize("text", ["a: [1\nb: :", "", "dataset: 3\n", "- 1\n"])
def test_a_config_that_is_none_is_told(copied_run, tmp_path, text):
    (copied_run / "config.yaml").write_text(text)
    assert_refused(segtrain(tmp_path, "evaluate", "copied run"), "copied run")


def test_data_with_other_classes_than_the_checkpoint_is_told(copied_run, tmp_path):
    write_pairs(tmp_path / "own data", 4)
    config = yaml.safe_load((copied_run / "config.yaml").read_text(encoding="utf-8"))
    config["dataset"] = {
        "_target_": "segtrain.datasets.folder.build_folder",
        "root": str(tmp_path / "own data"),
        "classes": ["ground", "road", "sky"],
    }
    (copied_run / "config.yaml").write_text(yaml.safe_dump(config))
    assert_refused(segtrain(tmp_path, "evaluate", "copied run"), "best.keras", "5 classes", "3", "ground, road, sky")


# Data that cannot be trained on


def write_pairs(root: Path, count: int) -> None:
    """Writes images and masks of classes 0 and 1; the last two are for validation."""
    rng = np.random.default_rng(0)
    for index in range(count):
        mask = np.zeros((40, 60), np.uint8)
        mask[10:30, 5 + index : 25 + index] = 1
        save(
            root / "images" / f"photo {index}.png", rng.integers(0, 100, (40, 60, 3), np.uint8) + 150 * mask[..., None]
        )
        save(root / "masks" / f"photo {index}.png", mask)
    names = [f"photo {index}" for index in range(count)]
    (root / "train.txt").write_text("\n".join(names[:-2]))
    (root / "val.txt").write_text("\n".join(names[-2:]))


def own_data(*more: str) -> list[str]:
    return [
        "size=tiny",
        "model=encoder_decoder_small",
        "batch_size=2",
        "model.width=4",
        "dataset=folder",
        "dataset.root=data",
        "hydra.run.dir=out",
        *more,
    ]


def test_a_run_on_own_data_is_scored_again(tmp_path):
    write_pairs(tmp_path / "data", 8)
    finished = segtrain(tmp_path, *own_data("epochs=1"))
    assert finished.status == 0, finished.errors
    finished = segtrain(tmp_path, "evaluate", "out", "hydra.run.dir=again")
    assert (finished.status, finished.errors) == (0, "")
    assert read_results(tmp_path / "again")["val"] == read_results(tmp_path / "out")["val"]


def test_names_that_are_no_utf8_go_through_a_whole_run(tmp_path):
    write_pairs(tmp_path / "data", 12)
    for folder in ("images", "masks"):
        for path in (tmp_path / "data" / folder).iterdir():
            os.rename(os.fsencode(path), os.fsencode(path.parent) + b"/caf\xe9_" + os.fsencode(path.name))
    for split in ("train.txt", "val.txt"):
        listed = (tmp_path / "data" / split).read_bytes()
        (tmp_path / "data" / split).write_bytes(listed.replace(b"photo", b"caf\xe9_photo"))
    finished = segtrain(tmp_path, *own_data("epochs=1", FEW_PICTURES))
    assert (finished.status, finished.errors) == (0, "")
    assert segtrain(tmp_path, "evaluate", "out", "hydra.run.dir=again").status == 0
    for folder in (tmp_path / "out", tmp_path / "again"):
        worst = read_results(folder)["images"]["worst"]
        with (folder / "per_image.csv").open(encoding="utf-8", newline="") as file:
            names = {row["name"] for row in csv.DictReader(file)}
        assert worst
        assert {image["name"] for image in worst} <= names
        assert all(name.startswith("caf\\xe9_") for name in names)
        assert all(image["name"] in (folder / "report.html").read_text(encoding="utf-8") for image in worst)


@pytest.mark.parametrize("fails", [False, True])
def test_a_network_that_answers_one_class_is_told_of(tmp_path, monkeypatch, fails):
    def raise_error(*_):
        raise ValueError("no scores today")

    if fails:
        monkeypatch.setattr("segtrain.evaluation.split_scores.evaluate_split", raise_error)
    finished = segtrain(tmp_path, "--config-name", "smoke", "model.width=4", "callbacks=[csv]", "hydra.run.dir=out")
    results = read_results(tmp_path / "out")
    assert results["status"] == ("failed" if fails else "completed")
    assert len(results["warnings"]) == 1
    epoch, _, collapse = results["warnings"][0].partition(": ")
    assert re.fullmatch(r"after epoch \d", epoch)
    assert "the network answers one class nearly everywhere: " in collapse
    assert f"warning: {collapse}" in finished.output.splitlines()
    assert results["warnings"][0] in (tmp_path / "out" / "segtrain.log").read_text(encoding="utf-8")


def test_evaluate_averages_and_tiles(run, tmp_path):
    """One window as large as the image is the image; averages over views are other answers."""

    def evaluated(*arguments):
        out = f"hydra.run.dir=out{len(list(tmp_path.iterdir()))}"
        finished = segtrain(tmp_path, "evaluate", run.path, *arguments, out)
        assert (finished.status, finished.errors) == (0, "")
        return read_results(tmp_path / out.removeprefix("hydra.run.dir="))

    tiled = evaluated(f"sliding_window=[{HEIGHT},{WIDTH}]")
    assert tiled["val"]["mean_iou"] == pytest.approx(run.results["val"]["mean_iou"], abs=1e-4)
    assert tiled["metric_contract"]["sliding_window"] == [HEIGHT, WIDTH]
    mirrored = evaluated("tta=[flip]")
    assert mirrored["metric_contract"]["evaluated_at"].endswith("averaged over the image and its mirror image")
    assert mirrored["val"]["mean_iou"] != run.results["val"]["mean_iou"]
    assert evaluated("tta=[flip,flip]")["val"] == mirrored["val"]


@pytest.mark.parametrize("convention", ["per_image", "absent_as_one", "absent_as_zero"])
def test_evaluate_scores_under_the_convention_asked_for(run, tmp_path, convention):
    finished = segtrain(tmp_path, "evaluate", run.path, f"metric_convention={convention}", "hydra.run.dir=out")
    assert (finished.status, finished.errors) == (0, "")
    results = read_results(tmp_path / "out")
    assert results["metric_contract"]["convention"] == convention
    assert f"convention {convention}: " in finished.output
    if convention == "per_image":
        with (tmp_path / "out" / "per_image.csv").open(encoding="utf-8", newline="") as file:
            expected = statistics.fmean(float(row["mean_iou"]) for row in csv.DictReader(file))
    else:
        with (tmp_path / "out" / "confusion_matrix.csv").open(encoding="utf-8", newline="") as file:
            matrix = np.array([row[1:] for row in list(csv.reader(file))[1:]], dtype=np.int64)
        assert matrix.shape == (5, 5)
        of_absent = 1.0 if convention == "absent_as_one" else 0.0
        unions = [matrix[k].sum() + matrix[:, k].sum() - matrix[k, k] for k in range(5)]
        expected = np.mean([matrix[k, k] / union if union else of_absent for k, union in enumerate(unions)])
    assert results["val"]["mean_iou"] == pytest.approx(expected)


def assert_failed(folder: Path, finished: SimpleNamespace, *words: str) -> None:
    """The run is told to have failed, in the terminal as in its folder, and holds nothing half-written."""
    assert_refused(finished, *words)
    results = read_results(folder)
    assert results["status"] == "failed"
    assert all(word in results["error"] for word in words)
    assert "val" not in results
    files = files_in(folder)
    assert not [name for name in files if ".part" in name or "report" in name or name.endswith(".keras")]
    assert "Traceback" in (folder / "segtrain.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("no root", ["dataset.root=data", "images/ and masks/"]),
        ("no mask", ["photo 1.png", "no mask"]),
        ("small mask", ["photo 1.png", "39x60", "40x60"]),
        ("wrong label", ["photo 1.png", "label 9 at row 3, column 4", "0..1", "255"]),
        ("unreadable mask", ["masks/photo 1.png", "cannot be read"]),
        ("unreadable image", ["images/photo 1.png", "cannot be read"]),
        ("empty split", ["'val' is empty"]),
    ],
)
def test_bad_data_is_found_before_training(tmp_path, broken, words):
    root = tmp_path / "data"
    write_pairs(root, 6)
    mask = np.asarray(Image.open(root / "masks" / "photo 1.png")).copy()
    if broken == "no root":
        shutil.rmtree(root)
    elif broken == "no mask":
        (root / "masks" / "photo 1.png").unlink()
    elif broken == "small mask":
        save(root / "masks" / "photo 1.png", mask[1:])
    elif broken == "wrong label":
        mask[3, 4] = 9
        save(root / "masks" / "photo 1.png", mask)
    elif broken == "empty split":
        (root / "val.txt").write_text("")
    else:
        folder = "masks" if broken == "unreadable mask" else "images"
        (root / folder / "photo 1.png").write_bytes(b"\x89PNG no more")
    before = files_in(root)
    finished = segtrain(tmp_path, *own_data("dataset.classes=[ground,road]"))
    assert_failed(tmp_path / "out", finished, *words)
    assert finished.output == ""
    assert files_in(root) == before


@pytest.mark.parametrize(("split", "index"), [("train", 2), ("val", 5)])
def test_a_wrong_label_that_the_sample_missed_is_named_when_it_is_read(tmp_path, monkeypatch, split, index):
    monkeypatch.setattr(dataset_module, "MASKS_CHECKED", 1)
    root = tmp_path / "data"
    write_pairs(root, 6)
    mask = np.asarray(Image.open(root / "masks" / f"photo {index}.png")).copy()
    mask[7, 8] = 77
    save(root / "masks" / f"photo {index}.png", mask)
    settings = own_data("dataset.classes=[ground,road]", "callbacks=[csv,terminate_on_nan]", "epochs=1")
    finished = segtrain(tmp_path, *settings)
    assert "4 train, 2 val" in finished.output
    assert_failed(tmp_path / "out", finished, f"masks/photo {index}.png", "label 77 at row 7, column 8")
    assert (tmp_path / "out" / "metrics.csv").read_text(encoding="utf-8").splitlines() == [COLUMNS]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["batch_size=64"], ["batch_size=64", "12"]),
        (["augmentation.transforms.flip.p=2"], ["flip", "2"]),
        (
            ["+augmentation.transforms.mine._target_=albumentations.Rotate", "+augmentation.transforms.mine.limit=x"],
            ["mine"],
        ),
    ],
)
def test_settings_that_cannot_be_trained_with_are_told(tmp_path, settings, words):
    finished = segtrain(tmp_path, "--config-name", "smoke", *settings, "hydra.run.dir=out")
    if finished.status == 2:  # found even before the run has a folder
        assert all(word in finished.errors for word in words)
    else:
        assert_failed(tmp_path / "out", finished, *words)


# Logits of a smaller size than the image's


def test_a_run_at_the_size_of_its_logits(tmp_path):
    """Scored against masks that OpenCV shrank; what a mask is asked of at the image's size, has that size."""
    import cv2
    import keras
    import sklearn.metrics
    import tensorflow as tf

    network = ["model=unet_on_encoder", "model/encoder=mobilenet_v2", "model.encoder.alpha=0.35"]
    settings = ["model.widths=[4,4,4,4]", "model.batch_norm_momentum=0.5", "model.logits_at=native", "optimizer=adam"]
    finished = segtrain(tmp_path, *network, "size=tiny", *settings, FEW_PICTURES, "hydra.run.dir=run")
    assert (finished.status, finished.errors) == (0, "")
    results = read_results(tmp_path / "run")
    size = "16x24, the size of the logits for images of 32x48 (height x width)"
    assert results["metric_contract"]["evaluated_at"].startswith(size)
    assert f"12 images at {size}" in finished.output
    assert f"Scored at {size}" in html.unescape((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
    assert len([name for name in files_in(tmp_path / "run") if name.startswith("predictions/")]) == 3

    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))["dataset"]
    split = build_shapes(
        **{name: value for name, value in config.items() if name not in {"_target_", *READ_BY_RUN["dataset"]}}
    ).split("val")
    places = {split.name(index): index for index in range(len(split))}
    model = keras.saving.load_model(tmp_path / "run" / "checkpoints" / "best.keras")
    truth, guesses = [], []
    with (tmp_path / "run" / "per_image.csv").open(encoding="utf-8", newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    assert len(names) == 12
    for name in names:
        image, labels = split.read(places[name])
        for width, height in ((WIDTH, HEIGHT), (WIDTH // 2, HEIGHT // 2)):
            labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        seen = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        logits = np.asarray(model(seen[None].astype("float32")))[0]
        truth.append(labels[labels != 255])
        guesses.append(logits.argmax(axis=-1)[labels != 255])
    truth, guesses = np.concatenate(truth), np.concatenate(guesses)
    of_classes = np.union1d(truth, guesses)
    expected = sklearn.metrics.jaccard_score(truth, guesses, labels=of_classes, average="macro")
    assert results["val"]["mean_iou"] == pytest.approx(expected)
    assert results["val"]["mean_iou"] == max(row["val_mean_iou"] for row in read_epochs(tmp_path / "run"))

    shapes = {"": "16x24", "scale=original": "32x32"}
    for number, (asked, shape) in enumerate(shapes.items()):
        out = f"hydra.run.dir=again {number}"
        finished = segtrain(tmp_path, "evaluate", "run", *filter(None, [asked]), out)
        assert (finished.status, finished.errors) == (0, "")
        again = read_results(tmp_path / f"again {number}")
        with (tmp_path / f"again {number}" / "per_image.csv").open(encoding="utf-8", newline="") as file:
            assert {f"{row['height']}x{row['width']}" for row in csv.DictReader(file)} == {shape}
        if asked:
            assert again["metric_contract"]["evaluated_at"].startswith("each image's own size, from logits at 32x48")
        else:
            assert (again["val"], again["metric_contract"]) == (results["val"], results["metric_contract"])

    image = build_shapes(height=HEIGHT, width=WIDTH, seed=3).split("test").read(0)[0]
    save(tmp_path / "in" / "scene.png", image)
    save(tmp_path / "in" / "odd.png", cv2.resize(image, (67, 41)))
    finished = segtrain(tmp_path, "predict", "run", "input=in", "output=out")
    assert (finished.status, finished.errors) == (0, "")
    masks = {name: np.asarray(Image.open(tmp_path / "out" / f"{name}.png")) for name in ("scene", "odd")}
    assert masks["odd"].shape == (41, 67)
    enlarged = tf.image.resize(model(image[None].astype("float32")), (HEIGHT, WIDTH), method="bilinear")
    np.testing.assert_array_equal(masks["scene"], np.asarray(enlarged)[0].argmax(axis=-1))


# How images reach the network's size

OWN_SIZES = ["image_size=null", "batch_size=1", "augmentation=flip"]


@pytest.fixture
def photos_of_many_sizes(tmp_path) -> Path:
    """A folder `data` of ten scenes, no two of one size; the last three are for validation."""
    root = tmp_path / "data"
    shapes = [(32 + 5 * number, 60 - 4 * number) for number in range(10)]
    for number, (height, width) in enumerate(shapes):
        image, labels = build_shapes(num_train=1, height=height, width=width, seed=number).read("train", 0)
        save(root / "images" / f"photo {number}.png", image)
        save(root / "masks" / f"photo {number}.png", labels)
    for split, numbers in (("train", range(7)), ("val", range(7, 10))):
        (root / f"{split}.txt").write_text("\n".join(f"photo {number}" for number in numbers))
    return root


def test_images_at_their_own_sizes_go_through_a_whole_run(photos_of_many_sizes, tmp_path):
    import keras
    import sklearn.metrics

    settings = [f"dataset.classes=[{','.join(CLASS_NAMES)}]", "model.batch_norm_momentum=0.5", "optimizer=adam"]
    finished = segtrain(tmp_path, *own_data(*OWN_SIZES, *settings, FEW_PICTURES, "max_samples=null"))
    assert (finished.status, finished.errors) == (0, "")
    assert "7 train, 3 val, 5 classes, images at their own sizes, 2 epochs of 7 steps" in finished.output
    results = read_results(tmp_path / "out")
    assert (results["status"], results["image_size"], results["resize"]) == ("completed", None, None)
    assert results["metric_contract"]["evaluated_at"] == "each image's own size"
    assert "Scored at each image's own size;" in html.unescape(
        (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    )
    assert len([name for name in files_in(tmp_path / "out") if name.startswith("predictions/")]) == 3

    # The score is that of every pixel of the files themselves.
    model = keras.saving.load_model(tmp_path / "out" / "checkpoints" / "best.keras")
    truth, predicted = [], {}
    for number in range(7, 10):
        image, mask = (
            np.asarray(Image.open(photos_of_many_sizes / folder / f"photo {number}.png"))
            for folder in ("images", "masks")
        )
        predicted[number] = model.predict(image[None].astype("float32"), verbose=0)[0].argmax(axis=-1)
        truth.append(np.stack([mask, predicted[number]], axis=-1)[mask != 255])
    labels, guesses = np.concatenate(truth).T
    seen = np.union1d(labels, guesses)
    expected = sklearn.metrics.jaccard_score(labels, guesses, labels=seen, average="macro")
    assert results["val"]["mean_iou"] == pytest.approx(expected)

    finished = segtrain(tmp_path, "evaluate", "out", "hydra.run.dir=again")
    assert (finished.status, finished.errors) == (0, "")
    again = read_results(tmp_path / "again")
    assert (again["val"], again["metric_contract"]) == (results["val"], results["metric_contract"])
    # At their own sizes they are scored already; one by one they are answered the same.
    finished = segtrain(tmp_path, "evaluate", "out", "scale=original", "hydra.run.dir=one by one")
    assert (finished.status, finished.errors) == (0, "")
    assert read_results(tmp_path / "one by one")["val"]["mean_iou"] == pytest.approx(expected, abs=1e-4)
    assert_refused(segtrain(tmp_path, "evaluate", "out", "batch_size=2"), "image_size=null", "Leave batch_size out.")

    finished = segtrain(tmp_path, "predict", "out", "input=data/images", "output=masks")
    assert (finished.status, finished.errors) == (0, "")
    for number in range(7, 10):
        mask = np.asarray(Image.open(tmp_path / "masks" / f"photo {number}.png"))
        np.testing.assert_array_equal(mask, predicted[number])


@pytest.mark.parametrize("resize", ["letterbox", "crop_square"])
def test_a_run_tells_how_images_reached_its_size(photos_of_many_sizes, tmp_path, resize):
    settings = ["dataset.classes=null", f"dataset.resize={resize}", "epochs=1", "callbacks=[checkpoint]"]
    finished = segtrain(tmp_path, *own_data(*settings))
    assert (finished.status, finished.errors) == (0, "")
    assert f"32x48 ({resize})" in finished.output
    results = read_results(tmp_path / "out")
    assert results["resize"] == resize
    words = {"letterbox": "images letterboxed", "crop_square": "images cropped to their largest centred part"}
    assert words[resize] in results["metric_contract"]["evaluated_at"]
    assert segtrain(tmp_path, "evaluate", "out", "hydra.run.dir=again").status == 0
    assert read_results(tmp_path / "again")["val"] == results["val"]
    assert segtrain(tmp_path, "predict", "out", "input=data/images", "output=masks").status == 0
    sizes = {Image.open(path).size for path in (tmp_path / "masks").glob("*[0-9].png")}
    assert sizes == {Image.open(path).size for path in (photos_of_many_sizes / "images").iterdir()}
    assert len(sizes) == 10


@pytest.mark.parametrize(
    ("overrides", "jit", "strategy"), [(["image_size=[8,8]"], True, "auto"), (OWN_SIZES, False, "one")]
)
def test_images_of_many_sizes_are_not_compiled_for_each(tmp_path, monkeypatch, overrides, jit, strategy):
    """As on a machine with GPUs, where `auto` would have XLA compile and would mirror."""
    from segtrain.training import trainer

    choose_strategy, chosen = trainer.choose_strategy, []
    monkeypatch.setattr(trainer, "pays_to_compile", lambda num_replicas: True)
    monkeypatch.setattr(trainer, "choose_strategy", lambda choice, _: chosen.append(choice) or choose_strategy("one"))
    with hydra.initialize_config_dir(str(cli.config_folder()), version_base="1.3"):
        settings = read_settings(hydra.compose("config", overrides), TrainSettings)
    assert start_tensorflow(settings, RunFolder(tmp_path)).jit is jit
    assert chosen == [strategy]


def test_images_at_their_own_sizes_are_benchmarked(photos_of_many_sizes, tmp_path):
    settings = ["dataset.classes=null", *OWN_SIZES, "max_samples=null", "measure=[run]", "rounds=1"]
    finished = segtrain(tmp_path, "benchmark", *own_data(*settings))
    assert (finished.status, finished.errors) == (0, "")
    output = " ".join(finished.output.split())  # a table's title goes on in a second line
    assert "encoder_decoder_small on folder, images at their own sizes, batch 1, 1 rounds" in output
    found = json.loads((tmp_path / "out" / "benchmark.json").read_text(encoding="utf-8"))
    assert found["image_size"] is None
    assert all(found[f"{part}_images_per_second"] > 0 for part in ("pipeline", "step", "loop"))


# A sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> SimpleNamespace:
    home = tmp_path_factory.mktemp("sweep")
    with mock.patch.dict(os.environ, COLUMNS="80"):  # what a pipe has, and many a terminal
        choices = ["model=segnet_small,encoder_decoder_small", "seed=1,2"]
        finished = segtrain(home, "-m", *SETTINGS, *choices, "callbacks=[csv,checkpoint]")
    assert finished.status == 0, finished.errors
    (path,) = (home / "outputs" / "multirun").glob("*/*")
    folders = {folder.name: folder for folder in path.iterdir() if folder.is_dir()}
    return SimpleNamespace(home=home, path=path, output=finished.output, folders=folders)


def job(sweep: SimpleNamespace, model: str, seed: int) -> Path:
    (folder,) = (sweep.folders[name] for name in sweep.folders if f"model-{model}_" in name and f"seed-{seed}" in name)
    return folder


def test_a_sweep_has_a_folder_for_each_job(sweep):
    assert len(sweep.folders) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in sweep.folders)
    assert len({job(sweep, model, seed) for model in ("segnet_small", "encoder_decoder_small") for seed in (1, 2)}) == 4
    beside = {path.name for path in sweep.path.iterdir() if path.is_file()}
    comparison = {"comparison.html", "comparison.csv", "comparison.json", ".comparison.lock"}
    assert beside == {*comparison, "multirun.yaml", "sweep.json"}
    for folder in sweep.folders.values():
        assert read_results(folder)["status"] == "completed"
        assert files_in(folder) >= {"config.yaml", "metrics.csv", "report.html", "checkpoints/best.keras"}
    assert not [name for name in files_in(sweep.path) if ".part" in name]


def test_the_comparison_has_mean_and_spread_over_seeds(sweep):
    comparison = json.loads((sweep.path / "comparison.json").read_text(encoding="utf-8"))
    assert comparison["varying"] == ["model"]
    assert {part["settings"]["model"] for part in comparison["configurations"]} == {
        "segnet_small",
        "encoder_decoder_small",
    }
    for part in comparison["configurations"]:
        scores = [read_results(job(sweep, part["settings"]["model"], seed))["val"]["mean_iou"] for seed in (1, 2)]
        assert part["mean_iou"]["mean"] == pytest.approx(np.mean(scores), abs=1e-12)
        assert part["mean_iou"]["std"] == pytest.approx(np.std(scores, ddof=1), abs=1e-12)
        assert sorted(part["mean_iou"]["values"]) == sorted(scores)
    with (sweep.path / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    for part in comparison["configurations"]:
        row = rows.pop(part["settings"]["model"])
        assert float(row["mean_iou_mean"]) == part["mean_iou"]["mean"]
        assert float(row["mean_iou_std"]) == part["mean_iou"]["std"]
    assert not rows


def test_the_terminal_ends_with_the_comparison(sweep):
    assert sweep.output.splitlines()[-1].startswith("comparison ")
    assert sweep.output.splitlines()[-1].endswith("comparison.html")
    for model in ("segnet_small", "encoder_decoder_small"):
        mean = np.mean([read_results(job(sweep, model, seed))["val"]["mean_iou"] for seed in (1, 2)])
        assert re.search(rf"\b{model}\b.*\b{mean:.3f} ± ", sweep.output)


def test_the_twins_of_a_sweep_are_equal_in_size(sweep):
    sizes = {read_results(folder)["parameters"] for folder in sweep.folders.values()}
    assert len(sizes) == 1


def test_a_job_gives_the_same_numbers_as_the_run_alone(run, sweep):
    """In another process, among other jobs, without the pictures: the same seed and settings give the same numbers."""
    folder = job(sweep, "segnet_small", 1)
    assert read_results(folder)["val"] == run.results["val"]
    assert read_results(job(sweep, "segnet_small", 2))["val"] != run.results["val"]
    numbers = [{name: row[name] for name in row if name not in TIMES} for row in run.epochs]
    assert [{name: row[name] for name in row if name not in TIMES} for row in read_epochs(folder)] == numbers


def test_a_sweep_is_compared_again(sweep, tmp_path):
    copy = shutil.copytree(sweep.path, tmp_path / "sweep", ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))
    before = (copy / "comparison.json").read_bytes()
    for name in ("json", "csv", "html"):
        (copy / f"comparison.{name}").unlink()
    finished = segtrain(tmp_path, "compare", "sweep")
    assert (finished.status, finished.errors) == (0, "")
    assert (copy / "comparison.json").read_bytes() == before
    assert {"comparison.csv", "comparison.html"} <= files_in(copy)


def test_a_failed_job_is_told_and_the_others_are_done(tmp_path):
    """Without callbacks a job is scored all the same, and keeps no checkpoint."""
    settings = ["model=encoder_decoder_small", "callbacks=none", "epochs=1", "batch_size=64,4", "hydra.sweep.dir=sweep"]
    finished = segtrain(tmp_path, "-m", *SETTINGS, *settings)
    assert_refused(finished, "batch_size=64")
    comparison = json.loads((tmp_path / "sweep" / "comparison.json").read_text(encoding="utf-8"))
    done, failed = sorted(comparison["jobs"], key=lambda job: int(job["overrides"]["batch_size"]))
    assert (done["status"], failed["status"]) == ("completed", "failed")
    assert "batch_size=64" in failed["error"]
    assert read_results(tmp_path / "sweep" / failed["name"])["status"] == "failed"
    results = read_results(tmp_path / "sweep" / done["name"])
    assert (results["val"]["mean_iou"], results["best_epoch"]) == (done["mean_iou"], 1)
    assert files_in(tmp_path / "sweep" / done["name"]) == {
        ".hydra/config.yaml",
        ".hydra/hydra.yaml",
        ".hydra/overrides.yaml",
        "config.yaml",
        "segtrain.log",
        "results.json",
        "report.html",
        "per_image.csv",
        "per_image.npz",
        "confusion_matrix.csv",
        "confusion_matrix.png",
    }
    assert_refused(segtrain(tmp_path, "evaluate", f"sweep/{done['name']}"), done["name"], "callbacks=none")


# What a run must not lose


def test_a_folder_holds_one_run(copied_run, tmp_path):
    before = {name: (copied_run / name).read_bytes() for name in files_in(copied_run)}
    finished = segtrain(tmp_path, *SETTINGS, "hydra.run.dir=copied run", "callbacks=none")
    assert_refused(finished, "copied run", "hydra.run.dir")
    unchanged = {name for name in before if not name.startswith(".hydra/") and name != "segtrain.log"}
    assert len(unchanged) >= 6
    assert {name: (copied_run / name).read_bytes() for name in unchanged} == {name: before[name] for name in unchanged}


def test_a_failure_after_the_scores_keeps_them(tmp_path):
    (tmp_path / "out" / "report.html").mkdir(parents=True)
    finished = segtrain(tmp_path, *SETTINGS, "epochs=1", "callbacks=none", "hydra.run.dir=out")
    assert_refused(finished, "report.html")
    results = read_results(tmp_path / "out")
    assert results["status"] == "failed"
    assert 0 < results["val"]["mean_iou"] <= 1


def test_a_wrong_label_found_before_the_first_step_is_named(tmp_path, monkeypatch):
    """Pictures are drawn before training, when other callbacks have not begun and have nothing to close."""
    write_pairs(tmp_path / "data", 12)
    monkeypatch.setattr(dataset_module, "MASKS_CHECKED", 0)
    for mask in (tmp_path / "data" / "masks").iterdir():
        save(mask, np.full_like(np.asarray(Image.open(mask)), 77))
    finished = segtrain(
        tmp_path, "size=tiny", "dataset=folder", "dataset.root=data", "dataset.classes=[a,b,c]", "model.width=4",
        "batch_size=2", "callbacks=[pictures,csv,tensorboard]", "hydra.run.dir=out",
    )  # fmt: skip
    assert_refused(finished, "label 77", "masks/")


# A benchmark


def test_a_benchmark_is_printed_and_written(tmp_path):
    finished = segtrain(
        tmp_path, "benchmark", "size=tiny", "model.width=4", "rounds=2", "measure=[pooling_pair,run,disk_cache]"
    )
    assert (finished.status, finished.errors) == (0, "")
    ((benchmark,),) = [list((tmp_path / "outputs").glob("*/*-benchmark/benchmark.json"))]
    found = json.loads(benchmark.read_text(encoding="utf-8"))
    single = {"loop_over_step", "data_wait", "disk_cache_over_png", "peak_memory_bytes"}
    rates = {f"{part}_images_per_second" for part in ("pipeline", "step", "loop")}
    assert single | rates | {"pooling_pair", "verdict", "environment", "rounds", "command"} <= set(found)
    assert {"graph_ratio", "xla_ratio", "bytes_per_window"} == set(found["pooling_pair"])
    for name in single | rates:
        low, high = found["spread"][name]
        assert low <= found[name] <= high
        assert found[name] > 0 or name == "data_wait"
    assert found["spread"]["pooling_pair"]["graph_ratio"][0] <= found["pooling_pair"]["graph_ratio"]
    assert found["model"] == "segnet_small"
    assert found["verdict"] in finished.output
    for words in ("whole loop / bare step", "pooling pair / usual way", ">= 0.97", str(benchmark.name)):
        assert words in finished.output
    # Pictures and checkpoints are no part of what is timed; the rest of the callbacks is.
    files = files_in(benchmark.parent)
    assert "metrics.csv" in files
    assert not [name for name in files if name.startswith(("checkpoints", "predictions"))]


@pytest.mark.long
def test_what_two_logical_cpus_exchange_is_measured_and_a_page_written(tmp_path):
    finished = segtrain(
        tmp_path, "benchmark", "size=tiny", "model.width=4", "rounds=1", "measure=[exchange]",
        "trainer.strategy=mirrored", "trainer.logical_cpus=2", "hydra.run.dir=out",
    )  # fmt: skip
    assert (finished.status, finished.errors) == (0, "")
    found = json.loads((tmp_path / "out" / "benchmark.json").read_text(encoding="utf-8"))
    assert found["replicas"] == 2
    exchange = found["exchange"]
    assert exchange["images_per_second"] == pytest.approx(2 * exchange["images_per_second_per_replica"])
    kinds = [exchange[f"{kind}_bytes"] for kind in ("gradient", "statistics", "scalar")]
    assert exchange["bytes_per_step"] == sum(kinds)
    page = (tmp_path / "out" / "scaling.html").read_text(encoding="utf-8")
    assert f"{exchange['bytes_per_step'] / 1e6:,.3f} MB" in page
