"""What ``ew.cost`` says, against runs that are counted, torch's own counter and a published table."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import everywindow as ew
from everywindow import costing
from everywindow.costing import LayerCost
from everywindow.engines import mode_costs, prepare
from everywindow.engines.calibrate import calibrated
from everywindow.engines.rates import Rates, rates_for
from everywindow.errors import InputError
from everywindow.geometry import WindowGrid
from everywindow.sharing import build, constants
from exactly import captured_network

WHOLE = ("alexnet", "resnet18", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5")
LARGER = ("regnet_y_400mf", "convnext_tiny", "mnasnet0_5", "efficientnet_b0")
SMALL: dict[str, dict[str, Any]] = {
    "DenseNet": {"growth_rate": 8, "block_config": (2, 2), "num_init_features": 8},
    "VisionTransformer": {
        "image_size": 64,
        "patch_size": 16,
        "num_layers": 2,
        "num_heads": 4,
        "hidden_dim": 32,
        "mlp_dim": 64,
    },
    "SwinTransformer": {"patch_size": [4, 4], "embed_dim": 8, "depths": [2], "num_heads": [2], "window_size": [4, 4]},
}
"""Networks of torchvision; of the larger families small members. ``make counts`` takes all of them as they are."""


class Branches(nn.Module):
    """A wide and a narrow branch that are put side by side, and one that is added."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, stride=2, padding=1)
        self.wide = nn.Conv2d(4, 4, (7, 5), padding=(3, 2))
        self.narrow = nn.Conv2d(4, 4, 1)
        self.pool = nn.AvgPool2d(3, 1, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        both = torch.cat([self.wide(x), self.pool(self.narrow(x)) + x], 1)
        return self.head(both.mean((2, 3)))


def flat(padding: int = 0) -> nn.Module:
    """A small network like the classic ones."""
    side = 5 + 2 * padding
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=padding),
        nn.Flatten(),
        nn.Linear(6 * side**2 if not padding else 6 * 8 * 8, 7),
        nn.ReLU(),
        nn.Linear(7, 3),
    )


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "unpadded": (flat, 16, 2),
    "padded": (lambda: flat(1), 16, 2),
    "padded, coarse": (lambda: flat(1), 16, 6),
    "padded, fine": (lambda: flat(1), 16, 1),
    "branches": (Branches, 16, 4),
    "depthwise": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3, 2, 1, groups=2),
            nn.Conv2d(6, 6, 3, 1, 1, groups=6),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        15,
        2,
    ),
}


def counted(run: Callable[[], Any]) -> int:
    """Mult-adds that torch counts while something runs."""
    with FlopCounterMode(display=False) as counter:
        run()
    flops: int = counter.get_total_flops()
    return flops // 2


