"""Images in, files out."""

from everywindow.io.arrays import check_finite
from everywindow.io.atomic import atomic_file, atomic_path
from everywindow.io.files import is_image_name, read_file, read_picture
from everywindow.io.folder import image_files
from everywindow.io.image import Image, read_image
from everywindow.io.source import ArraySource, Box, Level, Placement, Source, box_bytes, spans

__all__ = [
    "ArraySource",
    "Box",
    "Image",
    "Level",
    "Placement",
    "Source",
    "atomic_file",
    "atomic_path",
    "box_bytes",
    "check_finite",
    "image_files",
    "is_image_name",
    "read_file",
    "read_image",
    "read_picture",
    "spans",
]
