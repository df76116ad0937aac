"""What decides the arithmetic of a scan, chosen once and written down: the same settings give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from everywindow.convert import FullyConvolutional
from everywindow.engines.choose import choose, one_pass, provably_equal
from everywindow.engines.crops import quiet_tf32, tuned
from everywindow.engines.exact import plan_exact
from everywindow.engines.fcn import tuned_format
from everywindow.engines.prepare import Prepared, bytes_per_window, for_output, most_together, unproved
from everywindow.engines.scan import check_mode
from everywindow.errors import InputError
from everywindow.geometry import WindowGrid
from everywindow.graph import Output, evaluating, using


@dataclass(frozen=True)
class Settings:
    """Plain data: ``Settings(**json.loads(json.dumps(settings.as_dict())))`` is the same.

    Attributes:
        engine: ``"crops"``, ``"fcn"`` or ``"exact"``.
        reason: why this one.
        share: how many of the calls that can be shared are, for ``exact``; None for all.
        batch: windows at a time, at most.
        memory_format: ``"contiguous"`` or ``"channels_last"``.
        limit: bytes that values may take; it decides how windows are cut where not all fit.
        threads: CPU threads within torch's routines.
    """

    engine: str
    reason: str
    share: int | None
    batch: int
    memory_format: str
    limit: int
    threads: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """The number of threads while inside, in the thread that enters it; TF32 and trials of routines are off."""
        before = torch.get_num_threads()
        cudnn = torch.backends.cudnn
        trying = cudnn.benchmark
        with quiet_tf32():
            try:
                if before != self.threads:
                    torch.set_num_threads(self.threads)
                cudnn.benchmark = False
                yield
            finally:
                cudnn.benchmark = trying
                if before != self.threads:
                    torch.set_num_threads(before)


def settle(
    prepared: Prepared,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    mode: str,
    output: Output,
    limit: int,
    sample: Tensor,
) -> Settings:
    """The settings for tiles of the size of ``sample`` ``[C, *size]``, as a scan of it would choose them.

    The engine is chosen by what is proved and predicted; batch and memory format of the crops, and the memory format of
    one pass where there are several, are tried on the sample.

    Raises:
        InputError: no such mode, or the limit of so many bytes is too small for a window.
        ConversionError: ``mode="fcn"`` and the network has no plain conversion.
    """
    check_mode(mode)
    prepared = for_output(prepared, output)
    grid = WindowGrid(tuple(sample.shape[1:]), window, stride)
    pixels = sample.to(prepared.device, prepared.dtype)
    with using(prepared.module), quiet_tf32():
        choice = choose(prepared, grid, mode, limit)
        batch, memory_format = 1, "contiguous"
        if choice.engine == "crops":
            batch, memory_format = _tuned_crops(prepared, pixels, grid, output, limit)
        elif choice.engine == "exact":
            assert prepared.network is not None
            plan = plan_exact(prepared.network, grid, limit, prepared.dtype.itemsize, choice.share)
            batch, memory_format = plan.batch, "channels_last"
        else:
            assert choice.fcn is not None
            with evaluating(prepared.module):
                memory_format = tuned_format(
                    choice.fcn, prepared.module, pixels, limit=limit, output=output_of(prepared, choice.fcn, output)
                )
    return Settings(choice.engine, choice.reason, choice.share, batch, memory_format, limit, torch.get_num_threads())


def output_of(prepared: Prepared, fcn: FullyConvolutional, output: Output) -> Output:
    """Which output of the converted network is wanted: one that was converted has that one alone."""
    return output if fcn is prepared.module else None


def settled_pass(
    prepared: Prepared, stride: tuple[int, ...], settings: Settings, mode: str
) -> FullyConvolutional | None:
    """The converted network, where settings ask for it.

    Raises:
        InputError: the settings are not for this network: nothing proves what they rest on.
    """
    if settings.engine == "fcn":
        if mode == "fcn":
            return one_pass(prepared, stride)
        found = None if prepared.network is None else provably_equal(prepared.network, stride)
        if found is None or unproved(prepared) is not None:
            raise _not_these("one pass is not proved to equal the crops")
        return found
    if settings.engine == "exact":
        if unproved(prepared) is not None:
            raise _not_these(f"windows may not share a batch ({unproved(prepared)})")
    elif settings.engine != "crops":
        raise _not_these(f"engine {settings.engine!r} is none of crops, fcn, exact")
    elif settings.batch > most_together(prepared):
        raise _not_these(f"batches of {settings.batch} windows, where {most_together(prepared)} may be together")
    return None


def _not_these(why: str) -> InputError:
    return InputError("settings", f"not for this network: {why}", "settle them anew")


def _tuned_crops(prepared: Prepared, pixels: Tensor, grid: WindowGrid, output: Output, limit: int) -> tuple[int, str]:
    return tuned(
        prepared.module,
        pixels,
        grid,
        most=most_together(prepared),
        window_bytes=bytes_per_window(prepared),
        limit=limit,
        output=output,
        kept_with=prepared.network,
    )