class Steps(nn.Module):
    """The rows of a window one after the other through a recurrent layer, then a fully connected one."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.layer, self.last = layer, nn.Linear(width, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.last(self.layer(image.flatten(1, 2))[0][:, -1])
        return scores


@pytest.mark.parametrize(
    ("layer", "width"),
    [
        (lambda: nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True), 10),
        (lambda: nn.LSTM(6, 5, proj_size=2, batch_first=True), 2),
        (lambda: nn.GRU(6, 5, bias=False, batch_first=True), 5),
        (lambda: nn.RNN(6, 5, batch_first=True), 5),
    ],
    ids=["lstm", "projected", "gru", "rnn"],
)
def test_recurrent_layers_are_counted_step_by_step(layer: Callable[[], nn.Module], width: int) -> None:
    net = Steps(layer(), width).eval()
    cost = ew.cost(ew.Classifier(net, window=6, channels=2), 6, predict=False, advise=False)
    with torch.no_grad(), torch.device("meta"):
        meta = Steps(layer(), width).eval()
        assert cost.macs["crops"] == counted(lambda: meta(torch.zeros(1, 2, 6, 6)))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_mode_takes_the_mult_adds_that_are_counted_while_it_runs(name: str) -> None:
    make, window, stride = NETWORKS[name]
    net = make().double().eval()
    image = torch.randn(2, 33, 41).double()
    cost = ew.cost(ew.Classifier(net, window=window, channels=2), (33, 41), stride=stride, predict=False)
    grid = WindowGrid((33, 41), (window,) * 2, (stride,) * 2)
    crops = torch.stack([image[:, y : y + window, x : x + window] for y, x in grid.positions()])
    fcn = ew.convolutionalize(net, window=window, stride=stride, channels=2).eval()
    program = build(captured_network(net, (window,) * 2, 2), grid.counts, grid.stride)
    places = torch.cartesian_prod(*(torch.arange(count) for count in grid.counts))
    with torch.inference_mode():
        weights = program.constants(constants(program.network))
        ran = {
            "crops": counted(lambda: net(crops)),
            "fcn": counted(lambda: fcn(image[None])),
            "exact": counted(lambda: program.scored(program.shared(image, weights), weights, places)),
        }
    assert cost.macs == ran
    assert cost.windows == len(crops)
    for mode, macs in ran.items():
        assert sum(row.image_macs[mode] for row in cost.rows) == macs
        planned = cost.modes[mode].planned_macs
        assert planned is not None
        assert planned == macs or (mode == "fcn" and 0.9 * macs < planned < macs)  # no pixels that no window covers


@pytest.mark.parametrize("name", [*WHOLE, *LARGER, *SMALL])
def test_a_window_takes_what_torch_counts(name: str) -> None:
    from torchvision import models

    net: nn.Module = getattr(models, name)(**SMALL.get(name, {})).eval()
    cost = ew.cost(net, 64, window=64, predict=False, advise=False)
    assert sum(row.macs for row in cost.rows) == cost.macs["crops"] == cost.macs["exact"]
    with torch.no_grad():
        assert cost.macs["crops"] == counted(lambda: net.to("meta")(torch.zeros(1, 3, 64, 64, device="meta")))
    assert cost.params == sum(weight.numel() for weight in net.parameters())


def test_predictions_are_those_of_the_plan() -> None:
    net = NETWORKS["padded"][0]().eval()
    clf = ew.Classifier(net, window=16, channels=2)
    cost = ew.cost(clf, 64, stride=2, predict=True, memory="1GiB")
    assert all(mode.seconds and mode.peak_bytes for mode in cost.modes.values())
    assert cost.speed_up("crops") == 1
    assert cost.speed_up("exact") == cost.modes["crops"].seconds / cost.modes["exact"].seconds  # type: ignore[operator]
    for mode in ("crops", "fcn", "exact"):
        plan = ew.scan(clf, torch.randn(2, 64, 64), stride=2, mode=mode, memory="1GiB").plan
        assert plan is not None
        assert plan.engine == cost.modes[mode].engine
        assert plan.macs == cost.modes[mode].planned_macs
        if mode == "exact":
            assert plan.predicted_seconds == pytest.approx(cost.modes[mode].seconds)


def test_counting_measures_no_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVERYWINDOW_CACHE", str(tmp_path))
    monkeypatch.setattr("everywindow.engines.rates.calibrated", lambda *_: pytest.fail("the device was measured"))
    cost = ew.cost(ew.Classifier(flat(), window=16, channels=2), 40)
    assert not cost.predicted
    assert cost.speed_up("fcn") is None
    assert "predict=True" in str(cost)
    assert {mode.seconds for mode in cost.modes.values()} == {None}


def test_little_memory_cuts_the_image_and_less_is_told() -> None:
    clf = ew.Classifier(flat(1), window=16, channels=2)
    whole = ew.cost(clf, 64, stride=2, predict=False, memory="1GiB").modes
    little = ew.cost(clf, 64, stride=2, predict=False, memory="150kB").modes
    for mode in ("fcn", "exact"):
        assert (whole[mode].planned_macs or 0) < (little[mode].planned_macs or 0)
        assert (little[mode].peak_bytes or 0) <= 150_000
        assert whole[mode].macs == little[mode].macs


def test_memory_for_no_window_at_all_is_the_error_of_a_scan() -> None:
    clf = ew.Classifier(flat(1), window=16, channels=2)
    with pytest.raises(InputError, match="that a window of 16×16 takes; give a larger memory=") as scanned:
        ew.scan(clf, torch.randn(2, 64, 64), stride=2, memory=1000)
    for predict in (False, True):
        with pytest.raises(InputError) as priced:
            ew.cost(clf, 64, stride=2, predict=predict, memory=1000)
        assert str(priced.value) == str(scanned.value)


def test_memory_for_single_windows_alone_is_the_reason_not_to_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everywindow.engines.forecast._batches", lambda *_: None)
    exact = ew.cost(ew.Classifier(flat(1), window=16, channels=2), 64, stride=2, predict=True).modes["exact"]
    assert (exact.engine, exact.reason) == ("crops", "windows one by one: the memory is too small to share anything")


def test_an_image_that_is_only_thought_of_is_made_larger_by_its_size() -> None:
    clf = ew.Classifier(flat(1), window=16, channels=2)
    with pytest.raises(
        InputError, match="image_size: 16×10 pixels are smaller than the window of 16×16; give a larger"
    ):
        ew.cost(clf, (16, 10))
    with pytest.raises(InputError, match="stride: 50×50 pixels are more than the image of 40×40 has; give a smaller"):
        ew.cost(clf, 40, stride=50)


def test_mode_costs_are_for_other_callers_too() -> None:
    prepared = prepare(flat(1).eval(), (16, 16), 2)
    found = mode_costs(prepared, WindowGrid((40, 40), (16, 16), (4, 4)), limit=2**30, predict=False)
    assert list(found) == ["crops", "fcn", "exact"]
    assert found["crops"].macs > found["exact"].macs > found["fcn"].macs


def row(rows: Sequence[LayerCost], layer: str) -> LayerCost:
    return next(one for one in rows if one.layer == layer)


def test_branches_see_the_union() -> None:
    rows = ew.cost(ew.Classifier(Branches(), window=16, channels=2), 32, predict=False, advise=False).rows
    assert row(rows, "stem").receptive_field == (3, 3)
    assert row(rows, "wide").receptive_field == (3 + 2 * 6, 3 + 2 * 4)
    assert row(rows, "wide").padding == (1 + 2 * 3, 1 + 2 * 2)
    assert row(rows, "narrow").receptive_field == (3, 3)
    assert row(rows, "pool").receptive_field == (7, 7)
    joined = next(one for one in rows if one.kind == "cat")
    assert joined.receptive_field == (15, 11)
    assert joined.padding == (7, 5)
    assert joined.network_stride == (2, 2)
    assert joined.reach == ((4, 3), (3, 2))
    assert row(rows, "head").reach == (None, None)


def test_poolings_count_comparisons_and_additions() -> None:
    net = nn.Sequential(
        nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2), nn.AdaptiveMaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    rows = ew.cost(ew.Classifier(net, window=16, channels=3), 16, predict=False, advise=False).rows
    assert [(one.comparisons, one.additions, one.macs) for one in rows] == [
        (3 * 8 * 8 * 9, 0, 0),
        (0, 3 * 4 * 4 * 4, 0),
        (3 * 4 * 4, 0, 0),
        (0, 3 * 2 * 2, 0),
    ]
    assert {one.family for one in rows} == {"pool"}


def test_unequal_bins_overlap() -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool1d(3), nn.Flatten())
    (only,) = ew.cost(ew.Classifier(net, window=(7,), channels=2), 7, predict=False, advise=False).rows
    pooled = [len(range(i * 7 // 3, -(-(i + 1) * 7 // 3))) for i in range(3)]
    assert only.additions == 2 * sum(pooled)


@pytest.mark.parametrize(("name", "share"), [("alexnet", 0.960), ("vgg16", 0.894)])
def test_fully_connected_layers_hold_most_parameters_of_classic_networks(name: str, share: float) -> None:
    from torchvision import models

    with torch.device("meta"):
        net = models.get_model(name)
    linear = sum(w.numel() for m in net.modules() if isinstance(m, nn.Linear) for w in m.parameters())
    assert linear / sum(w.numel() for w in net.parameters()) == pytest.approx(share, abs=5e-4)
    if name == "alexnet":
        cost = ew.cost(models.get_model(name).eval(), 224, window=224, predict=False, advise=False)
        assert cost.fc_share == pytest.approx(share, abs=5e-4)
        assert "96.0 % of them in fully connected layers" in str(cost)


def test_a_layer_as_fully_connected_and_a_stack_of_small_kernels() -> None:
    price = costing.as_fully_connected(size=32, kernel=2)
    assert (price.params_ratio, price.macs_ratio) == (246_016, 256)
    conv, dense = nn.Conv2d(2, 3, (3, 2), (2, 1), 1, bias=False), nn.Linear(2 * 9 * 8, 3 * 5 * 9, bias=False)
    assert conv(torch.zeros(1, 2, 9, 8)).numel() == dense.out_features
    other = costing.as_fully_connected((9, 8), (3, 2), (2, 1), 1, channels=2, out_channels=3)
    assert (other.params, other.other_params) == (conv.weight.numel(), dense.weight.numel())
    assert other.macs == counted(lambda: conv(torch.zeros(1, 2, 9, 8)))
    assert other.other_macs == counted(lambda: dense(torch.zeros(1, 144)))
    stack = costing.stacked(kernel=3, layers=3, channels=8)
    assert (stack.other_params, stack.params) == (27 * 64, 49 * 64)
    for call in (lambda: costing.as_fully_connected(3, 5), lambda: costing.stacked(0, 3)):
        with pytest.raises(InputError):
            call()


def test_advice_names_strides_that_need_less() -> None:
    net = nn.Sequential(
        nn.Conv2d(2, 8, 4, 4), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 2)
    )
    clf = ew.Classifier(net, window=32, channels=2)
    cost = ew.cost(clf, 96, stride=10, predict=False)
    strides = [each for each in cost.advice if each.what == "stride"]
    assert {each.mode for each in strides} == {"fcn", "exact"}
    for each in strides:
        other = ew.cost(clf, 96, stride=each.value, predict=False, advise=False)
        assert each.macs == other.macs[each.mode] <= cost.macs[each.mode]
        assert each.windows == other.windows
        assert each.gain == pytest.approx(cost.macs[each.mode] / cost.windows * other.windows / each.macs)
        assert str(each) in str(cost)
    assert not [each for each in ew.cost(clf, 96, stride=8, predict=False).advice if each.what == "stride"]


def test_advice_tells_what_padding_and_small_windows_cost() -> None:
    net = nn.Sequential(*(nn.Conv2d(2, 2, 3, padding=1) for _ in range(4)), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    clf = ew.Classifier(net, window=16, channels=2)
    cost = ew.cost(clf, 64, stride=4, predict=False)
    unpadded, window = (next(each for each in cost.advice if each.what == what) for what in ("unpadded", "window"))
    assert unpadded.gain == pytest.approx(cost.macs["exact"] / cost.macs["fcn"])
    larger = ew.cost(ew.Classifier(net, window=32, channels=2), 128, stride=4, predict=False, advise=False)
    assert window.gain == pytest.approx(larger.macs["crops"] / larger.macs["exact"])
    assert window.before == pytest.approx(cost.macs["crops"] / cost.macs["exact"])
    plain = ew.cost(ew.Classifier(flat(), window=16, channels=2), 64, predict=False)
    assert [each for each in plain.advice if each.what != "stride"] == []  # no padding; made for one window


def test_the_table_sorts_sums_and_selects() -> None:
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.MaxPool2d(2)), nn.Sequential(nn.Flatten(), nn.Linear(144, 5))
    )
    cost = ew.cost(ew.Classifier(net, window=14, channels=2), 20, predict=False, advise=False)
    assert [one.layer for one in cost.layers()] == ["0.0", "0.1", "1.1"]
    assert [one.layer for one in cost.layers(sort="params")] == ["1.1", "0.0", "0.1"]
    assert [one.layer for one in cost.layers(only=("fc", "conv"))] == ["0.0", "1.1"]
    first, last = cost.layers(depth=1)
    assert (first.layer, first.kind, first.macs, first.comparisons) == ("0", "2 layers", 12 * 12 * 4 * 18, 4 * 36 * 4)
    assert (last.layer, last.kind) == ("1", "linear")
    assert sum(one.image_macs["exact"] for one in (first, last)) == cost.macs["exact"]
    assert repr(cost) == str(cost) == cost.table()
    for bad in ({"sort": "size"}, {"depth": 0}, {"only": "rnn"}):
        with pytest.raises(InputError, match=next(iter(bad))):
            cost.layers(**bad)  # type: ignore[arg-type]


def test_files_and_notebooks_have_the_same_rows(tmp_path: Path) -> None:
    cost = ew.cost(ew.Classifier(flat(1), window=16, channels=2), 40, predict=False)
    cost.to_csv(tmp_path / "cost.csv")
    with (tmp_path / "cost.csv").open(encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    assert [record["layer"] for record in records] == [one.layer for one in cost.rows]
    assert sum(int(record["exact_macs"]) for record in records) == cost.macs["exact"]
    assert (records[0]["receptive_field"], records[0]["head"], records[-1]["head"]) == ("3x3", "1x1", "x")
    data = json.loads(cost.to_json(tmp_path / "cost.json"))
    assert data == json.loads((tmp_path / "cost.json").read_text())
    assert data["macs"] == cost.macs
    assert data["rows"][0]["reach"] == [[1, 1], [1, 1]]
    page = cost._repr_html_()
    assert len(re.findall("<tr>", page)) == len(cost.rows) + len(cost.modes) + 2
    with pytest.raises(InputError, match="is a folder"):
        cost.to_csv(tmp_path)


@pytest.fixture
def published(shared_data: Path) -> list[list[str]]:
    """Lines of the published table that hold for every image size."""
    file = shared_data / "rf_table" / "RECEPTIVE_FIELD_TABLE.md"
    if not file.exists():
        pytest.skip(f"the published table is absent: {file}")
    lines = [[cell.strip() for cell in line.split("|")] for line in file.read_text().splitlines() if "|" in line]
    return [line for line in lines if len(line) == 7 and line[1] == "None"]


def vgg_names(net: nn.Module) -> dict[str, str]:
    """Our names for the table's end points: the block, and the convolution in it or in all (AlexNet)."""
    block, convolution, every, found = 1, 0, 0, {}
    for index, layer in enumerate(net.features):  # type: ignore[arg-type]
        if isinstance(layer, nn.Conv2d):
            convolution, every = convolution + 1, every + 1
            found[f"conv{every}"] = f"features.{index}"
            found[f"conv{block}/conv{block}_{convolution}"] = f"features.{index}"
        elif isinstance(layer, nn.MaxPool2d):
            found[f"pool{block}"] = found[f"pool{every}"] = f"features.{index}"
            block, convolution = block + 1, 0
    return found


