"""``compare``: the modes over images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from everywindow.cli.classes import check_class
from everywindow.cli.guard import keep_inputs
from everywindow.cli.options import (
    MODES,
    Console,
    Names,
    image_options,
    json_option,
    load_model,
    model_options,
    output_key,
)
from everywindow.errors import InputError

if TYPE_CHECKING:
    from everywindow.api import Comparison

FIGURE = "comparison.png"


@click.command()
@click.argument("images", nargs=-1, required=True)
@model_options
@image_options
@click.option(
    "--modes",
    type=Names(MODES, "MODE"),
    help="Modes to run, such as crops,exact.  [default: all; fcn where the network has a conversion]",
)
@click.option(
    "--samples",
    type=int,
    metavar="N",
    help="Send N random windows through the original network, and not all: for large images.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice of these windows.")
@click.option("--raw", is_flag=True, help="Take values as they are, and not scaled to 0 to 1; channels last.")
@click.option("--strict", is_flag=True, help="Stop at the first of several images that cannot be used.")
@click.option("--class", "klass", metavar="NAME", help="Class to draw.  [default: as for scan]")
@click.option(
    "--out",
    metavar="PATH",
    help="FILE.png: the maps side by side and their differences; of several images the one farthest off. "
    "A folder: a figure of each image.",
)
@json_option
def compare(
    images: tuple[str, ...],
    model: str,
    weights: str | None,
    window: Any,
    trust: bool,
    output: str | None,
    klass: str | None,
    out: str | None,
    console: Console,
    **options: Any,
) -> None:
    """Run crops, fcn and exact on IMAGES (files or one folder): how far each is from the crops, and what it takes."""
    from everywindow import api

    figures = _Figures(None if out is None else Path(out), out is not None and _is_folder(out), klass)
    if out is not None:
        _check_target(out, model, images, weights)
        _check_modes(out, options["modes"])
    classifier = load_model(model, weights, window, trust)
    check_class(classifier, klass)
    image = images[0] if len(images) == 1 else list(images)
    found = api.compare(classifier, image, output=output_key(output), on_image=figures.each, **options)
    figures.rest(found)
    console.say(str(found))
    if figures.written:
        console.say(f"written: {', '.join(map(str, figures.written))}")
    console.result({**found.as_dict(), "files": [str(file) for file in figures.written]})


class _Figures:
    """Writes the figures: into a folder one of each image as it is done, or one in all."""

    def __init__(self, target: Path | None, is_folder: bool, klass: str | None) -> None:
        self._target, self._is_folder, self._klass = target, is_folder, klass
        self.written: list[Path] = []

    def each(self, found: Comparison) -> None:
        """One image of several."""
        if self._target is not None and self._is_folder:
            self._write(found, self._free(self._target, Path(found.name or "image").stem))

    def rest(self, found: Comparison) -> None:
        """What is drawn in the end."""
        if self._target is not None and not self.written:
            self._write(found, self._target / FIGURE if self._is_folder else self._target)

    def _free(self, folder: Path, stem: str) -> Path:
        """A name that no other image of this run has taken."""
        names = (folder / f"{stem}{tail}.png" for tail in ("", *(f"-{n}" for n in range(2, len(self.written) + 3))))
        return next(file for file in names if file not in self.written)

    def _write(self, found: Comparison, file: Path) -> None:
        from everywindow.io import atomic_path

        with atomic_path(file) as scratch:
            found.plot(self._klass).savefig(scratch, format="png")
        self.written.append(file)


def _is_folder(out: str) -> bool:
    return Path(out).is_dir() or out.endswith("/") or not Path(out).suffix


def _check_target(out: str, model: str, images: tuple[str, ...], weights: str | None) -> None:
    """See before any work whether figures may go there.

    Raises:
        InputError: another kind of file, or among what is read.
    """
    path = Path(out)
    if not _is_folder(out) and path.suffix.lower() != ".png":
        raise InputError(out, f"{path.suffix} is not a kind of figure", "end the name in .png, or name a folder")
    keep_inputs([path], model, (*images, weights))
    folders = [folder for folder in map(Path, images) if folder.is_dir()]
    inside = next((f for f in folders if f.resolve() in (path.resolve(), *path.resolve().parents)), None)
    if inside is not None:
        raise InputError(out, f"lies in {inside}, the folder of images", "give --out a place outside of it")


def _check_modes(out: str, modes: tuple[str, ...] | None) -> None:
    if modes is not None and set(modes) == {"crops"}:
        raise InputError(out, "there is nothing to draw beside the crops", "add a mode to --modes, or leave --out out")
