"""``make counts``: what torch counts is split rightly, and the page says what differs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks import counts
from benchmarks.counts import Row, main, row_of, section, torchs
from benchmarks.section import COUNTS, section_of


class Biased(nn.Module):
    """8×8 windows: a convolution (3·4·36 × 9 mult-adds), a layer (144 × 5), and a bias of 5 × 7 from weights alone.

    ``repeats``: the bias is computed for each window of a batch. ``decides``: values are looked at.
    """

    def __init__(self, repeats: bool = False, decides: bool = False, mixes: bool = False) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(144, 5)
        self.left, self.right = nn.Parameter(torch.ones(1, 5, 7)), nn.Linear(7, 1, bias=False)
        self.repeats, self.decides, self.mixes = repeats, decides, mixes

    def forward(self, image: Tensor) -> Tensor:
        if self.decides:
            assert float(self.left.detach().sum()) > 0
        if self.mixes:
            image = image - image.mean(0)
        left = self.left.expand(image.shape[0], 5, 7) if self.repeats else self.left
        scores: Tensor = self.last(self.conv(image).flatten(1))
        return scores + self.right(left).squeeze(-1)


OURS, BIAS = 36 * 4 * 27 + 144 * 5, 5 * 7


def networks(monkeypatch: pytest.MonkeyPatch, **made: Callable[[], nn.Module]) -> None:
    monkeypatch.setattr(counts, "build", lambda library, name: made[name]().eval())
    monkeypatch.setattr(counts, "smallest_window", lambda module: 8)


def test_the_work_of_a_window_is_told_from_that_on_weights_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    networks(monkeypatch, one=Biased, each=partial(Biased, repeats=True), decides=partial(Biased, decides=True))
    assert torchs("timm", "decides", 8) == (OURS, BIAS)  # with values, which there are none of without memory for them
    assert row_of("timm", "one") == Row("timm", "one", 8, OURS, OURS, BIAS)
    assert row_of("timm", "one").equal
    each = row_of("timm", "each")
    assert (each.ours, each.torchs, each.of_weights) == (OURS, OURS + BIAS, 0)
    assert not each.known


def test_a_network_without_a_count_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(nn.Conv2d):
        def forward(self, *_: Any) -> Tensor:
            raise TypeError("no such thing")

    networks(monkeypatch, mixes=partial(Biased, mixes=True), broken=partial(Broken, 3, 4, 8))
    mixes, broken = row_of("timm", "mixes"), row_of("timm", "broken")
    assert "items of the batch" in mixes.refused
    assert (mixes.equal, mixes.known) == (False, True)
    assert "no such thing" in broken.refused + broken.failed


ROWS = [
    Row("torchvision", "vgg11", 224, 10, 10),
    Row("timm", "biased", 64, 97, 97, of_weights=3),
    Row("timm", "other", 96, 10, 11),
    Row("timm", "mixes", 64, refused="it mixes | windows"),
]


def test_the_page_names_each_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    text = section(ROWS)
    assert "1 network, windows of 224 to 224 pixels: equal for 1 of 1." in text
    assert "3 networks, windows of 64 to 96 pixels: equal for 1 of 2, and 1 network without a count." in text
    assert "`biased` 3 %." in text
    assert "| other | 10 | 11 | **not known** |" in text
    assert "| mixes | none | 0 | it mixes \\| windows |" in text
    monkeypatch.setitem(counts.REASONS, "other", "a reason")
    assert "| other | 10 | 11 | a reason |" in section(ROWS)


def test_kept_rows_are_not_counted_again_and_the_exit_code_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, kept = tmp_path / "cost.md", tmp_path / "kept.jsonl"
    page.write_text("# Cost\n")
    networks(monkeypatch, one=Biased)
    line = ["timm:one", "--kept", str(kept), "--out", str(page)]
    assert main(line) == 0

    def built(*_: Any) -> nn.Module:
        raise AssertionError("counted again")

    monkeypatch.setattr(counts, "row_of", built)
    assert main(line) == 0
    assert capsys.readouterr().out.count("1 of 1 equal") == 2
    assert section_of(page.read_text(), COUNTS).count("timm") == 1
    monkeypatch.undo()
    networks(monkeypatch, each=partial(Biased, repeats=True))
    assert main(["timm:each"]) == 1