def inception_names(net: nn.Module) -> dict[str, str]:
    """Modules have the table's own names, but for the poolings; blocks of branches end where these meet."""
    names = {name: name + ".conv" if name.startswith("Conv") else name for name, _ in net.named_children()}
    return names | {"MaxPool_3a_3x3": "maxpool1", "MaxPool_5a_3x3": "maxpool2"}


def compare_with(published: list[list[str]], table: str, net: nn.Module, window: int, names: dict[str, str]) -> int:
    """Compare each end point of a network in the table with the last of our rows of that name; how many there are."""
    rows = ew.cost(net.eval(), window, window=window, predict=False, advise=False).rows
    lines = [line for line in published if line[0] == table]
    for _, _, end_point, _, field, stride, padding in lines:
        name = names[end_point.removeprefix(f"{table}/")]
        ours = [one for one in rows if name in (one.layer, one.layer.rpartition(" (in ")[2].rstrip(")"))][-1]
        assert ours.receptive_field == (int(field),) * 2, end_point
        assert ours.network_stride == (int(stride),) * 2, end_point
        assert padding == "None" or ours.padding == (int(padding),) * 2, end_point
    return len(lines)


@pytest.mark.parametrize(("name", "table"), [("vgg11", "vgg_a"), ("vgg16", "vgg_16")])
def test_vgg_sees_what_is_published(name: str, table: str, published: list[list[str]]) -> None:
    from torchvision import models

    net = models.get_model(name, init_weights=False)
    assert compare_with(published, table, net, 64, vgg_names(net)) == 13


