"""A network made dense by hand, timed in a process of its own: ``python -m benchmarks.alone n4``.

In one process with the package such a script gains too by the memory that the package keeps from call to call
(``everywindow/engines/pages.py``). By itself it runs as its author would run it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.by_hand import LAYOUTS, ByHand
from benchmarks.workloads import WORKLOADS, Workload

RUNS = 4
"""Runs in each memory format; the first warms up."""


def seconds_alone(workload: Workload) -> float:
    """Seconds of the network made dense by hand, in its better memory format, in a new process.

    Raises:
        subprocess.CalledProcessError: the process failed.
    """
    size = str(workload.image_size)
    command = [sys.executable, "-m", "benchmarks.alone", workload.name, size, str(torch.get_num_threads())]
    root = Path(__file__).resolve().parents[1]
    return float(subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout)


def main(arguments: Sequence[str]) -> None:
    """Print the seconds."""
    name, size, threads = arguments
    torch.set_num_threads(int(threads))
    workload = next(work for work in WORKLOADS if work.name == name)
    torch.manual_seed(0)
    module = workload.build().eval()
    assert workload.by_hand is not None
    dense = workload.by_hand(module)
    image = torch.randn(workload.channels, int(size), int(size))
    sides = [ByHand(dense, image, layout) for layout in LAYOUTS]
    print(min(min([side.seconds() for _ in range(RUNS)][1:]) for side in sides))


if __name__ == "__main__":
    main(sys.argv[1:])
