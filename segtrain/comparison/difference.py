"""The difference between two configurations, and how far it can be trusted.

Two things are drawn at random in a comparison: the seeds of the runs, of which there are few, and the images they are
scored on, of which there are many. The interval is about all seeds, and all images of the source that these images are
a sample of: would A be ahead on other images like these, with other seeds? What was trained on is taken as given, so
it says nothing of other training sets; and images count as drawn one by one, which frames of one video are not.

Seeds and images are crossed: each run is scored on every image. So the variance of the difference of means is that of
its values over seeds, plus that of the images' contributions to it, less what the latter owe to the seeds they were
taken from, which the former has already (the two-way analysis of variance with random effects). The quantile is
Cochran's weighted one: each part counts with the t of its own degrees of freedom. With three seeds Satterthwaite's
covers some 92 % where both parts matter, and a percentile bootstrap some 74 %; this one covers 94 to 97 %. The images'
part has the freedom of the images that have the class: of a class that 3 to 20 of 100 images have, that covers 91 to
97 % (with the freedom of all 100 some 82 to 96 %), and the mean IoU over it and others 93 to 99 % (86 to 97 %): where
both seeds and images that tell are as few as three, the interval is wider than it had to be.

Sources: Hillis 2007, A comparison of denominator degrees of freedom methods for multiple observer ROC analysis,
https://doi.org/10.1002/sim.2532 (readers are seeds here, and cases images); Cochran and Cox 1957, Experimental
Designs, second edition, chapter 4.
"""

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