def test_branches_of_inception_see_what_is_published(published: list[list[str]]) -> None:
    from torchvision import models

    net = models.inception_v3(init_weights=False)
    assert compare_with(published, "inception_v3", net, 299, inception_names(net)) == 18


def test_alexnet_sees_what_is_published_for_one_without_padding_in_front(published: list[list[str]]) -> None:
    """torchvision's first convolution pads by 2, the published network's does not."""
    from torchvision import models

    net = models.alexnet()
    net.features[0].padding = (0, 0)
    assert compare_with(published, "alexnet_v2", net, 224, vgg_names(net)) == 7


@pytest.mark.parametrize("name", ["resnet50", "resnet101"])
def test_resnets_see_what_is_published_for_strides_in_the_last_units(name: str, published: list[list[str]]) -> None:
    """torchvision has them in the first unit of the next block."""
    from torchvision import models

    net = models.get_model(name)
    blocks = [net.layer1, net.layer2, net.layer3, net.layer4]
    for before, after in itertools.pairwise(blocks):
        before[-1].conv2.stride, before[-1].downsample = (2, 2), nn.MaxPool2d(1, 2)
        after[0].conv2.stride = after[0].downsample[0].stride = (1, 1)
    names = {f"block{at}": f"layer{at}.{len(block) - 1}" for at, block in enumerate(blocks, start=1)}
    assert compare_with(published, name.replace("resnet", "resnet_v1_"), net, 64, names) == 4


