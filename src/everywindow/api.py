"""The contract's functions; no logic of their own."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from everywindow.comparing import (
    Asked,
    compare_one,
    compare_several,
    described,
    listed,
    read_for,
    scored,
    wanted_modes,
)
from everywindow.convert import FullyConvolutional, fully_convolutional
from everywindow.engines import (
    advice,
    default_stride,
    for_output,
    memory_limit,
    mode_costs,
    network_of,
    prepare,
    priced_layers,
    priced_windows,
    refused,
    structure,
    usual_size,
)
from everywindow.errors import InputError
from everywindow.evaluation import (
    REDUCTIONS,
    Evaluation,
    Request,
    as_path,
    checked_settings,
    evaluated,
    told_of,
)
from everywindow.exporting import MOST, Coordinates, Exported, Wanted, exported
from everywindow.geometry import WindowGrid, per_axis
from everywindow.graph import Output, captured, original
from everywindow.io import Image
from everywindow.models import Classifier, as_classifier, load
from everywindow.probing import asked_of, probed
from everywindow.report import Comparison, Cost, Detection, Explanation, Probe, Pyramid, ScoreMap
from everywindow.run import Shown, Streamed, Task, resident
from everywindow.run import stream as streamed

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
        ``geometry`` and ``verdict``, and the classifier's ``mean``, ``std``, ``classes`` and ``activation``. It is in
        training or evaluation mode as the original is, layer by layer.

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
    return fully_convolutional(network, steps).with_modes_of(original(known.module)).knowing(known)


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
            spatial axes alike). Integers are scaled by their type; where the classifier's mean and std are not known,
            the first such scan warns.
        window, stride: in pixels, one for all axes or one per axis; the network's stride by default.
        mode: ``"exact"`` (the crops' own numbers, computing once what windows share), ``"fcn"`` (the converted network
            in one pass: near, where the network pads), or ``"crops"`` (the original network on each window).
        pad: pixels to widen the image by first; offsets then start below 0.
        scale: factor to resize the image by first.
        output: which of several outputs, by index or key; of nested ones ``("aux", 1)`` or ``"aux.1"``; the first by
            default. The names of the classes are the first one's: another one of other classes has none.
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
    read = read_for(known, image, pad, scale)
    prepared = prepare(known.module, known.window, known.channels, device, dtype)
    steps = None if stride is None else per_axis("stride", _listed(stride), len(known.window))
    return scored(known, prepared, read, steps, mode=mode, output=output, memory=memory, progress=progress)


def stream(
    classifier: Model,
    image: str | os.PathLike[str],
    out: str | os.PathLike[str],
    window: Sizes | None = None,
    stride: Sizes | None = None,
    mode: str = "exact",
    pad: Sizes | None = None,
    scale: float | None = None,
    level: int | None = None,
    spacing: float | None = None,
    roi: Sequence[tuple[float, float]] | None = None,
    raw: bool = False,
    mask: str | os.PathLike[str] | None = None,
    tile: Sizes | None = None,
    output: Output = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    memory: int | str | None = None,
    progress: Shown = None,
    resume: bool = False,
    overwrite: bool = False,
    fail_fast: bool = False,
    reopen: Mapping[str, Any] | None = None,
) -> Streamed:
    """The classifier's score at every window of an image of any size, written to disk tile by tile.

    The map is that of :func:`scan`. The image is read by parts, so it may be larger than memory; a run that was stopped
    or killed goes on where it was. :meth:`ScoreMap.load` reads the result, :func:`export` gives it to other programs.

    Args:
        image: file or folder of an image: whatever :func:`scan` reads, TIFF of any size, whole slides, GeoTIFF, zarr
            and OME-Zarr, NIfTI, WFDB records.
        out: the result, an OME-Zarr folder whose name ends in ``.zarr``.
        window, stride, mode, pad, output, device, dtype: as for :func:`scan`.
        scale: scanned pixels per pixel of the image.
        level: which resolution of the image to scan, where it has several; 0 is the finest.
        spacing: extent of a scanned pixel in the image's unit (micrometers of slides: their "mpp"). A level within
            1 % is taken as it is, else the next finer one is resized.
        roi: per axis the first pixel and the one after the last, of level 0, to scan no more than that.
        raw: take values as they are, not scaled to 0 to 1; those of recordings and volumes always are.
        mask: which windows to leave out: None for those without any data, ``"auto"`` for all without tissue (or other
            matter), ``"none"`` for none, or a file: a picture that covers the image, of any resolution, not 0 where it
            is wanted, or GeoJSON. What is left out is NaN.
        tile: windows per axis that are computed and written together; by default as memory allows.
        memory: bytes (or a string like ``"2GiB"``) that the whole process may take; by default half of what is free.
        progress: a bar on stderr; ``"json"`` for a line of JSON per tile.
        resume: go on with a run of the same job that was not finished, and try again what failed.
        overwrite: replace a result that is there.
        fail_fast: end where a tile cannot be read or computed; else it is NaN, and listed in ``failed``.
        reopen: arguments of :func:`load` with which another process gets the same classifier.

    Raises:
        InputError: an argument or image that cannot be used; a result of another job is there.
        StoppedError: a signal asked to stop; what is done stays.
        ConversionError, IndependenceError: as for :func:`scan`.

    >>> import tempfile, numpy
    >>> folder = tempfile.mkdtemp()
    >>> numpy.save(f"{folder}/image.npy", numpy.zeros((40, 50), numpy.uint8))
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))
    >>> clf = Classifier(net, window=8, mean=[0.5], std=[0.5])
    >>> done = stream(clf, f"{folder}/image.npy", f"{folder}/map.zarr", tile=10, progress=False)
    >>> done.counts, done.tiles, done.scored, ScoreMap.load(done.path).scores.shape
    ((33, 43), 20, 1419, torch.Size([2, 33, 43]))
    """
    known = as_classifier(classifier, window)
    axes = len(known.window)
    prepared = prepare(known.module, known.window, known.channels, device, dtype)
    steps = default_stride(prepared, known.window) if stride is None else per_axis("stride", _listed(stride), axes)
    task = Task(
        image=os.fspath(image),
        out=Path(out),
        stride=steps,
        view={"level": level, "spacing": spacing, "scale": scale, "roi": _spans(roi), "pad": pad, "raw": raw},
        model=None if reopen is None else dict(reopen),
        mask={"kind": None if mask is None else os.fspath(mask)},
        mode=mode,
        output=output,
        describe=lambda scores: described(known, prepared, scores, output),
        tile=None if tile is None else per_axis("tile", _listed(tile), axes),
        memory=memory_limit(memory, prepared.device) + (resident() if memory is None else 0),
        resume=resume,
        overwrite=overwrite,
        fail_fast=fail_fast,
        progress=progress,
    )
    return streamed(known, prepared, task)


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
        InputError: as :func:`scan`; no scales, or no list of them.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 8), nn.Flatten())
    >>> found = pyramid(net, torch.rand(32, 32).numpy(), scales=(1, 0.5), window=8, stride=4)
    >>> [tuple(m.scores.shape) for m in found]
    [(2, 7, 7), (2, 3, 3)]
    """
    if "scale" in options:
        raise InputError("scale", "there are scales", "give all of them in scales=")
    factors: Any = scales
    if isinstance(factors, str) or not isinstance(factors, Iterable):
        raise InputError("scales", f"{factors!r} is no list of factors", "give several, such as (0.5, 1)")
    known = as_classifier(classifier, window)
    return Pyramid(tuple(scan(known, image, stride=stride, scale=scale, **options) for scale in factors))


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
    samples: int | None = None,
    seed: int = 0,
    strict: bool = False,
    raw: bool = False,
    on_image: Callable[[Comparison], None] | None = None,
) -> Comparison:
    """Several modes on an image or more: how far each is from the crops, and what it takes.

    The crops are run in any case, as the reference. Arguments and errors are those of :func:`scan`.

    Args:
        image: one image as for :func:`scan`, a list of them, or a folder: the image files in it and in its
            subfolders. Of several images those that cannot be used are left out, and listed in ``skipped``.
        modes: which to compare; all by default, but for ``"fcn"`` where the network has no plain conversion: then the
            comparison says why, in ``left_out``.
        samples: send so many random windows through the original network, and not all, where the image is too large
            for that. Differences are then those at these windows, and the seconds of the crops are worked out from
            them.
        seed: of the random choice; the same windows for the same number.
        strict: of several images, one that cannot be used is an error.
        raw: take the values of files and arrays as they are, channels last, and do not scale them to 0 to 1.
        on_image: of several images, called with the comparison of each as it is done. It has the maps, of which
            only those of the image that is farthest off are kept.

    Raises:
        InputError: also ``samples`` below 1, or a stride larger than the image.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))
    >>> compare(net, torch.randn(1, 12, 10), window=8).run("fcn").agreement
    1.0
    >>> both = compare(net, [torch.randn(1, 12, 10), torch.randn(1, 9, 9)], window=8, modes=("exact",), samples=3)
    >>> both.windows, both.compared, [one.windows for one in both.images]
    (19, 6, [15, 4])
    """
    known, chosen = as_classifier(classifier, window), wanted_modes(modes)
    images = listed(image)
    read = None if images else read_for(known, image, pad, scale, raw)
    prepared = prepare(known.module, known.window, known.channels, device, dtype)
    asked = Asked(
        known=known,
        prepared=prepared,
        stride=None if stride is None else per_axis("stride", _listed(stride), len(known.window)),
        modes=chosen,
        strictly=modes is not None,
        pad=pad,
        scale=scale,
        raw=raw,
        output=output,
        memory=memory,
        progress=progress,
        samples=samples,
        seed=seed,
    )
    if read is not None:
        return compare_one(asked, read, read.path)
    return compare_several(asked, images or [], strict, on_image)


