"""Whether an engine's scores equal the crops'."""

from __future__ import annotations

from everywindow.convert import FullyConvolutional
from everywindow.engines.prepare import Prepared
from everywindow.geometry import Reason, Verdict
from everywindow.graph import one_pass_records

EXACT = Verdict(exact=True)


def verdict_of(prepared: Prepared, fcn: FullyConvolutional | None) -> Verdict:
    """The verdict on one pass; on the crops or the exact engine, where ``fcn`` is None."""
    if fcn is None:
        return EXACT
    return _own_verdict(prepared, fcn) if fcn is prepared.module else fcn.verdict


def _own_verdict(prepared: Prepared, fcn: FullyConvolutional) -> Verdict:
    """Of a converted network as it stands now: its owner may have put other layers in."""
    network = prepared.network
    if network is None:
        why = prepared.why_not or Reason("network", "it cannot be captured")
        return Verdict(exact=False, reasons=(*fcn.verdict.reasons, why))
    now = one_pass_records(network)
    changed = (now.unshared,) if now.unshared else now.verdict.reasons
    return Verdict(fcn.verdict.exact and not changed and now.verdict.exact, (*fcn.verdict.reasons, *changed))
