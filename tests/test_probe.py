"""What ``ew.probe`` measures, on networks of which it is known, and against plain NumPy."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import everywindow as ew
from everywindow.errors import InputError
from everywindow.probing.fields import field_of, margins
from everywindow.probing.padding import tiled

RIGHT = 1e-12
QUICK: dict[str, Any] = {"shifts": (1, 2), "angles": (90,), "zooms": (0.8,)}


def classified(*layers: nn.Module, window: int = 24, channels: int = 1) -> nn.Module:
    """Layers with a fully connected layer behind them, in double precision."""
    body = nn.Sequential(*layers).double().eval()
    features = body(torch.zeros(1, channels, window, window, dtype=torch.float64)).numel()
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(features, 3)).double().eval()


def image(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def by_layer(found: ew.Probe) -> dict[str, Any]:
    return {row.layer: row for row in found.layers}


def test_without_padding_maps_move_with_the_image() -> None:
    net = classified(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 4))
    found = ew.probe(net, image(1, 60, 60), window=24, **QUICK)
    assert [row.layer for row in found.layers] == ["0", "2"]
    for row in found.layers:
        assert row.interior is not None
        assert row.interior <= RIGHT
        assert row.everywhere <= RIGHT
        assert row.one_pixel <= RIGHT
        assert row.shift == (1, 1)
        assert row.says(found.tolerance) == "everywhere"
    assert [row.sees for row in found.layers] == [(3, 3), (6, 6)]
    assert all(row.reached == row.share == 0 and row.largest <= RIGHT for row in found.places)


def test_padding_shows_at_the_border_alone() -> None:
    net = classified(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 5, padding=2))
    found = ew.probe(net, image(1, 60, 60), window=24, **QUICK)
    for row in found.layers:
        assert row.interior is not None
        assert row.interior <= RIGHT
        assert row.everywhere > 0.05
        assert row.says(found.tolerance) == "but for the border"
    first, second = found.places
    assert first.reached == pytest.approx(1 - (22 / 24) ** 2)
    assert second.reached == pytest.approx(1 - (18 / 24) ** 2)
    for place in found.places:
        assert place.share == pytest.approx(place.reached)  # all that padding may reach, and nothing else
        assert place.places.shape == (24, 24)
        assert place.places[3:-3, 3:-3].max() <= RIGHT < place.mean < place.largest


def test_strided_layers_move_in_steps_alone() -> None:
    net = classified(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.MaxPool2d(3, 3))
    found = by_layer(ew.probe(net, image(1, 60, 60), window=25 + 2, **QUICK))
    assert {name: row.shift for name, row in found.items()} == {"0": (2, 2), "2": (2, 2), "3": (6, 6)}
    assert all(row.everywhere <= RIGHT < 0.05 < row.one_pixel for row in found.values())
    assert found["3"].says(RIGHT) == "everywhere, in steps of 6 px"


def test_upsampling_keeps_the_step() -> None:
    """Its positions lie one pixel apart, and yet it moves by two only."""
    net = classified(nn.Conv2d(1, 4, 2, stride=2), nn.Upsample(scale_factor=2), nn.Conv2d(4, 2, 3))
    found = by_layer(ew.probe(net, image(1, 60, 60), window=24, **QUICK))
    last = found["2"]
    assert last.positions == (22, 22)
    assert last.shift == (2, 2)
    assert last.interior is not None
    assert last.interior <= RIGHT < 0.05 < last.one_pixel


def test_axes_of_different_steps() -> None:
    net = classified(nn.Conv2d(1, 4, (3, 4), stride=(1, 3), padding=(1, 0)))
    (row,) = ew.probe(net, image(1, 60, 60), window=24, **QUICK).layers
    assert row.shift == (1, 3)
    assert row.interior is not None
    assert row.interior <= RIGHT < 0.01 < row.everywhere


def test_a_layer_that_is_not_equivariant_is_seen() -> None:
    """Its code is captured as it is; what it does depends on the place."""

    class Slanted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.linspace(0, 3, x.shape[-1], dtype=x.dtype)

    found = ew.probe(classified(nn.Conv2d(1, 4, 3), Slanted(), nn.Conv2d(4, 2, 3)), image(1, 60, 60), 24, **QUICK)
    last = found.layers[-1]
    assert last.interior is None
    assert last.everywhere > 0.01
    assert last.says(found.tolerance) == "no: all of it depends on the window's borders"
    assert found.places[-1].share > 0.7


def test_layouts_with_channels_last() -> None:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(4, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.mix(x.permute(0, 2, 3, 1))

    class Back(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.permute(0, 3, 1, 2)

    net = classified(nn.Conv2d(1, 4, 3), Linear(), Back(), nn.Conv2d(6, 2, 3))
    found = by_layer(ew.probe(net, image(1, 60, 60), window=24, **QUICK))
    assert set(found) == {"0", "1.mix", "3"}
    assert all(row.everywhere <= RIGHT for row in found.values())


def plain_shift(values: np.ndarray, kernel: int, stride: int) -> dict[str, tuple[float, float]]:
    """Share of unchanged outputs and mean change over the deviation, both axes, output by output."""
    found: dict[str, list[tuple[float, float]]] = {"inputs": [], "max": [], "mean": []}
    for axis in (0, 1):
        here, there = (np.take(values, range(at, values.shape[1 + axis] - 1 + at), 1 + axis) for at in (0, 1))
        found["inputs"].append(measures(here, there))
        for name, pool in (("max", np.max), ("mean", np.mean)):
            found[name].append(measures(*(pooled(one, kernel, stride, pool) for one in (here, there))))
    return {name: tuple(np.mean(each, axis=0)) for name, each in found.items()}


def pooled(values: np.ndarray, kernel: int, stride: int, pool: Any) -> np.ndarray:
    channels, rows, cols = values.shape
    out = np.empty((channels, (rows - kernel) // stride + 1, (cols - kernel) // stride + 1))
    for c, i, j in product(*map(range, out.shape)):
        out[c, i, j] = pool(values[c, i * stride : i * stride + kernel, j * stride : j * stride + kernel])
    return out


def measures(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    deviation = np.sqrt(np.mean([np.var(channel) for channel in before]))
    return float(np.mean(before == after)), float(np.mean(np.abs(after - before)) / deviation)


def test_poolings_against_plain_numpy() -> None:
    whole = torch.randint(0, 5, (1, 60, 60), generator=torch.Generator().manual_seed(3)).double() * 4
    convolution = nn.Conv2d(1, 3, 3, padding=1, bias=False)
    convolution.weight.data = torch.randint(-1, 2, (3, 1, 3, 3)).float()
    net = classified(convolution, nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), nn.AvgPool2d(2))
    found = {row.layer if row.own else row.kernel[0]: row for row in ew.probe(net, whole, window=24, **QUICK).pools}
    assert [(row.own, row.kernel, row.stride) for row in found.values()] == [
        ("", (2, 2), (2, 2)),
        ("", (3, 3), (2, 2)),
        ("max", (3, 3), (2, 2)),
        ("mean", (2, 2), (2, 2)),
    ]
    window = whole[:, 18:42, 18:42]
    maps = {2: window, 3: window, "2": net[:2](window[None])[0], "3": net[:3](window[None])[0]}
    for key, values in maps.items():
        row, kernel = found[key], found[key].kernel[0]
        expected = plain_shift(values.detach().numpy(), kernel, 2)
        assert (row.inputs_unchanged, row.inputs_change) == pytest.approx(expected["inputs"])
        assert (row.max_unchanged, row.max_change) == pytest.approx(expected["max"])
        assert (row.mean_unchanged, row.mean_change) == pytest.approx(expected["mean"])


def test_both_measures_rank_the_poolings_differently_on_a_photograph() -> None:
    """By unchanged outputs max pooling holds better, by relative change mean pooling."""
    data = pytest.importorskip("skimage.data")
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for row in ew.probe(ew.Classifier(net, 224, mean=0, std=1), data.chelsea(), **QUICK).pools:
        assert row.max_unchanged > 1.5 * row.mean_unchanged
        assert row.mean_change < row.max_change


class Circular(nn.Module):
    """A convolution around a torus, and the mean: no shift around the torus changes it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1, padding_mode="circular")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).relu().mean((2, 3))


