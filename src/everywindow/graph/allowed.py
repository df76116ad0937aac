"""The operations that a graph on disk may name: pure functions of tensors, and nothing else.

Names are resolved through this list only. An operation that writes in place, draws random numbers,
reads files or memory that it was not given, or whose output size depends on the data, is not on it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from everywindow.errors import ModelError

_POINTWISE = """
    abs absolute acos acosh add addcdiv addcmul arctan arctan2 asin asinh atan atan2 atanh bitwise_and
    bitwise_not bitwise_or bitwise_xor ceil celu clamp clamp_max clamp_min copysign cos cosh deg2rad div
    divide elu eq erf erfc erfinv exp exp2 expm1 floor floor_divide fmax fmin fmod frac ge gelu glu greater
    greater_equal gt hardshrink hardsigmoid hardswish hardtanh heaviside hypot isfinite isinf isnan le
    leaky_relu lerp less less_equal lgamma log log10 log1p log2 log_sigmoid log_sigmoid_forward logaddexp
    logical_and logical_not logical_or logical_xor logit lt masked_fill maximum minimum mish mul multiply
    nan_to_num ne neg negative not_equal polar positive pow prelu rad2deg reciprocal relu relu6 remainder
    round rrelu rsqrt rsub selu sgn sigmoid sign silu sin sinc sinh softplus softshrink special_erf
    special_expit sqrt square sub subtract tan tanh threshold true_divide trunc where xlogy
"""
_CONVOLUTION = """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution
"""
_POOLING = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool1d_with_indices max_pool2d
    max_pool2d_with_indices max_pool3d max_pool3d_with_indices _adaptive_avg_pool2d _adaptive_avg_pool3d
"""
_NORMALISATION = """
    batch_norm cosine_similarity group_norm instance_norm layer_norm linalg_norm linalg_vector_norm
    native_batch_norm native_group_norm native_layer_norm norm rms_norm _batch_norm_impl_index
    _native_batch_norm_legit _native_batch_norm_legit_no_training _fused_rms_norm _weight_norm
    _weight_norm_interface
"""
_PRODUCTS = """
    addbmm addmm addmv baddbmm bilinear bmm chain_matmul dot einsum gru gru_cell inner kron linalg_matmul
    linear lstm lstm_cell matmul mm mv outer rnn_relu rnn_tanh scaled_dot_product_attention tensordot
    _trilinear
"""
_SHAPE = """
    alias broadcast_tensors broadcast_to cat channel_shuffle chunk clone col2im column_stack concat
    concatenate constant_pad_nd contiguous detach diag diag_embed diagonal dsplit dstack expand expand_as
    flatten flip fliplr flipud hsplit hstack im2col lift_fresh lift_fresh_copy moveaxis movedim narrow
    native_channel_shuffle numpy_T pad permute pixel_shuffle pixel_unshuffle ravel reflection_pad1d
    reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d replication_pad2d
    replication_pad3d reshape reshape_as roll rot90 select slice split split_copy split_with_sizes
    split_with_sizes_copy squeeze stack swapaxes swapdims t tensor_split tile to transpose tril triu type_as
    unbind unflatten unfold unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze view view_as
    view_as_complex view_as_real vsplit vstack _conj _reshape_alias _to_copy _unsafe_view
"""
_REDUCTION = """
    all amax amin any argmax argmin argsort count_nonzero cummax cummin cumprod cumsum log_softmax
    logcumsumexp logsumexp max mean median min nansum nanmean prod softmax sort std std_mean sum topk var
    var_mean _log_softmax _softmax
"""
_INDEXING = """
    copy embedding fill gather index index_add index_copy index_fill index_put index_select
    masked_scatter scatter scatter_add scatter_reduce select_scatter slice_scatter diagonal_scatter take
    take_along_dim zero _unsafe_index
"""
_RESAMPLING = """
    affine_grid_generator grid_sampler grid_sampler_2d grid_sampler_3d upsample_bicubic2d
    upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d
    upsample_trilinear3d _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d
    _upsample_nearest_exact2d _upsample_nearest_exact3d
"""
_CREATION = """
    arange eye full full_like linspace meshgrid new_full new_ones new_zeros one_hot ones ones_like
    scalar_tensor zeros zeros_like
"""
_FOURIER = """
    fft_fft fft_fft2 fft_fftn fft_fftshift fft_ifft fft_ifft2 fft_ifftn fft_ifftshift fft_irfft fft_irfft2
    fft_irfftn fft_rfft fft_rfft2 fft_rfftn angle imag real
"""
_INERT_IN_EVAL = "alpha_dropout dropout feature_alpha_dropout feature_dropout sym_size"

OPERATIONS: frozenset[str] = frozenset(
    " ".join(
        (
            _POINTWISE,
            _CONVOLUTION,
            _POOLING,
            _NORMALISATION,
            _PRODUCTS,
            _SHAPE,
            _REDUCTION,
            _INDEXING,
            _RESAMPLING,
            _CREATION,
            _FOURIER,
            _INERT_IN_EVAL,
        )
    ).split()
)
"""Names of ``aten`` operations; of each, the overloads that write nothing are meant."""

INTEGER_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "operator.add": operator.add,
    "operator.sub": operator.sub,
    "operator.mul": operator.mul,
    "operator.floordiv": operator.floordiv,
}
"""Arithmetic on the batch size."""

_PYTHON: dict[str, Callable[..., Any]] = {**INTEGER_ARITHMETIC, "operator.getitem": operator.getitem}
_PYTHON_NAMES = {function: name for name, function in _PYTHON.items()}


def resolve(name: str) -> Callable[..., Any]:
    """The operation of that name.

    Raises:
        ModelError: the name is not on the list.

    >>> resolve("aten.relu.default")
    <OpOverload(op='aten.relu', overload='default')>
    """
    if name in _PYTHON:
        return _PYTHON[name]
    namespace, _, rest = name.partition(".")
    packet, _, overload = rest.partition(".")
    found = _overload(packet, overload) if namespace == "aten" and packet in OPERATIONS else None
    if found is None:
        raise ModelError(
            f"operation {name[:80]!r}",
            "not among the operations that a stored graph may use",
            "use a bundle written by everywindow, or give the network as a Python module",
        )
    return found


def name_of(function: object) -> str:
    """The name under which :func:`resolve` finds ``function`` again.

    Raises:
        ModelError: the operation is not on the list.
    """
    if callable(function) and function in _PYTHON_NAMES:
        return _PYTHON_NAMES[function]
    name = str(function)
    resolve(name)
    return name


def is_in_training(node: fx.Node, depends_on_image: bool) -> bool:
    """Whether the operation is called in its training form: it draws numbers or mixes the batch.

    Statistics of the weights themselves are another thing: standardised convolutions take them with a batch
    norm in training. They must not update running statistics.
    """
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return False
    given = dict(zip((a.name for a in schema.arguments), node.args, strict=False)) | dict(node.kwargs)
    if given.get("dropout_p", 0.0) not in (0.0, 0):
        return True
    if given.get("train", given.get("training", False)) in (False, None, 0):
        return False
    draws = torch.Tag.nondeterministic_seeded in node.target.tags  # type: ignore[union-attr]
    return draws or depends_on_image or given.get("running_mean") is not None


def _overload(packet: str, overload: str) -> Callable[..., Any] | None:
    operation = getattr(torch.ops.aten, packet, None)
    if operation is None or overload not in operation.overloads():
        return None
    found: Callable[..., Any] = getattr(operation, overload)
    return None if found._schema.is_mutable else found  # type: ignore[attr-defined]
