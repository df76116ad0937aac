"""The contract's functions; no logic of their own."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from everywindow.convert import FullyConvolutional, fully_convolutional
from everywindow.costing import Cost, cost_table
from everywindow.engines import Prepared, Run, check_mode, default_stride, prepare, run
from everywindow.errors import ConversionError, InputError
from everywindow.evaluation import REDUCTIONS, Evaluation, Request, checked_settings, evaluated
from everywindow.geometry import WindowGrid, per_axis
from everywindow.graph import Output, captured, final_activation, original
from everywindow.io import Image, read_image
from everywindow.models import Classifier, as_classifier, load
from everywindow.report import Comparison, Detection, LeftOut, ModeRun, Pyramid, ScoreMap
from everywindow.sharing import exact_macs

Sizes = int | Sequence[int]
Model = Classifier | nn.Module


def convolutionalize(
    classifier: Model, window: Sizes | None = None, stride: Sizes | None = None, channels: int | None = None
) -> FullyConvolutional:
    """The classic conversion: a trainable module that scores every window of images of any size in one pass.

    Args:
        classifier: a ``Classifier``, or a module with its ``window``.
        window: input size that it was trained for, in pixels, one for all axes or one per axis.
        stride: pixels between neighbouring windows; the network's stride by default. Finer ones work by dilation.
        channels: input channels of a bare module, seen from its first convolution by default.

    Returns:
        A module that gives all of the original's outputs, with its parameters (copied, same names and shapes),
        ``geometry`` and ``verdict``. It is in training or evaluation mode as the original is, layer by layer.

    Raises:
        ConversionError: a layer has no equal in a fully convolutional network; ``.layer`` names it.
        CaptureError: the module's code cannot be followed.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 4, 10))
    >>> fcn = convolutionalize(net, window=8)
    >>> fcn(torch.zeros(1, 1, 12, 10)).shape, fcn.verdict.exact
    (torch.Size([1, 10, 5, 3]), True)
    """
    known = as_classifier(classifier, window, channels)
    network = captured(known.module, known.window, known.channels)
    steps = None if stride is None else per_axis("stride", _listed(stride), len(known.window))
    return fully_convolutional(network, steps).with_modes_of(original(known.module))


def scan(
    classifier: Model,
    image: Any,
    window: Sizes | None = None,
    stride: Sizes | None = None,
    mode: str = "exact",
    pad: Sizes | None = None,
    scale: float | None = None,
    output: Output = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    memory: int | str | None = None,
    progress: bool | None = None,
) -> ScoreMap:
    """The classifier's score at every window of an image.

    Args:
        classifier: a ``Classifier``, or a module with its ``window``.
        image: a path, an array ``[H, W]`` or ``[H, W, C]``, or a normalised tensor ``[C, H, W]`` (other numbers of
            spatial axes alike).
        window, stride: in pixels, one for all axes or one per axis; the network's stride by default.
        mode: ``"exact"`` (the crops' own numbers, computing once what windows share), ``"fcn"`` (the converted network
            in one pass: near, where the network pads), or ``"crops"`` (the original network on each window).
        pad: pixels to widen the image by first; offsets then start below 0.
        scale: factor to resize the image by first.
        output: which of several outputs, by index or key; of nested ones ``("aux", 1)`` or ``"aux.1"``; the first by
            default.
        device, dtype: the module's own by default.
        memory: bytes (or a string like ``"2GiB"``) that values may take; half of what is free by default.
        progress: whether to show a bar on stderr; where that is a terminal, by default.

    Raises:
        InputError: an argument or image that cannot be used.
        ConversionError: ``mode="fcn"`` and the network has no plain conversion.
        IndependenceError: the network mixes the items of a batch or draws random numbers.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))
    >>> m = scan(net, torch.zeros(1, 12, 10), window=8)
    >>> m.scores.shape, m.mode, m.verdict.exact
    (torch.Size([2, 5, 3]), 'exact', True)
    """
    known = as_classifier(classifier, window)
    read = _read(known, image, pad, scale)
    prepared = prepare(known.module, known.window, known.channels, device, dtype)
    steps = None if stride is None else per_axis("stride", _listed(stride), len(known.window))
    finished = run(
        prepared, read.pixels, known.window, steps, mode=mode, output=output, memory=memory, progress=progress
    )
    return _score_map(known, prepared, read, finished, output)


def pyramid(
    classifier: Model,
    image: Any,
    scales: Sequence[float],
    window: Sizes | None = None,
    stride: Sizes | None = None,
    **options: Any,
) -> Pyramid:
    """The image scanned at several scales, so that windows of one size find small and large things.

    Args:
        scales: factors to resize the image by. A scale at which it is smaller than the window is an error.
        options: further arguments of :func:`scan`, which are the same at all scales.

    Raises:
        InputError: as :func:`scan`; no scales.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 8), nn.Flatten())
    >>> found = pyramid(net, torch.rand(32, 32).numpy(), scales=(1, 0.5), window=8, stride=4)
    >>> [tuple(m.scores.shape) for m in found]
    [(2, 7, 7), (2, 3, 3)]
    """
    if "scale" in options:
        raise InputError("scale", "there are scales", "give all of them in scales=")
    known = as_classifier(classifier, window)
    return Pyramid(tuple(scan(known, image, stride=stride, scale=scale, **options) for scale in scales))


def compare(
    classifier: Model,
    image: Any,
    window: Sizes | None = None,
    stride: Sizes | None = None,
    modes: Sequence[str] | None = None,
    pad: Sizes | None = None,
    scale: float | None = None,
    output: Output = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    memory: int | str | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Several modes on one image: differences from the crops, agreement of the top class, seconds, mult-adds.

    The crops are run in any case, as the reference. Arguments and errors are those of :func:`scan`.

    Args:
        modes: which to compare; all by default, but for ``"fcn"`` where the network has no plain conversion: then the
            comparison says why, in ``left_out``.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))
    >>> compare(net, torch.randn(1, 12, 10), window=8).run("fcn").agreement
    1.0
    """
    known = as_classifier(classifier, window)
    read = _read(known, image, pad, scale)
    prepared = prepare(known.module, known.window, known.channels, device, dtype)
    steps = None if stride is None else per_axis("stride", _listed(stride), len(known.window))
    runs: list[Run] = []
    left_out: list[LeftOut] = []
    for mode in _wanted(modes):
        try:
            finished = run(
                prepared,
                read.pixels,
                known.window,
                steps,
                mode=mode,
                output=output,
                memory=memory,
                progress=progress,
            )
        except ConversionError as error:
            if modes is not None:
                raise
            left_out.append(LeftOut(mode, error.layer, error.why))
        else:
            runs.append(finished)
    by = _activation(known, prepared, runs[0].scores, output)
    return Comparison(tuple(_mode_run(each, runs[0], by) for each in runs), runs[0].grid.total, tuple(left_out))


