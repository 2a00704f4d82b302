"""The sentences, of differences worked by hand."""

import math
from dataclasses import replace

import pytest
import scipy.stats

from segtrain.comparison.difference import Difference, Part
from segtrain.comparison.pairs import Pair
from segtrain.comparison.words import describe, describe_level, describe_population, describe_rare_classes

# Of three seeds: half a width of 4.303 standard errors.
T_OF_THREE = scipy.stats.t.ppf(0.975, 2)
AIM = "to tell a difference of this size in 4 of 5 sweeps"


def of_seeds(value, half_width, repetitions=3, level=0.95):
    error = half_width / scipy.stats.t.ppf((1 + level) / 2, repetitions - 1)
    return Difference(value, (Part(error**2, repetitions - 1),), None, repetitions, level)


def with_images(difference, error=1e-9):
    return replace(difference, images=Part(error**2, 99))


def words(difference, **kinds):
    return describe(Pair("a", "b", measures={"mean_iou": difference}, **kinds))


@pytest.mark.parametrize(
    ("value", "half_width", "told"),
    [
        (0.021, 0.012, "a is ahead of b by 2.1 mIoU points (95 % interval 0.9 to 3.3, 3 seeds)"),
        (-0.021, 0.012, "b is ahead of a by 2.1 mIoU points (95 % interval 0.9 to 3.3, 3 seeds)"),
        (0.5, 0.25, "a is ahead of b by 50.0 mIoU points (95 % interval 25.0 to 75.0, 3 seeds)"),
        # Where one digit would not say on which side of 0 an end is, there are two.
        (0.0104, 0.0101, "a is ahead of b by 1.04 mIoU points (95 % interval 0.03 to 2.05, 3 seeds)"),
        (0.0004, 0.0002, "a is ahead of b by 0.04 mIoU points (95 % interval 0.02 to 0.06, 3 seeds)"),
        (0.0107, 0.0101, "a is ahead of b by 1.1 mIoU points (95 % interval 0.1 to 2.1, 3 seeds)"),
    ],
)
def test_who_is_ahead_and_by_how_much(value, half_width, told):
    assert words(with_images(of_seeds(value, half_width))) == told


@pytest.mark.parametrize(
    ("value", "half_width", "told"),
    [
        (0.01, 0.02, "between a and b can be told with 3 seeds (1.0 mIoU points, 95 % interval -1.0 to 3.0)"),
        (-0.01, 0.02, "between b and a can be told with 3 seeds (1.0 mIoU points, 95 % interval -1.0 to 3.0)"),
        (0.0101, 0.0104, "between a and b can be told with 3 seeds (1.01 mIoU points, 95 % interval -0.03 to 2.05)"),
    ],
)
def test_what_is_not_told_and_what_would_tell_it(value, half_width, told):
    # The t test's 80 %, by SciPy's own search.
    deviation = half_width / T_OF_THREE * math.sqrt(3)
    needed = next(
        count
        for count in range(2, 100)
        if scipy.stats.nct.sf(scipy.stats.t.ppf(0.975, count - 1), count - 1, abs(value) / deviation * count**0.5) > 0.8
    )
    difference = with_images(of_seeds(value, half_width))
    assert words(difference) == f"no difference {told}; about {needed} seeds would be needed {AIM}"
    with_others = words(difference, left_out=["seed 4"])
    assert with_others == f"{words(difference)}; seed 4 has only one side and is left out"


def test_more_seeds_than_anyone_runs():
    difference = of_seeds(0.0001, 0.02)
    assert words(difference).endswith(
        ", 3 seeds: images are not counted in this interval); more than 1,000 seeds would be needed " + AIM
    )
    assert words(with_images(difference), num_images=100).endswith("; more than 1,000 seeds would be needed " + AIM)


def test_images_instead_of_seeds():
    difference = with_images(of_seeds(0.01, 0.001), error=0.01)
    count = float(f"{difference.images_needed(100):.2g}")
    assert words(difference, num_images=100).endswith(
        f"; more seeds will not help: about {count:,.0f} images would be needed {AIM}"
    )
    of_one = Difference(0.01, (), Part(0.03**2, 99), 1, 0.95)
    count = float(f"{of_one.images_needed(100):.2g}")
    assert count > 1000
    assert words(of_one, num_images=100) == (
        "no difference between a and b can be told with one seed (1.0 mIoU points, 95 % interval -5.0 to 7.0, one "
        f"seed: seeds are not counted in this interval); about {count:,.0f} images would be needed {AIM}"
    )


