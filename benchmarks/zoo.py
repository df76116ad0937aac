"""Every torchvision classifier against its crops: ``python -m benchmarks.zoo --out docs/zoo.md``.

Each network gets weights that tell windows apart (``tests/trial_weights.py``). Then, in float64: the
converted network against the original on images of the window's size, and against the plain sliding window
of ``tests/oracle.py`` on an image of one to two strides more. Differences are relative to the spread of the
scores between windows. A row that should hold and does not is marked WRONG, and the exit code is 1.

Results are kept per network in ``build/zoo``, so a run that was stopped goes on where it was; a change of the
package's code or of this file makes them void.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import everywindow as ew
import oracle
from everywindow.errors import ConversionError, EverywindowError
from torchvision_shim import make_importable
from trial_weights import noise, sees_the_border, tells_windows_apart, with_trial_weights

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "zoo"
WINDOWS = tuple(range(64, 321, 32))
"""Windows that are tried; from 64 pixels on, the last map of stride 32 has more than one position."""

EQUAL = oracle.TOLERANCE[torch.float64]
REFUSED = ("maxvit", "swin", "vit", "efficientnet", "mobilenet_v3", "regnet_y")
"""Families that may be refused: attention over positions, or a statistic of the whole window inside
(squeeze-and-excitation). Any other refusal is wrong."""


@dataclass(frozen=True)
class Row:
    """What was found for one network.

    Attributes:
        converts: whether it has a plain conversion.
        exact: whether the verdict says that one pass equals the crops on larger images.
        reason: the verdict's reasons, or why it was refused.
        native: relative difference to the original at the window's size.
        larger: relative difference to the crops on the larger image.
        macs_window, macs_crops, macs_fcn: mult-adds for one window, and for the larger image.
        wrong: what is wrong with the row; empty where nothing is.
    """

    name: str
    window: int
    image_size: tuple[int, int] = (0, 0)
    converts: bool = False
    exact: bool = False
    reason: str = ""
    native: float | None = None
    larger: float | None = None
    macs_window: int = 0
    macs_crops: int = 0
    macs_fcn: int = 0
    seconds: float = 0.0
    wrong: str = ""


def names() -> list[str]:
    """All of torchvision's classifiers."""
    make_importable()
    from torchvision import models

    return list(models.list_models(module=models))


def build(name: str, **options: Any) -> nn.Module:
    """The network as torchvision defines it, with any weights."""
    make_importable()
    from torchvision import models

    if name in ("googlenet", "inception_v3"):
        options = {"init_weights": False, **options}
    module: nn.Module = models.get_model(name, **options)
    return module.eval()


@torch.no_grad()
def smallest_window(module: nn.Module) -> int:
    """The smallest multiple of 32 that the network takes, and whose adaptive poolings have equal bins."""
    poolings = [layer for layer in module.modules() if isinstance(layer, nn.AdaptiveAvgPool2d)]
    for window in WINDOWS:
        unequal: list[bool] = []
        hooks = [layer.register_forward_hook(_bins(unequal)) for layer in poolings]
        try:
            module(torch.zeros(1, 3, window, window, dtype=next(module.parameters()).dtype))
        except (AssertionError, RuntimeError, ValueError):
            continue
        finally:
            for hook in hooks:
                hook.remove()
        if not any(unequal):
            return window
    raise ValueError(f"no window among {WINDOWS}")


