"""The page that explains a network: its content against the records, its safety, and its look in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import everywindow as ew
from everywindow.cli.entry import main

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
NASTY = "<script>alert('a & \"b\"')</script>"


class Tokens(nn.Module):
    """A transformer in small: patches attend to one another, places have an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.place = nn.Parameter(torch.randn(1, 4, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(image).flatten(2).transpose(1, 2) + self.place
        return self.head((tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0])[:, 0])


class Asks(nn.Module):
    """Looks at values, which no capture can follow."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.flatten(1)[:, :2] if image.sum().item() > 0 else image.flatten(1)[:, 2:4]


def lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * 6 * 6, 12),
        nn.ReLU(),
        nn.Linear(12, 4),
    )


def padded() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )


@pytest.fixture(scope="module")
def told() -> ew.Explanation:
    return ew.explain(ew.Classifier(lenet(), 16, classes=["ant", "bee", "cat", "dog"]), image_size=(40, 32), stride=4)


def text_of(page: str) -> str:
    body = page.partition("</style>")[2]
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body.replace("<wbr>", ""))))


def test_numbers_are_those_of_the_cost(told: ew.Explanation) -> None:
    table = ew.cost(lenet(), (40, 32), window=16, stride=4)
    text = text_of(told.html())
    assert f"{table.windows:,} windows of 16×16 px, one every 4×4 px" in text
    assert f"{100 * table.fc_share:.1f} %" in text
    for row in table.rows:
        for macs in row.image_macs.values():
            assert not macs or f" {macs:,} " in text
    for macs in table.macs.values():
        assert f" {macs:,} " in text


def test_what_layers_turn_into(told: ew.Explanation) -> None:
    changes = {layer.layer: (layer.before, layer.after) for layer in told.structure.layers if layer.changed}
    assert changes == {
        "3": ("Flatten()", ""),
        "4": (
            "Linear(216, 12)",
            "Conv2d(6, 12, kernel_size=(6, 6), stride=(2, 2))",
        ),  # every 4 pixels, of a map that has every 2
        "6": ("Linear(12, 4)", "Conv2d(12, 4, kernel_size=(1, 1))"),
    }
    text = text_of(told.html())
    assert all(words in text for change in changes.values() for words in change)


def test_verdict_in_words(told: ew.Explanation) -> None:
    assert "One pass equals the crops" in text_of(told.html())
    page = text_of(ew.explain(padded(), 40, window=16).html())
    verdict = ew.convolutionalize(padded(), window=16).verdict
    assert "One pass differs from the crops" in page
    assert all(f"{reason.layer}: {reason.why}" in page for reason in verdict.reasons)
    assert "AvgPool2d(kernel_size=(16, 16))" in page
    assert "1 + 1 at the ends" in page
    assert "2 + 2 at the ends" in page


def test_a_network_without_conversion_is_explained_too() -> None:
    net = Tokens().eval()
    with pytest.raises(ew.ConversionError) as refused:
        ew.convolutionalize(net, window=8)
    told = ew.explain(net, 24, window=8, stride=4)
    assert told.structure.refusal is not None
    text = text_of(told.html())
    assert "There is no single pass for this network" in text
    assert f"{refused.value.what}: {refused.value.why}" in text
    assert list(told.cost.macs) == ["crops", "exact"]
    assert "Linear(8, 3)" in text


def test_a_network_that_cannot_be_captured_is_an_error() -> None:
    with pytest.raises(ew.ConversionError):
        ew.explain(Asks(), 24, window=8, stride=4)


def test_image_of_the_usual_size() -> None:
    net = nn.Sequential(nn.Conv1d(2, 3, 9, stride=3), nn.Flatten(), nn.Linear(3 * 98, 2))
    assert ew.explain(net, window=301, stride=30).cost.image_size == (602,)


def test_names_are_escaped() -> None:
    layers = nn.ModuleDict({NASTY.replace(".", ""): nn.Conv2d(3, 2, 3)})
    net = nn.Sequential(nn.Sequential(), nn.Flatten())
    net[0].add_module(next(iter(layers)), layers[next(iter(layers))])
    clf = ew.Classifier(net, 4, classes=[NASTY, *"1234567"])
    page = ew.explain(clf, 12)._repr_html_()
    inside = unescape(page.partition('srcdoc="')[2].partition('" style')[0])
    for markup in (page, inside):
        assert "<script" not in markup
    assert unescape(inside.replace("<wbr>", "")).count(NASTY) > 2  # as a class, and as a layer in every section


def test_page_needs_nothing_else(told: ew.Explanation) -> None:
    page = told.html()
    assert not re.search(r"https?:|\bsrc=|\bhref=|@import|url\(|<script|<link", page)


def test_long_networks_stay_readable() -> None:
    deep = nn.Sequential(*[nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(5)]) for _ in range(9)])
    flat = nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(42)], nn.Flatten())
    for net, blocks in ((nn.Sequential(deep, nn.Flatten()), 9), (flat, 21)):
        page = ew.explain(net, 12, window=4).html()
        assert page.partition('class="blocks"')[2].partition("</ul>")[0].count("<li>") == blocks + 1


def test_saving(told: ew.Explanation, tmp_path: Path) -> None:
    assert told.save(tmp_path / "a" / "page.html").read_text(encoding="utf-8") == told.html()
    with pytest.raises(ew.InputError, match="is a folder"):
        told.save(tmp_path)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ew.Classifier(lenet(), 16, mean=[0.5] * 3, std=[0.5] * 3).save(tmp_path / "bundle")
    page = tmp_path / "page.html"
    assert main(["explain", str(tmp_path / "bundle"), "--image-size", "40,32", "--out", str(page), "--json"]) == 0
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert record["cost"]["image_size"] == [40, 32]
    assert record["exact"] is True
    assert str(page) in printed.err
    assert "One pass equals the crops" in page.read_text(encoding="utf-8")
    assert main(["explain", str(tmp_path / "bundle"), "--out", str(tmp_path / "bundle")]) == 1
    assert "is the model itself" in capsys.readouterr().err


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium (Debian's package chromium)")
@pytest.mark.parametrize("width", [1200, 390])
def test_in_a_browser(told: ew.Explanation, tmp_path: Path, width: int) -> None:
    """The page fits into a frame of the width of a screen, and shows."""
    told.save(tmp_path / "page.html")
    # Windows of a headless browser have a least width; a frame has none.
    (tmp_path / "frame.html").write_text(
        f'<body style="margin: 0"><iframe src="page.html" style="border: 0; width: {width}px; height: 900px"></iframe>'
        "<script>const frame = document.querySelector('iframe'); frame.onload = () => {"
        " const root = frame.contentDocument.documentElement;"
        " document.body.dataset.measured = root.clientWidth + ',' + root.scrollWidth; };</script>"
    )
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    options += ["--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,900"]
    shot = tmp_path / "shot.png"
    found = subprocess.run(
        [
            str(BROWSER),
            *options,
            "--virtual-time-budget=5000",
            "--dump-dom",
            f"--screenshot={shot}",
            (tmp_path / "frame.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    measured = re.search(r'data-measured="(\d+),(\d+)"', found.stdout)
    assert measured is not None
    assert int(measured[1]) == int(measured[2]) == width
    with Image.open(shot) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}
    assert {(255, 255, 255), (46, 125, 91), (79, 131, 173)} <= colours  # paper, the verdict's green, a convolution


@pytest.mark.parametrize("axes", [1, 3])
def test_the_usual_image_of_volumes_and_recordings_is_twice_the_window(axes: int) -> None:
    kind = {1: nn.Conv1d, 3: nn.Conv3d}[axes]
    net = nn.Sequential(kind(1, 2, 3), nn.Flatten(), nn.Linear(2 * 6**axes, 2))
    told = ew.explain(ew.Classifier(net, window=(8,) * axes, channels=1))
    assert told.cost.image_size == (16,) * axes


def test_modes_are_read_on_a_narrow_screen_beside_their_names() -> None:
    """Nothing of the table of modes is cut: each value stands beside the name of its column."""
    page = ew.explain(ew.Classifier(lenet(), 16), image_size=20).html()
    (table,) = re.findall(r"<table class=cards>.*?</table>", page)
    assert 'data-name="memory"' in table
    assert table.count("<td") == 5 * 3


def test_what_blocks_stand_for_is_said() -> None:
    page = ew.explain(ew.Classifier(lenet(), 16), image_size=20).html()
    assert "not to scale, but by square roots" in page.replace("\n", " ")
    assert "<span>3×16×16</span>" in page
