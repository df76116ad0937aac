"""Everything the project knows about an operation, in one place: records, conversion, mult-adds."""

from everywindow.ops.aliasing import IN_PLACE, fills_first, is_fresh
from everywindow.ops.batch import BATCH
from everywindow.ops.blocks import CHUNK, features_last, settled, windows_of
from everywindow.ops.context import ContextEmitter, sizes
from everywindow.ops.convolution import Convolution, may_save
from everywindow.ops.emitter import Emitter, Mapped
from everywindow.ops.form import axis_dim, is_in_place
from everywindow.ops.functional import spread, wide, windows_to_batch
from everywindow.ops.heads import window_linear
from everywindow.ops.opaque import layout_by_shape
from everywindow.ops.places import Environment, Places, Rows, Step
from everywindow.ops.pointwise import FeatureDropout, Pointwise
from everywindow.ops.registry import RULES, is_random, rule_for
from everywindow.ops.rule import Call, MixesBatch, NotProved, NotReproducible, NotShared, Rule, per_item, shape_of
from everywindow.ops.shape import Reshape
from everywindow.ops.varying import CHANGES, changes
from everywindow.ops.verbatim import emit_overload
from everywindow.ops.weights import positive_weights

__all__ = [
    "BATCH",
    "CHANGES",
    "CHUNK",
    "IN_PLACE",
    "RULES",
    "Call",
    "ContextEmitter",
    "Convolution",
    "Emitter",
    "Environment",
    "FeatureDropout",
    "Mapped",
    "MixesBatch",
    "NotProved",
    "NotReproducible",
    "NotShared",
    "Places",
    "Pointwise",
    "Reshape",
    "Rows",
    "Rule",
    "Step",
    "axis_dim",
    "changes",
    "emit_overload",
    "features_last",
    "fills_first",
    "is_fresh",
    "is_in_place",
    "is_random",
    "layout_by_shape",
    "may_save",
    "per_item",
    "positive_weights",
    "rule_for",
    "settled",
    "shape_of",
    "sizes",
    "spread",
    "wide",
    "window_linear",
    "windows_of",
    "windows_to_batch",
]
