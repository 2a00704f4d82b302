"""Intervals of differences: by hand, by SciPy, and over simulated sweeps whose truth is known."""

import itertools
import math
import statistics
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.stats

from segtrain.comparison.contributions import contributions
from segtrain.comparison.difference import (
    Difference,
    Part,
    difference_over_folds,
    paired_difference,
    unpaired_difference,
)
from segtrain.evaluation.image_counts import ImageCounts

CLASSES = 6


@dataclass(frozen=True)
class Chance:
    """Standard deviations of a class's share of right pixels in a simulated sweep."""

    seeds: float = 0.0  # from seed to seed
    images: float = 0.0  # from image to image, alike for all seeds of a configuration
    both: float = 0.0  # from seed to seed within an image
    shared: float = 0.5  # of the images' variance, what is the same for both configurations


# What A's and B's runs get right of each class; they predict a fifth more of it than there is in other places.
RIGHT = {"A": np.linspace(0.5, 0.9, CLASSES), "B": np.linspace(0.48, 0.87, CLASSES)}
WRONG = 0.2
OF_CLASSES = (RIGHT["A"] - RIGHT["B"]) / (1 + WRONG)
TRUTH = float(OF_CLASSES.mean())
COMMON = 0.7  # share of the images that have a class
MEAN_IOU, LAST_CLASS = 0, -1


def simulate(rng, chance, *, seeds, num_images, last_class=COMMON, measure=MEAN_IOU):
    """Returns the scores of a sweep's runs and the images' contributions by configuration, and their freedom.

    How much of a class is in an image is drawn apart from how much of it is got right, so an IoU tends to
    `right / (1 + WRONG)` with the number of images, and a seed moves it in proportion: the difference of the mean IoUs
    over all images and seeds is TRUTH. `last_class` is the share of the images that have the last class, two or more.
    """
    shares = [COMMON] * (CLASSES - 1) + [last_class]
    in_truth = np.zeros((num_images, CLASSES))
    while np.count_nonzero(in_truth[:, -1]) < 2:
        is_there = rng.random((num_images, CLASSES)) < shares
        in_truth = (rng.gamma(1.5, 2000, (num_images, CLASSES)) * is_there).round()
    shared = rng.normal(size=(num_images, CLASSES))
    runs = {}
    for (name, right), num_seeds in zip(RIGHT.items(), seeds, strict=True):
        own = rng.normal(size=(num_images, CLASSES))
        of_images = chance.images * (math.sqrt(chance.shared) * shared + math.sqrt(1 - chance.shared) * own)
        of_seeds = rng.normal(0, chance.seeds, (num_seeds, 1, CLASSES))
        of_both = rng.normal(0, chance.both, (num_seeds, num_images, CLASSES))
        hits = (in_truth * np.clip(right + of_images + of_seeds + of_both, 0, 1)).round()
        predicted = np.broadcast_to((in_truth * WRONG).round(), hits.shape) + hits
        pixels = np.stack([hits, np.broadcast_to(in_truth, hits.shape), predicted], axis=-1).astype(np.uint32)
        unknown = np.full(num_images, np.nan)
        classes, images = [str(each) for each in range(CLASSES)], [""] * num_images
        runs[name] = [contributions(ImageCounts(images, classes, of_run, unknown)) for of_run in pixels]
    values = {name: np.array([run.values[measure] for run in of_name]) for name, of_name in runs.items()}
    of_images = {name: np.stack([run.of_images[:, measure] for run in of_name]) for name, of_name in runs.items()}
    return values, of_images, min(run.freedom[measure] for of_name in runs.values() for run in of_name)


