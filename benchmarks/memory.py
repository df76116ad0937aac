"""Peak memory of ``everywindow scan`` over an image larger than it: that of the whole process, as Linux counts it.

python -m benchmarks.memory /somewhere/with/2GB/free --out docs/reliability.md

The image is made by ``benchmarks.large_image`` unless it is there. The network is a small CNN with padding; its windows
of 64 pixels lie 32 apart. The exit code is 1 where a run took more than it was given.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import everywindow as ew
from benchmarks import large_image
from benchmarks.section import with_section
from everywindow.engines.memory import memory_limit

SECTION = "make memory"
WINDOW, STRIDE = 64, 32
COMMAND = """
import sys
from pathlib import Path
from everywindow.cli.entry import main
code = main(sys.argv[2:])
Path(sys.argv[1]).write_text(Path("/proc/self/status").read_text())
sys.exit(code)
"""
"""The command, which writes down at its end what the system says of it. What ``wait`` tells of a child begins with the
memory of its parent, from which it was forked."""

LIMITS = ("1GiB", "2GiB")


@dataclass(frozen=True)
class Peak:
    """What a run took.

    Attributes:
        size: pixels of the image per axis.
        given: ``--memory``.
        limit, taken: bytes.
        seconds: of the whole process.
    """

    size: tuple[int, ...]
    given: str
    limit: int
    taken: int
    seconds: float


def network() -> ew.Classifier:
    """A small CNN that pads, of three channels."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for taken, given in ((3, 8), (8, 16), (16, 16)):
        layers += [nn.Conv2d(taken, given, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * (WINDOW // 8) ** 2, 2))
    return ew.Classifier(net.eval(), window=WINDOW, mean=[0.5] * 3, std=[0.25] * 3)


def peak(
    home: Path, image: Path, size: Sequence[int], given: str, stride: int = STRIDE, roi: str | None = None
) -> Peak:
    """Scan the image by the command, in a process of its own.

    Args:
        home: where the model and the result are put.
        image, size: path and pixels.
        given: ``--memory``.
        stride: in pixels.
        roi: ``--roi``, to scan no more than that.

    Raises:
        RuntimeError: the command failed.
    """
    model, out, log = home / "model", home / "map.zarr", home / "peak"
    if not model.exists():
        network().save(model)
    shutil.rmtree(out, ignore_errors=True)
    command = ["scan", str(image), "--model", str(model), "--out", str(out), "--stride", str(stride)]
    command += [] if roi is None else ["--roi", roi]
    started = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-c", COMMAND, str(log), *command, "--memory", given, "--progress", "none"],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    taken = int(log.read_text(encoding="ascii").split("VmHWM:")[1].split()[0]) * 1024
    limit = memory_limit(given, torch.device("cpu"))
    return Peak(tuple(size), given, limit, taken, time.perf_counter() - started)


def page(peaks: Sequence[Peak], stored: int) -> str:
    """The figures, in Markdown."""
    rows = [
        f"| {' × '.join(f'{n:,}' for n in one.size)} | {one.given} | {one.taken / 2**20:,.0f} MiB "
        f"| {one.taken / one.limit:.0%} | {one.seconds:,.0f} s |"
        for one in peaks
    ]
    pixels = 3 * peaks[0].size[0] * peaks[0].size[1]
    return "\n".join(
        [
            f"An image of {pixels / 1e9:.1f} GB, {stored / 1e9:.1f} GB as stored; {WINDOW}-pixel windows at stride "
            f"{STRIDE}; {torch.get_num_threads()} threads.",
            "",
            "| pixels | `--memory` | peak of the process | of the limit | time |",
            "|---|---:|---:|---:|---:|",
            *rows,
            "",
        ]
    )


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--size", type=int, nargs=2, default=(40_000, 40_000))
    parser.add_argument("--memory", nargs="+", default=LIMITS)
    parser.add_argument("--roi", help="as of the command; all is scanned without it")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    given.home.mkdir(parents=True, exist_ok=True)
    image = given.home / "large.zarr"
    large_image.write(image, given.size)
    stored = sum(file.stat().st_size for file in image.rglob("*") if file.is_file())
    peaks = []
    for limit in given.memory:
        peaks.append(peak(given.home, image, given.size, limit, roi=given.roi))
        print(peaks[-1], flush=True)
    text = page(peaks, stored)
    print(text)
    if given.out:
        given.out.write_text(with_section(given.out.read_text("utf-8"), text, SECTION), encoding="utf-8")
    return 1 if any(one.taken > one.limit for one in peaks) else 0


if __name__ == "__main__":
    sys.exit(main())
