"""Modules in plain torch that no model library has, as users write them."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class TwoInputs(nn.Module):
    """A perceptron with two inputs that are concatenated in the middle."""

    def __init__(self, width: int = 1024) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Linear(512, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.right = nn.Sequential(nn.Linear(256, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 10))

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Scores (batch, 10)."""
        scores: Tensor = self.head(torch.cat([self.left(user), self.right(item)], dim=-1))
        return scores


class UNet(nn.Module):
    """Ronneberger et al. 2015, arXiv 1505.04597, a quarter as wide."""

    def __init__(self, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        widths = [width << level for level in range(depth + 1)]
        ins = [3, *widths[:-1]]
        self.down = nn.ModuleList(_twice(a, b) for a, b in zip(ins, widths, strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairwise(widths))
        self.merge = nn.ModuleList(_twice(2 * a, a) for a in widths[:-1])
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Scores (batch, 2, height, width) of pictures (batch, 3, height, width)."""
        skips: list[Tensor] = []
        for number, block in enumerate(self.down):
            image = block(nn.functional.max_pool2d(image, 2) if number else image)
            skips.append(image)
        image = skips.pop()
        for up, merge in zip(reversed(self.up), reversed(self.merge), strict=True):
            image = merge(torch.cat([up(image), skips.pop()], dim=1))
        scores: Tensor = self.head(image)
        return scores


def _twice(ins: int, outs: int) -> nn.Module:
    steps = [part for a in (ins, outs) for part in (nn.Conv2d(a, outs, 3, padding=1), nn.BatchNorm2d(outs), nn.ReLU())]
    return nn.Sequential(*steps)


class Translator(nn.Module):
    """``torch.nn.Transformer``: an encoder, a decoder, and a causal mask."""

    def __init__(self, width: int = 128, layers: int = 2, words: int = 500) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.model = nn.Transformer(width, 4, layers, layers, 4 * width, batch_first=True)
        self.head = nn.Linear(width, words)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Scores (batch, target tokens, words)."""
        length = target.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool).triu(1)
        scores: Tensor = self.head(
            self.model(self.embed(source), self.embed(target), tgt_mask=mask, tgt_is_causal=True)
        )
        return scores


class Recurrent(nn.Module):
    """A language model of LSTMs or GRUs."""

    def __init__(self, kind: str, width: int = 128, words: int = 500, *, both: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.layers = getattr(nn, kind)(width, width, num_layers=2, batch_first=True, bidirectional=both)
        self.head = nn.Linear(width * (1 + both), words)

    def forward(self, ids: Tensor) -> Tensor:
        """Scores (batch, tokens, words)."""
        scores: Tensor = self.head(self.layers(self.embed(ids))[0])
        return scores


class GraphAttention(nn.Module):
    """Velickovic et al. 2017, arXiv 1710.10903, on a dense adjacency matrix, after a layer of a plain GCN."""

    def __init__(self, width: int = 64, heads: int = 4, classes: int = 7) -> None:
        super().__init__()
        self.first = nn.Linear(32, width)
        self.project = nn.Linear(width, width * heads, bias=False)
        self.near, self.far = nn.Parameter(torch.randn(heads, width)), nn.Parameter(torch.randn(heads, width))
        self.head = nn.Linear(width * heads, classes)
        self.heads, self.width = heads, width

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Scores (nodes, classes) of features (nodes, 32) and weights of edges (nodes, nodes)."""
        weights = torch.sigmoid(edges)
        hidden = torch.relu(weights @ self.first(nodes) / weights.sum(1, keepdim=True))
        values = self.project(hidden).reshape(-1, self.heads, self.width)
        pull = (values * self.near).sum(-1)[:, None] + (values * self.far).sum(-1)[None]
        share = torch.softmax(nn.functional.leaky_relu(pull, 0.2).masked_fill(edges[..., None] < 0, -1e9), dim=1)
        scores: Tensor = self.head(torch.einsum("ijh,jhw->ihw", share, values).flatten(1))
        return scores


class MessagePassing(nn.Module):
    """Three rounds of message passing along a list of edges, summed at the destination nodes."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Linear(16, width)
        self.say = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(3))
        self.hear = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(3))
        self.head = nn.Linear(width, 8)

    def forward(self, nodes: Tensor, ends: Tensor) -> Tensor:
        """Eight scores of a graph: features (nodes, 16), and the endpoints (2, edges) of its edges."""
        hidden = torch.relu(self.first(nodes))
        for say, hear in zip(self.say, self.hear, strict=True):
            messages = torch.relu(say(torch.cat([hidden[ends[0]], hidden[ends[1]]], dim=-1)))
            heard = torch.zeros_like(hidden).index_add(0, ends[1], messages)
            hidden = hidden + torch.tanh(hear(torch.cat([hidden, heard], dim=-1)))
        scores: Tensor = self.head(hidden.mean(0))
        return scores


