"""Whole runs, as processes, where the machine does what it can to spoil them. See the table in CONTRIBUTING.md."""

import contextlib
import csv
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.run_folder import RunFolder

# Each of them is several processes that import TensorFlow; their parts have short tests of their own.
pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
SMOKE = ["--config-name", "smoke", "model.width=4"]


def start(*arguments, cwd, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "segtrain", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def run(*arguments, cwd, **environment):
    process = start(*arguments, cwd=cwd, **environment)
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


def assert_whole(folder):
    assert json.loads((folder / "results.json").read_text("utf-8"))["status"] == "completed"
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    assert {"report.html", "checkpoints", "config.yaml"} <= set(os.listdir(folder))


def write_pairs(root, names, size=(32, 48)):
    rng = np.random.default_rng(0)
    for name in names:
        for folder, pixels in (
            ("images", rng.integers(0, 256, (*size, 3), np.uint8)),
            ("masks", rng.integers(0, 2, size, np.uint8)),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / folder / f"{name}.png")


def test_two_runs_of_one_name_in_a_hostile_place(tmp_path):
    """Started at once, both named by the year; no UTF-8, no home, names of every kind, and outputs/ is a link."""
    home, disk = tmp_path / 'mein "Lauf", d\'été=1', tmp_path / "an anderer Stelle, ü=2"
    for folder in (home, disk):
        folder.mkdir()
    (home / "outputs").symlink_to(disk)
    environment = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "HOME": "/proc/nowhere",
    }
    both = [start(*SMOKE, "hydra.run.dir=outputs/${now:%Y}", cwd=home, **environment) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert (process.returncode, errors) == (0, "")
    first, second = sorted(disk.iterdir())
    assert re.fullmatch(r"\d{4}", first.name)
    assert second.name == f"{first.name}-2"
    for folder in (first, second):
        assert_whole(folder)
    # And what is left is read from there as well.
    images = tmp_path / "Fotos, à=b"
    write_pairs(images, ["ein 'Bild'=1, ü"])
    status, _, errors = run(
        "predict", f"outputs/{second.name}", f"input={images / 'images'}", "output=Masken, ü=1", cwd=home, **environment
    )
    assert (status, errors) == (0, "")
    assert len(os.listdir(home / "Masken, ü=1")) == 2


def test_a_bad_image_is_skipped_and_listed(tmp_path):
    write_pairs(tmp_path / "data", [f"image_{number:02d}" for number in range(30)])
    (tmp_path / "data" / "images" / "image_07.png").write_bytes(b"no image")
    data = ["dataset=folder", f"dataset.root={tmp_path / 'data'}", "dataset.classes=[a,b]", "dataset.split_seed=1"]
    common = [*SMOKE, *data, "max_samples=null", "hydra.run.dir=run"]
    status, _, errors = run(*common, cwd=tmp_path)
    assert status == 1
    assert re.fullmatch(r"segtrain: error: .*image_07\.png: cannot be read as an image .*\n", errors)
    skip = [each.replace("=run", "=skipping") for each in common]
    status, output, errors = run(*skip, "dataset.on_bad_sample=skip", "dataset.max_bad_share=0.2", cwd=tmp_path)
    assert (status, errors) == (0, "")
    assert_whole(tmp_path / "skipping")
    results = json.loads((tmp_path / "skipping" / "results.json").read_text("utf-8"))
    (split,) = [name for name, reasons in results["skipped_samples"].items() if reasons]
    assert len(results["skipped_samples"][split]) == 1
    assert "image_07.png" in results["skipped_samples"][split][0]
    line = f"images of {split} could not be used and count as void (dataset.on_bad_sample=skip): image_07"
    for text in (output, results["warnings"][-1], (tmp_path / "skipping" / "report.html").read_text("utf-8")):
        assert line in text
    assert "image_07.png" in (tmp_path / "skipping" / "segtrain.log").read_text("utf-8")


WATCH = """
import json
from pathlib import Path

import keras
import psutil


class Watch(keras.callbacks.Callback):
    def __init__(self, path):
        super().__init__()
        self.path, self.process, self.seen = Path(path), psutil.Process(), {}

    def on_epoch_end(self, epoch, logs=None):
        process = self.process
        self.seen[epoch + 1] = process.memory_info().rss, process.num_fds(), process.num_threads()
        self.path.write_text(json.dumps(self.seen))
"""


def test_three_hundred_epochs_take_no_more_than_thirty(tmp_path):
    """In memory, file handles and threads; everything on that a run has, states within epochs too."""
    (tmp_path / "watching.py").write_text(WATCH, encoding="utf-8")
    watch = f"+callbacks.watch={{_target_: watching.Watch, path: {tmp_path / 'seen.json'}}}"
    settings = ["epochs=300", "callbacks.checkpoint.every_steps=2", "allow_targets=[watching.]", "hydra.run.dir=run"]
    process = start(*SMOKE, watch, *settings, cwd=tmp_path, PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")
    _, errors = process.communicate(timeout=1800)
    assert (process.returncode, errors) == (0, "")
    seen = json.loads((tmp_path / "seen.json").read_text("utf-8"))
    assert len(seen) == 300
    (memory, handles, threads), (memory_after, handles_after, threads_after) = seen["30"], seen["300"]
    print(f"memory {memory / 1e6:.0f} MB, {memory_after / 1e6:.0f} MB after; {seen['300']}")
    assert memory_after < 1.1 * memory
    assert handles_after <= handles
    assert threads_after <= threads


def test_a_full_disk_ends_the_run_in_a_line_and_leaves_the_last_checkpoint(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("only root may mount a disk")
    try:
        settings = [
            "epochs=1000",
            "batch_size=4",
            "max_samples=12",
            "callbacks.pictures.epochs=[]",
            f"hydra.run.dir={disk / 'run'}",
        ]
        process = start("model.width=4", *settings, cwd=tmp_path)
        while process.poll() is None and not (disk / "run" / "checkpoints" / "best.keras").is_file():
            time.sleep(0.05)
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(2**12)):
                pass
        errors, status = process.communicate(timeout=300)[1], process.returncode
        assert status == 1
        assert re.fullmatch(r"segtrain: error: \S+ cannot be written: the disk is full\. It needs [\d,]+ .*\n", errors)
        (disk / "filler").unlink()
        status, _, errors = run("evaluate", disk / "run", cwd=tmp_path)
        assert (status, errors) == (0, "")
        assert RunFolder.of_run(disk / "run").best_model.is_file()
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
