"""From input files to what is written for them: files are read and written in threads while the network works."""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segtrain.datasets.image_files import image_size, read_image
from segtrain.datasets.problems import BadSampleError
from segtrain.in_threads import map_in_threads
from segtrain.prediction.choices import FormatChoice
from segtrain.prediction.inputs import InputFile
from segtrain.prediction.output_files import (
    draw_overlay,
    overlay_video_of,
    path_of,
    remove_frames_from,
    write_labels,
    write_probabilities,
)
from segtrain.prediction.predictor import Predictor
from segtrain.prediction.videos import Video, written_video

# Of the images that wait before the network, and as many behind it: as one of 6000x6000, which is taken alone.
MOST_PIXELS_WAITING = 2**25
NUM_THREADS = 2  # to read, and as many to write: decoding and encoding keep no more busy beside the network


class Picture(NamedTuple):
    """An image on its way.

    Attributes:
        path: its file.
        stem: what the names of the files that are written for it begin with.
        pixels: uint8 `(height, width, channels)`; None once they are of no more use.
        labels: uint8 `(height, width)`, once the network said so.
        problem: why there are no pixels or no labels, in a line that names the file.
    """

    path: Path
    stem: str
    pixels: np.ndarray | None = None
    labels: np.ndarray | None = None
    problem: str | None = None

    @property
    def num_pixels(self) -> int:
        return 0 if self.pixels is None else self.pixels.shape[0] * self.pixels.shape[1]


@dataclass
class Outcome:
    """What came of the inputs.

    Attributes:
        num_images: images that were predicted.
        num_videos: videos that were predicted, to their ends or not.
        num_frames: frames of those.
        unreadable: of each file that could not be read, or not to its end, its path and why.
    """

    num_images: int = 0
    num_videos: int = 0
    num_frames: int = 0
    unreadable: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """Returns in a few words what was predicted."""
        images = f"{self.num_images} image{'s' * (self.num_images != 1)}"
        if not self.num_videos:
            return images
        videos = f"{self.num_videos} video{'s' * (self.num_videos != 1)} ({self.num_frames} frames)"
        return f"{images}, {videos}" if self.num_images else videos


def predict_files(
    predictor: Predictor,
    files: Sequence[InputFile],
    *,
    output: Path,
    formats: Sequence[FormatChoice],
    batch_size: int,
    advance: Callable[[], None],
    expect: Callable[[int], None],
) -> Outcome:
    """Predicts images and videos and writes what was asked for.

    Args:
        predictor: what predicts.
        files: what to predict; names have been checked.
        output: the folder to write to.
        formats: what to write.
        batch_size: images that the network sees together, where it sees them at one size.
        advance: called for each image or frame that is done, or left out.
        expect: called with the number of frames of a video before it starts.

    Returns:
        What came of them; files that cannot be read are left out, and all others are written.

    Raises:
        OSError: something cannot be written.
    """
    outcome = Outcome()
    label = functools.partial(_labelled, predictor, output=output, formats=formats, batch_size=batch_size)
    write = functools.partial(_write, palette=predictor.palette, output=output, formats=formats)
    for picture in _in_writers(write, label(_read_ahead(predictor, files, batch_size)), NUM_THREADS, batch_size):
        outcome.num_images += picture.problem is None
        outcome.unreadable += [picture.problem] if picture.problem else []
        advance()
    for file in (file for file in files if file.is_video):
        video = Video(file.path, predictor.channels)
        expect(video.num_frames)
        num_frames = 0
        with _writing_frames(file, video, predictor, output, formats) as write_frame:
            # One thread, so that the frames stay in order.
            for picture in _in_writers(write_frame, label(_frames_ahead(file, video)), 1, batch_size):
                if picture.problem:
                    video.problem = picture.problem
                    break
                num_frames += 1
                advance()
        if num_frames:  # else nothing took the place of what is there
            remove_frames_from(num_frames, output, file.stem, [form for form in formats if form != "overlay"])
        outcome.num_videos += num_frames > 0
        outcome.num_frames += num_frames
        outcome.unreadable += [video.problem] if video.problem else []
    return outcome


def _read_ahead(predictor: Predictor, files: Sequence[InputFile], batch_size: int) -> Iterator[Picture]:
    """Yields the images among the files."""

    def read(file: InputFile) -> Picture:
        try:
            pixels = read_image(file.path, channels=predictor.channels, white=predictor.white)
        except (BadSampleError, OSError) as error:
            return Picture(file.path, file.stem, problem=str(error))
        return Picture(file.path, file.stem, pixels)

    return map_in_threads(
        read,
        (file for file in files if not file.is_video),
        num_threads=NUM_THREADS,
        most_waiting=batch_size + NUM_THREADS,
        room=MOST_PIXELS_WAITING,
        size=_pixels_of_file,
    )


