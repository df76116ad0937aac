"""Classifiers: what a network is, beside its weights, and where it comes from."""

from everywindow.models.classifier import Classifier, as_classifier
from everywindow.models.loaders import load
from everywindow.models.told import Told
from everywindow.models.unknown import warn_if_unknown

__all__ = ["Classifier", "Told", "as_classifier", "load", "warn_if_unknown"]
