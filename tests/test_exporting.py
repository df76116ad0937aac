"""A single bright pixel is found again in every format, at the right place, by other libraries' readers."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import tifffile
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from rasterio.crs import CRS
from rio_cogeo import cog_validate
from torch import nn

import everywindow as ew
from everywindow.errors import InputError
from everywindow.geometry import Place, Verdict

WKT = CRS.from_epsg(32633).to_wkt()
NORTH_UP = (0.5, 0.0, 500_000.25, 0.0, -0.5, 4_600_000.75)
TURNED = (0.4, 0.3, 500_000.25, 0.3, -0.4, 4_600_000.75)

# window, stride, pad, origin, downsample, bright level-0 pixel's scanned pixel
CASES = {
    "plain": ((5, 5), (1, 1), (0, 0), (0.0, 0.0), (1.0, 1.0), (11, 7)),
    "even window": ((6, 4), (3, 2), (0, 0), (0.0, 0.0), (1.0, 1.0), (13, 10)),
    "padded": ((5, 7), (2, 3), (4, 3), (0.0, 0.0), (1.0, 1.0), (1, 0)),
    "a part": ((5, 6), (2, 2), (0, 0), (37.0, 110.5), (1.0, 1.0), (17, 20)),
    "a level": ((8, 7), (3, 2), (2, 0), (0.0, 0.0), (4.0, 4.0), (9, 15)),
    "a part of an uneven level": ((7, 8), (2, 3), (1, 2), (12.5, 3.0), (16.0021, 15.9), (14, 12)),
}
SIZE = (26, 29)


def centred(window: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(w // 2 for w in window)


def bright(case: str, **more: Any) -> tuple[ew.ScoreMap, tuple[float, ...]]:
    """A map of the windows' middle pixels, plus a little of all of theirs; and the bright pixel's middle in level 0."""
    window, stride, pad, origin, downsample, pixel = CASES[case]
    image = np.zeros(SIZE)
    image[pixel] = 1
    padded = np.pad(image, [(p, p) for p in pad])
    windows = sliding_window_view(padded, window)[tuple(slice(None, None, s) for s in stride)]
    middle = windows[..., *centred(window)] + 0.5 * windows.max((-1, -2))
    score = np.stack([1 - middle, middle]).astype(np.float32)
    offsets = tuple(tuple(s * i - p for i in range(n)) for s, p, n in zip(stride, pad, score.shape[1:], strict=True))
    m = ew.ScoreMap(
        torch.from_numpy(score),
        offsets,
        window,
        stride,
        "crops",
        Verdict(True),
        activation="none",
        classes=("dark", "bright"),
        image_size=SIZE,
        place=Place(window, stride, pad, origin, downsample),
    )
    at = tuple(d * (o + p + 0.5) for d, o, p in zip(downsample, origin, pixel, strict=True))
    return replace(m, **more), at


def level0(m: ew.ScoreMap, index: tuple[int, ...]) -> tuple[float, ...]:
    """The centre of a cell by its window's own pixels: the oracle."""
    place = m.place
    assert place is not None
    found = []
    for axis, i in enumerate(index):
        edges = [j + i * place.stride[axis] - place.pad[axis] for j in range(place.window[axis] + 1)]
        scanned = sum(edges) / len(edges) + place.origin[axis]
        found.append(scanned * place.downsample[axis])
    return tuple(found)


def strongest(plane: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.nanargmax(plane)), plane.shape))


