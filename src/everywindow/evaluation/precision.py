"""Average precision of boxes, as pycocotools computes it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from everywindow.evaluation.boxes import Box
from everywindow.evaluation.localise import MOST
from everywindow.evaluation.needed import needed

ANY_SIZE = [0.0, 1e10]


def average_precision(
    truth: Sequence[Sequence[Box]], found: Sequence[Sequence[Sequence[float]]], overlaps: Sequence[float]
) -> tuple[float | None, ...]:
    """Average precision of one class over all images, for each intersection over union.

    Args:
        truth: for each image the boxes that are there.
        found: for each image the boxes that were found: ``(row, column, exclusive row, exclusive column, value)``.
        overlaps: how much of their union a found box and a true one must have in common.

    Returns:
        COCO's mean over 101 recalls, for each overlap; None where there is no box that counts.
    """
    if not any(not box.crowd for boxes in truth for box in boxes):
        return (None,) * len(overlaps)
    if not any(found):
        return (0.0,) * len(overlaps)
    tool = needed("pycocotools")
    with redirect_stdout(io.StringIO()):
        there = _dataset(len(truth), [_true(i, box) for i, boxes in enumerate(truth) for box in boxes])
        seen = _dataset(len(found), [_found(i, box) for i, boxes in enumerate(found) for box in boxes])
        run = tool.COCOeval(there, seen, "bbox")
        run.params.iouThrs = np.asarray(overlaps)
        run.params.areaRng, run.params.areaRngLbl, run.params.maxDets = [ANY_SIZE], ["all"], [MOST]
        run.evaluate()
        run.accumulate()
    curves = run.eval["precision"][:, :, 0, 0, 0]
    return tuple(float(curve.mean()) for curve in curves)


def _dataset(images: int, things: list[dict[str, Any]]) -> Any:
    from pycocotools.coco import COCO

    made = COCO()
    made.dataset = {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": 1}],
        "annotations": [{"id": number, "category_id": 1, **thing} for number, thing in enumerate(things, 1)],
    }
    made.createIndex()
    return made


def _true(image: int, box: Box) -> dict[str, Any]:
    return {**_extent(image, *box.start, *box.stop), "iscrowd": int(box.crowd)}


def _found(image: int, box: Sequence[float]) -> dict[str, Any]:
    return {**_extent(image, *box[:4]), "iscrowd": 0, "score": box[4]}


def _extent(image: int, row: float, column: float, last_row: float, last_column: float) -> dict[str, Any]:
    height, width = last_row - row, last_column - column
    return {"image_id": image, "bbox": [column, row, width, height], "area": height * width}
