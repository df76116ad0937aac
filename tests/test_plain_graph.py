"""Graphs as plain data: they come back the same, and nothing else than a graph is read."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import fx, nn

from everywindow.errors import CaptureError, InputError, ModelError
from everywindow.graph.allowed import OPERATIONS, resolve
from everywindow.graph.module import GraphNetwork
from everywindow.graph.network import BATCH, Network
from everywindow.graph.plain import decode, encode
from everywindow.graph.shapes import record_shapes
from handmade import Lenet, lenet, odd_arguments

Plain = dict[str, Any]


def stored(network: Network) -> Plain:
    """Through text, as a file does it."""
    return json.loads(json.dumps(encode(network), allow_nan=False))


def state_of(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state.items()}


@pytest.mark.parametrize("make", [lenet, odd_arguments])
def test_a_graph_comes_back_the_same(make: Callable[[], Network]) -> None:
    network = make()
    back = decode(stored(network), state_of(network))
    image = torch.randn(3, network.channels, *network.window)
    before, after = GraphNetwork(network)(image), GraphNetwork(back)(image)
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert encode(back) == encode(network)
    for old, new in zip(network.graph.nodes, back.graph.nodes, strict=True):
        assert new.target == old.target or new.op in ("placeholder", "output")
        assert new.meta.get("layer", "") == old.meta.get("layer", "")
        assert new.meta.get("shape") == old.meta.get("shape")
        assert new.meta.get("dtype") == old.meta.get("dtype")


def test_shapes_are_recorded_at_the_batch_size() -> None:
    nodes = {node.name: node for node in lenet().graph.nodes}
    assert nodes["conv2d_default"].meta["shape"] == (BATCH, 4, 5, 5)
    assert nodes["conv2d_default"].meta["dtype"] == torch.float32
    assert "shape" not in nodes["sym_size_int"].meta
    split = next(n for n in odd_arguments().graph.nodes if n.name.startswith("split"))
    assert split.meta["shape"] == [(BATCH, 1, 8), (BATCH, 1, 8)]


def test_parameters_stay_parameters() -> None:
    network = odd_arguments()
    back = GraphNetwork(decode(stored(network), state_of(network)))
    assert [name for name, _ in back.named_parameters()] == ["scale"]
    assert [name for name, _ in back.named_buffers()] == ["mask"]


def test_no_network_argument_is_evaluated() -> None:
    data = json.dumps(encode(lenet()))
    assert "torch." not in data
    assert "__" not in data


def standardised(statistics: str | None = None) -> Network:
    """A convolution whose weights are standardised by a batch norm in training, as in NFNets."""
    state = {"weight": nn.Parameter(torch.randn(1, 4, 9)), "mean": torch.zeros(4), "var": torch.ones(4)}
    aten, graph = torch.ops.aten, fx.Graph()
    image = graph.create_node("placeholder", "image", name="image")
    weight, mean, var = (graph.create_node("get_attr", name) for name in state)
    kept = (mean, var) if statistics == "kept" else (None, None)
    source = image if statistics == "of the image" else weight
    norm = graph.call_function(aten.batch_norm.default, (source, None, None, *kept, True, 0.0, 1e-5, False))
    kernel = graph.call_function(aten.reshape.default, (norm, [-1, 1, 9]))
    graph.output(graph.call_function(aten.conv1d.default, (image, kernel)))
    return Network(graph, state, (12,), 1)


def test_statistics_of_the_weights_are_no_training() -> None:
    network = standardised()
    record_shapes(network.graph, network.state, (12,), 1)
    back = GraphNetwork(decode(stored(network), state_of(network)))
    image = torch.randn(2, 1, 12)
    torch.testing.assert_close(back(image), GraphNetwork(network)(image), rtol=0, atol=0)


@pytest.mark.parametrize("statistics", ["kept", "of the image"])
def test_statistics_that_change_or_mix_the_batch_are_refused(statistics: str) -> None:
    network = standardised(statistics)
    with pytest.raises(ModelError, match="training mode"):
        decode(stored(network), state_of(network))


# The module


def test_the_module_has_the_networks_names_and_result() -> None:
    plain = Lenet()
    module = GraphNetwork(lenet(plain))
    assert module.state_dict().keys() == plain.state_dict().keys()
    image = torch.randn(2, 1, 12, 12)
    torch.testing.assert_close(module(image), plain(image), rtol=0, atol=0)


def test_a_weight_changed_shows() -> None:
    plain = Lenet()
    module = GraphNetwork(lenet(copy.deepcopy(plain)))
    image = torch.randn(2, 1, 12, 12)
    with torch.no_grad():
        module.get_parameter("head.weight")[0, 0] += 1e-3
    assert not torch.equal(module(image), plain(image))


def test_the_module_trains() -> None:
    plain = Lenet()
    module = GraphNetwork(lenet(copy.deepcopy(plain)))
    image = torch.randn(2, 1, 12, 12)
    for each in (plain, module):
        each(image).square().sum().backward()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(module.get_parameter(name).grad, parameter.grad)


def test_the_module_can_be_moved_copied_and_exported() -> None:
    network = odd_arguments()
    module = copy.deepcopy(GraphNetwork(network)).double()
    image = torch.randn(3, 2, 8, dtype=torch.float64)
    result = module(image)["map"]
    assert result.dtype == torch.float64
    torch.testing.assert_close(result.float(), GraphNetwork(network)(image.float())["map"])
    assert all(node.meta.get("dtype") != torch.float32 for node in module.network.graph.nodes)
    exported = torch.export.export(GraphNetwork(lenet()).eval(), (torch.randn(2, 1, 12, 12),))
    assert exported.module()(torch.zeros(2, 1, 12, 12)).shape == (2, 3)


def test_the_module_refuses_another_size() -> None:
    with pytest.raises(InputError, match=r"\(2, 1, 13, 12\).*convolutionalize"):
        GraphNetwork(lenet())(torch.randn(2, 1, 13, 12))


def test_layers_may_have_the_names_of_attributes() -> None:
    module = nn.Sequential()
    module.add_module("network", Lenet())
    names = list(module.state_dict())
    base = lenet(module)
    assert list(base.state) == names
    wrapped = GraphNetwork(base)
    assert list(wrapped.state_dict()) == names
    assert isinstance(wrapped.network, Network)


def test_names_that_exclude_each_other_are_refused() -> None:
    network = lenet()
    state = {"conv": torch.zeros(1), **network.state}
    with pytest.raises(ModelError, match="conv"):
        GraphNetwork(Network(network.graph, state, network.window, 1))


# What is refused


def node_named(data: Plain, op: str) -> Plain:
    return next(node for node in data["nodes"] if node["op"] == op)


def edit_op(op: str) -> Callable[[Plain], None]:
    return lambda data: node_named(data, "aten.relu.default").update(op=op)


def set_args(args: Any) -> Callable[[Plain], None]:
    return lambda data: node_named(data, "aten.relu.default").update(args=args)


def forward_reference(data: Plain) -> None:
    node_named(data, "aten.conv2d.default")["args"][0] = {"node": data["nodes"][-1]["name"]}


def cycle(data: Plain) -> None:
    node = node_named(data, "aten.relu.default")
    node["args"] = [{"node": node["name"]}]


def list_times_size(data: Plain) -> None:
    size = node_named(data, "aten.sym_size.int")
    data["nodes"].append({"name": "bomb", "op": "operator.mul", "args": [[0], {"node": size["name"]}]})


def growing_number(data: Plain) -> None:
    last = node_named(data, "aten.sym_size.int")["name"]
    for index in range(20):
        args = [{"node": last}, {"node": last}]
        last = f"bomb{index}"
        data["nodes"].append({"name": last, "op": "operator.mul", "args": args})


def huge_tensor(data: Plain) -> None:
    data["nodes"].append({"name": "bomb", "op": "aten.zeros.default", "args": [[2**20, 2**20]]})


def active_dropout(data: Plain) -> None:
    node = node_named(data, "aten.relu.default")
    node.update(op="aten.dropout.default", args=[node["args"][0], 0.5, True])


def deep(levels: int) -> Any:
    return [deep(levels - 1)] if levels else 0


REFUSED: list[tuple[Callable[[Plain], None], str]] = [
    (edit_op("aten.from_file.default"), "from_file"),
    (edit_op("aten.relu_.default"), "relu_"),
    (edit_op("aten.relu.out"), "relu.out"),
    (edit_op("aten.relu.__class__"), "__class__"),
    (edit_op("aten.__init__.default"), "__init__"),
    (edit_op("aten.rand.default"), "rand"),
    (edit_op("aten.empty.memory_format"), "empty"),
    (edit_op("aten.as_strided.default"), "as_strided"),
    (edit_op("prims.relu.default"), "prims"),
    (edit_op("os.system"), "os.system"),
    (edit_op("builtins.eval"), "eval"),
    (edit_op("operator.attrgetter"), "attrgetter"),
    (edit_op("operator.getitem"), "getitem"),
    (edit_op(7), "no operation"),  # type: ignore[arg-type]
    (forward_reference, "no earlier node"),
    (cycle, "no earlier node"),
    (set_args([{"node": "nowhere"}]), "nowhere"),
    (set_args([{"node": ["image"]}]), "no earlier node"),
    (set_args([{"code": "print()"}]), "code"),
    (set_args([{"dtype": "float99"}]), "float99"),
    (set_args([{"device": "cuda"}]), "cuda"),
    (set_args([{"node": "image", "dtype": "float32"}]), "not plain data"),
    (set_args([10**30]), "absurdly large"),
    (set_args([deep(40)]), "nested"),
    (set_args("image"), "no list"),
    (lambda d: d["nodes"][3].update(layer=["x"]), "no name"),
    (set_args([]), "does not fit"),
    (list_times_size, "sizes only"),
    (growing_number, "neither tensors nor a size"),
    (huge_tensor, "absurdly large"),
    (active_dropout, "training mode"),
    (lambda d: d["nodes"][3].update(layer=["x"]), "no name"),
    (lambda d: d.update(format="other"), "not a graph"),
    (lambda d: d.update(version=2), "version is 2"),
    (lambda d: d.update(window=[12, -1]), "window"),
    (lambda d: d.update(window=[12, True]), "window"),
    (lambda d: d.update(window=[]), "axes"),
    (lambda d: d.update(window=[13, 12]), "view"),
    (lambda d: d.update(channels=2), "conv"),
    (lambda d: d.update(channels=0), "channels"),
    (lambda d: d.update(nodes=None), "nodes"),
    (lambda d: d.update(nodes=[3]), "node name"),
    (lambda d: d["nodes"].append(d["nodes"][0]), "image.*two nodes"),
    (lambda d: d["nodes"][0].update(op="state", state="conv.bias"), "0 images"),
    (lambda d: d.update(output={"node": "gone"}), "gone"),
    (lambda d: d["state"].pop("conv.bias"), "conv.bias is not in the graph"),
    (lambda d: d["state"].update(extra={"shape": [1], "dtype": "float32"}), "extra is missing"),
    (lambda d: d["state"]["head.weight"].update(shape=[3, 99]), r"head.weight has shape \[3, 100\]"),
    (lambda d: d["state"]["head.bias"].update(dtype="float64"), "head.bias has dtype"),
    (lambda d: d["nodes"][1].update(state="gone.weight"), "gone.weight"),
]


@pytest.mark.parametrize(("edit", "match"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_graph_is_refused(edit: Callable[[Plain], None], match: str) -> None:
    network = lenet()
    data = stored(network)
    edit(data)
    with pytest.raises(ModelError, match=match) as caught:
        decode(data, state_of(network))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "graph", {}, 3])
def test_data_of_another_kind_is_refused(data: Any) -> None:
    with pytest.raises(ModelError):
        decode(data, {})


def test_an_operation_outside_the_list_is_not_written() -> None:
    graph = fx.Graph()
    image = graph.create_node("placeholder", "image", name="image")
    graph.output(graph.call_function(torch.ops.aten.bernoulli.default, (image,)))
    with pytest.raises(ModelError, match="bernoulli"):
        encode(Network(graph, {}, (4,), 1))


def test_an_argument_that_plain_data_cannot_say_is_not_written() -> None:
    graph = fx.Graph()
    image = graph.create_node("placeholder", "image", name="image")
    graph.output(graph.call_function(torch.ops.aten.mul.Tensor, (image, 2j)))
    with pytest.raises(ModelError, match="complex"):
        encode(Network(graph, {}, (4,), 1))


def test_the_list_holds_only_pure_operations() -> None:
    impure = {"from_file", "save", "set", "set_", "as_strided", "empty", "new_empty", "rand", "randn"}
    assert not impure & OPERATIONS
    for name in OPERATIONS:
        packet = getattr(torch.ops.aten, name)
        readable = [o for o in packet.overloads() if not getattr(packet, o)._schema.is_mutable]
        assert readable, name
        assert callable(resolve(f"aten.{name}.{readable[0]}"))


def test_a_misfit_names_the_layer() -> None:
    network = lenet()
    with pytest.raises(CaptureError, match=r"^conv \(aten.conv2d"):
        record_shapes(network.graph, network.state, (12, 12), 3)
