"""What the time spent waiting for data means, in words."""

# Below this share of waiting nothing is to be gained from a faster pipeline.
WAIT_THAT_MATTERS = 0.1


def describe_data_wait(data_wait: float, cache_kind: str, *, first_epoch: bool) -> str:
    """Returns whether a run is input-bound, and what to try where it is.

    Args:
        data_wait: share of the training time spent waiting for batches, 0..1.
        cache_kind: where decoded images are kept: `memory`, `disk` or `none`.
        first_epoch: whether it was measured over the epoch that decodes the files.
    """
    waits = f"the device waits {data_wait:.0%} of the time for data"
    if data_wait < WAIT_THAT_MATTERS:
        return f"compute-bound: {waits}; the pipeline keeps up"
    if cache_kind == "none":
        advice = "every epoch decodes every file; try dataset.cache=memory, or disk where that does not fit"
    elif first_epoch:
        advice = f"this epoch decoded the files, the next ones read them from the {cache_kind} cache"
    elif cache_kind == "disk":
        advice = "try dataset.cache=memory where it fits, or TMPDIR on a faster disk"
    else:
        advice = "augmentation takes it; try fewer or cheaper transforms, or more CPU cores"
    return f"input-bound: {waits}; {advice}"
