"""Images in, files out."""

from everywindow.io.arrays import check_finite
from everywindow.io.atomic import atomic_file, atomic_path
from everywindow.io.files import is_image_name, read_file, read_picture, turn_of
from everywindow.io.folder import image_files
from everywindow.io.image import Image, read_image
from everywindow.io.ngff import Store, add_levels, create, is_store, place_of, remove_partial
from everywindow.io.opening import identity, is_image_folder, open_source, scannable_files, stamp
from everywindow.io.reading import library
from everywindow.io.region import Region, region_of
from everywindow.io.source import ArraySource, Box, Level, Placement, Source, box_bytes, spans
from everywindow.io.turn import Turn

__all__ = [
    "ArraySource",
    "Box",
    "Image",
    "Level",
    "Placement",
    "Region",
    "Source",
    "Store",
    "Turn",
    "add_levels",
    "atomic_file",
    "atomic_path",
    "box_bytes",
    "check_finite",
    "create",
    "identity",
    "image_files",
    "is_image_folder",
    "is_image_name",
    "is_store",
    "library",
    "open_source",
    "place_of",
    "read_file",
    "read_image",
    "read_picture",
    "region_of",
    "remove_partial",
    "scannable_files",
    "spans",
    "stamp",
    "turn_of",
]