def check(m: ew.ScoreMap, index: tuple[int, ...], centre: tuple[float, ...], pixel: tuple[float, ...]) -> None:
    """The cell lies where its window does, and the window holds the pixel."""
    assert centre == pytest.approx(level0(m, index), abs=1e-6, rel=0)
    assert m.place is not None
    halves = [d * w / 2 for d, w in zip(m.place.downsample, m.place.window, strict=True)]
    assert all(abs(c - p) < half for c, p, half in zip(centre, pixel, halves, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_geotiff_without_a_place_in_the_world(case: str, tmp_path: Path) -> None:
    m, pixel = bright(case)
    done = ew.export(m, tmp_path / "m.tif")
    assert (done.of, done.count) == ("bands", 2)
    with rasterio.open(tmp_path / "m.tif") as file:
        assert file.descriptions == ("dark", "bright")
        assert file.crs is None
        assert np.isnan(file.nodata)
        index = strongest(file.read(2))
        x, y = file.transform @ (index[1] + 0.5, index[0] + 0.5)
    check(m, index, (y, x), pixel)


@pytest.mark.parametrize("transform", [NORTH_UP, TURNED])
@pytest.mark.parametrize("case", CASES)
def test_geotiff_in_the_world(case: str, transform: tuple[float, ...], tmp_path: Path) -> None:
    m, pixel = bright(case, source={"crs": WKT, "transform": list(transform)})
    ew.export(m, tmp_path / "m.tif")
    valid, errors, _ = cog_validate(str(tmp_path / "m.tif"))
    assert valid, errors
    with rasterio.open(tmp_path / "m.tif") as file:
        assert file.crs.to_epsg() == 32633
        index = strongest(file.read(2))
        east, north = file.transform @ (index[1] + 0.5, index[0] + 0.5)
    x, y = ~rasterio.Affine(*transform) @ (east, north)
    check(m, index, (y, x), pixel)


@pytest.mark.parametrize("spacing", [None, [0.25, 0.5]])
@pytest.mark.parametrize("case", CASES)
def test_ome_tiff(case: str, spacing: list[float] | None, tmp_path: Path) -> None:
    m, pixel = bright(case, source={"spacing": spacing, "unit": "micrometer" if spacing else None})
    ew.export(m, tmp_path / "m.ome.tif")
    with tifffile.TiffFile(tmp_path / "m.ome.tif") as file:
        index = strongest(file.series[0].asarray()[1])
        (pixels,) = _elements(file.ome_metadata, "Pixels")
        plane = _elements(file.ome_metadata, "Plane")[1]
        assert [e.get("Name") for e in _elements(file.ome_metadata, "Channel")] == ["dark", "bright"]
    assert pixels.get("PhysicalSizeXUnit", "µm") == ("µm" if spacing else "pixel")
    centre = []
    for axis, (name, step) in enumerate(zip("YX", spacing or (1.0, 1.0), strict=True)):
        at = float(plane.get(f"Position{name}")) + index[axis] * float(pixels.get(f"PhysicalSize{name}"))
        centre.append(at / step + 0.5)
    check(m, index, tuple(centre), pixel)


def _elements(xml: str, name: str) -> list[Any]:
    return [element for element in ElementTree.fromstring(xml).iter() if element.tag.endswith("}" + name)]


@pytest.mark.parametrize("case", CASES)
def test_zarr(case: str, tmp_path: Path) -> None:
    m, pixel = bright(case, source={"spacing": [0.25, 0.5], "unit": "micrometer"})
    m.save(tmp_path / "m.zarr")
    group = zarr.open_group(str(tmp_path / "m.zarr"), mode="r")
    index = strongest(np.asarray(group["0"][1]))  # type: ignore[index]
    ome: Any = group.attrs["ome"]
    scale, shift = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    positions = [i * s + t for i, s, t in zip(index, scale["scale"][1:], shift["translation"][1:], strict=True)]
    check(m, index, (positions[0] / 0.25 + 0.5, positions[1] / 0.5 + 0.5), pixel)


@pytest.mark.parametrize("coordinates", ["pixels", "world"])
@pytest.mark.parametrize("case", CASES)
def test_geojson(case: str, coordinates: Any, tmp_path: Path) -> None:
    m, pixel = bright(case, source={"crs": WKT, "transform": list(TURNED)})
    peak = float(m.scores[1].max())
    done = ew.export(m, tmp_path / "m.geojson", klass="bright", threshold=peak, coordinates=coordinates)
    document = json.loads((tmp_path / "m.geojson").read_text())
    (feature,) = document["features"][:1]
    assert (done.of, done.count) == ("regions", len(document["features"]))
    assert feature["properties"]["classification"]["name"] == "bright"
    assert feature["properties"]["objectType"] == "annotation"
    assert feature["properties"]["measurements"]["Max score"] == pytest.approx(peak)
    corners = feature["geometry"]["coordinates"][0]
    if coordinates == "world":
        assert document["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32633"
        corners = [~rasterio.Affine(*TURNED) @ tuple(corner) for corner in corners]
    places = (np.asarray(m.scores[1]) >= peak).nonzero()
    low, high = ([int(p[0]) for p in places], [int(p[-1]) for p in places])
    xs, ys = zip(*corners, strict=True)
    assert ((min(ys) + max(ys)) / 2, (min(xs) + max(xs)) / 2) == pytest.approx(
        tuple((a + b) / 2 for a, b in zip(level0(m, tuple(low)), level0(m, tuple(high)), strict=True)), abs=1e-6, rel=0
    )
    assert m.place is not None
    if low == high:
        assert (max(ys) - min(ys), max(xs) - min(xs)) == pytest.approx(m.place.cell(), abs=1e-6)
        check(m, tuple(low), ((min(ys) + max(ys)) / 2, (min(xs) + max(xs)) / 2), pixel)


@pytest.mark.parametrize("case", CASES)
def test_csv(case: str, tmp_path: Path) -> None:
    source = {"crs": WKT, "transform": list(TURNED), "spacing": [0.25, 0.5], "unit": "micrometer"}
    m, pixel = bright(case, source=source)
    ew.export(m, tmp_path / "m.csv", klass="bright", threshold=0.1)
    with open(tmp_path / "m.csv", newline="") as file:
        row = next(csv.DictReader(file))
    index = strongest(np.asarray(m.scores[1]))
    assert row["class"] == "bright"
    assert float(row["probability"]) == pytest.approx(float(m.scores[1].max()))
    centre = float(row["centre_y"]), float(row["centre_x"])
    check(m, index, centre, pixel)
    assert float(row["stop_y"]) - float(row["start_y"]) == pytest.approx(m.place.downsample[0] * m.window[0])  # type: ignore[union-attr]
    assert float(row["centre_x_micrometer"]) == pytest.approx(centre[1] * 0.5, abs=1e-9)
    world = float(row["centre_world_x"]), float(row["centre_world_y"])
    assert world == pytest.approx(rasterio.Affine(*TURNED) @ (centre[1], centre[0]), abs=1e-6, rel=0)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 9),
            st.integers(1, 7),
            st.integers(0, 5),
            st.floats(0, 1e5),
            st.floats(0.1, 64),
            st.integers(0, 300),
        ),
        min_size=1,
        max_size=3,
    )
)
@settings(max_examples=200, deadline=None)
def test_place_against_a_plain_loop(axes: list[tuple[int, int, int, float, float, int]]) -> None:
    window, stride, pad, origin, downsample, index = zip(*axes, strict=True)
    place = Place(window, stride, pad, origin, downsample)
    scale, shift = place.ngff([0.3] * len(axes))
    for axis, (w, s, p, o, d, i) in enumerate(axes):
        first = -p
        for _ in range(i):
            first += s
        low, high = d * (o + first), d * (o + first + w)
        assert place.box(index)[axis] == pytest.approx((low, high), rel=1e-12, abs=1e-9)
        assert place.centre(index)[axis] == pytest.approx((low + high) / 2, rel=1e-12, abs=1e-9)
        assert place.first_edge()[axis] + i * place.cell()[axis] + d * s / 2 == pytest.approx(
            (low + high) / 2, rel=1e-12, abs=1e-9
        )
        assert shift[axis] + i * scale[axis] == pytest.approx(0.3 * ((low + high) / 2 - 0.5), rel=1e-12, abs=1e-9)


