"""Every torchvision classifier against its crops: ``python -m benchmarks.zoo --out docs/zoo.md``.

Each network gets weights that tell windows apart (``tests/trial_weights.py``). Then, in float64: the
converted network against the original on images of the window's size, and against the plain sliding window
of ``tests/oracle.py`` on an image of one to two strides more. Differences are relative to the spread of the
scores between windows. The exact engine, with all shared that windows can share (no plan that would take crops
instead), is compared with the same sliding window at three strides per network, and single pixels are moved. A row
that should hold and does not is marked WRONG, and the exit code is 1.

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
from dataclasses import asdict, dataclass, replace
from itertools import count as count_from
from math import gcd
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import everywindow as ew
import oracle
from benchmarks.section import write_keeping_section
from everywindow.costing import crops_macs
from everywindow.engines.prepare import default_stride, prepare
from everywindow.errors import ConversionError, EverywindowError
from everywindow.geometry import WindowGrid
from everywindow.sharing import program_for, program_macs
from exactly import CropsOnly, captured_network, exactly
from torchvision_shim import make_importable
from trial_weights import amplification, calibrate, noise, sees_the_border, tells_windows_apart, with_trial_weights

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "zoo"
WINDOWS = tuple(range(64, 321, 32))
"""Windows that are tried; from 64 pixels on, the last map of stride 32 has more than one position."""

COUNTS = ((2, 3), (3, 4), (3, 5))
"""Windows per axis at the network's stride, at half of it and at one coprime to it."""

FEWER = {4 * 10**9: ((2, 2), (3, 1), (2, 3)), 10**11: ((2, 1), (1, 2), (2, 1))}
"""By the mult-adds of a window from which fewer windows are compared: how many."""

EQUAL = oracle.TOLERANCE[torch.float64]
STEADY = EQUAL / 20 / torch.finfo(torch.float64).eps
"""Most that a network may amplify roundings: else scores that differ say nothing of how they were computed."""

QUIET = 1000
"""How much further below it a network must stay on some windows to be left as it is: others may amplify more."""

DAMPED = 0.3
"""What the scales of norms are multiplied with where it does not: less of each block adds up to more."""

UNMOVED, MOVED = 1e-12, 1e-7
"""Largest change of a score, over the spread, that counts as none, and the least that counts as one."""

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
        stride: the network's.
        coprime: a stride per axis that has no divisor in common with it.
        at_stride, at_half, at_coprime: relative difference of the exact engine to the crops at the network's stride,
            at half of it and at the coprime one.
        outside: change of a window's score, over the spread, as a pixel just outside that window changes.
        gain: mult-adds of the crops over those of the exact engine, at the network's stride on an image of four times
            the window.
        ends: where sharing ends, and why.
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
    stride: int = 0
    coprime: tuple[int, int] = (0, 0)
    at_stride: float | None = None
    at_half: float | None = None
    at_coprime: float | None = None
    outside: float | None = None
    gain: float = 0.0
    ends: str = ""


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


def examine(name: str, exact: bool = True) -> Row:
    """One row of the table, with or without what the exact engine does."""
    start = time.perf_counter()
    module = build(name).double()
    window = smallest_window(module)
    with_trial_weights(module, 3, (window, window), seed=1)
    _steadied(module, window)
    try:
        found = _compare(name, module, window)
        found = _with_exact(found, module) if exact else found
    except EverywindowError as error:
        found = Row(name, window, wrong=f"{type(error).__name__}: {error}")
    return replace(found, seconds=time.perf_counter() - start)


def _steadied(module: nn.Module, window: int) -> None:
    """Quieten the norms of a network that amplifies roundings, as the deepest with squeeze-and-excitation do."""
    if amplification(module, noise((12, 3, window, window), 9)) <= STEADY / QUIET:
        return
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.mul_(DAMPED)
    calibrate(module, noise((32, 3, window, window), 2))


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


