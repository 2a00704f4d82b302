"""The tf.data side of the pipeline: which batches in which order, ahead of the device."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from segtrain.machine import usable_cores
from segtrain.pipeline.samples import Samples


def training_batches(
    samples: Samples,
    *,
    batch_size: int,
    num_parts: int,
    first_epoch: int,
    last_epoch: int,
    first_step: int = 0,
    parts: Sequence[int] | None = None,
) -> tf.data.Dataset:
    """Returns the batches of epochs `first_epoch` to `last_epoch` (not included), one epoch after another.

    It is one dataset over all epochs, so that the next epoch's first batches are ready when it begins. A last batch
    that is not full is left out; which samples those are changes from epoch to epoch.

    Args:
        samples: the training samples.
        batch_size: samples of a whole batch, over all replicas.
        num_parts: replicas; the dataset yields each batch's parts in consecutive elements.
        first_epoch: 0 for a new run.
        last_epoch: where to end.
        first_step: where in the first epoch to begin, to go on with a run.
        parts: those of each batch to read; None reads all.

    Returns:
        Elements of images, uint8 `(batch_size / num_parts, height, width, channels)`, and labels, uint8
        `(batch_size / num_parts, height, width)`; see `batch_spec`.
    """
    steps_per_epoch = samples.steps_per_epoch(batch_size)
    part_size, parts = batch_size // num_parts, parts or range(num_parts)

    def read_part(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        step, place = divmod(int(number), len(parts))
        epoch, step_of_epoch = divmod(step, steps_per_epoch)
        start = step_of_epoch * batch_size + parts[place] * part_size
        return samples.batch(samples.order(epoch)[start : start + part_size], epoch=epoch)

    first, last = first_epoch * steps_per_epoch + first_step, last_epoch * steps_per_epoch
    return _read_in_parallel(
        tf.data.Dataset.range(first * len(parts), last * len(parts)), read_part, samples, part_size
    )


def evaluation_batches(
    samples: Samples, *, batch_size: int, num_parts: int, parts: Sequence[int] | None = None
) -> tf.data.Dataset:
    """Returns every sample once, in order; the last batch is filled up with void, which no score counts.

    Args:
        samples: the samples.
        batch_size: samples of a whole batch, over all replicas.
        num_parts: replicas; see `training_batches`.
        parts: those of each batch to read; None reads all.
    """
    part_size, parts = batch_size // num_parts, parts or range(num_parts)
    num_steps = -(-len(samples) // batch_size)
    indices = np.full(num_steps * batch_size, -1)
    indices[: len(samples)] = np.arange(len(samples))

    def read_part(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        step, place = divmod(int(number), len(parts))
        start = step * batch_size + parts[place] * part_size
        return samples.batch(indices[start : start + part_size])

    return _read_in_parallel(tf.data.Dataset.range(num_steps * len(parts)), read_part, samples, part_size)


def batch_spec(samples: Samples, size: int) -> tuple[tf.TensorSpec, tf.TensorSpec]:
    """Returns shape and type of the images and labels of a batch; where images keep their own sizes, without these."""
    height, width = samples.image_size or (None, None)
    images = tf.TensorSpec((size, height, width, samples.dataset.channels), tf.uint8)
    return images, tf.TensorSpec((size, height, width), tf.uint8)


@contextlib.contextmanager
def original_failure(samples: Samples) -> Iterator[None]:
    """Raises what a sample's reader raised, in place of TensorFlow's wrapping of it."""
    try:
        yield
    except tf.errors.OpError as error:
        if samples.failure is None:
            raise
        raise samples.failure from error


def _read_in_parallel(
    numbers: tf.data.Dataset,
    read_part: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    samples: Samples,
    part_size: int,
) -> tf.data.Dataset:
    spec = batch_spec(samples, part_size)

    # One Python call for a whole batch, uint8 out: a call an image, or floats, halve the images a second. It depends on
    # the number alone; of one that might not, TensorFlow would make one call after another in deterministic runs.
    def read(number):
        images, labels = tf.numpy_function(read_part, [number], [tf.uint8, tf.uint8], stateful=False)
        images.set_shape(spec[0].shape)
        labels.set_shape(spec[1].shape)
        return images, labels

    # What runs at once is fixed, so nothing is left to tune while training: the tuning takes a thread of its own.
    options = tf.data.Options()
    options.autotune.enabled = False
    parallel = usable_cores()
    return numbers.map(read, num_parallel_calls=parallel, deterministic=True).prefetch(parallel).with_options(options)
