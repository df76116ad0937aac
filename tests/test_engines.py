"""The engines: memory, tiles, memory formats, several outputs, other dtypes; what they must never do."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import everywindow as ew
from benchmarks.workloads import n4
from everywindow.engines.choose import ONE_PASS, WORTH
from everywindow.engines.forecast import Forecast
from everywindow.engines.memory import memory_limit
from everywindow.engines.tuning import Tuner
from oracle import TOLERANCE, crops, relative_difference
from trial_weights import noise

PADDED = nn.Sequential(
    nn.Conv2d(1, 4, 3, stride=2, padding=1),
    nn.ReLU(inplace=True),
    nn.Conv2d(4, 6, 3, padding=1),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(6, 3),
).double()
PLAIN = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 25, 3)).double()


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(1, 61, 47, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("net", [PADDED, PLAIN], ids=["padded", "plain"])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_tiles_give_the_map_of_the_whole(net: nn.Module, stride: int, image: torch.Tensor) -> None:
    whole = ew.scan(net, image, window=12, stride=stride, mode="fcn")
    tiled = ew.scan(net, image, window=12, stride=stride, mode="fcn", memory=100_000 if net is PADDED else 40_000)
    assert whole.plan.tiles == 1
    assert tiled.plan.tiles >= 2
    torch.testing.assert_close(tiled.scores, whole.scores, rtol=0, atol=1e-12)


def test_memory_bounds_the_batch_of_crops(image: torch.Tensor) -> None:
    m = ew.scan(copy.deepcopy(PADDED), image, window=12, stride=2, mode="crops", memory=36_000)
    assert m.plan.batch <= 6
    assert relative_difference(m.scores, crops(PADDED, image, (12, 12), (2, 2))) < 1e-10


def test_memory_too_small_for_a_window_is_refused(image: torch.Tensor) -> None:
    with pytest.raises(ew.InputError, match="memory"):
        ew.scan(PADDED, image, window=12, mode="crops", memory=100)


@pytest.mark.parametrize("bad", [0, -5, "many", "3 apples", 2.5, True])
def test_amounts_of_memory_that_make_no_sense(bad: object) -> None:
    with pytest.raises(ew.InputError, match="memory"):
        memory_limit(bad, torch.device("cpu"))  # type: ignore[arg-type]


class SeveralOutputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Conv2d(1, 4, 5)
        self.kind = nn.Linear(4, 3)
        self.size = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = F.relu(self.trunk(x)).amax((2, 3))
        return {"kind": self.kind(x), "size": self.size(x)}


@pytest.mark.parametrize("mode", ["crops", "fcn", "exact"])
def test_one_of_several_outputs(mode: str, image: torch.Tensor) -> None:
    net = SeveralOutputs().double().eval()
    first = ew.scan(net, image, window=12, mode=mode)
    assert len(first.scores) == 3
    size = ew.scan(net, image, window=12, mode=mode, output="size")
    assert len(size.scores) == 1
    with pytest.raises(ew.InputError, match="none of"):
        ew.scan(net, image, window=12, mode=mode, output="colour")


def test_dtype_of_the_scan_leaves_the_module_alone(image: torch.Tensor) -> None:
    net = copy.deepcopy(PLAIN).float()
    m = ew.scan(net, image, window=12, dtype="float64")
    assert m.scores.dtype == torch.float64
    assert next(net.parameters()).dtype == torch.float32
    with pytest.raises(ew.InputError, match="dtype"):
        ew.scan(net, image, window=12, dtype="int8")
    with pytest.raises(ew.InputError, match="device"):
        ew.scan(net, image, window=12, device="toaster")


def test_scan_leaves_modes_weights_and_image_as_they_were(image: torch.Tensor) -> None:
    net = nn.Sequential(nn.ReLU(inplace=True), *copy.deepcopy(PADDED)).train()
    net[2].eval()
    modes = [child.training for child in net.modules()]
    before, pixels = copy.deepcopy(net.state_dict()), image.clone()
    for mode in ("crops", "fcn", "exact"):
        ew.scan(net, image, window=12, mode=mode)
    assert [child.training for child in net.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(image, pixels)


def test_a_trained_or_replaced_layer_is_seen_by_the_next_scan(image: torch.Tensor) -> None:
    net = copy.deepcopy(PLAIN)
    first = ew.scan(net, image, window=12).scores
    with torch.no_grad():
        net[0].weight.add_(0.5)
    second = ew.scan(net, image, window=12).scores
    net[1] = nn.Tanh()
    third = ew.scan(net, image, window=12).scores
    net[2].stride = 1
    net[4] = nn.Linear(4 * 81, 2).double()
    fourth = ew.scan(net, image, window=12).scores
    assert not torch.allclose(first, second)
    assert not torch.allclose(second, third)
    assert relative_difference(fourth, crops(net, image, (12, 12), (1, 1))) < 1e-10


class Branching(nn.Module):
    """Code that depends on the values: no graph can be captured."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(144, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1)) if float(x.mean()) > 0 else -self.linear(x.flatten(1))


