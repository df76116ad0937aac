"""Cloud-Optimized GeoTIFF: a band per class, placed in the world, or else in the image's pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from everywindow.errors import InputError
from everywindow.exporting.needed import rasterio_for
from everywindow.exporting.record import Exported, Wanted
from everywindow.exporting.result import Result, blocks

BLOCK = 256
LAYOUT = {"compress": "deflate", "bigtiff": "if_safer"}


def write(result: Result, path: Path, wanted: Wanted) -> Exported:
    """A plane of windows; of images without a place in the world, coordinates are level-0 columns and rows (y down)."""
    if len(result.counts) != 2:
        raise InputError(path.name, f"GeoTIFF holds planes, and the map has {len(result.counts)} axes", _other(result))
    rasterio = rasterio_for("GeoTIFF")
    scratch = path.with_name(f"{path.name}.plain.tif")
    values = result.staged(path.with_name(f"{path.name}.values"), wanted.probabilities)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": len(values),
        "height": result.counts[0],
        "width": result.counts[1],
        "dtype": values.dtype.name,
        "nodata": float("nan"),
        "transform": rasterio.Affine(*result.place.affine(result.transform)),
        "crs": _crs(rasterio, result),
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "bigtiff": "if_safer",
    }
    kind = "probability" if wanted.probabilities else "score"
    # One thread: the file's bytes then depend on nothing but the map.
    with rasterio.Env(GDAL_NUM_THREADS="1"):
        with rasterio.open(scratch, "w", **profile) as file:
            for rows, columns in blocks(result.counts, BLOCK):
                file.write(values[:, slice(*rows), slice(*columns)], window=(rows, columns))
            file.descriptions = result.classes
            file.update_tags(everywindow_values=kind, everywindow_activation=result.activation)
        rasterio.shutil.copy(scratch, path, driver="COG", blocksize=str(BLOCK), overview_resampling="average", **LAYOUT)
    return Exported(str(path), "Cloud-Optimized GeoTIFF", "bands", len(values))


def _crs(rasterio: Any, result: Result) -> Any:
    told = result.source.get("crs")
    return rasterio.crs.CRS.from_wkt(told) if told else None


def _other(result: Result) -> str:
    return "end the name in .ome.tif" if len(result.counts) == 3 else "end the name in .csv, .png or .npz"
