"""From the images' answers to the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everywindow.evaluation.boxes import Box
from everywindow.evaluation.localise import Located
from everywindow.evaluation.measure import Answer
from everywindow.evaluation.precision import average_precision

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Share:
    """A share of the images, 0 to 1, or a difference of two; with the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


@dataclass(frozen=True)
class Row:
    """A method over all images.

    Attributes:
        name: of the method: protocol, reduction, scales.
        images: how many have an answer.
        labelled: how many of them have a label, which is what the shares are of.
        top1: share of images whose strongest class is right; None where no image has a label.
        top5: share of images whose class is among the five strongest; None, too, where there are five classes or fewer.
        gain: ``top1`` less that of the centre crop, of the same images; None for the centre crop itself.
        changed: images whose answer is another than the centre crop's.
        corrected, spoilt: images where only this method is right, and where only the centre crop is.
        seconds: per image on average, of the network alone.
    """

    name: str
    images: int
    labelled: int
    top1: Share | None
    top5: Share | None
    gain: Share | None
    changed: int
    corrected: int
    spoilt: int
    seconds: float


def share(values: Sequence[int], seed: int = 0, least: float = 0.0) -> Share:
    """The mean of whole numbers up to 1, with the interval of a bootstrap over them (percentiles of the means).

    Resamples of few different values are draws of how often each of them comes, so none is made item by item. Where all
    values are the same, resamples say nothing: then the interval is the exact binomial one.

    Args:
        values: numbers from ``least`` to 1.
        seed: of the resampling.
        least: 0 for shares, −1 for differences of shares.

    >>> print(share([1, 1, 1, 1]))
    100.0 % (39.8 to 100.0)
    """
    kinds, counts = np.unique(np.asarray(values, float), return_counts=True)
    total, tail = int(counts.sum()), (1 - CONFIDENCE) / 2
    if len(kinds) == 1:
        only, reach = float(kinds[0]), 1 - tail ** (1 / total)
        return Share(only, max(least, only - reach), min(1.0, only + reach))
    draws = np.random.default_rng(seed).multinomial(total, counts / total, size=RESAMPLES)
    means = draws @ kinds / total
    low, high = np.quantile(means, [tail, 1 - tail])
    return Share(float(np.asarray(values, float).mean()), float(low), float(high))


def row(name: str, answers: Sequence[Answer], reference: Sequence[Answer], classes: int, seed: int) -> Row:
    """A method's answers against those of the centre crop, image by image."""
    pairs = [(one, other) for one, other in zip(answers, reference, strict=True) if one.rank is not None]
    right, before = [int(one.rank == 0) for one, _ in pairs], [int(other.rank == 0) for _, other in pairs]
    gains = [now - then for now, then in zip(right, before, strict=True)]
    in_five = [int(one.rank is not None and one.rank < 5) for one, _ in pairs]
    return Row(
        name=name,
        images=len(answers),
        labelled=len(pairs),
        top1=share(right, seed) if pairs else None,
        top5=share(in_five, seed) if pairs and classes > 5 else None,
        gain=share(gains, seed, -1.0) if pairs and answers is not reference else None,
        changed=sum(one.top[0] != other.top[0] for one, other in zip(answers, reference, strict=True)),
        corrected=gains.count(1),
        spoilt=gains.count(-1),
        seconds=float(np.mean([one.seconds for one in answers])),
    )


@dataclass(frozen=True)
class Localisation:
    """A class in the maps of one protocol, over all images that have boxes.

    Attributes:
        name: protocol, and how many scales.
        klass: name of the class.
        images: how many have a box of the class.
        pointing: share of them where the strongest window's centre lies in one.
        roc: area under the ROC curve of the heat map, averaged over the images; None with several scales.
        precision: average precision of the boxes, for each intersection over union.
    """

    name: str
    klass: str
    images: int
    pointing: Share | None
    roc: float | None
    precision: dict[float, float | None]


def localisation(
    name: str,
    klass: str,
    found: Sequence[Located],
    truth: Sequence[Sequence[Box]],
    overlaps: Sequence[float],
    seed: int,
) -> Localisation:
    """A class, from what was found in each image and what is there."""
    hits = [int(one.hit) for one in found if one.hit is not None]
    areas = [one.roc for one in found if one.roc is not None]
    precision = average_precision(truth, [one.boxes for one in found], overlaps)
    return Localisation(
        name=name,
        klass=klass,
        images=len(hits),
        pointing=share(hits, seed) if hits else None,
        roc=float(np.mean(areas)) if areas else None,
        precision=dict(zip(overlaps, precision, strict=True)),
    )