def test_folds_say_nothing_of_how_many():
    assert words(of_seeds(0.01, 0.02, repetitions=4), over="folds") == (
        "no difference between a and b can be told with 4 folds (1.0 mIoU points, 95 % interval -1.0 to 3.0)"
    )
    assert words(of_seeds(0.03, 0.02, repetitions=4), over="folds", left_out=["fold 3", "fold 5"]) == (
        "a is ahead of b by 3.0 mIoU points (95 % interval 1.0 to 5.0, 4 folds); fold 3 and fold 5 have only one side "
        "and are left out"
    )


def test_nothing_to_tell_by():
    assert words(Difference(0.0123, (), None, 1, 0.95)) == (
        "no difference between a and b can be told with one seed (1.2 mIoU points, no interval)"
    )


def test_the_same_numbers_are_no_difference_of_nought():
    same = Difference(0.0, (Part(0.0, 1),), Part(0.0, 39), 2, 0.95)
    assert words(same, is_same=True) == "a and b gave the same numbers in every score with 2 seeds"
    assert words(same) == (
        "no difference between a and b can be told with 2 seeds (0.00 mIoU points, 95 % interval 0.00 to 0.00)"
    )


def test_what_does_not_compare():
    assert describe(Pair("a", "b", "they have other classes")) == "a and b do not compare: they have other classes"


@pytest.mark.parametrize(
    ("num_pairs", "told"), [(3, "98.3 %"), (1, "95 %"), (45, "99.89 %"), (4950, "99.999 %"), (2, "97.5 %")]
)
def test_levels_have_the_digits_that_tell_them_from_all(num_pairs, told):
    level = 1 - 0.05 / num_pairs
    assert f"95 % for all {num_pairs} pairs together, each at {told} (Bonferroni)" in describe_level(level)
    assert f" ({told} interval " in words(with_images(of_seeds(0.5, 0.1, level=level)))


def rare(**counts):
    return Pair("a", "b", images_with={"mean_iou": 3} | {f"iou_{name}": count for name, count in counts.items()})


def test_classes_that_few_images_have_are_named_rarest_first():
    told = "which tell little of how much others differ from them"
    assert describe_rare_classes([rare(road=40, pole=9), rare(pole=9, road=10)]) == (
        f"pole (9 images) stands in fewer than 10 images, {told}: its 95 % intervals cover the truth in 91 to 97 % of "
        "simulated sweeps"
    )
    assert describe_rare_classes([rare(pole=3, sign=1), rare(pole=4)]) == (
        f"sign (1 image) and pole (3 images) stand in fewer than 10 images, {told}: their 95 % intervals cover the "
        "truth in 91 to 97 % of simulated sweeps; of a class in fewer than two there is none"
    )
    many = describe_rare_classes([rare(**{letter: place for place, letter in enumerate("abcdefg", start=2)})])
    assert many.startswith("a (2 images), b (3 images), c (4 images), d (5 images) and 3 more stand in ")
    assert many.endswith(" of simulated sweeps")
    assert describe_rare_classes([rare(road=10), Pair("a", "b", "no")]) == describe_rare_classes([]) == ""


def test_the_intervals_are_about_what_is_counted():
    seeds = of_seeds(0.1, 0.2)
    images = replace(with_images(seeds), of_seeds=())
    pairs = {each: Pair("a", "b", measures={"mean_iou": each}) for each in (seeds, images)}
    rest = "; what was trained on stays as it is"
    assert describe_population([pairs[seeds]]) == f"Intervals are about other seeds{rest}"
    assert describe_population([pairs[images]]) == f"Intervals are about other images from the same source{rest}"
    both = f"Intervals are about other seeds and other images from the same source{rest}"
    assert describe_population(list(pairs.values())) == both
    assert describe_population([Pair("a", "b", why_not="scored elsewhere")]) == ""