def _pixels_of_file(file: InputFile) -> int:
    try:
        height, width = image_size(file.path)
    except ValueError:  # told when it is read
        return 0
    return height * width


def _frames_ahead(file: InputFile, video: Video) -> Iterator[Picture]:
    frames = enumerate(video.frames())
    ahead = map_in_threads(lambda _: next(frames, None), itertools.repeat(None), num_threads=1)
    for number, pixels in itertools.takewhile(lambda frame: frame is not None, ahead):
        yield Picture(file.path, f"{file.stem}/{number:06d}", pixels)


def _labelled(
    predictor: Predictor,
    pictures: Iterable[Picture],
    *,
    output: Path,
    formats: Sequence[FormatChoice],
    batch_size: int,
) -> Iterator[Picture]:
    """Yields the pictures with their labels; probabilities, which are large, are written on the way."""
    for batch in _batches(pictures, batch_size):
        if batch[0].problem:
            yield from batch
            continue
        if "probabilities" in formats:
            for picture in batch:
                path = path_of(output, picture.stem, "probabilities")
                yield _told(picture, functools.partial(_write_probabilities, predictor, path))
            continue
        try:
            labels = predictor.predict_batch([picture.pixels for picture in batch])
        except ValueError:  # one of them is not for this network; the others are
            yield from (_told(picture, predictor.predict) for picture in batch)
        else:
            yield from (picture._replace(labels=of_picture) for picture, of_picture in zip(batch, labels, strict=True))


def _batches(pictures: Iterable[Picture], batch_size: int) -> Iterator[list[Picture]]:
    """Yields as many pictures as the network takes together, and those that were not read one by one."""
    batch: list[Picture] = []
    for picture in pictures:
        if picture.problem:
            yield [picture]
            continue
        if batch and sum(each.num_pixels for each in batch) + picture.num_pixels > MOST_PIXELS_WAITING:
            yield batch
            batch = []
        batch.append(picture)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _told(picture: Picture, label: Callable[[np.ndarray], np.ndarray]) -> Picture:
    """Returns the picture with its labels, or with the reason why it has none."""
    try:
        return picture._replace(labels=label(picture.pixels))
    except ValueError as error:
        return picture._replace(problem=f"{picture.path}: {error}")


def _write_probabilities(predictor: Predictor, path: Path, pixels: np.ndarray) -> np.ndarray:
    return write_probabilities(path, predictor.probability_bands(pixels), (*pixels.shape[:2], predictor.num_classes))


def _in_writers(
    write: Callable[[Picture], None], pictures: Iterable[Picture], num_threads: int, batch_size: int
) -> Iterator[Picture]:
    """Writes pictures in threads; yields each without its pixels when it is done."""

    def write_one(picture: Picture) -> Picture:
        if picture.labels is not None:
            write(picture)
        return picture._replace(pixels=None, labels=None)

    return map_in_threads(
        write_one,
        pictures,
        num_threads=num_threads,
        most_waiting=batch_size + num_threads,
        room=MOST_PIXELS_WAITING,
        size=lambda picture: picture.num_pixels,
    )


def _write(
    picture: Picture, palette: Sequence[tuple[int, int, int]], output: Path, formats: Sequence[FormatChoice]
) -> None:
    write_labels(picture.pixels, picture.labels, palette, output, picture.stem, formats)


@contextlib.contextmanager
def _writing_frames(
    file: InputFile, video: Video, predictor: Predictor, output: Path, formats: Sequence[FormatChoice]
) -> Iterator[Callable[[Picture], None]]:
    """Gives what writes a frame: into the video of overlays, and as a file of its own in the other formats."""
    of_frames = [form for form in formats if form != "overlay"]
    with contextlib.ExitStack() as stack:
        add = None

        def write(picture: Picture) -> None:
            nonlocal add
            _write(picture, predictor.palette, output, of_frames)
            if "overlay" in formats:
                path, size = overlay_video_of(output, file.stem), picture.labels.shape
                add = add or stack.enter_context(written_video(path, video.rate, size))
                add(draw_overlay(picture.pixels, picture.labels, predictor.palette))

        yield write
