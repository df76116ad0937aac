"""The main job on real data, from nothing: train, store, convert, scan, compare."""

from everywindow.demo.main import PHOTOGRAPH, SCALE, classifier, run

__all__ = ["PHOTOGRAPH", "SCALE", "classifier", "run"]