def test_a_global_mean_is_invariant_to_circular_shifts() -> None:
    """The image repeats with the window, so that what moves out on one side comes in on the other."""
    window = image(1, 12, 12)
    found = ew.probe(Circular().double(), window.repeat(1, 5, 5), window=12, shifts=range(1, 13), angles=(), zooms=())
    assert len(found.answers) == 13
    assert all(
        row.agreement == 1 and row.probability == pytest.approx(found.top[0][1], abs=1e-12) for row in found.answers
    )
    other = ew.probe(Circular().double(), image(1, 60, 60), window=12, shifts=(5,), angles=(), zooms=())
    assert abs(other.answers[1].probability - other.answers[0].probability) > 1e-6


def test_a_mean_of_turned_copies_is_invariant_to_quarter_turns() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3))

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([self.body(x.rot90(turn, (2, 3))).amax((2, 3)) for turn in range(4)]).amax(0)

    found = ew.probe(Turned().double(), image(1, 60, 60), window=12, shifts=(), angles=(45, 90, 180), zooms=())
    none, half, quarter, straight = found.curve("rotation")
    assert [row.amount for row in found.curve("rotation")] == [0, 45, 90, 180]
    assert quarter.probability == pytest.approx(none.probability, abs=1e-12)
    assert straight.probability == pytest.approx(none.probability, abs=1e-12)
    assert abs(half.probability - none.probability) > 1e-6


