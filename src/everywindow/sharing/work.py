"""What a program computes and holds, counted before it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import product
from math import lcm, prod
from weakref import WeakKeyDictionary

from torch import fx

from everywindow.costing import crops_macs, window_macs
from everywindow.geometry import WindowGrid
from everywindow.graph import Network, records
from everywindow.kernels import scratch
from everywindow.ops import BATCH, CHUNK, Call, Convolution, is_fresh, may_save, rule_for
from everywindow.sharing.kept import program_for
from everywindow.sharing.program import Program, SharedStep, single


def _once(count: Callable[[Program], int]) -> Callable[[Program], int]:
    """Counted once for each program that is kept."""
    known: WeakKeyDictionary[Program, int] = WeakKeyDictionary()

    @wraps(count)
    def counted(program: Program) -> int:
        if program not in known:
            known[program] = count(program)
        return known[program]

    return counted


MANY = 2**10
"""Windows per axis beyond which a shorter row stands in for a longer one."""

COPY, POOL = "copy", "pool"
"""The kinds of calls that move values and multiply nothing; routines that pool volumes are far slower than others."""


@dataclass(frozen=True)
class Work:
    """One call, or one block of it.

    Attributes:
        kind: ``"conv"``, ``"filtered"`` (convolutions for which there may be a faster routine), ``"depthwise"``,
            ``"product"`` (1×1 convolutions, fully connected layers), :data:`POOL` or :data:`COPY`.
        macs: mult-adds.
        size: positions along an axis of the pieces that it makes, averaged over the axes.
        channels: channels that go into one output.
        elements: values read and written.
        gathered: values brought to other positions first.
        near: whether the values are those of a few windows.
    """

    kind: str
    macs: int
    size: float
    channels: int
    elements: int
    gathered: int = 0
    near: bool = False


def window_work(call: Call) -> Work:
    """A call on one whole window."""
    kind, channels = _kind(call)
    sides = call.shape[2:] if kind in ("conv", "depthwise") else ()
    computes = kind != COPY or is_fresh(call.target)
    touched = (_elements(call.node) + sum(map(_elements, call.inputs))) if computes else 0
    return Work(kind, window_macs(call), _side(sides), channels, touched, near=True)


def shared_work(step: SharedStep, program: Program) -> list[Work]:
    """A call on the shared values of a rectangle, block by block."""
    call = step.call
    kind, channels = _kind(call)
    kind = "filtered" if kind == "conv" and may_save(call) else kind
    rows = program.places.rows(step.value)
    positions = prod(row.n for row in rows)
    made = prod(row.length for row in rows)
    features = _elements(step.node) // positions
    macs = window_macs(call) // positions if step.how.macs is None else step.how.macs
    copied = sum(shared_elements(program, node) for node in step.how.copies) + step.how.laid
    if step.how.moves is None:
        read = sum(shared_elements(program, node) for node in call.inputs)
        computes = kind != COPY or is_fresh(call.target)
        return [Work(kind, macs * made, 64.0, channels, (read + made * features) * computes, copied)]
    source = features_of(call.inputs[0], program)
    found = []
    for block in step.how.moves.blocks:
        segments = [part.segment for part in block.parts]
        size = prod(segment.size for segment in segments)
        gathered = 0 if block.spans is not None else prod(block.slab_shape) * source
        side = _side([segment.length for segment in segments])
        found.append(Work(kind, macs * size, side, channels, 2 * size * features, gathered))
    return found


def features_of(node: fx.Node, program: Program) -> int:
    """Values at one position of a shared value."""
    record = single(program.values[node])
    return _elements(node) // prod(record.axis(axis).n for axis in range(len(record.axes)))


def shared_elements(program: Program, node: fx.Node) -> int:
    """Values that a shared value holds for all windows of the rectangle."""
    record = single(program.values[node])
    return features_of(node, program) * prod(row.length for row in program.places.rows(record))


def rest_calls(program: Program) -> Iterator[Call]:
    """The calls on whole windows."""
    values = program.values
    for node in program.rest:
        if "shape" in node.meta and any(values[source] is not None for source in node.all_input_nodes):
            yield Call(node, values)


def program_macs(program: Program) -> int:
    """Mult-adds of the whole rectangle."""
    shared = sum(work.macs for step in program.steps for work in shared_work(step, program))
    return shared + prod(program.windows) * sum(window_macs(call) for call in rest_calls(program))


def exact_macs(network: Network, grid: WindowGrid) -> int:
    """Mult-adds with everything shared that can be; those of the crops where windows may not share a batch."""
    if records(network).unproved is not None:
        return crops_macs(network, grid)
    parts = stand_ins(network, grid)
    return sum(weight * program_macs(program_for(network, counts, grid.stride)) for weight, counts in parts)


def stand_ins(network: Network, grid: WindowGrid) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Rectangles of windows per axis that are counted in place of all, and how many times each counts.

    A row of many windows grows by as much whenever one more cycle of windows is added, so two shorter rows tell the
    longer one. With several axes this holds for each, whatever the others are.
    """
    terms = [_terms(count, _cycle(network, axis, step)) for axis, (count, step) in enumerate(_axes(grid))]
    return tuple((prod(weight for weight, _ in each), tuple(count for _, count in each)) for each in product(*terms))


