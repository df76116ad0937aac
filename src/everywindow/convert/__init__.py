"""From a captured classifier to a fully convolutional network."""

from everywindow.convert.conversion import INSTEAD, fully_convolutional
from everywindow.convert.kept import conversion_of, converted, for_inference
from everywindow.convert.network import FullyConvolutional, Geometry
from everywindow.convert.reuse import reusing_memory
from everywindow.convert.turned import Turned, turned

__all__ = [
    "INSTEAD",
    "FullyConvolutional",
    "Geometry",
    "Turned",
    "conversion_of",
    "converted",
    "for_inference",
    "fully_convolutional",
    "reusing_memory",
    "turned",
]
