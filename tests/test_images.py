"""Reading images: each kind gives the right numbers, each bad one a clear refusal."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
import torch

from everywindow.errors import InputError
from everywindow.io import atomic_path, read_image, read_picture
from everywindow.io.files import read_file

GRAY = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)
RGB = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 14


def saved(folder: Path, array: np.ndarray, name: str = "x.png", **options: Any) -> Path:
    PIL.Image.fromarray(array).save(folder / name, **options)
    return folder / name


def hwc(pixels: torch.Tensor) -> np.ndarray:
    return pixels.movedim(0, -1).numpy()


# Files


def test_an_rgb_file_is_read_as_it_is(tmp_path: Path) -> None:
    image = read_image(saved(tmp_path, RGB))
    assert image.pixels.dtype == torch.float32
    np.testing.assert_allclose(hwc(image.pixels), RGB / 255, rtol=1e-6)
    assert image.path == str(tmp_path / "x.png")
    assert image.picture is not None
    np.testing.assert_array_equal(image.picture, RGB)
    assert (image.scale, image.pad, image.size) == (1.0, (0, 0), (2, 3))


def test_a_file_is_normalised_per_channel(tmp_path: Path) -> None:
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.25, 2.0]
    image = read_image(str(saved(tmp_path, RGB)), mean=mean, std=std)
    np.testing.assert_allclose(hwc(image.pixels), (RGB / 255 - mean) / std, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(image.picture, RGB)


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, grey: bool, name: str) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, RGB[..., 0] if grey else RGB, name, exif=exif)
    shown = np.repeat(RGB[..., :1], 3, axis=2) if grey else RGB
    upright = {
        1: shown,
        2: shown[:, ::-1],
        3: shown[::-1, ::-1],
        4: shown[::-1],
        5: shown.transpose(1, 0, 2),
        6: np.rot90(shown, -1),
        7: np.rot90(shown, 2).transpose(1, 0, 2),
        8: np.rot90(shown),
    }
    np.testing.assert_array_equal(read_picture(path), upright[orientation])


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, name: str) -> None:
    array = np.array([[0, 1, 257], [32768, 65534, 65535]], np.uint16)
    path = saved(tmp_path, array, name)
    image = read_image(path, channels=1)
    np.testing.assert_allclose(image.pixels[0], array / 65535, rtol=1e-6)
    color = read_image(path, channels=3)
    assert torch.equal(color.pixels, image.pixels.expand(3, -1, -1))
    np.testing.assert_array_equal(read_picture(path)[..., 0], array // 257)


def test_float_tiffs_are_taken_as_zero_to_one(tmp_path: Path) -> None:
    array = np.array([[0, 0.25], [0.5, 1]], np.float32)
    path = saved(tmp_path, array, "x.tif")
    np.testing.assert_array_equal(read_image(path, channels=1).pixels[0], array)
    assert read_picture(path)[0, 1].tolist() == [64, 64, 64]


def test_gray_becomes_rgb_and_rgb_gray(tmp_path: Path) -> None:
    gray = read_image(saved(tmp_path, GRAY, "g.png"), channels=3)
    np.testing.assert_allclose(hwc(gray.pixels), np.repeat(GRAY[..., None], 3, 2) / 255, rtol=1e-6)
    luma = read_image(saved(tmp_path, RGB), channels=1)
    np.testing.assert_allclose(luma.pixels[0], RGB @ [0.299, 0.587, 0.114] / 255, atol=1 / 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P with transparency"])
def test_alpha_is_dropped_with_a_warning(tmp_path: Path, mode: str) -> None:
    plain = PIL.Image.fromarray(np.full((4, 4), 51, np.uint8))
    if mode.startswith("P "):
        plain.convert("P").save(tmp_path / "x.png", transparency=51)
    else:
        picture = plain.convert(mode)
        picture.putalpha(10)
        picture.save(tmp_path / "x.tif" if mode == "PA" else tmp_path / "x.png")
    path = next(tmp_path.iterdir())
    with pytest.warns(UserWarning, match="transparency is dropped"):
        image = read_image(path, channels=1)
    torch.testing.assert_close(image.pixels, torch.full((1, 4, 4), 0.2))


def test_one_bit_palette_and_cmyk(tmp_path: Path) -> None:
    checks = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(read_image(saved(tmp_path, checks), channels=1).pixels[0], checks)
    paletted = PIL.Image.fromarray(RGB).convert("P", palette=PIL.Image.Palette.ADAPTIVE)
    paletted.save(tmp_path / "p.png")
    np.testing.assert_allclose(hwc(read_image(tmp_path / "p.png").pixels) * 255, RGB, atol=8)
    flat = PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    flat.save(tmp_path / "c.tif")
    red = read_image(tmp_path / "c.tif").pixels.mean((1, 2))
    torch.testing.assert_close(red, torch.tensor([1.0, 0.0, 0.0]))


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_colours_in_floats_or_in_16_bits(tmp_path: Path, dtype: Any, planar: str) -> None:
    unit = np.linspace(0, 1, 60).reshape(4, 5, 3)
    white = 1 if dtype == np.float32 else 65535
    stored = (unit * white).astype(dtype)
    stored = stored if planar == "contig" else np.ascontiguousarray(np.moveaxis(stored, -1, 0))
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="rgb", planarconfig=planar)
    np.testing.assert_allclose(hwc(read_image(tmp_path / "x.tif").pixels), unit, atol=2e-5)
    grey = read_image(tmp_path / "x.tif", channels=1).pixels[0]
    np.testing.assert_allclose(grey, unit @ [0.299, 0.587, 0.114], atol=4e-5)


def test_alpha_in_16_bits_is_left_out(tmp_path: Path) -> None:
    stored = np.full((5, 4, 4), 65535, np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="rgb", extrasamples=["unassalpha"])
    with pytest.warns(UserWarning, match="transparency is dropped"):
        image = read_image(tmp_path / "x.tif")
    torch.testing.assert_close(image.pixels, torch.ones(3, 5, 4))


def test_bands_that_are_no_colours_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "x.tif", np.zeros((5, 4, 6), np.float32), photometric="minisblack", planarconfig="contig"
    )
    with pytest.raises(InputError, match=r"neither grey nor RGB; read it with tifffile.imread"):
        read_image(tmp_path / "x.tif")


def test_a_tiff_that_promises_too_much_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((9, 9, 3), np.float32), photometric="rgb")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 80)
    with pytest.raises(InputError, match="more than the 80 pixels that are safe to read"):
        read_image(tmp_path / "x.tif")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "x.tif").read_bytes()[:-40])
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"cut\.tif: (not an image that can be read|damaged or cut short)"):
        read_image(tmp_path / "cut.tif")


@pytest.mark.parametrize("recording", [np.linspace(-2.6, 3.5, 20), np.array([-300, 400], np.int16)])
def test_a_recording_is_to_be_given_as_a_tensor(recording: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"raw=True \(--raw\), channels last; or a float tensor \[C, \*size\]"):
        read_image(recording, channels=1, ndim=1)
    tensor = torch.from_numpy(recording).float()[None]
    torch.testing.assert_close(read_image(tensor, channels=1, ndim=1).pixels, tensor)


def test_a_tensor_with_a_gradient_is_taken_without(recwarn: pytest.WarningsRecorder) -> None:
    image = read_image(torch.rand(3, 4, 4, requires_grad=True) * 2)
    assert not image.pixels.requires_grad
    assert not recwarn.list


def test_the_first_of_several_frames_is_read_with_a_warning(tmp_path: Path) -> None:
    first, second = (PIL.Image.fromarray(np.full((4, 4), v, np.uint8)) for v in (51, 255))
    first.save(tmp_path / "x.tif", save_all=True, append_images=[second])
    with pytest.warns(UserWarning, match="several frames.*--out NAME.zarr"):
        image = read_image(tmp_path / "x.tif", channels=1)
    torch.testing.assert_close(image.pixels, torch.full((1, 4, 4), 0.2))


def test_a_pillow_image_is_taken_too() -> None:
    np.testing.assert_allclose(hwc(read_image(PIL.Image.fromarray(RGB)).pixels), RGB / 255, rtol=1e-6)


def test_npy_files_serve_any_number_of_axes(tmp_path: Path) -> None:
    signal = np.linspace(0, 1, 12, dtype=np.float32).reshape(6, 2)
    np.save(tmp_path / "x.npy", signal)
    image = read_image(tmp_path / "x.npy", channels=2, ndim=1)
    np.testing.assert_array_equal(image.pixels, signal.T)
    assert image.picture is None


def hostile_png(width: int, height: int) -> bytes:
    """A few bytes that promise an enormous image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def npy_header(length: int) -> bytes:
    """The start of an array file that promises ``length`` floats."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({length},), }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def truncated(folder: Path, share: float, name: str) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    path = saved(folder, noise, name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif", "x.gif", "x.bmp"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, name: str, share: float) -> None:
    with pytest.raises(InputError, match=name) as caught:
        read_image(truncated(tmp_path, share, name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(12_000, 12_000), (65_500, 65_500), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "bomb.png").write_bytes(hostile_png(*size))
    with pytest.raises(InputError, match=r"bomb\.png.*(pixels|damaged)"):
        read_image(tmp_path / "bomb.png")


def test_a_truncated_bomb_under_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(hostile_png(3000, 3000))
    with pytest.raises(InputError, match="damaged"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "x.eps"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "x.png"),
        (b"hello", "x.jpg"),
        (b"", "x.png"),
        (b"\x80\x04", "x.npy"),
        (
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }",
            "y.npy",
        ),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_image(tmp_path / name)


def test_an_npy_file_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"x\.npy"):
        read_image(tmp_path / "x.npy", channels=1, ndim=1)


def test_missing_files_and_directories(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png: no such file"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(InputError, match="is a directory"):
        read_image(tmp_path)
    with pytest.raises(InputError, match="regular file"):
        read_image("/dev/zero")


def test_a_file_for_another_kind_of_classifier(tmp_path: Path) -> None:
    path = saved(tmp_path, RGB)
    with pytest.raises(InputError, match="1 or 3 channels"):
        read_image(path, channels=4)
    with pytest.raises(InputError, match="2 axes"):
        read_image(path, channels=1, ndim=1)
    with pytest.raises(InputError, match="1 or 3 channels"):
        read_image(PIL.Image.fromarray(RGB), channels=2)


def test_thirty_two_bit_integers_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, np.array([[0, 2**20]], np.int32), "x.tif")
    with pytest.raises(InputError, match="32-bit"):
        read_image(path, channels=1)


# Arrays


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int16, np.int32, np.int64])
def test_integers_are_scaled_by_the_largest_of_their_type(dtype: type) -> None:
    white = np.iinfo(dtype).max
    array = np.array([[0, white // 4], [white // 2, white]], dtype)
    image = read_image(array, channels=1)
    assert image.pixels.dtype == torch.float32
    np.testing.assert_allclose(image.pixels[0], array / white, rtol=1e-6)


def test_booleans_and_big_endian_and_strided_arrays() -> None:
    np.testing.assert_array_equal(read_image(np.eye(3, dtype=bool), channels=1).pixels[0], np.eye(3))
    swapped = GRAY.astype(">u2")
    np.testing.assert_allclose(read_image(swapped, channels=1).pixels[0], GRAY / 65535, rtol=1e-6)
    flipped = RGB[::-1, ::-1]
    np.testing.assert_allclose(hwc(read_image(flipped).pixels), flipped / 255, rtol=1e-6)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("with_channels", [False, True])
def test_arrays_of_any_number_of_axes(ndim: int, with_channels: bool) -> None:
    channels = 2 if with_channels else 1
    array = np.random.default_rng(0).random((3, 4, 5)[:ndim] + (channels,) * with_channels)
    image = read_image(array, channels=channels, ndim=ndim)
    expected = np.moveaxis(array, -1, 0) if with_channels else array[None]
    np.testing.assert_allclose(image.pixels, expected.astype(np.float32))


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.full((2, 2), 200.0), "divide by 255"),
        (np.full((2, 2), -3.0), "divide by 255"),
        (np.full((2, 2), 200, np.int64), "next to nothing in int64"),
        (np.full((2, 2), -1, np.int16), "down to -1"),
        (np.full((2, 2), 1j), "complex128"),
        (np.full((2, 2), "a"), "not pixels"),
        (np.full((2, 2), None), "object"),
        (np.zeros((0, 4)), "no pixels"),
        (np.zeros(4), r"shape \(4,\)"),
        (np.zeros((1, 1, 4, 4)), r"shape \(1, 1, 4, 4\)"),
        (np.zeros((2, 2, 4)), "has 4 channels"),
        (np.full((2, 2), 1e300), "infinite"),
    ],
)
def test_arrays_that_are_no_images(array: np.ndarray, match: str) -> None:
    with pytest.raises(InputError, match=match):
        read_image(array, channels=1)


@pytest.mark.parametrize("image", [None, 3, [[0, 1]], object()])
def test_other_things_are_refused(image: Any) -> None:
    with pytest.raises(InputError, match=f"a {type(image).__name__} is not an image"):
        read_image(image)


@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_nan_and_infinity_are_reported(value: float, name: str) -> None:
    array = np.zeros((5, 7, 3), np.float32)
    array[3, 2, 1] = array[4, 0, 2] = value
    expected = rf"2 of 105 values .* first is {name} at pixel \(3, 2\) of channel 1"
    with pytest.raises(InputError, match=expected):
        read_image(array)
    with pytest.raises(InputError, match=expected):
        read_image(torch.from_numpy(array).movedim(-1, 0))


def test_large_finite_tensors_are_not_taken_for_infinite() -> None:
    read_image(torch.full((1, 2, 2), torch.finfo(torch.float64).max, dtype=torch.float64), channels=1)


# Tensors


def test_a_tensor_is_taken_as_normalised() -> None:
    tensor = torch.randn(3, 4, 5) * 9
    image = read_image(tensor, mean=[0.5] * 3, std=[0.5] * 3)
    assert torch.equal(image.pixels, tensor)
    expected = ((tensor * 0.5 + 0.5).clamp(0, 1) * 255 + 0.5).to(torch.uint8)
    np.testing.assert_array_equal(image.picture, hwc(expected))
    assert read_image(tensor).picture is None


def test_a_tensor_keeps_double_precision_and_only_that() -> None:
    assert read_image(torch.zeros(3, 2, 2, dtype=torch.float64)).pixels.dtype == torch.float64
    assert read_image(torch.zeros(3, 2, 2, dtype=torch.float16)).pixels.dtype == torch.float32


@pytest.mark.parametrize(
    ("tensor", "match"),
    [
        (torch.zeros(1, 3, 4, 4), r"shape \(1, 3, 4, 4\)"),
        (torch.zeros(4, 4), r"shape \(4, 4\)"),
        (torch.zeros(4, 4, 3), "has 4 channels"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "uint8 holds raw values"),
        (torch.zeros(3, 0, 4), "no pixels"),
    ],
)
def test_tensors_that_are_no_images(tensor: torch.Tensor, match: str) -> None:
    with pytest.raises(InputError, match=match):
        read_image(tensor)


# Scale and pad


@pytest.mark.parametrize("factor", [0.25, 0.4, 1.7])
def test_scaling_is_pillows_antialiased_filter(factor: float) -> None:
    array = np.random.default_rng(0).random((40, 31)).astype(np.float32)
    image = read_image(array, channels=1, scale=factor)
    size = round(31 * factor), round(40 * factor)
    expected = PIL.Image.fromarray(array).resize(size, PIL.Image.Resampling.BILINEAR)
    np.testing.assert_allclose(image.pixels[0], expected, atol=1e-5)
    assert image.scale == factor


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_scaling_keeps_a_linear_ramp_in_the_middle(ndim: int) -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(64, *[1] * (ndim - 1))
    array = np.broadcast_to(ramp, (64, 8, 8)[:ndim])
    image = read_image(array, channels=1, ndim=ndim, scale=0.25)
    assert image.size == (16, 2, 2)[:ndim]
    line = image.pixels[0].reshape(16, -1)[:, 0]
    expected = (np.arange(16) * 4 + 1.5) / 63
    np.testing.assert_allclose(line[1:-1], expected[1:-1], atol=1e-5)


def test_padding_is_zero_after_normalisation_and_the_mean_in_the_picture() -> None:
    image = read_image(np.ones((2, 3), np.float32), channels=1, mean=[0.2], std=[0.5], pad=(1, 2))
    assert image.size == (4, 7)
    torch.testing.assert_close(image.pixels[0, 1:3, 2:5], torch.full((2, 3), 1.6))
    assert image.pixels.sum().item() == pytest.approx(6 * 1.6, rel=1e-5)
    assert image.picture is not None
    assert image.picture[0, 0].tolist() == [51, 51, 51]
    assert image.picture[1, 2].tolist() == [255, 255, 255]
    assert image.pad == (1, 2)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf"), "big", [1, 2]])
def test_bad_scales(scale: Any) -> None:
    with pytest.raises(InputError, match="scale"):
        read_image(GRAY, channels=1, scale=scale)


@pytest.mark.parametrize("pad", [-1, (1, 2, 3), (1, -1), 1.5, (1.0, 2), "12", True])
def test_bad_pads(pad: Any) -> None:
    with pytest.raises(InputError, match="pad"):
        read_image(GRAY, channels=1, pad=pad)


@pytest.mark.parametrize("option", [{"scale": 1e6}, {"pad": 10**7}])
def test_absurd_sizes_are_refused_before_memory_is_taken(option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="too large"):
        read_image(GRAY, channels=1, **option)


# Writing


def test_what_is_written_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "map.png"
    with atomic_path(target) as scratch:
        assert scratch.suffix == ".png"
        scratch.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert [p.name for p in target.parent.iterdir()] == ["map.png"]


def _file(path: Path, text: str) -> None:
    path.write_text(text)


def _directory(path: Path, text: str) -> None:
    path.mkdir()
    (path / text).touch()


@pytest.mark.parametrize("write", [_file, _directory])
def test_an_error_leaves_what_was_there(tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    target = tmp_path / "map"
    write(target, "old")

    def stop(scratch: Path) -> None:
        write(scratch, "new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic_path(target) as scratch:
        stop(scratch)
    assert [p.name for p in tmp_path.iterdir()] == ["map"]
    assert "old" in (target.read_text() if target.is_file() else [p.name for p in target.iterdir()])


@pytest.mark.parametrize("write", [_file, _directory])
def test_what_was_there_is_replaced_as_a_whole(tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    target = tmp_path / "old"
    write(target, "a")
    with atomic_path(target) as scratch:
        write(scratch, "b")
    assert [p.name for p in tmp_path.iterdir()] == ["old"]
    assert "b" in (target.read_text() if target.is_file() else [p.name for p in target.iterdir()])


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="cannot be written"),
        atomic_path(tmp_path / "file" / "map") as scratch,
    ):
        scratch.touch()


def test_sixteen_bits_in_which_white_is_0(tmp_path: Path) -> None:
    values = np.array([[0, 1000], [60000, 65535]], np.uint16)
    tifffile.imwrite(tmp_path / "negative.tif", values, photometric="miniswhite")
    np.testing.assert_array_equal(read_file(tmp_path / "negative.tif", channels=1, ndim=2), 65535 - values)