def _axes(grid: WindowGrid) -> Iterator[tuple[int, int]]:
    return zip(grid.counts, grid.stride, strict=True)


def _cycle(network: Network, axis: int, stride: int) -> int:
    """Windows until all values of the network lie alike again."""
    found = 1
    for value in records(network).values.values():
        for each in value if isinstance(value, tuple) else (value,):
            record = None if each is None else each.axes[axis]
            if record is not None:
                found = lcm(found, lcm(record.period, stride) // stride)
    return found


def _terms(count: int, cycle: int) -> tuple[tuple[int, int], ...]:
    least = max(MANY, 2 * cycle)
    near = least + (count - least) % cycle
    more = (count - near) // cycle
    return ((1, count),) if more <= 1 else ((1 - more, near), (more, near + cycle))


@_once
def shared_peak(program: Program) -> int:
    """Most values that exist at one time while the shared ones are computed, gathered slabs included."""
    held = {program.network.image: shared_elements(program, program.network.image)}
    peak = 0
    for step in program.steps:
        own = shared_elements(program, step.node) if is_fresh(step.node.target) or step.how.moves else 0
        extra = sum(shared_elements(program, node) for node in step.how.copies)
        extra += step.how.laid + _scratch(step, program)
        held[step.node] = own
        peak = max(peak, sum(held.values()) + extra)
        for node in step.frees:
            held.pop(node, None)
    along = max((2 * shared_elements(program, one.source) for one in program.sums), default=0)
    return max(peak, sum(held.values()) + along)


@_once
def frontier_elements(program: Program) -> int:
    """Values that are kept to be taken apart into windows, and sums of windows."""
    kept = sum(shared_elements(program, node) for node in program.frontier)
    return kept + prod(program.windows) * sum(_elements(one.node) for one in program.sums)


@_once
def rest_peak(program: Program) -> int:
    """Most values that one window takes behind the frontier."""
    last: dict[fx.Node, int] = {}
    order = list(program.rest)
    for index, node in enumerate(order):
        last[node] = index
        for source in node.all_input_nodes:
            last[source] = index
    held = {node: _elements(node) for node in program.frontier}
    peak = sum(held.values())
    for index, node in enumerate(order):
        held[node] = _elements(node) if is_fresh(node.target) else 0
        peak = max(peak, sum(held.values()))
        for dead in [one for one in held if last.get(one, index) <= index]:
            del held[dead]
    return peak


def _scratch(step: SharedStep, program: Program) -> int:
    """Slabs gathered at a time with their indices, and what is made of them before it is put into place."""
    if step.how.moves is None:
        return 0
    source, made = features_of(step.call.inputs[0], program), features_of(step.node, program)
    filtered = isinstance(rule_for(step.call.target), Convolution) and may_save(step.call)
    most = 0
    for block in step.how.moves.blocks:
        segments = [part.segment for part in block.parts]
        slab, out = prod(block.slab_shape), prod(segment.size for segment in segments)
        if block.spans is None:
            pieces = len(block.parts[block.cut].index)
            share = min(1.0, max(1 / pieces, CHUNK / max(1, slab * source)))
            held = int(share * (slab * (source + 1) + out * made))
        else:
            held = out * made
        most = max(most, held + (scratch(max(slab * source, out * made)) if filtered else 0))
    return most


def _kind(call: Call) -> tuple[str, int]:
    """How a call's mult-adds run, and how many channels go into one output."""
    rule = rule_for(call.target)
    if rule is None or not rule.macs(call):
        return (POOL if "pool" in str(call.target) else COPY), 1
    if not isinstance(rule, Convolution):
        return "product", max(1, rule.macs(call) * BATCH // prod(call.shape))
    out, channels, *kernel = call["weight"].meta["shape"]
    if channels == 1 and call["groups"] > 1:
        return "depthwise", 1
    return ("product" if prod(kernel) == 1 else "conv"), min(channels, out // call["groups"])


def _elements(node: fx.Node) -> int:
    """Values of a node for one window."""
    shape = node.meta.get("shape")
    if shape is None:
        return 0
    listed = shape if isinstance(shape, list) else [shape]
    return sum(prod(one) for one in listed) // BATCH


def _side(lengths: Sequence[int]) -> float:
    return prod(lengths) ** (1 / len(lengths)) if lengths else 64.0
