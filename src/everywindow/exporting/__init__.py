"""Results for other programs: GeoTIFF, OME-TIFF, GeoJSON, CSV, PNG."""

from everywindow.exporting.record import COORDINATES, MOST, Coordinates, Exported, Wanted
from everywindow.exporting.registry import exported

__all__ = ["COORDINATES", "MOST", "Coordinates", "Exported", "Wanted", "exported"]
