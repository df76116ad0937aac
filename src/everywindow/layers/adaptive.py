"""A pool whose window follows the input's size."""

from __future__ import annotations

from torch import Tensor, nn

from everywindow.errors import InputError
from everywindow.layers.boxes import BOXES, Reduce, Sizes, axes_of, checked, checked_reduce, sizes


class AdaptiveWindowPool(nn.Module):
    """Pooling to a given output size by one window and one stride, which follow the input (He et al., 2014).

    Takes ``[N, C, *axes]`` with one, two or three axes and gives ``[N, C, *output_size]``. Along an axis of ``n``
    positions the window has ``ceil(n / out)`` and the stride ``floor(n / out)`` positions.

    torch's adaptive pooling has bins of its own instead, from ``floor(i * n / out)`` to ``ceil((i + 1) * n / out)``,
    whose sizes may differ. The two are the same where ``n % out`` is 0 or 1. Elsewhere the last ``n % out - 1``
    positions are in no window here, while torch's bins cover all.

    Args:
        output_size: positions of the output, an int or one per axis.
        reduce: ``"max"`` or ``"mean"``.

    Raises:
        InputError: a size that is not positive, another word, or (when called) an input smaller than the output.

    >>> import torch
    >>> AdaptiveWindowPool(3)(torch.arange(7.0).reshape(1, 1, 7))  # windows of 3 at stride 2
    tensor([[[2., 4., 6.]]])
    """

    def __init__(self, output_size: Sizes, reduce: Reduce = "max") -> None:
        super().__init__()
        self.output_size = checked("output_size", output_size)
        self.reduce = checked_reduce(reduce)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, *axes]`` to ``[N, C, *output_size]``."""
        axes = axes_of(x, "AdaptiveWindowPool")
        counts, lengths = sizes("output_size", self.output_size, axes), tuple(x.shape[2:])
        if any(n < out for n, out in zip(lengths, counts, strict=True)):
            raise InputError("AdaptiveWindowPool", f"{lengths} positions for {counts} outputs", "give a larger input")
        window = tuple(-(-n // out) for n, out in zip(lengths, counts, strict=True))
        stride = tuple(n // out for n, out in zip(lengths, counts, strict=True))
        for axis, (size, step, out) in enumerate(zip(window, stride, counts, strict=True)):
            x = x.narrow(2 + axis, 0, (out - 1) * step + size)
        pooled: Tensor = BOXES[self.reduce][axes - 1](x, window, stride)
        return pooled

    def extra_repr(self) -> str:
        """The settings."""
        return f"output_size={self.output_size}, reduce={self.reduce!r}"