def export(
    result: ScoreMap | str | os.PathLike[str],
    to: str | os.PathLike[str],
    klass: int | str | None = None,
    threshold: float = 0.5,
    most: int = MOST,
    coordinates: Coordinates = "pixels",
    probabilities: bool = False,
) -> Exported:
    """A score map for another program; the file appears whole or not at all.

    Args:
        result: a map, or the file of one (``.zarr`` or ``.npz``). GeoTIFF and OME-TIFF of a ``.zarr`` are written
            by parts, whatever its size.
        to: the file, by whose suffix the format goes. ``.tif``: Cloud-Optimized GeoTIFF, a band per class.
            ``.ome.tif``: OME-TIFF, a channel per class, for volumes too. ``.geojson``: outlines of the regions where
            a class is likely, as QuPath reads them. ``.csv``: the boxes of a class; ``.windows.csv``: every window.
            ``.png``: the heat map. ``.npz``: the map itself.
        klass: of ``.geojson``, ``.csv`` and ``.png``: name or index of the class; :meth:`ScoreMap.shown_class` by
            default.
        threshold: of ``.geojson`` and ``.csv``: least probability; without activation the least score.
        most: of ``.geojson`` and ``.csv``: the largest regions or the strongest boxes that are kept.
        coordinates: of ``.geojson``: ``"pixels"`` of the image as it was given, or ``"world"`` in the reference system
            of a georeferenced image.
        probabilities: rasters hold probabilities in the place of scores.

    Returns:
        What was written, with the number of regions or boxes that were left out.

    Raises:
        InputError: no result, no such format, or a format that cannot hold it.
        DependencyError: rasterio is missing for ``.tif`` or ``.geojson``.

    >>> from tempfile import mkdtemp
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 4, 10))
    >>> m = scan(net, torch.zeros(1, 12, 10), window=8, progress=False)
    >>> written = export(m, f"{mkdtemp()}/boxes.csv", klass=3, threshold=1.0)
    >>> written.format, written.of, written.count
    ('CSV', 'boxes', 0)
    """
    return exported(result, to, Wanted(klass, threshold, most, coordinates, probabilities))


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
    raw: bool = False,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
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
        raw: take the values of the images as they are, and do not scale them to 0 to 1.
        out: folder for ``results.csv`` (with boxes also ``boxes.csv``), ``report.html``, and what is measured, so that
            a run that was stopped goes on.
        overwrite: whether an evaluation with other settings, another classifier or other images that is in ``out`` may
            be lost; else that is an error.
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
    own = steps or default_stride(prepared, known.window)
    request = Request(
        source=as_path("images", images),
        boxes=None if boxes is None else as_path("boxes", boxes),
        out=None if out is None else as_path("out", out),
        strict=strict,
        progress=progress,
        facts=facts,
        overwrite=overwrite,
        raw=raw,
        told=told_of(known, images, boxes, own) | facts,
    )

    def scanned(read: Image, mode: str, steps: tuple[int, ...] | None) -> ScoreMap:
        return scored(known, prepared, read, steps, mode=mode, output=output, memory=memory, progress=False)

    return evaluated(known, request, settings, scanned)


