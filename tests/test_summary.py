"""`segtrain summary`, as it is typed: where there is no data."""

import json
import subprocess
import sys

import pytest


@pytest.fixture(autouse=True)
def _devices(two_devices):
    """TensorFlow's devices cannot be changed once it is in use, and other rooms need two."""


@pytest.fixture
def summary(segtrain, tmp_path):
    """Runs the verb in an empty folder, in this process; returns what it wrote."""

    def run(*arguments):
        finished = segtrain("summary", *arguments)
        assert finished.status == 0, finished.errors
        return read_summary(tmp_path)[1]

    return run


def read_summary(home):
    """Returns the file that the verb wrote, and what it holds."""
    (path,) = (home / "outputs").rglob("summary.json")
    return path, json.loads(path.read_text(encoding="utf-8"))


def test_an_experiment_whose_data_is_not_there(tmp_path):
    """CamVid's recipe, whose root has to be named to train, in a process of its own. SegNet-Basic's numbers by hand."""
    ran = subprocess.run(
        [sys.executable, "-m", "segtrain", "summary", "experiment=camvid_table1"],
        cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    path, content = read_summary(tmp_path)
    convolution = 7 * 7 * 64 * 64
    trainable = 7 * 7 * 3 * 64 + 7 * convolution + 8 * 2 * 64 + 64 * 11 + 11
    assert content["trainable_parameters"] == trainable
    assert content["parameters"] == trainable + 8 * 2 * 64  # and BatchNorm's running statistics
    assert (content["model"], content["num_classes"], content["image_size"]) == ("segnet_basic", 11, [360, 480])
    pixels = [360 * 480, 180 * 240, 90 * 120, 45 * 60]
    multiply_adds = 7 * 7 * 3 * 64 * pixels[0] + 64 * 11 * pixels[0]
    multiply_adds += convolution * (sum(pixels[1:]) + sum(pixels))
    assert content["flops_per_image"] == 2 * multiply_adds
    assert sum(stage["flops"] for stage in content["stages"]) == content["flops_per_image"]
    assert sum(stage["parameters"] for stage in content["stages"]) == content["parameters"]
    assert sum(stage["activation_bytes"] for stage in content["stages"]) == content["activation_bytes_per_image"]
    assert content["command"] == "segtrain summary experiment=camvid_table1"

    # The same, for people.
    rows = [line.split() for line in ran.stdout.splitlines()]
    assert ["network", "34", "1,417,099", f"{2 * multiply_adds / 1e9:.3f}"] in [row[:4] for row in rows]
    first = content["stages"][0]
    assert ["down", "1/1", "360x480x64", "4", f"{first['parameters']:,}"] in [row[:5] for row in rows]
    assert f"{trainable:,} of the parameters are trained" in " ".join(ran.stdout.split())
    assert "11 classes: the experiment's" in ran.stdout
    assert f"summary {path}" in ran.stdout
    assert ran.stderr == ""


def test_weights_that_would_have_to_be_downloaded_are_not_needed(summary):
    """Parameters as the write-up's widths have them, by hand: VGG16's 13 convolutions, three scores, three kernels."""
    content = summary("experiment=r5_fcn8s")
    assert content["parameters"] == 14_714_688 + (256 + 512 + 512) * 21 + 3 * 21 + (4**2 + 8**2 + 16**2) * 21**2


def test_classes_channels_and_size_as_typed(summary):
    content = summary(
        "model=unet", "model.width=4", "num_classes=7", "channels=1", "image_size=[40,56]", "dataset=camvid"
    )
    assert (content["num_classes"], content["channels"], content["image_size"]) == (7, 1, [40, 56])
    assert content["stages"][-1]["output_size"] == [40, 56, 7]
