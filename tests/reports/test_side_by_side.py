import base64
import io
import json

import hydra
import keras
import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf
from PIL import Image
from rich.console import Console

from segtrain.command.composition import config_folder
from segtrain.comparison.configurations import rank
from segtrain.comparison.jobs import read_jobs
from segtrain.comparison.side_by_side import image_ious
from segtrain.datasets.shapes import build_shapes
from segtrain.evaluation.image_counts import ImageCounts, pixels_of, read_image_counts, write_image_counts
from segtrain.reports.pictures import VOID_COLOUR
from segtrain.reports.side_by_side import draw_side_by_side
from segtrain.run_folder import RunFolder
from segtrain.settings import with_absolute_paths

pytestmark = pytest.mark.usefixtures("two_devices")
SHAPES = {"num_train": 12, "num_val": 12, "height": 32, "width": 48}
DATASET = build_shapes(**SHAPES)
NUM_CLASSES = DATASET.num_classes


def predicted_by(weights, image):
    return (image.astype(np.float64) / 255 @ weights).argmax(axis=-1)


@pytest.fixture
def write_trained(tmp_path):
    """Writes a run whose network looks at each pixel alone; returns its folder and weights `(3, classes)`."""

    def write(model, seed, mean_iou):
        folder = RunFolder(tmp_path / "sweep" / f"{model}-{seed}")
        (folder.path / ".hydra").mkdir(parents=True)
        overrides = [f"model={model}", f"seed={seed}"]
        (folder.path / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides), encoding="utf-8")
        settings = [f"dataset.{key}={value}" for key, value in SHAPES.items()]
        with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
            config = hydra.compose("smoke", [*settings, "image_size=[32,48]", "max_samples=null"])
        OmegaConf.save(with_absolute_paths(config), folder.config)
        weights = np.random.default_rng([seed, *model.encode()]).normal(0, 1, (3, NUM_CLASSES))
        images = keras.Input((None, None, 3))
        layer = keras.layers.Conv2D(NUM_CLASSES, 1, use_bias=False)
        network = keras.Model(images, layer(keras.layers.Rescaling(1 / 255)(images)))
        layer.set_weights([weights[None, None].astype(np.float32)])
        folder.best_model.parent.mkdir()
        network.save(folder.best_model)
        split = DATASET.split("val")
        samples = [split.read(index) for index in range(len(split))]
        matrices = [confusion_matrix(truth, predicted_by(weights, image)) for image, truth in samples]
        names = [split.name(index) for index in range(len(split))]
        pixels = np.stack([pixels_of(matrix) for matrix in matrices])
        write_image_counts(folder.image_counts, ImageCounts(names, DATASET.class_names, pixels, np.zeros(len(split))))
        val = {"mean_iou": mean_iou, "per_class_iou": dict.fromkeys(DATASET.class_names, mean_iou)}
        folder.write_results({"status": "completed", "seed": seed, "val": val})
        return folder, weights

    def confusion_matrix(truth, predicted):
        is_valid = truth < NUM_CLASSES
        pairs = NUM_CLASSES * truth[is_valid].astype(int) + predicted[is_valid]
        return np.bincount(pairs, minlength=NUM_CLASSES**2).reshape(NUM_CLASSES, NUM_CLASSES)

    return write


def draw(tmp_path):
    return draw_side_by_side(rank(read_jobs([tmp_path / "sweep"])), Console(file=io.StringIO()))


