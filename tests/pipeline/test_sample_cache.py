import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from segtrain.pipeline.sample_cache import DiskCache, MemoryCache, NoCache, open_cache


def make_sample(index):
    """Pixels and size of each sample are its own; the channels too."""
    rng = np.random.default_rng(index)
    height, width, channels = rng.integers(1, 30, 2).tolist() + [(1, 3, 4)[index % 3]]
    return rng.integers(0, 256, (height, width, channels), np.uint8), rng.integers(0, 256, (height, width), np.uint8)


def assert_same(sample, expected):
    for kept, given in zip(sample, expected, strict=True):
        assert kept.dtype == np.uint8
        np.testing.assert_array_equal(kept, given)


@pytest.mark.parametrize("make_cache", [MemoryCache, DiskCache])
def test_what_is_put_comes_back(make_cache):
    cache = make_cache(30)
    for index in range(0, 30, 2):
        cache.put(index, make_sample(index))
    for index in range(30):
        if index % 2:
            assert cache.get(index) is None
        else:
            assert_same(cache.get(index), make_sample(index))


def test_the_disk_keeps_views_of_images():
    """A flipped image is a view whose bytes lie in another order."""
    image, labels = make_sample(1)
    cache = DiskCache(1)
    cache.put(0, (image[:, ::-1], labels[:, ::-1]))
    assert_same(cache.get(0), (image[:, ::-1], labels[:, ::-1]))


@pytest.mark.parametrize("make_cache", [MemoryCache, DiskCache])
def test_many_threads_at_once(make_cache):
    cache, samples = make_cache(400), [make_sample(index) for index in range(400)]

    def put_and_look(index):
        cache.put(index, samples[index])
        other = cache.get((index * 7) % 400)
        if other is not None:
            assert_same(other, samples[(index * 7) % 400])

    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(put_and_look, range(400)))) == 400
    for index in range(400):
        assert_same(cache.get(index), samples[index])


def test_no_cache_keeps_nothing():
    cache = NoCache()
    cache.put(0, make_sample(0))
    assert cache.get(0) is None


def test_the_disk_cache_has_no_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cache = DiskCache(2)
    cache.put(0, make_sample(0))
    assert list(tmp_path.iterdir()) == []
    assert_same(cache.get(0), make_sample(0))


@pytest.mark.parametrize(
    ("choice", "bytes_per_sample", "kind"),
    [
        ("memory", 10**15, MemoryCache),
        ("disk", 1, DiskCache),
        ("none", 1, NoCache),
        ("auto", 1, MemoryCache),
        ("auto", 10**15, DiskCache),
    ],
)
def test_the_choice_names_the_cache(choice, bytes_per_sample, kind):
    assert type(open_cache(choice, 3, bytes_per_sample)) is kind
