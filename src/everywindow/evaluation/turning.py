"""Boxes of photographs that an EXIF orientation turns: of which pixels they are, and turned with them."""

from __future__ import annotations

import warnings

from everywindow.evaluation.boxes import Box, Boxes
from everywindow.io import Turn

UNKNOWN = (
    "it is turned by its EXIF orientation, and whether its boxes are of the pixels as they are stored or as they are "
    "shown cannot be told from the size that comes with them: they are taken as shown"
)


def upright(image: Boxes, turn: Turn | None) -> Boxes:
    """Boxes of the image as it is shown. Warns where it cannot be told whether they were of the pixels as stored.

    The size that comes with the boxes tells, where stored and shown ones differ: after quarter turns of images that
    are not square.

    Args:
        image: boxes, and the size of the image that they are of, where it is known.
        turn: how the image is stored; None where it is stored as it is shown.
    """
    if turn is None or not image.boxes:
        return image
    if image.size is None or (turn.stored == turn.shown and image.size == turn.stored):
        warnings.warn(UNKNOWN, UserWarning, stacklevel=2)
        return image
    if image.size != turn.stored:
        return image
    return Boxes(tuple(_turned(box, turn) for box in image.boxes), turn.shown)


def _turned(box: Box, turn: Turn) -> Box:
    first, last = turn.point(box.start), turn.point(box.stop)
    start, stop = (tuple(pick(pair) for pair in zip(first, last, strict=True)) for pick in (min, max))
    return box._replace(start=start, stop=stop)
