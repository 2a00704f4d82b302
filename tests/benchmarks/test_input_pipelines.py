import itertools

import numpy as np
import pytest

from segtrain.benchmarks import input_pipelines
from segtrain.benchmarks.input_pipelines import BATCH_SIZE, NETWORK_SIZE, NUM_IMAGES
from segtrain.datasets.shapes import build_shapes


@pytest.fixture(scope="module")
def dataset():
    return build_shapes(num_train=NUM_IMAGES, num_val=1, height=90, width=120, cache="memory")


@pytest.mark.parametrize(
    "name", ["_batches_of_ours", "_fused_batches", "_reference_batches", "_torch_batches", "_torch_uint8_batches"]
)
def test_every_contender_delivers_the_same_kind_of_batch(name, dataset):
    if "torch" in name:
        pytest.importorskip("torch")
    arguments = (input_pipelines.transforms(),) if name == "_batches_of_ours" else ()
    batches = getattr(input_pipelines, name)(dataset, *arguments)
    first, second = (tuple(np.asarray(part) for part in batch) for batch in itertools.islice(batches, 2))
    images, labels = first
    if "torch" in name:
        images = images.transpose(0, 2, 3, 1)
    assert images.shape == (BATCH_SIZE, *NETWORK_SIZE, 3)
    assert images.dtype == np.float32
    assert labels.reshape(images.shape[:3]).shape == (BATCH_SIZE, *NETWORK_SIZE)
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4, 255}
    assert not np.array_equal(first[0], second[0])
    batches.close() if hasattr(batches, "close") else None
