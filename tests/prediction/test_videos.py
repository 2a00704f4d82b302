import os
from unittest import mock

import cv2
import numpy as np
import pytest

from segtrain.prediction.videos import Video, written_video

GREYS = [20, 60, 100, 140, 180, 220, 40, 80]


def write(path, size=(32, 48), rate=12.5):
    with written_video(path, rate, size) as add:
        for grey in GREYS:
            add(np.full((*size, 3), (grey, 255 - grey, 100), np.uint8))
    return path


@pytest.fixture
def motion_jpeg(tmp_path):
    """An AVI video, each of whose frames stands alone, written by OpenCV itself."""
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), 10, (144, 96))
    noise = np.random.default_rng(0).integers(-15, 16, (96, 144, 1))
    for grey in GREYS:
        writer.write(np.uint8((100, 255 - grey, grey) + noise))
    writer.release()
    return path


@pytest.mark.parametrize("name", ["v.mp4", "übung %03d, 1=2.mp4"])
def test_what_is_written_is_read_back(tmp_path, name):
    video = Video(write(tmp_path / name), 3)
    assert (video.rate, video.num_frames) == (12.5, len(GREYS))
    frames = list(video.frames())
    assert video.problem is None
    assert os.listdir(tmp_path) == [name]
    assert [frame.shape for frame in frames] == [(32, 48, 3)] * len(GREYS)
    means = [frame.mean(axis=(0, 1)) for frame in frames]
    np.testing.assert_allclose(means, [(grey, 255 - grey, 100) for grey in GREYS], atol=6)


def test_a_run_of_grey_images_sees_grey_frames(motion_jpeg):
    frames = list(Video(motion_jpeg, 1).frames())
    assert [frame.shape for frame in frames] == [(96, 144, 1)] * len(GREYS)
    # What luma is: ITU-R BT.601.
    expected = [0.299 * grey + 0.587 * (255 - grey) + 0.114 * 100 for grey in GREYS]
    np.testing.assert_allclose([frame.mean() for frame in frames], expected, atol=6)


def test_a_video_that_breaks_off_gives_what_it_has(motion_jpeg):
    content = motion_jpeg.read_bytes()
    motion_jpeg.write_bytes(content[: len(content) // 2])
    video = Video(motion_jpeg, 3)
    frames = list(video.frames())
    assert 0 < len(frames) < len(GREYS)
    assert video.problem == f"{motion_jpeg}: breaks off after {len(frames)} of {len(GREYS)} frames."
    sound = len(frames) - 1  # of the last one there is a part
    np.testing.assert_allclose([frame[..., 0].mean() for frame in frames[:sound]], GREYS[:sound], atol=6)


@pytest.mark.parametrize("content", [b"", b"no video", None])
def test_what_is_no_video_is_told(tmp_path, content):
    path = tmp_path / "v.mp4"
    if content is not None:
        path.write_bytes(content)
    video = Video(path, 3)
    assert list(video.frames()) == []
    assert video.problem.startswith(f"{path}: cannot be read as a video")


def test_a_run_of_other_channels_takes_no_video(motion_jpeg):
    video = Video(motion_jpeg, 4)
    assert list(video.frames()) == []
    assert "holds 3 channels, and the run takes 4" in video.problem


def test_a_video_that_could_not_be_written_is_told(tmp_path):
    """OpenCV raises nothing on a full disk: frames are missing."""
    with (
        mock.patch.object(cv2, "VideoWriter", return_value=mock.Mock()),
        pytest.raises(OSError, match=r"v\.mp4 cannot be written: of 8 frames 0 are in it; the disk may be full"),
    ):
        write(tmp_path / "v.mp4")
    assert os.listdir(tmp_path) == []
