"""The cost of a scan, before it runs: per layer and per mode, as text, HTML, CSV and JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from everywindow.costing import LayerCost
from everywindow.engines import Advice, ModeCost
from everywindow.errors import InputError
from everywindow.geometry import Reason, times
from everywindow.io import atomic_file
from everywindow.report.document import columns, fragment, paragraph
from everywindow.report.modules import by_module
from everywindow.report.text import amount, counted, quantity, rough, seconds_text, table

SORTS = ("order", "params", "macs", "receptive_field")
FAMILIES = ("conv", "fc", "pool", "other")

HEADER = ("layer", "kind", "output", "parameters", "mult-adds", "sees", "stride", "reach", "exact")
MODE_HEADER = ("mode", "mult-adds", "crops/mode", "seconds", "speed-up", "memory")


@dataclass(frozen=True, repr=False)
class Cost:
    """What a scan costs, before it runs. ``print()`` and notebooks show the report.

    Mult-adds: one multiplication and one addition count as one. Convolutions, fully connected layers and matrix
    products are counted. Poolings compare or add, which is counted beside; normalisations and activations multiply
    next to nothing and are not counted.

    Attributes:
        params: parameters that the network reads.
        macs: mult-adds for the image per mode; ``fcn`` is missing for a network that has no plain conversion.
        windows: number of windows.
        rows: one record per layer with parameters, mult-adds or pooling.
        modes: per mode what else a scan takes: predicted seconds, memory, the engine.
        image_size, window, stride: in pixels, per axis.
        advice: other strides and windows that would cost less.
        refusal: (layer, why) where the network has no plain conversion.
    """

    params: int
    macs: dict[str, int]
    windows: int
    rows: tuple[LayerCost, ...]
    modes: dict[str, ModeCost]
    image_size: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    advice: tuple[Advice, ...] = ()
    refusal: Reason | None = None

    @property
    def fc_share(self) -> float:
        """Share of the parameters that fully connected layers hold, 0 to 1."""
        return sum(row.params for row in self.rows if row.family == "fc") / max(1, self.params)

    def speed_up(self, mode: str) -> float | None:
        """Predicted seconds of the crops over those of a mode; None where none were predicted."""
        crops, other = self.modes["crops"].seconds, self.modes[mode].seconds if mode in self.modes else None
        return crops / other if crops is not None and other else None

    @property
    def predicted(self) -> bool:
        """Whether seconds are known, or cannot be: where nothing proves that windows may share a batch."""
        return self.modes["crops"].seconds is not None or self.modes["exact"].engine != "exact"

    def layers(
        self, sort: str = "order", depth: int | None = None, only: str | Sequence[str] | None = None
    ) -> tuple[LayerCost, ...]:
        """Some of the layers, or sums over modules.

        Args:
            sort: ``"order"`` (as computed), or the largest first by ``"params"``, ``"macs"`` or ``"receptive_field"``.
            depth: sum up by the first so many parts of the module's path.
            only: kinds of layers: ``"conv"``, ``"fc"``, ``"pool"``, ``"other"``; several as a sequence.

        Raises:
            InputError: no such order, depth or kind.
        """
        wanted = _families(only)
        rows = tuple(row for row in self.rows if row.family in wanted)
        rows = rows if depth is None else by_module(rows, depth)
        if sort not in SORTS:
            raise InputError("sort", f"{sort!r} is none of {', '.join(SORTS)}", "use one of them")
        return rows if sort == "order" else tuple(sorted(rows, key=lambda row: getattr(row, sort), reverse=True))

    def table(self, sort: str = "order", depth: int | None = None, only: str | Sequence[str] | None = None) -> str:
        """The report as text; arguments and errors are those of :meth:`layers`."""
        rows = cost_rows(self.layers(sort, depth, only))
        return "\n".join([table(rows, left=2), "", table([MODE_HEADER, *self._mode_rows()]), "", *self._lines()])

    def as_dict(
        self, sort: str = "order", depth: int | None = None, only: str | Sequence[str] | None = None
    ) -> dict[str, Any]:
        """The same as plain data for JSON."""
        return {
            "image_size": list(self.image_size),
            "window": list(self.window),
            "stride": list(self.stride),
            "windows": self.windows,
            "params": self.params,
            "fc_share": self.fc_share,
            "macs": self.macs,
            "refusal": None if self.refusal is None else list(self.refusal),
            "modes": [asdict(mode) | {"speed_up": self.speed_up(mode.mode)} for mode in self.modes.values()],
            "rows": [asdict(row) for row in self.layers(sort, depth, only)],
            "advice": [asdict(each) | {"text": str(each)} for each in self.advice],
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """All of it as JSON, and into a file where one is given."""
        text = json.dumps(self.as_dict(), indent=2)
        if path is not None:
            with atomic_file(path) as part:
                part.write_text(text + "\n", encoding="utf-8")
        return text

    def to_csv(
        self,
        path: str | Path,
        sort: str = "order",
        depth: int | None = None,
        only: str | Sequence[str] | None = None,
    ) -> None:
        """One line per layer; other arguments and errors are those of :meth:`layers`."""
        columns = list(_flat(self.rows[0], tuple(self.macs))) if self.rows else []
        with atomic_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(_flat(row, tuple(self.macs)) for row in self.layers(sort, depth, only))

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        parts = [columns(cost_rows(self.rows), left=3), columns([MODE_HEADER, *self._mode_rows()])]
        return fragment([*parts, *map(paragraph, self._lines())])

    def _mode_rows(self) -> list[tuple[str, ...]]:
        crops = self.macs["crops"]
        return [
            (
                mode.mode,
                quantity(mode.macs),
                f"{crops / mode.macs:,.1f}" if mode.macs else "",
                "" if mode.seconds is None else seconds_text(mode.seconds),
                "" if (gain := self.speed_up(mode.mode)) is None else f"{gain:,.1f}",
                "too little" if mode.peak_bytes is None else amount(mode.peak_bytes),
            )
            for mode in self.modes.values()
        ]

    def _lines(self) -> list[str]:
        """What stands below the tables."""
        where = f"{counted(self.windows, 'window')} of {times(self.window)} px at stride {times(self.stride)}"
        compared, added = (sum(getattr(row, name) for row in self.rows) for name in ("comparisons", "additions"))
        lines = [
            f"{where} on {times(self.image_size)} px",
            f"{self.params:,} parameters, {100 * self.fc_share:.1f} % of them in fully connected layers",
            f"one window: {quantity(sum(row.macs for row in self.rows))} mult-adds; "
            f"poolings compare {quantity(compared)} values and add {quantity(added)}",
        ]
        if self.refusal is not None:
            lines.append(f"fcn: no plain conversion: {self.refusal.layer}: {self.refusal.why}")
        exact = self.modes["exact"]
        if exact.reason:
            lines.append(f"exact: {exact.reason}")
        if not self.predicted:
            lines.append("no seconds: this device has not been measured; predict=True does that once, for some seconds")
        elif self.modes["crops"].seconds is not None:
            lines += rough(len(self.window))
        return [*lines, *map(str, self.advice)]


def _families(only: str | Sequence[str] | None) -> tuple[str, ...]:
    wanted = FAMILIES if only is None else (only,) if isinstance(only, str) else tuple(only)
    for name in wanted:
        if name not in FAMILIES:
            raise InputError("only", f"{name!r} is none of {', '.join(FAMILIES)}", "use one or several of them")
    return wanted


def cost_rows(rows: Sequence[LayerCost]) -> list[tuple[str, ...]]:
    """The layers as the rows of a table, its header first."""
    return [HEADER, *map(_cells, rows)]


def _cells(row: LayerCost) -> tuple[str, ...]:
    work = f"{row.macs:,}" if row.macs else f"({row.comparisons + row.additions:,})" if _pools(row) else "0"
    sees, stride = _alike(row.receptive_field), _alike(row.network_stride)
    reach = _alike(tuple("" if one is None else f"{one[0]}+{one[1]}" for one in row.reach))
    return (row.layer, row.kind, times(row.shape), f"{row.params:,}", work, sees, stride, reach, row.how)


def _pools(row: LayerCost) -> bool:
    return bool(row.comparisons or row.additions)


def _alike(numbers: Sequence[Any]) -> str:
    """One number where all axes have the same."""
    return str(numbers[0]) if len(set(numbers)) == 1 else "×".join(map(str, numbers))


def _flat(row: LayerCost, modes: Sequence[str]) -> dict[str, Any]:
    """A layer in plain columns."""
    return {
        "layer": row.layer,
        "kind": row.kind,
        "family": row.family,
        "output": _joined(row.shape),
        "params": row.params,
        "macs": row.macs,
        "comparisons": row.comparisons,
        "additions": row.additions,
        "receptive_field": _joined(row.receptive_field),
        "network_stride": _joined(row.network_stride),
        "padding": _joined(row.padding),
        "head": _joined(["" if one is None else one[0] for one in row.reach]),
        "tail": _joined(["" if one is None else one[1] for one in row.reach]),
        "exact": row.how,
        **{f"{mode}_macs": row.image_macs.get(mode, "") for mode in modes},
    }


def _joined(numbers: Sequence[Any]) -> str:
    return "x".join(map(str, numbers))
