"""`segtrain predict`, as it is typed, by networks whose answer is known; and `segtrain.load`."""

import errno
import json
import os
import subprocess
import sys
import textwrap
from unittest import mock

import cv2
import numpy as np
import pytest
from PIL import Image

import segtrain as package
from segtrain.prediction.videos import Video

SIZES = {"a.png": (20, 31), "b c.bmp": (31, 20), "sub/a.tif": (20, 31), "sub/deep/übung.png": (9, 40)}


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def stem(name):
    return name.rpartition(".")[0]


@pytest.fixture
def images(tmp_path):
    """Images of several sizes in a folder `in`, and what is no image among them; by name."""
    made = {}
    for seed, (name, size) in enumerate(SIZES.items()):
        made[name] = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(made[name]).save(path)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    (tmp_path / "in" / "._a.jpg").write_text("what macOS leaves")
    return made


@pytest.fixture
def video(tmp_path):
    """Six frames of 32x48 pixels, red, green and blue in turn; lossless."""
    path = tmp_path / "clips" / "v.avi"
    path.parent.mkdir()
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"FFV1"), 5, (48, 32))
    for number in range(6):
        frame = np.zeros((32, 48, 3), np.uint8)
        frame[..., 2 - number % 3] = 200  # OpenCV's are BGR
        writer.write(frame)
    writer.release()
    return path


def test_masks_lie_as_the_images_do(segtrain, bright_run, images, tmp_path):
    finished = segtrain("predict", bright_run.path, "input=in", "output=out", "format=[palette,ids]")
    assert (finished.status, finished.errors) == (0, "")
    assert finished.output == "4 images in out: palette, ids\n"
    assert files_in(tmp_path / "out") == {f"{stem(name)}{end}.png" for name in images for end in ("", "_ids")}
    for name, image in images.items():
        for end in ("", "_ids"):
            labels = np.asarray(Image.open(tmp_path / "out" / f"{stem(name)}{end}.png"))
            np.testing.assert_array_equal(labels, image.argmax(axis=-1))


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("in/**/a.*", ["a.png", "sub/a.tif"]),
        ("in/sub", ["a.tif", "deep/übung.png"]),
        ("[in/b c.bmp, in/sub/deep/übung.png]", ["b c.bmp", "übung.png"]),
    ],
)
def test_a_glob_a_folder_a_list(segtrain, bright_run, images, tmp_path, typed, names):
    finished = segtrain("predict", f"run={bright_run.path}", f"input={typed}", "output=out", "format=[ids]")
    assert (finished.status, finished.errors) == (0, "")
    assert files_in(tmp_path / "out") == {f"{stem(name)}_ids.png" for name in names}


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_batches_change_nothing(segtrain, convolution, images, tmp_path, batch_size):
    predictor = package.load(convolution.path)
    finished = segtrain("predict", convolution.path, "input=in", "output=out", f"batch_size={batch_size}")
    assert finished.status == 0
    for name, image in images.items():
        labels = np.asarray(Image.open(tmp_path / "out" / f"{stem(name)}.png"))
        np.testing.assert_array_equal(labels, predictor.predict(image))


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ([], {}),
        (["tta=[flip,scales]"], {"tta": ["flip", "scales"]}),
        (["sliding_window=[12,14]", "overlap=0.3"], {"sliding_window": (12, 14), "overlap": 0.3}),
    ],
)
def test_the_command_does_what_a_call_does(segtrain, convolution, images, tmp_path, settings, options):
    line = ["input=in/a.png", "output=out", "format=[palette,probabilities]"]
    assert segtrain("predict", convolution.path, *line, *settings).status == 0
    predictor, image = package.load(str(convolution.path), **options), images["a.png"]
    assert files_in(tmp_path / "out") == {"a.png", "a_probabilities.npy"}
    labels = predictor.predict(image)
    assert (labels.dtype, labels.shape) == (np.uint8, (20, 31))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), labels)
    probabilities = np.load(tmp_path / "out" / "a_probabilities.npy", allow_pickle=False)
    np.testing.assert_allclose(probabilities, predictor.probabilities(image), atol=1e-3)
    assert probabilities.dtype == np.float16


def test_loading_takes_no_tensorflow_before_it_is_asked(tmp_path):
    code = "import sys, segtrain; segtrain.load; print('tensorflow' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout == "False\n"
    with pytest.raises(ValueError, match="is no run folder"):
        package.load(tmp_path / "nowhere")


# What cannot be read


def test_unreadable_files_are_left_out_and_listed(segtrain, bright_run, images, tmp_path):
    (tmp_path / "in" / "a empty.png").touch()
    (tmp_path / "in" / "sub" / "half.png").write_bytes((tmp_path / "in" / "a.png").read_bytes()[:500])
    Image.fromarray(np.zeros((8, 8, 2), np.uint8), "LA").save(tmp_path / "in" / "fine.png")
    finished = segtrain("predict", bright_run.path, "input=in", "output=out", "format=[ids]", "batch_size=2")
    assert finished.status == 3
    assert finished.output == "5 images in out: ids\n"
    first, *listed = finished.errors.splitlines()
    assert first == "segtrain: error: 2 of 7 files could not be read, and left out:"
    assert [line.partition(":")[0] for line in listed] == ["  in/a empty.png", "  in/sub/half.png"]
    assert files_in(tmp_path / "out") == {f"{stem(name)}_ids.png" for name in [*images, "fine.png"]}
    log = (tmp_path / "log" / "segtrain.log").read_text()
    assert all(line.strip() in log.splitlines() for line in listed)
    assert "Traceback" not in log


