"""The command line: summaries, files, JSON, and one line for every error."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import everywindow as ew
from everywindow import api
from everywindow.cli import main
from everywindow.engines.rates import rates_for


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A detector of one bright pixel in the middle of 7×7, unpadded, at network stride 1."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(50, 2))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net[0].weight[0, 0, 1, 1] = 1
        net[3].weight[1, 12] = 20
        net[3].bias[0] = 5
    path = tmp_path_factory.mktemp("models") / "spot"
    ew.Classifier(net, window=7, channels=1, mean=0, std=1, classes=["dark", "spot"]).save(path)
    return str(path)


@pytest.fixture(scope="module")
def padded(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 3))
    path = tmp_path_factory.mktemp("models") / "padded"
    ew.Classifier(net, window=8, channels=1, mean=0, std=1).save(path)
    return str(path)


@pytest.fixture
def photo(tmp_path: Path) -> str:
    """Dark, with one bright pixel at row 20, column 33."""
    pixels = np.zeros((40, 60), np.uint8)
    pixels[20, 33] = 255
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


class Ran:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line on stderr of a command that failed and did nothing else."""
        (line,) = self.err.splitlines()
        assert line.startswith("everywindow: ")
        assert self.out == ""
        return line


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*args: object) -> Ran:
        capsys.readouterr()
        code = main([str(arg) for arg in args])
        return Ran(code, *capsys.readouterr())

    return run


def test_scan_summarises_and_writes_every_kind(command: Any, bundle: str, photo: str, tmp_path: Path) -> None:
    outs = [tmp_path / name for name in ("m.npz", "m.zarr", "m.png")]
    ran = command("scan", photo, "--model", bundle, *(part for out in outs for part in ("--out", out)))
    assert ran.code == 0, ran.err
    assert all(out.exists() for out in outs)
    for words in ("1,836 (34×54)", "7×7 px", "dark", "spot: probability", "x 30 to 37, y 17 to 24", "exact: equals"):
        assert words in ran.out
    assert ran.err == ""
    assert ew.ScoreMap.load(outs[0]).strongest("spot").start == (17, 30)


