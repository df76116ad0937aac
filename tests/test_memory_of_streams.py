"""The memory that streamed scans take, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import everywindow as ew
from benchmarks import large_image, memory
from streams import classifier, saved

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a process is asked for its memory")

BASE = 300 << 20
"""Bytes that Python with torch and zarr takes at least."""


@pytest.mark.slow
def test_the_whole_process_stays_below_its_memory(tmp_path: Path) -> None:
    size = (6000, 6000)
    large_image.write(tmp_path / "large.zarr", size)
    image = size[0] * size[1] * 3 * 4
    found = memory.peak(tmp_path, tmp_path / "large.zarr", size, "700MiB")
    assert found.taken < found.limit
    assert found.limit - BASE < image  # more than the image as numbers would not be told from a whole scan


def test_too_little_memory_is_told(tmp_path: Path) -> None:
    with pytest.raises(ew.InputError, match=r"memory: 209,715,200 bytes leave .* beside .*; give at least \d+"):
        ew.stream(classifier(), saved(tmp_path, (40, 40)), tmp_path / "map.zarr", memory="200MiB", progress=False)
    assert os.listdir(tmp_path) == ["image.npy"]


@pytest.mark.slow
def test_what_earlier_scans_keep_is_not_in_the_way(tmp_path: Path) -> None:
    code = """
import sys, torch
import everywindow as ew
from everywindow.run import resident
from streams import classifier, saved
from pathlib import Path
net = torch.nn.Sequential(torch.nn.Conv2d(1, 64, 3), torch.nn.ReLU(), torch.nn.Conv2d(64, 2, 6), torch.nn.Flatten())
ew.scan(ew.Classifier(net.eval(), 8, channels=1), torch.zeros(1, 3000, 3000), stride=1, progress=False)
kept = resident()
home = Path(sys.argv[1])
ew.stream(classifier(), saved(home, (40, 40)), home / "map.zarr", memory="620MiB", progress=False)
print(kept)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    ran = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 650 << 20  # else nothing is shown
