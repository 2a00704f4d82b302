"""The difference between two configurations, and how far it can be trusted.

Two things are drawn at random in a comparison: the seeds of the runs, of which there are few, and the images they are
scored on, of which there are many. The interval is about all seeds, and all images of the source that these images are
a sample of: would A be ahead on other images like these, with other seeds? What was trained on is taken as given, so
it says nothing of other training sets; and images count as drawn one by one, which frames of one video are not.

Seeds and images are crossed: each run is scored on every image. So the variance of the difference of means is that of
its values over seeds, plus that of the images' contributions to it, less what the latter owe to the seeds they were
taken from, which the former has already (the two-way analysis of variance with random effects). The quantile is
Cochran's weighted one: each part counts with the t of its own degrees of freedom. With three seeds Satterthwaite's
covers some 92 % where both parts matter, and a percentile bootstrap some 74 %; this one covers 94 to 97 %.

Sources: Hillis 2007, A comparison of denominator degrees of freedom methods for multiple observer ROC analysis,
https://doi.org/10.1002/sim.2532 (readers are seeds here, and cases images); Cochran and Cox 1957, Experimental
Designs, second edition, chapter 4.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_SEEDS = 1000


@dataclass(frozen=True)
class Part:
    """What one source of chance adds.

    Attributes:
        variance: of the difference.
        freedom: degrees of freedom it is estimated with.
    """

    variance: float
    freedom: float


@dataclass(frozen=True)
class Difference:
    """How far the first is ahead of the second, with an interval `value - half_width .. value + half_width`.

    Attributes:
        value: difference of the means.
        seeds: what the seeds add; None where there is one seed a configuration, or none is counted.
        images: what the images add; None where what is counted in each image is not known.
        repetitions: seeds (or folds) that the interval rests on, those of the configuration that has fewer.
        level: of the interval, such as 0.95.
    """

    value: float
    seeds: Part | None
    images: Part | None
    repetitions: int
    level: float

    @property
    def half_width(self) -> float:
        """NaN where nothing tells."""
        return _half_width([part for part in (self.seeds, self.images) if part is not None], self.level)

    @property
    def is_told(self) -> bool:
        """Whether the interval leaves out 0."""
        return abs(self.value) > self.half_width

    def seeds_needed(self) -> int | None:
        """Returns how many seeds would make the half width smaller than the difference seen; None if none would.

        A difference of just that size is then told every second time.
        """
        if self.seeds is None:
            return None
        images = [] if self.images is None else [self.images]
        for count in range(2, MOST_SEEDS + 1):
            seeds = Part(self.seeds.variance * self.repetitions / count, count - 1)
            if _half_width([seeds, *images], self.level) < abs(self.value):
                return count
        return None

    def images_needed(self, num_images: int) -> int | None:
        """Returns how many images would make the images' part of the half width smaller than the difference seen.

        Args:
            num_images: those that there are.
        """
        if self.images is None or self.value == 0:
            return None
        return math.ceil(num_images * (_half_width([self.images], self.level) / self.value) ** 2)


def paired_difference(values: np.ndarray, of_images: np.ndarray | None, level: float = 0.95) -> Difference:
    """Returns the difference between two configurations that were run with the same seeds on the same images.

    Args:
        values: float64 `(seeds,)`, score of the first less that of the second.
        of_images: float64 `(seeds, images)`, what each image contributes to them, mean 0 over the images; None where
            that is not known, and the images are not counted.
        level: of the interval.
    """
    return Difference(
        float(np.mean(values)),
        _seeds_part(values),
        None if of_images is None else _images_part([of_images]),
        len(values),
        level,
    )


def unpaired_difference(
    first: np.ndarray,
    second: np.ndarray,
    first_of_images: np.ndarray | None,
    second_of_images: np.ndarray | None,
    level: float = 0.95,
) -> Difference:
    """Returns the difference between two configurations run with seeds of their own on the same images.

    Args:
        first: float64 `(seeds,)`, scores of the first.
        second: float64 `(other seeds,)`, scores of the second.
        first_of_images: float64 `(seeds, images)`, what each image contributes to them; None as above.
        second_of_images: float64 `(other seeds, images)`.
        level: of the interval.
    """
    parts = [_seeds_part(first), _seeds_part(second)]
    has_images = first_of_images is not None and second_of_images is not None
    return Difference(
        float(np.mean(first) - np.mean(second)),
        None if None in parts else _sum_of_parts(parts),
        _images_part([first_of_images, -second_of_images]) if has_images else None,
        min(len(first), len(second)),
        level,
    )


def difference_over_folds(values: np.ndarray, level: float = 0.95) -> Difference:
    """Returns the difference between two configurations that were both run on several folds, each with its own images.

    Each fold is scored on other images, so the values over folds vary with them already. Two folds share most of what
    they are trained on; their variance is raised for that as Nadeau and Bengio 2003, Inference for the Generalization
    Error, https://doi.org/10.1023/A:1024068626366, do.

    Args:
        values: float64 `(folds,)`, score of the first less that of the second.
        level: of the interval.
    """
    count = len(values)
    part = Part(float(np.var(values, ddof=1)) * (1 / count + 1 / (count - 1)), count - 1)
    return Difference(float(np.mean(values)), part, None, count, level)


def _seeds_part(values: np.ndarray) -> Part | None:
    count = len(values)
    return Part(float(np.var(values, ddof=1)) / count, count - 1) if count > 1 else None


def _images_part(of_images: Sequence[np.ndarray]) -> Part | None:
    """Returns what the images add to a sum of means over seeds, each `(seeds, images)`."""
    num_images = of_images[0].shape[1]
    if num_images < 2:
        return None
    means = [each.mean(axis=0) for each in of_images]
    mean_square = np.sum(np.sum(means, axis=0) ** 2) / (num_images - 1)
    for each, mean in zip(of_images, means, strict=True):
        if len(each) > 1:
            of_seeds = np.sum((each - mean) ** 2) / ((len(each) - 1) * (num_images - 1))
            mean_square -= of_seeds / len(each)
    return Part(max(0.0, float(mean_square)) / num_images, num_images - 1)


def _sum_of_parts(parts: Sequence[Part]) -> Part:
    """Returns the sum of independent parts, with the degrees of freedom of Welch and Satterthwaite."""
    variance, squares = sum(part.variance for part in parts), sum(part.variance**2 / part.freedom for part in parts)
    return Part(variance, variance**2 / squares if squares > 0 else sum(part.freedom for part in parts))


def _half_width(parts: Sequence[Part], level: float) -> float:
    variance = sum(part.variance for part in parts)
    if not parts or math.isnan(variance):
        return math.nan
    if variance == 0:
        return 0.0
    from scipy.special import stdtrit  # Student's quantile; no other verb needs it

    weighted = (stdtrit(part.freedom, (1 + level) / 2) * part.variance for part in parts)
    return float(sum(weighted) / math.sqrt(variance))
