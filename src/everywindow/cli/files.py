"""``convert`` and ``info``: model files and results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from everywindow.cli.guard import keep_inputs
from everywindow.cli.metadata import WRITER, facts_of
from everywindow.cli.options import Console, Sizes, json_option, load_model, loading, model_options
from everywindow.cli.texts import map_record, map_text
from everywindow.errors import EverywindowError, InputError

if TYPE_CHECKING:
    from everywindow.api import Classifier

RESULTS = (".npz", ".zarr")
NETWORKS = (".pt2", ".onnx")


@click.command()
@model_options
@click.option("--stride", type=Sizes(), help="Pixels between windows.  [default: the network's stride]")
@click.option(
    "--out",
    required=True,
    metavar="PATH",
    help="FILE.pt2 or FILE.onnx: the converted network, for images of any size. A folder: a bundle of the classifier.",
)
@json_option
def convert(model: str, weights: str | None, window: Any, trust: bool, stride: Any, out: str, console: Console) -> None:
    """Write the fully convolutional network, or the classifier as a bundle that holds no code."""
    suffix = Path(out).suffix.lower()
    if suffix not in ("", *NETWORKS):
        raise InputError(out, f"{suffix} is not a kind of model", "end the name in .pt2 or .onnx, or name a folder")
    if not suffix and stride is not None:
        raise InputError("--stride", "a bundle holds the classifier, which has none", "write a .pt2 or .onnx file")
    keep_inputs([out], model, (weights,))
    classifier = load_model(model, weights, window, trust)
    record = _write_network(classifier, stride, out, console) if suffix else _write_bundle(classifier, out, console)
    console.say(f"written: {out}")
    console.result({**record, "files": [out]})


def _write_network(classifier: Classifier, stride: Any, out: str, console: Console) -> dict[str, Any]:
    import torch

    from everywindow import api
    from everywindow.cli.export import write_onnx, write_pt2

    fcn = api.convolutionalize(classifier, stride=stride)
    noise = torch.rand((classifier.channels, *classifier.window), generator=torch.Generator().manual_seed(0))
    activation = api.scan(classifier, noise, mode="crops", progress=False).activation
    (write_onnx if out.lower().endswith(".onnx") else write_pt2)(fcn, out, activation)
    geometry = fcn.geometry
    console.say(
        f"takes [N, {fcn.channels}, *size], any size from {list(geometry.window)}; "
        f"one score per window, stride {list(geometry.stride)}"
    )
    console.say(f"one pass {fcn.verdict.summary()}")
    return {
        "window": list(geometry.window),
        "stride": list(geometry.stride),
        "exact": fcn.verdict.exact,
        "reasons": [list(reason) for reason in fcn.verdict.reasons],
    }


def _write_bundle(classifier: Classifier, out: str, console: Console) -> dict[str, Any]:
    classifier.save(out)
    console.say("a bundle: loads without code and without trust")
    return {"window": list(classifier.window)}


@click.command()
@click.argument("model_or_result")
@loading
@json_option
def info(model_or_result: str, weights: str | None, window: Any, trust: bool, console: Console) -> None:
    """What a model, a saved score map (.npz, .zarr) or a converted network (.pt2, .onnx) is."""
    suffix = Path(model_or_result).suffix.lower()
    if suffix in RESULTS:
        from everywindow import api

        m = api.ScoreMap.load(model_or_result)
        peak = m.strongest()
        console.say(map_text(m, peak))
        console.result({**map_record(m, peak), "kind": "result", "shape": list(m.scores.shape)})
        return
    facts = facts_of(Path(model_or_result)) if suffix in NETWORKS else None
    if facts is not None:
        _say_lines(_network_lines(facts), console)
        console.result({"kind": "network", **facts})
        return
    record = _model_record(load_model(model_or_result, weights, window, trust))
    _say_lines(_model_lines(record), console)
    console.result({"kind": "model", **record})


def _say_lines(lines: dict[str, str], console: Console) -> None:
    width = max(map(len, lines)) + 2
    for name, value in lines.items():
        console.say(f"{name + ':':<{width}}{value}")


def _network_lines(facts: dict[str, Any]) -> dict[str, str]:
    """What a converted network says about itself, for people."""
    lines = {name: _shown(value) for name, value in facts.items() if name not in (WRITER, "exact", "reasons")}
    outputs = facts.get("outputs")
    if isinstance(outputs, dict):
        lines["outputs"] = "; ".join(f"{name} [{_shown(dims)}]" for name, dims in outputs.items())
    because = "" if facts.get("exact") else f", because of {_shown(facts.get('reasons'))}"
    return {
        "converted by": f"everywindow {facts[WRITER]}",
        **lines,
        "image": f"[{_shown(facts.get('image'))}]",
        "equals crops": _shown(facts.get("exact")) + because,
    }


def _model_record(classifier: Classifier) -> dict[str, Any]:
    from everywindow.graph import original

    record = {
        "name": classifier.title,
        "architecture": classifier.architecture or type(original(classifier.module)).__name__,
        "window": list(classifier.window),
        "channels": classifier.channels,
        "mean": classifier.mean,
        "std": classifier.std,
        "classes": classifier.classes,
        "activation": classifier.activation or "seen from the network's end",
        "parameters": sum(p.numel() for p in classifier.module.parameters()),
    }
    return {**record, **_cost_record(classifier), **_conversion_record(classifier)}


def _model_lines(record: dict[str, Any]) -> dict[str, str]:
    """The record for people, who are told what is exact or not: the one pass, not ``exact`` mode."""
    lines = {
        name.replace("_", " "): _shown(value) for name, value in record.items() if name not in ("exact", "reasons")
    }
    if not record["converts"]:
        return {**lines, "converts": f"no, because of {_shown(record['reasons'])}"}
    because = "" if record["exact"] else f", because of {_shown(record['reasons'])}; --mode exact does"
    return {**lines, "one pass equals crops": _shown(record["exact"]) + because}


def _cost_record(classifier: Classifier) -> dict[str, Any]:
    from everywindow import api

    try:
        return {"mult_adds_per_window": api.cost(classifier, classifier.window, stride=1).macs["crops"]}
    except EverywindowError as error:
        return {"mult_adds_per_window": None, "not_counted": str(error)}


def _conversion_record(classifier: Classifier) -> dict[str, Any]:
    from everywindow import api

    try:
        fcn = api.convolutionalize(classifier)
    except EverywindowError as error:
        return {"converts": False, "exact": False, "reasons": [[error.what, error.why]]}
    geometry = fcn.geometry
    return {
        "converts": True,
        "network_stride": list(geometry.network_stride),
        "receptive_field": list(geometry.receptive_field),
        "exact": fcn.verdict.exact,
        "reasons": [list(reason) for reason in fcn.verdict.reasons],
    }


def _shown(value: Any, limit: int = 8) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, (list, tuple)):
        return str(value)
    parts = [f"{v[0]} ({v[1]})" if isinstance(v, list) else str(v) for v in value]
    return ", ".join(parts[:limit]) + (f" and {len(parts) - limit} more" if len(parts) > limit else "") or "none"
