"""Run the code of a guide page, and put what it prints and draws, and the numbers of its prose, into the page.

A page is ordinary Markdown. Its ``python`` blocks run from top to bottom in one namespace:

- what a block prints follows it, and so does the last expression of a block, as at a prompt;
- a figure that a block leaves open follows it; its caption is the line ``#: ...`` at the block's start;
- a block fenced as ``python folded`` is shown folded: it only draws, and is no part of the argument;
- ``{{ expression }}`` or ``{{ expression:format }}`` in the prose becomes its value, as the code above it left it.

A block that fails, or warns, stops the build.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

BLOCK = re.compile(r"^```python( folded)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VALUE = re.compile(r"\{\{(.+?)\}\}")
CAPTION = re.compile(r"^#: (.+)\n", re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    """What a block gave.

    Attributes:
        text: what it printed, and its last expression.
        figures: the pictures that it drew, as files' content with their suffix.
    """

    text: str
    figures: tuple[tuple[str, bytes], ...]


@dataclass
class Run:
    """What a page's code gave: of each block what it shows, and the value of each expression of the prose."""

    shown: list[Shown] = field(default_factory=list)
    values: list[dict[str, str]] = field(default_factory=lambda: [{}])


_RUNS: dict[str, Run] = {}
"""By code without its comments: a translated page shows what the original page's run gave."""


def blocks(markdown: str) -> list[str]:
    """The code of a page, one text for each block."""
    return [code for _, code in BLOCK.findall(markdown)]


def prose(markdown: str) -> list[str]:
    """The prose before, between and behind the blocks: one text more than blocks."""
    return BLOCK.split(markdown)[::3]


def plain(code: str) -> str:
    """The code without comments and layout: equal for pages that say the same in two languages."""
    return ast.dump(ast.parse(code))


def run(name: str, markdown: str) -> Run:
    """Run a page's blocks in order, and the expressions of its prose where they stand.

    Raises:
        RuntimeError: a block or an expression fails; it names the page and the place.
    """
    key = "\n".join(plain(code) for code in blocks(markdown))
    known = _RUNS.get(key)
    wanted = [_expressions(part) for part in prose(markdown)]
    if known and all(set(want) <= set(have) for want, have in zip(wanted, known.values, strict=True)):
        return known
    _RUNS[key] = _run(name, blocks(markdown), wanted)
    return _RUNS[key]


def _run(name: str, codes: list[str], wanted: list[list[str]]) -> Run:
    space: dict[str, Any] = {"__name__": "guide"}
    done = Run(values=[_values(name, wanted[0], space)])
    with _set_up():
        for number, (code, expressions) in enumerate(zip(codes, wanted[1:], strict=True), start=1):
            done.shown.append(_block(f"{name}, block {number}", code, space))
            done.values.append(_values(name, expressions, space))
    return done


@contextlib.contextmanager
def _set_up() -> Iterator[None]:
    """One thread, for numbers that are the same again; warnings are errors; figures are drawn into memory."""
    import matplotlib as mpl
    import torch

    mpl.use("agg")
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    style: dict[Any, Any] = {
        "font.size": 10,
        "figure.dpi": 100,
        "savefig.dpi": 160,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.use": True,
        "image.cmap": "gray",
        "svg.hashsalt": "everywindow",
    }
    try:
        with warnings.catch_warnings(), mpl.rc_context(style):
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message="__array__ implementation")  # matplotlib takes tensors
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)


def _block(place: str, code: str, space: dict[str, Any]) -> Shown:
    from matplotlib import pyplot as plt

    tree = ast.parse(code)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            exec(compile(tree, place, "exec"), space)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), place, "eval"), space)
                _tell(value)
        except Exception as error:
            raise RuntimeError(f"{place}: {type(error).__name__}: {error}\n{code}") from error
    figures = tuple(_picture(plt.figure(number)) for number in plt.get_fignums())
    plt.close("all")
    return Shown(out.getvalue().rstrip(), figures)


def _tell(value: object) -> None:
    """A last expression as at a prompt; what drawing functions return is no result."""
    if value is None or type(value).__module__.startswith("matplotlib"):
        return
    if isinstance(value, (list, tuple)) and value and type(value[0]).__module__.startswith("matplotlib"):
        return
    print(repr(value))


def _picture(figure: Any) -> tuple[str, bytes]:
    """Photographs as pixels, drawings as lines."""
    has_pixels = any(axes.get_images() for axes in figure.axes)
    kind = "png" if has_pixels else "svg"
    content = io.BytesIO()
    metadata = {"Software": None} if has_pixels else {"Date": None}
    figure.savefig(content, format=kind, metadata=metadata)
    return kind, content.getvalue()


def _expressions(text: str) -> list[str]:
    return [found.strip() for found in VALUE.findall(text)]


def _values(name: str, expressions: list[str], space: dict[str, Any]) -> dict[str, str]:
    try:
        return {one: eval(f"f{'{' + one + '}'!r}", space) for one in expressions}
    except Exception as error:
        raise RuntimeError(f"{name}: an expression of {expressions}: {type(error).__name__}: {error}") from error
