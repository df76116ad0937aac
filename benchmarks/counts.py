"""Mult-adds of torchvision's classifiers for one window, against torch's own counter; prints a line for each.

Run ``make counts``. torch counts a multiplication and an addition as two.
"""

from __future__ import annotations

import argparse
import sys
import warnings

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import everywindow as ew
from benchmarks.zoo.networks import CHANNELS, build, names

WINDOWS = {"inception_v3": 299}
"""Windows of networks that take no 224 pixels."""


def ours_and_torchs(module: nn.Module, window: int) -> tuple[int, int]:
    """Mult-adds for one window, counted by the two."""
    cost = ew.cost(ew.Classifier(module, window=window, channels=CHANNELS), window, predict=False, advise=False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.to("meta")(torch.zeros(1, CHANNELS, window, window, device="meta"))
    return cost.macs["crops"], counter.get_total_flops() // 2


def main() -> int:
    """Count all of them, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="networks of torchvision; all by default")
    wanted = parser.parse_args().names or names("torchvision")
    equal = 0
    for name in wanted:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours, torchs = ours_and_torchs(build("torchvision", name), WINDOWS.get(name, 224))
        equal += ours == torchs
        print(f"{name:24} {ours:>16,} {torchs:>16,}{'' if ours == torchs else '  differ'}", flush=True)
    print(f"{equal} of {len(wanted)} equal")
    return 0 if equal == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
