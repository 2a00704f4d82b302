import hashlib
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from tensorflow_datasets.object_detection.voc import _VOC_LABELS

from segtrain.datasets import voc2012
from segtrain.datasets.download import RemoteFile
from segtrain.datasets.voc2012 import CLASS_NAMES, build_voc2012, chosen_places

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """The data folder of one test."""
    monkeypatch.setenv("SEGTRAIN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def devkit(tmp_path, write_devkit):
    return write_devkit(tmp_path)


def names_of(dataset, split):
    return [dataset.split(split).name(index) for index in range(len(dataset.split(split)))]


def labels_by_name(dataset) -> dict[str, np.ndarray]:
    return {
        name: dataset.read(split, index)[1]
        for split in dataset.splits
        for index, name in enumerate(names_of(dataset, split))
    }


@pytest.mark.parametrize("packed", [False, True])
def test_archive_and_folder_are_read_in_the_order_of_the_lists(tmp_path, devkit, packed):
    dataset = build_voc2012(archive=str(devkit.pack(tmp_path / "a.tar") if packed else devkit.folder))
    assert {split: names_of(dataset, split) for split in dataset.splits} == {
        split: list(masks) for split, masks in devkit.masks.items()
    }
    for split, masks in devkit.masks.items():
        for index, (name, mask) in enumerate(masks.items()):
            image, labels = dataset.read(split, index)
            np.testing.assert_array_equal(labels, mask)
            with Image.open(devkit.folder / "VOC2012" / "JPEGImages" / f"{name}.jpg") as photo:
                np.testing.assert_array_equal(image, np.asarray(photo))
    dataset.check()


def test_classes_and_colours_are_the_published_ones(devkit):
    dataset = build_voc2012(archive=str(devkit.folder))
    assert dataset.class_names == ["background", *_VOC_LABELS]
    assert (dataset.num_classes, dataset.ignore_label, len(dataset.palette)) == (21, 255, 21)
    colours = dict(zip(dataset.class_names, dataset.palette, strict=True))
    assert colours["background"] == (0, 0, 0)
    assert colours["person"] == (192, 128, 128)
    assert colours["tvmonitor"] == (0, 64, 128)


def test_void_can_be_a_class(devkit):
    dataset = build_voc2012(archive=str(devkit.folder), void_as_class=True)
    assert dataset.class_names == [*CLASS_NAMES, "void"]
    assert dataset.palette[21] == (224, 224, 192)
    assert len(dataset.palette) == len(set(dataset.palette)) == 22
    masks = devkit.masks["train"] | devkit.masks["val"]
    labels = labels_by_name(dataset)
    assert labels.keys() == masks.keys()
    for name, mask in masks.items():
        np.testing.assert_array_equal(labels[name], np.where(mask == 255, 21, mask))
        assert (labels[name] != dataset.ignore_label).all()
    dataset.check()


def test_r1_and_r5_choose_out_of_all():
    # As published: each list is sorted, and the two lie between each other.
    ids = np.sort(np.random.default_rng(0).choice(10**6, 2913, replace=False).astype("U6"))
    is_train = np.isin(np.arange(2913), np.random.default_rng(1).choice(2913, 1464, replace=False))
    ids = [*ids[is_train], *ids[~is_train]]
    chosen = {split: chosen_places(ids, 1464, split) for split in ("official", "r1", "r5")}
    named = {
        split: {part: [ids[place] for place in places] for part, places in of_split.items()}
        for split, of_split in chosen.items()
    }
    assert named["official"] == {"train": ids[:1464], "val": ids[1464:]}
    assert named["r1"] == {"train": sorted(ids)[:2000], "val": sorted(ids)[2000:2500]}
    assert [len(named["r5"][part]) for part in ("train", "val")] == [2330, 583]
    assert sorted(named["r5"]["train"] + named["r5"]["val"]) == sorted(ids)
    # Drawn once and for all: the same on any machine, whatever the run's seed.
    assert np.searchsorted(sorted(ids), named["r5"]["val"][:5]).tolist() == [0, 3, 6, 9, 10]


def test_r5_splits_any_number_and_r1_needs_enough(tmp_path, devkit):
    archive = str(devkit.folder)
    dataset = build_voc2012(archive=archive, split="r5")
    assert {split: len(dataset.split(split)) for split in dataset.splits} == {"train": 6, "val": 2}
    masks, labels = devkit.masks["train"] | devkit.masks["val"], labels_by_name(dataset)
    assert labels.keys() == masks.keys()
    assert all((labels[name] == mask).all() for name, mask in masks.items())
    with pytest.raises(ValueError, match=r"first 2000 images and the next 500\. There are 8\."):
        build_voc2012(archive=archive, split="r1")


def test_data_is_prepared_once_and_told_about(devkit, capfd):
    build_voc2012(archive=str(devkit.folder))
    told = capfd.readouterr().err
    assert told.count("segtrain: preparing voc2012_segmentation") == 1
    assert "warning: voc2012 has 5 images to train and 3 to validate; published are 1464 and 1449" in told
    build_voc2012(archive=str(devkit.folder / "VOC2012"))  # the same files by another name
    assert "preparing" not in capfd.readouterr().err


def test_two_archives_are_never_mixed_up(tmp_path, write_devkit):
    first, second = write_devkit(tmp_path / "1", seed=1), write_devkit(tmp_path / "2", seed=2)
    archive = tmp_path / "VOCtrainval_11-May-2012.tar"
    for devkit in (first, second, first):
        devkit.pack(archive)
        assert names_of(build_voc2012(archive=str(archive)), "train") == list(devkit.masks["train"])


def test_a_mask_that_was_corrected_counts(devkit):
    image_id = list(devkit.masks["train"])[0]
    path = devkit.folder / "VOC2012" / "SegmentationClass" / f"{image_id}.png"
    build_voc2012(archive=str(devkit.folder))
    corrected = np.full_like(devkit.masks["train"][image_id], 7)
    Image.fromarray(corrected).save(path)
    np.testing.assert_array_equal(build_voc2012(archive=str(devkit.folder)).read("train", 0)[1], corrected)


def test_without_an_archive_it_is_downloaded_once(tmp_path, data, devkit, monkeypatch):
    (tmp_path / "www").mkdir()
    published = devkit.pack(tmp_path / "www" / "VOC.tar")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=published.parent)
    sha256 = hashlib.sha256(published.read_bytes()).hexdigest()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/VOC.tar"
        monkeypatch.setattr(
            voc2012, "ARCHIVE", RemoteFile("VOC.tar", [address], published.stat().st_size, f"sha256:{sha256}")
        )
        assert names_of(build_voc2012(), "train") == list(devkit.masks["train"])
        server.shutdown()
    shutil.rmtree(data / "downloads")  # what is prepared needs it no more
    assert names_of(build_voc2012(), "val") == list(devkit.masks["val"])


