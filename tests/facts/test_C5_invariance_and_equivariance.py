"""C5: max pooling is roughly invariant to a small shift; convolution and pooling are equivariant to shifts alone.

Which pooling changes less under a shift depends on the measure: by the share of unchanged outputs it is max pooling, by
relative change it often is mean pooling. Pooling gives no invariance to rotation or scale by itself: the maximum over
channels that hold rotated filters does for rotation.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import everywindow as ew
from everywindow import reference as ref
from everywindow.layers import ChannelGroupMax, RotatedFilterConv
from trial_weights import noise, with_trial_weights


def test_half_of_the_outputs_of_max_pooling_stay_where_all_inputs_change() -> None:
    """Windows of 3 in steps of 1; the inputs are moved by one place."""
    before, after = np.array([[[0.1, 1.0, 0.2, 0.1]]]), np.array([[[0.3, 0.1, 1.0, 0.2]]])
    assert (before != after).all()
    pooled = [ref.max_pool(x, 3, 1, 1) for x in (before, after)]
    assert [one.flatten().tolist() for one in pooled] == [[1, 1, 1, 0.2], [0.3, 1, 1, 1]]
    assert (pooled[0] != pooled[1]).mean() == 0.5
    means = [ref.mean_pool(x, 3, 1, 1, count_include_pad=False) for x in (before, after)]
    assert (np.abs(means[0] - means[1]) > 1e-3).mean() == 0.75  # one window still sees its three values


PHOTOGRAPHS = ("camera", "coins", "moon")


def picture(name: str) -> np.ndarray:
    return getattr(pytest.importorskip("skimage.data"), name)()


def moved(name: str) -> list[tuple[float, float]]:
    """Share of unchanged outputs and relative change under a shift by one pixel: of max pooling, of mean pooling."""
    x = picture(name)[None, None, :180, :180] / 255
    found = []
    for pooled in (ref.max_pool(x, 3, 1), ref.mean_pool(x, 3, 1)):
        change = np.abs(pooled[..., 1:] - pooled[..., :-1])
        found.append((float((change < 1e-12).mean()), float(change.sum() / pooled[..., 1:].sum())))
    return found


@pytest.mark.parametrize("name", [*PHOTOGRAPHS, "page"])
def test_both_measures_on_pictures(name: str) -> None:
    """By unchanged outputs max pooling is ahead, by relative change mean pooling: often, not on a page of text."""
    by_max, by_mean = moved(name)
    assert by_max[0] > 2 * by_mean[0]
    assert (by_mean[1] < by_max[1]) == (name in PHOTOGRAPHS)


def test_the_probe_shows_both_measures() -> None:
    """On the maps of a network mean pooling changes less, on the photographs themselves max pooling in steps of 2."""
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 1), nn.Flatten(), nn.Linear(4 * 36 * 36, 3)]
    module = with_trial_weights(nn.Sequential(*layers), 1, (40, 40))
    classifier = ew.Classifier(module, 40, 1, mean=0.5, std=0.25)
    for name in PHOTOGRAPHS:
        rows = ew.probe(classifier, picture(name)).pools
        assert {row.layer for row in rows} == {"image", "2"}
        for row in rows:
            assert row.max_unchanged > row.mean_unchanged, row
            assert (row.mean_change < row.max_change) == (row.layer == "2"), row


def test_convolution_and_pooling_are_equivariant_to_shifts() -> None:
    """A pooling in steps of its stride."""
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.AvgPool2d(2), nn.Flatten()]
    net = with_trial_weights(nn.Sequential(*layers, nn.Linear(4 * 16, 2)), 1, (22, 22))
    found = ew.probe(net, noise((1, 1, 60, 60), 1)[0], window=22)
    rows = {row.layer: row for row in found.layers}
    assert all(row.everywhere <= found.tolerance for row in rows.values())
    assert [rows[name].shift for name in ("0", "2", "4")] == [(1, 1), (2, 2), (4, 4)]
    assert rows["0"].one_pixel <= found.tolerance
    assert min(rows["2"].one_pixel, rows["4"].one_pixel) > 0.01


def turned(x: Tensor) -> Tensor:
    return x.rot90(1, (-2, -1))


def enlarged(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


@torch.no_grad()
def test_neither_to_rotation_nor_to_scale() -> None:
    conv, x = nn.Conv2d(1, 3, 3, padding=1).double(), noise((1, 1, 12, 12), 1)
    y = conv(x)
    for change in (turned, enlarged):
        assert float((conv(change(x)) - change(y)).abs().max()) > 0.1 * float(y.abs().max())
    for reduce in (lambda y: y.amax((2, 3)), lambda y: y.mean((2, 3))):
        pooled = [reduce(conv(x).relu()) for x in (x, turned(x))]
        assert float((pooled[0] - pooled[1]).abs().max()) > 1e-3  # pooling gives no invariance to rotation by itself


@torch.no_grad()
@pytest.mark.parametrize("rotations", [4, 8])
def test_the_maximum_over_rotated_filters_does_give_invariance_to_rotation(rotations: int) -> None:
    shared = nn.Sequential(RotatedFilterConv(1, 3, 5, rotations, padding=2), ChannelGroupMax(3)).double()
    x = noise((1, 1, 13, 13), 1)
    y = shared(x)
    assert float((shared(turned(x)) - turned(y)).abs().max()) < 1e-12
    assert float((shared(turned(x)).amax((2, 3)) - y.amax((2, 3))).abs().max()) < 1e-12
    single = shared[0](x)
    assert float((shared[0](turned(x)) - turned(single)).abs().max()) > 0.1  # it is the maximum that does it