def _wanted(modes: Sequence[str] | None) -> tuple[str, ...]:
    """The modes to compare, in the order in which they run."""
    given = ("crops", "fcn", "exact") if modes is None else modes
    for mode in given:
        check_mode(mode)
    return ("crops", *(mode for mode in dict.fromkeys(given) if mode != "crops"))


def evaluate(
    classifier: Model,
    images: str | os.PathLike[str],
    protocols: Sequence[str] | None = None,
    window: Sizes | None = None,
    stride: Sizes | None = None,
    reductions: Sequence[str] = REDUCTIONS,
    scales: Sequence[float] = (1.0,),
    boxes: str | os.PathLike[str] | None = None,
    overlaps: Sequence[float] = (0.3, 0.5),
    classes: Sequence[str] | None = None,
    resize: int | None = None,
    small: str = "resize",
    out: str | os.PathLike[str] | None = None,
    strict: bool = False,
    seed: int = 0,
    output: Output = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    memory: int | str | None = None,
    progress: bool | None = None,
) -> Evaluation:
    """Accuracy over labelled images, of one crop, of several crops and of every window, with seconds per image.

    Args:
        images: a folder with a folder per class, or a CSV with the columns ``path,label`` (paths as seen from it).
            With ``boxes`` images may have no labels.
        protocols: some of ``"centre"`` (the reference, which runs in any case), ``"mirrored"``, ``"five"``, ``"ten"``
            (crops, their probabilities averaged), ``"exact"``, ``"fcn"``, ``"crops"`` (every window, in that mode). By
            default all but ``"crops"``, and ``"fcn"`` where the network has a conversion.
        window, stride: as for :func:`scan`.
        reductions: how the scores of all windows become those of the image; see ``ScoreMap.image_scores``.
        scales: factors to resize the images by. Rows with several average over them; the others take the first.
        boxes: folder of VOC XML files or COCO JSON file, to see where the maps point.
        overlaps: intersections over union from which a box counts as found.
        classes: names of the classes in the order of the outputs, in place of the classifier's.
        resize: pixels to bring the shorter side to first, as many networks were trained.
        small: an image smaller than the window is resized until it covers it (``"resize"``), padded (``"pad"``) or left
            out (``"skip"``).
        out: folder for ``results.csv``, ``report.html``, and what is measured, so that a run that was stopped goes on.
        strict: whether images, labels and boxes that cannot be used are an error; else they are listed and left out.
        seed: of the bootstrap.
        output, device, dtype, memory, progress: as for :func:`scan`.

    Raises:
        InputError: an argument, label or annotation that cannot be used; no image that can.
        ConversionError: ``"fcn"`` was asked for and the network has no plain conversion.
        DependencyError: ``boxes``, and scikit-learn or pycocotools is not installed.

    >>> import tempfile, pathlib, numpy
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name, value in (("dark", 0), ("light", 255)):
    ...     (folder / name).mkdir()
    ...     numpy.save(folder / name / "1.npy", numpy.full((12, 12), value, numpy.uint8))
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 8, bias=False), nn.Flatten())
    >>> _ = net[0].weight.data.copy_(torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1))
    >>> clf = Classifier(net, window=8, mean=[0.5], std=[0.5], classes=["dark", "light"])
    >>> [(row.name, row.top1.value) for row in evaluate(clf, folder, ("centre", "ten"), progress=False).rows]
    [('centre', 1.0), ('ten', 1.0)]
    """
    known = as_classifier(classifier, window)
    named: Any = classes
    known = known if named is None else dataclasses.replace(known, classes=named)
    steps = None if stride is None else per_axis("stride", _listed(stride), len(known.window))
    settings = checked_settings(protocols, reductions, scales, steps, resize, small, overlaps, seed)
    prepared = prepare(known.module, known.window, known.channels, device, dtype)
    facts = {"output": output, "device": str(prepared.device), "dtype": str(prepared.dtype)}
    request = Request(os.fspath(images), _path(boxes), _path(out), strict, progress, facts)

    def scanned(read: Image, mode: str, steps: tuple[int, ...] | None) -> ScoreMap:
        finished = run(
            prepared, read.pixels, known.window, steps, mode=mode, output=output, memory=memory, progress=False
        )
        return _score_map(known, prepared, read, finished, output)

    return evaluated(known, request, settings, scanned)


