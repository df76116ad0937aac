"""What a scan is projected to hold and what it holds, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from everywindow.engines.pages import keep_pages

FACTOR, BESIDE = 1.6, 80e6
"""Measured memory is at most so many times the projected one, and some bytes for buffers that all scans need."""

SCRIPT = """
import json, sys, torch
from torch import nn
import everywindow as ew

def held(which):
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith(which))) * 1024

net = nn.Sequential(
    nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
    nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    nn.Linear(64, 5),
).eval()
clf = ew.Classifier(net, window=32, channels=3)
ew.scan(clf, torch.randn(3, 40, 40), stride=4)
image = torch.randn(3, int(sys.argv[1]), int(sys.argv[1]))
before = held("VmRSS")
m = ew.scan(clf, image, stride=4, memory=sys.argv[2])
print(json.dumps({"engine": m.plan.engine, "tiles": m.plan.tiles, "projected": m.plan.peak_bytes,
                  "measured": held("VmHWM") - before}))
"""


@pytest.mark.skipif(not keep_pages(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize(("size", "memory", "limit"), [(512, "150MB", 150e6), (512, "2GB", 2e9), (700, "300MB", 300e6)])
def test_measured_memory_is_what_was_projected(size: int, memory: str, limit: float) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(size), memory], capture_output=True, text=True, check=False, timeout=300
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["engine"] == "exact"
    assert found["projected"] <= limit
    assert (found["tiles"] > 1) == (limit < 1e9)
    assert found["measured"] <= FACTOR * found["projected"] + BESIDE
    assert found["measured"] >= 0.4 * found["projected"]