class DeepFM(nn.Module):
    """Guo et al. 2017, arXiv 1703.04247: embedding tables, products of pairs of them, and a perceptron."""

    def __init__(self, fields: int = 8, rows: int = 1000, width: int = 16) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(rows, width) for _ in range(fields))
        self.linear = nn.ModuleList(nn.Embedding(rows, 1) for _ in range(fields))
        self.deep = nn.Sequential(nn.Linear(fields * width + 13, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU())
        self.head = nn.Linear(128, 1)

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Probabilities (batch, 1) of features (batch, 13) and table rows (batch, fields)."""
        found = torch.stack([table(sparse[:, i]) for i, table in enumerate(self.tables)], dim=1)
        first = torch.stack([table(sparse[:, i]) for i, table in enumerate(self.linear)], dim=1).sum(1)
        pairs = 0.5 * (found.sum(1) ** 2 - (found**2).sum(1)).sum(-1, keepdim=True)
        deep = self.head(self.deep(torch.cat([found.flatten(1), dense], dim=-1)))
        return torch.sigmoid(first + 0.1 * pairs + deep)


class WaveNet(nn.Module):
    """Van den Oord et al. 2016, arXiv 1609.03499: gated, dilated convolutions with sums over all of them."""

    def __init__(self, width: int = 48, depth: int = 6) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, width, 1)
        self.gates = nn.ModuleList(
            nn.Conv1d(width, 2 * width, 3, padding=1 << n, dilation=1 << n) for n in range(depth)
        )
        self.ways = nn.ModuleList(nn.Conv1d(width, 2 * width, 1) for _ in range(depth))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(width, width, 1), nn.ReLU(), nn.Conv1d(width, 1, 1))

    def forward(self, sound: Tensor) -> Tensor:
        """A waveform (batch, 1, samples) of a waveform of the same shape."""
        sound = self.first(sound)
        skips: Tensor | None = None
        for gate, way in zip(self.gates, self.ways, strict=True):
            left, right = gate(sound).chunk(2, dim=1)
            rest, skip = way(torch.tanh(left) * torch.sigmoid(right)).chunk(2, dim=1)
            sound, skips = sound + rest, skip if skips is None else skips + skip
        answer: Tensor = self.head(skips)
        return answer


class StateSpace(nn.Module):
    """A selective state space, Gu and Dao 2023, arXiv 2312.00752, its scan in closed form over the tokens."""

    def __init__(self, width: int = 96, state: int = 8, words: int = 500, depth: int = 2) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.project = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.select = nn.ModuleList(nn.Linear(width, width + 2 * state) for _ in range(depth))
        self.decay = nn.ParameterList(torch.rand(width, state) + 0.1 for _ in range(depth))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.state = state

    def forward(self, ids: Tensor) -> Tensor:
        """Hidden states (batch, tokens, width)."""
        hidden: Tensor = self.embed(ids)
        for project, select, decay, out in zip(self.project, self.select, self.decay, self.out, strict=True):
            value, gate = project(hidden).chunk(2, dim=-1)
            step, write, read = select(value).split([value.shape[-1], self.state, self.state], dim=-1)
            time = torch.cumsum(nn.functional.softplus(step), dim=1)
            fade = torch.exp(-nn.functional.relu(time[:, :, None] - time[:, None])[..., None] * decay)
            past = torch.ones(ids.shape[1], ids.shape[1]).tril()[None, :, :, None, None]
            states = (fade * past * (value[..., None] * write[:, :, None])[:, None]).sum(2)
            hidden = hidden + out((states * read[:, :, None]).sum(-1) * nn.functional.silu(gate))
        return hidden


class AutoEncoder(nn.Module):
    """A variational autoencoder; nothing is sampled, the mean of the code is decoded."""

    def __init__(self, width: int = 24, code: int = 64) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1), nn.GroupNorm(4, width), nn.SiLU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.GroupNorm(8, 2 * width), nn.SiLU(), nn.Flatten(),
        )  # fmt: skip
        self.mean, self.spread = nn.Linear(2 * width * 64, code), nn.Linear(2 * width * 64, code)
        self.back = nn.Linear(code, 2 * width * 64)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.1),
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(width, 3, 3, padding=1), nn.Tanh(),
        )  # fmt: skip
        self.width = width

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """An image (batch, 3, 32, 32), and mean and logarithm of the variance of its code."""
        hidden = self.down(image)
        mean, spread = self.mean(hidden), self.spread(hidden)
        back = self.back(mean).reshape(-1, 2 * self.width, 8, 8)
        return self.up(back), mean, spread
