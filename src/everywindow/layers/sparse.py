"""A fully connected layer with a sparse matrix."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn


class SparseLinear(nn.Module):
    """``y = x Wᵀ + b`` with the matrix in sparse rows (CSR): of a convolution it holds what is not zero.

    Takes ``[N, in_features]`` and gives ``[N, out_features]``; gradients go to the input. Its numbers are buffers,
    and do not train: with each of them free it would be no convolution any more.

    Args:
        rows, columns, values: the entries, each place at most once; ``[entries]`` each.
        in_features, out_features: columns and rows of the matrix.
        bias: ``[out_features]``, or None.

    >>> layer = SparseLinear(torch.tensor([0, 1]), torch.tensor([2, 0]), torch.tensor([5.0, 7.0]), 3, 2)
    >>> layer(torch.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[15.0, 7.0]]
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        rows: Tensor,
        columns: Tensor,
        values: Tensor,
        in_features: int,
        out_features: int,
        bias: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        order = torch.argsort(rows * in_features + columns)
        starts = torch.zeros(out_features + 1, dtype=torch.int64, device=rows.device)
        starts[1:] = torch.bincount(rows, minlength=out_features).cumsum(0)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse (CSR|invariant)", UserWarning)
            matrix = torch.sparse_csr_tensor(
                starts, columns[order], values[order], (out_features, in_features), check_invariants=False
            )
        self.register_buffer("weight", matrix)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, in_features]`` to ``[N, out_features]``."""
        product = (self.weight @ x.T).T
        return product if self.bias is None else product + self.bias

    def extra_repr(self) -> str:
        """The sizes."""
        entries = self.weight.values().numel()
        return f"in_features={self.in_features}, out_features={self.out_features}, entries={entries}"
