"""An encoder that was trained on one task learns another sooner, from the command line on."""

import csv
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import yaml

import segtrain.layers  # noqa: F401 - known to keras by name from then on

SETTINGS = [
    "model=unet_on_encoder", "model.encoder.alpha=0.35", "model.widths=[32,32,16,16]", "optimizer=adam",
    "image_size=[64,64]", "dataset.height=64", "dataset.width=64", "dataset.num_val=60", "callbacks=[checkpoint,csv]",
]  # fmt: skip


def train(*arguments):
    command = [sys.executable, "-m", "segtrain", *arguments, *SETTINGS]
    finished = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=1200)
    assert finished.returncode == 0, finished.stderr


def encoder_of(run):
    model = keras.saving.load_model(run / "checkpoints" / "best.keras", compile=False)
    return model.get_layer("mobilenet_v2").get_weights()


@pytest.mark.long
def test_a_trained_encoder_is_ahead_on_other_classes_and_images(tmp_path):
    """Few images and epochs; also where the encoder is frozen, so that what helps is what it has learned to see."""
    source, sweep = tmp_path / "source", tmp_path / "sweep"
    train("dataset.seed=7", "dataset.num_train=600", "epochs=8", f"hydra.run.dir={source}")
    best = source / "checkpoints" / "best.keras"
    train(
        "-m", f"model.encoder.weights=null,{best}", "model.encoder.freeze=none,all",
        "dataset.num_classes=4", "dataset.num_train=96", "epochs=6", f"hydra.sweep.dir={sweep}",
    )  # fmt: skip
    scores, folders = {}, {}
    for results in sweep.glob("*/results.json"):
        folder = results.parent
        options = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["model"]["encoder"]
        with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 6
        assert json.loads(results.read_text(encoding="utf-8"))["status"] == "completed"
        which = options["weights"] is not None, options["freeze"]
        scores[which] = np.array([float(rows[-1][column]) for column in ("mean_iou", "val_mean_iou")])
        folders[which] = folder
    assert set(scores) == {(taken, freeze) for taken in (False, True) for freeze in ("none", "all")}
    for freeze in ("none", "all"):
        # In training, which does not see the running statistics, as well as in validation.
        assert np.all(scores[True, freeze] > scores[False, freeze] + [0.05, 0.1]), scores

    unchanged = [
        np.array_equal(before, after)
        for before, after in zip(encoder_of(source), encoder_of(folders[True, "all"]), strict=True)
    ]
    assert len(unchanged) == 5 * 52  # a kernel before each BatchNorm, and its four
    assert all(unchanged)
    moved = zip(encoder_of(source), encoder_of(folders[True, "none"]), strict=True)
    assert not any(np.array_equal(before, after) for before, after in moved)