def pixels_shown(tile):
    kind, content = tile.source.split(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def in_colours(labels):
    table = np.full((256, 3), VOID_COLOUR)
    table[:NUM_CLASSES] = DATASET.palette
    return table[labels]


def test_each_row_is_input_predictions_and_truth_of_one_image(tmp_path, write_trained):
    of_runs = {}
    for model, quality in (("good", 0.8), ("bad", 0.4)):
        for seed in (1, 2, 3):
            of_runs[model, seed] = write_trained(model, seed, quality + seed / 100)
    pictures = draw(tmp_path)
    assert pictures.left_out == {}
    assert list(pictures.runs) == [("good", "good-2", 2), ("bad", "bad-2", 2)]  # the medians
    assert [row.differs for row in pictures.rows] == [True] * 4 + [False] * 4
    split = DATASET.split("val")
    places = {split.name(index): index for index in range(len(split))}
    assert len({row.name for row in pictures.rows}) == 8
    for row in pictures.rows:
        image, truth = split.read(places[row.name])
        assert [tile.label for tile in row.tiles] == ["input", "good", "bad", "truth"]
        shown = [pixels_shown(tile) for tile in row.tiles]
        assert np.abs(shown[0].astype(int) - image).mean() < 12  # a JPEG
        np.testing.assert_array_equal(shown[3], in_colours(truth))
        for model, tile, pixels in zip(("good", "bad"), row.tiles[1:3], shown[1:3], strict=True):
            folder, weights = of_runs[model, 2]
            np.testing.assert_array_equal(pixels, in_colours(predicted_by(weights, image)))
            assert tile.iou == image_ious(read_image_counts(folder.image_counts))[places[row.name]]
    assert dict(pictures.legend).keys() == {*DATASET.class_names, "void"}


def test_a_checkpoint_that_is_damaged_costs_the_others_nothing(tmp_path, write_trained):
    folder, _ = write_trained("good", 1, 0.9)
    write_trained("bad", 1, 0.5)
    folder.best_model.write_bytes(b"no zip")
    pictures = draw(tmp_path)
    assert [name for name, _, _ in pictures.runs] == ["bad"]
    assert str(folder.best_model) in pictures.left_out["good"]
    assert len(pictures.rows) == 8
    assert [tile.label for tile in pictures.rows[0].tiles] == ["input", "bad", "truth"]


def test_data_that_is_gone_or_other_is_told(tmp_path, write_trained):
    gone, _ = write_trained("gone", 1, 0.9)
    other, _ = write_trained("other", 1, 0.5)
    config = OmegaConf.load(gone.config)
    config.dataset = {"_target_": "segtrain.datasets.camvid.build_camvid", "root": str(tmp_path / "nowhere")}
    OmegaConf.save(config, gone.config)
    config = OmegaConf.load(other.config)
    config.dataset.num_val = 11
    OmegaConf.save(config, other.config)
    pictures = draw(tmp_path)
    assert (list(pictures.rows), list(pictures.runs)) == ([], [])
    assert "nowhere" in pictures.left_out["gone"]
    assert pictures.left_out["other"] == "its data has other images now"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("voc2012.build_voc2012", "VOCtrainval_11-May-2012.tar"),
        ("ade20k.build_ade20k", "ADEChallengeData2016.zip"),
        ("oxford_iiit_pet.build_oxford_iiit_pet", "oxford_iiit_pet"),
    ],
)
def test_no_dataset_is_downloaded_for_pictures(tmp_path, write_trained, monkeypatch, target, name):
    monkeypatch.setenv("SEGTRAIN_DATA", str(tmp_path / "data"))
    for place in ("segtrain.datasets.download.requests.get", "segtrain.datasets.tfds_preparation._prepare"):
        monkeypatch.setattr(place, lambda *_, **__: pytest.fail("something is downloaded"))
    folder, _ = write_trained("a", 1, 0.9)
    config = OmegaConf.load(folder.config)
    config.dataset = {"_target_": f"segtrain.datasets.{target}"}
    OmegaConf.save(config, folder.config)
    pictures = draw(tmp_path)
    assert list(pictures.rows) == []
    told = f"{name} is not in {tmp_path / 'data'}, and is not downloaded or prepared for pictures"
    assert list(pictures.left_out.values()) == [told]
    assert not (tmp_path / "data").exists()


def test_nothing_is_drawn_of_runs_that_failed(tmp_path, write_job):
    write_job("a", ["model=a"], {"status": "failed", "error": "no"})
    pictures = draw(tmp_path)
    assert (list(pictures.rows), pictures.left_out) == ([], {})
    assert json.loads((tmp_path / "sweep" / "a" / "results.json").read_text())["status"] == "failed"
