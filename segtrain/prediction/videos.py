"""Videos, frame by frame."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from segtrain.prediction.output_files import written

# Their headers count the frames; those of the others tell a duration, from which the number is worked out.
_COUNTING_SUFFIXES = {".mp4", ".avi", ".mov"}
_USUAL_RATE = 25.0


class Video:
    """A video to read.

    Args:
        path: the file.
        channels: channels of the frames: 1 for grey ones, 3 for RGB.

    Attributes:
        rate: frames a second.
        num_frames: frames that the header tells of; 0 where it tells of none.
        problem: why there are fewer frames than that, or none; known once `frames` ended, None of a sound video.
    """

    def __init__(self, path: Path, channels: int):
        self._path, self._channels = path, channels
        # OpenCV's other readers take a % in a name for the number of a picture.
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        self.rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = self.rate if 0 < self.rate < 1000 else _USUAL_RATE
        self.num_frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.problem: str | None = None

    def frames(self) -> Iterator[np.ndarray]:
        """Yields the frames, uint8 `(height, width, channels)`, upright. Ends where the video breaks off."""
        if self._channels not in (1, 3):
            self.problem = f"{self._path}: holds 3 channels, and the run takes {self._channels}."
            return
        number = 0
        try:
            while True:
                is_there, frame = self._capture.read()
                if not is_there:
                    break
                number += 1
                yield (
                    cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                    if self._channels == 3
                    else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)[..., None]
                )
        finally:
            self._capture.release()
        fewest = self.num_frames if self._path.suffix.lower() in _COUNTING_SUFFIXES else 0.95 * self.num_frames
        if not number:
            self.problem = f"{self._path}: cannot be read as a video. Replace the file or take it out."
        elif number < fewest:
            self.problem = f"{self._path}: breaks off after {number} of {self.num_frames} frames."


@contextlib.contextmanager
def written_video(path: Path, rate: float, size: tuple[int, int]) -> Iterator[Callable[[np.ndarray], None]]:
    """Gives a function that adds a frame, uint8 `(height, width, 3)` RGB, and makes it an MP4 video in the end.

    The format has even heights and widths alone: of others the last row or column is left out.

    Raises:
        OSError: it cannot be written.
    """
    number = 0

    def add(frame: np.ndarray) -> None:
        nonlocal number
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        number += 1

    with written(path) as temporary:
        writer = cv2.VideoWriter(
            str(temporary), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), rate, (size[1], size[0])
        )
        try:
            yield add
        finally:
            writer.release()
        # OpenCV says nothing of a disk that is full.
        there = cv2.VideoCapture(str(temporary), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FRAME_COUNT)
        if there != number:
            raise OSError(f"of {number} frames {max(0, int(there))} are in it; the disk may be full")
