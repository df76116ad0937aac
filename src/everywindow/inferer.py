"""Scores at every window in the place of a sliding-window inferer of other libraries."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from everywindow.api import scan
from everywindow.errors import InputError
from everywindow.models import Classifier, as_classifier


class DenseInferer:
    """Called as MONAI's inferers are: ``inferer(inputs, network)`` gives the score maps of a batch of images.

    Args:
        classifier: a ``Classifier``, or a module with its ``window``. Networks given at a call have its window.
        window: input size that it was trained for, in pixels, one for all axes or one per axis.
        options: further arguments of :func:`everywindow.scan`: ``stride``, ``mode``, ``output``, ``memory``, ...

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))
    >>> inferer = DenseInferer(net, window=8, stride=1)
    >>> inferer(torch.zeros(3, 1, 12, 10)).shape
    torch.Size([3, 2, 5, 3])
    """

    def __init__(self, classifier: Classifier | nn.Module, window: Any = None, **options: Any) -> None:
        self.classifier = as_classifier(classifier, window)
        self.options = {"progress": False, **options}

    def __call__(self, inputs: Tensor, network: nn.Module | None = None) -> Tensor:
        """Scores ``[N, K, *counts]`` of normalised images ``[N, C, *size]``, on their device.

        Args:
            inputs: the images.
            network: the module to score with; the classifier's own by default.

        Raises:
            InputError: not such a batch; otherwise as :func:`everywindow.scan`.
        """
        axes = len(self.classifier.window)
        if inputs.ndim != 2 + axes or not len(inputs):
            raise InputError(
                "inputs", f"shape {tuple(inputs.shape)} is not [N, C] and {axes} spatial axes", "give a batch"
            )
        known = self.classifier
        if network is not None and network is not known.module:
            known = Classifier(network, known.window, inputs.shape[1])
        maps = [scan(known, image, **self.options).scores for image in inputs]
        return torch.stack(maps).to(inputs.device)
