"""What every test finds: one thread for each process, a fixed seed, torchvision, and the real data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from torchvision_shim import make_importable

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"

os.environ["OMP_NUM_THREADS"] = "1"  # for the commands that tests start
make_importable()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """pytest-xdist fills the cores with processes; threads within them would only get in their way."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}")
    return SHARED_DATA


# The same examples in every run; machines that are busy are no failure.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")