def test_nothing_but_unreadable_files_has_that_status_too(segtrain, bright_run, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(25):
        (tmp_path / "in" / f"{number}.png").write_text("no image")
    finished = segtrain("predict", bright_run.path, "input=in", "output=out")
    assert (finished.status, finished.output) == (3, "0 images in out: palette, overlay\n")
    assert finished.errors.splitlines()[-1] == "  and 5 more, see log/segtrain.log".replace("log/", f"{tmp_path}/log/")
    log = (tmp_path / "log" / "segtrain.log").read_text().splitlines()
    assert sum("cannot be read as an image" in line for line in log) == 25
    assert not (tmp_path / "out").exists()


def test_what_the_network_cannot_see_is_left_out(segtrain, make_run, images, tmp_path):
    """A network of valid convolutions, whose answer is resized to the image's size, needs 12 rows."""
    import keras

    run = make_run(network=lambda images: keras.layers.Conv2D(3, (12, 1))(images))
    for number in range(2):
        Image.fromarray(np.zeros((9, 40, 3), np.uint8)).save(tmp_path / "in" / f"low {number}.png")
    finished = segtrain("predict", run.path, "input=in", "output=out", "format=[ids]")
    assert finished.status == 3
    assert finished.output == "3 images in out: ids\n"
    assert finished.errors.count("the network cannot see 9x40 pixels") == 3


# What cannot be written


def test_a_full_disk_is_told_and_what_is_written_stays(segtrain, bright_run, images, tmp_path):
    save = Image.Image.save

    def full_for_sub(picture, path, *rest, **options):
        if "sub" in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(picture, path, *rest, **options)

    with mock.patch.object(Image.Image, "save", full_for_sub):
        finished = segtrain("predict", bright_run.path, "input=in", "output=out", "format=[ids]", "batch_size=1")
    assert finished.status == 1
    assert "out/sub/a_ids.png cannot be written: the disk is full" in finished.errors
    assert len(finished.errors.splitlines()) == 1
    assert files_in(tmp_path / "out") == {"a_ids.png", "b c_ids.png"}


@pytest.mark.parametrize("output", ["in/a.png/deep", "/proc/nowhere"])
def test_where_nothing_can_be_written_is_told_before_the_network_loads(segtrain, bright_run, images, output):
    with mock.patch("segtrain.prediction.predictor.load_best", side_effect=AssertionError):
        finished = segtrain("predict", bright_run.path, "input=in", f"output={output}")
    assert finished.status == 1
    assert f"output={output} cannot be written to" in finished.errors


def test_nothing_is_replaced_unless_asked(segtrain, bright_run, images, tmp_path):
    line = ("predict", bright_run.path, "input=in", "output=in/masks")
    assert segtrain(*line).status == 0
    before = files_in(tmp_path / "in" / "masks")
    refused = segtrain(*line)
    assert refused.status == 1
    assert "is there already. Type overwrite=true" in refused.errors
    again = segtrain(*line, "overwrite=true")
    assert (again.status, again.output) == (0, "4 images in in/masks: palette, overlay\n")
    assert files_in(tmp_path / "in" / "masks") == before


# Videos


def test_a_video_becomes_a_video_and_frames(segtrain, bright_run, video, tmp_path):
    finished = segtrain("predict", bright_run.path, "input=clips", "output=out", "format=[overlay,ids]", "batch_size=4")
    assert (finished.status, finished.errors) == (0, "")
    assert finished.output == "1 video (6 frames) in out: overlay, ids\n"
    assert files_in(tmp_path / "out") == {"v_overlay.mp4", *(f"v/{number:06d}_ids.png" for number in range(6))}
    for number in range(6):
        assert (np.asarray(Image.open(tmp_path / "out" / "v" / f"{number:06d}_ids.png")) == number % 3).all()
    overlaid = Video(tmp_path / "out" / "v_overlay.mp4", 3)
    frames = list(overlaid.frames())
    assert (overlaid.rate, len(frames), frames[0].shape) == (5, 6, (32, 48, 3))
    palette = np.float32(bright_run.read_results()["dataset"]["palette"])
    for number, frame in enumerate(frames):
        expected = (200 * np.eye(3)[number % 3] + palette[number % 3]) / 2
        np.testing.assert_allclose(frame.mean(axis=(0, 1)), expected, atol=6)


def test_a_video_that_breaks_off_is_kept_as_far_as_it_goes(segtrain, bright_run, images, tmp_path):
    path = tmp_path / "in" / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), 5, (144, 96))
    for seed in range(8):
        writer.write(np.random.default_rng(seed).integers(0, 256, (96, 144, 3), np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    finished = segtrain("predict", bright_run.path, "input=in", "output=out")
    assert finished.status == 3
    assert "in/v.avi: breaks off after" in finished.errors
    number = sum(1 for _ in Video(path, 3).frames())
    assert 0 < number < 8
    assert finished.output == f"4 images, 1 video ({number} frames) in out: palette, overlay\n"
    assert len(files_in(tmp_path / "out" / "v")) == number
    assert Video(tmp_path / "out" / "v_overlay.mp4", 3).num_frames == number


def test_a_shorter_video_leaves_no_frames_of_a_longer_one(segtrain, bright_run, video, tmp_path):
    (tmp_path / "out" / "v").mkdir(parents=True)
    for name in ("000005.png", "000006.png", "000006_ids.png", "1000000.png", "000009.txt"):
        (tmp_path / "out" / "v" / name).write_bytes(b"former")
    finished = segtrain("predict", bright_run.path, "input=clips", "output=out", "format=[palette]", "overwrite=true")
    assert finished.status == 0, finished.errors
    kept = {f"v/{number:06d}.png" for number in range(6)}
    assert files_in(tmp_path / "out") == kept | {"v/000006_ids.png", "v/000009.txt"}


@pytest.mark.parametrize("formats", ["[palette]", "[overlay]"])
def test_a_videos_frames_and_a_folder_of_its_name_stay_apart(segtrain, bright_run, video, tmp_path, formats):
    """Frames that were taken out of a video usually lie beside it."""
    (tmp_path / "clips" / "v").mkdir()
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "clips" / "v" / "000000.jpg")
    settings = ["input=clips", "output=out", f"format={formats}", "overwrite=true"]
    finished = segtrain("predict", bright_run.path, *settings)
    if formats == "[overlay]":
        assert finished.status == 0, finished.errors
        assert files_in(tmp_path / "out") == {"v_overlay.mp4", "v/000000_overlay.png"}
    else:
        assert finished.status == 1
        assert "would take the frames of" in finished.errors
        assert not (tmp_path / "out").exists()


def test_an_input_inside_a_folder_of_frames_is_never_replaced(segtrain, bright_run, video, tmp_path):
    """The first frame would be out/v/000000.png, which is an input itself."""
    image = tmp_path / "out" / "v" / "000000.png"
    image.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(image)
    before = image.read_bytes()
    settings = ["input=[clips/v.avi,out/v/000000.png]", "output=out", "format=[palette]", "overwrite=true"]
    finished = segtrain("predict", bright_run.path, *settings)
    assert finished.status == 1, finished.errors
    assert "out/v/000000.png" in finished.errors
    assert image.read_bytes() == before


def test_a_name_as_long_as_the_disk_takes_is_written(segtrain, bright_run, tmp_path):
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    image = tmp_path / ("x" * (longest - 4) + ".png")
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(image)
    finished = segtrain("predict", bright_run.path, f"input={image}", "output=out", "format=[palette]")
    assert finished.status == 0, finished.errors
    assert files_in(tmp_path / "out") == {image.name}
    finished = segtrain("predict", bright_run.path, f"input={image}", "output=out", "format=[overlay]")
    assert finished.status == 1
    assert f"a name may have {longest} bytes here. Rename the input." in finished.errors


def test_a_file_that_is_no_video_is_listed(segtrain, bright_run, images, tmp_path):
    (tmp_path / "in" / "v.mp4").write_text("no video")
    finished = segtrain("predict", bright_run.path, "input=in", "output=out")
    assert finished.status == 3
    assert "in/v.mp4: cannot be read as a video" in finished.errors
    assert not list((tmp_path / "out").glob("v*"))


# Memory


@pytest.mark.long
@pytest.mark.parametrize("settings", [[], ["sliding_window=[512,512]"]], ids=["whole", "tiles"])
def test_a_large_image_takes_no_more_than_three_gigabytes(make_run, tmp_path, settings):
    """6000x6000 pixels and 11 classes, whose logits alone are 1.6 GB; TensorFlow included."""
    import keras

    def network(images):
        x = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(images / 255)
        return keras.layers.Conv2D(11, 3, padding="same")(x)

    run = make_run([96, 128], network=network, palette=[[each] * 3 for each in range(11)], class_names=[*"abcdefghijk"])
    image = np.random.default_rng(0).integers(0, 256, (6000, 6000, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "large.png", compress_level=1)
    arguments = ["predict", str(run.path), "input=large.png", "output=out", *settings]
    arguments += ["format=[palette,overlay,ids,probabilities]", "hydra.run.dir=log"]
    code = textwrap.dedent(
        f"""
        import json, resource
        from segtrain.cli import main
        main({arguments!r})
        print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
        """
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert json.loads(finished.stdout.splitlines()[-1]) * unit < 3 * 2**30
    assert Image.open(tmp_path / "out" / "large.png").size == (6000, 6000)
    assert np.load(tmp_path / "out" / "large_probabilities.npy", mmap_mode="r").shape == (6000, 6000, 11)