def cost(
    classifier: Model,
    image_size: Sizes,
    window: Sizes | None = None,
    stride: Sizes | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    memory: int | str | None = None,
    predict: bool | None = None,
    advise: bool = True,
    output: Output = None,
) -> Cost:
    """What each layer and each mode costs, before anything runs.

    Args:
        classifier, window, stride, device, dtype, memory: as in :func:`scan`.
        image_size: in pixels, one number for all axes or one per axis.
        predict: whether to predict seconds. For this the device is measured once, which takes some seconds; by default
            seconds are predicted where that has been done.
        advise: whether to look for strides and windows that cost less, which takes about as long as the rest.
        output: of several outputs the one that a scan is to take. ``crops`` runs the others too, for it calls the
            network as it is; so the table has their layers.

    Raises:
        ConversionError: the network cannot be captured.
        InputError: an argument that cannot be used.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))
    >>> c = cost(net, image_size=12, window=8, stride=4)
    >>> c.macs
    {'crops': 6912, 'fcn': 6912, 'exact': 6912}
    >>> [(row.layer, row.params, row.macs, row.receptive_field) for row in c.rows]
    [('0', 104, 1600, (5, 5)), ('2', 130, 128, (8, 8))]
    """
    known = as_classifier(classifier, window)
    prepared = for_output(prepare(known.module, known.window, known.channels, device, dtype), output)
    axes = len(known.window)
    steps = None if stride is None else per_axis("stride", _listed(stride), axes)
    size = per_axis("image_size", _listed(image_size), axes)
    grid = priced_windows(size, known.window, steps, default_stride(prepared, known.window))
    rows = priced_layers(prepared, grid)
    modes = mode_costs(prepared, grid, limit=memory_limit(memory, prepared.device), predict=predict)
    return Cost(
        params=sum(row.params for row in rows),
        macs={name: mode.macs for name, mode in modes.items()},
        windows=grid.total,
        rows=rows,
        modes=modes,
        image_size=grid.image_size,
        window=grid.window,
        stride=grid.stride,
        advice=advice(prepared, grid, output) if advise else (),
        refusal=refused(network_of(prepared), grid),
    )