def test_filters_shared_over_rotations_are_invariant_to_quarter_turns() -> None:
    layers: Any = pytest.importorskip("everywindow.layers")
    turning = [layers.RotatedFilterConv(1, 6, 5, rotations=4), layers.ChannelGroupMax(6), nn.AdaptiveMaxPool2d(1)]
    usual = [nn.Conv2d(1, 6, 5), nn.AdaptiveMaxPool2d(1)]
    for body, invariant in ((turning, True), (usual, False)):
        clf = ew.Classifier(classified(*body, window=20), 20, channels=1)
        found = ew.probe(clf, image(1, 60, 60), shifts=(), angles=(90, 180), zooms=()).answers
        apart = max(abs(row.probability - found[0].probability) for row in found)
        assert (apart <= RIGHT) == invariant


def test_the_answers_against_views_that_were_cut_by_hand() -> None:
    net, whole = classified(nn.Conv2d(1, 4, 3), nn.ReLU(), window=12), image(1, 50, 50)
    found = ew.probe(net, whole, window=12, shifts=(3,), angles=(90,), zooms=())
    base, *moved = (
        whole[:, 19 - down : 31 - down, 19 - right : 31 - right]
        for down, right in [(0, 0), (3, 0), (-3, 0), (0, 3), (0, -3)]
    )
    first = int(net(base[None]).argmax())
    for kind, views in (("shift", moved), ("rotation", [base.rot90(1, (1, 2)), base.rot90(-1, (1, 2))])):
        _, row = found.curve(kind)
        scores = net(torch.stack(list(views))).detach().softmax(1)
        assert row.probability == pytest.approx(float(scores[:, first].mean()))
        assert row.agreement == pytest.approx(float((scores.argmax(1) == first).double().mean()))


def test_a_single_score_is_a_yes_or_a_no() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 12)).double()
    found = ew.probe(net, image(1, 50, 50), window=12, **QUICK)
    assert found.activation == "sigmoid"
    assert found.top[0][0] in (0, 1)
    assert found.top[0][1] >= 0.5
    assert all(0 <= row.probability <= 1 for row in found.answers)


