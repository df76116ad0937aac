"""A chain of layers at fine strides, as it is written by hand: à trous, by fragments, by shift and stitch.

It shares no code with the package that it is compared with: PyTorch, nothing else. Chains are an
``nn.Sequential`` of convolutions of stride 1, poolings whose stride is their kernel, activations and, behind a
flatten, fully connected layers.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection, Sequence
from math import isqrt

import torch
from torch import Tensor, nn

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

Method = Callable[[nn.Sequential, Tensor], Tensor]
"""From a chain without fully connected layers and an image ``[1, C, H, W]`` to its dense map."""


def a_trous(module: nn.Module, dense: int | None = None) -> nn.Sequential:
    """The chain as convolutions only; its last ``dense`` poolings (all by default) give every position.

    What follows a pooling that gives every position is dilated, so that it finds the neighbours it knows.
    """
    layers = list(module.children())
    poolings = [layer for layer in layers if isinstance(layer, nn.MaxPool2d)]
    made_dense = poolings if dense is None else poolings[len(poolings) - dense :]
    found: list[nn.Module] = []
    dilation, channels = 1, 0
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            found.append(_pooling(layer, dilation, layer in made_dense))
            dilation *= _step(layer) if layer in made_dense else 1
        elif isinstance(layer, nn.Conv2d):
            assert layer.stride == (1, 1)
            found.append(_convolution(layer.weight, layer.bias, dilation, layer.padding[0]))
            channels = layer.out_channels
        elif isinstance(layer, nn.Linear):
            side = isqrt(layer.in_features // channels)
            kernel = layer.weight.reshape(layer.out_features, channels, side, side)
            found.append(_convolution(kernel, layer.bias, dilation, 0))
            channels = layer.out_features
        elif not isinstance(layer, nn.Flatten):
            found.append(copy.deepcopy(layer))
    return nn.Sequential(*found).eval()


def _step(layer: nn.MaxPool2d) -> int:
    assert isinstance(layer.stride, int)
    return layer.stride


def _pooling(layer: nn.MaxPool2d, dilation: int, dense: bool) -> nn.MaxPool2d:
    return nn.MaxPool2d(layer.kernel_size, stride=1 if dense else layer.stride, dilation=dilation)


def _convolution(kernel: Tensor, bias: Tensor | None, dilation: int, padding: int | str) -> nn.Conv2d:
    assert isinstance(padding, int)
    out, channels, *sides = kernel.shape
    sizes = (sides[0], sides[1])
    layer = nn.Conv2d(channels, out, sizes, padding=padding * dilation, dilation=dilation, dtype=kernel.dtype)
    with torch.no_grad():
        layer.weight.copy_(kernel)
        assert layer.bias is not None
        layer.bias.copy_(torch.zeros(out) if bias is None else bias)
    return layer


def fragments(layers: Sequence[nn.Module], image: Tensor, dense: Collection[nn.Module]) -> Tensor:
    """Poolings in ``dense`` run once for each of their offsets; what they give is put together at the end."""
    for place, layer in enumerate(layers):
        if layer in dense:
            rest = layers[place + 1 :]
            return _interleaved(
                [[fragments(rest, layer(image[:, :, top:, left:]), dense) for left in (0, 1)] for top in (0, 1)]
            )
        image = layer(image)
    return image


def shift_and_stitch(module: nn.Module, image: Tensor, own_stride: int, stride: int) -> Tensor:
    """The whole network once for each shift of the image by ``stride`` pixels below its own stride."""
    shifts = range(0, own_stride, stride)
    return _interleaved([[module(image[:, :, top:, left:]) for left in shifts] for top in shifts])


def _interleaved(parts: Sequence[Sequence[Tensor]]) -> Tensor:
    """One map, whose every n-th row and column comes from one part."""
    step, first = len(parts), parts[0][0]
    rows, columns = sum(row[0].shape[2] for row in parts), sum(part.shape[3] for part in parts[0])
    whole = first.new_empty(first.shape[0], first.shape[1], rows, columns)
    for top, row in enumerate(parts):
        for left, part in enumerate(row):
            whole[:, :, top::step, left::step] = part
    return whole


class ByHand:
    """A chain and a method over one image ``[C, H, W]``, in a memory format."""

    def __init__(self, chain: nn.Sequential, image: Tensor, layout: str, method: Method | None = None) -> None:
        self.chain = copy.deepcopy(chain).to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
        self.image, self.layout = image, layout
        self.method = method or _plainly

    @torch.inference_mode()
    def scores(self) -> Tensor:
        """The map ``[K, rows, columns]``."""
        return self.method(self.chain, self.image.unsqueeze(0).contiguous(memory_format=LAYOUTS[self.layout]))[0]

    def seconds(self) -> float:
        """Seconds for the whole image."""
        start = time.perf_counter()
        self.scores()
        return time.perf_counter() - start


def _plainly(chain: nn.Sequential, image: Tensor) -> Tensor:
    result: Tensor = chain(image)
    return result
