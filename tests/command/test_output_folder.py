"""Folders of jobs and runs: their names, and who gets them."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

from hypothesis import example, given, settings, strategies

from segtrain.command.output_folder import claimed, job_folder_name

# A loaded machine may take its time, and nothing is to be left in the checkout.
at_leisure = settings(deadline=None, database=None, max_examples=50)

SETTINGS = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(["model", "seed", "dataset.root", "optimizer.learning_rate", "image_size"]),
        strategies.from_regex(r"[A-Za-z0-9_.:/ é'\[\]-]{0,60}", fullmatch=True),
    ),
    max_size=6,
    unique_by=lambda pair: pair[0],
)


def overrides_of(settings: list[tuple[str, str]]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(settings))


@at_leisure
@given(settings=SETTINGS, text=strategies.text())
@example(settings=[], text="")
@example(settings=[], text="../../x")
@example(settings=[], text="." * 300)
def test_a_jobs_folder_has_a_harmless_name(settings, text):
    for overrides in (overrides_of(settings), text):
        name = job_folder_name(overrides)
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name)
        assert len(name) <= 128
        assert name == job_folder_name(overrides)


@at_leisure
@given(settings=SETTINGS.filter(bool), values=strategies.data())
def test_jobs_with_other_values_have_other_folders(settings, values):
    key, value = values.draw(strategies.sampled_from(settings))
    other = values.draw(strategies.from_regex(r"[A-Za-z0-9_.:/ é'\[\]-]{0,60}", fullmatch=True))
    # Also values that differ in nothing but what a file's name may not hold.
    for changed in {other, value + "/", value + " ", value + "'", value.upper(), value * 3} - {value}:
        changed_settings = [(name, changed if name == key else old) for name, old in settings]
        assert job_folder_name(overrides_of(changed_settings)) != job_folder_name(overrides_of(settings))


def test_a_plain_name_can_be_read():
    assert job_folder_name("model=segnet_small,seed=1") == "model-segnet_small_seed-1"


def test_a_folder_is_claimed_by_one_of_many_threads(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda _: claimed("hydra.run.dir", tmp_path / "run")[0], range(40)))
    assert len(set(claims)) == len(os.listdir(tmp_path)) == 40
