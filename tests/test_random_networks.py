"""Laws that hold for every network: drawn at random, in one, two and three dimensions, in float64."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

import everywindow as ew
import oracle
from everywindow.errors import ConversionError
from laws import EQUAL, larger_difference, native_difference, native_scores
from random_networks import Example, image_sizes, networks, scan_strides
from trial_weights import noise, tells_windows_apart

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")


def drawn(examples: int) -> settings:
    """The same examples in every run. A failure is made smaller, which takes minutes, where SHRINK is set."""
    phases = [Phase.generate, Phase.shrink] if os.environ.get("SHRINK") else [Phase.generate]
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=phases,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


def check_conversion(data: st.DataObject, example: Example) -> None:
    """The laws of ``convolutionalize`` for one network, one stride and one image."""
    _, native = native_scores(example.module, example.window, example.channels)
    assume(tells_windows_apart(native))
    stride = data.draw(scan_strides(example), "stride")
    converted = ew.convolutionalize(
        example.module, window=example.window, stride=stride, channels=example.channels
    ).eval()
    assert converted.geometry.network_stride == example.strides
    assert native_difference(example.module, converted, example.window, example.channels) <= EQUAL
    assert converted.verdict.exact == (not converted.verdict.reasons)
    if not example.padded:
        assert converted.verdict.exact, converted.verdict.summary()
    step = stride or example.strides
    image = noise((1, example.channels, *data.draw(image_sizes(example, step), "image size")), example.seed)[0]
    difference = larger_difference(example.module, converted, image, example.window, step)
    if converted.verdict.exact:
        assert difference <= EQUAL


@drawn(25)
@given(data=st.data(), example=networks(axes=1, padded=False))
def test_unpadded_1d(data: st.DataObject, example: Example) -> None:
    check_conversion(data, example)


@drawn(55)
@given(data=st.data(), example=networks(axes=2, padded=False))
def test_unpadded_2d(data: st.DataObject, example: Example) -> None:
    check_conversion(data, example)


@drawn(20)
@given(data=st.data(), example=networks(axes=3, padded=False))
def test_unpadded_3d(data: st.DataObject, example: Example) -> None:
    check_conversion(data, example)


@drawn(25)
@given(data=st.data(), example=networks(axes=1, padded=True))
def test_padded_1d(data: st.DataObject, example: Example) -> None:
    check_conversion(data, example)


@drawn(55)
@given(data=st.data(), example=networks(axes=2, padded=True))
def test_padded_2d(data: st.DataObject, example: Example) -> None:
    check_conversion(data, example)


@drawn(20)
@given(data=st.data(), example=networks(axes=3, padded=True))
def test_padded_3d(data: st.DataObject, example: Example) -> None:
    check_conversion(data, example)


@drawn(25)
@given(data=st.data(), example=networks())
def test_scan_is_never_wrong(data: st.DataObject, example: Example) -> None:
    """Without a mode, and in crops mode, the map is that of the plain sliding window, at any stride, as planned."""
    stride = data.draw(scan_strides(example), "stride")
    step = stride or example.strides
    image = noise((1, example.channels, *data.draw(image_sizes(example, step), "image size")), example.seed)[0]
    expected = oracle.crops(example.module, image, example.window, step)
    _, native = native_scores(example.module, example.window, example.channels)
    scale = max(oracle.spread(native), oracle.spread(expected))
    assume(scale > 1e-2 * float(native.abs().max()))
    classifier = ew.Classifier(example.module, window=example.window, channels=example.channels)
    for mode in (None, "crops"):
        options = {} if mode is None else {"mode": mode}
        scan = ew.scan(classifier, image, stride=stride, dtype=torch.float64, **options)
        assert oracle.relative_difference(scan.scores, expected, scale) <= EQUAL
        assert [list(axis) for axis in scan.offsets] == oracle.window_offsets(image.shape[1:], example.window, step)
        assert tuple(scan.stride) == tuple(step)
        assert tuple(scan.window) == example.window


@drawn(60)
@given(data=st.data(), example=networks(axes=2, padded=True, wide=True))
def test_wide_layers_2d(data: st.DataObject, example: Example) -> None:
    check_wide(data, example)


@drawn(20)
@given(data=st.data(), example=networks(axes=1, padded=False, wide=True))
def test_wide_layers_1d(data: st.DataObject, example: Example) -> None:
    check_wide(data, example)


def check_wide(data: st.DataObject, example: Example) -> None:
    """Of networks with context of the whole window: at its size the original, and no verdict that is too good."""
    _, native = native_scores(example.module, example.window, example.channels)
    assume(tells_windows_apart(native))
    stride = data.draw(scan_strides(example), "stride")
    try:
        converted = ew.convolutionalize(
            example.module, window=example.window, stride=stride, channels=example.channels
        ).eval()
    except ConversionError:
        return
    assert native_difference(example.module, converted, example.window, example.channels) <= EQUAL
    step = converted.geometry.stride
    image = noise((1, example.channels, *data.draw(image_sizes(example, step), "image size")), example.seed)[0]
    difference = larger_difference(example.module, converted, image, example.window, step)
    if converted.verdict.exact:
        assert difference <= EQUAL