def test_scan_json_has_the_box_in_pixels_of_the_given_image(
    command: Any, bundle: str, photo: str, tmp_path: Path
) -> None:
    ran = command("scan", photo, "--model", bundle, "--scale", 2, "--stride", "2,1", "--pad", 4, "--json",
                  "--class", "spot", "--out", tmp_path / "m.npz")  # fmt: skip
    record = ran.json
    assert record["stride"] == [2, 1]
    assert record["image_size"] == [80, 120]
    assert record["counts"] == [(88 - 7) // 2 + 1, 128 - 7 + 1]
    found = record["strongest"]
    assert found["class"] == "spot"
    middle = [(a + b) / 2 for a, b in zip(found["start"], found["exclusive_stop"], strict=True)]
    assert middle == pytest.approx([20.5, 33.5], abs=0.51)
    assert record["files"] == [str(tmp_path / "m.npz")]
    assert record["plan"]["mode"] == record["mode"] == "exact"
    assert "strongest" in ran.err


def test_boxes_and_scales_are_listed_in_pixels_of_the_given_image(
    command: Any, bundle: str, photo: str, tmp_path: Path
) -> None:
    asked = ("scan", photo, "--model", bundle, "--class", "spot", "--json", "--boxes", 0.9, "--out")
    one = command(*asked, tmp_path / "one").json
    several = command(*asked, tmp_path / "several", "--scales", "1,2").json
    (box,) = one["boxes"]
    assert (box["start"], box["exclusive_stop"]) == ([17, 30], [24, 37])
    assert box == one["strongest"] | {"windows": box["windows"]}
    assert several["scales"] == [1.0, 2.0]
    assert several["boxes"][0]["class"] == several["strongest"]["class"] == "spot"
    assert [m["strongest"]["class"] for m in several["maps"]] == ["spot", "spot"]
    assert "one of the two" in command(*asked, tmp_path / "x", "--scales", "1,2", "--scale", 2).err
    assert "no probability" in command(*asked[:-2], 90, "--out", tmp_path / "x").complaint
    assert "something else" in command(*asked, tmp_path / "one", "--scales", "1,2").complaint


@pytest.mark.parametrize("more", [(), ("--scales", "1,2")])
def test_a_class_that_is_not_there_is_seen_before_the_scan(
    command: Any, bundle: str, photo: str, tmp_path: Path, more: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "scan", lambda *_, **__: pytest.fail("it was scanned"))
    ran = command("scan", photo, "--model", bundle, "--class", "zebra", "--out", tmp_path / "maps", *more)
    assert ran.code == 1
    assert ran.complaint.endswith("class 'zebra': it is none of dark, spot; give a name of the classifier or an index")


@pytest.mark.parametrize("more", [(), ("--scales", "1,2")])
@pytest.mark.parametrize("wrong", [("--boxes", 90), ("--class", "7")])
def test_nothing_is_written_where_nothing_can_be_listed(
    command: Any, padded: str, photo: str, tmp_path: Path, more: tuple[str, ...], wrong: tuple[object, ...]
) -> None:
    ran = command("scan", photo, "--model", padded, *wrong, "--out", tmp_path / "maps", *more)
    assert ran.code == (2 if "--boxes" in wrong else 1)
    assert "0 to" in ran.complaint
    assert ran.complaint.startswith(f"everywindow: {'--boxes: ' if '--boxes' in wrong else 'class'}")
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize("more", [(), ("--scales", "1,2")])
def test_names_are_given_where_a_model_has_none(
    command: Any, padded: str, photo: str, tmp_path: Path, more: tuple[str, ...]
) -> None:
    file = tmp_path / "names.txt"
    file.write_text("cat\n\ndog\nbird\n")
    asked = ("scan", photo, "--model", padded, "--out", tmp_path / "maps", *more)
    for names in ("cat,dog, bird", file):
        ran = command(*asked, "--classes", names, "--class", "bird", "--json")
        assert (ran.json["strongest"]["class"], ran.json["strongest"]["index"]) == ("bird", 2)
    assert "2 names for 3 scores" in command(*asked, "--classes", "cat,dog").complaint
    assert "'cat' stands there twice" in command(*asked, "--classes", "cat,dog,cat").complaint
    assert "none of cat, dog, bird" in command(*asked, "--classes", file, "--class", "fish").complaint
    assert "no names are known" in command(*asked, "--class", "fish").complaint
    assert "a GPU is 'cuda'" in command(*asked, "--device", "gpu").complaint


def test_a_stride_larger_than_the_image_leaves_one_window(
    command: Any, bundle: str, photo: str, tmp_path: Path
) -> None:
    ran = command("scan", photo, "--model", bundle, "--stride", 500, "--out", tmp_path / "m.npz", "--json")
    assert (ran.code, ran.json["counts"]) == (0, [1, 1])


@pytest.mark.parametrize("out", ["results", "results/", "dotted.name/"])
def test_a_folder_gets_map_and_heat_map(command: Any, bundle: str, photo: str, tmp_path: Path, out: str) -> None:
    ran = command("scan", photo, "--model", bundle, "--out", f"{tmp_path}/{out}")
    assert ran.code == 0, ran.err
    assert sorted(p.name for p in (tmp_path / out).iterdir()) == ["heatmap.png", "map.npz"]


def test_padded_network_is_scanned_exactly_and_fcn_names_the_reason(
    command: Any, padded: str, photo: str, tmp_path: Path
) -> None:
    args = ("scan", photo, "--model", padded, "--stride", 4, "--json", "--out", tmp_path / "m.npz")
    exact, crops, fcn = (command(*args, *mode).json for mode in ((), ("--mode", "crops"), ("--mode", "fcn")))
    assert (exact["mode"], exact["exact"]) == ("exact", True)
    assert exact["plan"]["engine"] in ("exact", "crops")
    assert (crops["mode"], crops["exact"]) == ("crops", True)
    assert (fcn["mode"], fcn["exact"]) == ("fcn", False)
    assert fcn["reasons"][0][0] == "0"


def test_scan_says_how_the_map_was_computed(command: Any, bundle: str, padded: str, photo: str, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "m.npz")
    text = command("scan", photo, "--model", padded, "--stride", 4, *out).out
    reason = command("scan", photo, "--model", padded, "--stride", 4, *out, "--json").json["plan"]["reason"]
    assert re.search(r"mode: +exact: equals the crops", text)
    assert re.search(r"computed: +" + re.escape(reason.split(":")[0]), text)
    asked = command("scan", photo, "--model", padded, "--mode", "crops", *out).out
    assert "windows one by one\n" in asked
    asked = command("scan", photo, "--model", padded, "--mode", "fcn", *out).out
    assert "fcn: differs from the crops: 0 (" in asked
    assert "in one pass\n" in asked
    assert "computed:" in command("info", tmp_path / "m.npz").out


def test_compare_prints_the_table(command: Any, padded: str, photo: str) -> None:
    ran = command("compare", photo, "--model", padded, "--stride", 4)
    assert ran.code == 0, ran.err
    assert "same top class" in ran.out
    assert "fcn: differs from the crops: 0 (" in ran.out
    record = command("compare", photo, "--model", padded, "--stride", 4, "--json").json
    assert [run["mode"] for run in record["runs"]] == ["crops", "fcn", "exact"]
    _, fcn, exact = record["runs"]
    assert exact["exact"]
    assert exact["relative_difference"] < 1e-4 < fcn["relative_difference"]
    assert record["windows"] == 9 * 14


def test_cost_counts_before_running(command: Any, bundle: str) -> None:
    ran = command("cost", "--model", bundle, "--image-size", "40,60", "--stride", 1)
    assert ran.code == 0
    assert "1,836 windows of 7×7 px at stride 1×1 on 40×60 px" in ran.out
    record = command("cost", "--model", bundle, "--image-size", "40,60", "--stride", 1, "--json").json
    assert record["macs"]["crops"] == 1836 * (25 * 2 * 9 + 100)
    assert record["windows"] == 1836
    assert all(mode["seconds"] > 0 for mode in record["modes"])


def test_cost_measures_the_device_once_and_says_so(
    command: Any, bundle: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EVERYWINDOW_CACHE", str(tmp_path))
    asked = ("cost", "--model", bundle, "--image-size", 40)
    without = command(*asked, "--no-predict")
    assert without.err == ""
    assert "--predict does that once" in without.out
    monkeypatch.setattr("everywindow.engines.rates.calibrated", lambda *_: FIGURES)
    monkeypatch.setattr("everywindow.engines.rates.probed", lambda *_: {})
    rates_for.cache_clear()
    try:
        first, second = command(*asked), command(*asked)
    finally:
        rates_for.cache_clear()
    assert "measuring how fast this device is" in first.err
    assert second.err == ""
    assert first.out == second.out


FIGURES = {
    **{kind: {"1": {"1": 1e9}} for kind in ("conv", "filtered", "depthwise", "product")},
    **dict.fromkeys(("moved", "near", "gathered"), 1000000000.0),
    "calls": 1e5,
}


def test_cost_sorts_sums_selects_and_writes(command: Any, bundle: str, tmp_path: Path) -> None:
    out = tmp_path / "layers.csv"
    asked = ("cost", "--model", bundle, "--image-size", 40, "--no-predict")
    ran = command(*asked, "--sort", "params", "--only", "conv,fc", "--csv", out, "--json")
    assert [row["family"] for row in ran.json["rows"]] == ["fc", "conv"]
    assert len(out.read_text().splitlines()) == 3
    assert command(*asked, "--depth", 1, "--json").json["params"] == ran.json["params"]
    for options, said in (
        (("--only", "rnn"), "'rnn' is none of conv, fc, pool, other"),
        (("--depth", 0), "--depth: 0 is no number of 1 or more"),
        (("--csv", tmp_path), "is a folder"),
        (("--csv", Path(bundle) / "config.json"), "give --csv a place outside of it"),
    ):
        refused = command(*asked, *options)
        assert refused.code != 0
        assert said in refused.err
        assert len(refused.err.splitlines()) == 1


def test_convert_writes_a_network_for_every_size(command: Any, bundle: str, tmp_path: Path) -> None:
    out = tmp_path / "net.pt2"
    ran = command("convert", "--model", bundle, "--out", out, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["exact"] is True
    program = torch.export.load(out).module()
    fcn = api.convolutionalize(api.load(bundle))
    for shape in ((1, 1, 7, 7), (2, 1, 19, 11), (3, 1, 8, 30), (1, 1, 30, 7), (1, 1, 7, 9)):
        x = torch.rand(shape)
        torch.testing.assert_close(program(x), fcn(x))


def test_convert_writes_a_bundle_that_loads_without_trust(command: Any, bundle: str, tmp_path: Path) -> None:
    assert command("convert", "--model", bundle, "--out", tmp_path / "copy").code == 0
    x = torch.rand(2, 1, 7, 7)
    torch.testing.assert_close(ew.load(tmp_path / "copy").module(x), ew.load(bundle).module(x))


def test_info_of_a_model(command: Any, bundle: str, padded: str) -> None:
    record = command("info", bundle, "--json").json
    assert record["window"] == [7, 7]
    assert record["classes"] == ["dark", "spot"]
    assert record["parameters"] == 20 + 102
    assert record["mult_adds_per_window"] == 25 * 2 * 9 + 100
    assert record["receptive_field"] == [7, 7]
    assert record["exact"] is True
    text = command("info", padded).out
    assert not any(line.startswith("exact") for line in text.splitlines()), "read as: exact mode does not work"
    assert re.search(r"one pass equals crops: +no, because of 0 \(zero padding.*; --mode exact does", text)
    assert re.search(r"one pass equals crops: +yes\n", command("info", bundle).out)


def test_info_of_a_result(command: Any, bundle: str, photo: str, tmp_path: Path) -> None:
    for name in ("m.npz", "m.zarr"):
        command("scan", photo, "--model", bundle, "--out", tmp_path / name)
        record = command("info", tmp_path / name, "--json").json
        assert record["shape"] == [2, 34, 54]
        assert record["strongest"]["start"] == [17, 30]
        assert "mode:" in command("info", tmp_path / name).out


def test_errors_are_one_line_and_leave_no_file(command: Any, bundle: str, photo: str, tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(small)
    (tmp_path / "cut.png").write_bytes(Path(photo).read_bytes()[:60])
    torch.save({}, tmp_path / "weights.pth")
    out = tmp_path / "out.npz"
    before = set(tmp_path.iterdir())
    cases: dict[str, tuple[object, ...]] = {
        "no such file": (tmp_path / "absent.png", "--model", bundle),
        "window": (small, "--model", bundle),
        "cut.png": (tmp_path / "cut.png", "--model", bundle),
        "stride": (photo, "--model", bundle, "--stride", 0),
        "absent-model": (photo, "--model", "absent-model"),
        "weights.pth": (photo, "--model", tmp_path / "weights.pth"),
        "zebra": (photo, "--model", bundle, "--class", "zebra"),
        "trust": (photo, "--model", "os.path:join"),
        "memory": (photo, "--model", bundle, "--memory", "much"),
        "scale": (photo, "--model", bundle, "--scale", -1),
    }
    for word, args in cases.items():
        ran = command("scan", *args, "--out", out)
        assert ran.code == (2 if word in ("stride", "memory", "scale") else 1), word
        assert word in ran.complaint, ran.err
    assert set(tmp_path.iterdir()) == before


def test_a_place_that_cannot_be_written_is_seen_before_the_scan(
    command: Any, bundle: str, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "scan", lambda *args, **kwargs: pytest.fail("scanned"))
    ran = command("scan", photo, "--model", bundle, "--out", "map.tif")
    assert ran.code == 1
    assert ".npz, .zarr, .png" in ran.complaint


def test_what_is_read_is_not_written_over(
    command: Any, bundle: str, photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "scan", lambda *args, **kwargs: pytest.fail("scanned"))
    link = tmp_path / "link.png"
    link.symlink_to(photo)
    before = Path(photo).read_bytes()
    for out, why in (
        (photo, "is the image or the weights to be read"),
        (link, "is the image or the weights to be read"),
        (bundle, "lies in the bundle"),
        (f"{bundle}/heat.png", "lies in the bundle"),
    ):
        ran = command("scan", photo, "--model", bundle, "--out", out)
        assert ran.code == 1
        assert why in ran.complaint
        assert "--out" in ran.complaint
    assert Path(photo).read_bytes() == before
    for out, why in ((bundle, "is the model itself"), (f"{bundle}/net.pt2", "lies in the bundle")):
        ran = command("convert", "--model", bundle, "--out", out)
        assert ran.code == 1
        assert why in ran.complaint
    assert {file.name for file in Path(bundle).iterdir()} == {"config.json", "graph.json", "model.safetensors"}


def test_errors_and_notes_name_options_of_the_command_line(command: Any, bundle: str, tmp_path: Path) -> None:
    small = tmp_path / "scale=2.png"
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(small)
    ran = command("scan", small, "--model", bundle, "--out", tmp_path / "m.npz")
    assert "enlarge it with --scale, or extend it with --pad" in ran.complaint
    ran = command("scan", small, "--model", bundle, "--stride", 0, "--pad", 2, "--out", tmp_path / "m.npz")
    assert ran.complaint.startswith("everywindow: --stride: 0 ")
    assert "give --trust if" in command("info", "os.path:join").complaint
    assert f"{small}: " in command("info", small).complaint


def test_without_a_command_the_help_is_shown_as_it_is_meant_to_be_read(command: Any) -> None:
    ran = command()
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == command("--help").out


def test_other_kinds_of_model_are_refused(command: Any, bundle: str, tmp_path: Path) -> None:
    for name in ("net.tflite", "net.h5"):
        ran = command("convert", "--model", bundle, "--out", tmp_path / name)
        assert ran.code == 1
        assert ".pt2" in ran.complaint


@pytest.mark.parametrize(
    "args",
    [
        ("scan",),
        ("scan", "photo.png", "--model", "m"),
        ("scan", "photo.png", "--model", "m", "--out", "o.npz", "--mode", "magic"),
        ("scan", "photo.png", "--model", "m", "--out", "o.npz", "--stride", "two"),
        ("scam",),
        ("--frobnicate",),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(command: Any, args: tuple[str, ...]) -> None:
    ran = command(*args)
    assert ran.code == 2
    assert "--help" in ran.complaint
    assert not ran.complaint.startswith("everywindow: everywindow")


def test_ctrl_c_is_130(command: Any, bundle: str, photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "scan", interrupted)
    ran = command("scan", photo, "--model", bundle, "--out", "m.npz")
    assert ran.code == 130
    assert "Traceback" not in ran.err
    assert "interrupted" in ran.err


def test_surprises_are_one_line_too(command: Any, bundle: str, photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def surprise(*args: object, **kwargs: object) -> None:
        raise RuntimeError("several\nlines")

    monkeypatch.setattr(api, "scan", surprise)
    ran = command("scan", photo, "--model", bundle, "--out", "m.npz")
    assert ran.code == 1
    assert "RuntimeError: several lines" in ran.complaint
    monkeypatch.setenv("EVERYWINDOW_TRACEBACK", "1")
    with pytest.raises(RuntimeError):
        main(["scan", photo, "--model", bundle, "--out", "m.npz"])


def test_warnings_are_notes(command: Any, bundle: str, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((9, 9, 4), np.uint8)).save(tmp_path / "alpha.png")
    ran = command("scan", tmp_path / "alpha.png", "--model", bundle, "--out", tmp_path / "m.npz")
    assert ran.code == 0
    (line,) = ran.err.splitlines()
    assert line.startswith("everywindow: note: ")
    assert "transparency" in line


def test_help_of_every_command(command: Any) -> None:
    assert command("--version").out.startswith("everywindow ")
    for name in ("demo", "scan", "compare", "cost", "explain", "convert", "info"):
        assert name in command("--help").out
        assert "--json" in command(name, "--help").out


def test_module_runs_as_a_program() -> None:
    program = [sys.executable, "-m", "everywindow", "info", "absent.npz"]
    ran = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr == "everywindow: absent.npz: no such file; check the name\n"


def test_compare_runs_the_modes_that_are_named(command: Any, padded: str, photo: str) -> None:
    ran = command("compare", photo, "--model", padded, "--stride", 4, "--modes", "crops,exact", "--json")
    assert [run["mode"] for run in ran.json["runs"]] == ["crops", "exact"]
    assert ran.json["left_out"] == []
    wrong = command("compare", photo, "--model", padded, "--modes", "crops,fast")
    assert wrong.code == 2
    assert "'fast' is none of exact, fcn, crops" in wrong.complaint


def test_a_window_that_the_model_does_not_take_is_one_line(
    command: Any, tmp_path: Path, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "grey_net.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2))\n"
    )
    monkeypatch.chdir(tmp_path)
    options = ("--model", "grey_net:build", "--trust", "--window", 9)
    for ran in (command("scan", photo, *options, "--out", "map.npz"), command("compare", photo, *options)):
        assert ran.code == 2
        assert "does not take a window of 1×9×9" in ran.complaint


def test_bad_values_of_options_are_bad_command_lines(command: Any, bundle: str, photo: str, tmp_path: Path) -> None:
    """One exit code, whichever option it is, and the option's name; nothing of how Python writes values."""
    cases: dict[str, tuple[object, ...]] = {
        "--scales: 0 cannot be used; give factors above 0, such as 1 and 0.5": ("evaluate", tmp_path, "--scales", "0"),
        "--overlaps: 2 cannot be used; give shares above 0": ("evaluate", tmp_path, "--overlaps", "2"),
        "--resize: 0 is no whole number of 1 or more; give one": ("evaluate", tmp_path, "--resize", 0),
        "--protocols: 'nine' is none of": ("evaluate", tmp_path, "--protocols", "nine"),
        "'--modes': 'nine' is none of": ("compare", photo, "--modes", "nine"),
        "--stride: 500×500 pixels are more than the image of 100×100 has; give a smaller one": (
            *("cost", "--image-size", 100, "--stride", 500),
        ),
        "--image-size: 5×5 pixels are smaller than the window of 7×7; give a larger one": (
            *("cost", "--image-size", 5),
        ),
        "--memory: 64 bytes are less than": ("cost", "--image-size", 100, "--memory", 64),
    }
    for words, args in cases.items():
        ran = command(*args, "--model", bundle)
        assert ran.code == 2, words
        assert words in ran.complaint


def test_the_window_of_a_bundle_is_said_in_its_words(command: Any, bundle: str, photo: str) -> None:
    ran = command("compare", photo, "--model", bundle, "--window", 48)
    assert ran.complaint == (
        "everywindow: --window: this network was saved for 7×7, and takes no 48×48; leave --window out, or give 7×7"
    )


def test_a_page_is_html(command: Any, bundle: str, tmp_path: Path) -> None:
    ran = command("explain", bundle, "--out", tmp_path / "page.txt")
    assert "page.txt: .txt is not a kind of page; end the name in .html" in ran.complaint
    assert not list(tmp_path.iterdir()) or not (tmp_path / "page.txt").exists()


def test_a_bundle_has_the_name_of_its_folder(command: Any, bundle: str) -> None:
    assert command("info", bundle, "--json").json["name"] == Path(bundle).name
    assert f"name: {Path(bundle).name}" in " ".join(command("info", bundle).out.split())


def test_values_out_of_range_name_the_option_that_takes_them_as_they_are(command: Any, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv1d(2, 2, 8), nn.Flatten())
    ew.Classifier(net, window=8).save(tmp_path / "recordings")
    np.save(tmp_path / "rec.npy", 1000 * np.random.default_rng(0).random((60, 2), np.float32))
    args = ("compare", tmp_path / "rec.npy", "--model", tmp_path / "recordings")
    assert "have values taken as they are: --raw, channels last" in command(*args).complaint
    assert command(*args, "--raw", "--json").json["windows"] == 53