def coverage(chance, *, sweeps=1000, paired=True, num_images=100, measure=MEAN_IOU, truth=TRUTH, **kinds):
    """Returns the share of simulated sweeps whose interval covers the truth."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(sweeps):
        values, of_images, freedom = simulate(rng, chance, num_images=num_images, measure=measure, **kinds)
        if paired:
            difference = paired_difference(values["A"] - values["B"], of_images["A"] - of_images["B"], freedom)
        else:
            difference = unpaired_difference(values["A"], values["B"], of_images["A"], of_images["B"], freedom)
        covered += abs(difference.value - truth) <= difference.half_width
    return covered / sweeps


CHANCES = {
    "seeds alone": Chance(seeds=0.03),
    "images alone": Chance(images=0.08),
    "both alone": Chance(both=0.08),
    "seeds more": Chance(seeds=0.03, images=0.08, both=0.05),
    "alike": Chance(seeds=0.015, images=0.08, both=0.05),
    "images more": Chance(seeds=0.005, images=0.08, both=0.02),
    "images that differ": Chance(seeds=0.01, images=0.08, both=0.02, shared=0.0),
    "images shared": Chance(seeds=0.01, images=0.08, both=0.02, shared=1.0),
}


def test_the_ordinary_sweep_of_three_seeds_is_covered():
    assert 0.92 <= coverage(CHANCES["alike"], seeds=(3, 3), num_images=50, sweeps=500) <= 0.98


@pytest.mark.long
@pytest.mark.parametrize("num_images", [20, 100])
@pytest.mark.parametrize("num_seeds", [3, 10])
@pytest.mark.parametrize("chance", CHANCES)
def test_paired_seeds_are_covered(chance, num_seeds, num_images):
    assert 0.92 <= coverage(CHANCES[chance], seeds=(num_seeds, num_seeds), num_images=num_images) <= 0.98


@pytest.mark.long
@pytest.mark.parametrize("seeds", [(3, 3), (3, 5), (10, 10), (10, 12)])
@pytest.mark.parametrize("chance", CHANCES)
def test_seeds_of_their_own_are_covered(chance, seeds):
    assert 0.92 <= coverage(CHANCES[chance], seeds=seeds, paired=False) <= 0.98


def test_a_class_that_few_images_have_is_covered():
    """3 of 100; with the freedom of all 100, 84 %."""
    kinds = {"seeds": (3, 3), "last_class": 0.03, "measure": LAST_CLASS, "truth": OF_CLASSES[-1]}
    assert 0.91 <= coverage(CHANCES["images alone"], sweeps=400, **kinds) <= 0.98


@pytest.mark.long
@pytest.mark.parametrize("last_class", [0.03, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("num_seeds", [3, 10])
@pytest.mark.parametrize("chance", ["images alone", "seeds more", "images more"])
def test_a_class_that_few_images_have_is_covered_and_so_is_the_mean(chance, num_seeds, last_class):
    kinds = {"seeds": (num_seeds, num_seeds), "last_class": last_class}
    least, most = (0.92, 0.98) if last_class >= 0.05 else (0.9, 0.99)  # of three images
    assert 0.92 <= coverage(CHANCES[chance], **kinds) <= most
    assert least <= coverage(CHANCES[chance], measure=LAST_CLASS, truth=OF_CLASSES[-1], **kinds) <= 0.98


@pytest.mark.parametrize("num_images", [20, 100])
def test_one_seed_is_covered_where_seeds_change_nothing(num_images):
    assert 0.92 <= coverage(CHANCES["images alone"], seeds=(1, 1), num_images=num_images, sweeps=1000) <= 0.98


def test_one_seed_is_not_covered_where_seeds_matter():
    """Why it has to be said that seeds are not counted, and that the simulation can fail."""
    assert coverage(CHANCES["seeds more"], seeds=(1, 1), sweeps=500) < 0.8


def test_a_bootstrap_over_three_seeds_would_be_noticed():
    rng, covered = np.random.default_rng(0), 0
    resamples = np.array(list(itertools.product(range(3), repeat=3)))
    for _ in range(300):
        values, _, _ = simulate(rng, CHANCES["seeds alone"], seeds=(3, 3), num_images=50)
        means = (values["A"] - values["B"])[resamples].mean(axis=1)
        low, high = np.percentile(means, [2.5, 97.5])
        covered += low <= TRUTH <= high
    assert 0.65 < covered / 300 < 0.85


def ends(difference):
    return pytest.approx((difference.value - difference.half_width, difference.value + difference.half_width))


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_seeds_alone_are_scipys_paired_t(level):
    first, second = np.random.default_rng(1).random((2, 4))
    interval = scipy.stats.ttest_rel(first, second).confidence_interval(level)
    assert tuple(interval) == ends(paired_difference(first - second, None, level=level))


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_seeds_of_their_own_are_scipys_welch(level):
    rng = np.random.default_rng(2)
    first, second = rng.random(3), 0.3 * rng.random(5)
    interval = scipy.stats.ttest_ind(first, second, equal_var=False).confidence_interval(level)
    assert tuple(interval) == ends(unpaired_difference(first, second, None, None, level=level))


def test_one_seed_is_scipys_t_over_images():
    of_images = np.random.default_rng(3).normal(size=30)
    interval = scipy.stats.ttest_1samp(of_images, 0).confidence_interval()
    difference = paired_difference(np.array([of_images.mean()]), (of_images - of_images.mean())[None])
    assert tuple(interval) == ends(difference)
    assert difference.seeds is None


def test_seeds_and_images_are_an_analysis_of_variance():
    """Of a table of seeds by images, by its sums of squares."""
    rng, seeds, images = np.random.default_rng(4), 4, 30
    table = rng.normal(0, 0.5, (seeds, 1)) + rng.normal(0, 2, (1, images)) + rng.normal(0, 1, (seeds, images))
    of_seeds, of_images, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    seeds_square = images * np.sum((of_seeds - mean) ** 2) / (seeds - 1)
    images_square = seeds * np.sum((of_images - mean) ** 2) / (images - 1)
    rest = np.sum((table - of_seeds[:, None] - of_images + mean) ** 2) / ((seeds - 1) * (images - 1))
    assert images_square > rest
    difference = paired_difference(of_seeds, table - of_seeds[:, None])
    assert difference.seeds.variance == pytest.approx(seeds_square / (seeds * images))
    assert difference.images.variance == pytest.approx((images_square - rest) / (seeds * images))
    quantiles = scipy.stats.t.ppf(0.975, [seeds - 1, images - 1])
    parts = np.array([difference.seeds.variance, difference.images.variance])
    assert difference.half_width == pytest.approx(quantiles @ parts / math.sqrt(parts.sum()))
    assert quantiles[1] < difference.half_width / math.sqrt(parts.sum()) < quantiles[0]


def test_seeds_of_their_own_and_images_are_two_analyses_of_variance():
    """Each configuration's seeds with its own freedom; what the seeds put into the images' means is taken off."""
    rng, images = np.random.default_rng(5), 40
    of_images = rng.normal(0, 2, (2, 1, images))
    tables = [
        rng.normal(0, spread, (seeds, 1)) + each + rng.normal(0, 1, (seeds, images))
        for spread, seeds, each in zip((0.5, 0.1), (3, 5), of_images, strict=True)
    ]
    means = [table.mean(axis=1) for table in tables]
    difference = unpaired_difference(
        *means, *(table - mean[:, None] for table, mean in zip(tables, means, strict=True))
    )

    variances = [statistics.variance(mean) / len(mean) for mean in means]
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 2 + variances[1] ** 2 / 4)
    assert (difference.seeds.variance, difference.seeds.freedom) == pytest.approx((sum(variances), freedom))
    rests = 0.0
    for table in tables:
        seeds = len(table)
        rest = [
            table[s, i] - table[s].mean() - table[:, i].mean() + table.mean()
            for s in range(seeds)
            for i in range(images)
        ]
        rests += sum(each**2 for each in rest) / ((seeds - 1) * (images - 1)) / seeds
    apart = tables[0].mean(axis=0) - tables[1].mean(axis=0)
    assert difference.images.variance == pytest.approx((statistics.variance(apart) - rests) / images)
    parts = np.array([difference.seeds.variance, difference.images.variance])
    quantiles = scipy.stats.t.ppf(0.975, [freedom, images - 1])
    assert difference.half_width == pytest.approx(quantiles @ parts / math.sqrt(parts.sum()))
    assert difference.value == pytest.approx(means[0].mean() - means[1].mean())
    assert difference.repetitions == 3

    other_way = [each - each.mean(axis=1, keepdims=True) for each in reversed(tables)]
    of_few = unpaired_difference(*reversed(means), *other_way, 7)
    assert (of_few.repetitions, of_few.images.freedom) == (3, 7)
    assert of_few.images.variance == pytest.approx(difference.images.variance)
    assert of_few.value == pytest.approx(-difference.value)


def test_folds_by_hand():
    """Four of ten were run: a ninth of what is trained on is scored on, whichever were run."""
    values = np.array([0.02, 0.03, 0.01, 0.04])
    error = math.sqrt(np.var(values, ddof=1) * (1 / 4 + 1 / 9))
    difference = difference_over_folds(values, num_folds=10)
    assert difference.value == pytest.approx(0.025)
    assert difference.half_width == pytest.approx(scipy.stats.t.ppf(0.975, 3) * error)


def share_told(rng, deviations, value, count, level, images_error=0.0, sweeps=20_000):
    """Of simulated sweeps with so many seeds, how many tell a difference of that size, by SciPy's own tests.

    The images' error is taken as known, which its many degrees of freedom come near to.
    """
    samples = [rng.normal(0, deviation, (count, sweeps)) for deviation in deviations]
    means = sum(sample.mean(axis=0) for sample in samples) + value + rng.normal(0, images_error, sweeps)
    of_seeds = [sample.var(axis=0, ddof=1) / count for sample in samples]
    freedom = sum(of_seeds) ** 2 / sum(each**2 / (count - 1) for each in of_seeds)
    quantiles = [scipy.stats.t.ppf((1 + level) / 2, freedom), scipy.stats.norm.ppf((1 + level) / 2)]
    total = sum(of_seeds) + images_error**2
    half_widths = (quantiles[0] * sum(of_seeds) + quantiles[1] * images_error**2) / np.sqrt(total)
    return (means > half_widths).mean()


@pytest.mark.parametrize(
    ("value", "deviations", "images_error", "level"),
    [
        (0.01, [0.01], 0, 0.95),
        (0.02, [0.01], 0, 0.95),
        (0.01, [0.01], 0, 0.99),
        (0.01, [0.01], 0.003, 0.95),
        (0.01, [0.01, 0.01], 0, 0.95),
        (0.01, [0.002, 0.014], 0, 0.95),  # Welch: the one's seeds tell next to nothing of the other's
        (0.01, [0.002, 0.014], 0.003, 0.95),
    ],
)
def test_as_many_seeds_are_needed_as_tell_such_a_difference_in_four_of_five_sweeps(
    value, deviations, images_error, level
):
    parts = [Part(deviation**2 / (3 + number), 2 + number) for number, deviation in enumerate(deviations)]
    images = Part(images_error**2, 5000) if images_error else None
    needed = Difference(value, parts, images, 3, level).seeds_needed()
    rng = np.random.default_rng(0)
    told = [
        share_told(rng, deviations, value, count, level, images_error) for count in (needed - 1, needed, needed + 1)
    ]
    assert told[0] - 0.015 < 0.8 < told[2] + 0.015
    assert needed > 3


@pytest.mark.parametrize(("effect", "needed"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.2, 8)])
def test_seeds_needed_are_cohens_table(effect, needed):
    """The pairs of a t test at 5 % and power 0.8, as G*Power and others have it for those sizes of effect."""
    assert Difference(effect, [Part(1 / 3, 2)], None, 3, 0.95).seeds_needed() == needed


def test_no_more_than_a_thousand_seeds_are_asked_for():
    """(1.96 + 0.84)² seeds for a difference of one standard deviation, and so many times more for a small one."""
    effect = (1.96 + 0.842) / 1000**0.5
    assert Difference(1.01 * effect, [Part(1 / 3, 2)], None, 3, 0.95).seeds_needed() == pytest.approx(982, abs=3)
    assert Difference(0.99 * effect, [Part(1 / 3, 2)], None, 3, 0.95).seeds_needed() is None


@pytest.mark.parametrize("freedom", [0, -1])
def test_an_image_alone_tells_nothing_of_how_others_differ(freedom):
    """Of a class, say, which no other has: its contributions are none, and the score no certainty."""
    for seeds in (1, 3):
        difference = paired_difference(np.full(seeds, 0.1), np.zeros((seeds, 20)), freedom)
        assert math.isnan(difference.half_width)
        assert not difference.is_told


def test_more_seeds_do_not_help_where_the_images_are_too_few():
    difference = Difference(0.01, [Part(1e-6, 2)], Part(1e-4, 99), 3, 0.95)
    assert difference.seeds_needed() is None
    # An error of 0.01 at 100 images is to become 0.01 / (1.96 + 0.84), a little more for estimating it.
    assert difference.images_needed(100) == pytest.approx(100 * (1.96 + 0.842) ** 2, rel=0.01)
    assert Difference(0.04, [Part(1e-4, 2)], Part(1e-4, 99), 3, 0.95).seeds_needed() > 3


def test_no_difference_at_all_needs_no_number():
    same = paired_difference(np.zeros(3), np.zeros((3, 10)))
    assert (same.value, same.half_width, same.is_told) == (0, 0, False)
    assert (same.seeds_needed(), same.images_needed(10)) == (None, None)


def test_nothing_to_tell_by_is_no_interval():
    for difference in (paired_difference(np.array([0.1]), None), paired_difference(np.array([0.1]), np.zeros((1, 1)))):
        assert math.isnan(difference.half_width)
        assert not difference.is_told