def _bins(unequal: list[bool]) -> Any:
    def hook(layer: nn.AdaptiveAvgPool2d, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sizes = zip(inputs[0].shape[2:], output.shape[2:], strict=True)
        unequal.append(any(size % bins for size, bins in sizes))

    return hook


def examine(name: str) -> Row:
    """One row of the table."""
    start = time.perf_counter()
    module = build(name).double()
    window = smallest_window(module)
    with_trial_weights(module, 3, (window, window), seed=1)
    try:
        found = _compare(name, module, window)
    except EverywindowError as error:
        found = Row(name, window, wrong=f"{type(error).__name__}: {error}")
    return Row(**{**asdict(found), "seconds": time.perf_counter() - start})


def _compare(name: str, module: nn.Module, window: int) -> Row:
    try:
        converted = ew.convolutionalize(module, window=window).eval()
    except ConversionError as error:
        macs = ew.cost(module, image_size=(window, window), window=window, stride=32).macs
        unexpected = "" if name.startswith(REFUSED) else "refused, and it has a conversion"
        return Row(name, window, reason=str(error), macs_window=macs["crops"], wrong=unexpected)
    stride = converted.geometry.stride
    image = noise((1, 3, window + 2 * stride[0] + 1, window + stride[1] + stride[1] // 2), 5)[0]
    native, scale, blind = _native(module, converted, window)
    larger = _larger(module, converted, image, window, scale)
    size = (image.shape[1], image.shape[2])
    macs = ew.cost(module, image_size=size, window=window, stride=stride).macs
    exact = converted.verdict.exact
    return Row(
        name,
        window,
        size,
        converts=True,
        exact=exact,
        reason=_short(converted.verdict.reasons),
        native=native,
        larger=larger,
        macs_window=ew.cost(module, image_size=(window, window), window=window, stride=stride).macs["crops"],
        macs_crops=macs["crops"],
        macs_fcn=macs["fcn"],
        wrong=blind or _wrong(native, larger, exact),
    )


@torch.no_grad()
def _native(module: nn.Module, converted: nn.Module, window: int) -> tuple[float, float, str]:
    """Relative difference at the window's size, spread of the scores, and why they prove nothing if so."""
    images = noise((4, 3, window, window), 7)
    expected = torch.stack([module(image.unsqueeze(0))[0] for image in images], dim=1)
    scores = torch.stack([converted(image.unsqueeze(0))[0].flatten() for image in images], dim=1)
    blind = "" if tells_windows_apart(expected) else "these weights tell no windows apart"
    if not sees_the_border(module, images[0]):
        blind = "these weights do not see the border"
    return oracle.relative_difference(scores, expected), oracle.spread(expected), blind


@torch.no_grad()
def _larger(module: nn.Module, converted: Any, image: Tensor, window: int, scale: float) -> float:
    expected = oracle.crops(module, image, (window, window), converted.geometry.stride)
    return oracle.relative_difference(converted(image.unsqueeze(0))[0], expected, max(scale, oracle.spread(expected)))


def _wrong(native: float, larger: float, exact: bool) -> str:
    if not native <= EQUAL:
        return "differs from the original at the window's size"
    if exact and not larger <= EQUAL:
        return "called exact, and differs from the crops"
    if not larger < float("inf"):
        return "another number of scores than of windows, or not numbers"
    return ""


def _short(reasons: Sequence[tuple[str, str]]) -> str:
    if not reasons:
        return ""
    layer, why = reasons[0]
    return f"{layer}: {why}" + (f", and {len(reasons) - 1} more" if len(reasons) > 1 else "")


def fingerprint() -> str:
    """Of the package's code, of this file and of what it tests with."""
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").glob("[!t]*.py"), Path(__file__)]
    files.append(ROOT / "tests" / "trial_weights.py")
    digest = hashlib.sha256(torch.__version__.encode())
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def kept_or_new(name: str, mark: str) -> Row:
    """The row from an earlier run of the same code, else a new one."""
    path = CACHE / f"{name}.json"
    if path.exists():
        kept = json.loads(path.read_text())
        if kept.pop("fingerprint") == mark:
            return Row(**{**kept, "image_size": tuple(kept["image_size"])})
    row = examine(name)
    CACHE.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**asdict(row), "fingerprint": mark}))
    return row


HEADER = """\
# The zoo

All {count} classifiers of torchvision {version}, in float64, with every weight drawn anew so that the scores
tell windows apart. Each network has the smallest multiple of 32 pixels, from 64 on, that it takes as its
window. The converted network is compared with the original at the window's size (`native`), and with the
plain sliding window on an image of one to two strides more (`larger`). Differences are the largest over all
scores, relative to the spread of the scores between windows: up to 1e-10 counts as equal. Where `exact` says
no, `larger` is the difference that one pass makes for this network with these weights; `scan` then takes
crops unless told otherwise. Mult-adds are counted, in millions: for one window, and for the larger image
window by window and in one pass.

Made by `make zoo` ({threads} threads). {converted} of {count} convert, {wrong} rows are wrong.

| network | window | converts | exact | native | larger | one window | crops | one pass | seconds | reason |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def line(row: Row) -> str:
    """One row of the table, in Markdown."""
    cells = [row.name, str(row.window), _yes(row.converts), _yes(row.exact) if row.converts else ""]
    cells += [_number(row.native), _number(row.larger)]
    cells += [_millions(macs) for macs in (row.macs_window, row.macs_crops, row.macs_fcn)]
    cells += [f"{row.seconds:.0f}", f"**WRONG: {row.wrong}** {row.reason}" if row.wrong else row.reason]
    return "| " + " | ".join(cell.strip().replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def _millions(macs: int) -> str:
    return f"{macs / 1e6:,.0f}" if macs else ""


def table(rows: Sequence[Row]) -> str:
    """The whole page."""
    make_importable()
    import torchvision

    head = HEADER.format(
        count=len(rows),
        version=torchvision.__version__.partition("+")[0],
        threads=torch.get_num_threads(),
        converted=sum(row.converts for row in rows),
        wrong=sum(bool(row.wrong) for row in rows),
    )
    return head + "\n".join(line(row) for row in rows) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the zoo; 0 where no row is wrong."""
    parser = argparse.ArgumentParser(description="Compare all torchvision classifiers with their crops.")
    parser.add_argument("--out", type=Path, required=True, help="the Markdown page to write")
    parser.add_argument("--only", nargs="*", help="these networks only")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    mark, rows = fingerprint(), []
    for name in options.only or names():
        rows.append(kept_or_new(name, mark))
        print(line(rows[-1]), file=sys.stderr, flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(table(rows))
    return int(any(row.wrong for row in rows))


if __name__ == "__main__":
    sys.exit(main())
