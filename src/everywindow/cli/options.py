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
