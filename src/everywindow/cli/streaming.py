"""``scan`` of images of any size: one, several or a folder of them, each written tile by tile."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from everywindow.cli.options import Console
from everywindow.cli.texts import map_record, map_text

if TYPE_CHECKING:
    from everywindow.api import Classifier, ScoreMap, Streamed

SUFFIX = ".zarr"

PARTLY = 3
"""Exit code where parts of an image, or some of several images, could not be done."""

SHOWN = {"bar": True, "json": "json", "none": False, None: None}

LOOKED_AT = 2**28
"""Bytes of scores up to which a map is read again, to tell what is strongest in it."""

LISTED = 5
"""Failures that are told; the others are counted."""


def streams(outs: Sequence[str]) -> bool:
    """Whether a result is to be written tile by tile."""
    return any(Path(out).suffix.lower() == SUFFIX for out in outs)


def are_several(images: Sequence[str]) -> bool:
    """Whether there are several images: more than one name, or a folder that is none itself."""
    return len(images) > 1 or (Path(images[0]).is_dir() and not _is_image_folder(Path(images[0])))


def scan_streamed(
    classifier: Classifier,
    images: Sequence[str],
    outs: Sequence[str],
    klass: str | None,
    boxes: float | None,
    options: dict[str, Any],
    console: Console,
) -> int:
    """Scan one image or several; gives the exit code."""
    options["spacing"] = options.pop("mpp")
    options["progress"] = SHOWN[options["progress"]]
    if are_several(images):
        return _several(classifier, images, outs, options, console)
    from everywindow import api

    stores = [out for out in outs if Path(out).suffix.lower() == SUFFIX]
    others = [out for out in outs if out not in stores]
    if len(stores) > 1:
        raise click.UsageError(f"--out: {stores[0]} and {stores[1]}; give one that ends in {SUFFIX}.")
    for file in others:
        api.ScoreMap.check_writable(file)
    done = api.stream(classifier, images[0], stores[0], **options)
    m = _looked_at(done)
    listed = None
    if m is not None:
        peak = m.strongest(klass)
        listed = None if boxes is None else m.boxes(peak.klass, boxes)
        for file in others:
            m.save(file, klass=peak.klass)
        console.say(map_text(m, peak, listed))
    console.say(_text(done))
    left = others if m is None else []
    written = [out for out in (*stores, *others) if out not in left]
    console.say(f"written:    {', '.join(written)}")
    if left:
        why = "the map is too large to be read for that" if done.scored else "nothing was scored"
        console.say(f"left out:   {', '.join(left)}: {why}; see 'everywindow export {stores[0]}'")
    record = {} if m is None else map_record(m, peak, listed)
    console.result({**record, **_record(done), "files": written})
    return PARTLY if done.failed or left else 0


def _looked_at(done: Streamed) -> ScoreMap | None:
    """The map, where it is small enough to be read and anything in it was scored."""
    from everywindow import api

    if not done.scored or done.bytes > LOOKED_AT:
        return None
    return dataclasses.replace(api.ScoreMap.load(done.path), seconds=done.seconds)


def _several(
    classifier: Classifier, images: Sequence[str], outs: Sequence[str], options: dict[str, Any], console: Console
) -> int:
    """Each image by itself; those that cannot be scanned are listed."""
    from everywindow import api
    from everywindow.errors import DependencyError, InputError

    if len(outs) != 1 or Path(outs[0]).suffix:
        raise click.UsageError("--out: of several images it is a folder, which takes a NAME.zarr for each.")
    files = [file for image in images for file in _files(Path(image))]
    targets = _targets(files, Path(outs[0]))
    records: list[dict[str, Any]] = []
    for file, target in zip(files, targets, strict=True):
        try:
            done = api.stream(classifier, file, target, **options)
        except (InputError, DependencyError) as error:
            if options["fail_fast"]:
                raise
            console.say(f"{file}: left out ({error.why})")
            records.append({"image": str(file), "problem": str(error)})
        else:
            console.say(f"{file}: {_short(done)} -> {target}")
            records.append({"image": str(file), **_record(done), "files": [str(target)]})
    skipped = sum("problem" in record for record in records)
    partly = sum(bool(record.get("failed")) for record in records)
    console.say(f"{len(records) - skipped} of {len(records)} images scanned" + (f", {partly} partly" if partly else ""))
    console.result({"images": records, "left_out": skipped})
    if skipped == len(records):
        raise InputError(", ".join(images), "no image could be scanned", "see above for the reasons")
    return PARTLY if skipped or partly else 0


def _files(image: Path) -> list[Path]:
    """An image, or those in a folder."""
    from everywindow.io import scannable_files

    return list(scannable_files(image)) if image.is_dir() and not _is_image_folder(image) else [image]


def _targets(files: Sequence[Path], folder: Path) -> list[Path]:
    """A result for each: named after the image, with its suffix where two would have the same name."""
    stems = [file.stem for file in files]
    names = [stem if stems.count(stem) == 1 else file.name for stem, file in zip(stems, files, strict=True)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise click.UsageError(f"IMAGE: two are named {twice}; scan them into folders of their own.")
    return [folder / f"{name}{SUFFIX}" for name in names]


def _is_image_folder(path: Path) -> bool:
    from everywindow.io import is_image_folder

    return is_image_folder(path)


def _text(done: Streamed) -> str:
    """What became of the tiles, in lines of a summary."""
    lines = [f"tiles:      {_short(done)}"]
    for state in done.failed[:LISTED]:
        lines.append(f"failed:     tile {state.tile}: {state.reason}")
    if len(done.failed) > LISTED:
        lines.append(f"            and {len(done.failed) - LISTED} more; 'everywindow info {done.path}' lists them")
    if done.failed:
        lines.append("            they are NaN in the map; --resume tries them again")
    return "\n".join(lines)


def _short(done: Streamed) -> str:
    if done.unchanged:
        return f"{done.tiles}, all done before: nothing was changed"
    some = "" if done.scored == done.windows else f" of {done.windows:,}"
    parts = [f"{done.tiles:,}, with {done.scored:,}{some} windows scored"]
    if done.skipped:
        parts.append(f"{done.skipped} skipped as empty")
    if done.failed:
        parts.append(f"{len(done.failed)} failed")
    if done.resumed:
        parts.append(f"{done.resumed} done before")
    return ", ".join([*parts, f"{done.seconds:.1f} s"])


def _record(done: Streamed) -> dict[str, Any]:
    return {
        "mode": done.mode,
        "exact": done.verdict.exact,
        "windows": done.windows,
        "scored": done.scored,
        "tiles": done.tiles,
        "skipped_tiles": done.skipped,
        "resumed_tiles": done.resumed,
        "unchanged": done.unchanged,
        "failed": [{"tile": state.tile, "reason": state.reason} for state in done.failed],
        "seconds": done.seconds,
    }