def test_turned_and_resized_views() -> None:
    """A smooth image, so that sampling it between pixels is right to a few thousandths."""
    rows, cols = torch.meshgrid(torch.arange(80.0), torch.arange(80.0), indexing="ij")
    wave = torch.sin((rows - 39.5) / 9 + 0.4) * torch.cos((cols - 39.5) / 7)
    view = field_of(wave[None].double(), (32, 32), (20, 20))
    assert torch.equal(view.turned(90), view.middle.rot90(1, (1, 2)))
    assert torch.allclose(view.turned(89.999), view.turned(90), atol=1e-2)
    assert not torch.allclose(view.turned(-89.999), view.turned(90), atol=0.1)
    y, x = rows[24:56, 24:56] - 39.5, cols[24:56, 24:56] - 39.5
    larger = torch.sin(y / 1.25 / 9 + 0.4) * torch.cos(x / 1.25 / 7)
    assert torch.allclose(view.resized(1.25)[0], larger.double(), atol=1e-2)
    assert torch.equal(view.at((3, -2)), wave[None, 21:53, 26:58].double())


def test_small_images_are_mirrored_and_it_is_said() -> None:
    view = field_of(torch.arange(5.0)[None], (3,), (4,))
    assert view.pixels.tolist() == [[3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1]]
    assert view.mirrored
    assert field_of(torch.ones(1, 1), (1,), (2,)).pixels.tolist() == [[1] * 5]
    assert margins((24,), 6, (), (0.5,)) == (13,)
    found = ew.probe(classified(nn.Conv2d(1, 4, 3)), [image(1, 24, 24), image(1, 60, 60)], window=24, **QUICK)
    assert any(note.startswith("1 of 2 images mirrored") for note in found.notes)


def test_a_place_in_the_image_as_it_is_given() -> None:
    pixels = image(1, 60, 60)
    assert torch.equal(field_of(pixels, (24, 24), (2, 2), (20.0, 41.0)).middle, pixels[:, 8:32, 29:53])
    assert torch.equal(field_of(pixels, (24, 24), (2, 2), (1.0, 59.0)).middle, pixels[:, :24, 36:])
    net = classified(nn.Conv2d(1, 4, 3))
    scores = net(pixels[None, :, 8:32, 29:53]).detach().softmax(1)
    found = ew.probe(net, pixels, window=24, at=(20, 41), **QUICK)
    assert found.top == ((int(scores.argmax()), pytest.approx(float(scores.max()))),)
    large = np.kron(np.arange(60 * 60).reshape(60, 60) % 251, np.ones((2, 2))).astype(np.uint8)
    clf = ew.Classifier(net, 24, mean=0, std=1)
    small, resized = (
        ew.probe(clf, each, at=at, scale=scale, **QUICK).pictures[0]
        for each, at, scale in ((large[::2, ::2], (20, 41), None), (large, (40, 82), 0.5))
    )
    assert np.abs(small - resized).mean() < 0.5 * np.abs(small - small.mean()).mean()
    with pytest.raises(InputError, match="outside of an image of 60×60"):
        ew.probe(net, pixels, window=24, at=(20, 61), **QUICK)


def test_a_patch_repeats_over_the_window() -> None:
    repeated = tiled(torch.arange(11.0)[None], (4,))[0]
    assert torch.equal(repeated[:-4], repeated[4:])
    assert len(set(repeated.tolist())) == 4


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (nn.Sequential(nn.Conv1d(2, 3, 5, 2, 2), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(24, 3)), (2, 90)),
        (
            nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.MaxPool3d(4), nn.Flatten(), nn.Linear(1024, 2)),
            (1, 50, 49, 52),
        ),
    ],
    ids=["1-D", "3-D"],
)
def test_recordings_and_volumes(net: nn.Module, shape: tuple[int, ...]) -> None:
    axes = len(shape) - 1
    found = ew.probe(net.double(), image(*shape), window=32, **QUICK)
    assert bool(found.curve("rotation")) == (axes > 1)
    assert any("rotations" in note for note in found.notes)
    assert all(row.interior is not None and row.interior <= RIGHT < row.everywhere for row in found.layers)
    assert len(found.pools) == 3
    assert found.curve("scale")
    found.plot()