def cost(classifier: Model, image_size: Sizes, window: Sizes | None = None, stride: Sizes | None = None) -> Cost:
    """Parameters and mult-adds per layer and mode, before anything runs.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))
    >>> cost(net, image_size=12, window=8, stride=4).macs
    {'crops': 6912, 'fcn': 6912, 'exact': 6912}
    """
    known = as_classifier(classifier, window)
    prepared = prepare(known.module, known.window, known.channels)
    if prepared.network is None:
        name, why = prepared.why_not or ("network", "it cannot be captured")
        raise ConversionError(name, why, "scan it: its cost cannot be counted before")
    axes = len(known.window)
    steps = default_stride(prepared, known.window) if stride is None else per_axis("stride", _listed(stride), axes)
    grid = WindowGrid(per_axis("image_size", _listed(image_size), axes), known.window, steps)
    try:
        maps = fully_convolutional(prepared.network, steps, copy=False).maps
    except ConversionError:
        maps = None
    return cost_table(prepared.network, grid, maps, exact_macs(prepared.network, grid))


def _listed(sizes: Any) -> Any:
    # Text is a sequence too, but of no sizes; it is refused as a whole.
    return tuple(sizes) if isinstance(sizes, Sequence) and not isinstance(sizes, str) else sizes


def _path(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def _read(known: Classifier, image: Any, pad: Sizes | None, scale: float | None) -> Image:
    return read_image(
        image,
        channels=known.channels,
        ndim=len(known.window),
        mean=known.mean,
        std=known.std,
        scale=scale,
        pad=pad,
    )


def _score_map(known: Classifier, prepared: Prepared, read: Image, finished: Run, output: Any) -> ScoreMap:
    offsets = zip(finished.grid.offsets, read.pad, strict=True)
    classes = known.classes
    if classes is not None and len(classes) != len(finished.scores):
        raise InputError(
            "classes", f"{len(classes)} names for {len(finished.scores)} scores", "give one name per class"
        )
    return ScoreMap(
        scores=finished.scores,
        offsets=tuple(tuple(first - pad for first in axis) for axis, pad in offsets),
        window=known.window,
        stride=finished.grid.stride,
        mode=finished.plan.mode,
        verdict=finished.verdict,
        activation=_activation(known, prepared, finished.scores, output),
        classes=classes,
        image_size=tuple(size - 2 * pad for size, pad in zip(read.size, read.pad, strict=True)),
        plan=finished.plan,
        scale=read.scale,
        path=read.path,
        seconds=finished.seconds,
        picture=read.picture,
    )


def _activation(known: Classifier, prepared: Prepared, scores: Tensor, output: Output) -> Any:
    return known.activation or final_activation(prepared.network, output, scores)


def _decided(scores: Tensor, activation: Any) -> Tensor:
    """The top class of every window; of a single score whether its probability is a half or more."""
    return scores.argmax(0) if len(scores) > 1 else scores[0] >= (0.5 if activation == "none" else 0.0)


def _mode_run(finished: Run, crops: Run, activation: Any) -> ModeRun:
    reference = crops.scores.double()
    difference = float((finished.scores.double() - reference).abs().max())
    flat = reference.flatten(1)
    spread = float((flat.amax(1) - flat.amin(1)).max())
    same = (_decided(finished.scores, activation) == _decided(crops.scores, activation)).double().mean()
    return ModeRun(
        mode=finished.plan.mode,
        seconds=finished.seconds,
        macs=finished.plan.macs or 0,
        verdict=finished.verdict,
        max_difference=difference,
        relative_difference=difference / spread if spread else difference,
        agreement=float(same),
    )


__all__ = [
    "Classifier",
    "Comparison",
    "Cost",
    "Detection",
    "Evaluation",
    "FullyConvolutional",
    "Pyramid",
    "ScoreMap",
    "compare",
    "convolutionalize",
    "cost",
    "evaluate",
    "load",
    "pyramid",
    "scan",
]
