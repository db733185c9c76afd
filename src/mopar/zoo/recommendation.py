"""Recommendation models; imported only in the exporting process."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class Dlrm(nn.Module):
    """DLRM: click probability from dense features, one row of each table, and their pairwise dot products.

    Rows are looked up by ``Embedding``: an ``EmbeddingBag``, here of one row, would be exported as a loop.
    """

    def __init__(self, tables: int, rows: int, bottom: Sequence[int], top: Sequence[int]) -> None:
        super().__init__()
        width, vectors = bottom[-1], tables + 1
        self.tables = nn.ModuleList(nn.Embedding(rows, width) for _ in range(tables))
        self.bottom = _perceptron(bottom)
        below = torch.tril_indices(vectors, vectors, offset=-1)
        self.register_buffer("pairs", below[0] * vectors + below[1], persistent=False)
        self.top = _perceptron([width + below.shape[1], *top])
        self.click = nn.Linear(top[-1], 1)

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Probabilities (batch, 1) of dense features (batch, features) and rows (batch, tables)."""
        x = self.bottom(dense)
        rows = [table(sparse[:, number]) for number, table in enumerate(self.tables)]
        vectors = torch.stack([x, *rows], dim=1)
        products = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)
        pairs = products.index_select(1, self.get_buffer("pairs"))
        return torch.sigmoid(self.click(self.top(torch.cat([x, pairs], dim=1))))


def dlrm() -> nn.Module:
    """Naumov et al. 2019, arXiv 1906.00091, in the authors' configuration for the Criteo data set."""
    return Dlrm(tables=26, rows=100_000, bottom=(13, 512, 256, 64, 16), top=(512, 256))


def _perceptron(widths: Sequence[int]) -> nn.Module:
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.ReLU()]
    return nn.Sequential(*layers)