class Products(nn.Module):
    """Products of computed values, in every form that is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Parameter(torch.randn(5, 6)), nn.Parameter(torch.randn(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2)  # [N, 2, 36]
        q = x.unflatten(2, (6, 6)).flatten(0, 1).unflatten(0, (-1, 2))  # [N, 2, 6, 6]
        a = nn.functional.scaled_dot_product_attention(q, q[..., :4, :], q[..., :4, :3])  # [N, 2, 6, 3]
        b = self.left @ q @ q[..., :4]  # [N, 2, 5, 4]
        c = torch.einsum("nchk,km->nchm", b, self.right)  # [N, 2, 5, 3]
        d = torch.bmm(a.flatten(1, 2), c[:, 0, :3].contiguous())  # [N, 12, 3]
        return torch.cat([d.flatten(1), torch.addmm(x.new_zeros(3), x[:, 0, :4], self.right)], 1)


def test_products_of_any_form_are_counted() -> None:
    net = Products().eval()
    cost = ew.cost(ew.Classifier(net, window=6, channels=2), 6, predict=False, advise=False)
    with torch.no_grad():
        assert cost.macs["crops"] == counted(lambda: net.to("meta")(torch.zeros(1, 2, 6, 6, device="meta")))
    assert cost.params == 5 * 6 + 4 * 3


@pytest.mark.parametrize(
    ("equation", "weights"),
    [
        ("nchw,cd->nd", [(2, 5)]),
        ("nc...,cd->nd...", [(2, 5)]),
        ("...w,wd->...d", [(6, 5)]),
        ("nc...,cd...->nd", [(2, 5, 6, 6)]),
        ("dc,nchw->ndhw", [(5, 2)]),
        ("nchw,cd,wk->ndhk", [(2, 5), (6, 3)]),
        ("nchw,dw", [(5, 6)]),
        ("ch,hd,nchw->ndw", [(2, 6), (6, 5)]),
    ],
)
def test_einsum_counts_by_its_letters(equation: str, weights: list[tuple[int, ...]]) -> None:
    class Letters(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.ParameterList(torch.randn(shape) for shape in weights)

        def forward(self, x: Tensor) -> Tensor:
            ordered = [*self.weights, x] if equation.startswith(("dc", "ch")) else [x, *self.weights]
            made = torch.einsum(equation, *ordered)
            return made.movedim(3, 0).flatten(1) if "->" not in equation else made.flatten(1)

    net = Letters().eval()
    cost = ew.cost(ew.Classifier(net, window=6, channels=2), 6, predict=False, advise=False)
    with torch.no_grad():
        once = counted(lambda: net.to("meta")(torch.zeros(1, 2, 6, 6, device="meta")))
        twice = counted(lambda: net(torch.zeros(2, 2, 6, 6, device="meta")))
    assert cost.macs["crops"] == twice - once


def test_advice_says_nothing_of_networks_that_multiply_nothing() -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert ew.cost(ew.Classifier(net, window=8, channels=2), 24, stride=4, predict=False).advice == ()


def test_strides_that_are_named_are_near() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    cost = ew.cost(ew.Classifier(net, window=16, channels=2), (48, 60), stride=(3, 7), predict=False)
    named = [each for each in cost.advice if each.what == "stride"]
    assert named
    for each in named:
        assert 1.5 <= each.value[0] <= 4.5
        assert "no more in all" in str(each)
        assert each.macs <= cost.macs[each.mode]


def test_the_command_line_offers_what_the_report_takes() -> None:
    from everywindow.cli import pricing
    from everywindow.report import cost as report

    assert (pricing.SORTS, pricing.FAMILIES) == (report.SORTS, report.FAMILIES)


def test_the_notebooks_tables_have_a_look_of_their_own() -> None:
    page = ew.cost(ew.Classifier(flat(1), window=16, channels=2), 40, predict=False)._repr_html_()
    assert page.startswith("<style>")
    assert page.count('<div class="scroll"><table>') == 2
    assert re.findall(r"\n(\.everywindow[^{]*)\{", page)
    assert not re.findall(r"\n(?!\.everywindow)[a-z.][^{\n]*\{", page)  # nothing of the notebook's is styled
    assert '<td class="number"' in page


def test_seconds_of_small_networks_are_not_rounded_away() -> None:
    clf = ew.Classifier(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2)), window=8, channels=1)
    cost = ew.cost(clf, 12, predict=True)
    assert 0 < (cost.modes["fcn"].seconds or 0) < 0.005
    assert not re.search(r" 0\.00 ", str(cost))


@pytest.mark.parametrize("axes", [1, 3])
def test_volumes_and_recordings_have_rates_of_their_own(axes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    known = rates_for(torch.device("cpu"), torch.float32, torch.get_num_threads())
    place = "everywindow.engines.forecast.rates_for"
    monkeypatch.setattr(place, lambda *args: asked.append(args[3]) or replace(known, pooled=1e3))
    kind, pool = {1: (nn.Conv1d, nn.MaxPool1d), 3: (nn.Conv3d, nn.MaxPool3d)}[axes]
    net = nn.Sequential(kind(1, 2, 3, padding=1), pool(2), nn.Flatten(), nn.Linear(2 * 4**axes, 2))
    cost = ew.cost(ew.Classifier(net, window=8, channels=1), (16,) * axes, stride=8, predict=True)
    assert set(asked) == {axes}
    values = cost.windows * 2 * (8**axes + 4**axes)  # that the pooling reads and writes
    assert (cost.modes["crops"].seconds or 0) > values / 1e3
    assert "predictions for recordings and volumes are rough" in str(cost)


def test_figures_of_volumes() -> None:
    """Plain numbers, each above 0, of convolutions and poolings over three axes."""
    found = calibrated(torch.device("cpu"), torch.float32, 3)
    rates = Rates(**found)
    assert rates.pooled is not None
    assert min(rate for table in (rates.conv, rates.depthwise) for row in table.values() for rate in row.values()) > 0