def explain(
    classifier: Model,
    image_size: Sizes | None = None,
    stride: Sizes | None = None,
    window: Sizes | None = None,
    output: Output = None,
) -> Explanation:
    """The story of a network, as a page: its layers, what each turns into, what it sees, shares and costs.

    Args:
        classifier, window, stride: as in :func:`scan`.
        image_size: in pixels, of the image whose cost is told; by default 384, or twice the window where that is more
            (of volumes and recordings always twice the window).
        output: as in :func:`cost`.

    Returns:
        An ``Explanation``: ``.save("report.html")`` writes one file that needs no other; a notebook shows it. A network
        without a conversion is explained too, and says which layer is the reason.

    Raises:
        ConversionError: the network cannot be captured.
        InputError: an argument that cannot be used.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))
    >>> told = explain(net, image_size=12, window=8, stride=4)
    >>> told.structure.layers[-1]
    Turned(layer='2', before='Linear(64, 2)', after='Conv2d(4, 2, kernel_size=(4, 4), stride=(4, 4))')
    """
    known = as_classifier(classifier, window)
    size = usual_size(known.window) if image_size is None else image_size
    price = cost(known, size, stride=stride, output=output)
    prepared = for_output(prepare(known.module, known.window, known.channels), output)
    return Explanation(
        name=known.title,
        channels=known.channels,
        classes=known.classes,
        structure=structure(prepared, WindowGrid(price.image_size, price.window, price.stride)),
        cost=price,
    )


