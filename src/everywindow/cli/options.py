"""Options that several commands share, and where their output goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from everywindow.api import Classifier

Command = Callable[..., Any]

MODES = ("exact", "fcn", "crops")


class Sizes(click.ParamType[Any]):
    """One whole number for all axes, or one for each: ``32`` or ``32,16``."""

    name = "N[,N]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | tuple[int, ...]:
        """Read the numbers; whether they can be used is seen later, where the image is known."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            numbers = tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a whole number, or one per axis such as 32,16", param, ctx)
        return numbers[0] if len(numbers) == 1 else numbers


class Numbers(click.ParamType[Any]):
    """Numbers in one word: ``0.2,0.25,0.35``."""

    def __init__(self, noun: str, example: str) -> None:
        self.name, self.example = f"{noun}[,{noun}]", example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Read the numbers; whether they can be used is seen later."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return tuple(float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a number, or several such as {self.example}", param, ctx)


class Names(click.ParamType[Any]):
    """Some of the given names in one word: ``crops,exact``."""

    def __init__(self, known: tuple[str, ...], noun: str) -> None:
        self.known = known
        self.name = f"{noun}[,{noun}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Take the names apart."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        names = tuple(name.strip() for name in value.split(","))
        unknown = [name for name in names if name not in self.known]
        if unknown:
            self.fail(f"{unknown[0]!r} is none of {', '.join(self.known)}", param, ctx)
        return names


class Spans(click.ParamType[Any]):
    """Where to begin and to end on each axis: ``0:1000,200:900``."""

    name = "A:B[,A:B]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """Read the numbers; whether they can be used is seen later, where the image is known."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            parts = [part.split(":") for part in value.split(",")]
            return tuple((float(start), float(stop)) for start, stop in parts)
        except ValueError:
            self.fail(f"{value!r} is no start and stop per axis such as 0:1000,200:900", param, ctx)


@dataclass(frozen=True)
class Console:
    """People's text on stdout; with ``--json`` it goes to stderr, and stdout has one JSON document."""

    json: bool

    def say(self, text: str = "") -> None:
        """A line for people."""
        click.echo(text, err=self.json)

    def result(self, record: dict[str, Any]) -> None:
        """The whole result for programs."""
        if self.json:
            click.echo(json.dumps(record, indent=2, default=str))


def model_options(command: Command) -> Command:
    """``--model`` and what belongs to it; see :func:`load_model`."""
    options = (
        click.option(
            "--model",
            required=True,
            metavar="MODEL",
            help="Bundle directory, torchvision:NAME or timm:NAME; with --trust also FILE.pt2 or "
            "package.module:function.",
        ),
        *loading_options,
    )
    return _apply(options, command)


loading_options = (
    click.option("--weights", metavar="FILE", help="Weights to load, a .safetensors file."),
    click.option("--window", type=Sizes(), help="Window in pixels, in place of the model's own."),
    click.option("--trust", is_flag=True, help="Allow model files that run code when they are read."),
)


def loading(command: Command) -> Command:
    """The options of a model whose name is an argument."""
    return _apply(loading_options, command)


def image_options(command: Command) -> Command:
    """How the image is taken and where the windows lie."""
    options = (
        click.option("--stride", type=Sizes(), help="Pixels between windows.  [default: the network's stride]"),
        click.option("--scale", type=float, metavar="FACTOR", help="Resize the image first, such as 0.5."),
        click.option("--pad", type=Sizes(), help="Pixels to widen the image by first, on both sides."),
        click.option(
            "--output",
            metavar="NAME",
            help="Which output of a network with several: index or key, such as 1, logits or aux.1.",
        ),
        click.option("--device", metavar="NAME", help="Such as cpu or cuda.  [default: cpu]"),
        click.option("--dtype", metavar="NAME", help="Such as float32 or float64.  [default: the network's]"),
        click.option("--memory", metavar="SIZE", help="Bound for what is held at a time, such as 2GiB."),
    )
    return _apply(options, command)


def stream_options(command: Command) -> Command:
    """What is told of scans that are written tile by tile; see :data:`STREAMED`."""
    return _apply(_stream_options, command)


_stream_options = (
    click.option("--level", type=int, metavar="N", help="Which resolution of the image; 0 is the finest."),
    click.option("--mpp", type=float, metavar="MICRONS", help="Extent of a pixel to scan at, such as 0.5."),
    click.option("--roi", type=Spans(), help="Scan only these pixels of level 0, y first: 0:1000,200:900."),
    click.option("--raw", is_flag=True, help="Take values as they are, and not scaled to 0 to 1."),
    click.option(
        "--mask",
        metavar="auto|none|FILE",
        help="Leave out windows: auto, those without tissue; FILE, those where the picture is 0, or outside of its "
        "GeoJSON; none, nothing.  [default: those without any data]",
    ),
    click.option("--tile", type=Sizes(), help="Windows that are computed and written together."),
    click.option("--resume", is_flag=True, help="Go on with a run that was not finished, and try again what failed."),
    click.option("--overwrite", is_flag=True, help="Replace the result that is there."),
    click.option("--fail-fast", is_flag=True, help="End where a part of the image cannot be read."),
    click.option("--progress", type=click.Choice(("bar", "json", "none")), help="How to tell how far the scan is."),
)

STREAMED = ("level", "mpp", "roi", "raw", "mask", "tile", "resume", "overwrite", "fail_fast", "progress")
"""Their names."""


def json_option(command: Command) -> Command:
    """``--json``, as a :class:`Console`."""
    return click.option(
        "--json",
        "console",
        is_flag=True,
        callback=lambda _ctx, _param, value: Console(value),
        help="Print JSON on stdout, and people's text on stderr.",
    )(command)


def load_model(model: str, weights: str | None, window: Any, trust: bool) -> Classifier:
    """The classifier that the options name."""
    from everywindow import api

    return api.load(model, weights=weights, trust=trust, window=window)


def output_key(output: str | None) -> int | str | None:
    """Digits are an index, anything else is a key."""
    return int(output) if output is not None and output.isdecimal() else output


def _apply(options: tuple[Callable[[Command], Command], ...], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