def _with_exact(row: Row, module: nn.Module) -> Row:
    """The row with what the exact engine does."""
    window = (row.window, row.window)
    stride = default_stride(prepare(module, window, 3), window)[0]
    coprime = (_coprime(stride, 13), _coprime(stride, 7))
    counts = next((few for macs, few in reversed(FEWER.items()) if row.macs_window > macs), COUNTS)
    strides = ((stride, stride), (max(1, stride // 2),) * 2, coprime)
    found = [_exact_difference(module, row.window, step, count) for step, count in zip(strides, counts, strict=True)]
    outside, border = _moved(module, row.window, stride)
    amplified = amplification(module, noise((12, 3, *window), 9))
    gain, ends = _sharing(module, row.window, stride)
    wrong = row.wrong or ("" if amplified <= STEADY else "these weights amplify roundings too much")
    wrong = wrong or ("" if max(found) <= EQUAL else "the exact engine differs from the crops")
    wrong = wrong or ("" if outside <= UNMOVED else "a pixel outside a window moves its score")
    return replace(
        row,
        stride=stride,
        coprime=coprime,
        at_stride=found[0],
        at_half=found[1],
        at_coprime=found[2],
        outside=outside,
        gain=gain,
        ends=ends,
        wrong=wrong or ("" if border > MOVED else "a pixel on a window's border does not move its score"),
    )


def _sharing(module: nn.Module, window: int, stride: int) -> tuple[float, str]:
    """Mult-adds of the crops over those with sharing, on an image of four times the window, and where sharing ends."""
    try:
        network = captured_network(module, (window, window), 3)
    except CropsOnly as reason:
        return 1.0, f"windows one by one: {reason}"
    grid = WindowGrid((4 * window,) * 2, (window,) * 2, (stride,) * 2)
    program = program_for(network, grid.counts, grid.stride)
    ends = "" if program.ends is None else f"{program.ends.reason.layer}: {program.ends.reason.why}"
    return crops_macs(network, grid) / program_macs(program), ends


def _exact_scores(module: nn.Module, image: Tensor, window: int, stride: Sequence[int]) -> Tensor:
    """Scores by the exact engine; by what mode exact does where that engine does not run the network."""
    try:
        return exactly(module, image, (window, window), stride).scores
    except CropsOnly:
        return ew.scan(module, image, window=window, stride=tuple(stride), mode="exact", progress=False).scores


def _coprime(stride: int, least: int) -> int:
    """The least number from ``least`` on that has no divisor in common with the stride."""
    return next(number for number in count_from(least) if gcd(number, stride) == 1)


def _exact_difference(module: nn.Module, window: int, stride: tuple[int, int], counts: tuple[int, int]) -> float:
    """Relative difference between the exact engine and the crops, on an image of so many windows."""
    size = [window + (count - 1) * step + step // 2 for count, step in zip(counts, stride, strict=True)]
    image = noise((1, 3, *size), 5)[0]
    expected = oracle.crops(module, image, (window, window), stride)
    return oracle.relative_difference(_exact_scores(module, image, window, stride), expected)


def _moved(module: nn.Module, window: int, stride: int) -> tuple[float, float]:
    """How far one pixel moves the score of the left of two windows, that it lies just outside of, and of the right one,
    on whose border it lies; relative to the difference of the two scores."""
    image = noise((1, 3, window, window + stride), 6)[0]

    def scores(column: int | None) -> Tensor:
        changed = image.clone()
        if column is not None:
            changed[:, window // 2, column] += 3
        return _exact_scores(module, changed, window, (stride, stride))[:, 0]

    before = scores(None)
    scale = oracle.spread(before)
    outside, border = scores(window)[:, 0] - before[:, 0], scores(stride)[:, 1] - before[:, 1]
    return float(outside.abs().max()) / scale, float(border.abs().max()) / scale


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
            pairs = {name: tuple(kept[name]) for name in ("image_size", "coprime")}
            return Row(**{**kept, **pairs})
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
no, `larger` is the difference that one pass makes for this network with these weights; `scan`
gives the crops' numbers all the same, by the exact engine (below). Mult-adds are counted, in millions: for
one window, and for the larger image window by window and in one pass.

Made by `make zoo` ({threads} threads). {converted} of {count} convert, {wrong} rows are wrong.

| network | window | converts | exact | native | larger | one window | crops | one pass | seconds | reason |
|---|---|---|---|---|---|---|---|---|---|---|
"""

EXACT_HEADER = """
## Sharing that gives the crops' own numbers

The same networks by the exact engine, with everything shared that windows can share: `mode="exact"` takes crops
instead where that is predicted to be faster. Largest difference to the plain sliding window, relative to the spread
between windows, at the network's stride, at half of it, and at a stride per axis that is coprime to it, on images of
up to two strides more than the window. `outside` is the change of a window's score as one pixel just outside of that
window changes; that a pixel on its border moves it is checked too. `crops : exact` are the mult-adds of the windows
one by one over those with sharing, at the network's stride on an image of four times the window; there sharing ends
at the layer that the last column names, and what comes after runs window by window.

{shared} of {count} networks equal their crops at all three strides.

| network | window | stride | at it | at half | coprime | at that | outside | crops : exact | sharing ends at |
|---|---|---|---|---|---|---|---|---|---|
"""


def line(row: Row) -> str:
    """One row of the table, in Markdown."""
    cells = [row.name, str(row.window), _yes(row.converts), _yes(row.exact) if row.converts else ""]
    cells += [_number(row.native), _number(row.larger)]
    cells += [_millions(macs) for macs in (row.macs_window, row.macs_crops, row.macs_fcn)]
    cells += [f"{row.seconds:.0f}", f"**WRONG: {row.wrong}** {row.reason}" if row.wrong else row.reason]
    return "| " + " | ".join(cell.strip().replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def exact_line(row: Row) -> str:
    """One row of the table of the exact engine, in Markdown."""
    numbers = [_number(value) for value in (row.at_stride, row.at_half, row.at_coprime, row.outside)]
    coprime = "×".join(map(str, row.coprime))
    cells = [row.name, str(row.window), str(row.stride), *numbers[:2], coprime, *numbers[2:], f"{row.gain:.2f}"]
    return "| " + " | ".join(cell.strip().replace("|", "\\|").replace("\n", " ") for cell in [*cells, row.ends]) + " |"


def _equals(row: Row) -> bool:
    found = (row.at_stride, row.at_half, row.at_coprime)
    return all(difference is not None and difference <= EQUAL for difference in found)


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
    exact = EXACT_HEADER.format(count=len(rows), shared=sum(map(_equals, rows)))
    return head + "\n".join(map(line, rows)) + "\n" + exact + "\n".join(map(exact_line, rows)) + "\n"


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
    write_keeping_section(options.out, table(rows))
    return int(any(row.wrong for row in rows))


if __name__ == "__main__":
    sys.exit(main())
