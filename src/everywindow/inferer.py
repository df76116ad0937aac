"""Scores at every window in the place of a sliding-window inferer of other libraries."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from everywindow.api import scan
from everywindow.errors import InputError
from everywindow.graph import Applied, named_arguments, original
from everywindow.models import Classifier, as_classifier


class DenseInferer:
    """Called as MONAI's inferers are: ``inferer(inputs, network)`` gives the score maps of a batch of images.

    Of a batch ``[N, C, H, W]`` come the scores ``[N, K, rows, cols]``, one image after the other (1-D and 3-D alike);
    they are what the network puts out, without activation. Another network than the classifier's is scored with its own
    weights, at the classifier's window.

    Args:
        classifier: a ``Classifier``, or a module with its ``window``.
        window: input size that it was trained for, in pixels, one for all axes or one per axis.
        options: further arguments of :func:`everywindow.scan`, the same for all images: ``stride``, ``mode``,
            ``output``, ``memory``, ...

    Raises:
        InputError: an option that ``scan`` has not.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))
    >>> inferer = DenseInferer(net, window=8, stride=1)
    >>> inferer(torch.zeros(3, 1, 12, 10)).shape
    torch.Size([3, 2, 5, 3])
    """

    def __init__(self, classifier: Classifier | nn.Module, window: Any = None, **options: Any) -> None:
        self.classifier = as_classifier(classifier, window)
        unknown = options.keys() - inspect.signature(scan).parameters.keys() | options.keys() & {"classifier", "image"}
        if unknown:
            raise InputError(sorted(unknown)[0], "no option of scan()", "give stride=, mode=, output=, memory=, ...")
        self.options = {"progress": False, **options}
        self._latest = self.classifier

    def __call__(self, inputs: Tensor, network: nn.Module | None = None, *args: Any, **kwargs: Any) -> Tensor:
        """Scores ``[N, K, *counts]`` of normalised images ``[N, C, *size]``, on their device.

        Args:
            inputs: the images.
            network: the module to score with; the classifier's own by default.
            args, kwargs: further arguments of the module's ``forward``, the same for every window and image. MONAI's
                ``condition`` is not among them: it would be another one for each window.

        Raises:
            InputError: not such a batch; otherwise as :func:`everywindow.scan`.
        """
        axes = len(self.classifier.window)
        if not isinstance(inputs, Tensor):
            raise InputError(
                "inputs", f"a {type(inputs).__name__} is no batch of images", "give a tensor [N, C, *size]"
            )
        if inputs.ndim != 2 + axes or not len(inputs):
            raise InputError(
                "inputs", f"shape {tuple(inputs.shape)} is not [N, C] and {axes} spatial axes", "give a batch"
            )
        known = self._known(network, inputs.shape[1], args, kwargs)
        # Of MONAI's own kind of tensor the plain values.
        maps = [scan(known, image, **self.options).scores for image in inputs.as_subclass(Tensor)]
        return torch.stack(maps).to(inputs.device)

    def _known(self, network: Any, channels: int, args: Any, kwargs: Any) -> Classifier:
        """The classifier of a call; that of the call before where only tensors among the arguments are others."""
        own = self.classifier
        if isinstance(network, Classifier):
            raise InputError("network", "a Classifier has more than layers", "give its .module, or leave it out")
        if network is not None and not isinstance(network, nn.Module):
            why = f"a {type(network).__name__} does not show its layers"
            raise InputError("network", why, "give the torch.nn.Module, and its further arguments behind it")
        if network is None or network in (own.module, original(own.module)):
            module, given = original(own.module), own.module.arguments() if isinstance(own.module, Applied) else {}
        else:
            module, given, own = network, {}, Classifier(network, own.window, channels, mean=None, std=None)
        if not args and not kwargs:
            return own
        constants = {**given, **named_arguments(module, args, kwargs)}
        latest = self._latest.module
        if not (isinstance(latest, Applied) and latest.module is module and latest.refill(constants)):
            self._latest = Classifier(module, own.window, own.channels, constants=constants)
        return self._latest
