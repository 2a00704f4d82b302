import pytest

from segtrain.pipeline.verdict import describe_data_wait


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_a_device_that_hardly_waits_needs_no_advice(cache):
    verdict = describe_data_wait(0.02, cache, first_epoch=False)
    assert verdict == "compute-bound: the device waits 2% of the time for data; the pipeline keeps up"


@pytest.mark.parametrize(
    ("cache", "first_epoch", "advice"),
    [
        ("none", True, "dataset.cache=memory"),
        ("none", False, "dataset.cache=memory"),
        ("disk", True, "next ones read them from the disk cache"),
        ("disk", False, "dataset.cache=memory"),
        ("memory", True, "next ones read them from the memory cache"),
        ("memory", False, "transforms"),
    ],
)
def test_a_device_that_waits_is_told_what_to_type(cache, first_epoch, advice):
    verdict = describe_data_wait(0.38, cache, first_epoch=first_epoch)
    assert verdict.startswith("input-bound: the device waits 38% of the time for data; ")
    assert advice in verdict