def test_a_network_that_cannot_be_captured_runs_as_crops_one_by_one(image: torch.Tensor) -> None:
    net = Branching().double()
    classifier = ew.Classifier(net, window=12, channels=1)
    m = ew.scan(classifier, image, stride=7)
    assert (m.mode, m.plan.engine) == ("exact", "crops")
    assert m.plan.batch == 1
    assert "its code depends on values" in m.plan.reason
    assert relative_difference(m.scores, crops(net, image, (12, 12), (7, 7))) < 1e-10
    with pytest.raises(ew.ConversionError):
        ew.scan(classifier, image, mode="fcn")


def test_a_network_that_squeezes_its_output_keeps_its_windows_apart(image: torch.Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 12), Squeeze()).double()
    m = ew.scan(net, image[:, :13, :12], window=12, mode="crops")
    assert m.scores.shape == (2, 2, 1)
    assert ew.scan(net, image[:, :12, :12], window=12, mode="crops").scores.shape == (2, 1, 1)


class Squeeze(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.squeeze()


def test_a_map_for_each_window_is_no_score_vector(image: torch.Tensor) -> None:
    with pytest.raises(ew.InputError, match="not one vector"):
        ew.scan(nn.Conv2d(1, 2, 3).double(), image, window=12, mode="crops")
    with pytest.raises(ew.ConversionError, match="positions"):
        ew.convolutionalize(nn.Conv2d(1, 2, 3).double(), window=12)


def test_windows_far_apart_run_as_crops(image: torch.Tensor) -> None:
    m = ew.scan(PLAIN, image, window=12, stride=30)
    assert (m.mode, m.plan.engine) == ("exact", "crops")
    assert "gain too little" in m.plan.reason


def test_converted_networks_survive_pickle_and_copy(image: torch.Tensor) -> None:
    fcn = ew.convolutionalize(PADDED, window=12).eval()
    for other in (pickle.loads(pickle.dumps(fcn)), copy.deepcopy(fcn)):
        assert torch.equal(other(image[None]), fcn(image[None]))
        assert other.verdict == fcn.verdict
        assert other.get_parameter("0.weight") is not fcn.get_parameter("0.weight")


@pytest.mark.parametrize("stride", [0, -1, 1.5, (2, 2, 2), True])
def test_strides_that_cannot_be(stride: object, image: torch.Tensor) -> None:
    with pytest.raises(ew.InputError, match="stride"):
        ew.scan(PLAIN, image, window=12, stride=stride)  # type: ignore[arg-type]


def test_the_converted_network_checks_its_input() -> None:
    fcn = ew.convolutionalize(PLAIN, window=12)
    for shape in [(1, 1, 11, 20), (1, 3, 20, 20), (1, 20, 20)]:
        with pytest.raises(ew.InputError):
            fcn(torch.zeros(shape, dtype=torch.float64))


def test_a_mode_that_does_not_exist_is_refused_with_those_that_do(image: torch.Tensor) -> None:
    with pytest.raises(ew.InputError, match="'shared' is none of exact, fcn, crops"):
        ew.scan(PLAIN, image, window=12, mode="shared")


def test_the_tuner_ends_on_the_fastest_setting() -> None:
    speed = {1: 5.0, 2: 8.0, 4: 9.0, 8: 10.0, 16: 14.0, 32: 12.0, 64: 11.0}
    tuner = Tuner(("contiguous", "channels_last"), start=8, largest=64)
    for _ in range(30):
        batch, memory_format = tuner.next()
        tuner.record((batch, memory_format), speed[batch] * (1.5 if memory_format == "channels_last" else 1.0))
    assert tuner.next() == tuner.best == (16, "channels_last")


class _ReadsMemory(nn.Module):
    """Takes features in the order of the memory, or asks for it, as code may that was written for one order."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.a, self.h, self.how = nn.Conv2d(2, 3, 3), nn.Linear(126, 3), how

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        if self.how == "as_strided":
            return self.h(y.as_strided((x.shape[0], 126), (126, 1)))
        return self.h((y if y.is_contiguous() or not self.how else y * 3).flatten(1))


@pytest.mark.parametrize("how", ["as_strided", "is_contiguous"])
@pytest.mark.parametrize("mode", ["crops", "exact"])
def test_code_that_reads_the_order_of_the_memory_gets_the_usual_one(how: str, mode: str) -> None:
    torch.manual_seed(0)
    module = _ReadsMemory(how).double().eval()
    image = noise((1, 2, 40, 40), 3)[0]
    expected = crops(module, image, (9, 8), (1, 1))
    for _ in range(2):
        scores = ew.scan(module, image, window=(9, 8), stride=1, mode=mode, progress=False).scores
        assert relative_difference(scores, expected) <= TOLERANCE[torch.float64]


@pytest.mark.parametrize("how", ["is_contiguous", "twice is_contiguous"])
def test_blank_windows_do_not_tell_in_which_order_code_reads(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everywindow.engines.crops.memory_formats", lambda axes: ("channels_last", "contiguous"))
    monkeypatch.setattr(Tuner, "next", lambda tuner: (tuner.start, tuner.formats[0]))
    torch.manual_seed(0)
    module = _ReadsMemory("" if how.startswith("twice") else how).double().eval()
    module.a.bias = None
    image = noise((1, 2, 9, 40), 3)[0]
    image[:, :, :16] = 0  # the first windows are blank
    expected = crops(module, image, (9, 8), (1, 1))
    scores = ew.scan(module, image, window=(9, 8), stride=1, mode="crops", progress=False).scores
    if how.startswith("twice"):  # what was found for code that did not read it does not hold for code that does
        module.how = "is_contiguous"
        scores = ew.scan(module, image, window=(9, 8), stride=1, mode="crops", progress=False).scores
    assert relative_difference(scores, expected) <= TOLERANCE[torch.float64]


def test_the_plan_knows_the_limit_of_memory() -> None:
    module, image = _small_and_padded(), noise((1, 2, 70, 64), 3)[0]
    plans = [
        ew.scan(module, image, window=(9, 8), stride=1, memory=memory, progress=False).plan
        for memory in (40_000, 4_000_000, None)
    ]
    predicted = [plan.predicted_seconds for plan in plans]
    assert plans[0].engine == "crops"  # a thousand rectangles, each with all calls for itself
    assert "too little" in plans[0].reason
    assert plans[2].engine == "exact"
    assert predicted[1] is not None
    assert predicted[2] is not None
    assert predicted[1] > predicted[2]


def _small_and_padded() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, stride=2), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(160, 3)).double().eval()


def test_times_under_one_limit_say_nothing_of_another() -> None:
    module, image = _small_and_padded(), noise((1, 2, 70, 64), 3)[0]
    for memory in (30_000, 30_000, 40_000, 40_000, 60_000, 60_000):
        plan = ew.scan(module, image, window=(9, 8), stride=1, memory=memory, progress=False).plan
        assert plan.engine == "crops", memory
        told = re.search(r"gain too little \((.*) times\)", plan.reason)
        assert told is not None
        assert float(told[1]) < 1 / WORTH + 0.01
    assert ew.scan(module, image, window=(9, 8), stride=1, progress=False).plan.engine == "exact"


def test_a_trial_that_does_not_fit_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everywindow.engines.tried.LEAST_SECONDS", 0.0)
    monkeypatch.setattr("everywindow.engines.tried.MUCH", 0.0)
    module, image = _small_and_padded(), noise((1, 2, 70, 64), 3)[0]
    m = ew.scan(module, image, window=(9, 8), stride=1, memory=30_000, progress=False)
    assert "differ from these" in " ".join(m.plan.notes)
    assert relative_difference(m.scores, crops(module, image, (9, 8), (1, 1))) <= TOLERANCE[torch.float64]


@pytest.mark.parametrize("stride", [1, 5, 24])
def test_one_pass_is_taken_at_the_first_scan_where_it_is_proved_equal(stride: int) -> None:
    """Also for strides beyond the network's, where sharing needs fewer positions."""
    torch.manual_seed(0)
    module = n4().eval()
    image = noise((1, 1, 100, 119), 3, torch.float32)[0]
    found = ew.scan(module, image, window=95, stride=stride, progress=False)
    assert found.plan.engine == "fcn"
    assert found.verdict.exact
    expected = crops(module, image, (95, 95), (stride, stride))
    assert relative_difference(found.scores, expected) <= TOLERANCE[torch.float32]


@pytest.mark.parametrize(("exact", "engine"), [(0.5 / ONE_PASS, "exact"), (2 / ONE_PASS, "fcn"), (9.0, "fcn")])
def test_sharing_is_taken_where_it_is_predicted_much_faster(
    exact: float, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fixed(Forecast):
        def one_pass(self, share: float) -> float:
            return 1.0

    monkeypatch.setattr("everywindow.engines.choose.forecast", lambda *given: Fixed(10.0, exact, None, 10.0, 0.0, 1))
    image = noise((1, 1, 61, 47), 3)[0]
    assert ew.scan(copy.deepcopy(PLAIN), image, window=12, stride=1, progress=False).plan.engine == engine


def test_sizes_as_text_are_no_sizes() -> None:
    with pytest.raises(ew.InputError, match="stride: '4' is not an integer; give a number of pixels"):
        ew.scan(nn.Conv2d(1, 2, 5), torch.rand(1, 9, 9), window=5, stride="4")  # type: ignore[arg-type]
