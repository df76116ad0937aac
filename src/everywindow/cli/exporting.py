"""``export``: a result for other programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from everywindow.cli.options import Console, json_option


@click.command()
@click.argument("result")
@click.option(
    "--to",
    "files",
    multiple=True,
    required=True,
    metavar="PATH",
    help="FILE.tif: Cloud-Optimized GeoTIFF. FILE.ome.tif: OME-TIFF. FILE.geojson: regions, as QuPath reads them. "
    "FILE.csv: boxes. FILE.windows.csv: every window. FILE.png: the heat map. FILE.npz: the scores. May be repeated.",
)
@click.option(
    "--class",
    "klass",
    metavar="NAME",
    help="Class of regions, boxes and heat map.  [default: the top class of the image; of two classes the second]",
)
@click.option("--threshold", type=float, default=0.5, show_default=True, help="Least probability of regions and boxes.")
@click.option(
    "--most", type=int, default=10_000, show_default=True, help="Regions or boxes that are kept, the largest first."
)
@click.option(
    "--coordinates",
    type=click.Choice(["pixels", "world"]),
    default="pixels",
    show_default=True,
    help="Of regions: pixels of the image, or the reference system of a georeferenced one.",
)
@click.option("--probabilities", is_flag=True, help="Rasters hold probabilities in the place of scores.")
@json_option
def export(result: str, files: tuple[str, ...], console: Console, **options: Any) -> None:
    """Write RESULT (.zarr, .npz) for other programs: GeoTIFF, OME-TIFF, GeoJSON, CSV, PNG."""
    from everywindow import api
    from everywindow.errors import InputError

    try:
        written = [api.export(result, file, **options) for file in files]
    except InputError as error:
        if error.what != "threshold":
            raise
        # Elsewhere on the command line the threshold is that of --boxes.
        raise click.UsageError(f"--threshold: {error.why}; {error.remedy}.") from error
    for one in written:
        console.say(str(one))
    console.result({"written": [asdict(one) for one in written]})
