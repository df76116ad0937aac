"""The public names, and what their calls take. A change here is one for every user."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import everywindow as ew

NAMES = {
    *(
        "Classifier",
        "Comparison",
        "Cost",
        "DenseInferer",
        "Detection",
        "Evaluation",
        "Explanation",
        "Exported",
        "FullyConvolutional",
        "MatrixCounts",
        "Probe",
        "Pyramid",
        "ScoreMap",
        "Streamed",
    ),
    *("conv_to_linear", "linear_to_conv", "matrix_counts", "toeplitz_figure"),
    *("compare", "convolutionalize", "cost", "evaluate", "explain", "export", "load", "probe", "pyramid", "scan"),
    "stream",
    *("EverywindowError", "CaptureError", "ConversionError", "DependencyError", "IndependenceError"),
    *("InputError", "ModelError", "StoppedError", "TrustError"),
}
ROOMS = {"layers", "reference"}

LAYERS = {
    "AdaptiveWindowPool": "output_size reduce",
    "ChannelGroupMax": "groups",
    "DistanceWeightedPool": "kernel_size stride padding weights sigma",
    "LpPool": "p kernel_size stride padding mean",
    "RotatedFilterConv": "in_channels out_channels kernel_size rotations stride padding dilation groups bias",
    "SparseLinear": "rows columns values in_features out_features bias",
    "SpatialPyramidPool": "levels reduce",
}
"""Names that are public in ``everywindow.layers`` only."""

COMMON = "pad scale output device dtype memory progress"
PARAMETERS = {
    "Classifier": "module window channels mean std classes activation architecture spacing_um_px constants name",
    "load": "spec weights trust window",
    "convolutionalize": "classifier window stride channels",
    "scan": f"classifier image window stride mode {COMMON}",
    "stream": "classifier image out window stride mode pad scale level spacing roi raw mask tile output device dtype "
    "memory progress resume overwrite fail_fast reopen",
    "compare": f"classifier image window stride modes {COMMON} samples seed strict raw on_image",
    "evaluate": "classifier images protocols window stride reductions scales boxes overlaps classes resize small raw "
    "out overwrite strict seed output device dtype memory progress",
    "cost": "classifier image_size window stride device dtype memory predict advise output",
    "explain": "classifier image_size stride window output",
    "export": "result to klass threshold most coordinates probabilities",
    "probe": "classifier image window shifts angles zooms at scale raw output device dtype seed",
    "pyramid": "classifier image scales window stride options",
    "DenseInferer": "classifier window options",
    "linear_to_conv": "linear shape order",
    "conv_to_linear": "conv input_size sparse max_bytes",
    "matrix_counts": "conv input_size",
    "toeplitz_figure": "conv input_size",
}

ATTRIBUTES = {
    "Classifier": "save title",
    "ScoreMap": "probabilities image_scores strongest peaks boxes plot save load",
    "Pyramid": "strongest image_scores peaks boxes save load",
    "Explanation": "html save as_dict",
    "FullyConvolutional": "to_classifier",
    "Comparison": "run speed_up predicted_speed_up plot as_dict to_json",
    "Probe": "curve plot html save as_dict to_json",
    "Evaluation": "row changed as_dict write to_csv boxes_to_csv to_html",
    "Cost": "layers table speed_up fc_share to_csv to_json as_dict",
}


def test_names() -> None:
    assert set(ew.__all__) == NAMES
    assert set(dir(ew)) >= NAMES | ROOMS


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_has_a_docstring_and_is_no_module(name: str) -> None:
    value = getattr(ew, name)
    assert callable(value)
    assert inspect.getdoc(value)


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_parameters(name: str) -> None:
    taken = [parameter for parameter in inspect.signature(getattr(ew, name)).parameters if parameter != "self"]
    assert taken == PARAMETERS[name].split()


@pytest.mark.parametrize("name", sorted(ATTRIBUTES))
def test_attributes(name: str) -> None:
    assert set(ATTRIBUTES[name].split()) <= set(dir(getattr(ew, name)))


@pytest.mark.parametrize("name", sorted(ROOMS))
def test_rooms_have_docstrings_on_all_they_offer(name: str) -> None:
    room = getattr(ew, name)
    assert inspect.ismodule(room)
    assert inspect.getdoc(room)
    assert all(inspect.getdoc(getattr(room, offered)) for offered in room.__all__)


def test_layers() -> None:
    whole = {name for name in NAMES if name in dir(ew.layers) and name in ew.layers.__all__}
    assert set(ew.layers.__all__) == {*LAYERS, *whole}
    assert whole == {"MatrixCounts", "conv_to_linear", "linear_to_conv", "matrix_counts", "toeplitz_figure"}
    for name, taken in LAYERS.items():
        assert list(inspect.signature(getattr(ew.layers, name)).parameters) == taken.split()


def test_no_room_has_the_name_of_a_function() -> None:
    """Importing a room would put it in the place of the function."""
    assert not NAMES & {path.stem for path in Path(ew.__file__).parent.iterdir()}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'scam'"):
        ew.scam  # noqa: B018
