"""What a result says of itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from everywindow.engines import Plan
from everywindow.geometry import Verdict
from everywindow.io import ngff
from everywindow.models import Classifier
from everywindow.run.identity import versions
from everywindow.run.spec import Job
from everywindow.run.worker import Scene


def attributes(
    job: Job,
    known: Classifier,
    scene: Scene,
    verdict: Verdict,
    plan: Plan,
    activation: str,
    classes: tuple[str, ...] | None,
) -> dict[str, Any]:
    """The ``everywindow`` attributes of a streamed map. There are no times among them."""
    region, source = scene.region, scene.source
    placement = source.placement
    return {
        "format": ngff.FORMAT,
        "window": list(known.window),
        "stride": list(job.stride),
        "pad": list(region.pad),
        "origin": list(region.origin),
        "downsample": list(region.downsample),
        "counts": list(job.counts),
        "image_size": list(region.image_size),
        "mode": job.mode,
        "activation": activation,
        "classes": None if classes is None else list(classes),
        "verdict": {"exact": verdict.exact, "reasons": [list(reason) for reason in verdict.reasons]},
        "path": job.image,
        "plan": asdict(plan),
        "versions": versions(),
        "seconds": None,
        "scale": 1.0,
        "source": {
            "format": source.format,
            "level": region.level,
            "level_size": list(source.levels[region.level].size),
            "spacing": None if placement.spacing is None else list(placement.spacing),
            "unit": placement.unit,
            "offset": None if placement.offset is None else list(placement.offset),
            "crs": placement.crs,
            "transform": None if placement.transform is None else list(placement.transform),
            "bounds": None if placement.bounds is None else [list(span) for span in placement.bounds],
        },
    }
