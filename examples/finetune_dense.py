"""Fine-tune a classifier of crops on whole images: every window of an image is a labelled example in one pass.

    python examples/finetune_dense.py --out finetuned

A face classifier of 25×25 pixels learns from a set of crops: faces, and things that are none. In photographs it then
gives false alarms, for the crops never showed most of what is in them. ``everywindow.convolutionalize`` makes it a
network that scores all windows of a whole image at once, and trains: the loss takes the windows on faces, and the
windows without one that look most like one. The weights go back into the classifier with ``to_classifier``.

Faces and photographs are those that scikit-image carries (``pip install scikit-image``); faces are blended into
photographs, so it is known where they are. The photographs and the faces of the test are shown to nobody in training.
For comparison the same classifier is trained on for as many steps with crops out of the same whole images.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew
from everywindow.demo import data, train

WINDOW, STRIDE, SIZE, FACES = 25, 4, 112, 3
MEAN, STD = 0.45, 0.22
HELD_OUT = ("brick.png", "chelsea.png", "coffee.png", "coins.png", "moon.png", "motorcycle_left.png", "rocket.jpg")
NEAR, FAR = 2, 8  # pixels: a window within NEAR of a face is one, beyond FAR it is none, between counts for nothing
IGNORED = -100
Picture = tuple[np.ndarray, np.ndarray]  # pixels [SIZE, SIZE] from 0 to 1, and the first pixel of each face [FACES, 2]


def network() -> nn.Module:
    """No layer pads: one pass of a whole image gives exactly what its crops give one by one."""
    first = (nn.Conv2d(1, 16, 4, bias=False), nn.BatchNorm2d(16), nn.MaxPool2d(2), nn.ReLU())
    second = (nn.Conv2d(16, 32, 4, bias=False), nn.BatchNorm2d(32), nn.MaxPool2d(2), nn.ReLU())
    head = (nn.Flatten(), nn.Dropout(0.2), nn.Linear(32 * 16, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 2))
    return nn.Sequential(*first, *second, *head)


def photographs(held_out: bool) -> list[np.ndarray]:
    """The gray photographs that are shown in training, or those that are not, at three sizes each."""
    found = []
    for name in data.BACKGROUNDS:
        if (name in HELD_OUT) == held_out:
            gray = Image.open(data.carried(name)).convert("L")
            found += [np.asarray(gray.reduce(divisor), np.float32) / 255 for divisor in (1, 2, 4)]
    return [photograph for photograph in found if min(photograph.shape) >= SIZE]


def picture(photograph: np.ndarray, faces: np.ndarray, rng: np.random.Generator) -> Picture:
    """A part of a photograph with faces at random places, in random light."""
    top, left = (int(rng.integers(n - SIZE + 1)) for n in photograph.shape)
    pixels = photograph[top : top + SIZE, left : left + SIZE].copy()
    ramp = np.linspace(-1, 1, WINDOW, dtype=np.float32)
    soft = np.clip(4 * (1.05 - np.hypot(ramp[:, None], ramp)), 0, 1)
    places: list[np.ndarray] = []
    while len(places) < FACES:
        place = rng.integers(SIZE - WINDOW + 1, size=2)
        if any(np.abs(place - other).max() < WINDOW for other in places):
            continue
        face = faces[rng.integers(len(faces))][:, :: rng.choice([-1, 1])]
        lit = np.clip((face - face.mean()) * rng.uniform(0.4, 1.0) + rng.uniform(0.3, 0.7), 0, 1)
        under = pixels[place[0] : place[0] + WINDOW, place[1] : place[1] + WINDOW]
        under += soft * (lit - under)
        places.append(place)
    return pixels, np.array(places)


def normalised(pixels: list[np.ndarray]) -> Tensor:
    return ((torch.from_numpy(np.stack(pixels)) - MEAN) / STD)[:, None]


def labels(places: np.ndarray, counts: tuple[int, ...]) -> Tensor:
    """What each window of a score map shows: 1 a face, 0 none, or IGNORED."""
    first = np.stack(np.meshgrid(*(STRIDE * np.arange(n) for n in counts), indexing="ij"), -1)
    distance = np.abs(first[:, :, None] - places).max(-1).min(-1)
    return torch.from_numpy(np.where(distance <= NEAR, 1, np.where(distance > FAR, 0, IGNORED)))


def dense_loss(fcn: nn.Module, several: list[Picture], rng: np.random.Generator) -> Tensor:
    """The loss over all windows of whole images: those on faces, and the hardest tenth without."""
    shift = rng.integers(STRIDE, size=2)  # so that the windows lie at every pixel in the long run
    scores = fcn(normalised([pixels[shift[0] :, shift[1] :] for pixels, _ in several]))
    wanted = torch.stack([labels(places - shift, tuple(scores.shape[2:])) for _, places in several])
    loss = F.cross_entropy(scores, wanted, reduction="none", ignore_index=IGNORED)
    faces, others = loss[wanted == 1], loss[wanted == 0]
    return faces.sum() / max(1, len(faces)) + others.topk(len(others) // 10).values.mean()


def crop_loss(net: nn.Module, faces: Tensor, others: Tensor) -> Tensor:
    """The loss of crops, half of them faces, each moved and lit a little differently."""
    batch = train.varied(torch.cat([part[torch.randint(len(part), (32,))] for part in (others, faces)]))
    return F.cross_entropy(net((batch - MEAN) / STD), torch.tensor([0] * 32 + [1] * 32))


def crops(several: list[Picture], rng: np.random.Generator, per_picture: int = 40) -> tuple[Tensor, Tensor]:
    """Crops of whole images: all faces, and random windows without one."""
    faces, others = [], []
    for pixels, places in several:
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (WINDOW, WINDOW))
        tries = rng.integers(SIZE - WINDOW + 1, size=(per_picture, 2))
        faces += [windows[y, x] for y, x in places]
        others += [windows[y, x] for y, x in tries if np.abs(places - (y, x)).max(1).min() > FAR]
    return torch.from_numpy(np.stack(faces))[:, None], torch.from_numpy(np.stack(others))[:, None]


def fit(net: nn.Module, steps: int, rate: float, loss: Callable[[], Tensor]) -> float:
    """Train in place; gives the seconds per step."""
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    net.train()
    started = time.perf_counter()
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        schedule.step()
    net.eval()
    return (time.perf_counter() - started) / steps


def tested(clf: ew.Classifier, several: list[Picture]) -> tuple[float, float]:
    """Average precision of the boxes, and false alarms per image where 9 of 10 faces are found."""
    found: list[tuple[float, bool]] = []
    for pixels, places in several:
        left = list(places)
        for box in ew.scan(clf, pixels, stride=2, progress=False).boxes("face", threshold=0.01):
            near = [at for at, place in enumerate(left) if np.abs(place - box.start).max() <= 6]
            found.append((box.probability, bool(near)))
            if near:
                left.pop(near[0])
    hits = np.array([hit for _, hit in sorted(found, key=lambda pair: -pair[0])], bool)
    right, wrong, total = hits.cumsum(), (~hits).cumsum(), FACES * len(several)
    precision = np.maximum.accumulate((right / (right + wrong))[::-1])[::-1]
    alarms = wrong[right >= 0.9 * total]
    return float((precision * hits).sum()) / total, float(alarms[0]) / len(several) if len(alarms) else float("inf")


def run(seed: int, quick: bool) -> tuple[ew.Classifier, dict[str, tuple[float, float]], tuple[int, float, float]]:
    """Train, convert, fine-tune; gives the classifier, what the tests gave, and windows and seconds of a step."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    first, more, count = (100, 60, 7) if quick else (300, 200, 28)
    faces, nothing = data.labelled_windows()
    faces = rng.permutation(faces)
    shown, held = photographs(held_out=False), photographs(held_out=True)
    whole = [picture(shown[i % len(shown)], faces[:70], rng) for i in range(60)]
    test = [picture(held[i % len(held)], faces[70:], rng) for i in range(count)]

    clf = ew.Classifier(network(), WINDOW, channels=1, mean=MEAN, std=STD, classes=["other", "face"])
    known = [torch.from_numpy(part)[:, None] for part in (faces[:70], nothing)]
    fit(clf.module, first, 2e-3, lambda: crop_loss(clf.module, *known))
    tests = {"trained on the set of crops": tested(clf, test)}

    other = deepcopy(clf)
    cut = crops(whole, rng)
    fit(other.module, more, 1e-3, lambda: crop_loss(other.module, *cut))
    tests["then on crops of whole images"] = tested(other, test)

    fcn = ew.convolutionalize(clf, stride=STRIDE)
    dense = fit(fcn, more, 1e-3, lambda: dense_loss(fcn, [whole[i] for i in rng.integers(len(whole), size=4)], rng))
    fcn.to_classifier(clf)
    tests["then on whole images, all windows"] = tested(clf, test)

    windows = 4 * fcn(normalised([whole[0][0]]))[0, 0].numel()
    batch, none = torch.randn(windows, 1, WINDOW, WINDOW), torch.zeros(windows, dtype=torch.long)
    as_crops = fit(other.module, 5, 1e-3, lambda: F.cross_entropy(other.module(batch), none))
    return clf, tests, (windows, dense, as_crops)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", default="finetuned", help="folder for the classifier, a bundle")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a short training, to see that it works")
    given = parser.parse_args()
    with train.one_thread():  # the same figures on every number of cores
        clf, tests, (windows, dense, as_crops) = run(given.seed, given.quick)
    clf.save(given.out)
    print(f"{'on held-out images':36}{'average precision':>20}{'false alarms per image':>25}")
    for name, (precision, alarms) in tests.items():
        print(f"{name:36}{precision:20.2f}{alarms:25.1f}")
    print(f"{windows} windows a step: {1e3 * dense:.0f} ms in one pass, {1e3 * as_crops:.0f} ms as crops")


if __name__ == "__main__":
    main()
