"""The captured graph of a network and the records of its values."""

from everywindow.graph.activation import Activation, final_activation
from everywindow.graph.applied import CONVOLUTIONS, Applied, applied, first_convolution, named_arguments, original
from everywindow.graph.cache import captured, captured_apart
from everywindow.graph.capture import capture
from everywindow.graph.constants import evaluated
from everywindow.graph.digest import digest, state_digest
from everywindow.graph.evaluating import copied, evaluating, precision, using
from everywindow.graph.module import VIEWS, GraphNetwork, last_uses
from everywindow.graph.module import run as run_graph
from everywindow.graph.names import first_odd_name
from everywindow.graph.network import Network, needed_for, needed_nodes, output_nodes
from everywindow.graph.outputs import Output, chosen, leaves, plain_outputs
from everywindow.graph.plain import decode, encode
from everywindow.graph.propagate import gathered_inputs
from everywindow.graph.quiet import quiet_torch
from everywindow.graph.records import Records, one_pass_network, one_pass_records, records, refresh
from everywindow.graph.selected import only

__all__ = [
    "CONVOLUTIONS",
    "VIEWS",
    "Activation",
    "Applied",
    "GraphNetwork",
    "Network",
    "Output",
    "Records",
    "applied",
    "capture",
    "captured",
    "captured_apart",
    "chosen",
    "copied",
    "decode",
    "digest",
    "encode",
    "evaluated",
    "evaluating",
    "final_activation",
    "first_convolution",
    "first_odd_name",
    "gathered_inputs",
    "last_uses",
    "leaves",
    "named_arguments",
    "needed_for",
    "needed_nodes",
    "one_pass_network",
    "one_pass_records",
    "only",
    "original",
    "output_nodes",
    "plain_outputs",
    "precision",
    "quiet_torch",
    "records",
    "refresh",
    "run_graph",
    "state_digest",
    "using",
]