def test_parallel_processes_prepare_once(tmp_path, devkit):
    program = (
        "from segtrain.datasets.voc2012 import build_voc2012; import sys; "
        "print(build_voc2012(archive=sys.argv[1]).split('val').name(0))"
    )
    command = [sys.executable, "-c", program, str(devkit.pack(tmp_path / "a.tar"))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = ENVIRONMENT | {"SEGTRAIN_DATA": str(tmp_path / "data")}
    processes = [subprocess.Popen(command, env=environment, text=True, **pipes) for _ in range(2)]
    told = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert {output.strip() for output, _ in told} == {list(devkit.masks["val"])[0]}
    assert "".join(errors for _, errors in told).count("segtrain: preparing voc2012_segmentation") == 1


def run(tmp_path, *overrides):
    # No proxy answers there, so nothing is downloaded, whatever network there is.
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    environment = ENVIRONMENT | nowhere | {"SEGTRAIN_DATA": str(tmp_path / "data"), "NO_PROXY": "", "no_proxy": ""}
    command = [sys.executable, "-m", "segtrain", "dataset=voc2012", "size=tiny", *overrides]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)


def test_without_network_one_message_says_what_to_type(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (message,) = re.findall(r"^segtrain: error: .*$", done.stderr, re.MULTILINE)
    for told in (
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
        "1,999,639,040 bytes",
        "e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
        "type dataset.archive=PATH/VOCtrainval_11-May-2012.tar",
    ):
        assert told in message


@pytest.mark.parametrize(
    ("archive", "told"),
    [
        ("none.tar", "dataset.archive=none.tar: there is no such file or folder"),
        (".", "is no folder with VOCdevkit/VOC2012 in it"),
    ],
)
def test_a_wrong_archive_is_told_without_a_traceback(tmp_path, archive, told):
    done = run(tmp_path, f"dataset.archive={archive}")
    assert done.returncode == 1
    assert done.stderr.count("segtrain: error: ") == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_whole_run_from_an_archive_with_a_hostile_name(tmp_path, write_devkit):
    write_devkit(tmp_path, num_train=8, num_val=4).pack(tmp_path / "a,b=c d.tar")
    done = run(tmp_path, "dataset.archive=a,b=c d.tar", "epochs=1", "callbacks=none", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert "8 train, 4 val, 21 classes" in done.stdout
    assert OmegaConf.load(tmp_path / "run" / "config.yaml").dataset.archive == str(tmp_path / "a,b=c d.tar")