def scattered(shape: tuple[int, ...], seed: int = 0, **more: Any) -> ew.ScoreMap:
    values = np.random.default_rng(seed).normal(size=(3, *shape)).astype(np.float32)
    values[(slice(None), *(slice(0, n // 4) for n in shape))] = np.nan
    offsets = tuple(tuple(4 * i for i in range(n)) for n in shape)
    window, stride = (8,) * len(shape), (4,) * len(shape)
    m = ew.ScoreMap(torch.from_numpy(values), offsets, window, stride, "exact", Verdict(True))
    return replace(m, **more)


def flooded(inside: np.ndarray) -> list[set[tuple[int, int]]]:
    """Connected cells by a plain flood."""
    left, found = {(int(i), int(j)) for i, j in np.argwhere(inside)}, []
    while left:
        border = [left.pop()]
        region = set(border)
        while border:
            i, j = border.pop()
            for near in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
                if near in left:
                    left.remove(near)
                    region.add(near)
                    border.append(near)
        found.append(region)
    return sorted(found, key=len, reverse=True)


def within(ring: list[list[float]], x: float, y: float) -> bool:
    inside = False
    for (a, b), (c, d) in pairwise(ring):
        if (b > y) != (d > y) and x < (c - a) * (y - b) / (d - b) + a:
            inside = not inside
    return inside


def test_regions_are_the_connected_cells_with_their_holes(tmp_path: Path) -> None:
    m = scattered((30, 40))
    done = ew.export(m, tmp_path / "m.geojson", klass=1, threshold=0.25)
    features = json.loads((tmp_path / "m.geojson").read_text())["features"]
    values = m.probabilities()[1].double().numpy()
    expected = flooded(values >= 0.25)
    assert done.count == len(features) == len(expected)
    assert any(len(f["geometry"]["coordinates"]) > 1 for f in features)
    regions = {frozenset(cells) for cells in expected}
    for feature in features:
        rings = feature["geometry"]["coordinates"]
        cells = frozenset(
            (i, j)
            for i in range(30)
            for j in range(40)
            if sum(within(ring, 4 + 4 * j, 4 + 4 * i) for ring in rings) == 1
        )
        assert cells in regions
        inside = np.array([values[cell] for cell in cells])
        told = feature["properties"]["measurements"]
        assert told["Windows"] == len(cells)
        assert (told["Mean probability"], told["Max probability"]) == pytest.approx((inside.mean(), inside.max()))


def test_the_largest_regions_stay_and_the_others_are_counted(tmp_path: Path) -> None:
    m = scattered((30, 40))
    sizes = [len(region) for region in flooded(m.probabilities()[1].double().numpy() >= 0.25)]
    done = ew.export(m, tmp_path / "m.geojson", klass=1, threshold=0.25, most=5)
    features = json.loads((tmp_path / "m.geojson").read_text())["features"]
    assert [f["properties"]["measurements"]["Windows"] for f in features] == sizes[:5]
    assert (done.count, done.left_out) == (5, len(sizes) - 5)
    assert f"{len(sizes) - 5:,} smaller" in str(done)


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("shape", [(300, 700), (3, 70, 600)])
def test_rasters_hold_every_value_and_smaller_levels(
    shape: tuple[int, ...], probabilities: bool, tmp_path: Path
) -> None:
    m = scattered(shape)
    m.save(tmp_path / "m.zarr")
    expected = (m.probabilities() if probabilities else m.scores).numpy()
    ew.export(tmp_path / "m.zarr", tmp_path / "m.ome.tif", probabilities=probabilities)
    with tifffile.TiffFile(tmp_path / "m.ome.tif") as file:
        levels = file.series[0].levels
        assert [level.shape for level in levels[:2]] == [expected.shape, (*expected.shape[:-2], *_halves(shape))]
        np.testing.assert_allclose(levels[0].asarray(), expected, rtol=1e-6)
        ours = levels[1].asarray()[..., 20, 30]
        np.testing.assert_allclose(ours, expected[..., 40:42, 60:62].mean((-1, -2)), rtol=1e-5)
    if len(shape) == 2:
        ew.export(tmp_path / "m.zarr", tmp_path / "m.tif", probabilities=probabilities)
        with rasterio.open(tmp_path / "m.tif") as raster:
            np.testing.assert_allclose(raster.read(), expected, rtol=1e-6)
            assert raster.overviews(1)
        assert cog_validate(str(tmp_path / "m.tif")) == (True, [], [])


def _halves(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-n // 2) for n in shape[-2:])


def test_a_volume_is_placed_along_z_too(tmp_path: Path) -> None:
    place = Place((8,) * 3, (4,) * 3, (0,) * 3, (2.0, 0.0, 0.0), (1.0, 2.0, 2.0))
    m = scattered((3, 5, 6), place=place, source={"spacing": [3.0, 0.5, 0.5], "unit": "millimeter"})
    ew.export(m, tmp_path / "m.ome.tiff")
    with tifffile.TiffFile(tmp_path / "m.ome.tiff") as file:
        (pixels,) = _elements(file.ome_metadata, "Pixels")
        planes = _elements(file.ome_metadata, "Plane")
    assert (pixels.get("PhysicalSizeZUnit"), float(pixels.get("PhysicalSizeZ"))) == ("mm", 12.0)
    at = {(int(p.get("TheC")), int(p.get("TheZ"))): float(p.get("PositionZ")) for p in planes}
    for (_, z), position in at.items():
        assert position == pytest.approx(3.0 * (place.centre((z, 0, 0))[0] - 0.5))
    assert len(at) == 9


@pytest.mark.parametrize(
    ("shape", "name", "remedy"),
    [
        ((3, 5, 6), "m.tif", "ome.tif"),
        ((3, 5, 6), "m.png", "ome.tif"),
        ((3, 5, 6), "m.geojson", "csv"),
        ((9,), "m.tif", "csv"),
        ((9,), "m.ome.tif", "csv"),
        ((9,), "m.geojson", "csv"),
        ((9, 9), "m.jpeg", "geojson"),
        ((9, 9), "m", "geojson"),
    ],
)
def test_formats_that_cannot_hold_a_map_name_one_that_can(
    shape: tuple[int, ...], name: str, remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=remedy):
        ew.export(scattered(shape), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(40,), (9, 9), (4, 5, 6)])
def test_what_every_map_can_be(shape: tuple[int, ...], tmp_path: Path) -> None:
    m = scattered(shape)
    names = ["m.csv", "m.npz", *([] if len(shape) == 3 else ["m.png"])]
    for name in names:
        assert ew.export(m, tmp_path / name).path == str(tmp_path / name)
    np.testing.assert_array_equal(ew.ScoreMap.load(tmp_path / "m.npz").scores, m.scores)
    with open(tmp_path / "m.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    boxes = m.boxes(None, 0.5)
    assert [float(row["centre_x"]) for row in rows] == [box.centre[-1] for box in boxes]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)


def test_refusals_leave_everything_as_it_was(tmp_path: Path) -> None:
    m = scattered((9, 9), path=str(tmp_path / "image.tif"))
    (tmp_path / "image.tif").write_bytes(b"the image")
    m.save(tmp_path / "m.zarr")
    before = sorted(tmp_path.rglob("*"))
    for to in ("image.tif", "m.zarr/x.csv", "m.zarr"):
        with pytest.raises(InputError):
            ew.export(tmp_path / "m.zarr", tmp_path / to)
    for options in ({"coordinates": "world"}, {"coordinates": "miles"}, {"most": 0}, {"threshold": 2}, {"klass": "no"}):
        with pytest.raises(InputError):
            ew.export(m, tmp_path / "m.geojson", **options)  # type: ignore[arg-type]
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "image.tif").read_bytes() == b"the image"


def test_nothing_scored_has_no_regions(tmp_path: Path) -> None:
    m = scattered((9, 9))
    with pytest.raises(InputError, match="nothing was scored"):
        ew.export(replace(m, scores=torch.full_like(m.scores, torch.nan)), tmp_path / "m.geojson")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from everywindow.cli import main

    scattered((20, 20)).save(tmp_path / "m.zarr")
    outs = [str(tmp_path / name) for name in ("m.tif", "m.geojson", "m.csv")]
    arguments = [word for out in outs for word in ("--to", out)]
    assert main(["export", str(tmp_path / "m.zarr"), *arguments, "--class", "1", "--threshold", "0.6", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["written"]
    assert [one["path"] for one in written] == outs
    assert [one["of"] for one in written] == ["bands", "regions", "boxes"]
    assert main(["export", str(tmp_path / "m.zarr"), "--to", str(tmp_path / "m.bmp")]) == 1
    assert ".geojson" in capsys.readouterr().err


def test_info_says_how_many_windows_were_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from everywindow.cli import main

    scattered((20, 20)).save(tmp_path / "m.zarr")
    assert main(["info", str(tmp_path / "m.zarr")]) == 0
    assert "400 (20×20)" in (told := capsys.readouterr().out)
    assert "375 of them scored" in told
    assert "time:" not in told  # it is not known


def test_without_rasterio_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "rasterio", None)
    for name in ("m.tif", "m.geojson"):
        with pytest.raises(ew.DependencyError, match=r"everywindow\[geo\]"):
            ew.export(scattered((9, 9)), tmp_path / name, klass=1, threshold=0.0)


@pytest.mark.parametrize("axes", [1, 2])
def test_every_window_as_a_row(tmp_path: Path, axes: int) -> None:
    scores = torch.randn(2, *(5, 4)[-axes:], generator=torch.Generator().manual_seed(0))
    scores[:, -1] = torch.nan
    window, stride, size = (3,) * axes, (2,) * axes, tuple(2 * (n - 1) + 3 for n in scores.shape[1:])
    m = ew.scan(ew.Classifier(_flat(axes), window, channels=1), torch.zeros(1, *size), stride=stride)
    m = replace(m, scores=scores, classes=("a", "b"), activation="softmax")
    m.save(tmp_path / "m.zarr")
    for result in (m, tmp_path / "m.zarr"):
        told = ew.export(result, tmp_path / "m.windows.csv")
        rows = list(csv.DictReader((tmp_path / "m.windows.csv").read_text().splitlines()))
        cells = [index for index in np.ndindex(*scores.shape[1:]) if index[0] < scores.shape[1] - 1]
        assert (told.count, told.of) == (len(rows), "windows")
        assert [tuple(float(row[f"centre_{axis}"]) for axis in "yx"[-axes:]) for row in rows] == [
            tuple(2 * at + 1.5 for at in cell) for cell in cells
        ]
        expected = scores.softmax(0)[(slice(None), *zip(*cells, strict=True))].T.numpy()
        found = np.array([[float(row["a"]), float(row["b"])] for row in rows])
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def _flat(axes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3**axes, 2)).eval()
