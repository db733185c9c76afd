"""Graph networks; imported only in the exporting process.

The graph is part of the model. It is stored as a list of edges and computed by gather, multiply and scatter-add, as
graph network libraries do. A dense normalised adjacency matrix would have 7.3 million weights in place of Cora's
13,566, nearly all of them 0, and would dominate the model's size.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

NODES, EDGES = 2_708, 5_429


class GraphConvolution(nn.Module):
    """A linear layer, then for each node the normalised sum over itself and its neighbours."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, width, bias=False)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, source: Tensor, target: Tensor, weight: Tensor, loop: Tensor) -> Tensor:
        """Features (nodes, width) of features (nodes, features).

        Args:
            x: the features.
            source: source node of each edge (edges).
            target: target node of each edge (edges, 1).
            weight: weight of each edge (edges, 1).
            loop: weight of each node's edge to itself (nodes, 1).
        """
        x = self.linear(x)
        messages = x.index_select(0, source) * weight
        # index_add would become ScatterND, in which ONNX Runtime's threads lose sums by unsynchronised additions.
        sums = (x * loop).scatter_add(0, target.expand_as(messages), messages)
        return sums + self.bias


class Gcn(nn.Module):
    """Two graph convolutions over a fixed graph."""

    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        pairs = citations(NODES, EDGES)
        source, target = np.concatenate([pairs, pairs[:, ::-1]]).T
        degree = 1 + np.bincount(target, minlength=NODES)  # each node has an edge to itself
        weight = 1 / np.sqrt(degree[source] * degree[target])
        self.register_buffer("source", torch.from_numpy(source.copy()))
        for name, values, dtype in (
            ("target", target, torch.int64),
            ("weight", weight, torch.float32),
            ("loop", 1 / degree, torch.float32),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=dtype).unsqueeze(1))
        self.first = GraphConvolution(features, width)
        self.second = GraphConvolution(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (nodes, classes) of features (nodes, features)."""
        edges = [self.get_buffer(name) for name in ("source", "target", "weight", "loop")]
        scores: Tensor = self.second(torch.relu(self.first(x, *edges)), *edges)
        return scores


def gcn() -> nn.Module:
    """Kipf and Welling 2016, arXiv 1609.02907, as for Cora: 1,433 words, 16 hidden features, 7 classes."""
    return Gcn(features=1_433, width=16, classes=7)


def citations(nodes: int, edges: int) -> NDArray[np.int64]:
    """A fixed random graph in which few nodes have many neighbours: (edges, 2), each pair once and in one direction."""
    random = np.random.default_rng(0)
    popularity = random.pareto(2.0, nodes) + 1
    popularity /= popularity.sum()
    found: dict[tuple[int, int], None] = {}
    while len(found) < edges:
        cited, citing = int(random.choice(nodes, p=popularity)), int(random.integers(nodes))
        if cited != citing:
            found[min(cited, citing), max(cited, citing)] = None
    return np.array(list(found), np.int64)
