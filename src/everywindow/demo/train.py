"""Train the demo's classifiers: is this window of 25×25 pixels a face?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from everywindow.demo.data import WINDOW, backgrounds, labelled_windows

CLASSES = ("no face", "face")
MEAN, STD = 0.45, 0.22
ROUNDS, STEPS = 5, 100
FACES_PER_BATCH, OTHERS_PER_BATCH = 64, 96
CANDIDATES, KEPT = 8_000, 1_000
RATE, DECAY = 2e-3, 1e-2


def unpadded() -> nn.Sequential:
    """The classic classifier of one size: no layer pads, so one pass gives what the windows give one by one."""
    return nn.Sequential(*_block(1, 16, kernel=4), *_block(16, 32, kernel=4), *_head(32 * 4 * 4))


def padded() -> nn.Sequential:
    """As networks in use are built: each convolution pads with zeros, at the border of each window."""
    return nn.Sequential(*_block(1, 16, kernel=3, padding=1), *_block(16, 32, kernel=3, padding=1), *_head(32 * 6 * 6))


def _block(inputs: int, outputs: int, kernel: int, padding: int = 0) -> tuple[nn.Module, ...]:
    """Pooling stands before the activation, which then has a quarter of the values to do; the result is the same."""
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.MaxPool2d(2), nn.ReLU()


def _head(inputs: int, hidden: int = 64) -> tuple[nn.Module, ...]:
    first, last = nn.Linear(inputs, hidden), nn.Linear(hidden, len(CLASSES))
    return nn.Flatten(), nn.Dropout(0.5), first, nn.ReLU(), nn.Dropout(0.5), last


def train(
    build: Callable[[], nn.Sequential], seed: int, say: Callable[[str], None] = lambda line: None
) -> nn.Sequential:
    """A network, trained from nothing; the same seed gives the same one.

    In rounds: after each, windows of the photographs that the network takes for faces join the
    negatives, for random windows are mostly too easy to learn from.
    """
    faces, others = (torch.from_numpy(part)[:, None] for part in labelled_windows())
    photographs = [torch.from_numpy(photograph) for photograph in backgrounds()]
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # Channels last trains these small images in half the time.
        net = _laid_out(build(), torch.channels_last)
        negatives = torch.cat([others, random_windows(photographs, CANDIDATES // 2)])
        optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ROUNDS * STEPS)
        for turn in range(ROUNDS):
            loss = train_round(net, optimizer, schedule, faces, negatives)
            say(f"round {turn + 1} of {ROUNDS}: {len(negatives):,} windows without a face, loss {loss:.3f}")
            if turn + 1 < ROUNDS:
                mistakes = hardest(net, random_windows(photographs, CANDIDATES))
                negatives = torch.cat([negatives, mistakes])
    return _laid_out(net, torch.contiguous_format).eval()


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order on every machine; and batches so small gain nothing from being divided."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_round(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    faces: torch.Tensor,
    negatives: torch.Tensor,
) -> float:
    """A round of batches; gives the mean loss of its last steps."""
    net.train()
    labels = torch.tensor([0] * OTHERS_PER_BATCH + [1] * FACES_PER_BATCH)
    losses = []
    for _ in range(STEPS):
        batch = torch.cat([_some(negatives, OTHERS_PER_BATCH), _some(faces, FACES_PER_BATCH)])
        loss = nn.functional.cross_entropy(net(normalise(varied(batch))), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / 20


def hardest(net: nn.Module, windows: torch.Tensor) -> torch.Tensor:
    """The windows, none of them a face, that look most like one to the network."""
    net.eval()
    with torch.no_grad():
        scores = torch.cat([net(normalise(part)) for part in windows.split(1024)])
    return windows[(scores[:, 1] - scores[:, 0]).topk(KEPT).indices]


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels from 0 to 1 as the network takes them."""
    return (pixels - MEAN) / STD


def random_windows(photographs: list[torch.Tensor], count: int) -> torch.Tensor:
    """Windows anywhere in the photographs, ``[count, 1, 25, 25]``."""
    windows = []
    for photograph in photographs:
        views = photograph.unfold(0, WINDOW, 1).unfold(1, WINDOW, 1)
        share = count // len(photographs)
        rows, cols = (torch.randint(size, (share,)) for size in views.shape[:2])
        windows.append(views[rows, cols])
    return torch.cat(windows)[:, None]


def varied(pixels: torch.Tensor) -> torch.Tensor:
    """Each window mirrored or not, shifted by up to two pixels, a little zoomed and turned, in another light."""
    n = len(pixels)
    angle, zoom = _uniform(n, -0.15, 0.15), _uniform(n, 0.85, 1.1)
    mirror = torch.randint(2, (n,)) * 2.0 - 1.0
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    shift = _uniform(2 * n, -4 / WINDOW, 4 / WINDOW).view(2, n)
    affine = torch.stack([mirror * cos, -sin, shift[0], mirror * sin, cos, shift[1]], 1).view(n, 2, 3)
    grid = nn.functional.affine_grid(affine, list(pixels.shape), align_corners=False)
    moved = nn.functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    return relit(moved)


def relit(pixels: torch.Tensor) -> torch.Tensor:
    """Another contrast and brightness, and a light from one side: a plain shading is not what makes a face."""
    contrast, light, across, down = (
        _uniform(len(pixels), -most, most).view(-1, 1, 1, 1) for most in (0.4, 0.1, 0.5, 0.5)
    )
    ramp = torch.linspace(-1, 1, WINDOW)
    shading = across * ramp + down * ramp[:, None]
    return ((pixels - MEAN) * (1 + contrast) + MEAN + light + shading).clamp(0, 1)


def _laid_out(net: nn.Sequential, memory_format: torch.memory_format) -> nn.Sequential:
    return net.to(memory_format=memory_format)  # type: ignore[call-overload,no-any-return]  # absent from its stub


def _uniform(count: int, low: float, high: float) -> torch.Tensor:
    return torch.empty(count).uniform_(low, high)


def _some(windows: torch.Tensor, count: int) -> torch.Tensor:
    return windows[torch.randint(len(windows), (count,))]