def test_a_network_that_cannot_be_captured_still_has_answers() -> None:
    class Asks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            features = self.conv(x)
            return features.mean((2, 3)) if float(features.mean()) > 0 else features.amax((2, 3))

    found = ew.probe(Asks(), image(1, 40, 40).float(), window=16, **QUICK)
    assert found.layers == found.places == ()
    assert len(found.answers) == 7
    assert {row.layer for row in found.pools} == {"image"}
    assert any("has no graph" in note for note in found.notes)
    found.plot()
    assert "not measured" in repr(found)


def test_attention_has_no_interior_and_it_is_said() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(1, 8, 4, stride=4)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.patches(x).flatten(2).transpose(1, 2)
            return self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1)

    found = ew.probe(Tokens(), image(1, 40, 40).float(), window=16, **QUICK)
    patches, attention = found.layers
    assert patches.interior is not None
    assert patches.says(found.tolerance) == "everywhere, in steps of 4 px"
    assert attention.interior is None
    assert attention.says(found.tolerance) == "no: it sees the whole window"
    assert [(row.reached, row.share) for row in found.places] == [(0, 0), (1, 0)]  # a patch that repeats is alike to it
    assert any("from here on: attention" in note for note in found.notes)


def test_noise_is_the_same_for_the_same_seed_and_is_said() -> None:
    net = classified(nn.Conv2d(1, 4, 3))
    one, same, other = (ew.probe(net, window=24, seed=seed, **QUICK) for seed in (0, 0, 1))
    assert (one.source, one.images) == ("noise", 4)
    assert one == same != other
    assert "noise" in repr(one).splitlines()[0]
    assert any("no images were given" in note for note in one.notes)


def test_the_record(tmp_path: Path) -> None:
    net = classified(nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2))
    found = ew.probe(net, image(1, 60, 60), window=24, **QUICK)
    with pytest.raises(FrozenInstanceError):
        found.images = 2  # type: ignore[misc]
    text = repr(found)
    for heading in ("The answer", "Layers under shifts", "Max against mean pooling", "What padding tells"):
        assert heading in text
    told = json.loads(found.save(tmp_path / "probe.json").read_text())
    assert told == json.loads(json.dumps(found.as_dict()))
    assert [row["layer"] for row in told["layers"]] == ["0", "1"]
    assert set(told["places"][0]) == {"layer", "kind", "reached", "share", "largest", "mean"}
    with Image.open(found.save(tmp_path / "probe.png")) as picture:
        assert picture.width > 1000
    page = found.save(tmp_path / "probe.html").read_text()
    assert page.count("<section") == 6
    assert "data:image/png;base64," in page
    assert "<script" not in page
    assert "<table" in found._repr_html_()
    with pytest.raises(InputError, match="not a kind of report"):
        found.save(tmp_path / "probe.docx")
    with pytest.raises(InputError, match="none of shift"):
        found.curve("blur")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"shifts": (0,)}, "shifts: .*whole pixels"),
        ({"shifts": (1.5,)}, "shifts: .*whole pixels"),
        ({"shifts": "12"}, "shifts: .*no list of numbers"),
        ({"angles": (200,)}, "angles: .*180 degrees"),
        ({"angles": (float("nan"),)}, "angles: .*no list of numbers"),
        ({"zooms": (0,)}, "zooms: .*0.1 to 10"),
        ({"seed": 1.5}, "seed: "),
        ({"at": (3,)}, "at: .*2 numbers"),
        ({"at": "3,4"}, "at: .*2 numbers"),
        ({"image": []}, "the list is empty"),
        ({"image": torch.zeros(1, 8, 8)}, "smaller than the window"),
        ({"output": 3}, "output"),
    ],
)
def test_what_cannot_be_used_is_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        ew.probe(classified(nn.Conv2d(1, 4, 3)), **{"window": 24, **wrong})


def test_as_many_names_as_scores() -> None:
    clf = ew.Classifier(classified(nn.Conv2d(1, 4, 3)), 24, classes=["one", "two"])
    with pytest.raises(InputError, match="2 names for 3 scores"):
        ew.probe(clf, **QUICK)


def test_the_network_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 22 * 22, 3)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    ew.probe(net, window=24, **QUICK)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
