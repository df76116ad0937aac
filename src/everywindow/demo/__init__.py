"""The main job on real data, from nothing: train, store, convert, scan, compare; for two networks."""

from everywindow.demo.main import PHOTOGRAPH, SCALE, classifier, run
from everywindow.demo.train import padded, unpadded

__all__ = ["PHOTOGRAPH", "SCALE", "classifier", "padded", "run", "unpadded"]