MOST_SEEDS, MOST_IMAGES = 1000, 10**9
# How often a difference is to be told, for as many seeds or images to be called enough.
CHANCE_TO_TELL = 0.8


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
        of_seeds: what the seeds add, a part for each mean over them: that of the pairs, or those of both
            configurations. Empty where a configuration has one seed, or none is counted.
        images: what the images add; None where what is counted in each image is not known.
        repetitions: seeds (or folds) that the interval rests on, those of the configuration that has fewer.
        level: of the interval, such as 0.95.
    """

    value: float
    of_seeds: Sequence[Part]
    images: Part | None
    repetitions: int
    level: float

    @property
    def seeds(self) -> Part | None:
        """What the seeds add together."""
        return _sum_of_parts(self.of_seeds) if self.of_seeds else None

    @property
    def half_width(self) -> float:
        """NaN where nothing tells."""
        return _half_width([part for part in (self.seeds, self.images) if part is not None], self.level)

    @property
    def is_told(self) -> bool:
        """Whether the interval leaves out 0."""
        return abs(self.value) > self.half_width

    def seeds_needed(self) -> int | None:
        """Returns how many seeds a configuration would have a difference of the size seen told in 4 of 5 sweeps.

        The images stay as many as they are. None if no number up to `MOST_SEEDS` does.
        """
        if not self.of_seeds:
            return None
        images = [] if self.images is None else [self.images]

        def chance(count: int) -> float:
            seeds = [Part(part.variance * (part.freedom + 1) / count, count - 1) for part in self.of_seeds]
            return _chance_to_tell(self.value, [_sum_of_parts(seeds), *images], self.level)

        return _first_enough(chance, MOST_SEEDS)

    def images_needed(self, num_images: int) -> int | None:
        """Returns how many images would have it told in 4 of 5 sweeps, were the seeds so many as to add nothing.

        Args:
            num_images: those that there are.
        """
        if self.images is None:
            return None

        def chance(count: int) -> float:
            share = count / num_images
            images = Part(self.images.variance / share, max(1.0, (self.images.freedom + 1) * share - 1))
            return _chance_to_tell(self.value, [images], self.level)

        return _first_enough(chance, MOST_IMAGES)


def paired_difference(
    values: np.ndarray, of_images: np.ndarray | None, freedom: float | None = None, level: float = 0.95
) -> Difference:
    """Returns the difference between two configurations that were run with the same seeds on the same images.

    Args:
        values: float64 `(seeds,)`, score of the first less that of the second.
        of_images: float64 `(seeds, images)`, what each image contributes to them, mean 0 over the images; None where
            that is not known, and the images are not counted.
        freedom: degrees of freedom that the images' variance has, see `Contributions`; their number less one unless
            it is told. Without any there is no interval.
        level: of the interval.
    """
    return Difference(
        float(np.mean(values)),
        _seeds_parts(values),
        None if of_images is None else _images_part([of_images], freedom),
        len(values),
        level,
    )


def unpaired_difference(
    first: np.ndarray,
    second: np.ndarray,
    first_of_images: np.ndarray | None,
    second_of_images: np.ndarray | None,
    freedom: float | None = None,
    level: float = 0.95,
) -> Difference:
    """Returns the difference between two configurations run with seeds of their own on the same images.

    Args:
        first: float64 `(seeds,)`, scores of the first.
        second: float64 `(other seeds,)`, scores of the second.
        first_of_images: float64 `(seeds, images)`, what each image contributes to them; None as above.
        second_of_images: float64 `(other seeds, images)`.
        freedom: as above.
        level: of the interval.
    """
    has_images = first_of_images is not None and second_of_images is not None
    return Difference(
        float(np.mean(first) - np.mean(second)),
        _seeds_parts(first, second),
        _images_part([first_of_images, -second_of_images], freedom) if has_images else None,
        min(len(first), len(second)),
        level,
    )


def difference_over_folds(values: np.ndarray, num_folds: int, level: float = 0.95) -> Difference:
    """Returns the difference between two configurations that were both run on several folds, each with its own images.

    Each fold is scored on other images, so the values over folds vary with them already. Two folds share most of what
    they are trained on; their variance is raised for that as Nadeau and Bengio 2003, Inference for the Generalization
    Error, https://doi.org/10.1023/A:1024068626366, do: by the images scored on for each that is trained on.

    Args:
        values: float64 `(folds that were run,)`, score of the first less that of the second.
        num_folds: into how many the data is divided, of which one is scored on and the others are trained on.
        level: of the interval.
    """
    count = len(values)
    part = Part(float(np.var(values, ddof=1)) * (1 / count + 1 / (num_folds - 1)), count - 1)
    return Difference(float(np.mean(values)), (part,), None, count, level)


def _seeds_parts(*configurations: np.ndarray) -> Sequence[Part]:
    """Returns what the seeds add to the mean of each, `(seeds,)`; nothing where one has a single seed."""
    if any(len(values) < 2 for values in configurations):
        return ()
    return tuple(Part(float(np.var(values, ddof=1)) / len(values), len(values) - 1) for values in configurations)


def _images_part(of_images: Sequence[np.ndarray], freedom: float | None) -> Part | None:
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
    freedom = num_images - 1 if freedom is None else freedom
    return Part(max(0.0, float(mean_square)) / num_images if freedom > 0 else math.nan, freedom)


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


def _chance_to_tell(value: float, parts: Sequence[Part], level: float) -> float:
    """Returns the chance that the interval leaves out 0 where the difference is `value`: of one part, the t test's."""
    half_width = _half_width(parts, level)
    total = _sum_of_parts(parts)
    if math.isnan(half_width) or total.variance == 0:
        return float(half_width < abs(value))
    from scipy.stats import nct  # scipy.special has it too, which is NaN where the chance is near 1

    error = math.sqrt(total.variance)
    return float(nct.sf(half_width / error, total.freedom, abs(value) / error))


def _first_enough(chance: Callable[[int], float], most: int) -> int | None:
    """Returns the first count from 2 to `most` with the chance that is asked for; it grows with the count."""
    count = 2 + bisect.bisect_left(range(2, most + 1), CHANCE_TO_TELL, key=chance)
    return count if count <= most else None
