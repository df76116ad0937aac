"""Networks that stand for one rule each, in float64 against their crops; ``make zoo`` does all the others."""

from __future__ import annotations

import pytest

pytest.importorskip("torchvision")
pytest.importorskip("timm")

from benchmarks.zoo.examine import examine
from benchmarks.zoo.page import line
from benchmarks.zoo.row import CONTEXT, EQUAL, PLAIN, UNMOVED

NETWORKS = {
    "torchvision:squeezenet1_1": PLAIN,  # a first layer without padding, poolings in ceil mode
    "timm:test_resnet": PLAIN,  # zero padding
    "timm:tf_mobilenetv3_small_minimal_100": PLAIN,  # TensorFlow's padding, which depends on the size
    "timm:test_convnext2": PLAIN,  # layer norm over the features, and channels last
    "timm:convnextv2_atto": CONTEXT,  # global response normalisation
    "timm:test_efficientnet": CONTEXT,  # squeeze and excitation
    "timm:test_efficientnet_gn": CONTEXT,  # group norm
    "timm:test_nfnet": CONTEXT,  # weights that are standardised in forward()
}


@pytest.mark.slow
@pytest.mark.parametrize("spec", NETWORKS)
def test_one_pass_is_honest_and_exact_is_right(spec: str) -> None:
    library, _, name = spec.partition(":")
    row = examine(library, name)
    assert not row.wrong, line(row)
    assert row.converts == NETWORKS[spec]
    assert row.native is not None
    assert row.native <= EQUAL
    assert not row.exact
    assert row.reason
    assert row.larger is not None
    assert row.larger > 1e-3
    assert row.at_stride is not None
    assert row.at_coprime is not None
    assert 0 < max(row.at_stride, row.at_coprime) <= EQUAL
    assert row.outside is not None
    assert row.outside <= UNMOVED
    assert row.gain > 1
    assert row.ends
