"""How windows share each layer, for people."""

from __future__ import annotations

from everywindow.engines.plan import LayerPlan
from everywindow.sharing import Program, SharedStep, positions_share, rest_calls, window_macs


def layer_plans(program: Program) -> tuple[LayerPlan, ...]:
    """One entry per layer, in order; of a layer's calls the one that is shared least."""
    found: dict[str, LayerPlan] = {}
    for step in program.steps:
        plan = _shared(step, program)
        before = found.get(plan.layer)
        found[plan.layer] = plan if before is None or plan.share >= before.share else before
    for call in rest_calls(program):
        if window_macs(call) or call.layer not in found:
            found[call.layer] = LayerPlan(call.layer, "per window", 1.0)
    return tuple(found.values())


def _shared(step: SharedStep, program: Program) -> LayerPlan:
    rows = program.places.rows(step.value)
    alike = all(row.head + row.tail == 0 for row in rows)
    return LayerPlan(step.call.layer, "shared" if alike else "strips", positions_share(rows))