def probe(
    classifier: Model,
    image: Any = None,
    window: Sizes | None = None,
    shifts: Sequence[int] | None = None,
    angles: Sequence[float] | None = None,
    zooms: Sequence[float] | None = None,
    at: Sequence[float] | None = None,
    scale: float | None = None,
    raw: bool = False,
    output: Output = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    seed: int = 0,
) -> Probe:
    """Measures what a network does under shifts, rotations and scales, and what padding does to it.

    Looked at is a window in the middle of each image, or at a place. What moves into it comes from the image beside it;
    an image that is too small for that is mirrored at its borders. Rotations are in the last two axes, bilinear, but
    for those by 90 and 180 degrees, which are exact.

    Args:
        classifier, window: as in :func:`scan`.
        image: one image as for :func:`scan`, a list of them, or a folder. Without any, noise: of which nothing follows
            for photographs.
        shifts: pixels to move the content by, along each axis and both ways; to a quarter of the window by default.
        angles: degrees to turn it by, both ways.
        zooms: factors to enlarge it by.
        at: pixel of the images, one number per axis, that the window's middle lies on, such as the ``centre`` of a
            detection; their middles by default.
        scale, raw, output, device, dtype: as for :func:`scan` and :func:`compare`.
        seed: of the noise.

    Returns:
        A ``Probe``: ``layers`` (does each layer's map move with the image), ``answers`` (does the answer stay),
        ``pools`` (max against mean pooling under a shift by one position) and ``places`` (what padding tells about the
        place). ``print()`` gives tables, ``.plot()`` a figure, ``.save("report.html")`` a page. Of a network that
        cannot be captured there are ``answers``, and ``pools`` of the image; ``notes`` say so.

    Raises:
        InputError: an argument or image that cannot be used.
        IndependenceError: as for :func:`scan`.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 3 * 3, 2))
    >>> found = probe(net.double(), torch.rand(1, 24, 24), window=8)
    >>> [(row.layer, row.shift, row.everywhere <= found.tolerance) for row in found.layers]
    [('0', (1, 1), True), ('1', (2, 2), True)]
    """
    known = as_classifier(classifier, window)
    prepared = prepare(known.module, known.window, known.channels, device, dtype)
    asked = asked_of(known, prepared, shifts, angles, zooms, at, output, seed)
    return probed(asked, image, scale, raw)


def _listed(sizes: Any) -> Any:
    # Text is a sequence too, but of no sizes; it is refused as a whole.
    return tuple(sizes) if isinstance(sizes, Sequence) and not isinstance(sizes, str) else sizes


def _spans(roi: Sequence[tuple[float, float]] | None) -> list[list[float]] | None:
    return None if roi is None else [list(span) for span in roi]


__all__ = [
    "Classifier",
    "Comparison",
    "Cost",
    "Detection",
    "Evaluation",
    "Explanation",
    "Exported",
    "FullyConvolutional",
    "Probe",
    "Pyramid",
    "ScoreMap",
    "Streamed",
    "compare",
    "convolutionalize",
    "cost",
    "evaluate",
    "explain",
    "export",
    "load",
    "probe",
    "pyramid",
    "scan",
    "stream",
]
